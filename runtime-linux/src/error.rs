//! What can be wrong with opening an edge, and with a call to it. What is wrong with the connection is no error of a
//! call, because the edge works without one; it is a [`Problem`](crate::Problem) of the status.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use control::code;
use control::command::{Exit, Failure};
use crdt_core::{NameError, PathError, UpdateError, ValueError};
use storage_redb::{LoadError, StoreError};

/// An edge cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The document cannot be loaded.
    #[error(transparent)]
    Document(#[from] LoadError),
    /// A line is to serve a document that this edge does not have.
    #[error(
        "the line {line} is to serve the document {document:?}, which this edge does not have: name it too"
    )]
    LineDocument {
        /// The line.
        line: String,
        /// What was given.
        document: String,
    },
    /// The name of the document is no name.
    #[error("{name:?} is no name of a document")]
    Name {
        /// What was given.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// No name was given, and the store remembers none.
    #[error("the store in {} has no document yet: name one", .path.display())]
    NoDocument {
        /// The directory of the store.
        path: PathBuf,
    },
    /// There is no store, and none was to be made: or none could be, because no document was named for it.
    #[error(
        "there is no store in {}: {} does not exist; check the path, or make a store there: edge init --store {}",
        directory_of(.path), .path.display(), directory_of(.path)
    )]
    NoStore {
        /// The store's file, its full path.
        path: PathBuf,
    },
    /// Where rules are to stand in documents is no path.
    #[error("{path:?}, where rules are to stand in documents, is no path")]
    PolicyPath {
        /// What was given.
        path: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// The system gives no random numbers, without which there are no keys and no ids.
    #[error("the system gives no random numbers")]
    Random(#[source] getrandom::Error),
    /// The device's secret key in the store has the wrong length.
    #[error(
        "the secret key in the store {} has {len} bytes, not 32: restore the store from a backup",
        .path.display()
    )]
    SecretKey {
        /// The store's file.
        path: PathBuf,
        /// Its length in bytes.
        len: usize,
    },
    /// The socket for the aggregator cannot be made.
    #[error("no UDP socket can be made")]
    Socket(#[source] io::Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More documents than an edge may have.
    #[error("{documents} documents were named, but an edge has at most {limit}: leave some out")]
    TooManyDocuments {
        /// Documents that were named.
        documents: usize,
        /// Most that an edge has.
        limit: usize,
    },
    /// Two rules that differ are about the same paths.
    #[error("there are two rules for the prefix {prefix:?}: put what they say into one")]
    TwoRules {
        /// The prefix that both have.
        prefix: String,
    },
    /// What is to be urgent is no path.
    #[error("{path:?}, which is to be urgent, is no path")]
    Urgent {
        /// What was given.
        path: String,
        /// What is wrong with it.
        source: PathError,
    },
}

/// A call to a running edge failed. Unless the variant says otherwise, nothing has changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// A path is no path.
    #[error("{path:?} is no path")]
    Path {
        /// What was given.
        path: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// The edge was shut down.
    #[error("the edge was shut down: open it again")]
    Stopped,
    /// The disk failed, and the edge stopped. Whether the last writes are on the disk is not known; they were not
    /// confirmed, and nothing of them was sent.
    #[error("the edge stopped because its store failed")]
    Store(#[source] Arc<StoreError>),
    /// A document of the store cannot be loaded. The edge and its other documents go on.
    #[error("document {document:?} cannot be loaded from the store")]
    Load {
        /// Its name.
        document: String,
        /// What is wrong with it.
        source: Arc<LoadError>,
    },
    /// The document is in the store, and not open: it can be read, sent and dropped.
    #[error(
        "document {document:?} is in the store but not open: edge document send opens it once, edge run --document always"
    )]
    NotOpen {
        /// Its name.
        document: String,
    },
    /// The document is open.
    #[error("document {document:?} is open: leave it out of edge run --document first")]
    Open {
        /// Its name.
        document: String,
    },
    /// The edge has as many documents as it may have.
    #[error("{limit} documents are open already, which is the limit: start edge run with fewer")]
    TooManyDocuments {
        /// Most that may be open.
        limit: usize,
    },
    /// Too many wait for receipts.
    #[error("{limit} receipts are waited for already: wait for some of them first")]
    TooManyReceipts {
        /// Most that may wait.
        limit: usize,
    },
    /// Too many writes in one transaction.
    #[error("a transaction has at most {limit} writes, this one has {writes}: make several")]
    TooManyWrites {
        /// Writes of the transaction.
        writes: usize,
        /// Most that one may have.
        limit: usize,
    },
    /// The edge does not have this document.
    #[error(
        "this edge has no document {name:?}, only {known}: name it when the edge is opened (edge run --document)"
    )]
    UnknownDocument {
        /// What was asked for.
        name: String,
        /// Those that it has, the main one first.
        known: String,
    },
    /// The document does not take it.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// A value is too long.
    #[error("the value for {path:?} cannot be stored")]
    Value {
        /// Where it should have gone.
        path: String,
        /// What is wrong with it.
        source: ValueError,
    },
}

fn directory_of(path: &Path) -> impl Display {
    path.parent().unwrap_or(path).display()
}

impl EdgeError {
    /// For programs: one of the [codes](control::code).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Path { .. } => code::BAD_PATH,
            Self::Stopped => code::STOPPING,
            Self::Store(_) => code::STORE_FAILED,
            Self::Load { .. } => code::DAMAGED,
            Self::Open { .. } => code::REFUSED,
            Self::TooManyDocuments { .. } | Self::TooManyReceipts { .. } | Self::TooManyWrites { .. } => {
                code::TOO_MANY
            }
            Self::NotOpen { .. } | Self::UnknownDocument { .. } => code::UNKNOWN_DOCUMENT,
            Self::Update(UpdateError::Capacity(_)) => code::FULL,
            Self::Update(UpdateError::Value(_)) | Self::Value { .. } => code::BAD_VALUE,
            Self::Update(_) => code::REFUSED,
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let exit = match &error {
            OpenError::Document(_)
            | OpenError::NoStore { .. }
            | OpenError::SecretKey { .. }
            | OpenError::Store(_) => Exit::Store,
            OpenError::Name { .. }
            | OpenError::LineDocument { .. }
            | OpenError::NoDocument { .. }
            | OpenError::PolicyPath { .. }
            | OpenError::TwoRules { .. }
            | OpenError::TooManyDocuments { .. }
            | OpenError::Urgent { .. } => Exit::BadInput,
            OpenError::Random(_) | OpenError::Socket(_) => Exit::Failed,
        };
        Self::of(exit, &error)
    }
}

impl From<EdgeError> for Failure {
    fn from(error: EdgeError) -> Self {
        Self::of(Exit::of_reply(error.code()), &error)
    }
}
