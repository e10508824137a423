//! Documents travel: between devices, and between devices and people.

use crdt_core::Value;
use serde_json::json;

use crate::device::Device;
use crate::process::{Aggregator, Lines, done, failed, status};

#[tokio::test]
async fn two_devices_converge_through_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let aggregator = Aggregator::start(store);
    let (mut left, mut right) = (Device::new(1, "site"), Device::new(2, "site"));
    done(store, &["allow", &left.key().to_string()]);
    done(store, &["allow", &right.key().to_string(), "--document", "site"]);
    left.connect(&aggregator).await;
    right.connect(&aggregator).await;
    left.set("pump/speed", 1450);
    right.set("valve/open", true);
    right.until("sent", |device| device.connection.is_some()).await;
    left.until("the valve", |device| device.get("valve/open") == Some(Value::Bool(true))).await;
    right.until("the pump", |device| device.get("pump/speed") == Some(Value::I64(1450))).await;

    // Later changes come over the open sessions, deletions too.
    left.delete("pump");
    left.set("pump/mode", "auto");
    left.until("sent", |device| device.connection.is_some()).await;
    right.until("the mode", |device| device.get("pump/mode") == Some(Value::Str("auto"))).await;
    assert_eq!(right.get("pump/speed"), None);
    assert_eq!(left.replica.document().fingerprint(), right.replica.document().fingerprint());

    assert_eq!(done(store, &["get", "site", "pump/mode"]), "\"auto\"");
    let status = status(store);
    assert_eq!(status["documents"][0]["sessions"], 2);
    assert_eq!(status["devices"].as_array().unwrap().len(), 2);
    assert!(status["counters"]["commits"].as_u64().unwrap() >= 1, "{status}");
    assert!(status["bytes"]["received"]["handshake"]["bytes"].as_u64().unwrap() > 2 * 1200, "{status}");
    assert_eq!(status["counters"]["protocol_errors"], 0);
    assert!(done(store, &["status"]).contains("\"site\": "));
    assert!(done(store, &["list"]).contains("every document"));
}

#[tokio::test]
async fn what_people_set_reaches_devices_and_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let mut device = Device::new(1, "site");
    // Before the aggregator runs for the first time.
    done(store, &["init"]);
    done(store, &["allow", &device.key().to_string()]);
    done(store, &["set", "site", "pump/setpoint", "4.5"]);
    assert_eq!(done(store, &["get", "site"]), "{\n  \"pump\": {\n    \"setpoint\": 4.5\n  }\n}");

    let aggregator = Aggregator::start(store);
    device.connect(&aggregator).await;
    device.until("the set-point", |device| device.get("pump/setpoint") == Some(Value::F64(4.5))).await;

    let mut watch = Lines::of(store, &["watch", "site", "pump"]);
    assert_eq!(watch.next(), json!({"event": "snapshot", "value": {"setpoint": 4.5}}));
    done(store, &["set", "site", "pump/setpoint", "-5"]);
    assert_eq!(watch.next(), json!({"event": "set", "path": "pump/setpoint", "value": -5}));
    device.until("the new one", |device| device.get("pump/setpoint") == Some(Value::I64(-5))).await;
    device.set("pump/on", true);
    device.set("other", 1);
    device.delete("pump/setpoint");
    device.until("sent", |device| device.connection.is_some()).await;
    let mut seen = [watch.next(), watch.next()];
    seen.sort_by_key(ToString::to_string);
    assert_eq!(
        seen,
        [
            json!({"event": "delete", "path": "pump/setpoint"}),
            json!({"event": "set", "path": "pump/on", "value": true})
        ]
    );
    assert_eq!(done(store, &["delete", "site", "pump"]), "deleted");
    assert_eq!(done(store, &["delete", "site", "pump"]), "nothing was there");
    device.until("the deletion", |device| device.get("pump/on").is_none()).await;

    assert_eq!(aggregator.stop(), Some(0));
    assert_eq!(watch.end(), Some(3), "the watch is told that the aggregator stops");
    assert!(failed(store, &["watch", "site"], 3).contains("aggregator serve"));
    assert!(failed(store, &["status"], 3).contains("no process is running"));
    assert_eq!(done(store, &["get", "site", "other"]), "1");
}

#[test]
fn bad_requests_name_the_value_and_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let _aggregator = Aggregator::start(store);
    done(store, &["set", "site", "a", "1"]);
    assert!(failed(store, &["get", "site", "b"], 4).contains("nothing is at \"b\" in document \"site\""));
    assert!(failed(store, &["get", "sit"], 4).contains("there is no document \"sit\""));
    assert!(failed(store, &["set", "site", "a//b", "1"], 2).contains("no empty keys"));
    assert!(failed(store, &["set", &"n".repeat(65), "a", "1"], 2).contains("1 to 64 bytes, this one has 65"));
    assert!(failed(store, &["set", "site", "a", &"x".repeat(5000)], 2).contains("4096"));
    assert!(failed(store, &["allow", "abc"], 2).contains("64 hexadecimal digits"));
    assert_eq!(done(store, &["get", "site", "a"]), "1", "nothing has changed");
}
