//! Devices that come, go, and misbehave.

use crdt_core::{
    Config, Connect, CountingRng, DocumentName, Heap, Moment, Output, PeerId, Replica, Role, Value, Write,
};
use transport_quic::{CloseCode, LinkEvent};

use super::world::{World, key, path};
use crate::engine::Request;
use crate::limits::{STALLED_AFTER, TOMBSTONES_UNASKED_MAX};

#[test]
fn an_unknown_key_is_told_how_to_get_in() {
    let mut world = World::new();
    let conn = world.connect(77, "site");
    world.settle();
    let (closed, code, text) = &world.closed[0];
    assert_eq!((*closed, *code), (conn, CloseCode::AccessDenied));
    assert!(text.contains(&format!("aggregator allow {}", key(77))), "{text}");
    assert_eq!(world.engine.status(world.now()).documents_stored, 0);
    assert!(text.len() < 1_000, "the transport cuts longer texts");
}

/// A device had two documents and might open one: the connection was closed, so it never got to sync the other.
#[test]
fn a_document_that_a_device_may_not_open_is_refused_alone() {
    let mut world = World::new();
    world.request(0, Request::Revoke { key: key(1) });
    world.request(1, Request::Allow { key: key(1), document: Some("site".into()) });
    world.settle();
    let conn = world.connect(1, "site");
    let name = DocumentName::new("boiler").unwrap();
    let mut boiler = Replica::<Heap, _>::new(&name, Config::new(Role::Member), CountingRng::new(99));
    let connect = Connect::initiator(PeerId([255; 32]), Role::Aggregator, 1);
    boiler.connect(connect).unwrap();
    let mut buffer = [0; 1200];
    let open = loop {
        match boiler.poll_output(Moment::new(world.now_ms), &mut buffer).unwrap() {
            Output::Persist => {
                let token = boiler.take_unsaved(|_| {});
                boiler.handle_persisted(token);
            }
            Output::Transmit { len, .. } => break buffer[..len].to_vec(),
            _ => {}
        }
    };
    world.others.clear();
    world.message(conn, &open);
    // Sent before the device knew.
    world.message(conn, &[1, 0x7f]);
    world.set(conn, "a", 1);
    world.settle();
    assert_eq!(world.others, [(conn, 1)]);
    assert!(world.closed.is_empty(), "{:?}", world.closed);
    assert_eq!(world.released[&conn], world.came[&conn], "nothing is waited for");
    assert_eq!(world.engine.replica("site").unwrap().document().get(path("a")), Some(Value::I64(1)));
    assert!(world.engine.replica("boiler").is_none());

    // It may ask again on the same connection, and what helps, helps at once.
    world.request(2, Request::Allow { key: key(1), document: Some("boiler".into()) });
    world.message(conn, &open);
    world.settle();
    assert!(world.others.len() > 1 && world.closed.is_empty(), "{:?}", world.others);
    assert!(world.engine.replica("boiler").is_some());
}

#[test]
fn a_faulty_peer_loses_its_connection_and_nobody_else_does() {
    let mut world = World::new();
    let good = world.connect(2, "site");
    for frame in [&[0, 0x7f][..], &[0x7f, 1], &[0xff, 0xff, 0xff], &[]] {
        let bad = world.connect(1, "site");
        world.settle();
        world.message(bad, frame);
        world.settle();
        let (conn, code, text) = world.closed.pop().unwrap();
        assert_eq!((conn, code), (bad, CloseCode::ProtocolError), "{text}");
        world.message(bad, frame);
        world.settle();
        assert!(world.closed.is_empty(), "what still comes in does not count");
    }
    world.set(good, "a", 1);
    world.settle();
    assert_eq!(world.engine.replica("site").unwrap().document().get(path("a")), Some(Value::I64(1)));
}

#[test]
fn a_revoked_device_is_out_at_once_and_told_durably() {
    let mut world = World::new();
    let conn = world.connect(1, "site");
    world.settle();
    world.request(0, Request::Revoke { key: key(1) });
    world.run();
    assert!(matches!(&world.closed[..], [(closed, CloseCode::AccessDenied, _)] if *closed == conn));
    assert_eq!(world.reply(0), None, "not durable yet");
    world.settle();
    assert!(world.reply(0).is_some());
    world.restart();
    world.connect(1, "site");
    world.settle();
    assert_eq!(world.closed.len(), 2);
}

#[test]
fn a_newer_connection_takes_the_place_of_the_older_one() {
    let mut world = World::new();
    let old = world.connect(1, "site");
    world.settle();
    let replica = world.devices.remove(&old).unwrap().replica;
    let new = world.connect_with(1, replica);
    world.settle();
    assert_eq!(world.abandoned, [old]);
    world.set(new, "a", 1);
    world.settle();
    let status = world.engine.status(world.now());
    assert_eq!((status.devices.len(), status.documents[0].sessions), (1, 1));
    assert_eq!(world.engine.replica("site").unwrap().document().size().cells, 1);
}

#[test]
fn a_slow_device_holds_up_nobody_and_loses_nothing() {
    let mut world = World::with_window(2_000);
    let (slow, quick) = (world.connect(1, "site"), world.connect(2, "site"));
    world.settle();
    world.delivers = false;
    let replica = &mut world.devices.get_mut(&quick).unwrap().replica;
    assert!(replica.document().size().cells == 0);
    for number in 0..200 {
        world.set(quick, &format!("cell/{number}"), number);
        world.settle();
    }
    let status = world.engine.status(world.now());
    assert!(status.queues.outbox_bytes > 10_000, "{status:?}");
    assert!(world.get(slow, "cell/150").is_none());
    // The network is there again.
    world.delivers = true;
    for conn in [slow, quick] {
        for id in 0..world.devices[&conn].received {
            let id = transport_quic::MessageId(id);
            let now = world.now();
            world.engine.handle_link(now, LinkEvent::Delivered { conn, id });
        }
    }
    world.settle();
    assert_eq!(world.get(slow, "cell/199"), Some(Value::I64(199)));
    assert_eq!(world.engine.status(world.now()).queues.outbox_bytes, 0);
}

#[test]
fn a_connection_that_acknowledges_nothing_is_forgotten() {
    let mut world = World::with_window(500);
    let (dead, alive) = (world.connect(1, "site"), world.connect(2, "site"));
    world.settle();
    world.delivers = false;
    for number in 0..20 {
        world.set(alive, "a", number);
        world.settle();
    }
    world.engine.handle_tick(world.now());
    world.settle();
    assert!(world.abandoned.is_empty());
    world.now_ms += STALLED_AFTER.as_millis() as u64 + 1;
    world.engine.handle_tick(world.now());
    world.settle();
    assert!(world.abandoned.contains(&dead), "{:?}", world.abandoned);
    assert_eq!(world.engine.status(world.now()).queues.outbox_bytes, 0);
}

#[test]
fn tombstones_that_everybody_has_are_forgotten() {
    let mut world = World::new();
    let (left, right) = (world.connect(1, "site"), world.connect(2, "site"));
    world.settle();
    let count = 2 * TOMBSTONES_UNASKED_MAX;
    for number in 0..count {
        world.set(left, &format!("cell/{number}"), 1);
    }
    world.settle();
    for number in 0..count {
        let replica = &mut world.devices.get_mut(&left).unwrap().replica;
        let at = format!("cell/{number}");
        let moment = Moment::new(world.now_ms);
        replica.update(moment, &[Write::delete(path(&at))]).unwrap();
    }
    world.settle();
    let cells = |world: &World| world.engine.replica("site").unwrap().document().size().cells;
    let before = cells(&world);
    assert!(before >= count);
    // A device tells that it has its own writes when it opens the next session; the other one is asked.
    let replica = world.gone(left).unwrap().replica;
    world.connect_with(1, replica);
    world.settle();
    for _ in 0..3 {
        world.engine.handle_tick(world.now());
        world.settle();
    }
    assert!(cells(&world) < before / 2, "{} of {before} cells are left", cells(&world));
    assert_eq!(world.get(right, "cell/0"), None);
    assert!(world.devices[&right].replica.document().size().cells < before / 2, "devices are told");
}
