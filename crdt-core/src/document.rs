//! The document: the set of cells that no other cell dominates, and what its replica knows.

use core::fmt;

use crate::causal::{Knowledge, Stamp, VersionVector};
use crate::cell::{Cell, Content, Kind, Path, Scratch, Value, ValueError, dominates};
use crate::error::{CapacityError, ClockExhausted};
use crate::fingerprint::Fingerprint;
use crate::id::{DocumentName, ReplicaId};
use crate::overlapping::overlapping;
use crate::size::{Limits, Size};
use crate::storage::{CellStore, Storage, Stored};
use crate::time::{Moment, Time};
use crate::weaken::{Rule, holds};
use crate::write::Write;

/// Why a transaction was not made. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// A limit of this replica was reached.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// The own total of a counter would overflow 64 bits.
    #[error("the additions go beyond {} to {}: delete the counter to start over", i64::MIN, i64::MAX)]
    Overflow,
    /// The clock has reached the largest time of a stamp.
    #[error(
        "the clock stands at {last}, the last time that a stamp can hold: a peer with a broken clock wrote here"
    )]
    ClockExhausted {
        /// The highest time seen.
        last: Time,
    },
    /// A value is too long.
    #[error(transparent)]
    Value(#[from] ValueError),
}

impl From<ClockExhausted> for UpdateError {
    fn from(ClockExhausted { last }: ClockExhausted) -> Self {
        UpdateError::ClockExhausted { last }
    }
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node<'a> {
    /// A list, empty or with live cells below.
    List,
    /// A map, empty or with live cells below.
    Map,
    /// A scalar.
    Value(Value<'a>),
}

/// The result of joining a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// It is in the document now.
    Applied,
    /// A newer cell is at its path or above it.
    Dominated,
    /// It was already in the document.
    Same,
}

/// One replica's copy of a document.
///
/// It merges and reads; it does no I/O. [`Replica`](crate::Replica) adds sessions and durability.
///
/// Invariants: no cell dominates another; `clock` is not below any stamp's time; the fingerprint is the sum over the
/// cells that are not tombstones; floor entries are covered by the version vector.
///
/// ```
/// use crdt_core::{Document, DocumentName, Heap, Limits, Moment, Path, ReplicaId, Value};
/// let name = DocumentName::new("pump-42")?;
/// let mut here = Document::<Heap>::new(&name, ReplicaId::new(1), Limits::default());
/// let mut there = Document::<Heap>::new(&name, ReplicaId::new(2), Limits::default());
/// let setpoint = Path::new("pump/3/setpoint")?;
/// here.set(Moment::new(1_000), setpoint, Value::F64(4.5))?;
/// there.set(Moment::new(2_000), setpoint, Value::F64(5.0))?;
/// here.merge(&there)?;
/// there.merge(&here)?;
/// assert_eq!(here.get(setpoint), Some(Value::F64(5.0)));
/// assert_eq!(there.get(setpoint), here.get(setpoint));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Document<S: Storage> {
    pub(crate) cells: S::Cells,
    /// What is incorporated, what was forgotten, and what time it is.
    pub(crate) knowledge: Knowledge<S>,
    pub(crate) replica: ReplicaId,
    /// Names the totals of counters until it is certain that no other copy uses `replica`.
    pub(crate) spare: Option<ReplicaId>,
    /// Random bits, new with each load: two copies of one storage give list elements different ids.
    pub(crate) salt: u64,
    /// Sequence number of the last change.
    pub(crate) seq: u64,
    /// Every cell up to this sequence number is covered. Reset to zero when the version vector is lowered.
    pub(crate) covered_seq: u64,
    /// Tombstones forgotten to free capacity, and not reported yet.
    pub(crate) forgotten_for_room: usize,
    pub(crate) fingerprint: Fingerprint,
    limits: Limits,
}

impl<S: Storage> Document<S> {
    /// An empty document. The name keys its fingerprint; only documents with the same name can be merged.
    pub fn new(name: &DocumentName, replica: ReplicaId, limits: Limits) -> Self {
        const { S::CAN_WORK };
        let cells = S::Cells::default();
        let (most_cells, most_bytes) = cells.capacity();
        Self {
            cells,
            knowledge: Knowledge::new(),
            replica,
            spare: None,
            salt: 0,
            seq: 0,
            covered_seq: 0,
            forgotten_for_room: 0,
            fingerprint: Fingerprint::new(name),
            limits: Limits { cells: limits.cells.min(most_cells), bytes: limits.bytes.min(most_bytes) },
        }
    }

    /// As [`new`](Self::new), for a driver that needs to know which cells were removed.
    pub(crate) fn with_removals(name: &DocumentName, replica: ReplicaId, limits: Limits) -> Self {
        let mut document = Self::new(name, replica, limits);
        document.cells.keep_removed();
        document
    }

    /// Sets one scalar. See [`update`](Self::update).
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn set<'a>(
        &mut self,
        moment: Moment,
        path: Path<'a>,
        value: impl Into<Value<'a>>,
    ) -> Result<Option<Stamp>, UpdateError> {
        self.update(moment, &[Write::set(path, value)])
    }

    /// Deletes what is at `path` and below. See [`update`](Self::update).
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn delete(&mut self, moment: Moment, path: Path<'_>) -> Result<Option<Stamp>, UpdateError> {
        self.update(moment, &[Write::delete(path)])
    }

    /// Makes all `writes` in one transaction, in order, and returns its stamp.
    ///
    /// `None` if there was nothing to do: a delete of a path with nothing there writes nothing. O(writes x
    /// (depth x log cells + cells below)).
    ///
    /// # Errors
    /// [`UpdateError`]; nothing was written then. Capacity is estimated before: if its writes lie below one
    /// another, a transaction may be refused although it would just fit. If capacity is short, covered
    /// tombstones are forgotten, oldest first, in O(cells). They stay forgotten if it is refused for another
    /// reason.
    pub fn update(&mut self, moment: Moment, writes: &[Write<'_>]) -> Result<Option<Stamp>, UpdateError> {
        for write in writes {
            write.content.check()?;
        }
        self.check_additions(writes)?;
        self.check_room_for_own_id()?;
        while let Err(error) = self.check_room_for(writes) {
            if !self.make_room(error) {
                return Err(error.into());
            }
        }
        let mut stamp = None;
        for write in writes {
            if write.content.is_tombstone() && !self.has_anything_at(write.path) {
                continue;
            }
            let stamp = match stamp {
                Some(stamp) => stamp,
                None => *stamp.insert(self.tick(moment)?),
            };
            let content = match write.amount() {
                // Overflow was checked before.
                Some(amount) => Value::I64(self.total_at(write.path).saturating_add(amount)).into(),
                None => write.content,
            };
            self.write_with(stamp, write.path, content);
        }
        Ok(stamp)
    }

    /// The scalar at `path`; `None` if there is nothing, or a container. O(depth x log cells).
    pub fn get(&self, path: Path<'_>) -> Option<Value<'_>> {
        match self.node(path)? {
            Node::Value(value) => Some(value),
            Node::List | Node::Map => None,
        }
    }

    /// What is at `path`. A scalar with newer live cells below it is hidden: the path reads as a map.
    pub fn node(&self, path: Path<'_>) -> Option<Node<'_>> {
        let content = self.cells.get(path.as_str()).map(|cell| cell.content());
        match content {
            Some(Content::List) => Some(Node::List),
            Some(Content::Map) => Some(Node::Map),
            _ if self.has_live_below(path) => Some(Node::Map),
            Some(Content::Value(value)) => Some(Node::Value(value)),
            Some(Content::Tombstone) | None => None,
        }
    }

    /// The stamp of the scalar or marker at `path`: the age of a value, and its writer. `None` if there is
    /// nothing, or a map without a marker. [`iter`](Self::iter) returns the stamps of a whole part of the
    /// document. O(log cells).
    ///
    /// ```
    /// # use crdt_core::{Document, DocumentName, Heap, Limits, Moment, ReplicaId, path};
    /// # let mut document = Document::<Heap>::new(&DocumentName::new("pump")?, ReplicaId::new(7), Limits::default());
    /// document.set(Moment::new(1_770_000_000_000), path!("speed"), 1450)?;
    /// let stamp = document.stamp_of(path!("speed")).expect("it was set");
    /// let age_ms = 1_770_000_060_000 - stamp.time.as_ms();
    /// assert_eq!((age_ms, stamp.replica), (60_000, ReplicaId::new(7)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stamp_of(&self, path: Path<'_>) -> Option<Stamp> {
        self.cells.get(path.as_str()).filter(Stored::is_live).map(|cell| cell.stamp)
    }

    /// What is visible at `prefix` and below (everything for `None`), in byte order of the paths: scalars,
    /// and the markers of empty containers.
    pub fn iter<'a>(&'a self, prefix: Option<Path<'a>>) -> impl Iterator<Item = Cell<'a>> + 'a {
        let top = prefix.and_then(|path| self.cells.get(path.as_str()));
        let below = self.cells.below(prefix.map(Path::as_str));
        top.into_iter()
            .chain(below)
            .filter(|cell| cell.is_live() && !self.has_live_below(cell.path()))
            .map(|c| c.cell())
    }

    /// Every cell, hidden ones and tombstones too, in byte order of their paths.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> + '_ {
        self.cells.below(None).map(|cell| cell.cell())
    }

    /// Cells that changed here after `seq`, in that order. O(log cells + changes) in heap storage.
    pub fn changes_since(&self, seq: u64) -> impl Iterator<Item = Stored<'_>> + '_ {
        self.cells.since(seq)
    }

    /// Sequence number of the last local change.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// What is incorporated here, or known to be dead.
    pub fn version_vector(&self) -> &VersionVector<S> {
        self.knowledge.vv()
    }

    /// Join of the stamps of the tombstones that were forgotten.
    pub fn floor(&self) -> &VersionVector<S> {
        self.knowledge.floor()
    }

    /// The highest stamp of a tombstone that was forgotten.
    pub fn horizon(&self) -> Stamp {
        self.knowledge.horizon()
    }

    /// Highest time seen, in writes of anyone.
    pub fn clock(&self) -> Time {
        self.knowledge.clock()
    }

    /// The id under which this copy writes.
    pub fn replica_id(&self) -> ReplicaId {
        self.replica
    }

    /// A 64-bit sum over the live cells. Equal documents have equal fingerprints.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint.get()
    }

    /// Number of cells, tombstones included, and bytes of their paths and payloads.
    pub fn size(&self) -> Size {
        Size { cells: self.cells.count(), bytes: self.cells.bytes() }
    }

    /// Most cells and bytes.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Checks the invariants, and returns the first that is violated. O(cells x (depth x log cells)). For
    /// tests and fuzzers.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let mut sum = self.fingerprint.zero();
        let (mut count, mut bytes) = (0, 0);
        let mut previous: Option<&str> = None;
        for cell in self.cells.below(None) {
            if previous.is_some_and(|p| p >= cell.path) {
                return Err("cells are not in the order of their paths");
            }
            previous = Some(cell.path);
            if Path::new(cell.path).is_err() || Content::decode(cell.kind, cell.payload).is_none() {
                return Err("a cell is not well formed");
            }
            if self.ancestor_dominates(cell.path(), cell.stamp) {
                return Err("a cell dominates another");
            }
            if cell.stamp.time > self.clock() {
                return Err("the clock is behind a stamp");
            }
            if cell.seq > self.seq {
                return Err("a cell is newer than the last change");
            }
            if cell.seq <= self.covered_seq && !self.knowledge.vv().covers(cell.stamp) {
                return Err("a cell counts as covered and is not");
            }
            sum.add(cell);
            count += 1;
            bytes += cell.path.len() + cell.payload.len();
        }
        if sum.get() != self.fingerprint.get() {
            return Err("the fingerprint is not the sum over the cells");
        }
        if (count, bytes) != (self.cells.count(), self.cells.bytes()) {
            return Err("cells or bytes are miscounted");
        }
        self.knowledge.check()?;
        let mut seqs = 0;
        let mut last = 0;
        for cell in self.cells.since(0) {
            if cell.seq <= last {
                return Err("changes are out of order");
            }
            last = cell.seq;
            seqs += 1;
        }
        if seqs == count { Ok(()) } else { Err("a cell is missing in the order of changes") }
    }

    // ---- for the layers above ----

    /// Takes a fresh stamp of this replica and covers it.
    pub(crate) fn tick(&mut self, moment: Moment) -> Result<Stamp, UpdateError> {
        let time = self.knowledge.next_time(moment)?;
        Ok(self.knowledge.begin_transaction(self.replica, time)?)
    }

    /// Whether every cell is covered: only then do equal vectors mean equal documents. O(cells that changed
    /// since the last call, or are not covered).
    pub(crate) fn is_clean(&mut self) -> bool {
        for cell in self.cells.since(self.covered_seq) {
            if !self.knowledge.vv().covers(cell.stamp) {
                return !holds(Rule::DigestWhenClean);
            }
            self.covered_seq = cell.seq;
        }
        true
    }

    /// Joins a cell that arrived. O(depth x log cells + cells below).
    pub(crate) fn join(&mut self, cell: Cell<'_>) -> Result<Joined, CapacityError> {
        let mut scratch = Scratch::default();
        let (kind, payload) = cell.content.encode(&mut scratch);
        let cell = Stored { path: cell.path.as_str(), stamp: cell.stamp, kind, payload, seq: 0 };
        self.join_stored(cell, &mut |_, _| {})
    }

    /// As [`join`](Self::join). Calls `lost` with each cell that it replaces, and with whether that one was
    /// covered.
    pub(crate) fn join_stored(
        &mut self,
        cell: Stored<'_>,
        lost: &mut dyn FnMut(Stored<'_>, bool),
    ) -> Result<Joined, CapacityError> {
        let place = self.cells.find(cell.path);
        let existing = self.cells.at(place);
        if let Some(here) = existing
            && here.stamp >= cell.stamp
        {
            return Ok(if here.stamp == cell.stamp { Joined::Same } else { Joined::Dominated });
        }
        // If a cell is here, nothing above dominates it, nor a newer one that replaces it.
        if existing.is_none() && self.ancestor_dominates(cell.path(), cell.stamp) {
            return Ok(Joined::Dominated);
        }
        let existing = existing.map(|here| here.payload.len());
        let (mut freed_cells, mut freed_bytes) = (0, 0);
        if !self.cells.is_leaf(place, cell.path) {
            for below in self.cells.below(Some(cell.path)).filter(|below| below.stamp < cell.stamp) {
                freed_cells += 1;
                freed_bytes += below.path.len() + below.payload.len();
            }
        }
        let (more_cells, more_bytes) = match existing {
            Some(len) => (0, cell.payload.len() as isize - len as isize),
            None => (1, (cell.path.len() + cell.payload.len()) as isize),
        };
        self.check_room_signed(more_cells - freed_cells, more_bytes - freed_bytes as isize)?;
        self.place_at(place, cell, lost);
        Ok(Joined::Applied)
    }

    /// Whether a cell of the document dominates one at `path` with `stamp`, or is the same.
    pub(crate) fn is_dominated(&self, path: Path<'_>, stamp: Stamp) -> bool {
        self.cells.get(path.as_str()).is_some_and(|cell| cell.stamp >= stamp)
            || self.ancestor_dominates(path, stamp)
    }

    /// Writes the content of `cell` under a fresh stamp, together with the live cells below, which keep their
    /// content.
    ///
    /// For cells that can no longer be ordered. What lies below a container is reissued with it, and a scalar
    /// that has live cells below becomes a map. Calls `lost` with each cell that it replaces, and with
    /// whether that one was covered.
    pub(crate) fn reissue(
        &mut self,
        moment: Moment,
        cell: Stored<'_>,
        lost: &mut dyn FnMut(Stored<'_>, bool),
    ) -> Result<Stamp, UpdateError> {
        loop {
            let capacity = match self.cells.get(cell.path) {
                Some(here) => self.check_room(0, cell.payload.len().saturating_sub(here.payload.len())),
                None => self.check_room(1, cell.path.len() + cell.payload.len()),
            };
            match capacity {
                Err(error) if self.make_room(error) => {}
                result => break result?,
            }
        }
        self.check_room_for_own_id()?;
        let stamp = self.tick(moment)?;
        let keeps_below = self.restamp_live_below(cell.path(), stamp);
        let is_hidden = keeps_below && cell.kind.is_value();
        let cell = if is_hidden { Stored { kind: Kind::Map, payload: &[], ..cell } } else { cell };
        self.unhide_above(stamp, cell.path());
        self.place_stored(Stored { stamp, ..cell }, lost);
        Ok(stamp)
    }

    /// Writes the cell at `path` again under a fresh stamp; see [`reissue`](Self::reissue).
    pub(crate) fn reissue_in_place(&mut self, moment: Moment, path: Path<'_>) -> Result<Stamp, UpdateError> {
        self.check_room_for_own_id()?;
        let stamp = self.tick(moment)?;
        self.reissue_under(stamp, path);
        self.unhide_above(stamp, path);
        Ok(stamp)
    }

    /// Gives the cell at `path`, and the live cells below it, the stamp of a transaction of this replica.
    pub(crate) fn reissue_under(&mut self, stamp: Stamp, path: Path<'_>) {
        let keeps_below = self.restamp_live_below(path, stamp);
        let place = self.cells.find(path.as_str());
        let Some(cell) = self.cells.at(place) else { return };
        self.fingerprint.remove(cell);
        self.seq += 1;
        if keeps_below && cell.kind.is_value() {
            let map = Stored { path: path.as_str(), stamp, kind: Kind::Map, payload: &[], seq: self.seq };
            self.fingerprint.add(map);
            self.cells.put(place, map);
        } else {
            // In place: a copy of the payload would take 4 KiB of stack.
            self.fingerprint.add(Stored { stamp, ..cell });
            self.cells.restamp(place, stamp, self.seq);
        }
        self.drop_older_below(path.as_str(), stamp, &mut |_, _| {});
    }

    /// Gives the live cells below `path` a new stamp. Returns whether there are any.
    pub(crate) fn restamp_live_below(&mut self, path: Path<'_>, stamp: Stamp) -> bool {
        let (fingerprint, seq) = (&mut self.fingerprint, &mut self.seq);
        let mut any = false;
        self.cells.restamp_below(Some(path.as_str()), |cell| {
            if !cell.is_live() {
                return None;
            }
            any = true;
            fingerprint.remove(cell);
            fingerprint.add(Stored { stamp, ..cell });
            *seq += 1;
            Some((stamp, *seq))
        });
        any
    }

    /// Stores a cell and drops what it dominates. There must be capacity, and nothing may dominate it.
    pub(crate) fn place(&mut self, stamp: Stamp, path: Path<'_>, content: Content<'_>) {
        let mut scratch = Scratch::default();
        let (kind, payload) = content.encode(&mut scratch);
        self.place_stored(Stored { path: path.as_str(), stamp, kind, payload, seq: 0 }, &mut |_, _| {});
    }

    /// Drops the cells that a peer covers but does not have: they are dead there.
    ///
    /// A dropped tombstone counts as forgotten: it is unknown whether its owner forgot it, or a newer cell
    /// dominated it.
    pub(crate) fn drop_absent(
        &mut self,
        claimed: impl Fn(Stamp) -> bool,
        present: impl Fn(&Stored<'_>) -> bool,
    ) -> usize {
        let (knowledge, fingerprint) = (&mut self.knowledge, &mut self.fingerprint);
        let (mut dropped, mut forgotten) = (0, false);
        self.cells.remove_below(None, &mut |cell| {
            let absent = claimed(cell.stamp) && !present(&cell);
            if absent {
                fingerprint.remove(cell);
                dropped += 1;
            }
            if absent && !cell.is_live() {
                knowledge.forget(cell.stamp);
                forgotten = true;
            }
            absent
        });
        if forgotten {
            self.knowledge.note_floor_changed();
        }
        dropped
    }

    pub(crate) fn has_live_below(&self, path: Path<'_>) -> bool {
        self.cells.below(Some(path.as_str())).any(|cell| cell.is_live())
    }

    // ---- private ----

    /// The integer that additions at `path` are added to.
    pub(crate) fn total_at(&self, path: Path<'_>) -> i64 {
        match self.get(path) {
            Some(Value::I64(total)) => total,
            _ => 0,
        }
    }

    /// Checks that no addition of a transaction overflows. O(writes), unless a total is close to the limits
    /// of 64 bits.
    fn check_additions(&self, writes: &[Write<'_>]) -> Result<(), UpdateError> {
        let amounts = || writes.iter().filter_map(|write| Some((write.path, write.amount()?)));
        let most = amounts().fold(0_u64, |most, (_, amount)| most.saturating_add(amount.unsigned_abs()));
        for (path, _) in amounts() {
            let total = self.total_at(path);
            if total.unsigned_abs().saturating_add(most) <= i64::MAX as u64 {
                continue;
            }
            self.check_additions_at(path, writes)?;
        }
        Ok(())
    }

    /// Checks that the additions at one path do not overflow. O(writes + log cells).
    pub(crate) fn check_additions_at(&self, path: Path<'_>, writes: &[Write<'_>]) -> Result<(), UpdateError> {
        let mut amounts = writes.iter().filter(|write| write.path == path).filter_map(Write::amount);
        match amounts.try_fold(self.total_at(path), i64::checked_add) {
            Some(_) => Ok(()),
            None => Err(UpdateError::Overflow),
        }
    }

    fn has_anything_at(&self, path: Path<'_>) -> bool {
        self.cells.get(path.as_str()).is_some_and(|cell| cell.is_live()) || self.has_live_below(path)
    }

    pub(crate) fn write_with(&mut self, stamp: Stamp, path: Path<'_>, content: Content<'_>) {
        self.unhide_above(stamp, path);
        // Cells of one transaction do not dominate one another, and nobody has seen these yet.
        let fingerprint = &mut self.fingerprint;
        self.cells.remove_below(Some(path.as_str()), &mut |cell| {
            let own = cell.stamp == stamp;
            if own {
                fingerprint.remove(cell);
            }
            own
        });
        self.place(stamp, path, content);
    }

    /// Removes a cell that nobody else has seen.
    pub(crate) fn remove_unsent(&mut self, path: &str) {
        let fingerprint = &mut self.fingerprint;
        self.cells.remove_below(None, &mut |cell| {
            let is_it = cell.path == path;
            if is_it {
                fingerprint.remove(cell);
            }
            is_it
        });
    }

    /// A scalar above `path` that only this write would hide becomes a map marker.
    fn unhide_above(&mut self, stamp: Stamp, path: Path<'_>) {
        for above in path.ancestors() {
            let scalar = self.cells.get(above.as_str()).is_some_and(|cell| cell.kind.is_value());
            let others = scalar
                && self
                    .cells
                    .below(Some(above.as_str()))
                    .any(|cell| cell.is_live() && !path.contains(cell.path()));
            if scalar && !others {
                self.place(stamp, above, Content::Map);
            }
        }
    }

    fn ancestor_dominates(&self, path: Path<'_>, stamp: Stamp) -> bool {
        path.ancestors().any(|above| {
            self.cells.get(above.as_str()).is_some_and(|cell| dominates(above, cell.stamp, path, stamp))
        })
    }

    pub(crate) fn place_stored(&mut self, cell: Stored<'_>, lost: &mut dyn FnMut(Stored<'_>, bool)) {
        self.place_at(self.cells.find(cell.path), cell, lost);
    }

    fn place_at(
        &mut self,
        place: <S::Cells as CellStore>::Place,
        cell: Stored<'_>,
        lost: &mut dyn FnMut(Stored<'_>, bool),
    ) {
        self.knowledge.note_time(cell.stamp.time);
        if let Some(here) = self.cells.at(place) {
            self.fingerprint.remove(here);
            lost(here, self.knowledge.vv().covers(here.stamp));
        }
        if !self.cells.is_leaf(place, cell.path) {
            self.drop_older_below(cell.path, cell.stamp, lost);
        }
        self.seq += 1;
        let cell = Stored { seq: self.seq, ..cell };
        self.fingerprint.add(cell);
        self.cells.put(place, cell);
    }

    /// Drops what a cell at `path` with `stamp` dominates below it.
    fn drop_older_below(&mut self, path: &str, stamp: Stamp, lost: &mut dyn FnMut(Stored<'_>, bool)) {
        let (fingerprint, vv) = (&mut self.fingerprint, self.knowledge.vv());
        self.cells.remove_below(Some(path), &mut |below| {
            let dominated = below.stamp < stamp;
            if dominated {
                fingerprint.remove(below);
                lost(below, vv.covers(below.stamp));
            }
            dominated
        });
    }

    /// Checks the capacity of the version vector: the first own write lists this replica there.
    pub(crate) fn check_room_for_own_id(&self) -> Result<(), CapacityError> {
        let is_new = self.knowledge.vv().time_of(self.replica) == Time::ZERO;
        if self.knowledge.vv().fits(is_new.into()) {
            Ok(())
        } else {
            Err(CapacityError::Replicas { limit: self.knowledge.vv().capacity() })
        }
    }

    fn check_room_for(&self, writes: &[Write<'_>]) -> Result<(), CapacityError> {
        let (mut cells, mut bytes) = (0_isize, 0_isize);
        // If that is not known, each may lie below another one.
        let overlapping = overlapping::<S::Sequences>(writes);
        for (i, write) in writes.iter().enumerate() {
            let mut scratch = Scratch::default();
            let payload_len = write.longest().encode(&mut scratch).1.len() as isize;
            let alone = overlapping.as_ref().is_some_and(|found| found.binary_search(&(i as u64)).is_err());
            match self.cells.get(write.path.as_str()) {
                Some(here) if alone => bytes += payload_len - here.payload.len() as isize,
                Some(_) => bytes += payload_len,
                None => {
                    if write.content.is_tombstone() && !self.has_live_below(write.path) && alone {
                        continue;
                    }
                    cells += 1;
                    bytes += write.path.as_str().len() as isize + payload_len;
                }
            }
            if alone {
                for below in self.cells.below(Some(write.path.as_str())) {
                    cells -= 1;
                    bytes -= (below.path.len() + below.payload.len()) as isize;
                }
            }
            // After each write, not only at the end: what a later one frees is not available yet.
            self.check_room_signed(cells, bytes)?;
        }
        Ok(())
    }

    fn check_room(&self, more_cells: usize, more_bytes: usize) -> Result<(), CapacityError> {
        self.check_room_signed(more_cells as isize, more_bytes as isize)
    }

    pub(crate) fn check_room_signed(
        &self,
        more_cells: isize,
        more_bytes: isize,
    ) -> Result<(), CapacityError> {
        let cells = self.cells.count().saturating_add_signed(more_cells);
        if cells > self.limits.cells && more_cells > 0 {
            return Err(CapacityError::Cells { needed: cells, limit: self.limits.cells });
        }
        let bytes = self.cells.bytes().saturating_add_signed(more_bytes);
        if bytes > self.limits.bytes && more_bytes > 0 {
            return Err(CapacityError::Bytes { needed: bytes, limit: self.limits.bytes });
        }
        Ok(())
    }
}

impl<S: Storage> fmt::Debug for Document<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("replica", &self.replica)
            .field("vv", self.knowledge.vv())
            .field("floor", self.floor())
            .field("cells", &self.cells.count())
            .finish_non_exhaustive()
    }
}

/// Documents are equal if they have the same cells, whatever their replicas are.
impl<S: Storage, T: Storage> PartialEq<Document<T>> for Document<S> {
    fn eq(&self, other: &Document<T>) -> bool {
        self.cells().eq(other.cells())
    }
}
