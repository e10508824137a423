//! Clocks that are ahead, behind, jump or do not exist: nothing is lost, and nobody else's clock is spoilt.

use crate::common::{Side, connect, disconnect, path, settle};
use crdt_core::{Connect, Event, Heap, Moment, Output, Refusal, Role, Value, Write};

const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 365 * 24 * HOUR_MS;

fn pair() -> (Side<Heap>, Side<Heap>) {
    (Side::new(1, Role::Member), Side::new(2, Role::Aggregator))
}

/// Sessions until one stays open and both are silent.
fn sync(device: &mut Side<Heap>, cloud: &mut Side<Heap>) {
    for _ in 0..4 {
        disconnect(device, cloud);
        connect(device, cloud);
        settle(device, cloud);
        if device.session.is_some() && cloud.session.is_some() {
            assert_eq!(device.replica.document(), cloud.replica.document());
            return;
        }
    }
    panic!("no session stays open");
}

fn highest_ms(side: &Side<Heap>) -> u64 {
    side.replica.document().cells().map(|cell| cell.stamp.time.as_ms()).max().unwrap()
}

#[test]
fn a_clock_ten_minutes_ahead_is_refused_by_how_much_and_the_write_comes_again() {
    let (mut device, mut cloud) = pair();
    let first = device.replica.id();
    device.now_ms += 11 * 60_000;
    device.set("a", 1);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    let reason = Refusal::Clock { ahead_ms: 660_000, limit_ms: 600_000 };
    let refused = |e: &Event| matches!(e, Event::Refused { reason: r, .. } if *r == reason);
    assert!(device.events.iter().any(refused), "{:?}", device.events);
    assert_eq!(cloud.replica.document().get(path("a")), None, "nothing of it was applied");
    assert_eq!(device.replica.document().get(path("a")), Some(Value::I64(1)), "it is still with its owner");
    sync(&mut device, &mut cloud);
    assert_eq!(cloud.replica.document().get(path("a")), Some(Value::I64(1)));
    assert!(device.events.iter().any(|e| matches!(e, Event::Forked { from, .. } if *from == first)));
    assert!(highest_ms(&cloud) <= cloud.now_ms + 1_000, "written again by the aggregator's clock");
}

#[test]
fn a_device_that_thinks_it_is_2099_freezes_nobody() {
    let (mut device, mut cloud) = pair();
    device.set("mode", "auto");
    sync(&mut device, &mut cloud);
    device.now_ms += 73 * YEAR_MS;
    device.set("mode", "off");
    device.set("pump/3/setpoint", 4.5);
    device.delete("mode");
    device.set("pump/3", 7);
    sync(&mut device, &mut cloud);
    assert_eq!(cloud.replica.document().get(path("mode")), None);
    assert_eq!(cloud.replica.document().get(path("pump/3")), Some(Value::I64(7)));
    assert!(highest_ms(&cloud) <= cloud.now_ms + 1_000);
    assert!(
        device.replica.document().clock().as_ms() <= cloud.now_ms + 1_000,
        "its own clock is not stuck either"
    );
    // What others write next wins, as it must.
    cloud.now_ms += 1_000;
    device.now_ms += 1_000;
    cloud.set("pump/3", 8);
    settle(&mut device, &mut cloud);
    assert_eq!(device.replica.document().get(path("pump/3")), Some(Value::I64(8)));
    // And its next write is stamped by the corrected clock, though its own still says 2099: nothing is refused.
    device.events.clear();
    device.now_ms += HOUR_MS;
    cloud.now_ms += HOUR_MS;
    device.set("pump/3", 9);
    settle(&mut device, &mut cloud);
    assert_eq!(cloud.replica.document().get(path("pump/3")), Some(Value::I64(9)));
    assert!(!device.events.iter().any(|e| matches!(e, Event::Refused { .. })), "{:?}", device.events);
    assert!(highest_ms(&cloud).abs_diff(cloud.now_ms) < 1_000);
}

#[test]
fn a_forgotten_tombstone_from_the_future_does_not_keep_the_clock_there() {
    let (mut device, mut cloud) = pair();
    device.set("a", 1);
    device.set("b", 1);
    sync(&mut device, &mut cloud);
    device.now_ms += 73 * YEAR_MS;
    device.delete("a");
    assert_eq!(device.replica.forget_all_tombstones(), 1);
    sync(&mut device, &mut cloud);
    assert!(device.replica.document().clock().as_ms() <= cloud.now_ms + 1_000);
    assert!(device.replica.document().horizon().time.as_ms() <= cloud.now_ms + 1_000);
}

/// A neighbour's writes from the future are the neighbour's to write again: whoever holds them is refused, and stays who it is.
#[test]
fn what_a_neighbour_wrote_in_the_future_makes_nobody_fork_for_ever() {
    let (mut device, mut cloud) = (Side::<Heap>::new(1, Role::Mesh), Side::<Heap>::new(2, Role::Aggregator));
    let mut neighbour = Side::<Heap>::new(3, Role::Mesh);
    neighbour.now_ms += 73 * YEAR_MS;
    neighbour.set("n", 1);
    connect(&mut neighbour, &mut device);
    settle(&mut neighbour, &mut device);
    disconnect(&mut neighbour, &mut device);
    for _ in 0..5 {
        connect(&mut device, &mut cloud);
        settle(&mut device, &mut cloud);
        disconnect(&mut device, &mut cloud);
    }
    let refused = |e: &&Event| matches!(e, Event::Refused { reason: Refusal::Clock { .. }, .. });
    assert!(device.events.iter().filter(refused).count() > 0, "{:?}", device.events);
    assert!(!device.events.iter().any(|e| matches!(e, Event::Forked { .. })), "{:?}", device.events);
    assert_eq!(device.replica.document().get(path("n")), Some(Value::I64(1)), "it is still here");
}

#[test]
fn a_clock_that_jumps_back_or_stands_at_1970_still_orders_its_own_writes() {
    let (mut device, mut cloud) = pair();
    device.set("a", 1);
    sync(&mut device, &mut cloud);
    let before = device.now_ms;
    device.now_ms = 1_000;
    device.set("a", 2);
    assert!(highest_ms(&device) > before - 1, "newer than what it had seen");
    sync(&mut device, &mut cloud);
    assert_eq!(cloud.replica.document().get(path("a")), Some(Value::I64(2)));
    let corrected = |e: &&Event| matches!(e, Event::ClockCorrected { by_ms: Some(_), .. });
    assert_eq!(device.events.iter().filter(corrected).count(), 1, "{:?}", device.events);
    cloud.now_ms += HOUR_MS;
    device.now_ms += HOUR_MS;
    device.set("a", 3);
    assert!(highest_ms(&device).abs_diff(cloud.now_ms) < 1_000, "the aggregator's time, from the session");
}

#[test]
fn a_device_without_a_clock_is_told_the_time() {
    let (mut device, mut cloud) = pair();
    let moment = Moment::UNKNOWN;
    device.replica.update(moment, &[Write::set(path("a"), 1)]).unwrap();
    assert_eq!(highest_ms(&device), 1, "nothing but order");
    connect(&mut device, &mut cloud);
    let mut buffer = [0; 1024];
    let mut told = None;
    for _ in 0..100 {
        while let Some(output) = device.replica.poll_output(Moment::UNKNOWN, &mut buffer) {
            match output {
                Output::Persist => {
                    let token = device.replica.take_unsaved(|_| {});
                    device.replica.handle_persisted(token);
                }
                Output::Transmit { len, .. } => cloud.take(&buffer[..len]).unwrap(),
                Output::Event(Event::ClockCorrected { now, by_ms: None }) => told = Some(now),
                Output::Event(_) | Output::Close { .. } => {}
            }
        }
        for frame in cloud.poll() {
            let session = device.session.unwrap();
            device.replica.handle_frame(Moment::UNKNOWN, session, &frame).unwrap();
        }
    }
    assert_eq!(told.map(crdt_core::Time::as_ms), Some(cloud.now_ms));
    assert_eq!(cloud.replica.document().get(path("a")), Some(Value::I64(1)));
}

#[test]
fn a_clock_within_the_tolerance_is_left_alone() {
    let (mut device, mut cloud) = pair();
    device.now_ms += 4 * 60_000;
    device.set("a", 1);
    sync(&mut device, &mut cloud);
    assert_eq!(device.replica.clock_correction_ms(), 0);
    assert!(!device.events.iter().any(|e| matches!(e, Event::ClockCorrected { .. })));
}

#[test]
fn a_clock_that_jumps_again_is_corrected_again() {
    let (mut device, mut cloud) = pair();
    for hours in [5, 3, 0, 9] {
        device.now_ms = cloud.now_ms + hours * HOUR_MS;
        sync(&mut device, &mut cloud);
        assert_eq!(device.replica.clock_correction_ms(), -((hours * HOUR_MS) as i64), "{hours} h ahead");
        cloud.now_ms += HOUR_MS;
        device.now_ms += HOUR_MS;
        device.set("a", hours as i64);
        assert!(highest_ms(&device).abs_diff(cloud.now_ms) < 1_000, "{hours} h ahead");
    }
}

/// Early input may be a replay, years old; and somebody else's aggregator has no say here.
#[test]
fn only_the_own_aggregator_sets_a_clock_and_only_when_it_is_proven_to_be_there() {
    let early = |peer| Connect::initiator(peer, Role::Aggregator, 0).early();
    let to_a_member = |peer| Connect::initiator(peer, Role::Member, 0);
    let connections: [&dyn Fn(crdt_core::PeerId) -> Connect; 2] = [&early, &to_a_member];
    for connect in connections {
        let (mut device, mut cloud) = pair();
        device.now_ms += HOUR_MS;
        device.session = Some(device.replica.connect(connect(cloud.peer)).unwrap());
        let answers = Connect::responder(device.peer, Role::Member, 0);
        cloud.session = Some(cloud.replica.connect(answers).unwrap());
        settle(&mut device, &mut cloud);
        assert_eq!(device.replica.clock_correction_ms(), 0);
        assert!(!device.events.iter().any(|e| matches!(e, Event::ClockCorrected { .. })));
    }
}

/// The frame as a whole is refused: what stands before the stamp from the future in it, too.
#[test]
fn what_came_with_a_stamp_from_the_future_is_not_applied_either() {
    let (mut device, mut cloud) = pair();
    device.set("a", 1);
    device.now_ms += 11 * 60_000;
    device.set("b", 2);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    assert_eq!(cloud.replica.document().cells().count(), 0);
    sync(&mut device, &mut cloud);
    for (at, value) in [("a", 1), ("b", 2)] {
        assert_eq!(cloud.replica.document().get(path(at)), Some(Value::I64(value)));
    }
}
