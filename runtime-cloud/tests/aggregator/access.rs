//! Who gets in, and what those are told who do not.

use crdt_core::{Event, Refusal};
use serde_json::json;

use crate::device::{Device, identity};
use crate::process::{Aggregator, done, status};

#[tokio::test]
async fn an_unknown_key_is_refused_and_told_how_to_get_in() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let aggregator = Aggregator::start(store);
    let mut device = Device::new(1, "site");
    device.set("a", 1);
    device.connect(&aggregator).await;
    let (code, text) = device.told().await;
    assert_eq!(code, 1);
    assert!(text.contains(&format!("aggregator allow {}", device.key())), "{text}");
    assert_eq!(status(store)["counters"]["access_denied"], 1);
    assert_eq!(status(store)["documents_stored"], 0, "nothing of it was taken");

    // What the text says is what helps, at once.
    let key = device.key().to_string();
    assert_eq!(done(store, &["allow", &key]), format!("{key} may now open every document"));
    assert_eq!(done(store, &["allow", &key]), format!("{key} may already open every document"));
    device.connect(&aggregator).await;
    let time = device.set("a", 2);
    device.acknowledged(&aggregator, time).await;
    assert_eq!(done(store, &["get", "site", "a"]), "2");
}

#[tokio::test]
async fn another_document_than_the_allowed_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let aggregator = Aggregator::start(store);
    let mut device = Device::new(1, "boiler");
    done(store, &["allow", &device.key().to_string(), "--document", "pump"]);
    device.set("a", 1);
    device.connect(&aggregator).await;
    let is_refused = |event: &Event| matches!(event, Event::Refused { reason: Refusal::Access, .. });
    device.until("the refusal", |device| device.events.iter().any(is_refused)).await;
    let status = status(store);
    assert_eq!((&status["documents_stored"], &status["counters"]["access_denied"]), (&json!(0), &json!(1)));
    // The connection is not at fault.
    assert_eq!(status["devices"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_revoked_device_is_out_at_once_and_stays_out() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let aggregator = Aggregator::start(store);
    let mut device = Device::new(1, "site");
    let mut other = Device::new(2, "site");
    for key in [device.key(), other.key()] {
        done(store, &["allow", &key.to_string()]);
    }
    device.connect(&aggregator).await;
    other.connect(&aggregator).await;
    let time = device.set("a", 1);
    device.acknowledged(&aggregator, time).await;
    let key = device.key().to_string();
    assert_eq!(done(store, &["revoke", &key]), format!("{key} is forgotten"));
    let (code, text) = device.told().await;
    assert!(code == 1 && text.contains("was revoked"), "{code} {text}");
    aggregator.kill();

    let aggregator = Aggregator::start(store);
    device.connect(&aggregator).await;
    let (_, text) = device.told().await;
    assert!(text.contains("not allowed"), "durable: {text}");
    let listed = done(store, &["list", "--json"]);
    assert!(!listed.contains(&key) && listed.contains(&identity(2).public_key().to_string()), "{listed}");
    other.connect(&aggregator).await;
    let time = other.set("b", 1);
    other.acknowledged(&aggregator, time).await;
}

#[tokio::test]
async fn a_newer_connection_of_a_key_takes_the_place_of_the_older_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let aggregator = Aggregator::start(store);
    let mut device = Device::new(1, "site");
    done(store, &["allow", &device.key().to_string()]);
    for number in 0..3 {
        device.connect(&aggregator).await;
        let time = device.set("a", number);
        device.acknowledged(&aggregator, time).await;
        let status = status(store);
        assert_eq!(status["devices"].as_array().unwrap().len(), 1);
        assert_eq!(status["documents"][0]["sessions"], 1);
    }
}
