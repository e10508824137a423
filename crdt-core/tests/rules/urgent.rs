//! What is urgent goes ahead of a long batch, and nothing is claimed that has not come.

use crate::common::{Side, connect, disconnect, path, settle};
use crdt_core::limits::URGENT_CELLS_MAX;
use crdt_core::{Event, Heap, Role, Value};

/// A device with 300 cells to send in frames of 512 bytes, of which the first is under way.
fn long_batch() -> (Side<Heap>, Side<Heap>, Vec<Vec<u8>>) {
    let (mut device, mut cloud) =
        (Side::<Heap>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    device.frame_len = 512;
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    for n in 0..300 {
        device.set(&format!("log/{n:03}"), n);
    }
    device.set("alarm/door", "open");
    let first = device.poll_frames(1);
    (device, cloud, first)
}

#[test]
fn an_alarm_goes_ahead_of_a_long_batch() {
    let (mut device, mut cloud, mut frames) = long_batch();
    device.replica.prioritize(path("alarm"));
    frames.extend(device.poll_frames(1));
    for frame in &frames {
        cloud.take(frame).unwrap();
    }
    assert_eq!(
        cloud.replica.document().get(path("alarm/door")),
        Some(Value::Str("open")),
        "in the next frame"
    );
    assert_eq!(cloud.replica.document().get(path("log/250")), None, "long before the rest");
    let own = device.replica.id();
    assert_eq!(cloud.replica.document().version_vector().time_of(own).as_ms(), 0, "and nothing is claimed");
    settle(&mut device, &mut cloud);
    assert_eq!(device.replica.document(), cloud.replica.document());
}

#[test]
fn what_went_ahead_is_not_sent_twice() {
    let note = "x".repeat(200);
    let bytes = |hurry: bool| {
        let (mut device, mut cloud, frames) = long_batch();
        device.set("alarm/note", note.as_str());
        if hurry {
            device.replica.prioritize(path("alarm"));
        }
        frames.iter().for_each(|frame| cloud.take(frame).unwrap());
        settle(&mut device, &mut cloud)
    };
    let (plain, hurried) = (bytes(false), bytes(true));
    // The keys before them and after them share less with their neighbours, and their stamps come out of order.
    assert!(hurried <= plain + 40, "{hurried} bytes, {plain} without hurry");
}

/// What arrived last tells how far a batch came, unless that went ahead of its turn.
#[test]
fn frames_that_are_lost_behind_an_urgent_cell_come_again() {
    // Some of these lengths leave no capacity for another cell in the frame of the urgent one.
    for len in 380..470 {
        let (mut device, mut cloud, mut frames) = long_batch();
        device.set("alarm/note", "x".repeat(len).as_str());
        device.replica.prioritize(path("alarm/note"));
        frames.extend(device.poll_frames(1));
        for frame in &frames {
            cloud.take(frame).unwrap();
        }
        assert!(cloud.replica.document().get(path("alarm/note")).is_some(), "{len}");
        assert_eq!(device.poll_frames(2).len(), 2, "sent, and never received");
        disconnect(&mut device, &mut cloud);
        connect(&mut device, &mut cloud);
        settle(&mut device, &mut cloud);
        assert_eq!(device.replica.document(), cloud.replica.document(), "{len}");
    }
}

#[test]
fn a_cut_after_the_urgent_cell_loses_nothing() {
    let (mut device, mut cloud, mut frames) = long_batch();
    device.replica.prioritize(path("alarm"));
    frames.extend(device.poll_frames(1));
    for frame in &frames {
        cloud.take(frame).unwrap();
    }
    disconnect(&mut device, &mut cloud);
    device.set("alarm/door", "shut");
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    assert_eq!(cloud.replica.document().get(path("alarm/door")), Some(Value::Str("shut")));
    assert_eq!(device.replica.document(), cloud.replica.document());
}

#[test]
fn a_change_after_it_went_ahead_is_sent_again() {
    let (mut device, mut cloud, frames) = long_batch();
    frames.iter().for_each(|frame| cloud.take(frame).unwrap());
    device.replica.prioritize(path("alarm"));
    for frame in device.poll_frames(1) {
        cloud.take(&frame).unwrap();
    }
    device.set("alarm/door", "shut");
    settle(&mut device, &mut cloud);
    assert_eq!(cloud.replica.document().get(path("alarm/door")), Some(Value::Str("shut")));
}

/// The floor has moved, so the batch starts anew: it says by what it does not hold what is dead, and must hold all that lives.
#[test]
fn a_full_batch_that_starts_over_sends_what_went_ahead_again() {
    let (mut device, mut cloud) =
        (Side::<Heap>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    device.frame_len = 512;
    for n in 0..300 {
        device.set(&format!("log/{n:03}"), n);
    }
    device.set("alarm/door", "open");
    device.set("x", 1);
    device.set("y", 1);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    let forget = |device: &mut Side<Heap>, at| {
        device.delete(at);
        assert_eq!(device.replica.forget_all_tombstones(), 1);
    };
    forget(&mut device, "x");
    connect(&mut device, &mut cloud);
    let mut rounds = 0;
    // Until the batch is under way that only a moved floor makes: all 301 cells again.
    while device.frames.len() < 3 {
        device.poll_frames(1).iter().for_each(|frame| cloud.take(frame).unwrap());
        cloud.poll().iter().for_each(|frame| device.take(frame).unwrap());
        rounds += 1;
        assert!(rounds < 9, "{} frames", device.frames.len());
    }
    device.set("alarm/door", "shut");
    device.replica.prioritize(path("alarm"));
    device.poll_frames(1).iter().for_each(|frame| cloud.take(frame).unwrap());
    assert_eq!(cloud.replica.document().get(path("alarm/door")), Some(Value::Str("shut")), "it went ahead");
    forget(&mut device, "y");
    settle(&mut device, &mut cloud);
    assert_eq!(cloud.replica.document().get(path("alarm/door")), Some(Value::Str("shut")));
    assert_eq!(device.replica.document().get(path("alarm/door")), Some(Value::Str("shut")));
    assert_eq!(device.replica.document(), cloud.replica.document());
    assert!(!cloud.events.iter().chain(&device.events).any(|e| matches!(e, Event::Damaged { .. })));
}

#[test]
fn what_went_ahead_of_earlier_batches_takes_no_place_in_this_one() {
    let (mut device, mut cloud, frames) = long_batch();
    frames.iter().for_each(|frame| cloud.take(frame).unwrap());
    for round in 0..2 * URGENT_CELLS_MAX as i64 {
        for n in 0..100 {
            device.set(&format!("log/{n:03}"), n + 1_000 * round);
        }
        device.set("alarm/door", round);
        device.replica.prioritize(path("alarm"));
        device.poll_frames(1).iter().for_each(|frame| cloud.take(frame).unwrap());
        assert_eq!(
            cloud.replica.document().get(path("alarm/door")),
            Some(Value::I64(round)),
            "in the next frame"
        );
        settle(&mut device, &mut cloud);
    }
}
