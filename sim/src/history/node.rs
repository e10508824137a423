//! A node: a replica, its disk, and what the harness knows of its own writes.

use std::collections::VecDeque;
use std::rc::Rc;

use crdt_core::{
    Config, CountingRng, DocumentName, Limits, Moment, PeerId, PersistToken, ReplicaId, Retired, Role, Stamp,
    Time,
};

use super::copy::{Copy, Records};
use super::facts::{CellName, Fact, Held, Knowledge, PathIndex};

/// What is on a disk, or on its way there: all of it at once, or nothing.
#[derive(Clone, Default)]
pub(super) struct Image {
    state: Vec<u8>,
    records: Records,
    pub(super) knowledge: Knowledge,
    /// Cells of others that came since the image before, also those that are gone again.
    pub(super) seen: Vec<CellName>,
    pub(super) own: Own,
}

/// The harness's own record of what was written here. It lives and dies with the disk.
#[derive(Clone, Default)]
pub(super) struct Own {
    /// Every cell that this copy made, re-issued ones too.
    pub(super) log: Vec<Fact>,
    /// Writes of the application, by the stamps that they have now.
    pub(super) writes: Vec<(CellName, Held)>,
    /// Cells of this id above this time have not left.
    pub(super) held_above: Option<(ReplicaId, Time)>,
}

impl Own {
    pub(super) fn holds(&self, name: CellName) -> bool {
        self.log.iter().any(|fact| fact.name() == name)
    }

    /// Whether the cell may have left, once it is on disk.
    pub(super) fn may_leave(&self, stamp: Stamp) -> bool {
        self.held_above.is_none_or(|(id, time)| stamp.replica != id || stamp.time <= time)
    }
}

/// How to make a node's replica.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) name: DocumentName,
    pub(super) config: Config,
    pub(super) fixed: bool,
}

pub(super) struct Node {
    setup: Setup,
    pub(super) peer: PeerId,
    /// How far its clock is off, in milliseconds.
    pub(super) skew_ms: i64,
    pub(super) copy: Copy,
    pub(super) own: Own,
    /// The id that the harness saw last.
    id: ReplicaId,
    pub(super) previous_id: ReplicaId,
    /// It forked after it had forgotten deletes that only it knew, or made one anew and forgot it at once to make room. What
    /// they killed is dead by its floor alone: no cell tells why any more, so the registry cannot either.
    pub(super) deleted_without_trace: bool,
    noted_seq: u64,
    seen: Vec<CellName>,
    /// What it knew and held when it last had nothing to tell.
    before: (Knowledge, Vec<Fact>),
    records: Records,
    writing: VecDeque<(PersistToken, Rc<Image>)>,
    pub(super) disk: Rc<Image>,
}

impl Node {
    pub(super) fn new(setup: Setup, peer: PeerId, skew_ms: i64, id: ReplicaId) -> Self {
        let copy = Copy::new(setup.fixed, &setup.name, id, setup.config);
        Self {
            setup,
            peer,
            skew_ms,
            copy,
            own: Own::default(),
            id,
            previous_id: id,
            deleted_without_trace: false,
            noted_seq: 0,
            seen: Vec::new(),
            before: Default::default(),
            records: Records::default(),
            writing: VecDeque::new(),
            disk: Rc::default(),
        }
    }

    /// The store is lost.
    pub(super) fn wipe(&mut self, id: ReplicaId) {
        // What it did to the others stays done.
        let deleted_without_trace = self.deleted_without_trace;
        *self = Self::new(self.setup.clone(), self.peer, self.skew_ms, id);
        self.deleted_without_trace = deleted_without_trace;
    }

    /// The process starts again, from what a disk holds.
    pub(super) fn load(&mut self, moment: Moment, rng: CountingRng, image: &Rc<Image>) -> Result<(), String> {
        let (fixed, config) = (self.setup.fixed, self.setup.config);
        let copy = Copy::load(fixed, moment, config, rng, &image.state, &image.records)
            .map_err(|error| error.to_string())?;
        self.own = image.own.clone();
        self.id = copy.id();
        self.previous_id = self.id;
        self.noted_seq = copy.changes_since(0).0;
        self.own.held_above = copy
            .is_unverified()
            .then(|| self.own.held_above.unwrap_or_else(|| (self.id, copy.knowledge().time_of(self.id))));
        self.copy = copy;
        self.records = image.records.clone();
        self.writing.clear();
        self.seen.clear();
        self.note_told();
        self.disk = image.clone();
        Ok(())
    }

    /// From the next start on, the device has as much capacity as anybody.
    pub(super) fn enlarge(&mut self) {
        self.setup.config.limits = Limits::default();
    }

    /// What it is to the others.
    pub(super) fn role(&self) -> Role {
        self.setup.config.role
    }

    /// Whether the disk holds a state that a process can start from.
    pub(super) fn has_disk(&self) -> bool {
        !self.disk.state.is_empty()
    }

    /// The core wants this state on disk: it goes there by and by.
    pub(super) fn stage(&mut self) {
        let (state, token) = self.copy.save(&mut self.records);
        self.writing.push_back((
            token,
            Rc::new(Image {
                state,
                records: self.records.clone(),
                knowledge: self.copy.knowledge(),
                seen: std::mem::take(&mut self.seen),
                own: self.own.clone(),
            }),
        ));
    }

    /// The oldest state under way arrives on the disk.
    pub(super) fn commit(&mut self) -> bool {
        let Some((token, image)) = self.writing.pop_front() else { return false };
        self.disk = image;
        self.copy.handle_persisted(token);
        true
    }

    /// All events have been told.
    pub(super) fn note_told(&mut self) {
        self.before = (self.copy.knowledge(), self.copy.facts());
    }

    /// Whether the copy knew a transaction whose cells it did not hold: they were dead. `retired` says what it knows of ids
    /// that it does not list.
    pub(super) fn knew_dead(&self, stamp: Stamp, retired: &[Retired]) -> bool {
        let (knowledge, cells) = &self.before;
        knowledge.clone().with_retired(retired).covers(stamp) && cells.iter().all(|cell| cell.stamp != stamp)
    }

    /// An application's write was made.
    pub(super) fn note_write(&mut self, path: PathIndex, stamp: Stamp, held: Held) {
        self.own.writes.push(((path, stamp), held));
    }

    /// Notes what the last input made of this copy's own cells. Gives the old id and the last time that is common when the
    /// copy forked.
    pub(super) fn note_input(&mut self) -> Option<(ReplicaId, Time)> {
        let (old, new) = (self.id, self.copy.id());
        let mut forked = None;
        if old != new {
            let common = self.copy.knowledge().time_of(old);
            self.own.log.retain(|fact| fact.stamp.replica != old || fact.stamp.time <= common);
            self.deleted_without_trace |= self.copy.forgotten_own() > Time::ZERO;
            self.id = new;
            self.previous_id = old;
            forked = Some((old, common));
        }
        if !self.copy.is_unverified() {
            self.own.held_above = None;
        }
        let (seq, changes) = self.copy.changes_since(self.noted_seq);
        self.noted_seq = seq;
        for fact in changes {
            if fact.stamp.replica != new {
                self.seen.push(fact.name());
            } else if !self.own.holds(fact.name()) {
                self.own.log.push(fact);
            }
        }
        let forgotten = Stamp::new(self.copy.forgotten_own(), new);
        self.deleted_without_trace |=
            forgotten.time > Time::ZERO && self.own.log.iter().all(|fact| fact.stamp != forgotten);
        if let Some((old, common)) = forked {
            self.follow_moved_writes(old, common);
        }
        forked
    }

    /// Writes after the common point were made again under the new id, unless something else had replaced them.
    fn follow_moved_writes(&mut self, old: ReplicaId, common: Time) {
        let cells = self.copy.facts();
        let id = self.id;
        self.own.writes.retain_mut(|((path, stamp), held)| {
            if stamp.replica != old || stamp.time <= common {
                return true;
            }
            let moved = cells.iter().find(|cell| cell.path == *path && cell.stamp.replica == id);
            let moved = moved.filter(|cell| cell.held == *held || cell.held == Held::Container);
            if let Some(cell) = moved {
                *stamp = cell.stamp;
            }
            moved.is_some()
        });
    }

    /// Whether the cell came here since the last commit, even if it is gone again.
    pub(super) fn has_seen(&self, name: CellName) -> bool {
        self.seen.contains(&name) || self.writing.iter().any(|(_, image)| image.seen.contains(&name))
    }

    pub(super) fn is_clean(&self) -> bool {
        let known = self.copy.knowledge();
        self.copy.facts().iter().all(|cell| known.covers(cell.stamp))
    }

    /// Whether it has own writes that nobody else may see yet.
    pub(super) fn holds_back(&self) -> bool {
        let known = self.copy.knowledge();
        self.own.held_above.is_some_and(|(id, time)| known.time_of(id) > time)
    }
}
