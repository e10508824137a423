//! The ledger against the kernel's own counters: an edge alone in a network namespace, joined to this one by a veth pair.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use crate::support::{Aggregator, code, edge, stderr, stdout, until};

/// A network of two addresses.
struct Network {
    /// Of the test, and of the edge.
    outside: IpAddr,
    inside: IpAddr,
    prefix_len: u8,
}

const IPV4: Network = Network {
    outside: IpAddr::V4(Ipv4Addr::new(198, 18, 77, 1)),
    inside: IpAddr::V4(Ipv4Addr::new(198, 18, 77, 2)),
    prefix_len: 30,
};

const IPV6: Network = Network {
    outside: IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1)),
    inside: IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2)),
    prefix_len: 64,
};

/// A namespace with one end of a veth pair; the other end is in the namespace of the test.
struct Namespace {
    name: String,
    outside: String,
}

impl Namespace {
    /// `None` where that is not possible: without root, without `ip`, or without that version of IP.
    fn make(network: &Network) -> Option<Self> {
        let id = std::process::id() % 100_000;
        let version = if network.inside.is_ipv4() { 4 } else { 6 };
        let made = Self { name: format!("godwit{version}-{id}"), outside: format!("gw{version}-{id}") };
        let (name, outside) = (made.name.clone(), made.outside.clone());
        let (outside_ip, inside_ip) = (network.outside.to_string(), network.inside.to_string());
        let with_prefix = |ip: &str| format!("{ip}/{}", network.prefix_len);
        ip(&["netns", "add", &name])?;
        // No name resolution of link addresses: nothing but the edge's packets goes over the pair.
        ip(&[
            "link", "add", &outside, "arp", "off", "type", "veth", "peer", "name", "inside", "netns", &name,
        ])?;
        // IPv6 has more to say by itself: that it is there, and who else is.
        let (key, value) = if version == 4 { ("disable_ipv6", "1") } else { ("addr_gen_mode", "1") };
        let silence = |link: &str| {
            format!(
                "cd /proc/sys/net/ipv6/conf/{link} && echo {value} > {key} && echo 0 > accept_dad \
                 && echo 0 > router_solicitations"
            )
        };
        ip(&["netns", "exec", &name, "sh", "-c", &silence("inside")])?;
        Command::new("sh").args(["-c", &silence(&outside)]).status().ok()?.success().then_some(())?;
        let address = |link: &str| fs::read_to_string(format!("/sys/class/net/{link}/address")).ok();
        let outside_address = address(&outside)?.trim().to_owned();
        let inside_address = ip(&["netns", "exec", &name, "cat", "/sys/class/net/inside/address"])?;
        ip(&["address", "add", &with_prefix(&outside_ip), "dev", &outside])?;
        ip(&["link", "set", &outside, "up"])?;
        neighbour(&[], &inside_ip, inside_address.trim(), &outside)?;
        let within = ["-n", &name];
        ip(&[&within[..], &["address", "add", &with_prefix(&inside_ip), "dev", "inside"]].concat())?;
        ip(&[&within[..], &["link", "set", "inside", "arp", "off", "up"]].concat())?;
        neighbour(&within, &outside_ip, &outside_address, "inside")?;
        Some(made)
    }

    /// Packets and bytes that the edge's interface has sent and received, without the headers of Ethernet.
    fn counted(&self) -> [(u64, u64); 2] {
        let json = ip(&["-n", &self.name, "-s", "-j", "link", "show", "inside"]).unwrap();
        let json: Json = serde_json::from_str(&json).unwrap();
        ["tx", "rx"].map(|direction| {
            let stats = &json[0]["stats64"][direction];
            let packets = stats["packets"].as_u64().unwrap();
            (packets, stats["bytes"].as_u64().unwrap() - packets * ETHERNET_HEADER_BYTES)
        })
    }

    /// What the kernel had to say by itself, once it has said it.
    async fn settled(&self) -> [(u64, u64); 2] {
        loop {
            let before = self.counted();
            tokio::time::sleep(Duration::from_secs(3)).await;
            if self.counted() == before {
                return before;
            }
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What was not made cannot be removed; the pair goes with its namespace.
        ip(&["netns", "delete", &self.name]);
        ip(&["link", "delete", &self.outside]);
    }
}

/// Runs `ip` and gives what it prints, or nothing if it fails.
fn ip(arguments: &[&str]) -> Option<String> {
    let output = Command::new("ip").args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Tells one end who is at the other, for good.
fn neighbour(within: &[&str], other: &str, link_address: &str, link: &str) -> Option<String> {
    let entry = ["neigh", "replace", other, "lladdr", link_address, "dev", link, "nud", "permanent"];
    ip(&[within, &entry].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_what_the_kernel_counted() {
    compare(&IPV4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_what_the_kernel_counted_over_ipv6() {
    compare(&IPV6).await;
}

async fn compare(network: &Network) {
    let Some(namespace) = Namespace::make(network) else {
        eprintln!("skipped: network namespaces need root and the command ip (Debian: iproute2)");
        return;
    };
    let aggregator = Aggregator::start_at(network.outside, &["pump"], HashSet::new()).await;
    let before = namespace.settled().await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let mut running = Command::new("ip")
        .args(["netns", "exec", &namespace.name, env!("CARGO_BIN_EXE_edge"), "run", "--document", "pump"])
        .args(["--aggregator", &aggregator.address, "--key", &aggregator.key.to_string(), "--store"])
        .arg(store)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the start of the edge", async || store.join("control.sock").exists()).await;
    for i in 0..40 {
        let value = "x".repeat(1 + i * 90);
        let done = edge(store, &["set", &format!("a/{i}"), &value, "--wait"]);
        assert_eq!(code(&done), 0, "{}", stderr(&done));
    }
    aggregator.set("from/cloud", 5).await;
    // While the two are read, nothing may be under way: a busy machine is silent later.
    let (mut ours, mut counted) = ([(0, 0); 2], [(1, 1); 2]);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        (ours, counted) = (ledger(store), since(namespace.counted(), before));
        if ours == counted {
            break;
        }
    }
    Command::new("kill").arg(running.id().to_string()).status().unwrap();
    running.wait().unwrap();
    assert!(ours[0].1 > 40 * 1_500, "{ours:?}");
    assert_eq!(ours, counted, "packets and bytes, sent and received");
}

fn since(now: [(u64, u64); 2], before: [(u64, u64); 2]) -> [(u64, u64); 2] {
    [0, 1].map(|direction| (now[direction].0 - before[direction].0, now[direction].1 - before[direction].1))
}

/// Packets and bytes of this month, sent and received, all causes together.
fn ledger(store: &Path) -> [(u64, u64); 2] {
    let report: Json = serde_json::from_str(&stdout(&edge(store, &["ledger", "--json"]))).unwrap();
    let month = &report["months"][0];
    ["sent", "received"].map(|direction| {
        let sum = |what: &str| -> u64 {
            month[direction].as_object().unwrap().values().map(|count| count[what].as_u64().unwrap()).sum()
        };
        (sum("packets"), sum("bytes"))
    })
}

/// Addresses and type of a frame; without checksum and preamble, as the kernel counts.
const ETHERNET_HEADER_BYTES: u64 = 14;
