//! The control socket of a running edge: what the binary's commands, and other programs on the device, speak to.

use std::path::Path;

use control::{BindError, Delete, ErrorReply, Get, Gone, Replies, Server, Set};
use crdt_core::{ReplicaId, Stamp, Time};
use serde::{Deserialize, Serialize};

use crate::document::{Document, Receipt};
use crate::error::EdgeError;
use crate::handle::Edge;
use crate::place::ROLE;

/// A request: one JSON object on one line, such as `{"verb":"get","path":"pump/3"}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum EdgeRequest {
    /// Deletes; answered by [`Written`].
    Delete(Delete),
    /// Sends what waits; answered by `null` when the link has it.
    Flush,
    /// Reads; answered by the value.
    Get(Get),
    /// Answered by a [`LedgerReport`](crate::LedgerReport).
    Ledger,
    /// Answered by a list of [`DocumentPolicy`](crate::DocumentPolicy).
    Policy,
    /// Waits until the aggregator has a write on its disk; answered by the same [`Written`].
    Receipt(Written),
    /// Writes; answered by [`Written`].
    Set(Set),
    /// Answered by a [`Status`](crate::Status).
    Status,
    /// A stream of [`Change`](control::Change)s.
    Watch(control::Watch),
}

/// A write that is on this device's disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The document's name.
    pub document: String,
    /// Time of its stamp, in milliseconds since 1970; nothing was written without it, because there was nothing to do.
    pub time_ms: Option<u64>,
    /// The id under which it was written, 16 hexadecimal digits.
    pub replica: Option<String>,
    /// Whether the aggregator has it on its disk, as far as is known.
    pub at_aggregator: bool,
}

/// Serves the control socket of an edge at `path` until `stop` resolves, or until the edge has stopped.
///
/// # Errors
/// [`BindError`].
pub async fn serve(edge: Edge, path: &Path, stop: impl Future<Output = ()>) -> Result<(), BindError> {
    let server = Server::bind(path).await?.for_store(ROLE.name, edge.store_path())?;
    let ended = edge.clone();
    let stop = async move {
        tokio::select! {
            () = stop => {}
            // How it ended is for whoever opened it.
            _ = ended.ended() => {}
        }
    };
    server.run(move |request, replies| handle(edge.clone(), request, replies), stop).await;
    Ok(())
}

async fn handle(edge: Edge, request: EdgeRequest, mut replies: Replies) -> Result<(), Gone> {
    let document = match document(&edge, &request) {
        Ok(document) => document,
        Err(error) => return replies.error(&reply(&error)).await,
    };
    let result = match request {
        EdgeRequest::Delete(Delete { path, .. }) => {
            document.delete(&path).await.map(|receipt| Written::new(&receipt)).map(to_json)
        }
        EdgeRequest::Get(Get { path, .. }) => match document.tree(path.as_deref()).await {
            Ok(None) => {
                let place = path.map_or_else(
                    || "the document is empty".to_owned(),
                    |path| format!("nothing is at {path:?}"),
                );
                return replies.error(&ErrorReply::new(NOT_FOUND, place)).await;
            }
            Ok(Some(json)) => Ok(json),
            Err(error) => Err(error),
        },
        EdgeRequest::Flush => edge.flush().await.map(to_json),
        EdgeRequest::Ledger => edge.ledger().await.map(to_json),
        EdgeRequest::Policy => edge.policy().await.map(to_json),
        EdgeRequest::Receipt(written) => {
            let receipt = document.receipt(written.stamp());
            tokio::select! {
                done = receipt.durable_at_aggregator() => {
                    done.map(|()| to_json(Written { at_aggregator: true, ..written }))
                }
                () = replies.gone() => return Err(Gone),
            }
        }
        EdgeRequest::Set(Set { path, value, .. }) => {
            document.set(&path, value).await.map(|receipt| Written::new(&receipt)).map(to_json)
        }
        EdgeRequest::Status => edge.status().await.map(to_json),
        EdgeRequest::Watch(watch) => return stream(&document, watch, replies).await,
    };
    match result {
        Ok(answer) => replies.ok(&answer).await,
        Err(error) => replies.error(&reply(&error)).await,
    }
}

async fn stream(document: &Document, request: control::Watch, mut replies: Replies) -> Result<(), Gone> {
    let mut watch = match document.watch(request.path.as_deref()) {
        Ok(watch) => watch,
        Err(error) => return replies.error(&reply(&error)).await,
    };
    loop {
        let change = tokio::select! {
            change = watch.next() => change,
            () = replies.gone() => return Err(Gone),
        };
        match change {
            Ok(change) => replies.ok(&change).await?,
            Err(error) => return replies.error(&reply(&error)).await,
        }
    }
}

/// The document that a request is about; the main one if it names none.
fn document(edge: &Edge, request: &EdgeRequest) -> Result<Document, EdgeError> {
    let wanted = match request {
        EdgeRequest::Delete(Delete { document, .. })
        | EdgeRequest::Get(Get { document, .. })
        | EdgeRequest::Set(Set { document, .. })
        | EdgeRequest::Watch(control::Watch { document, .. }) => document.as_deref(),
        EdgeRequest::Receipt(written) => Some(written.document.as_str()),
        EdgeRequest::Flush | EdgeRequest::Ledger | EdgeRequest::Policy | EdgeRequest::Status => None,
    };
    wanted.map_or_else(|| Ok(edge.main_document().clone()), |name| edge.document(name))
}

impl Written {
    /// What a receipt says.
    #[must_use]
    pub fn new(receipt: &Receipt) -> Self {
        let stamp = receipt.stamp();
        Self {
            document: receipt.document().to_owned(),
            time_ms: stamp.map(|stamp| stamp.time.as_ms()),
            replica: stamp.map(|stamp| stamp.replica.to_string()),
            at_aggregator: false,
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        let replica = u64::from_str_radix(self.replica.as_deref()?, 16).ok()?;
        Some(Stamp::new(Time::from_ms(self.time_ms?)?, ReplicaId::new(replica)))
    }
}

/// What a program is told of an error.
fn reply(error: &EdgeError) -> ErrorReply {
    ErrorReply::with_sources(error.code(), error)
}

fn to_json(answer: impl Serialize) -> serde_json::Value {
    serde_json::to_value(answer).unwrap_or_default()
}

/// The code of an error reply: nothing stands at the path.
pub(crate) const NOT_FOUND: &str = "not_found";
