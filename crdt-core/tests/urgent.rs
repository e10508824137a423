//! What is urgent goes ahead of a long batch, and nothing is claimed that has not come.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod common;

use common::{Side, connect, disconnect, path, settle};
use crdt_core::{Heap, Role, Value};

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
    device.replica.hurry(path("alarm"));
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
    let bytes = |hurry: bool| {
        let (mut device, mut cloud, frames) = long_batch();
        if hurry {
            device.replica.hurry(path("alarm"));
        }
        frames.iter().for_each(|frame| cloud.take(frame).unwrap());
        settle(&mut device, &mut cloud)
    };
    let (plain, hurried) = (bytes(false), bytes(true));
    // The key before it and after it shares less with its neighbours, and its stamp comes out of order.
    assert!(hurried <= plain + 24, "{hurried} bytes, {plain} without hurry");
}

#[test]
fn a_cut_after_the_urgent_cell_loses_nothing() {
    let (mut device, mut cloud, mut frames) = long_batch();
    device.replica.hurry(path("alarm"));
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
    device.replica.hurry(path("alarm"));
    for frame in device.poll_frames(1) {
        cloud.take(&frame).unwrap();
    }
    device.set("alarm/door", "shut");
    settle(&mut device, &mut cloud);
    assert_eq!(cloud.replica.document().get(path("alarm/door")), Some(Value::Str("shut")));
}
