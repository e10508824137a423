//! Documents that are in the store and are not opened any more.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use crate::support::{Aggregator, Running, code, edge, stderr, stdout, until};

/// `old` was left out of `--document`, and two cells that had never been sent were mentioned nowhere: the status said that
/// everything is at the aggregator.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_open_and_not_sent_is_told_read_sent_and_dropped() {
    let aggregator = Aggregator::start_with(&["pump", "old"]).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let old = ["--document", "old"];
    let open = ["--document", "pump", "--aggregator", &aggregator.address, "--key", &key];
    assert_eq!(code(&edge(store, &["key"])), 0);
    assert_eq!(code(&edge(store, &[&["set", "a/b", "1"][..], &old].concat())), 0);
    assert_eq!(code(&edge(store, &["set", "c", "2"])), 0);

    let running = Running::start(store, &open);
    until("the connection", async || stdout(&edge(store, &["status"])).contains("everything that is open"))
        .await;
    let status = stdout(&edge(store, &["status"]));
    assert!(status.contains("2 unsent cells in \"old\", which is not open"), "{status}");
    let status: Json = serde_json::from_str(&stdout(&edge(store, &["status", "--json"]))).unwrap();
    assert_eq!(
        (&status["unopened"][0]["document"], &status["unopened"][0]["unsent_cells"]),
        (&json!("old"), &json!(2))
    );

    // It can be read, and is not sent for that.
    for _ in 0..2 {
        assert_eq!(stdout(&edge(store, &[&["get"][..], &old].concat())), "{\"a\":{\"b\":1},\"c\":2}\n");
    }
    assert_eq!(code(&edge(store, &[&["get", "x"][..], &old].concat())), 4);
    let set = edge(store, &[&["set", "c", "3"][..], &old].concat());
    assert_eq!(code(&set), 4, "{}", stderr(&set));
    assert!(stderr(&set).contains("edge document send"), "{}", stderr(&set));
    let mut watch = Command::new(env!("CARGO_BIN_EXE_edge"))
        .args(["watch", "c", "--document", "old", "--store"])
        .arg(store)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Json>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next(), json!({"event": "snapshot", "value": 2}));
    assert_eq!(aggregator.tree_of("old").await, Json::Null);

    let dropped = edge(store, &["document", "drop", "pump"]);
    assert_eq!(code(&dropped), 7, "an open document is not dropped: {}", stderr(&dropped));
    let unknown = edge(store, &["document", "send", "odl"]);
    assert_eq!(code(&unknown), 4, "{}", stderr(&unknown));
    let sent = edge(store, &["document", "send", "old", "--timeout", "10"]);
    assert_eq!(code(&sent), 0, "{}", stderr(&sent));
    assert_eq!(aggregator.tree_of("old").await, json!({"a": {"b": 1}, "c": 2}));
    assert_eq!(next(), json!({"event": "snapshot", "value": 2}), "the watch goes on with the open document");
    assert_eq!(code(&edge(store, &[&["set", "c", "4", "--wait"][..], &old].concat())), 0);
    assert_eq!(next(), json!({"event": "set", "path": "c", "value": 4}));
    assert_eq!(aggregator.tree_of("old").await["c"], 4);
    assert!(!stdout(&edge(store, &["status"])).contains("not open"));
    watch.kill().unwrap();
    watch.wait().unwrap();
    let mut running = running;
    assert!(Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status().unwrap().success());
    assert!(running.0.wait().unwrap().success());

    // What was delivered is known after a restart, though the document is not open then.
    let _running = Running::start(store, &open);
    let list = stdout(&edge(store, &["document", "list"]));
    assert_eq!(list, "\"old\" 2 cells, 0 of them not sent\n");
    assert!(!stdout(&edge(store, &["status"])).contains("unsent"));
    let dropped = stdout(&edge(store, &["document", "drop", "old"]));
    assert_eq!(dropped, "\"old\" is deleted here: 2 cells, 0 of them never sent\n");
    assert_eq!(code(&edge(store, &[&["get"][..], &old].concat())), 4);
    assert_eq!(code(&edge(store, &["document", "drop", "old"])), 4);
    assert_eq!(stdout(&edge(store, &["document", "list"])), "every document of the store is open\n");
}

/// The start says it too, and everything but sending works while no edge runs.
#[test]
fn the_start_tells_and_a_stopped_edge_reads_and_drops() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let old = ["--document", "old"];
    assert_eq!(code(&edge(store, &["key"])), 0);
    assert_eq!(code(&edge(store, &[&["get"][..], &old].concat())), 4, "looking makes no document");
    assert_eq!(code(&edge(store, &[&["set", "a", "1"][..], &old].concat())), 0);

    let key = "00".repeat(32);
    let mut running = Command::new(env!("CARGO_BIN_EXE_edge"))
        .args(["run", "--document", "pump", "--aggregator", "127.0.0.1:9", "--key", &key, "--store"])
        .arg(store)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(running.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.contains("document \"pump\""), "{ready}");
    assert!(Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap().success());
    let log = stderr(&running.wait_with_output().unwrap());
    assert!(log.contains("1 unsent cell in \"old\", which is not open"), "{log}");

    assert_eq!(stdout(&edge(store, &[&["get", "a"][..], &old].concat())), "1\n");
    assert_eq!(code(&edge(store, &["document", "send", "old"])), 3);
    let dropped = stdout(&edge(store, &["document", "drop", "old", "--json"]));
    assert_eq!(serde_json::from_str::<Json>(&dropped).unwrap()["unsent_cells"], 1);
    assert_eq!(code(&edge(store, &[&["get"][..], &old].concat())), 4);
}

/// A delivery is known by the connection that it came on. When that had ended before the edge did, all of it counted as unsent.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_is_known_although_the_connection_ended_first() {
    let aggregator = Aggregator::start_with(&["old"]).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let (address, key) = (aggregator.address.clone(), aggregator.key.to_string());
    let link = ["--aggregator", &address, "--key", &key, "--document"];
    let mut running = Running::start(store, &[&link[..], &["old"]].concat());
    let set = edge(store, &["set", "a", "1", "--wait", "--timeout", "10"]);
    assert_eq!(code(&set), 0, "{}", stderr(&set));
    drop(aggregator);
    until("the end of the connection", async || {
        !stdout(&edge(store, &["status"])).contains("link          connected")
    })
    .await;
    assert!(Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status().unwrap().success());
    assert!(running.0.wait().unwrap().success());

    let _running = Running::start(store, &[&link[..], &["pump"]].concat());
    assert_eq!(stdout(&edge(store, &["document", "list"])), "\"old\" 1 cells, 0 of them not sent\n");
}
