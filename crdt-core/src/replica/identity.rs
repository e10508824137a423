//! Identity: a replica id belongs to one continuous history.

use rand_core::Rng;

use super::Replica;
use crate::causal::Stamp;
use crate::cell::Path;
use crate::config::Role;
use crate::id::PeerId;
use crate::list::List;
use crate::rng::fresh_replica_id;
use crate::storage::Stored;
use crate::sync::{Event, Fork, Memory, Session, Stop, cell_of_change, copy_path, in_order_of_stamps};
use crate::time::Time;
use crate::weaken::{Rule, holds};

impl<S: Memory, R: Rng> Replica<S, R> {
    /// This copy was loaded from storage: its id may have newer writes elsewhere.
    pub(super) fn note_loaded(&mut self) {
        let context = &mut self.context;
        match context.config.role {
            // Nobody can verify these: they continue under an id that was never used.
            Role::Aggregator | Role::Mesh => {
                if let Some(loaded) = context.unverified {
                    // The copy was stored by an unverified member: its new writes must not keep the old id.
                    self.fork(loaded).ok();
                    return;
                }
                let fresh = fresh_replica_id(&mut self.rng);
                let before = core::mem::replace(&mut context.document.replica, fresh);
                if context.document.knowledge.vv().time_of(before) > Time::ZERO {
                    // The aggregator learns that a member changed its id from the next Open.
                    context.give_up(before);
                }
            }
            Role::Member if !holds(Rule::Hold) => {}
            Role::Member => {
                let loaded = context.document.knowledge.vv().time_of(context.document.replica);
                context.loaded = *context.unverified.get_or_insert(loaded);
                // A copy of this storage has the stored spare id too.
                let stored = context.document.spare.replace(fresh_replica_id(&mut self.rng));
                if let Some(stored) = stored {
                    context.move_totals(stored);
                }
            }
        }
    }

    /// The aggregator has no own writes that this copy lacks: it is the newest.
    pub(super) fn note_verified(&mut self) {
        let context = &mut self.context;
        let Some(loaded) = context.unverified.take() else { return };
        // What was written since the load may be sent now. This state must be durable first. Otherwise the
        // aggregator would have more than was stored as verified, and the next load would take this copy for
        // an old one.
        context.unsaved |= context.document.knowledge.vv().time_of(context.document.replica) > loaded;
        context.fold_counters();
        context.events.push(Event::Verified);
    }

    /// The aggregator refused the own id, because it belongs to another key: this device runs on a copy of
    /// another device's storage.
    pub(super) fn leave_fenced_id(&mut self, index: usize) -> Result<(), Stop> {
        let carrier = self.sessions[index].carrier;
        if carrier.with_aggregator() && carrier.confirmed && self.context.config.role == Role::Member {
            self.fork(self.common_with_a_twin())?;
        }
        Ok(())
    }

    /// A session detected that this copy must continue under another id.
    pub(super) fn fork_because_of(&mut self, fork: Fork) -> Result<(), Stop> {
        let common = match fork {
            Fork::OldCopy => self.context.unverified.unwrap_or(self.context.loaded),
            Fork::OtherTimeLine => self.context.loaded,
            // The twin does not have own writes that no peer has acknowledged.
            Fork::Twin => self.common_with_a_twin(),
        };
        self.fork(common)
    }

    /// The last own write that a twin of this copy may have too.
    fn common_with_a_twin(&self) -> Time {
        let context = &self.context;
        let own = context.document.replica;
        let acked = context.peers.iter().map(|peer| peer.acked.time_of(own));
        acked.fold(context.loaded, Time::max).min(context.document.knowledge.vv().time_of(own))
    }

    /// Continues under a new id: own writes after `common` are written again under it, earlier ones stay.
    pub(super) fn fork(&mut self, common: Time) -> Result<(), Stop> {
        self.close_all_sessions();
        let context = &mut self.context;
        let document = &mut context.document;
        let (old, highest) = (document.replica, document.knowledge.vv().time_of(document.replica));
        let new = document.spare.unwrap_or_else(|| fresh_replica_id(&mut self.rng));
        if !document.knowledge.vv().fits(1) {
            // Without capacity for another id, the copy cannot fork. It stays as it is, without sessions.
            return Err(Stop::too_many_replicas(document.knowledge.vv().len() + 1));
        }
        document.replica = new;
        document.spare = None;
        // No write under the new id was loaded from storage.
        context.loaded = Time::ZERO;
        context.peers.iter_mut().for_each(|peer| peer.sent_through = 0);
        context.unverified = None;
        context.unsaved = true;
        let is_later = |cell: &Stored<'_>| cell.stamp.replica == old && cell.stamp.time > common;
        let mut again: Option<(Stamp, Stamp)> = None;
        for seq in in_order_of_stamps(document, 0, &mut |cell| is_later(cell)).iter() {
            let Some(cell) = cell_of_change(document, *seq) else { continue };
            let (original, path) = (cell.stamp, copy_path(cell.path));
            let stamp = match again {
                // The cell is of the same transaction.
                Some((before, stamp)) if before == original => stamp,
                _ => {
                    let Ok(stamp) = document.tick(context.moment) else { break };
                    again = Some((original, stamp));
                    context.events.push(Event::LateWrite { original, reissued: stamp });
                    stamp
                }
            };
            document.reissue_under(stamp, Path::from_checked(&path));
        }
        if highest > common {
            document.roll_back(old, common);
            if document.knowledge.floor().time_of(old) > common && holds(Rule::FloorMap) {
                let stamp = document.tick(context.moment).ok();
                document.knowledge.move_floor(old, common, stamp);
            }
        }
        context.events.push(Event::Forked { from: old, to: new });
        Ok(())
    }

    /// The peer is confirmed, under the id that it opened with.
    pub(super) fn note_peer_present(&mut self, index: usize) {
        let session = &self.sessions[index];
        // An aggregator that states no id has written nothing under its current one: the id is new.
        let replica = session.peer_replica();
        let Some(peer) = self.context.peers.of_mut(session.carrier.peer) else { return };
        peer.active = true;
        let before = core::mem::replace(&mut peer.replica, replica);
        self.note_presence();
        if let Some(before) = before.filter(|before| Some(*before) != replica) {
            self.context.give_up(before);
        }
        self.context.given_up.retain(|id| Some(*id) != replica);
        self.adopt();
    }

    /// A batch may contain cells of ids that nobody uses, and that nobody will claim.
    pub(super) fn adopt_orphans(&mut self) {
        if self.context.has_orphans && self.context.config.role == Role::Aggregator {
            self.adopt();
        }
    }

    /// Reissues the uncovered cells of given-up ids: nobody else will claim them.
    fn adopt(&mut self) {
        if !holds(Rule::Adopt) {
            return;
        }
        let orphans = self.context.has_orphans && self.every_member_is_here();
        self.context.has_orphans &= !orphans;
        if self.context.given_up.is_empty() && !orphans {
            return;
        }
        // Advances `covered_seq`: all cells up to it are covered.
        self.context.document.is_clean();
        let sessions = &self.sessions;
        self.context.reissue_all(self.context.document.covered_seq, &|context, cell| {
            let replica = cell.stamp.replica;
            // An early session may be about to claim its cells.
            let is_in_session = || sessions.iter().any(|s| s.peer_replica() == Some(replica));
            let is_nobodys = || {
                let is_own = replica == context.document.replica;
                orphans && !is_own && context.peers.iter().all(|p| p.replica != Some(replica))
            };
            !context.document.knowledge.vv().covers(cell.stamp)
                && (context.given_up.contains(&replica) || is_nobodys())
                && !is_in_session()
        });
    }

    /// Whether this is the aggregator and every active member has a session with it. Then nobody uses an id
    /// that none of them uses. O(1) while the same members are away.
    fn every_member_is_here(&mut self) -> bool {
        let (role, peers) = (self.context.config.role, &self.context.peers);
        if role != Role::Aggregator || self.somebody_is_away_at == Some(self.presence) {
            return false;
        }
        let is_active = |peer: PeerId| peers.of(peer).is_some_and(|peer| peer.active);
        // A peer has at most one confirmed session that is not being closed.
        let is_here = |s: &&Session<S>| s.is_open() && s.carrier.confirmed && is_active(s.carrier.peer);
        let here = self.sessions.iter().filter(is_here).count();
        let is_complete = here == peers.iter().filter(|p| p.active).count();
        self.somebody_is_away_at = (!is_complete).then_some(self.presence);
        is_complete
    }
}
