//! The ledger and the budget of a real process.

use std::collections::HashSet;
use std::time::Duration;

use runtime_linux::{Edge, Level, Options, Plan, Timing};
use serde_json::Value as Json;

use crate::support::{Aggregator, Running, code, edge, stderr, stdout, until};

fn ledger(store: &std::path::Path) -> Json {
    serde_json::from_str(&stdout(&edge(store, &["ledger", "--json"]))).unwrap()
}

fn sum(row: &Json) -> u64 {
    let direction = |name: &str| -> u64 {
        row[name].as_object().unwrap().values().map(|count| count["bytes"].as_u64().unwrap()).sum()
    };
    direction("sent") + direction("received")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_survives_a_restart_and_the_causes_are_its_total() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let arguments = ["--aggregator", &aggregator.address, "--key", &key, "--document", "pump"];
    let mut last = 0;
    for round in 0..2 {
        let mut running = Running::start(store, &arguments);
        let done = edge(store, &["set", "a/b", &round.to_string(), "--wait"]);
        assert_eq!(code(&done), 0, "{}", stderr(&done));
        let while_running = ledger(store);
        std::process::Command::new("kill").arg(running.0.id().to_string()).status().unwrap();
        running.0.wait().unwrap();
        let report = ledger(store);
        let day = report["days"].as_array().unwrap().last().unwrap();
        let total = day["total"]["bytes"].as_u64().unwrap();
        assert_eq!(sum(day), total, "{day}");
        assert_eq!(sum(&report["months"][0]), report["months"][0]["total"]["bytes"]);
        assert!(total >= while_running["days"][0]["total"]["bytes"].as_u64().unwrap());
        assert!(total > last + 3_000, "{total} after {last}");
        for cause in ["handshake", "cells", "control"] {
            assert!(day["sent"][cause]["bytes"].as_u64().unwrap() > 0, "{cause}: {day}");
        }
        last = total;
    }
    // What was spent before there was a budget counts in it.
    let with_budget = Running::start(store, &[&arguments[..], &["--budget", "5MB"]].concat());
    let status: Json = serde_json::from_str(&stdout(&edge(store, &["status", "--json"]))).unwrap();
    assert!(status["budget"]["spent_bytes"].as_u64().unwrap() >= last, "{status}");
    drop(with_budget);
    let table = stdout(&edge(store, &["ledger"]));
    assert!(table.contains("month from") && table.contains("retransmits"), "{table}");
    assert!(stdout(&edge(store, &["get", "a/b"])).contains('1'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_edge_forfeits_its_lease_and_counts_nothing_too_little() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let plan = ["--budget", "5MB/month", "--budget-reserve", "20%", "--urgent", "alarm"];
    let arguments =
        [&["--aggregator", &aggregator.address, "--key", &key, "--document", "pump"][..], &plan].concat();
    let status = || -> Json { serde_json::from_str(&stdout(&edge(store, &["status", "--json"]))).unwrap() };
    let mut spent = 0;
    for _ in 0..3 {
        let running = Running::start(store, &arguments);
        assert_eq!(code(&edge(store, &["set", "a", "1", "--wait"])), 0);
        let told = status();
        assert_eq!(told["budget"]["level"], "everything", "{told}");
        let ip_bytes = told["ip_bytes_sent"].as_u64().unwrap() + told["ip_bytes_received"].as_u64().unwrap();
        let now = told["budget"]["spent_bytes"].as_u64().unwrap();
        assert!(ip_bytes > 0 && now >= spent + ip_bytes, "{now} {spent} {ip_bytes}");
        spent = now;
        // Killed.
        drop(running);
    }
    let text = {
        let _running = Running::start(store, &arguments);
        stdout(&edge(store, &["status"]))
    };
    assert!(text.contains("of 5000000 bytes since") && text.contains("everything is sent"), "{text}");
}

#[tokio::test]
async fn a_spent_budget_is_silence_and_edits_go_on() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let timing = Timing { backoff_first: Duration::from_millis(50), ..Timing::default() };
    // More than the least plan has in a month, so that it ends on any day of one.
    let options = Options {
        timing,
        ..Options::new(directory.path()).document("pump").aggregator(&aggregator.address, aggregator.key)
    }
    .plan(Plan::try_new(250_000, 1, 10).unwrap());
    let edge = Edge::open(options).await.unwrap();
    for i in 0..300 {
        edge.set(&format!("a/{i}"), "x".repeat(1000)).await.unwrap();
    }
    let mut level = edge.budget_level();
    tokio::time::timeout(Duration::from_secs(10), level.wait_for(|level| *level != Level::Everything))
        .await
        .unwrap()
        .unwrap();
    until("the end of the connection", async || !edge.status().await.unwrap().connected).await;
    let status = edge.status().await.unwrap();
    let budget = status.budget.unwrap();
    assert!(budget.spent_bytes <= budget.cap_bytes && budget.resumes.is_some(), "{budget:?}");
    assert!(status.waits_for.contains("budget"), "{}", status.waits_for);
    let before = status.ip_bytes_sent;
    edge.set("a/0", 7).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(edge.status().await.unwrap().ip_bytes_sent, before);
    assert_eq!(edge.get("a/0").await.unwrap(), Some(7.into()));
}

#[test]
fn a_plan_that_cannot_be_followed_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let cases = [
        (["--budget", "50"], "250000 is the least"),
        (["--budget", "50MB/week"], "is no unit here"),
        (["--budget", "50Mbit"], "is no unit here"),
        (["--budget", "MB"], "50MB"),
        (["--budget=-5MB", "--budget-reserve=10%"], "does not begin with a number"),
        (["--budget", "NaN"], "does not begin with a number"),
        (["--budget", "99999EB"], "18446744073709551615 bytes are the most"),
        (["--budget", "0.2MB"], "a budget of 200000 bytes a month"),
        (["--budget-reset-day", "32"], "32 is not in 1..=31"),
        (["--budget-reset-day", "0"], "0 is not in 1..=31"),
        (["--budget-zone", "Europe/Berln"], "did you mean Europe/Berlin?"),
        (["--budget-zone", "Sao Paulo"], "did you mean America/Sao_Paulo?"),
        (["--budget-zone", "CEST"], "IANA name"),
        (["--budget-zone", "+02:00"], "IANA name"),
        (["--budget-zone", ""], "IANA name"),
        (["--budget-reserve", "95%"], "0% to 90%"),
        (["--urgent", "a//b"], "is no path"),
    ];
    for (arguments, expected) in cases {
        let output = edge(directory.path(), &[&["run", "--document", "pump"][..], &arguments].concat());
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
}
