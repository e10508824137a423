//! What an application is told: each event is provoked here, and what must not raise one does not.

use crate::common::{Side, connect, disconnect, path, settle};
use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::limits::{CONFLICT_LEN, CONFLICTS_HEAP_MAX};
use crdt_core::{Conflict, Content, Event, Fixed, Heap, Memory, Refusal, Resource, Role, Stamp, Time, Value};

type Small = Fixed<Cells<64>, Bytes<4096>, Replicas<4>>;

const HOUR_MS: u64 = 60 * 60 * 1000;

fn pair<S: Memory>() -> (Side<S>, Side<Heap>) {
    (Side::new(1, Role::Member), Side::new(2, Role::Aggregator))
}

/// Both have `pump/3/setpoint`, know of each other what they have, and are not connected.
fn settled_pair<S: Memory>() -> (Side<S>, Side<Heap>) {
    let (mut device, mut cloud) = pair();
    device.set("pump/3/setpoint", 4.0);
    device.replica.request_acknowledgement();
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    device.events.clear();
    cloud.events.clear();
    device.now_ms += 1_000;
    cloud.now_ms += 1_000;
    (device, cloud)
}

fn meet<A: Memory, B: Memory>(device: &mut Side<A>, cloud: &mut Side<B>) {
    connect(device, cloud);
    settle(device, cloud);
}

fn later<A: Memory, B: Memory>(device: &mut Side<A>, cloud: &mut Side<B>) {
    device.now_ms += HOUR_MS;
    cloud.now_ms += HOUR_MS;
}

fn conflicts<S: Memory>(side: &mut Side<S>) -> Vec<Conflict<S>> {
    std::iter::from_fn(|| side.replica.take_conflict()).collect()
}

fn told<S: Memory>(side: &Side<S>) -> u64 {
    side.events.iter().map(|e| if let Event::Conflicts { cells } = e { *cells } else { 0 }).sum()
}

fn stamp<S: Memory>(side: &Side<S>, now_ms: u64) -> Stamp {
    Stamp::new(Time::from_clock_ms(now_ms), side.replica.id())
}

// ---- changed ----

#[test]
fn what_a_peer_changed_is_told_once_and_own_writes_are_not() {
    let (mut device, mut cloud) = settled_pair::<Heap>();
    device.set("own", 1);
    device.delete("own");
    device.poll();
    assert_eq!(device.events, []);
    let before = device.replica.document().seq();
    cloud.set("a", 1);
    cloud.set("b", 2);
    cloud.delete("pump/3");
    connect(&mut device, &mut cloud);
    cloud.frame_len = 256;
    settle(&mut device, &mut cloud);
    let since =
        device.events.iter().find_map(|e| if let Event::Changed { since } = e { Some(*since) } else { None });
    assert_eq!(since, Some(before), "{:?}", device.events);
    let changes: Vec<_> = device
        .replica
        .document()
        .changes_since(before)
        .map(|cell| (cell.path.to_owned(), cell.is_live()))
        .collect();
    assert_eq!(changes, [("a".to_owned(), true), ("b".to_owned(), true), ("pump/3".to_owned(), false)]);
    device.events.clear();
    device.replica.request_acknowledgement();
    settle(&mut device, &mut cloud);
    assert!(!device.events.iter().any(|e| matches!(e, Event::Changed { .. })), "{:?}", device.events);
}

#[test]
fn changes_of_several_frames_are_one_event_until_it_is_taken() {
    let (mut device, mut cloud) = settled_pair::<Heap>();
    meet(&mut device, &mut cloud);
    device.events.clear();
    let before = device.replica.document().seq();
    for value in 0..40 {
        cloud.set("a", value);
        for frame in cloud.poll() {
            device.take(&frame).unwrap();
        }
    }
    device.poll();
    let changed: Vec<_> = device.events.iter().filter(|e| matches!(e, Event::Changed { .. })).collect();
    assert_eq!(changed, [&Event::Changed { since: before }]);
}

// ---- conflicts ----

#[test]
fn an_offline_edit_that_loses_is_told_with_both_values_writers_and_times() {
    let (mut device, mut cloud) = settled_pair::<Heap>();
    later(&mut device, &mut cloud);
    device.set("pump/3/setpoint", 4.5);
    let lost = stamp(&device, device.now_ms);
    cloud.now_ms += 10;
    cloud.set("pump/3/setpoint", 5.0);
    let won = stamp(&cloud, cloud.now_ms);
    meet(&mut device, &mut cloud);
    assert_eq!((told(&device), told(&cloud)), (1, 0));
    let all = conflicts(&mut device);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].path(), "pump/3/setpoint");
    assert_eq!((all[0].lost().content, all[0].lost().stamp), (Content::Value(Value::F64(4.5)), lost));
    assert_eq!((all[0].won().content, all[0].won().stamp), (Content::Value(Value::F64(5.0)), won));
    assert!(all[0].lost().is_whole() && all[0].won().is_whole());
    assert_eq!(device.replica.document().get(path("pump/3/setpoint")), Some(Value::F64(5.0)));
    assert!(device.replica.take_conflict().is_none() && device.replica.dropped_conflicts() == 0);
}

#[test]
fn an_edit_of_the_aggregator_that_loses_is_told_there() {
    let (mut device, mut cloud) = settled_pair::<Heap>();
    later(&mut device, &mut cloud);
    cloud.set("pump/3/setpoint", 5.0);
    device.now_ms += 10;
    device.set("pump/3/setpoint", 4.5);
    meet(&mut device, &mut cloud);
    assert_eq!((told(&device), told(&cloud)), (0, 1));
    assert_eq!(conflicts(&mut cloud)[0].lost().content, Content::Value(Value::F64(5.0)));
}

#[test]
fn writes_that_cross_in_an_open_session_are_a_conflict_and_answers_are_none() {
    let (mut device, mut cloud) = settled_pair::<Heap>();
    meet(&mut device, &mut cloud);
    for round in 0..20 {
        later(&mut device, &mut cloud);
        device.set("pump/3/setpoint", f64::from(round));
        settle(&mut device, &mut cloud);
        later(&mut device, &mut cloud);
        cloud.set("pump/3/setpoint", 0.5);
        settle(&mut device, &mut cloud);
    }
    assert_eq!((told(&device), told(&cloud)), (0, 0), "each had seen the other's");
    device.set("pump/3/setpoint", 1.5);
    cloud.now_ms += 10;
    cloud.set("pump/3/setpoint", 2.5);
    settle(&mut device, &mut cloud);
    assert_eq!((told(&device), told(&cloud)), (1, 0));
    assert_eq!(conflicts(&mut device)[0].lost().content, Content::Value(Value::F64(1.5)));
}

/// The first flight brings an edit to the aggregator before that opens: so its Open covers the edit, whether the
/// aggregator's own write is older or an answer to it.
#[test]
fn an_answer_to_the_first_flight_is_no_conflict() {
    let (mut device, mut cloud) = settled_pair::<Heap>();
    later(&mut device, &mut cloud);
    device.set("pump/3/setpoint", 4.5);
    meet(&mut device, &mut cloud);
    later(&mut device, &mut cloud);
    cloud.set("pump/3/setpoint", 5.0);
    settle(&mut device, &mut cloud);
    assert_eq!(device.replica.document().get(path("pump/3/setpoint")), Some(Value::F64(5.0)));
    assert_eq!((told(&device), told(&cloud)), (0, 0));
}

#[test]
fn what_the_aggregator_had_acknowledged_it_had_seen() {
    let (mut device, mut cloud) = settled_pair::<Heap>();
    later(&mut device, &mut cloud);
    cloud.set("pump/3/setpoint", 5.0);
    meet(&mut device, &mut cloud);
    assert_eq!(device.replica.document().get(path("pump/3/setpoint")), Some(Value::F64(5.0)));
    assert_eq!((told(&device), told(&cloud)), (0, 0));
}

#[test]
fn equal_values_and_later_writes_of_the_same_writer_are_no_conflict() {
    let (mut device, mut cloud) = settled_pair::<Heap>();
    device.set("pump/3/setpoint", 4.5);
    cloud.set("pump/3/setpoint", 4.5);
    device.set("own", 1);
    meet(&mut device, &mut cloud);
    device.set("own", 2);
    settle(&mut device, &mut cloud);
    assert_eq!((told(&device), told(&cloud)), (0, 0));
}

#[test]
fn edits_of_two_devices_are_told_where_they_meet() {
    let (mut device, mut cloud) = settled_pair::<Heap>();
    let mut other = Side::<Heap>::new(3, Role::Member);
    meet(&mut other, &mut cloud);
    disconnect(&mut other, &mut cloud);
    later(&mut device, &mut cloud);
    other.now_ms = device.now_ms + 10;
    device.set("pump/3/setpoint", 4.5);
    other.set("pump/3/setpoint", 6.5);
    meet(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    meet(&mut other, &mut cloud);
    let all = conflicts(&mut cloud);
    assert_eq!((told(&cloud), all.len()), (1, 1));
    assert_eq!(all[0].lost().stamp.replica, device.replica.id());
    assert_eq!(all[0].won().stamp.replica, other.replica.id());
}

#[test]
fn each_value_below_a_path_that_was_deleted_unseen_is_told() {
    let (mut device, mut cloud) = settled_pair::<Heap>();
    device.set("pump/3/mode", "auto");
    device.set("pump/3/limits/high", 9);
    device.now_ms += 100;
    device.set("pump/3/limits/low", 1);
    cloud.now_ms += 50;
    cloud.delete("pump/3");
    meet(&mut device, &mut cloud);
    assert_eq!(told(&device), 2, "the setpoint was seen, the low limit is newer and stays");
    let mut all = conflicts(&mut device);
    all.sort_by(|a, b| a.path().cmp(b.path()));
    let paths: Vec<_> = all.iter().map(Conflict::path).collect();
    assert_eq!(paths, ["pump/3/limits/high", "pump/3/mode"]);
    for conflict in &all {
        assert_eq!((conflict.won().path, conflict.won().content), ("pump/3", Content::Tombstone));
    }
    assert_eq!(all[1].lost().content, Content::Value(Value::Str("auto")));
}

#[test]
fn more_conflicts_than_are_kept_are_counted() {
    fn lose<S: Memory>(cells: usize) -> Side<S> {
        let (mut device, mut cloud) = settled_pair::<S>();
        for n in 0..cells {
            device.set(&format!("line/{n:03}"), n as i64);
        }
        cloud.set("line/x", 1);
        cloud.now_ms += 500;
        cloud.delete("line");
        meet(&mut device, &mut cloud);
        assert_eq!(told(&device), cells as u64);
        device
    }
    let mut small = lose::<Small>(40);
    assert_eq!((conflicts(&mut small).len(), small.replica.dropped_conflicts()), (2, 38));
    let mut heap = lose::<Heap>(CONFLICTS_HEAP_MAX + 3);
    assert_eq!((conflicts(&mut heap).len(), heap.replica.dropped_conflicts()), (CONFLICTS_HEAP_MAX, 3));
    let events = heap.events.iter().filter(|e| matches!(e, Event::Conflicts { .. })).count();
    assert_eq!(events, 1, "they do not drive other events out");
}

#[test]
fn the_heap_keeps_whole_values_and_fixed_storage_the_beginnings() {
    fn lose<S: Memory>(at: &str, lost: &str, won: &str) -> Conflict<S> {
        let (mut device, mut cloud) = settled_pair::<S>();
        device.set(at, lost);
        cloud.now_ms += 50;
        cloud.set(at, won);
        meet(&mut device, &mut cloud);
        device.replica.take_conflict().unwrap()
    }
    let (long, umlauts) = ("x".repeat(1_000), "\u{e4}".repeat(500));
    let whole = lose::<Heap>("note", &umlauts, &long);
    assert_eq!(whole.lost().content, Content::Value(Value::Str(&umlauts)));
    assert_eq!(whole.won().content, Content::Value(Value::Str(&long)));
    assert!(whole.lost().is_whole() && whole.won().is_whole());

    let cut = lose::<Small>("note", &umlauts, &long);
    let Content::Value(Value::Str(kept)) = cut.lost().content else { panic!("a text") };
    assert!(umlauts.starts_with(kept) && kept.len() > CONFLICT_LEN / 2, "{kept}");
    assert_eq!(cut.lost().full_len, (4, 1_000));
    assert!(!cut.lost().is_whole() && !cut.won().is_whole());
    assert_eq!(cut.path(), "note");

    let short = lose::<Small>("note", "low", "high");
    assert_eq!(short.lost().content, Content::Value(Value::Str("low")));
    assert_eq!(short.won().content, Content::Value(Value::Str("high")));
    assert!(short.lost().is_whole() && short.won().is_whole());

    let deep = ["k".repeat(100), "l".repeat(100)].join("/");
    let far = lose::<Small>(&deep, "low", "high");
    assert!(deep.starts_with(far.path()) && far.path().len() > CONFLICT_LEN / 2);
    assert_eq!(far.lost().full_len.0, deep.len());
    assert!(!far.lost().is_whole());
}

#[test]
fn a_late_write_that_replaces_another_value_is_a_conflict_too() {
    let (mut device, mut cloud) = settled_pair::<Heap>();
    cloud.set("mode", "manual");
    device.now_ms += 50;
    device.set("mode", "auto");
    cloud.now_ms += HOUR_MS;
    cloud.set("x", 1);
    cloud.delete("x");
    cloud.replica.forget_all_tombstones();
    meet(&mut device, &mut cloud);
    assert_eq!(cloud.replica.document().get(path("mode")), Some(Value::Str("auto")));
    assert_eq!(conflicts(&mut cloud)[0].lost().content, Content::Value(Value::Str("manual")));
}

// ---- the others ----

#[test]
fn a_late_write_is_told_with_its_old_and_its_new_stamp() {
    let (mut device, mut cloud) = settled_pair::<Heap>();
    device.set("pump/3/setpoint", 4.5);
    let original = stamp(&device, device.now_ms);
    cloud.now_ms += HOUR_MS;
    cloud.delete("pump/3");
    cloud.replica.forget_all_tombstones();
    meet(&mut device, &mut cloud);
    let late = device.events.iter().chain(&cloud.events).filter_map(|e| match e {
        Event::LateWrite { original, reissued } => Some((*original, *reissued)),
        _ => None,
    });
    let late = late.collect::<Vec<_>>();
    assert!(late.iter().any(|(old, new)| *old == original && *new > original), "{late:?}");
    assert_eq!(cloud.replica.document().get(path("pump/3/setpoint")), Some(Value::F64(4.5)));
    assert_eq!(device.replica.document(), cloud.replica.document());
}

#[test]
fn a_refusal_is_told_on_both_sides_with_the_numbers() {
    let mut device = Side::<Heap>::new(1, Role::Member);
    let mut cloud = Side::<Fixed<Cells<2>, Bytes<64>, Replicas<4>>>::new(2, Role::Aggregator);
    ["a", "b", "c"].into_iter().for_each(|at| device.set(at, 1));
    meet(&mut device, &mut cloud);
    let reason = Refusal::Capacity { what: Resource::Cells, needed: 3, limit: 2 };
    assert!(device.events.iter().any(|e| matches!(e, Event::Refused { reason: r, .. } if *r == reason)));
    assert!(cloud.events.iter().any(|e| matches!(e, Event::RefusedPeer { reason: r, .. } if *r == reason)));
}

#[test]
fn convergence_and_durability_are_told() {
    let (mut device, mut cloud) = settled_pair::<Heap>();
    device.set("a", 1);
    let through = Time::from_clock_ms(device.now_ms);
    meet(&mut device, &mut cloud);
    let converged = |side: &Side<Heap>| side.events.iter().any(|e| matches!(e, Event::Converged { .. }));
    assert!(converged(&device) && converged(&cloud));
    device.replica.request_acknowledgement();
    settle(&mut device, &mut cloud);
    let peer = cloud.peer;
    assert!(device.events.contains(&Event::Acknowledged { peer, through }), "{:?}", device.events);
}
