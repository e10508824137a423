//! How many datagrams a second the simulated network passes on one core.
//!
//! `cargo run --release -p sim --example network_throughput`

use std::net::SocketAddr;
use std::time::Instant;

use sim::clock::SimTime;
use sim::link_profiles::Link;
use sim::network::Network;

const DATAGRAMS: u64 = 4_000_000;
const PAYLOAD_BYTES: usize = 100;
/// Every node sends ten datagrams a second.
const NODE_GAP_NS: u64 = 100_000_000;

fn main() {
    for nodes in [2u32, 100, 10_000] {
        for link in [Link::Loopback, Link::Lte] {
            run(nodes, link);
        }
    }
}

fn run(nodes: u32, link: Link) {
    let mut network = Network::new(1);
    let addrs: Vec<SocketAddr> =
        (0..nodes).map(|node| SocketAddr::from((node.to_be_bytes(), 4_433))).collect();
    let ids: Vec<_> = addrs
        .iter()
        .map(|&addr| network.attach(addr, link.profile()).expect("each node has its own address"))
        .collect();
    let begun = Instant::now();
    let mut delivered = 0u64;
    let mut under_way_max = 0;
    for number in 0..DATAGRAMS {
        let now = SimTime::from_ns(number * NODE_GAP_NS / u64::from(nodes));
        while network.deliver(now).is_some() {
            delivered += 1;
        }
        let [from, to] =
            [number, number * 7 + 1].map(|n| usize::try_from(n % u64::from(nodes)).expect("an index"));
        network.send(now, ids[from], addrs[to], vec![0; PAYLOAD_BYTES]);
        under_way_max = under_way_max.max(network.under_way());
    }
    while network.deliver(SimTime::MAX).is_some() {
        delivered += 1;
    }
    let rate = DATAGRAMS as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{link:8} {nodes:6} nodes: {:.2} million datagrams/s, {delivered} delivered, {under_way_max} under way at most",
        rate / 1e6
    );
}
