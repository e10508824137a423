//! A real edge and a small aggregator over real UDP.

use std::collections::HashSet;
use std::time::Duration;

use crate::support::{Aggregator, until};
use runtime_linux::{
    Change, DOCUMENTS_MAX, Edge, LinkState, OpenError, Options, Problem, Scalar, Timing, Transaction,
};
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
    assert_eq!(watch.next().await.unwrap(), Change::Snapshot { value: None });

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

#[tokio::test]
async fn two_documents_share_a_connection_and_come_back_after_a_restart() {
    let aggregator = Aggregator::start_with(&["pump", "town"]).await;
    let directory = tempfile::tempdir().unwrap();
    // Begun with one; the other one is added later.
    let edge = Edge::open(options(directory.path(), &aggregator)).await.unwrap();
    edge.set("a", 1).await.unwrap();
    edge.shut_down().await.unwrap();
    let edge = Edge::open(options(directory.path(), &aggregator).document("town")).await.unwrap();
    let town = edge.document("town").unwrap();
    let mut watch = town.watch(None).unwrap();
    assert_eq!(watch.next().await.unwrap(), Change::Snapshot { value: None });
    let (first, second) = tokio::join!(edge.set("a", 2), town.set("b", 3));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.document(), second.document()), ("pump", "town"));
    edge.flush().await.unwrap();
    first.durable_at_aggregator().await.unwrap();
    second.durable_at_aggregator().await.unwrap();
    assert_eq!(aggregator.tree().await, json!({"a": 2}));
    assert_eq!(aggregator.tree_of("town").await, json!({"b": 3}));
    assert_eq!(watch.next().await.unwrap(), Change::Set { path: "b".to_owned(), value: json!(3) });
    assert_eq!((edge.get("b").await.unwrap(), town.get("b").await.unwrap()), (None, Some(Scalar::I64(3))));
    let error = edge.document("twon").unwrap_err().to_string();
    assert!(error.contains("no document \"twon\", only \"pump\", \"town\""), "{error}");
    edge.shut_down().await.unwrap();

    // Both are remembered.
    let mut options = options(directory.path(), &aggregator);
    options.documents.clear();
    let edge = Edge::open(options).await.unwrap();
    assert_eq!(edge.document_names().iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["pump", "town"]);
    assert_eq!(edge.document("town").unwrap().tree(None).await.unwrap(), Some(json!({"b": 3})));
}

#[tokio::test]
async fn a_document_that_may_not_be_opened_keeps_no_other_waiting() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let edge = Edge::open(options(directory.path(), &aggregator).document("secret")).await.unwrap();
    edge.document("secret").unwrap().set("b", 3).await.unwrap();
    edge.set("a", 2).await.unwrap().durable_at_aggregator().await.unwrap();
    until("the refusal", async || edge.status().await.unwrap().documents[1].problem.is_some()).await;
    let status = edge.status().await.unwrap();
    assert_eq!((status.problem, status.link), (None, LinkState::Connected));
    let [first, second] = &status.documents[..] else { panic!() };
    assert!(first.connected && !second.connected);
    let problem = second.problem.as_ref().unwrap().to_string();
    assert!(problem.contains("may not open document \"secret\""), "{problem}");
    assert_eq!(second.waits_for, "the aggregator, which is asked again later");
}

#[tokio::test]
async fn more_documents_than_there_may_be_are_too_many() {
    let directory = tempfile::tempdir().unwrap();
    let many = (0..=DOCUMENTS_MAX).fold(Options::new(directory.path()), |o, i| o.document(i.to_string()));
    let error = Edge::open(many).await.unwrap_err();
    assert!(matches!(error, OpenError::TooManyDocuments { documents: 65, limit: 64 }), "{error}");
    // A name that is given twice counts once.
    let twice = Options::new(directory.path()).document("pump").document("pump");
    let edge = Edge::open(twice).await.unwrap();
    assert_eq!(edge.document_names().len(), 1);
}
