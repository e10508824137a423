//! Storage on the heap: an ordered map by path over a slab, and a log of its changes.
//!
//! Lookup, insertion and removal cost O(log cells). A change appends its sequence number and slot to the log, which so is
//! sorted; an entry whose slot has another number by now is void. When more than half of the entries are void they are
//! taken out, which costs O(1) a change. What changed since a given number is found by bisection:
//! O(log cells + changes), and never more than O(cells).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use super::{CellStore, DictionaryPath, Growing, Storage, Stored};
use crate::causal::{Entry, Retired, Stamp};
use crate::cell::Kind;
use crate::id::ReplicaId;
use crate::limits::{CONFLICTS_HEAP_MAX, EVENTS_MAX, PATH_LEN_MAX, REPLICAS_MAX, RETIRED_MAX};
use crate::replica::Event;
use crate::sync::{Conflict, Peer, Session};

/// Memory from the heap. A document grows to the caps of its [`Limits`](crate::Limits).
#[derive(Debug)]
pub enum Heap {}

impl Storage for Heap {
    type Cells = HeapCells;
    type Entries = Growing<Entry, REPLICAS_MAX>;
    type Ids = Growing<ReplicaId, REPLICAS_MAX>;
    type Retired = Growing<Retired, RETIRED_MAX>;
    type Sequences = Growing<u64, { usize::MAX }>;
    type Dictionary = Growing<DictionaryPath, { HEAP_DICTIONARY_SLOTS }>;
    type Events = Growing<Event, EVENTS_MAX>;
    type Peers = Growing<Peer<Self>, REPLICAS_MAX>;
    type Sessions = Growing<Session<Self>, REPLICAS_MAX>;
    type Conflicts = Growing<Conflict<Self>, CONFLICTS_HEAP_MAX>;
    type ConflictBytes = Growing<u8, { usize::MAX }>;
    const DICTIONARY_SLOTS: usize = HEAP_DICTIONARY_SLOTS;
}

const HEAP_DICTIONARY_SLOTS: usize = 64;

/// The cells of a [`Heap`] document.
#[derive(Clone, Debug, Default)]
pub struct HeapCells {
    by_path: BTreeMap<Arc<str>, u32>,
    slots: Vec<Slot>,
    /// Slots that hold nothing.
    free: Vec<u32>,
    /// Sequence numbers, ascending, and the slots that changed then. Void where the slot has another number now.
    changes: Vec<(u64, u32)>,
    bytes: usize,
    removed: BTreeSet<Arc<str>>,
}

#[derive(Clone, Debug)]
struct Slot {
    path: Arc<str>,
    payload: Payload,
    stamp: Stamp,
    /// Zero in a slot that holds nothing.
    seq: u64,
    kind: Kind,
}

/// Most payloads are a few bytes: those stay in the slot.
#[derive(Clone, Debug)]
enum Payload {
    Boxed(Box<[u8]>),
    Short(u8, [u8; SHORT_LEN_MAX]),
}

const SHORT_LEN_MAX: usize = 14;
/// Entries that the log of changes grows by, at least.
const CHANGES_MORE_MIN: usize = 16;
/// Slots that the slab grows by, at least.
const SLOTS_MORE_MIN: usize = 8;

impl Payload {
    fn new(bytes: &[u8]) -> Self {
        let mut short = [0; SHORT_LEN_MAX];
        match short.get_mut(..bytes.len()) {
            Some(head) => {
                head.copy_from_slice(bytes);
                Payload::Short(bytes.len() as u8, short)
            }
            None => Payload::Boxed(bytes.into()),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Payload::Boxed(bytes) => bytes,
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

    /// Notes that the slot has changed; its sequence number is the highest ever given.
    fn note_change(&mut self, index: u32) {
        if self.changes.len() == self.changes.capacity() {
            let slots = &self.slots;
            self.changes.retain(|(seq, index)| slots[*index as usize].seq == *seq);
            // A quarter of it is void before this is worth doing again: O(1) a change, and no memory for history.
            let room = self.changes.len() / 4 + CHANGES_MORE_MIN;
            self.changes.reserve_exact(room);
        }
        self.changes.push((self.slot(index).seq, index));
    }

    fn release(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.seq = 0;
        self.bytes -= slot.path.len() + slot.payload.as_slice().len();
        slot.payload = Payload::Short(0, [0; SHORT_LEN_MAX]);
        let path = slot.path.clone();
        self.by_path.remove(&path);
        self.removed.insert(path);
        self.free.push(index);
    }

    fn indices_below<'a>(&'a self, path: Option<&str>) -> impl Iterator<Item = u32> + 'a {
        let range = match path {
            None => self.by_path.range::<str, _>((Bound::Unbounded, Bound::Unbounded)),
            Some(path) => {
                // '0' is the character after '/': no path below starts with it, every one sorts before it.
                let (first, end) = (with_last(path, '/'), with_last(path, '0'));
                self.by_path.range::<str, _>((Bound::Included(first.as_str()), Bound::Excluded(end.as_str())))
            }
        };
        range.map(|(_, index)| *index)
    }
}

/// `path` with one more character, on the stack.
#[inline]
fn with_last(path: &str, last: char) -> heapless::String<{ PATH_LEN_MAX + 1 }> {
    let mut bound = heapless::String::new();
    let pushed = bound.push_str(path).and_then(|()| bound.push(last));
    pushed.expect("a path has at most 255 bytes");
    bound
}

impl CellStore for HeapCells {
    fn put(&mut self, cell: Stored<'_>) {
        let payload = Payload::new(cell.payload);
        if let Some(&index) = self.by_path.get(cell.path) {
            let slot = &mut self.slots[index as usize];
            self.bytes = self.bytes - slot.payload.as_slice().len() + cell.payload.len();
            slot.payload = payload;
            slot.stamp = cell.stamp;
            slot.seq = cell.seq;
            slot.kind = cell.kind;
            self.note_change(index);
            return;
        }
        let path: Arc<str> = cell.path.into();
        self.bytes += path.len() + cell.payload.len();
        self.removed.remove(&path);
        let slot = Slot { path: path.clone(), payload, stamp: cell.stamp, seq: cell.seq, kind: cell.kind };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = slot;
                index
            }
            None => {
                if self.slots.len() == self.slots.capacity() {
                    // Doubling would leave up to half of the largest part of a document unused.
                    self.slots.reserve_exact(self.slots.len() / 4 + SLOTS_MORE_MIN);
                }
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.by_path.insert(path, index);
        self.note_change(index);
    }

    fn remove(&mut self, path: &str) -> bool {
        let found = self.by_path.get(path).copied();
        if let Some(index) = found {
            self.release(index);
        }
        found.is_some()
    }

    fn remove_below(&mut self, path: Option<&str>, mut unwanted: impl FnMut(Stored<'_>) -> bool) {
        let gone: Vec<u32> =
            self.indices_below(path).filter(|&index| unwanted(self.slot(index).stored())).collect();
        for index in gone {
            self.release(index);
        }
    }

    fn restamp(&mut self, path: &str, stamp: Stamp, seq: u64) {
        if let Some(&index) = self.by_path.get(path) {
            self.slots[index as usize].stamp = stamp;
            self.slots[index as usize].seq = seq;
            self.note_change(index);
        }
    }

    fn restamp_below(
        &mut self,
        path: Option<&str>,
        mut stamp: impl FnMut(Stored<'_>) -> Option<(Stamp, u64)>,
    ) {
        let changed: Vec<(u32, Stamp, u64)> = self
            .indices_below(path)
            .filter_map(|index| stamp(self.slot(index).stored()).map(|(stamp, seq)| (index, stamp, seq)))
            .collect();
        for (index, stamp, seq) in changed {
            self.slots[index as usize].stamp = stamp;
            self.slots[index as usize].seq = seq;
            self.note_change(index);
        }
    }

    fn clear_removed(&mut self) {
        self.removed.clear();
    }

    fn get(&self, path: &str) -> Option<Stored<'_>> {
        self.by_path.get(path).map(|&index| self.slot(index).stored())
    }

    fn below<'a>(&'a self, path: Option<&str>) -> impl Iterator<Item = Stored<'a>> + 'a {
        self.indices_below(path).map(|index| self.slot(index).stored())
    }

    fn since(&self, seq: u64) -> impl Iterator<Item = Stored<'_>> + '_ {
        let start = self.changes.partition_point(|(changed, _)| *changed <= seq);
        self.changes[start..].iter().filter_map(|(changed, index)| {
            let slot = self.slot(*index);
            (slot.seq == *changed).then(|| slot.stored())
        })
    }

    fn removed(&self) -> Option<impl Iterator<Item = &str> + '_> {
        Some(self.removed.iter().map(|path| &**path))
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

    fn room(&self) -> (usize, usize) {
        (u32::MAX as usize - 1, isize::MAX as usize)
    }
}
