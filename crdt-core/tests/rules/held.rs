//! Changes that are held back wait for company, and nothing that a peer waits for waits with them.

use crate::common::{Side, connect, disconnect, path, settle};
use crdt_core::{Heap, Role, Value};

fn pair() -> (Side<Heap>, Side<Heap>) {
    let (mut device, mut cloud) =
        (Side::<Heap>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    (device, cloud)
}

fn hold(device: &mut Side<Heap>, held: bool) {
    device.replica.set_deferred(device.session.unwrap(), held);
}

fn at_cloud(cloud: &Side<Heap>, at: &str) -> Option<i64> {
    match cloud.replica.document().get(path(at)) {
        Some(Value::I64(value)) => Some(value),
        _ => None,
    }
}

#[test]
fn a_held_change_is_durable_here_and_is_sent_when_it_is_let_go() {
    let (mut device, mut cloud) = pair();
    hold(&mut device, true);
    for n in 0..100 {
        device.set("speed", n);
    }
    assert!(device.replica.has_unsaved());
    assert_eq!(settle(&mut device, &mut cloud), 0);
    assert!(!device.replica.has_unsaved());
    hold(&mut device, false);
    // A hundred values cost what one costs.
    assert_eq!(settle(&mut device, &mut cloud), 14);
    assert_eq!(at_cloud(&cloud, "speed"), Some(99));
}

#[test]
fn a_held_change_goes_with_the_acknowledgement_that_the_peer_asked_for() {
    let (mut device, mut cloud) = pair();
    hold(&mut device, true);
    device.set("speed", 1);
    settle(&mut device, &mut cloud);
    cloud.set("setpoint", 5);
    settle(&mut device, &mut cloud);
    assert_eq!(at_cloud(&cloud, "speed"), None, "what comes in needs no answer");

    cloud.replica.request_acknowledgement();
    let sent = device.frames.len();
    settle(&mut device, &mut cloud);
    assert_eq!(at_cloud(&cloud, "speed"), Some(1));
    assert_eq!(device.frames.len(), sent + 1, "both in one frame");
    assert!(cloud.replica.acknowledged_through(device.peer).as_ms() > 0);
}

#[test]
fn a_held_change_goes_with_an_open_and_with_the_question_for_an_acknowledgement() {
    let (mut device, mut cloud) = pair();
    hold(&mut device, true);
    device.set("speed", 1);
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    connect(&mut device, &mut cloud);
    hold(&mut device, true);
    settle(&mut device, &mut cloud);
    assert_eq!(at_cloud(&cloud, "speed"), Some(1));

    device.set("speed", 2);
    device.replica.request_acknowledgement();
    settle(&mut device, &mut cloud);
    assert_eq!(at_cloud(&cloud, "speed"), Some(2), "what was sent before is asked for");
}

/// A batch without its end is worth nothing to the other side.
#[test]
fn a_batch_under_way_is_finished() {
    let (mut device, mut cloud) = pair();
    device.frame_len = 512;
    for n in 0..300 {
        device.set(&format!("log/{n:03}"), n);
    }
    for frame in device.poll_frames(1) {
        cloud.take(&frame).unwrap();
    }
    hold(&mut device, true);
    settle(&mut device, &mut cloud);
    assert_eq!(device.replica.document(), cloud.replica.document());
    assert!(cloud.replica.document().version_vector().time_of(device.replica.id()).as_ms() > 0);
}

/// The hold is one session's: what another peer waits for does not wait.
#[test]
fn another_session_is_not_held() {
    let (mut device, mut cloud) = pair();
    let mut third = Side::<Heap>::new(3, Role::Member);
    hold(&mut device, true);
    let first = device.session.take();
    device.session =
        Some(device.replica.connect(crdt_core::Connect::responder(third.peer, Role::Member, 0)).unwrap());
    third.session =
        Some(third.replica.connect(crdt_core::Connect::initiator(device.peer, Role::Aggregator, 0)).unwrap());
    settle(&mut device, &mut third);
    device.set("speed", 1);
    settle(&mut device, &mut third);
    assert_eq!(at_cloud(&third, "speed"), Some(1));
    device.session = first;
    assert_eq!((settle(&mut device, &mut cloud), at_cloud(&cloud, "speed")), (0, None));
}

/// The cloud was replaced by one that knows nothing, and asks for another Open, while the device's transport is full.
#[test]
fn a_session_that_has_to_open_again_keeps_what_the_driver_has_set() {
    let (mut device, mut cloud) = pair();
    device.set("speed", 1);
    device.replica.request_acknowledgement();
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    let mut fresh = Side::<Heap>::new(2, Role::Aggregator);
    connect(&mut device, &mut fresh);
    device.poll().iter().for_each(|frame| fresh.take(frame).unwrap());
    let again = fresh.poll();
    assert_eq!(again.iter().map(Vec::len).collect::<Vec<_>>(), [2], "it wants another Open");

    let session = device.session.unwrap();
    device.replica.set_capacity(session, false);
    hold(&mut device, true);
    again.iter().for_each(|frame| device.take(frame).unwrap());
    assert!(device.poll().is_empty(), "the transport takes nothing");
    device.replica.set_capacity(session, true);
    settle(&mut device, &mut fresh);
    assert_eq!(at_cloud(&fresh, "speed"), Some(1), "an Open takes along what waits");
    device.set("speed", 2);
    assert_eq!(settle(&mut device, &mut fresh), 0, "and then changes are deferred as before");
}
