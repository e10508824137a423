//! Storage without a heap: `CELLS` slots sorted by path over one arena of `BYTES` bytes.
//!
//! | part | size | what |
//! |---|---|---|
//! | slot | 40 bytes | offset, lengths, kind, stamp, sequence number |
//! | arena | path length + payload length a cell | path, then payload, without gaps |
//!
//! The arena has no gaps: removing or resizing moves what lies behind. With the few kilobytes this is for, that
//! costs less than the bookkeeping of anything cleverer, and "full" means full.

use core::marker::PhantomData;

use super::{CellStore, Storage, Stored, compare_with_below};
use crate::capacity::{Bytes, Cells, Peers, Replicas};
use crate::causal::memory::sealed::Sealed;
use crate::causal::{KnowledgeMemory, Retired, Rise, Stamp, VectorEntry};
use crate::cell::Kind;
use crate::id::ReplicaId;
use crate::list::List;
use crate::write::PendingFixed;

/// Memory for one document, all of it inside the value: [`Cells`], [`Bytes`] of paths and values, [`Replicas`] that ever
/// wrote to it, and [`Peers`], with as many sessions, which take most of the rest. In this order; 2 peers where none are named.
///
/// With one peer, a session must be [disconnected](crate::Replica::disconnect) before the next is connected; with two, the
/// next may replace it.
///
/// ```
/// use crdt_core::capacity::{Bytes, Cells, Replicas};
/// use crdt_core::{Config, CountingRng, DocumentName, Fixed, Replica, Role};
/// type Pump = Replica<Fixed<Cells<32>, Bytes<1024>, Replicas<4>>, CountingRng>;
/// let pump = Pump::new(&DocumentName::new("pump-42")?, Config::new(Role::Member), CountingRng::new(1));
/// assert_eq!((pump.document().limits().cells, pump.document().limits().bytes), (32, 1024));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Fixed<C, B, R, P = Peers<2>>(PhantomData<(C, B, R, P)>);

impl<const CELLS: usize, const BYTES: usize, const REPLICAS: usize, const PEERS: usize> KnowledgeMemory
    for Fixed<Cells<CELLS>, Bytes<BYTES>, Replicas<REPLICAS>, Peers<PEERS>>
{
    type Entries = heapless::Vec<VectorEntry, REPLICAS>;
    type Ids = heapless::Vec<ReplicaId, REPLICAS>;
    // For aggregators and meshes, which run on a heap.
    type Retired = heapless::Vec<Retired, 0>;
    type Rises = heapless::Vec<Rise, 0>;
}

impl<const CELLS: usize, const BYTES: usize, const REPLICAS: usize, const PEERS: usize> Storage
    for Fixed<Cells<CELLS>, Bytes<BYTES>, Replicas<REPLICAS>, Peers<PEERS>>
{
    type Cells = FixedCells<CELLS, BYTES>;
    type Sequences = heapless::Vec<u64, CELLS>;
    type Pending<'w> = PendingFixed<'w, CELLS>;
}

impl<const CELLS: usize, const BYTES: usize, const REPLICAS: usize, const PEERS: usize> Sealed
    for Fixed<Cells<CELLS>, Bytes<BYTES>, Replicas<REPLICAS>, Peers<PEERS>>
{
    const CAN_WORK: () = {
        assert!(CELLS > 0, "a document needs capacity for a cell: `Cells<1>` or more");
        assert!(BYTES > 0, "a document needs capacity for a path: `Bytes<1>` or more");
        assert!(
            BYTES as u64 <= u32::MAX as u64,
            "where a cell stands is kept in 32 bits: `Bytes<4294967295>` or less"
        );
        assert!(
            REPLICAS > 0,
            "a document needs capacity for the id of its own replica: `Replicas<1>` or more"
        );
    };
}

/// The cells of a [`Fixed`] document.
#[derive(Clone, Debug)]
pub struct FixedCells<const CELLS: usize, const BYTES: usize> {
    /// Sorted by path.
    slots: heapless::Vec<Slot, CELLS>,
    arena: [u8; BYTES],
    used: usize,
    removed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    stamp: Stamp,
    seq: u64,
    offset: u32,
    payload_len: u16,
    path_len: u8,
    kind: Kind,
}

impl Slot {
    fn len(&self) -> usize {
        usize::from(self.path_len) + usize::from(self.payload_len)
    }
}

impl<const CELLS: usize, const BYTES: usize> Default for FixedCells<CELLS, BYTES> {
    fn default() -> Self {
        Self { slots: heapless::Vec::new(), arena: [0; BYTES], used: 0, removed: false }
    }
}

impl<const CELLS: usize, const BYTES: usize> FixedCells<CELLS, BYTES> {
    fn path(&self, slot: &Slot) -> &[u8] {
        let start = slot.offset as usize;
        &self.arena[start..start + usize::from(slot.path_len)]
    }

    fn stored(&self, slot: &Slot) -> Stored<'_> {
        let payload = slot.offset as usize + usize::from(slot.path_len);
        Stored {
            path: core::str::from_utf8(self.path(slot)).expect("paths are stored whole"),
            stamp: slot.stamp,
            kind: slot.kind,
            payload: &self.arena[payload..payload + usize::from(slot.payload_len)],
            seq: slot.seq,
        }
    }

    /// Indices of the slots strictly below `path`: its keys' separator sorts them into one run.
    fn run_below(&self, path: Option<&str>) -> core::ops::Range<usize> {
        let Some(path) = path else { return 0..self.slots.len() };
        let start = self.slots.partition_point(|slot| compare_with_below(self.path(slot), path).is_lt());
        let len =
            self.slots[start..].partition_point(|slot| compare_with_below(self.path(slot), path).is_eq());
        start..start + len
    }

    fn release(&mut self, index: usize) {
        let slot = List::remove(&mut self.slots, index);
        let (start, end) = (slot.offset as usize, self.used - slot.len());
        // What follows moves up: turned round twice, as the elements of a list by twos.
        self.arena[start..self.used].reverse();
        self.arena[start..end].reverse();
        self.used = end;
        for other in self.slots.iter_mut().filter(|other| other.offset > slot.offset) {
            other.offset -= slot.len() as u32;
        }
    }
}

impl<const CELLS: usize, const BYTES: usize> CellStore for FixedCells<CELLS, BYTES> {
    /// As the result of a bisection.
    type Place = Result<usize, usize>;

    fn put(&mut self, place: Self::Place, cell: Stored<'_>) {
        let index = match place {
            Ok(index) => {
                let slot = self.slots[index];
                if usize::from(slot.payload_len) == cell.payload.len() {
                    let start = slot.offset as usize + usize::from(slot.path_len);
                    self.arena[start..start + cell.payload.len()].copy_from_slice(cell.payload);
                    self.slots[index] = Slot { stamp: cell.stamp, seq: cell.seq, kind: cell.kind, ..slot };
                    return;
                }
                self.release(index);
                index
            }
            Err(index) => index,
        };
        let (path, payload) = (cell.path.as_bytes(), cell.payload);
        let slot = Slot {
            stamp: cell.stamp,
            seq: cell.seq,
            offset: self.used as u32,
            payload_len: payload.len() as u16,
            path_len: path.len() as u8,
            kind: cell.kind,
        };
        self.arena[self.used..self.used + path.len()].copy_from_slice(path);
        self.used += path.len();
        self.arena[self.used..self.used + payload.len()].copy_from_slice(payload);
        self.used += payload.len();
        let inserted = List::insert(&mut self.slots, index, slot);
        assert!(inserted.is_ok(), "the caller has made sure that there is capacity");
    }

    fn remove_below(&mut self, path: Option<&str>, unwanted: &mut dyn FnMut(Stored<'_>) -> bool) {
        let run = self.run_below(path);
        for index in run.rev() {
            if unwanted(self.stored(&self.slots[index])) {
                self.release(index);
                self.removed = true;
            }
        }
    }

    fn restamp(&mut self, place: Self::Place, stamp: Stamp, seq: u64) {
        if let Ok(index) = place {
            self.slots[index].stamp = stamp;
            self.slots[index].seq = seq;
        }
    }

    fn restamp_below(
        &mut self,
        path: Option<&str>,
        mut stamp: impl FnMut(Stored<'_>) -> Option<(Stamp, u64)>,
    ) {
        for index in self.run_below(path) {
            if let Some((stamp, seq)) = stamp(self.stored(&self.slots[index])) {
                self.slots[index].stamp = stamp;
                self.slots[index].seq = seq;
            }
        }
    }

    /// One bit says it, always.
    fn keep_removed(&mut self) {}

    fn clear_removed(&mut self) {
        self.removed = false;
    }

    fn find(&self, path: &str) -> Self::Place {
        self.slots.binary_search_by(|slot| self.path(slot).cmp(path.as_bytes()))
    }

    fn at(&self, place: Self::Place) -> Option<Stored<'_>> {
        place.ok().map(|index| self.stored(&self.slots[index]))
    }

    fn is_leaf(&self, place: Self::Place, path: &str) -> bool {
        let next = place.map_or_else(|index| index, |index| index + 1);
        self.slots.get(next).is_none_or(|slot| !self.path(slot).starts_with(path.as_bytes()))
    }

    fn below<'a>(&'a self, path: Option<&str>) -> impl Iterator<Item = Stored<'a>> + 'a {
        self.slots[self.run_below(path)].iter().map(|slot| self.stored(slot))
    }

    fn since(&self, seq: u64) -> impl Iterator<Item = Stored<'_>> + '_ {
        let mut last = seq;
        core::iter::from_fn(move || {
            let next = self.slots.iter().filter(|slot| slot.seq > last).min_by_key(|slot| slot.seq)?;
            last = next.seq;
            Some(self.stored(next))
        })
    }

    fn removed(&self) -> Option<impl Iterator<Item = &str> + '_> {
        None::<core::iter::Empty<&str>>
    }

    fn has_removed(&self) -> bool {
        self.removed
    }

    fn count(&self) -> usize {
        self.slots.len()
    }

    fn bytes(&self) -> usize {
        self.used
    }

    fn capacity(&self) -> (usize, usize) {
        (CELLS, BYTES)
    }
}
