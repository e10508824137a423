//! The control socket of a running edge: what the binary's commands, and other programs on the device, speak to.

use std::path::Path;

use control::{BindError, Change, Delete, ErrorReply, Get, Gone, Replies, Server, Set, code};
use crdt_core::{ReplicaId, Stamp, Time};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::document::{Document, Receipt, Transaction};
use crate::error::EdgeError;
use crate::handle::Edge;
use crate::place::ROLE;

/// A request: one JSON object on one line, such as `{"verb":"get","path":"pump/3"}`. A field that its verb does not have is
/// refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum EdgeRequest {
    /// Deletes; answered by [`Written`].
    Delete(Delete),
    /// Answered by a list of [`UnopenedDocument`](crate::UnopenedDocument)s.
    #[serde(deserialize_with = "control::no_fields")]
    Documents,
    /// Takes a document that is not open out of the store; answered by an [`UnopenedDocument`](crate::UnopenedDocument).
    DropDocument {
        /// Its name.
        document: String,
    },
    /// Sends what waits; answered by `null` when the link has it.
    #[serde(deserialize_with = "control::no_fields")]
    Flush,
    /// Reads; answered by the value.
    Get(Get),
    /// Answered by a [`LedgerReport`](crate::LedgerReport).
    #[serde(deserialize_with = "control::no_fields")]
    Ledger,
    /// Opens a document of the store until the edge stops; answered by its name.
    OpenDocument {
        /// Its name.
        document: String,
    },
    /// Answered by a list of [`DocumentPolicy`](crate::DocumentPolicy).
    #[serde(deserialize_with = "control::no_fields")]
    Policy,
    /// Waits until the aggregator has a write on its disk, or without a stamp everything that the document holds now; answered
    /// by the same [`Written`].
    #[serde(deserialize_with = "Written::of_request")]
    Receipt(Written),
    /// Writes; answered by [`Written`].
    Set(Set),
    /// Answered by a [`Status`](crate::Status).
    #[serde(deserialize_with = "control::no_fields")]
    Status,
    /// A stream of [`Change`]s.
    Watch(control::Watch),
}

/// A write that is on this device's disk. Either both of `time_ms` and `replica` are there, or neither.
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

/// The control socket of an edge, open and not served yet.
#[derive(Debug)]
pub struct Service {
    edge: Edge,
    server: Server,
}

impl Service {
    /// Opens the socket at `path`: from here on clients can connect, and get their answers from [`run`](Self::run).
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(edge: Edge, path: &Path) -> Result<Self, BindError> {
        let server = Server::bind(path).await?.for_store(ROLE.name, edge.store_path())?;
        Ok(Self { edge, server })
    }

    /// Serves until `stop` resolves, or until the edge has stopped.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { edge, server } = self;
        let ended = edge.clone();
        let stop = async move {
            tokio::select! {
                () = stop => {}
                // How it ended is for whoever opened it.
                _ = ended.ended() => {}
            }
        };
        server.run(move |request, replies| handle(edge.clone(), request, replies), stop).await;
    }
}

async fn handle(edge: Edge, request: EdgeRequest, mut replies: Replies) -> Result<(), Gone> {
    let answer = match request {
        EdgeRequest::Delete(Delete { document, path }) => {
            write(&edge, document, Transaction::new().delete(&path)).await
        }
        EdgeRequest::Documents => edge.unopened_documents().await.map(to_json),
        EdgeRequest::DropDocument { document } => edge.remove_document(&document).await.map(to_json),
        EdgeRequest::Flush => edge.flush().await.map(to_json),
        EdgeRequest::Get(Get { document, path }) => match read(&edge, document, path.as_deref()).await {
            Ok(None) => {
                let place = path.map_or_else(
                    || "the document is empty".to_owned(),
                    |path| format!("nothing is at {path:?}"),
                );
                return replies.error(&ErrorReply::new(code::NOT_FOUND, place)).await;
            }
            Ok(Some(json)) => Ok(json),
            Err(error) => Err(error),
        },
        EdgeRequest::Ledger => edge.ledger().await.map(to_json),
        EdgeRequest::OpenDocument { document } => {
            edge.open_document(&document).await.map(|document| to_json(document.name()))
        }
        EdgeRequest::Policy => edge.policy().await.map(to_json),
        EdgeRequest::Receipt(written) => tokio::select! {
            done = receipt(&edge, &written) => done.map(|()| to_json(Written { at_aggregator: true, ..written })),
            // If the client has gone, nobody reads it.
            () = replies.gone() => Err(EdgeError::Stopped),
        },
        EdgeRequest::Set(Set { document, path, value }) => {
            write(&edge, document, Transaction::new().set(&path, value)).await
        }
        EdgeRequest::Status => edge.status().await.map(to_json),
        EdgeRequest::Watch(request) => return watch(&edge, request, replies).await,
    };
    match answer {
        Ok(answer) => replies.ok(&answer).await,
        Err(error) => replies.error(&reply(&error)).await,
    }
}

async fn write(
    edge: &Edge,
    document: Option<String>,
    transaction: Transaction,
) -> Result<serde_json::Value, EdgeError> {
    let document = open(edge, document).await?;
    document.update(transaction).await.map(|receipt| to_json(Written::new(&receipt)))
}

/// What stands at a path, in a document that is open or, if it is not, in the store.
async fn read(
    edge: &Edge,
    document: Option<String>,
    path: Option<&str>,
) -> Result<Option<serde_json::Value>, EdgeError> {
    match document {
        Some(name) if edge.document(&name).is_err() => edge.unopened_tree(&name, path).await,
        document => named(edge, document.as_deref())?.tree(path).await,
    }
}

async fn receipt(edge: &Edge, written: &Written) -> Result<(), EdgeError> {
    edge.document(&written.document)?.receipt(written.stamp()).durable_at_aggregator().await
}

async fn watch(edge: &Edge, request: control::Watch, mut replies: Replies) -> Result<(), Gone> {
    let mut names = edge.watch_document_names();
    if let Some(name) = request.document.as_deref().filter(|name| edge.document(name).is_err()) {
        // It changes only once it is open.
        match edge.unopened_tree(name, request.path.as_deref()).await {
            Ok(value) => replies.ok(&Change::Snapshot { value }).await?,
            Err(error) => return replies.error(&reply(&error)).await,
        }
        while edge.document(name).is_err() {
            tokio::select! {
                changed = names.changed() => if changed.is_err() {
                    return replies.error(&reply(&EdgeError::Stopped)).await;
                },
                () = replies.gone() => return Err(Gone),
            }
        }
    }
    let document = named(edge, request.document.as_deref());
    let mut watch = match document.and_then(|document| document.watch(request.path.as_deref())) {
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

/// An open document; the main one without a name.
fn named(edge: &Edge, name: Option<&str>) -> Result<Document, EdgeError> {
    name.map_or_else(|| Ok(edge.main_document().clone()), |name| edge.document(name))
}

/// The same for a write. If it is in the store alone, the error says so.
async fn open(edge: &Edge, name: Option<String>) -> Result<Document, EdgeError> {
    let unknown = match named(edge, name.as_deref()) {
        Ok(document) => return Ok(document),
        Err(error) => error,
    };
    match name {
        Some(document) if edge.unopened_tree(&document, None).await.is_ok() => {
            Err(EdgeError::NotOpen { document })
        }
        _ => Err(unknown),
    }
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

    /// What a request names. An answer of a newer edge may have further fields; a request has only those that are known,
    /// and a stamp that is half told would be no write at all, of which it is easy to say that it is durable.
    fn of_request<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Request {
            document: String,
            #[serde(default)]
            time_ms: Option<u64>,
            #[serde(default)]
            replica: Option<String>,
            #[serde(default)]
            at_aggregator: bool,
        }

        let Request { document, time_ms, replica, at_aggregator } = Request::deserialize(deserializer)?;
        let written = Self { document, time_ms, replica, at_aggregator };
        match (written.stamp(), &written.time_ms, &written.replica) {
            (Some(_), ..) | (None, None, None) => Ok(written),
            _ => Err(de::Error::custom(
                "a receipt is asked for with time_ms and replica as the answer to the write has them, or with neither",
            )),
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
