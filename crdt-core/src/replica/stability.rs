//! What may be forgotten: tombstones that every member has, and replica ids that nobody uses.
//!
//! The aggregator decides, by what its members have acknowledged. See [`crate::retiring`] for what is remembered of a retired
//! id, and why that is enough.

use rand_core::Rng;

use super::Replica;
use crate::causal::Retired;
use crate::config::Role;
use crate::id::{PeerId, ReplicaId};
use crate::list::List;
use crate::storage::CellStore;
use crate::sync::Memory;
use crate::time::{Moment, Time};

impl<S: Memory, R: Rng> Replica<S, R> {
    /// Forgets the tombstones that every active member is known to have, and retires the replica ids that
    /// nobody uses any more. For aggregators. Returns how many tombstones it forgot. O(tombstones x members),
    /// and O(cells) if ids may retire.
    ///
    /// Without an active member it forgets nothing: a new or inactive device may connect later, with cells
    /// that were deleted. The tombstones save it a full batch. If capacity is short, they are forgotten
    /// anyway.
    pub fn forget_stable(&mut self, moment: Moment) -> usize {
        let members = || self.context.peers.iter().filter(|p| p.active);
        if members().next().is_none() {
            return 0;
        }
        let forgotten =
            self.context.document.forget_tombstones(|stamp| members().all(|peer| peer.acked.covers(stamp)));
        self.context.unsaved |= forgotten > 0;
        self.context.begin(moment);
        self.retire_ids();
        forgotten
    }

    /// Whether there are replica ids that their owners no longer use, and that may retire later.
    pub fn has_given_up_ids(&self) -> bool {
        !self.context.given_up.is_empty()
    }

    /// Cells, claims and Opens of peers about writes under this aggregator's id that it never made, and that it ignored: since it
    /// last took another id because of that, less than
    /// [`OWN_ID_KEPT_MS`](crate::limits::OWN_ID_KEPT_MS) have passed. A metric: if it rises, look at the peer.
    pub fn disputes(&self) -> u64 {
        self.context.disputes
    }

    /// Replica ids that are no longer listed in the version vector, with what must be remembered of them; the oldest
    /// retirement first. Aggregators and meshes keep the last [`RETIRED_MAX`](crate::limits::RETIRED_MAX).
    pub fn retired_ids(&self) -> impl Iterator<Item = Retired> + '_ {
        self.context.document.knowledge.retired().iter()
    }

    /// Forgets every covered tombstone, to free capacity. Members that lack any of them get a full batch.
    pub fn forget_all_tombstones(&mut self) -> usize {
        let forgotten = self.context.document.forget_tombstones(|_| true);
        self.context.unsaved |= forgotten > 0;
        forgotten
    }

    /// Stops keeping tombstones for `peer`, which was silent for too long. It is active again when it
    /// returns.
    pub fn deactivate(&mut self, peer: PeerId) {
        if let Some(peer) = self.context.peers.of_mut(peer) {
            peer.active = false;
            self.note_presence();
        }
    }

    /// Retires the ids that nobody uses, that have no cells left, and whose writes every active member has.
    fn retire_ids(&mut self) {
        if self.context.config.role != Role::Aggregator
            || !self.context.document.knowledge.retired().has_capacity()
        {
            return;
        }
        let mut retirable = S::Ids::default();
        for id in self.context.given_up.iter().filter(|id| self.is_retirable(**id)) {
            // Those that do not fit retire the next time.
            retirable.push(*id).ok();
        }
        if retirable.is_empty() {
            return;
        }
        for cell in self.context.document.cells.below(None) {
            retirable.retain(|id| *id != cell.stamp.replica);
        }
        for id in retirable.iter() {
            if self.context.document.retire(self.context.moment, *id).is_ok() {
                self.context.given_up.retain(|given_up| given_up != id);
                self.context.unsaved = true;
            }
        }
    }

    /// Whether `id` may retire if no cell of it is left.
    fn is_retirable(&self, id: ReplicaId) -> bool {
        let time = self.context.document.knowledge.vv().time_of(id);
        let mut members = self.context.peers.iter().filter(|p| p.active);
        time > Time::ZERO
            && id != self.id()
            && self.context.peers.iter().all(|p| p.replica != Some(id))
            && self.sessions.iter().all(|s| s.peer_replica() != Some(id))
            && members.all(|p| p.acked.time_of(id) == time)
            // It is unknown what an early session has sent to its peer.
            && self.sessions.iter().all(|s| s.carrier.confirmed)
    }
}
