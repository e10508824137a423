//! A real edge and a small aggregator over real UDP.

use std::collections::HashSet;
use std::time::Duration;

use crate::support::{Aggregator, until};
use runtime_linux::{Change, Edge, LinkState, Options, Problem, Scalar, Timing, Transaction};
use serde_json::json;
use transport_quic::Identity;

fn options(directory: &std::path::Path, aggregator: &Aggregator) -> Options {
    let timing = Timing { backoff_first: Duration::from_millis(50), ..Timing::default() };
    Options {
        timing,
        ..Options::new(directory).document("pump").aggregator(&aggregator.address, aggregator.key)
    }
}

#[tokio::test]
async fn edits_travel_both_ways_and_receipts_come() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let edge = Edge::open(options(directory.path(), &aggregator)).await.unwrap();
    let mut watch = edge.watch(Some("from")).unwrap();
    assert_eq!(watch.next().await.unwrap(), Change::Snapshot { value: json!(null) });

    let receipt = edge.set("from/edge", 1).await.unwrap();
    assert_eq!(watch.next().await.unwrap(), Change::Set { path: "from/edge".to_owned(), value: json!(1) });
    receipt.durable_at_aggregator().await.unwrap();
    assert_eq!(aggregator.tree().await, json!({"from": {"edge": 1}}));

    aggregator.set("from/cloud", 2).await;
    assert_eq!(watch.next().await.unwrap(), Change::Set { path: "from/cloud".to_owned(), value: json!(2) });
    edge.update(Transaction::new().delete("from/edge").set("x", "y")).await.unwrap();
    until("the deletion", async || aggregator.tree().await == json!({"from": {"cloud": 2}, "x": "y"})).await;

    let status = edge.status().await.unwrap();
    assert!(status.connected && status.problem.is_none(), "{status:?}");
    assert!(status.ip_bytes_sent > 1200 && status.ip_bytes_received > 1200, "{status:?}");
    edge.shut_down().await.unwrap();
    assert!(edge.set("late", 1).await.is_err());
}

#[tokio::test]
async fn what_was_written_offline_arrives_later() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let edge = Edge::open(Options::new(directory.path()).document("pump")).await.unwrap();
    let key = edge.public_key();
    for i in 0..50 {
        edge.set(&format!("a/{i}"), i).await.unwrap();
    }
    assert_eq!(edge.status().await.unwrap().link, LinkState::Off);
    edge.shut_down().await.unwrap();

    // The same document and identity, from the disk.
    let mut options = options(directory.path(), &aggregator);
    options.documents.clear();
    let edge = Edge::open(options).await.unwrap();
    assert_eq!((edge.main_document().name(), edge.public_key()), ("pump", key));
    assert_eq!(edge.get("a/7").await.unwrap(), Some(Scalar::I64(7)));
    let receipt = edge.set("a/50", 50).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), receipt.durable_at_aggregator()).await.unwrap().unwrap();
    assert_eq!(aggregator.tree().await["a"].as_object().unwrap().len(), 51);
    let status = edge.status().await.unwrap();
    assert_eq!((status.backlog_cells, status.unverified), (0, false), "{status:?}");
}

#[tokio::test]
async fn an_edge_that_is_not_let_in_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let key = runtime_linux::public_key(directory.path()).unwrap();
    let aggregator = Aggregator::start("pump", HashSet::from([key])).await;
    let edge = Edge::open(options(directory.path(), &aggregator)).await.unwrap();
    edge.set("a", 1).await.unwrap();
    until("the refusal", async || edge.status().await.unwrap().problem.is_some()).await;
    let Some(Problem::AccessDenied { text }) = edge.status().await.unwrap().problem else { panic!() };
    assert_eq!(text, "this key is not enrolled");

    let wrong = Identity::from_bytes([9; 32]).public_key();
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(directory.path(), &aggregator);
    options.aggregator = Some(runtime_linux::Aggregator { address: aggregator.address.clone(), key: wrong });
    let edge = Edge::open(options).await.unwrap();
    until("the refusal", async || edge.status().await.unwrap().problem.is_some()).await;
    let problem = edge.status().await.unwrap().problem;
    assert_eq!(problem, Some(Problem::WrongKey { expected: wrong, presented: aggregator.key }));
}
