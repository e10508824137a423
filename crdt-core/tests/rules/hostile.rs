//! Bytes from a peer may be anything: an error that says what, nothing half-applied, no panic.

use crate::common::{Side, connect, path, settle, write_w1};
use crdt_core::{CellRecord, Config, DecodeError, Heap, Moment, PeerError, Replica, RestoreError, Role};

/// Whether it went up, and the frame.
type Frames = Vec<(bool, Vec<u8>)>;

/// Makes a receiver that has had the frames before.
type Receiver = Box<dyn Fn() -> Side<Heap>>;

/// The frames of a session in both directions, with everything in them, and a receiver for each that has had those before.
fn conversation() -> Vec<(Vec<u8>, Receiver)> {
    fn play(stop: usize) -> (Frames, Side<Heap>, Side<Heap>) {
        let (mut device, mut cloud) = (Side::new(1, Role::Member), Side::new(2, Role::Aggregator));
        write_w1(&mut device);
        cloud.set("cloud/a", 1);
        cloud.set("net/port", 1884);
        connect(&mut device, &mut cloud);
        let mut sent = Vec::new();
        for round in 0..6 {
            for _ in 0..20 {
                let (up, down) = (device.poll(), cloud.poll());
                for (is_up, frame) in
                    up.into_iter().map(|f| (true, f)).chain(down.into_iter().map(|f| (false, f)))
                {
                    if sent.len() < stop {
                        if is_up {
                            cloud.take(&frame).unwrap();
                        } else {
                            device.take(&frame).unwrap();
                        }
                        sent.push((is_up, frame));
                    } else {
                        sent.push((is_up, frame));
                        return (sent, device, cloud);
                    }
                }
            }
            device.set("sense/report_period_s", round);
            device.delete("power/mode");
            device.replica.request_acknowledgement();
            cloud.set("meta/site", "elsewhere");
            cloud.replica.forget_all_tombstones();
        }
        (sent, device, cloud)
    }
    let (all, ..) = play(usize::MAX);
    assert!(all.len() > 10, "{}", all.len());
    (0..all.len())
        .map(|at| {
            let receiver: Receiver = Box::new(move || {
                let (sent, device, cloud) = play(at);
                if sent[at].0 { cloud } else { device }
            });
            (play(at).0[at].1.clone(), receiver)
        })
        .collect()
}

fn snapshot(side: &Side<Heap>) -> (Vec<String>, String) {
    let document = side.replica.document();
    (document.cells().map(|c| format!("{c:?}")).collect(), format!("{:?}", document.version_vector()))
}

#[test]
fn a_frame_cut_at_any_byte_changes_nothing_or_is_a_shorter_frame() {
    for (frame, receiver) in conversation() {
        for len in 0..frame.len() {
            let mut side = receiver();
            let before = snapshot(&side);
            if let Err(error) = side.take(&frame[..len]) {
                assert_eq!(snapshot(&side), before, "{error} at {len} of {}", frame.len());
            }
            side.replica.document().check_invariants().unwrap();
        }
    }
}

#[test]
fn a_frame_with_any_bit_flipped_is_an_error_or_another_frame_and_never_a_panic() {
    let (mut errors, mut frames) = (0, 0);
    for (frame, receiver) in conversation() {
        // A receiver is costly to build: one serves until a frame was accepted.
        let mut side = receiver();
        for bit in 0..8 * frame.len() {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let before = snapshot(&side);
            match side.take(&damaged) {
                Err(PeerError::Decode(_)) => {
                    errors += 1;
                    assert_eq!(snapshot(&side), before);
                }
                Err(_) | Ok(()) => frames += 1,
            }
            side.poll();
            side.replica.document().check_invariants().unwrap();
            side = receiver();
        }
    }
    assert!(errors > 1_000 && frames > 100, "{errors} errors, {frames} other frames");
}

#[test]
fn five_bytes_that_ask_for_a_gigabyte_are_refused_before_anything_is_reserved() {
    let (mut device, mut cloud) =
        (Side::<Heap>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    // Stable with 2^30 entries.
    let error = device.take(&[0, 0x0c, 0x80, 0x80, 0x80, 0x80, 0x04]);
    assert_eq!(error, Err(PeerError::Decode(DecodeError::Number { offset: 2, limit: 4096 })));
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    connect(&mut device, &mut cloud);
    assert_eq!(cloud.take(&vec![0; 70_000]), Err(PeerError::Decode(DecodeError::TooLong { len: 70_000 })));
}

#[test]
fn out_of_turn_messages_are_named() {
    let (mut device, mut cloud) =
        (Side::<Heap>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    connect(&mut device, &mut cloud);
    let open = device.poll().remove(0);
    assert_eq!(cloud.take(&[0, 0x03]), Err(PeerError::OutOfTurn { message: "something before Open" }));
    connect(&mut device, &mut cloud);
    cloud.take(&open).unwrap();
    assert_eq!(cloud.take(&open), Err(PeerError::OutOfTurn { message: "a second Open" }));
    connect(&mut device, &mut cloud);
    let open = device.poll().remove(0);
    cloud.take(&open).unwrap();
    assert_eq!(
        cloud.take(&[0, 0x09, 0x05]),
        Err(PeerError::OutOfTurn { message: "an Ack of a batch that was never sent" })
    );
    connect(&mut device, &mut cloud);
    assert_eq!(cloud.take(&[7]), Err(PeerError::OutOfTurn { message: "a frame of another document" }));
    let session = cloud.session.unwrap();
    cloud.poll();
    let moment = cloud.moment();
    assert_eq!(cloud.replica.handle_frame(moment, session, &[0]), Err(PeerError::UnknownSession));
}

#[test]
fn damaged_records_are_errors() {
    let mut device = Side::<Heap>::new(1, Role::Member);
    write_w1(&mut device);
    let image = crate::common::Image::of(&device);
    let load = |state: &[u8], cells: &[(String, Vec<u8>)]| -> Result<(), RestoreError> {
        let cells: Result<Vec<_>, _> =
            cells.iter().map(|(at, record)| CellRecord::decode(path(at), record)).collect();
        Replica::<Heap, _>::load(
            Moment::new(0),
            Config::new(Role::Member),
            crdt_core::CountingRng::new(1),
            state,
            cells?,
        )
        .map(|_| ())
    };
    assert_eq!(load(&image.state, &image.cells), Ok(()));
    for len in 0..image.state.len() {
        assert!(load(&image.state[..len], &image.cells).is_err(), "cut at {len}");
    }
    let mut newer = image.state.clone();
    newer[0] = 2;
    assert_eq!(load(&newer, &image.cells), Err(RestoreError::NewerFormat { found: 2 }));
    assert_eq!(load(&image.state, &image.cells[1..]), Err(RestoreError::Fingerprint));
    for (at, (_, record)) in image.cells.iter().enumerate() {
        for bit in 0..8 * record.len() {
            let mut cells = image.cells.clone();
            cells[at].1[bit / 8] ^= 1 << (bit % 8);
            assert!(load(&image.state, &cells).is_err(), "cell {at}, bit {bit}");
        }
    }
}
