//! Identity: a replica id belongs to one continuous history.

use super::stop::Stop;
use super::{Event, Replica, Role};
use crate::causal::Stamp;
use crate::cell::Path;
use crate::document::Document;
use crate::id::ReplicaId;
use crate::limits::PATH_LEN_MAX;
use crate::list::List;
use crate::storage::{CellStore, Stored};
use crate::sync::{Memory, Peer};
use crate::time::{Moment, Time};
use crate::weaken::{Rule, holds};

impl<S: Memory> Replica<S> {
    /// This copy came from storage: its id may have gone further than it knows.
    pub(super) fn note_loaded(&mut self, moment: Moment) {
        match self.config.role {
            // Nobody can verify these: they simply go on under an id that was never used.
            Role::Aggregator | Role::Mesh => {
                if let Some(loaded) = self.unverified {
                    // It was a member's, which nobody had verified: its new writes are not those of the old id.
                    self.fork(moment, loaded).ok();
                    return;
                }
                let before = core::mem::replace(&mut self.document.replica, moment.fresh_replica_id());
                if self.document.knowledge.vv().time_of(before) > Time::ZERO {
                    // Of a member's, the aggregator learns by its next Open.
                    self.give_up(before);
                }
            }
            Role::Member if !holds(Rule::Hold) => {}
            Role::Member => {
                let loaded = self.document.knowledge.vv().time_of(self.document.replica);
                self.loaded = *self.unverified.get_or_insert(loaded);
                // A copy of this storage has the stored one too.
                let stored = self.document.spare.replace(moment.fresh_replica_id());
                if let Some(stored) = stored {
                    self.move_totals(moment, stored);
                }
            }
        }
    }

    /// A peer holds this copy's own writes up to `held`. True when the copy had to fork: its sessions are gone.
    pub(super) fn check_own_id(
        &mut self,
        moment: Moment,
        held: Time,
        by_aggregator: bool,
    ) -> Result<bool, Stop> {
        if let Some(loaded) = self.unverified {
            if held > loaded {
                self.fork(moment, loaded)?;
                return Ok(true);
            }
            if by_aggregator {
                self.unverified = None;
                // What was written since the load may leave now. Without this on disk first, the next load would take
                // this copy for an old one, because the aggregator then holds more than was verified here.
                self.unsaved |= self.document.knowledge.vv().time_of(self.document.replica) > loaded;
                self.fold_counters(moment);
                self.events.push(Event::Verified);
            }
            return Ok(false);
        }
        let own = self.document.replica;
        if held > self.document.knowledge.vv().time_of(own) {
            // A twin lives, and wrote under this id: what this copy wrote since it was last heard is not among that.
            self.fork(moment, self.common_with_a_twin())?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The aggregator says that the own id belongs to another key: this device runs from a copy of somebody else's storage.
    pub(super) fn leave_fenced_id(&mut self, moment: Moment, index: usize) -> Result<(), Stop> {
        let session = &self.sessions[index];
        if session.carrier.with_aggregator && session.carrier.confirmed && self.config.role == Role::Member {
            self.fork(moment, self.common_with_a_twin())?;
        }
        Ok(())
    }

    /// The last own write that a twin of this copy may have too.
    fn common_with_a_twin(&self) -> Time {
        let own = self.document.replica;
        let acked = self.peers.iter().map(|peer| peer.acked.time_of(own));
        acked.fold(self.loaded, Time::max).min(self.document.knowledge.vv().time_of(own))
    }

    /// A cell with the own id that lies within the own past, and that this copy never wrote: it comes from another time line,
    /// whose last words were under way when this copy was verified. True when the copy had to fork.
    pub(super) fn check_own_past(&mut self, moment: Moment, cell: &Stored<'_>) -> Result<bool, Stop> {
        let document = &self.document;
        let (path, stamp) = (cell.path(), cell.stamp);
        let is_past = stamp.replica == document.replica
            && document.knowledge.vv().covers(stamp)
            && stamp.time > self.loaded;
        // What was written here is still here, or something newer is in its place, or a tombstone was that is forgotten.
        if !is_past || stamp <= document.knowledge.horizon() || document.is_dominated(path, stamp) {
            return Ok(false);
        }
        self.fork(moment, self.loaded)?;
        Ok(true)
    }

    /// Goes on under a new id: own writes after `common` are written again under it, what was before stays.
    pub(super) fn fork(&mut self, moment: Moment, common: Time) -> Result<(), Stop> {
        let document = &mut self.document;
        let (old, highest) = (document.replica, document.knowledge.vv().time_of(document.replica));
        let new = self.document.spare.unwrap_or(moment.fresh_replica_id());
        self.close_all_sessions();
        let document = &mut self.document;
        if !document.knowledge.vv().fits(1) {
            // Without room for another id there is nothing to go on under: the copy stays as it is, and talks to nobody.
            return Err(Stop::too_many_replicas(document.knowledge.vv().len() + 1));
        }
        document.replica = new;
        document.spare = None;
        // Nothing that is written under the new id came from storage.
        self.loaded = Time::ZERO;
        self.peers.iter_mut().for_each(|peer| peer.sent_through = 0);
        self.unverified = None;
        self.unsaved = true;
        let mut after = Stamp::new(common, ReplicaId::new(u64::MAX));
        loop {
            let own =
                document.cells.below(None).filter(|c| c.stamp.replica == old && c.stamp.time > after.time);
            let Some(time) = own.map(|c| c.stamp.time).min() else { break };
            after.time = time;
            let original = Stamp::new(time, old);
            let Ok(stamp) = document.tick(moment) else { break };
            while let Some(path) = first_with(document, original) {
                document.reissue_under(stamp, Path::from_checked(&path));
            }
            self.events.push(Event::LateWrite { original, reissued: stamp });
        }
        if highest > common {
            document.roll_back(old, common);
            if document.knowledge.floor().time_of(old) > common && holds(Rule::FloorMap) {
                let stamp = document.tick(moment).ok();
                document.knowledge.move_floor(old, common, stamp);
            }
        }
        self.events.push(Event::Forked { from: old, to: new });
        Ok(())
    }

    /// An id that its owner uses no more.
    pub(super) fn give_up(&mut self, id: ReplicaId) {
        if self.given_up.contains(&id) {
            return;
        }
        if self.given_up.len() == self.given_up.room() {
            self.given_up.remove(0);
        }
        self.given_up.push(id).ok();
    }

    /// Writes the uncovered cells of given-up ids again: nobody else will ever claim them.
    pub(super) fn adopt(&mut self, moment: Moment) {
        if !holds(Rule::Adopt) {
            return;
        }
        let orphans = self.orphans && self.every_member_is_here();
        self.orphans &= !orphans;
        if self.given_up.is_empty() && !orphans {
            return;
        }
        self.reissue_while(moment, &|this, cell| {
            let replica = cell.stamp.replica;
            // An early session may be about to claim its cells.
            let talks = || this.sessions.iter().any(|s| !s.closing && s.peer_replica == Some(replica));
            let nobodys =
                || orphans && replica != this.id() && this.peers.iter().all(|p| p.replica != Some(replica));
            !this.document.knowledge.vv().covers(cell.stamp)
                && (this.given_up.contains(&replica) || nobodys())
                && !talks()
        });
    }

    /// Whether this is the aggregator and every active member is in session with it: then an id that none of them uses
    /// is used by nobody.
    fn every_member_is_here(&self) -> bool {
        let here = |peer: &Peer<S>| {
            self.sessions
                .iter()
                .any(|s| s.carrier.peer == peer.id && s.heard && s.carrier.confirmed && !s.closing)
        };
        let members = || self.peers.iter().filter(|p| p.active);
        self.config.role == Role::Aggregator
            && self.sessions.len() >= members().count()
            && members().all(here)
    }

    /// Writes again, the oldest first, the cells that `wanted` says yes to, until there are none.
    pub(super) fn reissue_while(&mut self, moment: Moment, wanted: &dyn Fn(&Self, &Stored<'_>) -> bool) {
        loop {
            // Of one transaction, the first in the order of paths.
            let mut oldest: Option<Stored<'_>> = None;
            for cell in self.document.cells.below(None) {
                if oldest.is_none_or(|oldest| cell.stamp < oldest.stamp) && wanted(self, &cell) {
                    oldest = Some(cell);
                }
            }
            let Some(oldest) = oldest else { return };
            let (original, path) = (oldest.stamp, copy_path(oldest.path));
            let Ok(reissued) = self.document.reissue_in_place(moment, Path::from_checked(&path)) else {
                return;
            };
            self.unsaved = true;
            self.events.push(Event::LateWrite { original, reissued });
        }
    }
}

fn copy_path(path: &str) -> heapless::String<PATH_LEN_MAX> {
    heapless::String::try_from(path).expect("stored paths have at most 255 bytes")
}

fn first_with<S: Memory>(document: &Document<S>, stamp: Stamp) -> Option<heapless::String<PATH_LEN_MAX>> {
    document.cells.below(None).find(|c| c.stamp == stamp).map(|c| copy_path(c.path))
}
