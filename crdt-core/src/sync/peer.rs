//! What a replica remembers of a peer between sessions.

use crate::causal::VersionVector;
use crate::id::{PeerId, ReplicaId};
use crate::storage::Storage;

/// A peer that a session was opened with at least once.
#[derive(Clone, Debug)]
pub struct Peer<S: Storage> {
    pub(crate) id: PeerId,
    /// The replica id it opened with last.
    pub(crate) replica: Option<ReplicaId>,
    /// What it has made durable, as far as it has said so.
    pub(crate) acked: VersionVector<S>,
    /// Whether tombstones are kept until it has them.
    pub(crate) active: bool,
    /// The floor that it was told of, as a count of changes in this process.
    pub(crate) told_floor: u32,
}

impl<S: Storage> Peer<S> {
    pub(crate) fn new(id: PeerId) -> Self {
        Self { id, replica: None, acked: VersionVector::new(), active: true, told_floor: 0 }
    }
}
