//! Storage on the heap: an ordered map by path over a slab, threaded by a list in the order of change.
//!
//! Lookup, insertion and removal cost O(log cells). A changed cell moves to the tail of the list, so that what changed
//! since a given sequence number is found by walking back from the tail: O(changes), not O(cells).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use super::{CellStore, DictionaryPath, Growing, Storage, Stored};
use crate::causal::{Entry, Stamp};
use crate::cell::Kind;
use crate::id::ReplicaId;
use crate::limits::{CONFLICTS_HEAP_MAX, REPLICAS_MAX};
use crate::sync::{Conflict, Peer, Session};

/// Memory from the heap. A document grows to the caps of its [`Limits`](crate::Limits).
#[derive(Debug)]
pub enum Heap {}

impl Storage for Heap {
    type Cells = HeapCells;
    type Entries = Growing<Entry, REPLICAS_MAX>;
    type Ids = Growing<ReplicaId, REPLICAS_MAX>;
    type Sequences = Growing<u64, { usize::MAX }>;
    type Dictionary = Growing<DictionaryPath, { HEAP_DICTIONARY_SLOTS }>;
    type Peers = Growing<Peer<Self>, REPLICAS_MAX>;
    type Sessions = Growing<Session<Self>, REPLICAS_MAX>;
    type Conflicts = Growing<Conflict<Self>, CONFLICTS_HEAP_MAX>;
    type ConflictBytes = Growing<u8, { usize::MAX }>;
    const DICTIONARY_SLOTS: usize = HEAP_DICTIONARY_SLOTS;
}

const HEAP_DICTIONARY_SLOTS: usize = 64;

/// The cells of a [`Heap`] document.
#[derive(Clone, Debug)]
pub struct HeapCells {
    by_path: BTreeMap<Arc<str>, u32>,
    slots: Vec<Slot>,
    /// Slots that hold nothing.
    free: Vec<u32>,
    /// Ends of the list by sequence number, [`NONE`] when there is no cell.
    oldest: u32,
    newest: u32,
    bytes: usize,
    removed: BTreeSet<Arc<str>>,
}

#[derive(Clone, Debug)]
struct Slot {
    path: Arc<str>,
    payload: Payload,
    stamp: Stamp,
    seq: u64,
    older: u32,
    newer: u32,
    kind: Kind,
}

/// Most payloads are a few bytes: those stay in the slot.
#[derive(Clone, Debug)]
enum Payload {
    Boxed(Box<[u8]>),
    Short(u8, [u8; SHORT_LEN_MAX]),
}

const SHORT_LEN_MAX: usize = 14;
const NONE: u32 = u32::MAX;

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

impl Default for HeapCells {
    fn default() -> Self {
        Self {
            by_path: BTreeMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            bytes: 0,
            removed: BTreeSet::new(),
        }
    }
}

impl HeapCells {
    fn slot(&self, index: u32) -> &Slot {
        &self.slots[index as usize]
    }

    fn unlink(&mut self, index: u32) {
        let (older, newer) = (self.slot(index).older, self.slot(index).newer);
        match older {
            NONE => self.oldest = newer,
            _ => self.slots[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            _ => self.slots[newer as usize].older = older,
        }
    }

    /// Makes the slot the newest. Sequence numbers only grow, so the list stays sorted.
    fn link(&mut self, index: u32) {
        let older = self.newest;
        match older {
            NONE => self.oldest = index,
            _ => self.slots[older as usize].newer = index,
        }
        self.newest = index;
        let slot = &mut self.slots[index as usize];
        slot.older = older;
        slot.newer = NONE;
    }

    fn release(&mut self, index: u32) {
        self.unlink(index);
        let slot = &mut self.slots[index as usize];
        self.bytes -= slot.path.len() + slot.payload.as_slice().len();
        slot.payload = Payload::Short(0, [0; SHORT_LEN_MAX]);
        let path = slot.path.clone();
        self.by_path.remove(&path);
        self.removed.insert(path);
        self.free.push(index);
    }

    fn indices_below<'a>(&'a self, path: Option<&str>) -> impl Iterator<Item = u32> + 'a {
        let bounds = path.map(|path| {
            let mut first = alloc::string::String::with_capacity(path.len() + 1);
            first.push_str(path);
            first.push('/');
            let mut end = alloc::string::String::from(path);
            // The character after '/': no path below starts with it, every one sorts before it.
            end.push('0');
            (first, end)
        });
        let range = match &bounds {
            None => self.by_path.range::<str, _>((Bound::Unbounded, Bound::Unbounded)),
            Some((first, end)) => {
                self.by_path.range::<str, _>((Bound::Included(first.as_str()), Bound::Excluded(end.as_str())))
            }
        };
        range.map(|(_, index)| *index)
    }
}

impl CellStore for HeapCells {
    fn put(&mut self, cell: Stored<'_>) {
        let payload = Payload::new(cell.payload);
        if let Some(&index) = self.by_path.get(cell.path) {
            self.unlink(index);
            let slot = &mut self.slots[index as usize];
            self.bytes = self.bytes - slot.payload.as_slice().len() + cell.payload.len();
            slot.payload = payload;
            slot.stamp = cell.stamp;
            slot.seq = cell.seq;
            slot.kind = cell.kind;
            self.link(index);
            return;
        }
        let path: Arc<str> = cell.path.into();
        self.bytes += path.len() + cell.payload.len();
        self.removed.remove(&path);
        let slot = Slot {
            path: path.clone(),
            payload,
            stamp: cell.stamp,
            seq: cell.seq,
            older: NONE,
            newer: NONE,
            kind: cell.kind,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.by_path.insert(path, index);
        self.link(index);
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
            self.unlink(index);
            self.slots[index as usize].stamp = stamp;
            self.slots[index as usize].seq = seq;
            self.link(index);
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
        let (mut index, mut first) = (self.newest, NONE);
        while index != NONE && self.slot(index).seq > seq {
            first = index;
            index = self.slot(index).older;
        }
        core::iter::from_fn(move || {
            let slot = (first != NONE).then(|| self.slot(first))?;
            first = slot.newer;
            Some(slot.stored())
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
