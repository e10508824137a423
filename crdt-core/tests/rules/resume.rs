//! A long batch that is cut goes on where it was, where both sides still know where that is.

use crate::common::{Image, Side, connect, disconnect, path, settle};
use crdt_core::{Heap, Role, Value, Write};

const CELLS: i64 = 600;

fn write_log(side: &mut Side<Heap>) {
    for n in 0..CELLS {
        side.set(&format!("log/{n:03}"), n);
    }
}

/// The same cells, 7 to a transaction.
fn write_log_in_transactions(side: &mut Side<Heap>) {
    let paths: Vec<String> = (0..CELLS).map(|n| format!("log/{n:03}")).collect();
    for at in paths.chunks(7) {
        let moment = side.moment();
        let number = side.number();
        let writes: Vec<_> = at.iter().map(|at| Write::set(path(at), number)).collect();
        side.replica.update(moment, &writes).unwrap();
    }
}

fn pair() -> (Side<Heap>, Side<Heap>) {
    let (mut device, mut cloud) =
        (Side::<Heap>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    device.frame_len = 512;
    cloud.frame_len = 512;
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    (device, cloud)
}

/// Sends `frames` frames of the batch, cuts, lets `meanwhile` happen, and gives the payload bytes of the rest.
fn cut_after(
    frames: usize,
    from_cloud: bool,
    meanwhile: impl Fn(&mut Side<Heap>, &mut Side<Heap>),
) -> (usize, Side<Heap>, Side<Heap>) {
    cut_while_sending(write_log, frames, from_cloud, meanwhile)
}

fn cut_while_sending(
    write: impl Fn(&mut Side<Heap>),
    frames: usize,
    from_cloud: bool,
    meanwhile: impl Fn(&mut Side<Heap>, &mut Side<Heap>),
) -> (usize, Side<Heap>, Side<Heap>) {
    let (mut device, mut cloud) = pair();
    let (sender, receiver) = if from_cloud { (&mut cloud, &mut device) } else { (&mut device, &mut cloud) };
    write(sender);
    for frame in sender.poll_frames(frames) {
        receiver.take(&frame).unwrap();
    }
    // Sent, and never received.
    sender.poll_frames(1);
    disconnect(&mut device, &mut cloud);
    meanwhile(&mut device, &mut cloud);
    connect(&mut device, &mut cloud);
    let bytes = settle(&mut device, &mut cloud);
    assert_eq!(device.replica.document(), cloud.replica.document());
    (bytes, device, cloud)
}

#[test]
fn what_had_come_is_not_sent_again() {
    let rest = |frames, from_cloud| cut_after(frames, from_cloud, |_, _| {}).0;
    let up: Vec<usize> = [0, 2, 4, 6, 8].map(|frames| rest(frames, false)).to_vec();
    assert_eq!(up, [3689, 2749, 1795, 840, 36], "payload bytes after the cut, of both directions");
    let down: Vec<usize> = [0, 2, 4, 6, 8].map(|frames| rest(frames, true)).to_vec();
    assert_eq!(down, [3706, 2923, 2092, 1265, 438], "payload bytes after the cut, of both directions");
}

#[test]
fn what_changed_meanwhile_is_sent_and_what_was_under_way_too() {
    let (_, device, cloud) = cut_after(4, false, |device, cloud| {
        device.set("log/000", -1);
        device.set("log/599", -2);
        cloud.set("log/001", -3);
        device.set("new", 1);
    });
    for side in [&device, &cloud] {
        for (at, value) in [("log/000", -1), ("log/001", -3), ("log/599", -2), ("new", 1)] {
            assert_eq!(side.replica.document().get(path(at)), Some(Value::I64(value)), "{at}");
        }
        assert_eq!(side.replica.document().cells().count(), CELLS as usize + 1);
    }
}

#[test]
fn a_side_that_started_anew_in_between_gets_or_sends_all_of_it() {
    let restart_receiver = |_: &mut Side<Heap>, cloud: &mut Side<Heap>| {
        let image = Image::of(cloud);
        cloud.replica = image.load(cloud, Role::Aggregator);
    };
    let restart_sender = |device: &mut Side<Heap>, _: &mut Side<Heap>| {
        let image = Image::of(device);
        device.replica = image.load(device, Role::Member);
    };
    let all = cut_after(0, false, |_, _| {}).0;
    assert!(cut_after(4, false, restart_receiver).0 > all / 10 * 9);
    assert!(cut_after(4, false, restart_sender).0 > all / 10 * 9);
}

#[test]
fn a_cut_anywhere_loses_nothing() {
    for frames in 0..20 {
        for from_cloud in [false, true] {
            cut_after(frames, from_cloud, |_, _| {});
        }
    }
}

/// The last cell that came names its transaction, of which the rest may be missing.
#[test]
fn a_transaction_that_is_cut_in_two_comes_whole() {
    for frames in 0..12 {
        for from_cloud in [false, true] {
            cut_while_sending(write_log_in_transactions, frames, from_cloud, |_, _| {});
        }
    }
}

/// A delta is no longer enough then: the whole document goes, from its beginning.
#[test]
fn a_batch_whose_sender_forgot_tombstones_meanwhile_begins_anew() {
    for frames in [2, 4, 6] {
        let (_, device, cloud) = cut_after(frames, false, |device, _| {
            device.delete("log/003");
            device.delete("log/590");
            assert_eq!(device.replica.forget_all_tombstones(), 2);
        });
        for side in [&device, &cloud] {
            assert_eq!(side.replica.document().cells().count(), CELLS as usize - 2);
            assert_eq!(side.replica.document().get(path("log/003")), None);
            assert_eq!(side.replica.document().get(path("log/004")), Some(Value::I64(4)));
        }
    }
}
