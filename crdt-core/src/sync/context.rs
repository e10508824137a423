//! What all sessions of a replica work on: the document, and what is known of its peers and of its own history.

use super::{Conflicts, Events, Fork, Memory, Peers, Repairs, Stop};
use crate::config::Config;
use crate::document::Document;
use crate::id::{DocumentName, ReplicaId};
use crate::list::List;
use crate::storage::Stored;
use crate::time::{Moment, Time};

/// The replica without its sessions. A session gets it with each message.
pub(crate) struct Context<S: Memory> {
    pub(crate) name: DocumentName,
    pub(crate) config: Config,
    pub(crate) document: Document<S>,
    pub(crate) peers: Peers<S>,
    pub(crate) events: Events<S>,
    pub(crate) conflicts: Conflicts<S>,
    pub(crate) repairs: Repairs,
    /// When the input came that is being handled, by the corrected clock.
    pub(crate) moment: Moment,
    /// Added to what the driver's clock says, in milliseconds.
    pub(crate) clock_correction_ms: i64,
    /// Something changed that must be durable before anything else is sent.
    pub(crate) unsaved: bool,
    /// Own writes after this time are held back: this copy came from storage and may be an old one.
    pub(crate) unverified: Option<Time>,
    /// Own writes up to this time came from storage: if this copy has a twin, they have them in common.
    pub(crate) loaded: Time,
    /// Ids that their owners have given up; nobody else will claim their cells.
    pub(crate) given_up: S::Ids,
    /// Some uncovered cells came from a peer that did not write them: their writer may be gone.
    pub(crate) has_orphans: bool,
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
            // The document may be loaded with some.
            has_orphans: true,
        }
    }

    /// An input came at `moment`, by the driver's clock.
    pub(crate) fn begin(&mut self, moment: Moment) {
        self.moment = moment.moved_by(self.clock_correction_ms);
    }

    // ---- events ----

    /// What peer `peer` has acknowledged has changed.
    pub(crate) fn note_acknowledged(&mut self, peer: usize) {
        let through = self.peers[peer].acked.time_of(self.document.replica);
        if through > Time::ZERO {
            self.events.push(super::Event::Acknowledged { peer: self.peers[peer].id, through });
        }
    }

    /// Tells how many tombstones were forgotten to make room; the floor must be saved.
    pub(crate) fn note_forgotten(&mut self) {
        let tombstones = core::mem::take(&mut self.document.forgotten_for_room);
        if tombstones > 0 {
            self.unsaved = true;
            self.events.push(super::Event::Forgotten { tombstones });
        }
    }

    // ---- ids ----

    /// The owner of an id does not use it any more.
    pub(crate) fn give_up(&mut self, id: ReplicaId) {
        if self.given_up.contains(&id) {
            return;
        }
        if self.given_up.len() == self.given_up.capacity() {
            self.given_up.remove(0);
        }
        self.given_up.push(id).ok();
    }

    /// A retired id is in use again: a peer opened under it, or has more of it than was known.
    pub(crate) fn reinstate(&mut self, id: ReplicaId) {
        if self.document.knowledge.reinstate(id) {
            self.unsaved = true;
            self.give_up(id);
        }
    }

    // ---- the own id ----

    /// Whether own writes may be sent: a copy that came from storage must be verified first.
    pub(crate) fn may_send(&self) -> bool {
        self.unverified
            .is_none_or(|loaded| self.document.knowledge.vv().time_of(self.document.replica) <= loaded)
    }

    /// A peer holds own writes up to `held`. If this copy has not made them, it must fork.
    pub(crate) fn check_own_id(&self, held: Time) -> Result<(), Stop> {
        match self.unverified {
            Some(loaded) if held > loaded => Err(Stop::Fork(Fork::OldCopy)),
            Some(_) => Ok(()),
            // A twin lives, and wrote under this id.
            None if held > self.document.knowledge.vv().time_of(self.document.replica) => {
                Err(Stop::Fork(Fork::Twin))
            }
            None => Ok(()),
        }
    }

    /// A cell with the own id that lies within the own past, and that this copy never wrote: it comes from another time line,
    /// whose last frames were in flight when this copy was verified.
    pub(crate) fn check_own_past(&self, cell: &Stored<'_>) -> Result<(), Stop> {
        let document = &self.document;
        let (path, stamp) = (cell.path(), cell.stamp);
        let is_past = stamp.replica == document.replica
            && document.knowledge.vv().covers(stamp)
            && stamp.time > self.loaded;
        // What was written here is still here, or something newer is in its place, or a tombstone was that is forgotten.
        if !is_past || stamp <= document.knowledge.horizon() || document.is_dominated(path, stamp) {
            return Ok(());
        }
        Err(Stop::Fork(Fork::OtherTimeLine))
    }
}
