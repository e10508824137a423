//! The binary `edge` as a process: what a person sees, and what a kill leaves behind.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Aggregator, Running, code, edge, stderr, stdout, until};
use control::{Client, Scalar, Set};
use runtime_linux::{EdgeRequest, socket_path};
use serde_json::{Value as Json, json};

#[test]
fn the_commands_work_with_and_without_a_running_edge() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = stdout(&edge(store, &["key"]));
    assert_eq!(key.trim().len(), 64);
    let missing = edge(store, &["set", "a/b", "1"]);
    assert_eq!(code(&missing), 2, "no document yet: {}", stderr(&missing));
    let set = edge(store, &["set", "a/b", "1", "--document", "pump", "--json"]);
    let receipt: Json = serde_json::from_str(&stdout(&set)).unwrap();
    assert_eq!((&receipt["document"], &receipt["at_aggregator"]), (&json!("pump"), &json!(false)));
    for command in [&["watch"][..], &["status"]] {
        let output = edge(store, command);
        assert_eq!(code(&output), 3, "{}", stderr(&output));
        assert!(stderr(&output).contains("no process is running"), "{}", stderr(&output));
    }

    for _ in 0..2 {
        // The same answers from the store, and from the running edge.
        let running = Running::start(store, &[]);
        assert_eq!(code(&edge(store, &["set", "mode", "auto"])), 0);
        assert_eq!(stdout(&edge(store, &["get", "mode"])), "\"auto\"\n");
        drop(running);
        assert_eq!(stdout(&edge(store, &["get", "mode", "--raw"])), "auto\n");
        assert_eq!(stdout(&edge(store, &["get"])), "{\"a\":{\"b\":1},\"mode\":\"auto\"}\n");
        assert_eq!(code(&edge(store, &["delete", "mode"])), 0);
        let gone = edge(store, &["get", "mode"]);
        assert_eq!((code(&gone), stderr(&gone).as_str()), (4, "edge: nothing is at \"mode\"\n"));
    }

    let _running = Running::start(store, &[]);
    assert_eq!(stdout(&edge(store, &["key"])), key, "a running edge tells its key too");
    let status: Json = serde_json::from_str(&stdout(&edge(store, &["status", "--json"]))).unwrap();
    assert_eq!((status["public_key"].as_str(), &status["link"]), (Some(key.trim()), &json!("off")));
    for (arguments, message) in [
        (&["set", "a//b", "1"][..], "is no path"),
        (&["set", "a", &"x".repeat(5000)], "at most 4096 bytes"),
        (&["set", "a", "99999999999999999999"], "write it as 99999999999999999999.0"),
        (&["get", "a", "--document", "other"], "no document \"other\", only \"pump\""),
        (&["fly"], "unrecognized subcommand"),
    ] {
        let output = edge(store, arguments);
        let expected = if message.starts_with("no document") { 4 } else { 2 };
        assert_eq!(code(&output), expected, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
    }
    let second = edge(store, &["run"]);
    assert_eq!(code(&second), 6);
    assert!(stderr(&second).contains("is open in another process"), "{}", stderr(&second));
}

#[test]
fn a_store_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = edge(&directory.path().join("none"), &["get", "a"]);
    assert_eq!(code(&missing), 6);
    assert!(stderr(&missing).contains("there is no store in"), "{}", stderr(&missing));
    assert!(!directory.path().join("none").exists(), "looking makes nothing");
    let nowhere = edge(&directory.path().join("no/where"), &["run", "--document", "pump"]);
    assert_eq!(code(&nowhere), 6, "{}", stderr(&nowhere));

    let store = directory.path().join("store");
    assert_eq!(code(&edge(&store, &["key"])), 0);
    assert_eq!(code(&edge(&store, &["set", "a", "1", "--document", "pump"])), 0);
    let file = store.join("store.redb");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes.truncate(middle);
    fs::write(&file, &bytes).unwrap();
    for command in [&["get", "a"][..], &["set", "a", "2"], &["run"], &["key"]] {
        let output = edge(&store, command);
        assert_eq!(code(&output), 6, "{command:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("damaged"), "{}", stderr(&output));
    }
    fs::write(&file, "this is a letter, not a store").unwrap();
    let letter = edge(&store, &["run"]);
    assert_eq!(code(&letter), 6);
    assert_eq!(fs::read_to_string(&file).unwrap(), "this is a letter, not a store");
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_wait_and_an_orderly_end() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().to_owned();
    let key = aggregator.key.to_string();
    let arguments = ["--aggregator", &aggregator.address, "--key", &key, "--document", "pump"];
    let mut running = Running::start(&store, &arguments);
    let mut watch = Command::new(env!("CARGO_BIN_EXE_edge"))
        .args(["watch", "set", "--store"])
        .arg(&store)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Json>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next(), json!({"event": "snapshot"}));

    let set = edge(&store, &["set", "set/point", "4.5", "--wait", "--timeout", "10", "--json"]);
    assert_eq!(code(&set), 0, "{}", stderr(&set));
    assert_eq!(serde_json::from_str::<Json>(&stdout(&set)).unwrap()["at_aggregator"], true);
    assert_eq!(aggregator.tree().await, json!({"set": {"point": 4.5}}));
    assert_eq!(next(), json!({"event": "set", "path": "set/point", "value": 4.5}));
    aggregator.set("set/other", 7).await;
    assert_eq!(next(), json!({"event": "set", "path": "set/other", "value": 7}));

    let id = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(running.0.wait().unwrap().success());
    assert_eq!(watch.wait().unwrap().code(), Some(3));
    assert!(!socket_path(&store).exists());
    let late = edge(&store, &["set", "set/point", "5", "--wait"]);
    assert_eq!(code(&late), 3, "{}", stderr(&late));
    assert_eq!(stdout(&edge(&store, &["get", "set/point"])), "5\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_documents_of_one_process() {
    let aggregator = Aggregator::start_with(&["pump", "town"]).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let arguments = ["--aggregator", &aggregator.address, "--key", &key];
    let named = ["--document", "pump", "--document", "town"];
    let running = Running::start(store, &[&arguments[..], &named].concat());
    for (path, name) in [("a", &[][..]), ("b", &["--document", "town"])] {
        let set = edge(store, &[&["set", path, "1", "--wait", "--timeout", "10"][..], name].concat());
        assert_eq!(code(&set), 0, "{}", stderr(&set));
    }
    assert_eq!(code(&edge(store, &["flush"])), 0);
    assert_eq!(aggregator.tree().await, json!({"a": 1}));
    assert_eq!(aggregator.tree_of("town").await, json!({"b": 1}));
    let status = stdout(&edge(store, &["status"]));
    assert!(status.contains("document      \"pump\", 1 cells"), "{status}");
    assert!(status.contains("document      \"town\", 1 cells"), "{status}");
    let unknown = edge(store, &["watch", "--document", "twon"]);
    assert_eq!(code(&unknown), 4);
    assert!(
        stderr(&unknown).contains("no document \"twon\", only \"pump\", \"town\""),
        "{}",
        stderr(&unknown)
    );
    drop(running);

    // Without names, and without a running edge, it is the same documents.
    let town = ["--document", "town"];
    assert_eq!(stdout(&edge(store, &[&["get", "b"][..], &town].concat())), "1\n");
    assert_eq!(code(&edge(store, &[&["set", "b", "2"][..], &town].concat())), 0);
    let unknown = edge(store, &["get", "a", "--document", "twon"]);
    assert!(
        code(&unknown) == 4 && stderr(&unknown).contains("only \"pump\", \"town\""),
        "{}",
        stderr(&unknown)
    );
    assert_eq!(code(&edge(store, &["flush"])), 3);
    let _running = Running::start(store, &arguments);
    until("the change", async || aggregator.tree_of("town").await == json!({"b": 2})).await;
    assert_eq!(stdout(&edge(store, &["get", "a"])), "1\n");
}

/// A receipt that does not come in time has its own exit code, and the write stays.
#[test]
fn waiting_for_a_receipt_has_an_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    // The discard port: nobody answers.
    let key = "00".repeat(32);
    let arguments = ["--aggregator", "127.0.0.1:9", "--key", &key, "--document", "pump"];
    let _running = Running::start(store, &arguments);
    let set = edge(store, &["set", "a", "1", "--wait", "--timeout", "0.2"]);
    assert_eq!(code(&set), 5, "{}", stderr(&set));
    assert_eq!(stdout(&edge(store, &["get", "a"])), "1\n");
    let shown = stdout(&edge(store, &["status"]));
    assert!(shown.contains("waits for     the end of the handshake"), "{shown}");
    assert!(shown.contains("backlog       1 cells"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_was_confirmed() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let arguments = ["--aggregator", &aggregator.address, "--key", &key, "--document", "pump"];
    let mut confirmed = 0_i64;
    for round in 0..20 {
        let running = Running::start(store, &arguments);
        let mut client = Client::connect(&socket_path(store)).await.unwrap();
        let found = client
            .request(&EdgeRequest::Get(control::Get { document: None, path: Some("count".to_owned()) }))
            .await;
        let found = found.map_or(0, |found| found.as_i64().unwrap());
        assert!(found >= confirmed, "round {round}: {found} is on the disk, {confirmed} was confirmed");
        // Killed while writes are under way, at another moment each time.
        let until = tokio::time::Instant::now() + Duration::from_millis(20 + 7 * round);
        let writer = tokio::spawn(async move {
            let mut last = found;
            loop {
                let set = Set { document: None, path: "count".to_owned(), value: Scalar::I64(last + 1) };
                match client.request(&EdgeRequest::Set(set)).await {
                    Ok(_) => last += 1,
                    Err(_) => return last,
                }
            }
        });
        tokio::time::sleep_until(until).await;
        drop(running);
        let last = writer.await.unwrap();
        assert!(last >= found);
        confirmed = last;
    }
    assert!(confirmed > 20, "{confirmed} writes were confirmed");
    let _running = Running::start(store, &arguments);
    until("convergence", async || {
        aggregator.tree().await["count"].as_i64().is_some_and(|count| count >= confirmed)
    })
    .await;
}
