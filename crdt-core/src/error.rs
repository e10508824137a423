//! Errors that several parts share: a limit of ours was reached.

use crate::time::Time;

/// A limit of this replica was reached. Nothing was applied, and what was to be stored is still with the caller.
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
        /// Bytes there are.
        limit: usize,
    },
    /// No capacity for another cell.
    #[error("{needed} cells are needed, {limit} is the limit: delete something or raise the limit")]
    Cells {
        /// Cells that would be in use.
        needed: usize,
        /// Cells there are.
        limit: usize,
    },
    /// No capacity for another peer or session.
    #[error("{limit} peers are the limit: close a session or raise the limit")]
    Peers {
        /// Peers there is capacity for.
        limit: usize,
    },
    /// No capacity for another replica in a version vector.
    #[error("{limit} replicas are the limit of a version vector: raise it")]
    Replicas {
        /// Replicas there is capacity for.
        limit: usize,
    },
    /// No capacity for another write in a [`Transaction`](crate::Transaction) that is put together.
    #[error(
        "a transaction of {needed} writes is asked for, {limit} is the limit: commit it and begin another"
    )]
    Writes {
        /// Writes that it would have.
        needed: usize,
        /// Writes it has capacity for.
        limit: usize,
    },
}

/// The clock stands at the last time that a stamp can hold, so nothing can be written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockExhausted {
    pub(crate) last: Time,
}
