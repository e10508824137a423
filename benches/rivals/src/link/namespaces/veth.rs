//! The namespaces themselves, by means of `ip`.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};

use super::Inside;

/// Two namespaces, gone when this is dropped.
pub(super) struct Namespaces {
    device: String,
    cloud: String,
}

/// The aggregator's address.
pub(super) const CLOUD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const DEVICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const INTERFACE: &str = "bench0";
const ETHERNET_HEADER_BYTES: u64 = 14;

impl Namespaces {
    pub(super) fn new() -> anyhow::Result<Self> {
        let pid = std::process::id();
        let this = Self { device: format!("bench-{pid}-device"), cloud: format!("bench-{pid}-cloud") };
        for tool in ["ip", "mosquitto"] {
            if let Err(error) =
                Command::new(tool).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status()
                && error.kind() == ErrorKind::NotFound
            {
                bail!("{tool} is missing; on Debian: apt-get install iproute2 mosquitto");
            }
        }
        ip(&["netns", "add", &this.device]).context("it needs root, to make network namespaces")?;
        ip(&["netns", "add", &this.cloud])?;
        for name in [&this.device, &this.cloud] {
            let off = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6";
            // A kernel without IPv6 has nothing to switch off.
            let _ = Command::new("ip")
                .args(["netns", "exec", name, "sh", "-c", off])
                .stderr(Stdio::null())
                .status();
        }
        let (at_device, at_cloud) = ("02:00:00:00:00:01", "02:00:00:00:00:02");
        ip(&[
            "link",
            "add",
            INTERFACE,
            "netns",
            &this.device,
            "address",
            at_device,
            "type",
            "veth",
            "peer",
            "name",
            INTERFACE,
            "netns",
            &this.cloud,
            "address",
            at_cloud,
        ])?;
        let sides = [(&this.device, DEVICE, CLOUD, at_cloud), (&this.cloud, CLOUD, DEVICE, at_device)];
        for (name, own, other, other_mac) in sides {
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            ip(&["-n", name, "addr", "add", &format!("{own}/30"), "dev", INTERFACE])?;
            ip(&["-n", name, "link", "set", INTERFACE, "mtu", "1358", "gso_max_segs", "1", "up"])?;
            ip(&["-n", name, "neigh", "replace", &other.to_string(), "lladdr", other_mac, "dev", INTERFACE])?;
        }
        Ok(this)
    }

    /// A program at the aggregator's end.
    pub(super) fn at_cloud(&self, program: &str) -> Command {
        inside(&self.cloud, program)
    }

    /// This program, in the role `role`.
    pub(super) fn start(&self, role: Inside) -> anyhow::Result<Command> {
        let name = if role == Inside::GodwitCloud { &self.cloud } else { &self.device };
        let program = std::env::current_exe().context("this program does not know its own path")?;
        let mut command = inside(name, &program.to_string_lossy());
        let role = clap::ValueEnum::to_possible_value(&role).context("every role has a name")?;
        command.args(["--inside", role.get_name()]).env("RUST_BACKTRACE", "0");
        Ok(command)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in [&self.device, &self.cloud] {
            let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
        }
    }
}

/// A process that ends with its owner.
pub(super) struct Ends(pub(super) Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes that have passed the interface of this namespace in both directions, as IP packets.
pub(super) fn passed_ip_bytes() -> anyhow::Result<u64> {
    let read = |what: &str| -> anyhow::Result<u64> {
        let path = format!("/sys/class/net/{INTERFACE}/statistics/{what}");
        let text = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        Ok(text.trim().parse()?)
    };
    let bytes = read("rx_bytes")? + read("tx_bytes")?;
    let packets = read("rx_packets")? + read("tx_packets")?;
    Ok(bytes - packets * ETHERNET_HEADER_BYTES)
}

fn inside(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, program]);
    command
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments).output().context("ip cannot be started")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
