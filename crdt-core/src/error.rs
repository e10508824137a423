//! Errors that several modules share.

use crate::time::Time;

/// A limit of this replica was reached. Nothing was applied, and the caller still has the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapacityError {
    /// No capacity for the bytes of paths and values.
    #[error(
        "{needed} bytes of paths and values are needed, {limit} is the limit: delete something or raise the limit"
    )]
    Bytes {
        /// Bytes that would be in use.
        needed: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// No capacity for another cell.
    #[error("{needed} cells are needed, {limit} is the limit: delete something or raise the limit")]
    Cells {
        /// Cells that would be in use.
        needed: usize,
        /// The limit, in cells.
        limit: usize,
    },
    /// No capacity for another peer or session.
    #[error("{limit} peers are the limit: close a session or raise the limit")]
    Peers {
        /// The limit, in peers.
        limit: usize,
    },
    /// No capacity for another replica in a version vector.
    #[error("{limit} replicas are the limit of a version vector: raise it")]
    Replicas {
        /// The limit, in replicas.
        limit: usize,
    },
    /// No capacity for another write in a [`Transaction`](crate::Transaction).
    #[error(
        "a transaction of {needed} writes is asked for, {limit} is the limit: commit it and begin another"
    )]
    Writes {
        /// Writes that it would have.
        needed: usize,
        /// The limit, in writes.
        limit: usize,
    },
}

/// The clock has reached the largest time of a stamp, so nothing more can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockExhausted {
    pub(crate) last: Time,
}
