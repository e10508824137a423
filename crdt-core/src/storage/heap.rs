//! Storage on the heap: a slab of cells, their order by path, and a log of their changes.
//!
//! Lookup, insertion and removal cost O(log cells); a removal also moves four bytes for each cell that was removed since the
//! last save and has a greater path. A change appends its sequence number and slot to the log, which so is
//! sorted; an entry whose slot has another number by now is void. When the log is full the void entries are taken out,
//! a fifth of it at least, which costs O(1) a change. What changed since a given number is found by bisection:
//! O(log cells + changes), and never more than O(cells).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::order::{Order, Place};
use super::{CellStore, Storage, Stored, compare_with_below};
use crate::causal::memory::sealed::Sealed;
use crate::causal::{KnowledgeMemory, Retired, Rise, Stamp, VectorEntry};
use crate::cell::Kind;
use crate::id::ReplicaId;
use crate::limits::{REPLICAS_MAX, RETIRED_MAX};
use crate::list::Growing;
use crate::write::PendingHeap;

/// Memory from the heap. A document grows to the caps of its [`Limits`](crate::Limits).
#[derive(Debug)]
pub enum Heap {}

impl KnowledgeMemory for Heap {
    type Entries = Growing<VectorEntry, REPLICAS_MAX>;
    type Ids = Growing<ReplicaId, REPLICAS_MAX>;
    type Retired = Growing<Retired, RETIRED_MAX>;
    type Rises = Growing<Rise, { usize::MAX }>;
}

impl Storage for Heap {
    type Cells = HeapCells;
    type Sequences = Growing<u64, { usize::MAX }>;
    type Pending<'w> = PendingHeap<'w>;
}

impl Sealed for Heap {}

/// The cells of a [`Heap`] document.
#[derive(Clone, Debug, Default)]
pub struct HeapCells {
    by_path: Order,
    slots: Vec<Slot>,
    /// Slots that hold nothing.
    free: Vec<u32>,
    /// Sequence numbers, ascending, and the slots that changed then. Void where the slot has another number now.
    changes: Vec<(u64, u32)>,
    bytes: usize,
    /// Slots of the cells that were removed, in the order of their paths: these stay until they are gone from disk.
    removed: Vec<u32>,
    /// There is a disk.
    keeps_removed: bool,
}

/// 64 bytes.
#[derive(Clone, Debug)]
struct Slot {
    path: Box<str>,
    payload: Payload,
    stamp: Stamp,
    /// Zero in a slot that holds nothing.
    seq: u64,
    kind: Kind,
}

/// Most payloads are a few bytes: those stay in the slot. A longer one lies behind two boxes, because one would make each
/// slot longer.
#[derive(Clone, Debug)]
enum Payload {
    Long(Box<Box<[u8]>>),
    Short(u8, [u8; SHORT_LEN_MAX]),
}

const SHORT_LEN_MAX: usize = 14;
/// Slots that the slab grows by, at least.
const SLOTS_MORE_MIN: usize = 8;
/// Void entries that the log of changes has capacity for, at least.
const CHANGES_MORE_MIN: usize = 16;

impl Payload {
    const NONE: Self = Payload::Short(0, [0; SHORT_LEN_MAX]);

    fn new(bytes: &[u8]) -> Self {
        let mut short = [0; SHORT_LEN_MAX];
        match short.get_mut(..bytes.len()) {
            Some(head) => {
                head.copy_from_slice(bytes);
                Payload::Short(bytes.len() as u8, short)
            }
            None => Payload::Long(Box::new(bytes.into())),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Payload::Long(bytes) => bytes,
            Payload::Short(len, bytes) => &bytes[..usize::from(*len)],
        }
    }
}

impl Slot {
    fn stored(&self) -> Stored<'_> {
        Stored {
            path: &self.path,
            stamp: self.stamp,
            kind: self.kind,
            payload: self.payload.as_slice(),
            seq: self.seq,
        }
    }
}

impl HeapCells {
    fn slot(&self, index: u32) -> &Slot {
        &self.slots[index as usize]
    }

    fn path(&self, index: u32) -> &str {
        &self.slot(index).path
    }

    /// A slot that holds nothing.
    fn free_slot(&mut self) -> u32 {
        if let Some(index) = self.free.pop() {
            return index;
        }
        if self.slots.len() == self.slots.capacity() {
            // Doubling would leave up to half of the largest part of a document unused.
            self.slots.reserve_exact(self.slots.len() / 4 + SLOTS_MORE_MIN);
            // A quarter of the log is void before it is worth clearing: O(1) a change, and no memory for history.
            let capacity = self.slots.capacity() + self.slots.capacity() / 4 + CHANGES_MORE_MIN;
            self.changes.reserve_exact(capacity.saturating_sub(self.changes.len()));
        }
        self.slots.push(Slot {
            path: Box::default(),
            payload: Payload::NONE,
            stamp: Stamp::ZERO,
            seq: 0,
            kind: Kind::Tombstone,
        });
        (self.slots.len() - 1) as u32
    }

    /// Notes that the slot has changed; its sequence number is the highest ever given.
    fn note_change(&mut self, index: u32) {
        if self.changes.len() == self.changes.capacity() {
            let slots = &self.slots;
            self.changes.retain(|(seq, index)| slots[*index as usize].seq == *seq);
        }
        self.changes.push((self.slot(index).seq, index));
    }

    /// A slot for a cell that comes to `path`: if one was removed there, it was in that.
    fn slot_for(&mut self, path: &str) -> u32 {
        if let Ok(at) = self.place_in_removed(path) {
            return self.removed.remove(at);
        }
        let index = self.free_slot();
        self.slots[index as usize].path = path.into();
        index
    }

    fn release(&mut self, place: Place, index: u32) {
        self.by_path.remove(place);
        let slot = &mut self.slots[index as usize];
        self.bytes -= slot.path.len() + slot.payload.as_slice().len();
        slot.seq = 0;
        slot.payload = Payload::NONE;
        if !self.keeps_removed {
            slot.path = Box::default();
            self.free.push(index);
        } else if let Err(at) = self.place_in_removed(self.path(index)) {
            self.removed.insert(at, index);
        }
    }

    fn place_in_removed(&self, path: &str) -> Result<usize, usize> {
        self.removed.binary_search_by(|index| self.path(*index).cmp(path))
    }

    fn restamp_slot(&mut self, index: u32, stamp: Stamp, seq: u64) {
        let slot = &mut self.slots[index as usize];
        slot.stamp = stamp;
        slot.seq = seq;
        self.note_change(index);
    }

    fn run_below(&self, path: Option<&str>) -> Run {
        let compare = |index| {
            path.map_or(Ordering::Equal, |path| compare_with_below(self.path(index).as_bytes(), path))
        };
        let start = self.by_path.place(|index| compare(index).is_lt());
        let mut end = self.by_path.at(start);
        if end.is_some_and(|index| compare(index).is_eq()) {
            end = self.by_path.at(self.by_path.place(|index| compare(index).is_le()));
        }
        Run { next: start, end }
    }
}

/// Slots that follow one another in the order of paths: from a place up to a slot.
struct Run {
    next: Place,
    end: Option<u32>,
}

impl Run {
    fn next(&mut self, order: &Order) -> Option<u32> {
        let index = order.at(self.next).filter(|index| Some(*index) != self.end)?;
        self.next = order.after(self.next);
        Some(index)
    }
}

/// Cells in the order of their paths.
struct Below<'a> {
    cells: &'a HeapCells,
    run: Run,
}

impl<'a> Iterator for Below<'a> {
    type Item = Stored<'a>;

    // In one place: some twenty loops go over cells.
    #[inline(never)]
    fn next(&mut self) -> Option<Stored<'a>> {
        self.run.next(&self.cells.by_path).map(|index| self.cells.slot(index).stored())
    }
}

/// Cells in the order of their changes.
struct Since<'a> {
    cells: &'a HeapCells,
    changes: core::slice::Iter<'a, (u64, u32)>,
}

impl<'a> Iterator for Since<'a> {
    type Item = Stored<'a>;

    // As that of `Below`.
    #[inline(never)]
    fn next(&mut self) -> Option<Stored<'a>> {
        loop {
            let (changed, index) = self.changes.next()?;
            let slot = self.cells.slot(*index);
            if slot.seq == *changed {
                return Some(slot.stored());
            }
        }
    }
}

impl CellStore for HeapCells {
    /// And the slot that is there.
    type Place = (Place, Option<u32>);

    fn put(&mut self, (place, found): Self::Place, cell: Stored<'_>) {
        let index = found.unwrap_or_else(|| {
            let index = self.slot_for(cell.path);
            self.by_path.insert(place, index);
            self.bytes += cell.path.len();
            index
        });
        let slot = &mut self.slots[index as usize];
        self.bytes = self.bytes - slot.payload.as_slice().len() + cell.payload.len();
        slot.payload = Payload::new(cell.payload);
        slot.kind = cell.kind;
        self.restamp_slot(index, cell.stamp, cell.seq);
    }

    fn remove_below(&mut self, path: Option<&str>, unwanted: &mut dyn FnMut(Stored<'_>) -> bool) {
        let (mut run, mut gone) = (self.run_below(path), Vec::new());
        while let Some(index) = run.next(&self.by_path) {
            if unwanted(self.slot(index).stored()) {
                gone.push(index);
            }
        }
        for index in gone {
            let (place, _) = self.find(self.path(index));
            self.release(place, index);
        }
    }

    fn restamp(&mut self, (_, found): Self::Place, stamp: Stamp, seq: u64) {
        if let Some(index) = found {
            self.restamp_slot(index, stamp, seq);
        }
    }

    fn restamp_below(
        &mut self,
        path: Option<&str>,
        mut stamp: impl FnMut(Stored<'_>) -> Option<(Stamp, u64)>,
    ) {
        let mut run = self.run_below(path);
        while let Some(index) = run.next(&self.by_path) {
            if let Some((stamp, seq)) = stamp(self.slot(index).stored()) {
                self.restamp_slot(index, stamp, seq);
            }
        }
    }

    fn keep_removed(&mut self) {
        self.keeps_removed = true;
    }

    fn clear_removed(&mut self) {
        for index in self.removed.drain(..) {
            self.slots[index as usize].path = Box::default();
            self.free.push(index);
        }
    }

    fn find(&self, path: &str) -> Self::Place {
        let place = self.by_path.place(|index| self.path(index) < path);
        (place, self.by_path.at(place).filter(|index| self.path(*index) == path))
    }

    fn at(&self, (_, found): Self::Place) -> Option<Stored<'_>> {
        found.map(|index| self.slot(index).stored())
    }

    fn is_leaf(&self, (place, found): Self::Place, path: &str) -> bool {
        let next = if found.is_some() { self.by_path.after(place) } else { place };
        self.by_path.at(next).is_none_or(|index| !self.path(index).starts_with(path))
    }

    fn below<'a>(&'a self, path: Option<&str>) -> impl Iterator<Item = Stored<'a>> + 'a {
        Below { cells: self, run: self.run_below(path) }
    }

    fn since(&self, seq: u64) -> impl Iterator<Item = Stored<'_>> + '_ {
        let start = self.changes.partition_point(|(changed, _)| *changed <= seq);
        Since { cells: self, changes: self.changes[start..].iter() }
    }

    fn removed(&self) -> Option<impl Iterator<Item = &str> + '_> {
        Some(self.removed.iter().map(|index| self.path(*index)))
    }

    fn has_removed(&self) -> bool {
        !self.removed.is_empty()
    }

    fn count(&self) -> usize {
        self.by_path.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn capacity(&self) -> (usize, usize) {
        (u32::MAX as usize - 1, isize::MAX as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Path;
    use crate::document::Document;
    use crate::id::DocumentName;
    use crate::size::Limits;
    use crate::time::Moment;

    /// Seen in the field: 70,000 paths of cells that were long forgotten, in a program that merges documents by itself.
    #[test]
    fn a_document_without_a_driver_keeps_no_removed_paths() {
        let name = DocumentName::new("d").unwrap();
        let mut document = Document::<Heap>::new(&name, ReplicaId::new(1), Limits::default());
        for n in 0..70_000_u64 {
            let path = alloc::format!("log/{n}");
            let path = Path::new(&path).unwrap();
            document.set(Moment::new(n), path, 1).unwrap();
            document.delete(Moment::new(n), path).unwrap();
            document.forget_tombstones(|_| true);
        }
        assert_eq!((document.cells.removed.len(), document.cells.count()), (0, 0));
        assert!(document.cells.slots.len() <= SLOTS_MORE_MIN, "{} slots", document.cells.slots.len());
    }
}
