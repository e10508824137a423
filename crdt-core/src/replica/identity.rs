//! Identity: a replica id belongs to one continuous history.

use super::stop::Stop;
use super::{Event, Replica, Role};
use crate::causal::Stamp;
use crate::cell::Path;
use crate::document::Document;
use crate::id::{PeerId, ReplicaId};
use crate::limits::PATH_LEN_MAX;
use crate::list::List;
use crate::storage::{CellStore, Stored, sort_by};
use crate::sync::{Memory, Session};
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
        let is_later = |cell: &Stored<'_>| cell.stamp.replica == old && cell.stamp.time > common;
        let mut again: Option<(Stamp, Stamp)> = None;
        for seq in in_order_of_stamps(document, 0, &mut |cell| is_later(cell)).iter() {
            let Some(cell) = cell_of_change(document, *seq) else { continue };
            let (original, path) = (cell.stamp, copy_path(cell.path));
            let stamp = match again {
                // Of the same transaction.
                Some((before, stamp)) if before == original => stamp,
                _ => {
                    let Ok(stamp) = document.tick(moment) else { break };
                    again = Some((original, stamp));
                    self.events.push(Event::LateWrite { original, reissued: stamp });
                    stamp
                }
            };
            document.reissue_under(stamp, Path::from_checked(&path));
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
        // Before that change, all cells are covered.
        self.document.is_clean();
        self.reissue_all(moment, self.document.covered_seq, &|this, cell| {
            let replica = cell.stamp.replica;
            // An early session may be about to claim its cells.
            let talks = || this.sessions.iter().any(|s| !s.is_closing && s.peer_replica == Some(replica));
            let nobodys =
                || orphans && replica != this.id() && this.peers.iter().all(|p| p.replica != Some(replica));
            !this.document.knowledge.vv().covers(cell.stamp)
                && (this.given_up.contains(&replica) || nobodys())
                && !talks()
        });
    }

    /// Whether this is the aggregator and every active member is in session with it: then an id that none of them uses
    /// is used by nobody. O(1) as long as nobody comes or goes.
    fn every_member_is_here(&mut self) -> bool {
        if self.config.role != Role::Aggregator || self.somebody_is_away_at == Some(self.presence) {
            return false;
        }
        let is_active = |peer: PeerId| self.peers.of(peer).is_some_and(|peer| peer.active);
        // A peer has one session that is confirmed and not being closed.
        let is_here = |s: &&Session<S>| {
            s.open_received && s.carrier.confirmed && !s.is_closing && is_active(s.carrier.peer)
        };
        let here = self.sessions.iter().filter(is_here).count();
        let is_complete = here == self.peers.iter().filter(|p| p.active).count();
        self.somebody_is_away_at = (!is_complete).then_some(self.presence);
        is_complete
    }

    /// Writes again, the oldest first, the cells that changed here after `since` and that `wanted` says yes to.
    /// O(changes + n log n).
    pub(super) fn reissue_all(
        &mut self,
        moment: Moment,
        since: u64,
        wanted: &dyn Fn(&Self, &Stored<'_>) -> bool,
    ) {
        let this = &*self;
        let again = in_order_of_stamps(&this.document, since, &mut |cell| wanted(this, cell));
        for seq in again.iter() {
            // What lies below one that was written again was written again with it.
            let Some(cell) = cell_of_change(&self.document, *seq) else { continue };
            let (original, path) = (cell.stamp, copy_path(cell.path));
            let Ok(reissued) = self.document.reissue_in_place(moment, Path::from_checked(&path)) else {
                return;
            };
            self.unsaved = true;
            self.events.push(Event::LateWrite { original, reissued });
        }
    }
}

/// The changes after `since` whose cells `wanted` says yes to, in the order of their stamps.
fn in_order_of_stamps<S: Memory>(
    document: &Document<S>,
    since: u64,
    wanted: &mut dyn FnMut(&Stored<'_>) -> bool,
) -> S::Sequences {
    let mut changes = S::Sequences::default();
    for cell in document.cells.since(since).filter(|cell| wanted(cell)) {
        let pushed = changes.push(cell.seq);
        debug_assert!(pushed.is_ok(), "there is a place for each cell");
    }
    let stamp = |seq| cell_of_change(document, seq).map(|cell| cell.stamp);
    sort_by(&mut changes, &mut |a, b| (stamp(a), a) < (stamp(b), b));
    changes
}

/// The cell that the change `seq` made, if it is still there.
fn cell_of_change<S: Memory>(document: &Document<S>, seq: u64) -> Option<Stored<'_>> {
    document.cells.since(seq - 1).next().filter(|cell| cell.seq == seq)
}

fn copy_path(path: &str) -> heapless::String<PATH_LEN_MAX> {
    heapless::String::try_from(path).expect("stored paths have at most 255 bytes")
}
