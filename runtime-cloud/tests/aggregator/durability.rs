//! Nothing that was acknowledged is lost.

use crdt_core::Value;

use crate::device::Device;
use crate::process::{Aggregator, done};

/// The aggregator is killed right after devices were told that their writes are durable. It would lose them if it
/// acknowledged before its commit.
#[tokio::test]
async fn what_was_acknowledged_survives_kill() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    done(store, &["init"]);
    let mut devices = [Device::new(1, "site"), Device::new(2, "site"), Device::new(3, "other")];
    for device in &devices {
        done(store, &["allow", &device.key().to_string()]);
    }
    for round in 0..20_i64 {
        let aggregator = Aggregator::start(store);
        for (number, device) in devices.iter_mut().enumerate() {
            device.connect(&aggregator).await;
            device.set(&format!("device/{number}/round"), round);
            let time = device.set(&format!("device/{number}/{round}"), true);
            device.acknowledged(&aggregator, time).await;
        }
        aggregator.kill();
        if round % 5 == 0 {
            // With no server in between, the command reads what is on the disk.
            let value = done(store, &["get", "site", "device/1/round"]);
            assert_eq!(value, round.to_string());
        }
    }
    for round in 0..20 {
        for (document, number) in [("site", 0), ("site", 1), ("other", 2)] {
            if round % 7 == 0 {
                assert_eq!(done(store, &["get", document, &format!("device/{number}/{round}")]), "true");
            }
        }
    }
    // A device that lost everything gets it back.
    let aggregator = Aggregator::start(store);
    let mut reader = Device::new(1, "site");
    reader.connect(&aggregator).await;
    reader.until("the last round", |device| device.get("device/1/19") == Some(Value::Bool(true))).await;
    for round in 0..20 {
        assert_eq!(reader.get(&format!("device/0/{round}")), Some(Value::Bool(true)), "round {round}");
    }
}

/// The transport's acknowledgement is the receipt: no message of the aggregator is needed to know what it has on disk.
#[tokio::test]
async fn what_was_delivered_survives_kill() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    done(store, &["init"]);
    let mut device = Device::new(1, "site");
    done(store, &["allow", &device.key().to_string()]);
    for round in 0..20_i64 {
        let aggregator = Aggregator::start(store);
        device.connect(&aggregator).await;
        device.open(&aggregator).await;
        device.set("round", round);
        device.delivered().await;
        aggregator.kill();
        assert_eq!(done(store, &["get", "site", "round"]), round.to_string());
    }
}

/// Writes that are under way when the kill comes are either there or still with the device; the device brings them.
#[tokio::test]
async fn a_kill_in_the_middle_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    done(store, &["init"]);
    let mut device = Device::new(1, "site");
    done(store, &["allow", &device.key().to_string()]);
    for round in 0..10_i64 {
        let aggregator = Aggregator::start(store);
        device.connect(&aggregator).await;
        for step in 0..round {
            device.set("step", round * 100 + step);
            device.during(std::time::Duration::from_millis(2)).await;
        }
        aggregator.kill();
    }
    let aggregator = Aggregator::start(store);
    device.connect(&aggregator).await;
    let time = device.set("end", true);
    device.acknowledged(&aggregator, time).await;
    assert_eq!(done(store, &["get", "site", "step"]), "908");
}

#[tokio::test]
async fn an_orderly_stop_keeps_what_the_devices_have() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    done(store, &["init"]);
    let mut device = Device::new(1, "site");
    done(store, &["allow", &device.key().to_string()]);
    let aggregator = Aggregator::start(store);
    let key = aggregator.key;
    device.connect(&aggregator).await;
    let time = device.set("a", 1);
    device.acknowledged(&aggregator, time).await;
    assert_eq!(aggregator.stop(), Some(0));
    let (code, text) = device.told().await;
    assert!(code == 4 && text.contains("stopping"), "{code} {text}");
    assert!(!store.join("aggregator.redb.sock").exists());
    let listed = done(store, &["list", "--json"]);
    assert!(!listed.contains("\"last_seen_ms\":null"), "{listed}");

    let aggregator = Aggregator::start(store);
    assert_eq!(aggregator.key, key, "the identity stays");
    device.connect(&aggregator).await;
    let time = device.set("a", 2);
    device.acknowledged(&aggregator, time).await;
}

/// Devices of a killed aggregator learn at once that their connections are gone, because the reset key stays.
#[tokio::test]
async fn a_restarted_aggregator_resets_old_connections() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    done(store, &["init"]);
    let mut device = Device::new(1, "site");
    done(store, &["allow", &device.key().to_string()]);
    let aggregator = Aggregator::start(store);
    let address = aggregator.address.to_string();
    device.connect(&aggregator).await;
    let time = device.set("a", 1);
    device.acknowledged(&aggregator, time).await;
    aggregator.kill();
    let _aggregator = Aggregator::start_at(store, &address);
    device.set("a", 2);
    device.until("the reset", |device| device.closed.is_some()).await;
    assert_eq!(device.closed, Some(transport_quic::CloseReason::Reset));
}
