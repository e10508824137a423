//! Counters where identity is in doubt: no addition is lost by a copy that was restored, or by somebody who writes a total
//! again that he should not have.

use crate::common::{Image, Side, connect, disconnect, path, settle};
use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::types::{Counter, CounterError};
use crdt_core::{Event, Fixed, Heap, Memory, Role, UpdateError};

fn starts() -> Counter<'static> {
    Counter::at(path("pump/starts")).unwrap()
}

fn add<S: Memory>(side: &mut Side<S>, amount: i64) {
    let plan = starts().add(side.replica.document(), amount).unwrap();
    let moment = side.moment();
    side.replica.update(moment, &plan.writes()).unwrap();
}

fn value<S: Memory>(side: &Side<S>) -> i64 {
    starts().value(side.replica.document()).unwrap()
}

fn totals<S: Memory>(side: &Side<S>) -> usize {
    side.replica.document().iter(Some(path("pump/starts"))).count()
}

fn meet<A: Memory, B: Memory>(device: &mut Side<A>, cloud: &mut Side<B>) {
    device.now_ms = device.now_ms.max(cloud.now_ms) + 1_000;
    cloud.now_ms = device.now_ms;
    connect(device, cloud);
    settle(device, cloud);
    disconnect(device, cloud);
}

fn a_restored_copy_loses_no_addition<S: Memory>() {
    let (mut device, mut cloud) = (Side::<S>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    add(&mut device, 10);
    meet(&mut device, &mut cloud);
    let old = Image::of(&device);
    add(&mut device, 5);
    meet(&mut device, &mut cloud);
    let mut device = old.restore(&device);
    add(&mut device, 1);
    // It starts once more before it ever connects.
    let mut device = Image::of(&device).restore(&device);
    add(&mut device, 1);
    assert_eq!(value(&device), 12, "what it can know");
    meet(&mut device, &mut cloud);
    meet(&mut device, &mut cloud);
    assert!(device.events.iter().any(|event| matches!(event, Event::Forked { .. })));
    assert_eq!((value(&device), value(&cloud)), (17, 17));
    add(&mut device, 3);
    meet(&mut device, &mut cloud);
    assert_eq!((value(&cloud), totals(&cloud)), (20, 2), "of the old id and the new one");
}

#[test]
fn a_restored_copy_loses_no_addition_on_the_heap() {
    a_restored_copy_loses_no_addition::<Heap>();
}

#[test]
fn a_restored_copy_loses_no_addition_without_a_heap() {
    a_restored_copy_loses_no_addition::<Fixed<Cells<16>, Bytes<512>, Replicas<4>>>();
}

#[test]
fn restarts_leave_one_total_a_device() {
    let (mut device, mut cloud) =
        (Side::<Heap>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    for round in 1..=10 {
        add(&mut device, 1);
        // Offline for two lives out of three.
        if round % 3 == 0 {
            meet(&mut device, &mut cloud);
        }
        device = Image::of(&device).restore(&device);
        assert_eq!(value(&device), round);
    }
    meet(&mut device, &mut cloud);
    meet(&mut device, &mut cloud);
    assert_eq!((value(&cloud), totals(&cloud)), (10, 1));
    assert_eq!(device.replica.document(), cloud.replica.document());
    device.replica.document().check_invariants().unwrap();
}

#[test]
fn a_total_that_came_late_and_was_written_again_does_not_replace_a_newer_one() {
    let (mut device, mut cloud) =
        (Side::<Heap>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    add(&mut device, 1);
    cloud.now_ms = device.now_ms + 60_000;
    cloud.set("test", 1);
    cloud.delete("test");
    // The cloud cannot tell any more whether what is older was meant to go.
    cloud.replica.forget_all_tombstones();
    connect(&mut device, &mut cloud);
    for frame in device.poll() {
        cloud.take(&frame).unwrap();
    }
    assert!(cloud.poll_frames(0).is_empty());
    assert_eq!(value(&cloud), 1);
    // Before the device hears of it, it counts on, by a clock that is behind.
    add(&mut device, 1);
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    meet(&mut device, &mut cloud);
    assert!(cloud.events.iter().any(|event| matches!(event, Event::LateWrite { .. })));
    assert_eq!((value(&device), value(&cloud)), (2, 2));
}

#[test]
fn two_copies_of_an_image_with_a_spare_id_in_it_do_not_count_under_the_same() {
    let (mut device, mut cloud) =
        (Side::<Heap>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    add(&mut device, 10);
    meet(&mut device, &mut cloud);
    let old = Image::of(&device);
    add(&mut device, 5);
    meet(&mut device, &mut cloud);
    // A copy of the old storage has started once; then it was copied itself.
    let started = Image::of(&old.restore(&device));
    let (mut a, mut b) = (started.restore(&device), started.restore(&device));
    b.random += 1_000_000;
    b.replica = started.load(&mut b, Role::Member);
    add(&mut a, 2);
    add(&mut b, 4);
    meet(&mut a, &mut cloud);
    meet(&mut a, &mut cloud);
    meet(&mut b, &mut cloud);
    meet(&mut b, &mut cloud);
    assert_eq!(value(&cloud), 21);
    assert_ne!(a.replica.id(), b.replica.id());
}

#[test]
fn an_id_that_was_fenced_leaves_nothing_in_the_version_vector() {
    let (mut device, mut cloud) =
        (Side::<Heap>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    add(&mut device, 10);
    meet(&mut device, &mut cloud);
    let started = Image::of(&Image::of(&device).restore(&device));
    let copy = |key: u8| {
        let mut copy = Side::<Heap>::new(key, Role::Member);
        copy.random = u64::from(key) << 48;
        copy.replica = started.load(&mut copy, Role::Member);
        copy
    };
    let mut third = copy(5);
    add(&mut third, 1);
    for _ in 0..5 {
        let mut hostile = Side::<Heap>::new(2, Role::Aggregator);
        hostile.now_ms = cloud.now_ms;
        // Somebody else is known under the id.
        let mut owner = Side::<Heap>::with_id(9, Role::Member, third.replica.id());
        meet(&mut owner, &mut hostile);
        third.now_ms = hostile.now_ms + 1;
        connect(&mut third, &mut hostile);
        for _ in 0..3 {
            for frame in third.poll() {
                hostile.take(&frame).ok();
            }
            for frame in hostile.poll() {
                third.take(&frame).ok();
            }
        }
        disconnect(&mut third, &mut hostile);
    }
    let listed = third.replica.document().version_vector().len();
    assert!(listed <= 2, "{listed} replicas are listed: {:?}", third.replica.document());
}

/// Three pulses of one second in one transaction.
#[test]
fn additions_in_one_transaction_all_count() {
    let mut side = Side::<Heap>::new(1, Role::Member);
    let (starts, litres) = (Counter::at(path("starts")).unwrap(), Counter::at(path("litres")).unwrap());
    let document = side.replica.document();
    let plans = [
        starts.add(document, 1).unwrap(),
        litres.add(document, 40).unwrap(),
        starts.add(document, 1).unwrap(),
        litres.add(document, -15).unwrap(),
        starts.add(document, 1).unwrap(),
    ];
    let moment = side.moment();
    side.replica.update(moment, &plans.each_ref().map(|plan| plan.write())).unwrap();
    assert_eq!(
        (starts.value(side.replica.document()), litres.value(side.replica.document())),
        (Ok(3), Ok(25))
    );
}

#[test]
fn additions_that_go_beyond_64_bits_change_nothing() {
    let mut side = Side::<Heap>::new(1, Role::Member);
    let counter = Counter::at(path("pulses")).unwrap();
    let add = |side: &Side<Heap>, amount| counter.add(side.replica.document(), amount).unwrap();
    let (most, one) = (add(&side, i64::MAX), add(&side, 1));
    let moment = side.moment();
    assert_eq!(side.replica.update(moment, &[most.write(), one.write()]), Err(UpdateError::Overflow));
    assert_eq!(counter.value(side.replica.document()), Ok(0));
    // Each of them fits, and so does what they come to.
    let less = add(&side, -1);
    side.replica.update(moment, &[most.write(), less.write(), one.write()]).unwrap();
    assert_eq!(counter.value(side.replica.document()), Ok(i64::MAX));
    assert_eq!(counter.add(side.replica.document(), 1), Err(CounterError::Overflow));
    assert_eq!(side.replica.update(moment, &[one.write()]), Err(UpdateError::Overflow), "an old plan");
}
