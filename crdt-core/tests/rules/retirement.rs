//! Replica ids that nobody uses any more leave the version vectors, and nobody who was away is misled by it.

use crate::common::{Image, Side, connect, disconnect, path, settle};
use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{Connect, Event, Fixed, Heap, Memory, ReplicaId, Role, Value};

fn meet<A: Memory, B: Memory>(device: &mut Side<A>, cloud: &mut Side<B>) -> usize {
    device.now_ms = device.now_ms.max(cloud.now_ms) + 1_000;
    cloud.now_ms = device.now_ms;
    connect(device, cloud);
    let bytes = settle(device, cloud);
    disconnect(device, cloud);
    bytes
}

/// Two meetings: in the second the cloud learns what the device has, and tells it which ids have retired.
fn meet_and_retire<A: Memory>(device: &mut Side<A>, cloud: &mut Side<Heap>) {
    meet(device, cloud);
    connect(device, cloud);
    cloud.replica.request_acknowledgement();
    settle(device, cloud);
    cloud.forget_stable();
    settle(device, cloud);
    disconnect(device, cloud);
}

fn open_len<A: Memory, B: Memory>(device: &mut Side<A>, cloud: &mut Side<B>) -> usize {
    connect(device, cloud);
    let len = device.poll_frames(1).first().map_or(0, Vec::len);
    disconnect(device, cloud);
    len
}

/// The device with this key lost its storage: it begins again, under an id that was never used.
fn wiped(key: u8, life: u64) -> Side<Heap> {
    Side::with_id(key, Role::Member, ReplicaId::new(0x0bad_cafe_0000_0000 + life))
}

#[test]
fn a_hundred_lives_of_a_device_grow_its_open_by_a_few_bytes() {
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    let mut watcher = Side::<Heap>::new(3, Role::Member);
    let (mut first, mut last) = (0, 0);
    for life in 0..100 {
        let mut device = wiped(1, life);
        meet(&mut device, &mut cloud);
        device.set("status", life as i64);
        meet_and_retire(&mut device, &mut cloud);
        meet_and_retire(&mut watcher, &mut cloud);
        // A peer that does not know this copy yet is told all of it.
        let mut stranger = Side::<Heap>::new(9, Role::Aggregator);
        let len = open_len(&mut device, &mut stranger);
        first = if life == 0 { len } else { first };
        last = len;
        assert_eq!(watcher.replica.document().get(path("status")), Some(Value::I64(life as i64)));
    }
    let listed = cloud.replica.document().version_vector().len();
    assert!(listed <= 4, "{listed} replicas are listed");
    assert!(watcher.replica.document().version_vector().len() <= 4);
    assert!(last <= first + 32, "the Open has grown from {first} to {last} bytes");
    assert_eq!(cloud.replica.retired_ids().count(), 99);
}

#[test]
fn a_reconnect_after_retirements_is_as_short_as_before() {
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    let mut device = wiped(1, 0);
    device.set("a", 1);
    meet_and_retire(&mut device, &mut cloud);
    let before = meet(&mut device, &mut cloud);
    let mut device = wiped(1, 1);
    device.set("a", 2);
    meet_and_retire(&mut device, &mut cloud);
    meet_and_retire(&mut device, &mut cloud);
    assert_eq!(cloud.replica.retired_ids().count(), 1);
    let after = meet(&mut device, &mut cloud);
    assert!(after <= before, "payload bytes of an idle reconnect: {before} before, {after} after");
}

/// What the first life wrote, the second deletes; the id of the first retires. Gives a device that has seen only the first.
fn sleeper(wakes_with: impl Fn(&mut Side<Heap>)) -> (Side<Heap>, Side<Heap>) {
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    let mut away = Side::<Heap>::new(3, Role::Member);
    let mut device = wiped(1, 0);
    device.set("valve", "open");
    device.set("mode", 1);
    meet(&mut device, &mut cloud);
    meet(&mut away, &mut cloud);
    wakes_with(&mut away);
    cloud.replica.deactivate(away.peer);
    let mut device = wiped(1, 1);
    meet(&mut device, &mut cloud);
    device.delete("valve");
    device.set("mode", 2);
    meet_and_retire(&mut device, &mut cloud);
    // The second life deleted, too, and is gone: its delete is known by nothing but the retirement.
    let mut device = wiped(1, 2);
    meet(&mut device, &mut cloud);
    device.set("mode", 3);
    meet_and_retire(&mut device, &mut cloud);
    meet_and_retire(&mut device, &mut cloud);
    assert_eq!(cloud.replica.retired_ids().count(), 2);
    (away, cloud)
}

#[test]
fn a_device_from_the_drawer_learns_what_a_retired_id_deleted() {
    let (mut away, mut cloud) = sleeper(|_| {});
    meet(&mut away, &mut cloud);
    assert_eq!(away.replica.document().get(path("valve")), None);
    assert_eq!(cloud.replica.document().get(path("valve")), None);
    assert_eq!(away.replica.document().get(path("mode")), Some(Value::I64(3)));
    assert_eq!(away.replica.document().fingerprint(), cloud.replica.document().fingerprint());
    meet(&mut away, &mut cloud);
    assert_eq!(away.replica.document().version_vector(), cloud.replica.document().version_vector());
    assert!(
        away.events.iter().all(|event| !matches!(event, Event::Damaged { .. } | Event::LateWrite { .. }))
    );
}

#[test]
fn its_own_edit_from_the_drawer_is_kept() {
    let (mut away, mut cloud) = sleeper(|away| away.set("note", "offline"));
    meet(&mut away, &mut cloud);
    meet(&mut away, &mut cloud);
    assert_eq!(cloud.replica.document().get(path("note")), Some(Value::Str("offline")));
    assert_eq!(cloud.replica.document().get(path("valve")), None);
    assert_eq!(away.replica.document(), cloud.replica.document());
}

#[test]
fn cells_of_a_retired_id_that_were_never_claimed_are_dropped() {
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    let mut device = wiped(1, 0);
    for n in 0..300 {
        device.set(&format!("log/{n:03}"), n);
    }
    meet(&mut device, &mut cloud);
    // Another device gets a part of it, no claim, and goes into the drawer.
    let mut away = Side::<Heap>::new(3, Role::Member);
    cloud.frame_len = 512;
    connect(&mut away, &mut cloud);
    for frame in away.poll() {
        cloud.take(&frame).unwrap();
    }
    for frame in cloud.poll_frames(2) {
        away.take(&frame).unwrap();
    }
    // The rest was under way when the connection broke.
    disconnect(&mut away, &mut cloud);
    assert!(away.replica.document().size().cells > 10 && away.replica.document().version_vector().is_empty());
    cloud.replica.deactivate(away.peer);
    let mut device = wiped(1, 1);
    meet(&mut device, &mut cloud);
    device.delete("log");
    meet_and_retire(&mut device, &mut cloud);
    meet_and_retire(&mut device, &mut cloud);
    assert_eq!(cloud.replica.retired_ids().count(), 1);
    meet(&mut away, &mut cloud);
    meet(&mut away, &mut cloud);
    assert_eq!(away.replica.document().size().cells, 0);
    assert_eq!(cloud.replica.document().size().cells, 0);
}

#[test]
fn an_old_copy_that_opens_under_a_retired_id_forks_and_loses_nothing() {
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    let mut device = wiped(1, 0);
    device.set("a", 1);
    meet(&mut device, &mut cloud);
    let image = Image::of(&device);
    device.set("a", 2);
    meet(&mut device, &mut cloud);
    let mut second = wiped(1, 1);
    meet(&mut second, &mut cloud);
    second.set("a", 3);
    meet_and_retire(&mut second, &mut cloud);
    meet_and_retire(&mut second, &mut cloud);
    assert_eq!(cloud.replica.retired_ids().count(), 1);
    // The first life comes back from an image, and writes before it connects.
    let mut old = image.restore(&device);
    old.now_ms = cloud.now_ms + 1;
    old.set("b", 4);
    meet(&mut old, &mut cloud);
    meet(&mut old, &mut cloud);
    assert!(old.events.iter().any(|event| matches!(event, Event::Forked { .. })));
    assert_eq!(cloud.replica.document().get(path("b")), Some(Value::I64(4)));
    assert_eq!(cloud.replica.document().get(path("a")), Some(Value::I64(3)));
    assert_eq!(old.replica.document(), cloud.replica.document());
}

#[test]
fn what_is_retired_survives_a_restart_of_the_aggregator() {
    let (mut away, cloud) = sleeper(|_| {});
    let before: Vec<_> = cloud.replica.retired_ids().collect();
    let mut cloud = Image::of(&cloud).restore_as(Role::Aggregator, &cloud);
    assert_eq!(cloud.replica.retired_ids().collect::<Vec<_>>(), before);
    meet(&mut away, &mut cloud);
    assert_eq!(away.replica.document().get(path("valve")), None);
    assert_eq!(away.replica.document().fingerprint(), cloud.replica.document().fingerprint());
}

#[test]
fn many_retirements_go_in_several_short_frames() {
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    let mut watcher = Side::<Heap>::new(3, Role::Member);
    for life in 0..60 {
        let mut device = wiped(1, life);
        meet(&mut device, &mut cloud);
        device.set("status", life as i64);
        meet(&mut device, &mut cloud);
        meet(&mut device, &mut cloud);
    }
    meet(&mut watcher, &mut cloud);
    assert_eq!(watcher.replica.document().version_vector().len(), 60);
    cloud.frame_len = 300;
    meet_and_retire(&mut watcher, &mut cloud);
    meet_and_retire(&mut watcher, &mut cloud);
    assert_eq!(cloud.replica.retired_ids().count(), 59);
    assert_eq!(watcher.replica.document().version_vector(), cloud.replica.document().version_vector());
}

#[test]
fn what_an_id_deleted_that_is_in_use_again_still_reaches_the_drawer() {
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    let (mut other, mut away) = (Side::<Heap>::new(4, Role::Member), Side::<Heap>::new(3, Role::Member));
    cloud.set("valve", "open");
    other.set("mode", 1);
    meet(&mut other, &mut cloud);
    meet(&mut away, &mut cloud);
    cloud.replica.deactivate(away.peer);
    // One device deletes, and lives again; later another one does, of which all is known in the drawer.
    let mut first = wiped(1, 0);
    meet(&mut first, &mut cloud);
    let image = Image::of(&first);
    first.delete("valve");
    meet(&mut first, &mut cloud);
    let mut second = wiped(1, 1);
    meet_and_retire(&mut second, &mut cloud);
    let mut other = Side::<Heap>::with_id(4, Role::Member, ReplicaId::new(0x44));
    meet(&mut other, &mut cloud);
    other.set("mode", 2);
    meet_and_retire(&mut second, &mut cloud);
    meet_and_retire(&mut other, &mut cloud);
    meet_and_retire(&mut second, &mut cloud);
    meet_and_retire(&mut other, &mut cloud);
    let retired: Vec<_> = cloud.replica.retired_ids().map(|retired| retired.replica).collect();
    assert_eq!(retired, [first.replica.id(), Side::<Heap>::new(4, Role::Member).replica.id()]);
    // An old copy of the first comes back.
    let mut old = image.restore(&first);
    old.set("note", 1);
    meet(&mut old, &mut cloud);
    let mut cloud = Image::of(&cloud).restore_as(Role::Aggregator, &cloud);
    meet(&mut away, &mut cloud);
    meet(&mut away, &mut cloud);
    assert_eq!(away.replica.document().get(path("valve")), None);
    assert_eq!(cloud.replica.document().get(path("valve")), None);
    assert!(!away.events.iter().any(|event| matches!(event, Event::Damaged { .. })));
}

#[test]
fn a_small_device_that_is_full_of_ids_learns_which_have_retired_before_it_needs_the_room() {
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    let mut small = Side::<Fixed<Cells<16>, Bytes<512>, Replicas<4>>>::new(3, Role::Member);
    small.set("own", 1);
    for life in 0..3 {
        let mut device = wiped(1, life);
        meet(&mut device, &mut cloud);
        device.set("status", life as i64);
        meet(&mut device, &mut cloud);
        meet(&mut device, &mut cloud);
        meet(&mut small, &mut cloud);
        meet(&mut small, &mut cloud);
    }
    assert_eq!(small.replica.document().version_vector().len(), 4);
    cloud.forget_stable();
    assert_eq!(cloud.replica.retired_ids().count(), 2);
    // A new life writes before the small device comes back.
    let mut device = wiped(1, 3);
    meet(&mut device, &mut cloud);
    device.set("status", 3);
    meet(&mut device, &mut cloud);
    meet(&mut small, &mut cloud);
    assert!(!small.events.iter().any(|event| matches!(event, Event::RefusedPeer { .. })));
    assert_eq!(small.replica.document().get(path("status")), Some(Value::I64(3)));
    meet(&mut small, &mut cloud);
    let listed = |vv: &mut dyn Iterator<Item = crdt_core::VectorEntry>| vv.collect::<Vec<_>>();
    let (here, there) = (small.replica.document(), cloud.replica.document());
    assert_eq!(listed(&mut here.version_vector().iter()), listed(&mut there.version_vector().iter()));
}

#[test]
fn a_delete_of_a_retired_id_needs_no_room_on_a_small_device() {
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    let mut small = Side::<Fixed<Cells<16>, Bytes<512>, Replicas<2>>>::new(3, Role::Member);
    small.set("own", 1);
    small.delete("own");
    let mut device = wiped(1, 0);
    device.set("a", 1);
    meet(&mut device, &mut cloud);
    meet(&mut small, &mut cloud);
    small.replica.forget_all_tombstones();
    let mut device = wiped(1, 1);
    meet(&mut device, &mut cloud);
    device.set("b", 1);
    device.delete("b");
    device.set("a", 2);
    meet(&mut device, &mut cloud);
    // Its delete arrives; its id does not fit.
    meet(&mut small, &mut cloud);
    small.replica.document().check_invariants().unwrap();
    cloud.replica.deactivate(small.peer);
    let mut device = wiped(1, 2);
    meet(&mut device, &mut cloud);
    device.set("a", 3);
    meet_and_retire(&mut device, &mut cloud);
    meet_and_retire(&mut device, &mut cloud);
    assert_eq!(cloud.replica.retired_ids().count(), 2);
    meet(&mut small, &mut cloud);
    small.replica.document().check_invariants().unwrap();
}

#[test]
fn the_lives_of_an_aggregator_do_not_pile_up() {
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    let mut device = wiped(1, 0);
    device.set("a", 1);
    meet(&mut device, &mut cloud);
    for life in 0..20 {
        cloud = Image::of(&cloud).restore_as(Role::Aggregator, &cloud);
        cloud.set("command", life);
        meet_and_retire(&mut device, &mut cloud);
        meet_and_retire(&mut device, &mut cloud);
    }
    let listed = cloud.replica.document().version_vector().len();
    assert!(listed <= 4, "{listed} replicas are listed");
    assert_eq!(device.replica.document().version_vector(), cloud.replica.document().version_vector());
    assert_eq!(device.replica.document(), cloud.replica.document());
}

#[test]
fn what_was_deleted_of_an_id_goes_although_more_of_it_is_known_here() {
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    let (mut first, mut near) = (wiped(1, 0), Side::<Heap>::new(3, Role::Mesh));
    let mut other = Side::<Heap>::new(4, Role::Member);
    first.set("valve", "open");
    meet(&mut first, &mut cloud);
    meet(&mut near, &mut cloud);
    meet(&mut other, &mut cloud);
    cloud.replica.deactivate(near.peer);
    other.delete("valve");
    meet(&mut other, &mut cloud);
    // The last words of the first reach only its neighbour.
    first.now_ms = cloud.now_ms + 5;
    first.set("extra", 9);
    near.now_ms = first.now_ms;
    near.session = Some(near.replica.connect(Connect::initiator(first.peer, Role::Member, 0)).unwrap());
    first.session = Some(first.replica.connect(Connect::responder(near.peer, Role::Member, 0)).unwrap());
    settle(&mut near, &mut first);
    disconnect(&mut near, &mut first);
    assert_eq!(near.replica.document().get(path("extra")), Some(Value::I64(9)));
    let mut second = wiped(1, 1);
    meet(&mut second, &mut cloud);
    meet_and_retire(&mut other, &mut cloud);
    meet_and_retire(&mut second, &mut cloud);
    meet_and_retire(&mut other, &mut cloud);
    assert_eq!(cloud.replica.retired_ids().count(), 1);
    meet(&mut near, &mut cloud);
    meet(&mut near, &mut cloud);
    assert_eq!(near.replica.document().get(path("valve")), None);
    assert_eq!(cloud.replica.document().get(path("valve")), None);
    assert_eq!(cloud.replica.document().get(path("extra")), Some(Value::I64(9)));
    assert_eq!(near.replica.document(), cloud.replica.document());
}

/// An aggregator that was set back retires an id of which a device has more than it has. The delta that it sends before it is
/// sure that the device is there tells nothing of that.
#[test]
fn a_delta_ahead_of_a_retirement_does_not_hide_it() {
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    let mut device = Side::<Heap>::new(1, Role::Member);
    device.set("note", 1);
    cloud.set("mode", 1);
    meet(&mut device, &mut cloud);
    meet(&mut device, &mut cloud);
    let backup = Image::of(&cloud);
    cloud.set("mode", 2);
    meet(&mut device, &mut cloud);
    let mut cloud = backup.restore_as(Role::Aggregator, &cloud);
    cloud.set("mode", 3);
    cloud.forget_stable();
    assert_eq!(cloud.replica.retired_ids().count(), 1);

    connect(&mut device, &mut cloud);
    let early = Connect::responder(device.peer, Role::Member, 0).early();
    cloud.session.take().into_iter().for_each(|session| cloud.replica.disconnect(session));
    cloud.session = Some(cloud.replica.connect(early).unwrap());
    settle(&mut device, &mut cloud);
    assert_eq!(device.replica.document().get(path("mode")), Some(Value::I64(3)), "the delta came");
    let moment = cloud.moment();
    cloud.replica.confirm(moment, cloud.session.unwrap());
    settle(&mut device, &mut cloud);
    assert_eq!(device.replica.document().version_vector(), cloud.replica.document().version_vector());
}
