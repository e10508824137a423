//! What surrounds a device in the field, datagram by datagram: a radio that sleeps, a NAT that forgets, walls, roads and
//! garages.

use std::net::SocketAddr;
use std::time::Duration;

use sim::access_link::Tally;
use sim::clock::{Clock, SimTime};
use sim::coverage::{Coverage, CoveragePlan};
use sim::link_profiles::{Link, LinkProfile, PipeProfile};
use sim::mobility::MobilityProfile;
use sim::nat::{Filtering, NatProfile, Renewal};
use sim::network::{Delivery, Network, NodeId};
use sim::outages::Schedule;
use sim::radio::{RadioProfile, Sleep};
use sim::rng::{Probability, SimRng};

const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 4_433);

/// 10 ms each way, half a second to wake, two seconds of tail.
fn plain(sleep: Sleep) -> LinkProfile {
    let pipe = PipeProfile { latency_us: 10_000, ..PipeProfile::IDEAL };
    let radio = Some(RadioProfile::new(500_000, 2_000_000).sleeping(sleep));
    LinkProfile { uplink: pipe, downlink: pipe, mtu_bytes: 1_358, radio }
}

/// A device on such a link, and a server that is there at once.
fn network(profile: LinkProfile) -> (Network, NodeId, NodeId) {
    let mut network = Network::new(1);
    let device = network.attach("10.0.0.2:5000".parse().unwrap(), profile).unwrap();
    let ideal = LinkProfile {
        uplink: PipeProfile::IDEAL,
        downlink: PipeProfile::IDEAL,
        mtu_bytes: 1_500,
        radio: None,
    };
    let server = network.attach(SERVER.into(), ideal).unwrap();
    (network, device, server)
}

fn s(seconds: u64) -> SimTime {
    SimTime::from_secs(seconds)
}

fn run_until(network: &mut Network, until: SimTime) -> Vec<Delivery> {
    std::iter::from_fn(|| network.deliver(until)).collect()
}

/// What arrived at `node`, and when in milliseconds.
fn arrivals(deliveries: &[Delivery], node: NodeId) -> Vec<(u64, u8)> {
    let there = deliveries.iter().filter(|delivery| delivery.node == node);
    there.map(|delivery| (delivery.at.as_ms(), delivery.bytes[0])).collect()
}

#[test]
fn packets_for_a_device_in_edrx_wait_for_its_window_five_of_them() {
    let (mut network, device, server) = network(plain(Sleep::extended(81_920)));
    network.send(s(0), device, SERVER.into(), vec![0]);
    run_until(&mut network, s(10));
    let to = network.public_addr(device);
    for number in 1..=8 {
        network.send(s(10 + u64::from(number)), server, to, vec![number; 100]);
    }
    let deliveries = run_until(&mut network, s(200));
    let at = arrivals(&deliveries, device);
    let first = at[0].0;
    assert_eq!(at, [1, 2, 3, 4, 5].map(|number| (first, number)), "all when the window comes");
    assert!((18_000..18_000 + 81_920 + 510).contains(&first), "{first} ms");
    let dropped = network.traffic(device).downlink.dropped;
    assert_eq!(dropped.unreachable, Tally { packets: 3, ip_bytes: 3 * 128 });
    assert_eq!(dropped.in_all().packets, 3);
    assert_eq!(network.under_way(), 0);
}

#[test]
fn a_device_in_power_saving_mode_hears_nothing_until_it_sends() {
    let (mut network, device, server) = network(plain(Sleep::power_saving(10, 86_400)));
    network.send(s(0), device, SERVER.into(), vec![0]);
    run_until(&mut network, s(100));
    let to = network.public_addr(device);
    network.send(s(100), server, to, vec![1]);
    assert_eq!(run_until(&mut network, s(3_600)), []);
    assert_eq!(network.under_way(), 1);
    network.send(s(3_600), device, SERVER.into(), vec![2]);
    let deliveries = run_until(&mut network, s(3_700));
    assert_eq!(arrivals(&deliveries, device), [(3_600_510, 1)], "together with the connection");
    assert_eq!(arrivals(&deliveries, server), [(3_600_510, 2)]);
}

#[test]
fn a_device_in_power_saving_mode_is_found_at_its_periodic_update() {
    let (mut network, device, server) = network(plain(Sleep::power_saving(10, 3_600)));
    network.send(s(0), device, SERVER.into(), vec![0]);
    run_until(&mut network, s(100));
    let to = network.public_addr(device);
    network.send(s(100), server, to, vec![1]);
    let deliveries = run_until(&mut network, s(10_000));
    // Connected until 2.5 s, the update 3,600 s after that, then the wake-up and the way.
    assert_eq!(arrivals(&deliveries, device), [(3_603_010, 1)]);
    // 0.5 and 2 s for its own packet, the same for ours, and 10 s of listening after each; a second update at 7,205 s.
    let usage = network.radio_usage(device, s(10_000)).unwrap();
    assert_eq!((usage.wakes, usage.updates), (2, 1));
    assert_eq!(usage.waking_ns, 1_000_000_000);
    assert_eq!(usage.connected_ns, 2 * 2_000_000_000 + 1_500_000_000);
    assert_eq!(usage.idle_ns, 30_000_000_000);
    let sum = usage.idle_ns + usage.power_saving_ns + usage.waking_ns + usage.connected_ns;
    assert_eq!(sum, s(10_000).as_ns());
}

/// A report each quarter of an hour for a day on `cat-m1`: what a battery is asked for, by the way to sleep.
#[test]
fn a_day_of_reports_costs_this_much_radio_and_energy() {
    let day = |sleep| {
        let (mut network, device, _) = network(Link::CatM1.profile().lossless().sleeping(sleep));
        for quarter in 0..96 {
            network.send(s(quarter * 900), device, SERVER.into(), vec![0; 60]);
        }
        run_until(&mut network, s(86_400));
        let usage = network.radio_usage(device, s(86_400)).unwrap();
        let awake_s = (usage.waking_ns + usage.connected_ns) / 1_000_000_000;
        (awake_s, network.energy_estimate_mj(device, s(86_400)).unwrap())
    };
    // 96 times half a second to wake, 8 ms to send and 10 s of tail: 1,008 s, at 45 mA and 3.7 V.
    assert_eq!(day(Sleep::IDLE), (1_008, 446_663));
    assert_eq!(day(Sleep::extended(81_920)), (1_008, 178_132));
    assert_eq!(day(Sleep::power_saving(10, 86_400)), (1_008, 172_089));
}

fn behind(nat: NatProfile) -> (Network, NodeId, NodeId) {
    let (mut network, device, server) = network(plain(Sleep::ALWAYS_PAGED));
    network.set_nat(device, nat);
    (network, device, server)
}

#[test]
fn a_mapping_that_timed_out_lets_nothing_in_and_comes_back_with_another_port() {
    let (mut network, device, server) = behind(NatProfile::CARRIER);
    network.send(s(0), device, SERVER.into(), vec![1]);
    let first = run_until(&mut network, s(1))[0].from;
    network.send(s(30), server, first, vec![2]);
    assert_eq!(arrivals(&run_until(&mut network, s(40)), device), [(30_510, 2)]);
    // What came in at 30 s refreshed nothing.
    network.send(s(61), server, first, vec![3]);
    assert_eq!(run_until(&mut network, s(70)), []);
    assert_eq!(network.filtered(device), Tally { packets: 1, ip_bytes: 29 });
    assert_eq!(network.traffic(device).downlink.offered.packets, 1, "it costs the device nothing");

    network.send(s(80), device, SERVER.into(), vec![4]);
    let second = run_until(&mut network, s(90))[0].from;
    assert_eq!((first.ip(), first.port() + 1), (second.ip(), second.port()));
    assert_eq!(network.nat_renewals(device), 1);
    network.send(s(90), server, first, vec![5]);
    network.send(s(90), server, second, vec![6]);
    assert_eq!(arrivals(&run_until(&mut network, s(100)), device).len(), 1, "the old port is dead");
}

#[test]
fn some_carriers_give_another_address() {
    let (mut network, device, _) = behind(NatProfile { renewal: Renewal::NewAddress, ..NatProfile::CARRIER });
    let mut seen = Vec::new();
    for minutes in [0, 2, 4] {
        network.send(s(minutes * 60), device, SERVER.into(), vec![0]);
        seen.push(run_until(&mut network, s(minutes * 60 + 1))[0].from);
    }
    let expected = ["10.0.0.2:5000", "198.18.0.2:5000", "198.18.0.3:5000"];
    assert_eq!(seen, expected.map(|addr| addr.parse::<SocketAddr>().unwrap()));
}

#[test]
fn strangers_get_in_only_where_the_nat_does_not_filter() {
    for (filtering, expected) in [(Filtering::AddressAndPort, 0), (Filtering::Nobody, 1)] {
        let (mut network, device, _) = behind(NatProfile { filtering, ..NatProfile::CARRIER });
        let stranger = network.attach("203.0.113.5:53".parse().unwrap(), plain(Sleep::IDLE)).unwrap();
        network.send(s(0), device, SERVER.into(), vec![0]);
        run_until(&mut network, s(5));
        network.send(s(5), stranger, network.public_addr(device), vec![9]);
        let deliveries = run_until(&mut network, s(20));
        assert_eq!(arrivals(&deliveries, device).len(), expected, "{filtering:?}");
    }
}

/// A radio that sleeps keeps the device from answering, and its NAT from remembering it.
#[test]
fn what_waits_for_a_window_has_passed_the_nat_before() {
    let (mut network, device, server) = network(plain(Sleep::extended(163_840)));
    network.set_nat(device, NatProfile::CARRIER);
    network.send(s(0), device, SERVER.into(), vec![0]);
    let to = run_until(&mut network, s(1))[0].from;
    network.send(s(59), server, to, vec![1]);
    run_until(&mut network, s(60));
    network.send(s(61), server, to, vec![2]);
    let arrived: Vec<u8> =
        arrivals(&run_until(&mut network, s(400)), device).into_iter().map(|(_, number)| number).collect();
    assert_eq!(arrived, [1]);
    assert_eq!(network.filtered(device).packets, 1);
}

#[test]
fn a_move_with_a_new_address_shows_in_the_next_packet() {
    let (mut network, device, _) = network(plain(Sleep::IDLE));
    let profile = MobilityProfile { new_address: Probability::ALWAYS, ..MobilityProfile::CAT_M1_VEHICLE };
    network.set_mobility(device, profile);
    let mut seen = Vec::new();
    for minute in 0..30 {
        network.send(s(minute * 60), device, SERVER.into(), vec![0]);
        seen.extend(run_until(&mut network, s(minute * 60 + 30)).iter().map(|delivery| delivery.from.ip()));
    }
    seen.dedup();
    // A change each three minutes in the mean.
    assert_eq!(seen.len(), 10);
}

#[test]
fn a_device_in_a_garage_is_cut_off_at_night_and_a_walk_through_a_building_is_slower() {
    let (mut network, device, _) = network(Link::CatM1.profile().lossless());
    let nights: Schedule = "daily 22:00-06:00".parse().unwrap();
    network.plan_outages(device, &nights, &Clock::new(), s(86_400));
    let plan = CoveragePlan::listed([(s(12 * 3_600), Coverage::Robust)]);
    network.set_coverage(device, Link::CatM1, plan);
    let mut took_ms = |hour: u64| {
        network.send(s(hour * 3_600), device, SERVER.into(), vec![0; 97]);
        let deliveries = run_until(&mut network, s(hour * 3_600 + 600));
        deliveries.first().map(|delivery| delivery.at.since(s(hour * 3_600)).as_millis())
    };
    // 125 bytes: 0.5 s and 11 ms and 60 to 180 ms; then 1 s and 86 ms and 120 to 360 ms.
    let taken = [1, 7, 13, 23].map(&mut took_ms);
    assert_eq!(taken, [None, Some(581), Some(1_219), None]);
}

/// The road and the building do not change what the link itself draws.
#[test]
fn surroundings_repeat_with_their_seed() {
    let run = |seed| {
        let mut network = Network::new(seed);
        let device = network.attach("10.0.0.2:5000".parse().unwrap(), Link::NbIot.profile()).unwrap();
        let ideal = Link::Loopback.profile();
        network.attach(SERVER.into(), ideal).unwrap();
        network.set_nat(device, NatProfile::CARRIER);
        network.set_mobility(device, MobilityProfile::NB_IOT_VEHICLE);
        let walk =
            CoveragePlan::walk(Coverage::Normal, Duration::from_secs(1_800), SimRng::new(seed, 1 << 50));
        network.set_coverage(device, Link::NbIot, walk);
        network.plan_outages(
            device,
            &"random every 1h for 1m..5m".parse().unwrap(),
            &Clock::new(),
            s(86_400),
        );
        let mut seen = Vec::new();
        for minute in 0..1_440 {
            network.send(s(minute * 60), device, SERVER.into(), vec![0; 97]);
            seen.extend(run_until(&mut network, s(minute * 60 + 59)).into_iter().map(|d| (d.at, d.from)));
        }
        (seen, *network.traffic(device))
    };
    let (seen, traffic) = run(3);
    assert_eq!((seen, traffic), run(3));
    assert_ne!(traffic, run(4).1);
    let dropped = traffic.uplink.dropped;
    assert!(dropped.lost.packets > 20 && dropped.partitioned.packets > 20, "{dropped:?}");
}
