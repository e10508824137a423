//! The memory for knowledge.

use super::{Retired, Rise, VectorEntry};
use crate::id::ReplicaId;
use crate::list::List;

/// Lists for version vectors and replica ids: part of what a [`Storage`](crate::Storage) provides. Sealed:
/// the core relies on its invariants.
pub trait KnowledgeMemory: sealed::Sealed + Sized + 'static {
    /// Entries of one version vector.
    type Entries: List<VectorEntry>;
    /// Replica ids.
    type Ids: List<ReplicaId>;
    /// Ids that were retired.
    type Retired: List<Retired>;
    /// Rises of entries of the version vector, in order.
    type Rises: List<Rise>;
}

pub(crate) mod sealed {
    pub trait Sealed {
        /// Fails to compile if the memory is too small to work with.
        const CAN_WORK: () = ();
    }
}
