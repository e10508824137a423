//! Requests of people and programs.

use control::{Change, Delete, Get, Scalar, Set, Watch};
use crdt_core::Value;
use serde_json::json;

use super::world::{World, key};
use crate::engine::{Reply, Request, RequestError, RequestId};

fn set(path: &str, value: i64) -> Request {
    Request::Set(Set { document: Some("site".into()), path: path.into(), value: Scalar::I64(value) })
}

fn get(path: Option<&str>) -> Request {
    Request::Get(Get { document: Some("site".into()), path: path.map(Into::into) })
}

fn watch(path: Option<&str>) -> Request {
    Request::Watch(Watch { document: Some("site".into()), path: path.map(Into::into) })
}

#[test]
fn a_set_is_answered_when_it_is_durable_and_reaches_devices() {
    let mut world = World::new();
    let conn = world.connect(1, "site");
    world.settle();
    world.request(1, set("a", 5));
    world.run();
    assert_eq!(world.reply(1), None);
    world.commit();
    world.run();
    assert_eq!(world.reply(1), Some(Reply::Done(json!({"changed": true}))));
    assert_eq!(world.get(conn, "a"), Some(Value::I64(5)));
    world.request(2, get(None));
    let path = "b".to_owned();
    world.request(3, Request::Delete(Delete { document: Some("site".into()), path }));
    world.settle();
    assert_eq!(world.reply(2), Some(Reply::Done(json!({"a": 5}))));
    assert_eq!(world.reply(3), Some(Reply::Done(json!({"changed": false}))));
    assert_eq!(world.engine.status(world.now()).queues.requests, 0);
}

#[test]
fn a_get_does_not_tell_what_may_still_be_lost() {
    let mut world = World::new();
    world.request(1, set("a", 1));
    world.settle();
    world.request(2, set("a", 2));
    world.request(3, get(Some("a")));
    world.run();
    assert_eq!(world.reply(3), None);
    world.settle();
    assert_eq!(world.reply(3), Some(Reply::Done(json!(2))));
}

#[test]
fn requests_that_make_no_sense_say_why() {
    let mut world = World::new();
    let failed = |world: &mut World, request| {
        world.request(9, request);
        world.settle();
        match world.reply(9) {
            Some(Reply::Failed(error)) => error,
            reply => panic!("{reply:?}"),
        }
    };
    let document = "site".to_owned();
    assert_eq!(failed(&mut world, get(None)), RequestError::UnknownDocument { document: document.clone() });
    assert!(matches!(failed(&mut world, watch(None)), RequestError::UnknownDocument { .. }));
    assert!(matches!(failed(&mut world, set("a//b", 1)), RequestError::Path { .. }));
    assert_eq!(world.engine.status(world.now()).documents_stored, 0, "a bad path makes no document");
    let no_document = Request::Get(Get { document: None, path: None });
    assert_eq!(failed(&mut world, no_document), RequestError::NoDocument);
    let long = Request::Allow { key: key(50), document: Some("x".repeat(65)) };
    assert!(matches!(failed(&mut world, long), RequestError::Name(error) if error.len == 65));
    world.request(1, set("a", 1));
    world.settle();
    let path = "b".to_owned();
    assert_eq!(failed(&mut world, get(Some("b"))), RequestError::NotFound { document, path });
    let value = Scalar::Str("x".repeat(5_000));
    let set = Request::Set(Set { document: Some("site".into()), path: "a".into(), value });
    assert!(matches!(failed(&mut world, set), RequestError::Update { .. }));
    assert_eq!(world.engine.status(world.now()).queues.requests, 0);
}

#[test]
fn a_watch_tells_durable_changes_as_fast_as_they_are_taken() {
    let mut world = World::new();
    let conn = world.connect(1, "site");
    world.settle();
    world.request(1, watch(Some("a")));
    world.settle();
    assert_eq!(world.reply(1), Some(Reply::Changes(vec![Change::Snapshot { value: None }])));
    for number in 0..3 {
        world.set(conn, "a/x", number);
        world.settle();
    }
    assert_eq!(world.reply(1), None, "the listener has not taken the first ones");
    world.engine.handle_watch_written(RequestId(1));
    world.settle();
    let change = Change::Set { path: "a/x".into(), value: json!(2) };
    assert_eq!(world.reply(1), Some(Reply::Changes(vec![change])), "what was overwritten is not told");
    world.engine.handle_watch_written(RequestId(1));
    world.set(conn, "a/x", 9);
    world.run();
    assert_eq!(world.reply(1), None, "not durable yet");
    world.settle();
    assert!(world.reply(1).is_some());
    world.engine.handle_watch_end(RequestId(1));
    world.set(conn, "a/x", 10);
    world.settle();
    assert_eq!(world.reply(1), None);
    assert_eq!(world.engine.status(world.now()).queues.watches, 0);
}

#[test]
fn a_listener_that_goes_while_its_request_waits_leaves_nothing_behind() {
    let mut world = World::new();
    world.request(1, set("a", 1));
    world.run();
    world.request(2, watch(None));
    world.engine.handle_watch_end(RequestId(2));
    world.settle();
    world.request(3, set("a", 2));
    world.settle();
    assert_eq!(world.reply(2), None);
    let queues = world.engine.status(world.now()).queues;
    assert_eq!((queues.watches, queues.requests), (0, 0));
}

#[test]
fn a_stop_ends_watches() {
    let mut world = World::new();
    world.request(1, set("a", 1));
    world.settle();
    world.request(2, watch(None));
    world.settle();
    assert!(matches!(world.reply(2), Some(Reply::Changes(_))));
    world.engine.begin_stop();
    world.settle();
    assert_eq!(world.reply(2), Some(Reply::Failed(RequestError::Stopping)));
    assert!(world.engine.is_settled());
}

#[test]
fn access_is_listed_and_durable_before_it_is_answered() {
    let mut world = World::new();
    world.request(1, Request::Allow { key: key(70), document: Some("site".into()) });
    world.run();
    assert_eq!(world.reply(1), None);
    world.settle();
    assert_eq!(world.reply(1), Some(Reply::Done(json!({"changed": true}))));
    world.request(2, Request::Allow { key: key(70), document: Some("site".into()) });
    world.settle();
    assert_eq!(world.reply(2), Some(Reply::Done(json!({"changed": false}))));
    world.restart();
    world.request(3, Request::List);
    world.settle();
    let Some(Reply::Done(listed)) = world.reply(3) else { panic!() };
    let found = listed.as_array().unwrap().iter().find(|device| device["key"] == key(70).to_string());
    assert_eq!(found.unwrap()["documents"], json!(["site"]));
}
