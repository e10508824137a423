//! The state that all sessions of a replica share: the document, its peers, and the history of its id.

use super::{Conflicts, Events, Fork, Memory, Peers, Repairs, Stop};
use crate::causal::VersionVector;
use crate::config::{Config, Role};
use crate::document::Document;
use crate::id::{DocumentName, ReplicaId};
use crate::limits::OWN_ID_KEPT_MS;
use crate::list::List;
use crate::storage::Stored;
use crate::time::{Moment, Time};

/// The replica without its sessions. Passed to a session with each message.
pub(crate) struct Context<S: Memory> {
    pub(crate) name: DocumentName,
    pub(crate) config: Config,
    pub(crate) document: Document<S>,
    pub(crate) peers: Peers<S>,
    pub(crate) events: Events<S>,
    pub(crate) conflicts: Conflicts<S>,
    pub(crate) repairs: Repairs,
    /// When the current input arrived, by the corrected clock.
    pub(crate) moment: Moment,
    /// The correction added to the driver's clock, in milliseconds.
    pub(crate) clock_correction_ms: i64,
    /// Something changed that must be durable before anything else is sent.
    pub(crate) unsaved: bool,
    /// Own writes after this time are not sent: this copy was loaded from storage and may be old.
    pub(crate) unverified: Option<Time>,
    /// Own writes up to this time were loaded from storage. A twin, which writes under the same id, has them
    /// too.
    pub(crate) loaded: Time,
    /// Ids that their owners no longer use: nobody else will claim their cells.
    pub(crate) given_up: S::Ids,
    /// Some uncovered cells came from a peer that did not write them: their writer may be gone.
    pub(crate) has_orphans: bool,
    /// When this aggregator took another id because a peer knew more of the one before.
    renewed_at: Option<Time>,
    /// What peers said of this aggregator's id that it does not know, and ignored.
    pub(crate) disputes: u64,
}

impl<S: Memory> Context<S> {
    /// `salt`: random bits, for the ids of list elements.
    pub(crate) fn new(name: &DocumentName, id: ReplicaId, config: Config, salt: u64) -> Self {
        let mut document = Document::with_removals(name, id, config.limits);
        document.salt = salt;
        Self {
            name: name.clone(),
            config,
            document,
            peers: Peers::default(),
            events: Events::new(),
            conflicts: Conflicts::default(),
            repairs: Repairs::default(),
            moment: Moment::UNKNOWN,
            clock_correction_ms: 0,
            unsaved: true,
            unverified: None,
            loaded: Time::ZERO,
            given_up: S::Ids::default(),
            // A loaded document may have some.
            has_orphans: true,
            renewed_at: None,
            disputes: 0,
        }
    }

    /// Begins an input that arrived at `moment`, by the driver's clock.
    pub(crate) fn begin(&mut self, moment: Moment) {
        self.moment = moment.moved_by(self.clock_correction_ms);
    }

    // ---- events ----

    /// Reports that the acknowledged vector of peer number `peer` changed.
    pub(crate) fn note_acknowledged(&mut self, peer: usize) {
        let through = self.peers[peer].acked.time_of(self.document.replica);
        if through > Time::ZERO {
            self.events.push(super::Event::Acknowledged { peer: self.peers[peer].id, through });
        }
    }

    /// Reports tombstones that were forgotten to free capacity. The floor must be saved then.
    pub(crate) fn note_forgotten(&mut self) {
        let tombstones = core::mem::take(&mut self.document.forgotten_for_room);
        if tombstones > 0 {
            self.unsaved = true;
            self.events.push(super::Event::Forgotten { tombstones });
        }
    }

    // ---- ids ----

    /// The owner of `id` no longer uses it.
    pub(crate) fn give_up(&mut self, id: ReplicaId) {
        if self.given_up.contains(&id) {
            return;
        }
        if self.given_up.len() == self.given_up.capacity() {
            self.given_up.remove(0);
        }
        self.given_up.push(id).ok();
    }

    /// Lists a retired id again: a peer opened under it, or claimed writes of it.
    pub(crate) fn reinstate(&mut self, id: ReplicaId) {
        if self.document.knowledge.reinstate(id) {
            self.unsaved = true;
            self.give_up(id);
        }
    }

    // ---- the own id ----

    /// Whether own writes may be sent: a copy loaded from storage must be verified first.
    pub(crate) fn may_send(&self) -> bool {
        self.unverified
            .is_none_or(|loaded| self.document.knowledge.vv().time_of(self.document.replica) <= loaded)
    }

    /// A peer has own writes up to `held`. If this copy did not make them, it must fork. Returns whether they are to be ignored
    /// instead: then `told`, the vector of the peer, lists only own writes that this copy has made.
    pub(crate) fn check_own_id(
        &mut self,
        held: Time,
        told: Option<&mut VersionVector<S>>,
    ) -> Result<bool, Stop> {
        match self.unverified {
            Some(loaded) if held > loaded => Err(Stop::Fork(Fork::OldCopy)),
            Some(_) => Ok(false),
            None if held > self.document.knowledge.vv().time_of(self.document.replica) => {
                // A twin wrote under this id.
                let own = self.document.replica;
                let is_ignored = self.dispute(Fork::Twin)?;
                if let Some(told) = told {
                    let made = self.document.knowledge.vv().time_of(own);
                    // To lower an entry needs no capacity.
                    told.put(own, made.min(told.time_of(own))).ok();
                }
                Ok(is_ignored)
            }
            None => Ok(false),
        }
    }

    /// Whether `cell` has the own id and a covered stamp, but this copy never wrote it. Then another copy wrote it, whose last
    /// frames were in flight when this copy was verified: this copy must fork, or returns that the cell is to be ignored.
    pub(crate) fn check_own_past(&mut self, cell: &Stored<'_>) -> Result<bool, Stop> {
        let document = &self.document;
        let (path, stamp) = (cell.path(), cell.stamp);
        let is_past = stamp.replica == document.replica
            && document.knowledge.vv().covers(stamp)
            && stamp.time > self.loaded;
        // A cell written here is still stored, or a newer one dominates it, or a tombstone did and was
        // forgotten.
        if !is_past || stamp <= document.knowledge.horizon() || document.is_dominated(path, stamp) {
            return Ok(false);
        }
        self.dispute(Fork::OtherTimeLine)
    }

    /// A peer knows more of the own id than this copy: it forks, or ignores that (true).
    ///
    /// An aggregator takes a fresh id at each load, so an honest peer knows more of it only if its memory was set back with its
    /// machine. A hostile one could close all sessions as often as it likes, if the aggregator forked each time.
    fn dispute(&mut self, fork: Fork) -> Result<bool, Stop> {
        // Fixed storage keeps no retired ids and serves no fleet: the compiler leaves this out there, 0.3 KB of flash.
        let serves_a_fleet = self.document.knowledge.retired().has_capacity();
        if serves_a_fleet && self.config.role == Role::Aggregator {
            let now = self.moment.now.unwrap_or(self.document.knowledge.clock());
            if self.renewed_at.is_some_and(|at| now.as_ms() < at.as_ms() + OWN_ID_KEPT_MS) {
                self.disputes += 1;
                return Ok(true);
            }
            self.renewed_at = Some(now);
        }
        Err(Stop::Fork(fork))
    }
}
