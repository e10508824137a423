//! The ledger against the kernel's own counters: an edge alone in a network namespace, joined to this one by a veth pair.

use std::collections::HashSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use crate::support::{Aggregator, code, edge, stderr, stdout, until};

/// A namespace with one end of a veth pair; the other end is in the namespace of the test.
struct Namespace {
    name: String,
    outside: String,
}

impl Namespace {
    /// `None` where that is not possible: without root, or without `ip`.
    fn make() -> Option<Self> {
        let id = std::process::id() % 100_000;
        let made = Self { name: format!("godwit{id}"), outside: format!("gw{id}") };
        let (name, outside) = (made.name.clone(), made.outside.clone());
        ip(&["netns", "add", &name])?;
        // No name resolution of link addresses and no IPv6: nothing but the edge's packets goes over the pair.
        ip(&[
            "link", "add", &outside, "arp", "off", "type", "veth", "peer", "name", "inside", "netns", &name,
        ])?;
        let silence =
            "for i in all default inside; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done";
        ip(&["netns", "exec", &name, "sh", "-c", silence])?;
        fs::write(format!("/proc/sys/net/ipv6/conf/{outside}/disable_ipv6"), "1").ok()?;
        let address = |link: &str| fs::read_to_string(format!("/sys/class/net/{link}/address")).ok();
        let outside_address = address(&outside)?.trim().to_owned();
        let inside_address = ip(&["netns", "exec", &name, "cat", "/sys/class/net/inside/address"])?;
        ip(&["address", "add", "198.18.77.1/30", "dev", &outside])?;
        ip(&["link", "set", &outside, "up"])?;
        ip(&[
            "neigh",
            "replace",
            "198.18.77.2",
            "lladdr",
            inside_address.trim(),
            "dev",
            &outside,
            "nud",
            "permanent",
        ])?;
        let within = |arguments: &[&str]| ip(&[&["-n", &name][..], arguments].concat());
        within(&["address", "add", "198.18.77.2/30", "dev", "inside"])?;
        within(&["link", "set", "inside", "arp", "off", "up"])?;
        within(&[
            "neigh",
            "replace",
            "198.18.77.1",
            "lladdr",
            &outside_address,
            "dev",
            "inside",
            "nud",
            "permanent",
        ])?;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_what_the_kernel_counted() {
    let Some(namespace) = Namespace::make() else {
        eprintln!("skipped: network namespaces need root and the command ip (Debian: iproute2)");
        return;
    };
    let aggregator = Aggregator::start_at(Ipv4Addr::new(198, 18, 77, 1), &["pump"], HashSet::new()).await;
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
        (ours, counted) = (ledger(store), namespace.counted());
        if ours == counted {
            break;
        }
    }
    Command::new("kill").arg(running.id().to_string()).status().unwrap();
    running.wait().unwrap();
    assert!(ours[0].1 > 40 * 1_500, "{ours:?}");
    assert_eq!(ours, counted, "packets and bytes, sent and received");
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
