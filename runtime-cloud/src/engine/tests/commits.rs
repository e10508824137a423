//! What waits for the disk, and what does not.

use crdt_core::{Time, Value};
use transport_quic::ConnectionId;

use super::world::World;
use crate::limits::{INPUT_BYTES_MAX, INPUT_OVERHEAD_BYTES};

fn connected(world: &mut World, documents: &[&str]) -> Vec<ConnectionId> {
    let conns = documents.iter().zip(1..).map(|(document, number)| world.connect(number, document)).collect();
    world.settle();
    conns
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let mut world = World::new();
    let [left, right] = connected(&mut world, &["site", "site"])[..] else { panic!() };
    let time = world.set(left, "a", 1);
    world.run();
    world.ask(left);
    world.run();
    assert!(world.committing.is_some());
    assert_eq!((world.acknowledged(left), world.get(right, "a")), (Time::ZERO, None));
    world.commit();
    world.settle();
    assert_eq!((world.acknowledged(left), world.get(right, "a")), (time, Some(Value::I64(1))));
}

/// What the transport acknowledges is a receipt.
#[test]
fn a_frame_is_acknowledged_once_it_is_durable() {
    let mut world = World::new();
    let [left, right] = connected(&mut world, &["left", "right"])[..] else { panic!() };
    assert_eq!(world.released, world.came, "all is durable");
    world.set(left, "a", 1);
    world.run();
    world.set(right, "a", 1);
    world.run();
    // The second one missed the commit that is under way.
    let waiting = |world: &World, conn| world.came[&conn] - world.released[&conn];
    assert_eq!((waiting(&world, left), waiting(&world, right)), (1, 1));
    world.commit();
    world.run();
    assert_eq!((waiting(&world, left), waiting(&world, right)), (0, 1));
    world.settle();
    assert_eq!(world.released, world.came);
    // What changes nothing waits for nothing.
    world.ask(left);
    world.run();
    assert!(world.committing.is_none());
    assert_eq!(world.released, world.came);
}

#[test]
fn what_was_not_committed_is_gone_and_comes_again() {
    let mut world = World::new();
    let conn = connected(&mut world, &["site"])[0];
    world.set(conn, "a", 1);
    world.run();
    assert!(world.committing.is_some());
    let device = world.devices.remove(&conn).unwrap();
    world.restart();
    let mut replica = device.replica;
    replica.request_acknowledgement();
    let conn = world.connect_with(1, replica);
    world.settle();
    let held = world.engine.replica("site").unwrap().document();
    assert_eq!(held.get(super::world::path("a")), Some(Value::I64(1)));
    assert!(world.get(conn, "a").is_some());
}

#[test]
fn one_commit_serves_all_that_changed_while_the_previous_one_was_under_way() {
    let mut world = World::new();
    let conns = connected(&mut world, &["a", "b", "c", "d"]);
    let before = world.commits;
    world.set(conns[0], "x", 0);
    world.run();
    for (&conn, number) in conns.iter().zip(1..) {
        for at in ["x", "y", "z"] {
            world.set(conn, at, number);
            world.run();
        }
    }
    world.settle();
    assert_eq!(world.commits - before, 3, "the first one; b, c and d with it; what a got meanwhile");
    for (&conn, number) in conns.iter().zip(1..) {
        assert_eq!(world.get(conn, "z"), Some(Value::I64(number)));
    }
    let status = world.engine.status(world.now());
    assert!(status.counters.documents_committed > status.counters.commits);
}

#[test]
fn a_document_that_is_committed_holds_up_no_other() {
    let mut world = World::new();
    let [slow, left, right] = connected(&mut world, &["slow", "quick", "quick"])[..] else { panic!() };
    world.set(slow, "a", 1);
    world.run();
    world.set(left, "b", 1);
    world.run();
    world.commit();
    world.run();
    world.commit();
    world.run();
    assert_eq!(world.get(right, "b"), Some(Value::I64(1)));
    assert!(world.committing.is_none());
}

#[test]
fn input_that_waits_for_a_commit_is_bounded() {
    let mut world = World::new();
    let conn = connected(&mut world, &["site"])[0];
    world.set(conn, "a", 1);
    world.run();
    assert!(world.committing.is_some() && world.engine.accepts_input());
    // Frames that make no sense wait as well as good ones; what they are is found out later.
    let frame = vec![0; 60_000];
    let mut taken = 0;
    while world.engine.accepts_input() {
        world.message(conn, &frame);
        world.run();
        taken += frame.len() + INPUT_OVERHEAD_BYTES;
    }
    assert!((INPUT_BYTES_MAX..INPUT_BYTES_MAX + 61_000).contains(&taken), "{taken}");
    assert!(world.engine.status(world.now()).queues.input_bytes >= INPUT_BYTES_MAX);
    world.commit();
    world.settle();
    assert!(world.engine.accepts_input());
    assert_eq!(world.engine.status(world.now()).queues.input_bytes, 0);
}

#[test]
fn a_document_is_loaded_once_and_input_waits_for_it() {
    let mut world = World::new();
    let conns = connected(&mut world, &["site"]);
    world.set(conns[0], "a", 1);
    world.settle();
    world.restart();
    let (left, right) = (world.connect(1, "site"), world.connect(2, "site"));
    world.set(right, "b", 2);
    world.run();
    assert_eq!(world.loading, ["site"]);
    assert_eq!(world.get(left, "a"), None);
    world.settle();
    assert_eq!(world.get(left, "a"), Some(Value::I64(1)));
    assert_eq!(world.get(left, "b"), Some(Value::I64(2)));
}

#[test]
fn a_document_that_cannot_be_loaded_stops_no_other() {
    let mut world = World::new();
    let conns = connected(&mut world, &["bad", "good"]);
    world.set(conns[0], "a", 1);
    world.settle();
    world.restart();
    let (bad, good) = (world.connect(1, "bad"), world.connect(2, "good"));
    world.run();
    world.loading.retain(|document| document == "good");
    world.engine.handle_loaded("bad", Err("a bit is wrong".to_owned()));
    world.settle();
    let (conn, _, text) = &world.closed[0];
    assert!(*conn == bad && text.contains("cannot load document \"bad\""), "{text}");
    world.set(good, "b", 1);
    world.settle();
    assert!(world.devices.contains_key(&good));
    assert_eq!(world.engine.status(world.now()).queues.input_bytes, 0);
}

#[test]
fn a_stop_commits_what_is_known_and_ends() {
    let mut world = World::new();
    let conn = connected(&mut world, &["site"])[0];
    world.set(conn, "a", 1);
    world.run();
    world.engine.begin_stop();
    world.run();
    assert!(!world.engine.is_settled());
    world.settle();
    assert!(world.engine.is_settled());
    world.restart();
    let device = world.engine.status(world.now());
    assert_eq!(device.documents_stored, 1);
}
