//! What a replica remembers of a peer between sessions.

use core::ops::{Deref, DerefMut};

use super::Memory;
use crate::causal::{Stamp, VersionVector};
use crate::id::{PeerId, ReplicaId};
use crate::list::List;

/// A peer that a session was opened with at least once.
#[derive(Clone, Debug)]
pub struct Peer<S: Memory> {
    pub(crate) id: PeerId,
    /// The replica id it opened with last.
    pub(crate) replica: Option<ReplicaId>,
    /// What it has acknowledged as durable.
    pub(crate) acked: VersionVector<S>,
    /// Whether tombstones are kept until it has them.
    pub(crate) active: bool,
    /// The floor that was last sent to it, as a count of floor changes in this process.
    pub(crate) told_floor: u32,
    /// What it has if everything sent in the last session arrived: a guess, to resolve the hash in its next
    /// Open. Not stored.
    pub(crate) guess: VersionVector<S>,
    /// Cells up to this sequence number were sent in the last session, in order, and not all acknowledged; 0
    /// for none. Not stored: sequence numbers are those of this process.
    pub(crate) sent_through: u64,
    /// The last session ended within a batch from it, after this cell. Not stored.
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

/// The peers, in the order of their keys.
pub(crate) struct Peers<S: Memory>(S::Peers);

impl<S: Memory> Peers<S> {
    pub(crate) fn index_of(&self, peer: PeerId) -> Option<usize> {
        self.0.binary_search_by_key(&peer, |known| known.id).ok()
    }

    pub(crate) fn of(&self, peer: PeerId) -> Option<&Peer<S>> {
        self.0.get(self.index_of(peer)?)
    }

    pub(crate) fn of_mut(&mut self, peer: PeerId) -> Option<&mut Peer<S>> {
        let index = self.index_of(peer)?;
        self.0.get_mut(index)
    }

    /// Inserts a peer that is not known yet, and returns its index. `None` if the list is full.
    pub(crate) fn insert(&mut self, peer: Peer<S>) -> Option<usize> {
        let index = self.0.partition_point(|known| known.id < peer.id);
        self.0.insert(index, peer).ok().map(|()| index)
    }
}

impl<S: Memory> Default for Peers<S> {
    fn default() -> Self {
        Self(S::Peers::default())
    }
}

impl<S: Memory> Deref for Peers<S> {
    type Target = S::Peers;

    fn deref(&self) -> &S::Peers {
        &self.0
    }
}

impl<S: Memory> DerefMut for Peers<S> {
    fn deref_mut(&mut self) -> &mut S::Peers {
        &mut self.0
    }
}
