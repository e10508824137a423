//! Values that stay what they are, by the binary: what they cost, and how they are confirmed.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value as Json;

use crate::support::{Aggregator, Running, code, edge, stdout, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_written_again_costs_nothing_until_it_is_wanted() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let link = ["--aggregator", &aggregator.address, "--key", &key, "--document", "pump"];
    let rules = ["--policy", "band=dead-band:2%", "--policy", "alarm=urgent"];
    let _running = Running::start(store, &[&link[..], &rules].concat());
    let status = || -> Json { serde_json::from_str(&stdout(&edge(store, &["status", "--json"]))).unwrap() };
    let values = ["0", "0.0", "null", "true", "on", "{\"float\":\"NaN\"}"];
    let paths = ["plain", "band", "alarm"];
    let write = |path: &str, index: usize, wait: &[&str]| {
        let path = format!("{path}/{index}");
        let output = edge(store, &[&["set", &path, values[index]][..], wait].concat());
        assert_eq!(code(&output), 0, "{path}: {output:?}");
    };
    for path in paths {
        for index in 0..values.len() {
            write(path, index, &["--wait"]);
        }
    }
    // The acknowledgements of the transport have left, too.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let spent = || status()["ip_bytes_sent"].as_u64().unwrap();
    let before = spent();
    for _ in 0..3 {
        for path in paths {
            for index in 0..values.len() {
                write(path, index, &[]);
            }
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(spent(), before, "nothing has changed");
    let waits = stdout(&edge(store, &["status"]));
    let quiet =
        "company: 18 changes wait that are no reason to send: an equal value, or one within its dead band";
    assert!(waits.contains(quiet), "{waits}");
    assert_eq!(status()["documents"][0]["unsent_cells"], 18);

    write("plain", 0, &["--wait", "--timeout", "10"]);
    assert_eq!(status()["documents"][0]["unsent_cells"], 0, "all of it went along");
    let waits = stdout(&edge(store, &["status"]));
    assert!(waits.contains("nothing: everything is at the aggregator"), "{waits}");
    assert!(spent() - before < 400, "one packet or two: {}", spent() - before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_confirms_what_a_sensor_repeats() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let link = ["--aggregator", &aggregator.address, "--key", &key, "--document", "pump"];
    let _running = Running::start(store, &[&link[..], &["--policy", "t=heartbeat:2s,dead-band:1"]].concat());
    let status = || -> Json { serde_json::from_str(&stdout(&edge(store, &["status", "--json"]))).unwrap() };
    assert_eq!(code(&edge(store, &["set", "t", "21.5", "--wait"])), 0);
    let through = || status()["acknowledged_through_ms"].as_u64().unwrap();
    let first = through();
    assert_eq!(code(&edge(store, &["set", "t", "21.6"])), 0);
    let waits = stdout(&edge(store, &["status"]));
    assert!(waits.contains("(policy t: dead-band:1,heartbeat:2s)"), "{waits}");
    assert_eq!(through(), first, "it is near, and reported just now");
    until("the heartbeat", async || through() > first).await;
    assert_eq!(aggregator.tree().await["t"], 21.6);
    let policy = stdout(&edge(store, &["policy"]));
    assert!(policy.contains("dead-band:1,heartbeat:2s"), "{policy}");
}
