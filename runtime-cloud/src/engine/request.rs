//! What people and programs ask of the aggregator.

use control::{Delete, ErrorReply, Get, Set, Watch, code};
use crdt_core::{NameError, PathError, UpdateError};
use serde::{Deserialize, Serialize};
use transport_quic::PublicKey;

use crate::access::AccessError;
use crate::limits::{DOCUMENTS_MAX, REQUESTS_MAX, WATCHES_MAX};

/// A line on the control socket, see [`control`]. Documents must be named. A field that its verb does not have is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Lets a device in. The answer comes when that is on the disk: `{"changed":bool}`.
    Allow {
        /// The device.
        key: PublicKey,
        /// The document it may open; every document without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        document: Option<String>,
    },
    /// Deletes; the answer is `{"changed":bool}`.
    Delete(Delete),
    /// Reads; the answer is the value.
    Get(Get),
    /// Who may come in; the answer is a list of [`DeviceStatus`](crate::status::DeviceStatus).
    #[serde(deserialize_with = "control::no_fields")]
    List,
    /// Forgets a device and closes its connections. The answer comes when that is on the disk: `{"changed":bool}`.
    Revoke {
        /// The device.
        key: PublicKey,
    },
    /// Sets; the answer is `{"changed":bool}`.
    Set(Set),
    /// How the aggregator is; the answer is a [`Status`](crate::status::Status).
    #[serde(deserialize_with = "control::no_fields")]
    Status,
    /// Tells every change, until either side closes.
    Watch(Watch),
}

/// A request that was not done. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Access cannot be given.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Too much waits already.
    #[error("{REQUESTS_MAX} requests wait, which is the limit; try again in a moment")]
    Busy,
    /// The document cannot be loaded.
    #[error("document {document:?} cannot be loaded: {detail}")]
    Damaged {
        /// Its name.
        document: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Not a document name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The request names no document.
    #[error("the request names no document; an aggregator has many: name one")]
    NoDocument,
    /// Nothing stands there.
    #[error("nothing is at {path:?} in document {document:?}")]
    NotFound {
        /// The document.
        document: String,
        /// The path; empty for the whole document.
        path: String,
    },
    /// Not a path.
    #[error("{path:?} is no path: {source}")]
    Path {
        /// What was given.
        path: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// The aggregator ends.
    #[error("the aggregator is stopping; start it again and repeat the request")]
    Stopping,
    /// As many documents as there may be.
    #[error("{DOCUMENTS_MAX} documents are here, which is the limit of one aggregator; run a second one")]
    TooManyDocuments,
    /// As many watches as there may be.
    #[error("{WATCHES_MAX} watches are open, which is the limit; close one first")]
    TooManyWatches,
    /// No document of that name.
    #[error("there is no document {document:?}; a device or \"set\" makes one, \"status\" lists them")]
    UnknownDocument {
        /// The name.
        document: String,
    },
    /// The document does not take it.
    #[error("document {document:?}: {source}")]
    Update {
        /// Its name.
        document: String,
        /// Why.
        source: UpdateError,
    },
}

impl RequestError {
    /// For programs: one of the [codes](control::code).
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Access(AccessError::TooManyDevices | AccessError::TooManyGrants { .. }) => code::TOO_MANY,
            Self::Busy => code::BUSY,
            Self::Access(_) | Self::Damaged { .. } => code::DAMAGED,
            Self::Name(_) => code::BAD_NAME,
            Self::NoDocument => code::BAD_REQUEST,
            Self::NotFound { .. } => code::NOT_FOUND,
            Self::Path { .. } => code::BAD_PATH,
            Self::Stopping => code::STOPPING,
            Self::TooManyDocuments | Self::TooManyWatches => code::TOO_MANY,
            Self::UnknownDocument { .. } => code::UNKNOWN_DOCUMENT,
            Self::Update { source: UpdateError::Capacity(_), .. } => code::FULL,
            Self::Update { source: UpdateError::Value(_), .. } => code::BAD_VALUE,
            Self::Update { .. } => code::REFUSED,
        }
    }
}

impl From<&RequestError> for ErrorReply {
    fn from(error: &RequestError) -> Self {
        Self::new(error.code(), error)
    }
}
