//! What goes into the engine and what comes out: plain data for drivers.

use rand_chacha::ChaCha12Rng;
use std::net::SocketAddr;

use control::Scalar;
use crdt_core::{Heap, Replica, Stamp};
use serde_json::Value as Json;
use storage_redb::Batch;
use tokio::sync::oneshot;
use transport_quic::{CloseCode, CloseReason, PublicKey};

use super::lines::{LineIndex, LineParts};
use super::receipts::Basis;
use crate::books::Books;
use crate::budget::{Budget, Level};
use crate::changes::{Changes, Cursor};
use crate::connection::Attempt;
use crate::error::EdgeError;
use crate::options::{Aggregator, Timing};
use crate::policy::{DocumentPolicy, Policy};
use crate::report::LedgerReport;
use crate::status::{Problem, Status};
use crate::unopened::UnopenedDocument;

/// Where the answer to a command goes.
pub type Reply<T> = oneshot::Sender<Result<T, EdgeError>>;

/// A document of an edge: its place among those that the edge was opened with, from 0; the main one is the first.
/// It is the document's handle on the wire too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentIndex(pub u16);

/// What an application wants.
#[derive(Debug)]
pub enum Command {
    /// Something of one document.
    Document {
        /// Which one.
        document: DocumentIndex,
        /// What.
        command: DocumentCommand,
    },
    /// Whatever waits is sent now.
    Flush {
        /// The answer, when the link has it; at once where there is no connection.
        reply: Reply<()>,
    },
    /// What the link cost, by day and by billing period.
    Ledger {
        /// The answer.
        reply: Reply<LedgerReport>,
    },
    /// One more document, which is in the store; the answer is its index, also if it was open before.
    Open {
        /// It, as it was loaded, with no input to the engine since.
        replica: Box<Replica<Heap, ChaCha12Rng>>,
        /// The answer, which is never `None`.
        reply: Reply<Option<DocumentIndex>>,
    },
    /// The rules by which changes are sent, of each document.
    Policy {
        /// The answer.
        reply: Reply<Vec<DocumentPolicy>>,
    },
    /// How it is.
    Status {
        /// The answer.
        reply: Reply<Status>,
    },
}

/// What an application wants of one document.
#[derive(Debug)]
pub enum DocumentCommand {
    /// Changes at a prefix, as soon as there are some; at once, and everything, without `after`.
    Changes {
        /// Where; everywhere without it.
        prefix: Option<String>,
        /// The last change that the caller knows.
        after: Option<Cursor>,
        /// The answer.
        reply: Reply<Changes>,
    },
    /// The scalar at a path.
    Get {
        /// Where.
        path: String,
        /// The answer.
        reply: Reply<Option<Scalar>>,
    },
    /// Wait until the aggregator has a write on its disk.
    Receipt {
        /// What must be there; everything that is in the document now without it.
        basis: Option<Basis>,
        /// The answer.
        reply: Reply<()>,
    },
    /// What stands at a path and below, as JSON.
    Tree {
        /// Where; everything without it.
        path: Option<String>,
        /// The answer.
        reply: Reply<Option<Json>>,
    },
    /// A transaction.
    Update {
        /// Path and value, or nothing to delete; in order.
        writes: Vec<(String, Option<Scalar>)>,
        /// The answer.
        reply: Reply<Updated>,
    },
}

/// A transaction that is on the disk.
#[derive(Clone, Debug)]
pub struct Updated {
    /// Its stamp; `None` when there was nothing to do.
    pub stamp: Option<Stamp>,
    /// What a receipt for it waits for.
    pub basis: Basis,
}

/// What happened on the link.
#[derive(Debug)]
pub enum LinkInput {
    /// The connection ended, or none came about.
    Closed(Problem),
    /// The handshake is done.
    Connected,
    /// The peer's transport has this message of the connection, counted from 0.
    Delivered(u64),
    /// A message from the aggregator.
    Message(Vec<u8>),
    /// The aggregator's name was looked up, and this address is tried now; for the status.
    Trying(SocketAddr),
}

/// Work for the driver.
#[derive(Debug)]
#[must_use = "an output is work still to do"]
pub enum Output {
    /// Make this durable, then call [`Engine::handle_committed`](super::Engine::handle_committed). No input before that.
    Commit(Batch<'static>),
    /// Connect to the aggregator.
    Connect(Attempt),
    /// Close a connection.
    Disconnect {
        /// Which.
        attempt: Attempt,
        /// What to tell the aggregator.
        code: CloseCode,
        /// The same for people.
        reason: String,
    },
    /// The budget allows more or less than before; for whoever wants to know.
    Level(Level),
    /// The link may send until its ledger shows so many bytes. Without a budget there is no limit and no such output.
    Limit(u64),
    /// End the connection on a line; the device begins another.
    EndLine {
        /// Which line.
        line: LineIndex,
        /// Which connection, counted by [`LineInput::Begun`](super::LineInput::Begun) from 1. If there is a newer one, this
        /// comes too late.
        connection: u64,
    },
    /// Send messages, all of them in one go: so short ones of several documents share a datagram.
    Send {
        /// On which connection.
        attempt: Attempt,
        /// Their bytes, in order.
        frames: Vec<Vec<u8>>,
    },
    /// Send a frame to the device on a line.
    SendOnLine {
        /// Which line.
        line: LineIndex,
        /// On which connection, as for [`EndLine`](Self::EndLine).
        connection: u64,
        /// Its bytes.
        frame: Vec<u8>,
    },
    /// After [`Engine::shut_down`](super::Engine::shut_down): everything is durable and said. The engine is of no more use.
    Stopped,
}

/// What an engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// The documents, of which there is at least one; the first is the main one. Each has its own name.
    pub replicas: Vec<Replica<Heap, ChaCha12Rng>>,
    /// The lines of devices. Documents on them are meshes: see [`Role::Mesh`](crdt_core::Role::Mesh).
    pub lines: Vec<LineParts>,
    /// The device's public key.
    pub public_key: PublicKey,
    /// Whom to sync with.
    pub aggregator: Option<Aggregator>,
    /// How long to wait for what.
    pub timing: Timing,
    /// 32 unpredictable bytes, new at each start: replica ids come from it.
    pub seed: [u8; 32],
    /// What the link has cost before.
    pub books: Books,
    /// What it may cost. The link must not send anything before the first [`Output::Limit`] then.
    pub budget: Option<Budget>,
    /// When changes are sent, in each document that says nothing else.
    pub policy: Policy,
    /// What is in the store beside the documents.
    pub unopened: Vec<UnopenedDocument>,
}

impl Command {
    /// Answers with an error.
    pub(crate) fn fail(self, error: EdgeError) {
        // Whoever does not wait any more needs no answer.
        match self {
            Self::Document { command, .. } => command.fail(error),
            Self::Flush { reply } => drop(reply.send(Err(error))),
            Self::Ledger { reply } => drop(reply.send(Err(error))),
            Self::Open { reply, .. } => drop(reply.send(Err(error))),
            Self::Policy { reply } => drop(reply.send(Err(error))),
            Self::Status { reply } => drop(reply.send(Err(error))),
        }
    }
}

impl DocumentCommand {
    /// Answers with an error.
    pub(crate) fn fail(self, error: EdgeError) {
        // Whoever does not wait any more needs no answer.
        match self {
            Self::Changes { reply, .. } => drop(reply.send(Err(error))),
            Self::Get { reply, .. } => drop(reply.send(Err(error))),
            Self::Receipt { reply, .. } => drop(reply.send(Err(error))),
            Self::Tree { reply, .. } => drop(reply.send(Err(error))),
            Self::Update { reply, .. } => drop(reply.send(Err(error))),
        }
    }
}

impl From<CloseReason> for LinkInput {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason.into())
    }
}
