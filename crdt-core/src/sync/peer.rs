//! What a replica remembers of a peer between sessions.

use super::Memory;
use crate::causal::{Stamp, VersionVector};
use crate::id::{PeerId, ReplicaId};

/// A peer that a session was opened with at least once.
#[derive(Clone, Debug)]
pub struct Peer<S: Memory> {
    pub(crate) id: PeerId,
    /// The replica id it opened with last.
    pub(crate) replica: Option<ReplicaId>,
    /// What it has made durable, as far as it has said so.
    pub(crate) acked: VersionVector<S>,
    /// Whether tombstones are kept until it has them.
    pub(crate) active: bool,
    /// The floor that it was told of, as a count of changes in this process.
    pub(crate) told_floor: u32,
    /// What it has if all arrived that the last session sent: a guess, for the hash that its Open may name its vector by.
    /// Not stored.
    pub(crate) guess: VersionVector<S>,
    /// Cells up to this sequence number were sent to it in the last session, in their order, and not all acknowledged; 0 for
    /// none.
    /// Not stored: the numbers are those of this process.
    pub(crate) sent_through: u64,
    /// The last session with it broke off in a batch from it, after this cell. Not stored.
    pub(crate) received_through: Option<Stamp>,
}

impl<S: Memory> Peer<S> {
    pub(crate) fn new(id: PeerId) -> Self {
        Self {
            id,
            replica: None,
            acked: VersionVector::new(),
            active: true,
            told_floor: 0,
            guess: VersionVector::new(),
            sent_through: 0,
            received_through: None,
        }
    }
}
