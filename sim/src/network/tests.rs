use std::num::NonZeroU64;

use super::*;
use crate::access_link::Dropped;
use crate::link_profiles::{Link, Loss, PipeProfile};
use crate::radio::Sleep;
use crate::rng::{Probability, SimRng};

const FAST: LinkProfile = LinkProfile {
    uplink: PipeProfile { latency_us: 10_000, ..PipeProfile::IDEAL },
    downlink: PipeProfile { latency_us: 10_000, ..PipeProfile::IDEAL },
    mtu_bytes: 1_500,
    radio: None,
};

/// Everything that can happen to a datagram, on one link.
const ROUGH: LinkProfile = {
    let pipe = PipeProfile {
        rate_bps: NonZeroU64::new(90_000),
        buffer_bytes: 8 * 1_024,
        latency_us: 50_000,
        jitter_us: 100_000,
        loss: Loss::Burst {
            enter: Probability::percent(2),
            leave: Probability::percent(25),
            loss: Probability::percent(50),
        },
        duplicate: Probability::percent(2),
        reorder: Probability::percent(2),
        reorder_us: 80_000,
    };
    let radio = Link::CatM1.profile().sleeping(Sleep::ALWAYS_PAGED).radio;
    LinkProfile { uplink: pipe, downlink: pipe, mtu_bytes: 1_358, radio }
};

fn addr(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 4_433))
}

fn pair(profile: LinkProfile) -> (Network, NodeId, NodeId) {
    let mut network = Network::new(1);
    let a = network.attach(addr(1), profile).unwrap();
    let b = network.attach(addr(2), profile).unwrap();
    (network, a, b)
}

/// Runs until nothing is under way.
fn drain(network: &mut Network) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while let Some(at) = network.next_event() {
        while let Some(delivery) = network.deliver(at) {
            deliveries.push(delivery);
        }
    }
    deliveries
}

fn payloads(deliveries: &[Delivery]) -> Vec<u8> {
    deliveries.iter().map(|delivery| delivery.bytes[0]).collect()
}

#[test]
fn a_datagram_takes_both_links_and_counts_its_headers() {
    let (mut network, a, b) = pair(FAST);
    network.send(SimTime::ZERO, a, addr(2), vec![7; 100]);
    assert_eq!(network.next_event(), Some(SimTime::from_ms(10)), "the core");
    assert_eq!(network.deliver(SimTime::from_ms(19)), None);
    let expected =
        Delivery { at: SimTime::from_ms(20), node: b, to: addr(2), from: addr(1), bytes: vec![7; 100] };
    assert_eq!(network.deliver(SimTime::from_ms(25)), Some(expected));
    assert_eq!(network.next_event(), None);
    let once = Tally { packets: 1, ip_bytes: 128 };
    assert_eq!(network.traffic(a).uplink.carried, once);
    assert_eq!(network.traffic(b).downlink.carried, once);
    assert_eq!(network.traffic(a).downlink, Default::default());
}

#[test]
fn ipv6_headers_are_longer_and_families_do_not_mix() {
    let (mut network, a, _) = pair(FAST);
    let v6 = SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, 1], 4_433));
    let c = network.attach(v6, FAST).unwrap();
    network.send(SimTime::ZERO, c, addr(1), vec![0; 10]);
    network.send(SimTime::ZERO, a, v6, vec![0; 10]);
    assert_eq!(drain(&mut network), []);
    assert_eq!(network.unroutable(a), Tally { packets: 1, ip_bytes: 58 });
    assert_eq!(network.unroutable(c), Tally { packets: 1, ip_bytes: 38 });
}

#[test]
fn a_datagram_above_either_mtu_vanishes() {
    let (mut network, a, b) = pair(FAST);
    let c = network.attach(addr(3), Link::CatM1.profile().lossless()).unwrap();
    network.send(SimTime::ZERO, a, addr(2), vec![0; 1_500 - 27]);
    network.send(SimTime::ZERO, a, addr(3), vec![0; 1_358 - 27]);
    network.send(SimTime::ZERO, a, addr(3), vec![1; 1_358 - 28]);
    assert_eq!(payloads(&drain(&mut network)), [1]);
    assert_eq!(network.traffic(a).uplink.dropped.too_big.ip_bytes, 1_501);
    assert_eq!(network.traffic(c).downlink.dropped.too_big.ip_bytes, 1_359);
    assert_eq!(network.traffic(b).downlink.offered.packets, 0);
}

#[test]
fn the_narrower_link_sets_the_pace() {
    let (mut network, a, _) = pair(FAST);
    network.set_profile(
        a,
        LinkProfile { uplink: PipeProfile { rate_bps: NonZeroU64::new(8_000), ..FAST.uplink }, ..FAST },
    );
    for byte in 0..5 {
        network.send(SimTime::ZERO, a, addr(2), vec![byte; 972]);
    }
    let arrivals: Vec<u64> = drain(&mut network).iter().map(|delivery| delivery.at.as_ms()).collect();
    assert_eq!(arrivals, [1_020, 2_020, 3_020, 4_020, 5_020]);
}

#[test]
fn a_partition_is_one_way_or_both_and_takes_what_is_under_way() {
    let (mut network, a, b) = pair(FAST);
    let t = SimTime::from_ms;
    network.send(t(0), a, addr(2), vec![1]);
    network.cut(b, Cut::Downlink);
    network.send(t(1), b, addr(1), vec![2]);
    network.send(t(1), a, addr(2), vec![3]);
    assert_eq!(payloads(&drain(&mut network)), [2], "b is heard but does not hear");
    network.restore(b);
    network.send(t(100), a, addr(2), vec![4]);
    assert_eq!(network.deliver(t(115)), None);
    network.cut(b, Cut::Both);
    assert_eq!(drain(&mut network), [], "it was on the last hop");
    assert_eq!(network.traffic(b).downlink.dropped.partitioned.packets, 3);
}

#[test]
fn a_planned_outage_begins_and_ends_by_itself() {
    let (mut network, a, _) = pair(FAST);
    network.plan_outage(a, SimTime::from_secs(10), SimTime::from_secs(20), Cut::Both);
    for second in [5, 9, 10, 15, 19, 20, 25] {
        network.send(SimTime::from_secs(second.into()), a, addr(2), vec![second]);
    }
    assert_eq!(payloads(&drain(&mut network)), [5, 9, 20, 25]);
}

#[test]
fn a_rebind_moves_the_public_address_and_kills_the_old_one() {
    let (mut network, a, b) = pair(FAST);
    let t = SimTime::from_ms;
    network.send(t(0), b, addr(1), vec![1]);
    let moved = network.rebind(a);
    assert_eq!(moved, SocketAddr::from(([10, 0, 0, 1], 4_434)));
    assert_eq!((network.private_addr(a), network.public_addr(a)), (addr(1), moved));
    assert_eq!(drain(&mut network), [], "it was sent to the old address");
    assert_eq!(network.unroutable(b).packets, 1);

    network.send(t(50), a, addr(2), vec![2]);
    let seen = drain(&mut network);
    assert_eq!((seen[0].from, seen[0].to), (moved, addr(2)));
    network.send(t(100), b, moved, vec![3]);
    assert_eq!(drain(&mut network)[0].to, addr(1), "inside, the node keeps its address");
    assert_eq!((network.node_at(moved), network.node_at(addr(1))), (Some(a), None));
}

#[test]
fn an_address_is_taken_once() {
    let (mut network, a, _) = pair(FAST);
    let error = network.attach(addr(2), FAST).unwrap_err();
    assert_eq!(error.to_string(), "the address 10.0.0.2:4433 is taken by another node: use one that is free");
    assert_eq!(network.rebind_to(a, addr(2)), Err(AddressInUse { addr: addr(2) }));
    assert_eq!(network.public_addr(a), addr(1));
    assert_eq!(network.rebind_to(a, addr(1)), Ok(()));
    network.rebind_to(a, SocketAddr::from(([10, 0, 0, 2], u16::MAX))).unwrap();
    assert_eq!(network.rebind(a), SocketAddr::from(([10, 0, 0, 2], 1_024)), "ports wrap around");
    network.attach(addr(1), FAST).expect("the old address is free again");
}

/// Nodes that answer at random over links where everything goes wrong, with rebinds and outages. Returns the FNV-1a hash
/// of all deliveries (Fowler, Noll, Vo; RFC 9923).
fn trace_hash(seed: u64, nodes: u8, datagrams: u32) -> (u64, Network) {
    let mut network = Network::new(seed);
    let mut rng = SimRng::new(seed, u64::MAX);
    let ids: Vec<NodeId> = (0..nodes).map(|host| network.attach(addr(host), ROUGH).unwrap()).collect();
    for &id in &ids {
        let from = SimTime::from_ms(rng.below(80_000));
        network.plan_outage(id, from, SimTime::from_ms(from.as_ms() + 20_000), Cut::Both);
    }
    let mut hash = Fnv::default();
    let mut now = SimTime::ZERO;
    for number in 0..datagrams {
        now = now.plus_ns(rng.below(10_000_000));
        while let Some(delivery) = network.deliver(now) {
            hash.write_delivery(&delivery);
        }
        let mut pick = || ids[usize::try_from(rng.below(nodes.into())).unwrap()];
        let (from, to) = (pick(), pick());
        if number % 500 == 499 {
            network.rebind(from);
        }
        let len = usize::try_from(rng.below(1_400)).unwrap();
        let to = network.public_addr(to);
        network.send(now, from, to, vec![number.to_le_bytes()[0]; len]);
    }
    for delivery in drain(&mut network) {
        hash.write_delivery(&delivery);
    }
    (hash.0, network)
}

struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_delivery(&mut self, delivery: &Delivery) {
        self.write(&delivery.at.as_ns().to_le_bytes());
        self.write(&delivery.node.0.to_le_bytes());
        self.write(delivery.from.to_string().as_bytes());
        self.write(&delivery.bytes);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_on_every_machine() {
    assert_eq!(format!("{:016x}", trace_hash(42, 12, 20_000).0), "e06e9ab3f389e7f9");
    assert_eq!(trace_hash(42, 12, 20_000).0, trace_hash(42, 12, 20_000).0);
    assert_ne!(trace_hash(42, 12, 20_000).0, trace_hash(43, 12, 20_000).0);
}

#[test]
fn every_packet_is_accounted_for() {
    let (_, network) = trace_hash(7, 12, 20_000);
    let mut seen = Vec::new();
    for index in 0..12 {
        let id = NodeId(index);
        for traffic in [network.traffic(id).uplink, network.traffic(id).downlink] {
            let entered = traffic.offered.packets + traffic.duplicated.packets;
            assert_eq!(entered, traffic.carried.packets + traffic.dropped.in_all().packets, "node {index}");
            let entered = traffic.offered.ip_bytes + traffic.duplicated.ip_bytes;
            assert_eq!(entered, traffic.carried.ip_bytes + traffic.dropped.in_all().ip_bytes, "node {index}");
            assert!(traffic.duplicated.packets > 0);
            let Dropped { buffer_full, lost, partitioned, too_big, .. } = traffic.dropped;
            seen.push([buffer_full, lost, partitioned, too_big].map(|tally| tally.packets > 0));
        }
    }
    for cause in 0..4 {
        assert!(seen.iter().any(|seen| seen[cause]), "cause {cause} never happened");
    }
    assert_eq!(network.under_way(), 0);
    let carried =
        |direction| (0..12).map(|i| network.traffic(NodeId(i)).of(direction).carried.packets).sum::<u64>();
    let unroutable = (0..12).map(|i| network.unroutable(NodeId(i)).packets).sum::<u64>();
    let offered_down = (0..12).map(|i| network.traffic(NodeId(i)).downlink.offered.packets).sum::<u64>();
    assert_eq!(carried(Direction::Uplink), unroutable + offered_down, "the core keeps nothing");
    assert!(unroutable > 0);
    assert!(carried(Direction::Downlink) > 0);
}

#[test]
fn another_node_does_not_change_what_happens_to_the_others() {
    let run = |with_third: bool| {
        let (mut network, a, _) = pair(ROUGH);
        let c = network.attach(addr(3), ROUGH).unwrap();
        for ms in 0..1_000u64 {
            let now = SimTime::from_ms(ms * 20);
            network.send(now, a, addr(2), vec![0; 100]);
            if with_third {
                network.send(now, c, addr(9), vec![0; 100]);
            }
        }
        drain(&mut network).iter().map(|delivery| delivery.at).collect::<Vec<_>>()
    };
    assert_eq!(run(false), run(true));
}
