//! How soon things are where they should be, on `cat-m1` with the round trip fixed at its middle: 200 ms.

use sim::link_profiles::PipeProfile;

use super::*;

const ROUND_TRIP_MS: u64 = 200;

/// `cat-m1` without loss, and with each delay at the middle of its range.
fn steady() -> LinkProfile {
    let middle = |pipe: PipeProfile| PipeProfile {
        latency_us: pipe.latency_us + pipe.jitter_us / 2,
        jitter_us: 0,
        ..pipe
    };
    let profile = cat_m1();
    LinkProfile { uplink: middle(profile.uplink), downlink: middle(profile.downlink), ..profile }
}

/// How long the link was busy with what it carried meanwhile, in milliseconds, rounded up: both directions one after the
/// other.
fn serialisation_ms(world: &World, device: NodeId, before: (u64, u64)) -> u64 {
    let (up, down) = carried(world, device);
    ((up - before.0) * 8).div_ceil(93) + ((down - before.1) * 8).div_ceil(75)
}

fn carried(world: &World, device: NodeId) -> (u64, u64) {
    let traffic = world.network().traffic(device);
    (traffic.uplink.offered.ip_bytes, traffic.downlink.offered.ip_bytes)
}

/// Durable on the device's flash (5 ms), on the way (66 bytes: 6 ms, then 120 ms), and on the aggregator's disk (2 ms).
#[test]
fn a_warm_update_is_durable_within_one_and_a_half_round_trips() {
    let (mut world, device) = connected(1, Device::new(steady(), "pump-1").without_receipts());
    world.set(device, "pump/pressure", 1_i64).unwrap();
    world.run_for(Duration::from_secs(5)); // the radio stays up for ten
    let (begun, before) = (world.now(), carried(&world, device));
    world.set(device, "pump/pressure", 2_i64).unwrap();
    let durable_ms = world.run_until_converged(a_minute()).unwrap().since(begun).as_millis() as u64;
    assert!(
        durable_ms <= ROUND_TRIP_MS * 3 / 2 + serialisation_ms(&world, device, before),
        "{durable_ms} ms"
    );
    assert_eq!(durable_ms, 132);

    let heard_before = world.receipts().len();
    world.run_for(Duration::from_secs(5));
    let receipt_ms: Vec<u128> = world.receipts()[heard_before..].iter().map(Duration::as_millis).collect();
    assert_eq!(receipt_ms, [241], "the device knows it a downlink and the delay of an acknowledgement later");
}

/// From sleep there is the wake-up of the radio in front, and nothing else.
#[test]
fn an_update_from_sleep_waits_for_the_radio_only() {
    let (mut world, device) = connected(1, Device::new(steady(), "pump-1").without_receipts());
    let begun = world.now();
    world.set(device, "pump/pressure", 2_i64).unwrap();
    let durable_ms = world.run_until_converged(a_minute()).unwrap().since(begun).as_millis();
    assert_eq!(durable_ms, 633);
}

/// A day offline in which each of a hundred cells changed; returns when the first packet left after it, and how long it
/// took from there until the aggregator had everything on its disk, both in milliseconds, with the time on the link.
fn after_a_day(come_back: fn(&mut World, NodeId)) -> (u64, u64) {
    let (mut world, device) = connected(1, Device::new(steady(), "pump-1").without_receipts());
    world.act(Action::Cut(device, Cut::Both));
    for n in 0..100_i64 {
        world.run_for(Duration::from_secs(864));
        world.set(device, &format!("pump/{n}"), n - 50).unwrap();
    }
    let before = carried(&world, device);
    come_back(&mut world, device);
    while carried(&world, device) == before {
        world.run_for(Duration::from_millis(1));
    }
    let begun = world.now();
    let converged = world.run_until_converged(a_minute()).unwrap();
    let took_ms = converged.since(begun).as_millis() as u64;
    (took_ms, serialisation_ms(&world, device, before))
}

/// The wake-up, a round trip for the handshake, half a one for the cells: they go with the end of the handshake.
#[test]
fn a_day_offline_is_made_good_within_three_round_trips() {
    let (took_ms, link_ms) = after_a_day(|world, device| world.act(Action::Heal(device)));
    assert!(took_ms <= 500 + 3 * ROUND_TRIP_MS + link_ms, "{took_ms} ms, {link_ms} of them on the link");
    assert_eq!((took_ms, link_ms), (1_164, 343));
}

/// One that was switched off besides has to ask first whether its copy is the newest one.
#[test]
fn a_day_offline_and_a_restart_are_made_good_within_three_round_trips() {
    let (took_ms, link_ms) = after_a_day(|world, device| {
        world.act(Action::Crash(device));
        world.act(Action::Heal(device));
        world.act(Action::Start(device));
    });
    assert!(took_ms <= 500 + 3 * ROUND_TRIP_MS + link_ms, "{took_ms} ms, {link_ms} of them on the link");
    assert_eq!((took_ms, link_ms), (1_251, 355));
}
