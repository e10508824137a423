//! A receipt is true: it waits for everything that the answer rests on.

use std::collections::HashSet;
use std::process::Command;
use std::time::Duration;

use runtime_linux::{Edge, Options, Transaction};
use serde_json::{Value as Json, json};

use crate::support::{Aggregator, Running, code, edge, stderr, stdout};

/// The discard port: nobody answers.
const NOBODY: &str = "127.0.0.1:9";

/// The aggregator was down. `delete x --wait` ended with 5, and the same command once more with 0 and `at_aggregator`: there
/// was nothing left to write, so nobody waited for the first delete.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_writes_nothing_waits_for_what_its_answer_rests_on() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let to = |address: &'static str| ["--aggregator", address, "--key"];
    let wait = |command: &[&str], timeout: &str| {
        edge(store, &[command, &["--wait", "--json", "--timeout", timeout]].concat())
    };
    assert_eq!(code(&edge(store, &["key"])), 0);
    assert_eq!(code(&edge(store, &["set", "x", "1", "--document", "pump"])), 0);

    let running = Running::start(store, &[&to(NOBODY)[..], &[&key]].concat());
    for command in [
        &["delete", "x"][..],
        &["delete", "x"],
        &["delete", "never/there"],
        &["set", "y", "5"],
        &["set", "y", "5"],
    ] {
        let output = wait(command, "0.3");
        assert_eq!(code(&output), 5, "{command:?}: {} {}", stdout(&output), stderr(&output));
        assert!(stderr(&output).contains("is on this device's disk"), "{}", stderr(&output));
        assert_eq!(stdout(&output), "", "no receipt was printed");
    }
    let written: Json = serde_json::from_str(&stdout(&edge(store, &["delete", "x", "--json"]))).unwrap();
    assert_eq!((&written["time_ms"], &written["at_aggregator"]), (&Json::Null, &json!(false)));
    drop(running);

    let offline: Json = serde_json::from_str(&stdout(&edge(store, &["delete", "x", "--json"]))).unwrap();
    assert_eq!(offline["at_aggregator"], false, "nobody has asked the aggregator");

    let _running = Running::start(store, &["--aggregator", &aggregator.address, "--key", &key]);
    let done = wait(&["delete", "x"], "10");
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert_eq!(serde_json::from_str::<Json>(&stdout(&done)).unwrap()["at_aggregator"], true);
    assert_eq!(aggregator.tree().await, json!({"y": 5}), "everything before it has arrived");
    let again = wait(&["delete", "x"], "10");
    assert_eq!(code(&again), 0, "{}", stderr(&again));
}

/// The same in the library, also for a transaction without writes.
#[tokio::test]
async fn an_empty_transaction_has_a_receipt_only_when_everything_before_it_has() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let options = || Options::new(directory.path()).document("pump");
    let alone = Edge::open(options().aggregator(NOBODY, aggregator.key)).await.unwrap();
    let receipts = [
        alone.update(Transaction::new()).await.unwrap(),
        alone.set("x", 1).await.unwrap(),
        alone.delete("x").await.unwrap(),
        alone.delete("x").await.unwrap(),
        alone.update(Transaction::new()).await.unwrap(),
        alone.update(Transaction::new().delete("x").set("y", 2)).await.unwrap(),
    ];
    for (index, receipt) in receipts.iter().enumerate() {
        let waiting = tokio::time::timeout(Duration::from_millis(50), receipt.durable_at_aggregator()).await;
        assert!(waiting.is_err(), "receipt {index} came from nowhere");
    }
    alone.shut_down().await.unwrap();

    let edge = Edge::open(options().aggregator(&aggregator.address, aggregator.key)).await.unwrap();
    edge.update(Transaction::new()).await.unwrap().durable_at_aggregator().await.unwrap();
    assert_eq!(aggregator.tree().await, json!({"y": 2}));
    edge.shut_down().await.unwrap();
}

/// A stop in the middle left the caller with "whether it did what was asked is not known", though the write was on the disk.
#[test]
fn a_wait_that_is_cut_off_by_a_stop_says_that_the_write_is_on_the_disk() {
    for signal in ["-TERM", "-KILL"] {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path();
        let key = "00".repeat(32);
        let arguments = ["--aggregator", NOBODY, "--key", &key, "--document", "pump"];
        let running = Running::start(store, &arguments);
        let waiting = Command::new(env!("CARGO_BIN_EXE_edge"))
            .args(["set", "a", "1", "--wait", "--store"])
            .arg(store)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        while code(&edge(store, &["get", "a"])) != 0 {}
        // It may not have asked for the receipt yet; the answer is the same.
        assert!(Command::new("kill").args([signal, &running.0.id().to_string()]).status().unwrap().success());
        let output = waiting.wait_with_output().unwrap();
        assert_eq!(code(&output), 3, "{}", stderr(&output));
        assert!(stderr(&output).contains("the write is on this device's disk"), "{}", stderr(&output));
    }
}
