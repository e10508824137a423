//! The memory that knowledge is kept in.

use super::{Retired, Rise, VectorEntry};
use crate::id::ReplicaId;
use crate::list::List;

/// Lists for version vectors and replica ids: part of what a [`Storage`](crate::Storage) provides. Sealed: the invariants are
/// ours to keep.
pub trait KnowledgeMemory: sealed::Sealed + Sized + 'static {
    /// Entries of one version vector.
    type Entries: List<VectorEntry>;
    /// Replica ids.
    type Ids: List<ReplicaId>;
    /// Ids that were retired.
    type Retired: List<Retired>;
    /// Which entries of the version vector rose, and in which order.
    type Rises: List<Rise>;
}

pub(crate) mod sealed {
    pub trait Sealed {
        /// Does not compile for a memory that is too small to work with.
        const CAN_WORK: () = ();
    }
}
