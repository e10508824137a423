//! Tombstones are forgotten where capacity is short; nothing else is.

use crate::common::{Side, connect, disconnect, path, settle};
use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{Event, Fixed, Heap, Memory, Refusal, Resource, Role, Value, Write};

type Tiny = Fixed<Cells<16>, Bytes<512>, Replicas<4>>;

/// A device whose cells are all tombstones, which the cloud has too.
fn full_of_tombstones() -> (Side<Tiny>, Side<Heap>) {
    let (mut device, mut cloud) = (Side::<Tiny>::new(1, Role::Member), Side::new(2, Role::Aggregator));
    for n in 0..16 {
        let at = format!("job/{n:02}");
        device.set(&at, n);
        device.now_ms += 1;
        device.delete(&at);
    }
    cloud.now_ms = device.now_ms;
    assert_eq!(device.replica.document().cells().filter(|c| c.content.is_tombstone()).count(), 16);
    (device, cloud)
}

fn meet<A: Memory, B: Memory>(device: &mut Side<A>, cloud: &mut Side<B>) {
    connect(device, cloud);
    settle(device, cloud);
}

fn forgotten<S: Memory>(side: &mut Side<S>) -> usize {
    side.poll();
    side.events.iter().map(|e| if let Event::Forgotten { tombstones } = e { *tombstones } else { 0 }).sum()
}

#[test]
fn tombstones_make_room_for_a_write_the_oldest_first() {
    let (mut device, mut cloud) = full_of_tombstones();
    device.set("job/new", 1);
    assert_eq!(forgotten(&mut device), 4, "no more than a quarter where one is enough");
    let left: Vec<_> = device.replica.document().cells().map(|c| c.path.as_str().to_owned()).collect();
    assert_eq!((left.len(), left[0].as_str()), (13, "job/04"));
    meet(&mut device, &mut cloud);
    assert_eq!(device.replica.document().get(path("job/new")), Some(Value::I64(1)));
    assert_eq!(device.replica.document().fingerprint(), cloud.replica.document().fingerprint());
}

#[test]
fn tombstones_make_room_for_bytes_and_for_whole_structs() {
    let (mut device, _) = full_of_tombstones();
    let long = [b'x'; 430];
    device.set("long", &long[..]);
    let left = device.replica.document().size();
    assert!(left.bytes <= 512 && left.cells > 1, "{left:?}");
    device.delete("long");

    let (mut device, _) = full_of_tombstones();
    let moment = device.moment();
    device
        .replica
        .write(moment, path("pair"), &std::collections::BTreeMap::from([("a", 1), ("b", 2)]))
        .unwrap();
    assert_eq!(device.replica.document().get(path("pair/b")), Some(Value::I64(2)));
    assert!(forgotten(&mut device) >= 2);
}

#[test]
fn what_does_not_fit_even_so_is_refused_and_nothing_is_forgotten() {
    let (mut device, _) = full_of_tombstones();
    let moment = device.moment();
    let before = device.replica.document().size();
    assert!(device.replica.update(moment, &[Write::set(path("job/00"), &[0; 600][..])]).is_err());
    assert_eq!(device.replica.document().size(), before);
    assert_eq!(forgotten(&mut device), 0);
}

#[test]
fn tombstones_make_room_for_what_comes_in() {
    let (mut device, mut cloud) = full_of_tombstones();
    meet(&mut device, &mut cloud);
    for n in 0..12 {
        cloud.set(&format!("task/{n:02}"), n);
    }
    settle(&mut device, &mut cloud);
    assert_eq!(device.replica.document().iter(Some(path("task"))).count(), 12);
    assert!(forgotten(&mut device) >= 12);
    assert!(!device.events.iter().any(|e| matches!(e, Event::RefusedPeer { .. })), "{:?}", device.events);
    assert_eq!(device.replica.document().fingerprint(), cloud.replica.document().fingerprint());
}

/// The cloud, short of capacity, forgot the delete of what an absent device still has.
#[test]
fn an_absent_device_converges_after_tombstones_made_room_and_its_edit_survives() {
    let mut cloud = Side::<Tiny>::new(2, Role::Aggregator);
    let mut device = Side::<Heap>::new(1, Role::Member);
    ["old", "kept", "edited"].into_iter().for_each(|at| device.set(at, 1));
    meet(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    device.events.clear();
    device.now_ms += 10;
    device.set("edited", 2);
    device.now_ms += 3_600_000;
    cloud.now_ms += 3_600_000;
    cloud.delete("old");
    cloud.delete("edited");
    for n in 0..20 {
        cloud.set(&format!("job/{n:02}"), n);
        cloud.delete(&format!("job/{n:02}"));
        for live in 0..8 {
            cloud.set(&format!("live/{live}"), n);
        }
    }
    assert!(forgotten(&mut cloud) > 0);
    assert!(cloud.replica.document().cells().all(|c| c.path.as_str() != "edited"), "its delete is forgotten");
    meet(&mut device, &mut cloud);
    for side in [device.replica.document().get(path("old")), cloud.replica.document().get(path("old"))] {
        assert_eq!(side, None);
    }
    for side in [device.replica.document().get(path("edited")), cloud.replica.document().get(path("edited"))]
    {
        assert_eq!(side, Some(Value::I64(2)), "an offline edit is never dropped silently");
    }
    let late =
        device.events.iter().chain(&cloud.events).filter(|e| matches!(e, Event::LateWrite { .. })).count();
    assert!(late > 0);
    assert_eq!(device.replica.document().fingerprint(), cloud.replica.document().fingerprint());
}

#[test]
fn without_an_active_member_nothing_is_stable() {
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    cloud.set("a", 1);
    cloud.delete("a");
    assert_eq!(cloud.forget_stable(), 0, "no member is known");
    let mut device = Side::<Heap>::new(1, Role::Member);
    meet(&mut device, &mut cloud);
    cloud.replica.request_acknowledgement();
    settle(&mut device, &mut cloud);
    cloud.replica.deactivate(device.peer);
    assert_eq!(cloud.forget_stable(), 0, "none is left");
    disconnect(&mut device, &mut cloud);
    meet(&mut device, &mut cloud);
    assert_eq!(cloud.forget_stable(), 1, "it is back, and has it");
}

/// A refusal stops only what is refused. That an acknowledgement which crosses it is not taken for damage either is what the
/// random histories of small devices check.
#[test]
fn a_batch_that_does_not_fit_is_not_taken_for_damage() {
    let (mut device, mut cloud) =
        (Side::<Tiny>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    device.set("a", 1);
    cloud.set("b", "x".repeat(600).as_str());
    connect(&mut device, &mut cloud);
    for at in ["c", "d"] {
        settle(&mut device, &mut cloud);
        device.set(at, 1);
        device.replica.request_acknowledgement();
        cloud.replica.request_acknowledgement();
    }
    settle(&mut device, &mut cloud);
    let is_room = |reason: &Refusal| matches!(reason, Refusal::Capacity { what: Resource::Bytes, .. });
    assert!(device.events.iter().any(|e| matches!(e, Event::RefusedPeer { reason, .. } if is_room(reason))));
    assert!(cloud.events.iter().any(|e| matches!(e, Event::Refused { reason, .. } if is_room(reason))));
    let damaged = |e: &Event| matches!(e, Event::Damaged { .. });
    assert!(!device.events.iter().any(damaged) && !cloud.events.iter().any(damaged));
    let acknowledged = device.replica.acknowledged_through(cloud.peer);
    assert_eq!(acknowledged, device.replica.document().clock(), "what it gives is taken all the same");
    assert_eq!(cloud.replica.document().get(path("d")), Some(Value::I64(1)));
    // Room is made, and the next session carries all.
    cloud.delete("b");
    disconnect(&mut device, &mut cloud);
    meet(&mut device, &mut cloud);
    assert_eq!(device.replica.document(), cloud.replica.document());
}
