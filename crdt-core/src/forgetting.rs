//! Forgetting tombstones, and making room by it.
//!
//! A tombstone keeps deltas small; it holds no data. Forgetting one that is covered is always safe: the floor tells the
//! others when a delta is no longer enough, and they get the whole document instead. So where a limit is reached, deletes
//! that are remembered go before new data is refused. The oldest go first, and no fewer than a part of them: each move of the
//! floor starts open full batches over.

use crate::causal::Stamp;
use crate::document::{Document, Joined};
use crate::error::CapacityError;
use crate::storage::{CellStore, Storage, Stored};

impl<S: Storage> Document<S> {
    /// Forgets tombstones that are covered here and that `stable` says yes to. O(cells).
    pub fn forget_tombstones(&mut self, mut stable: impl FnMut(Stamp) -> bool) -> usize {
        self.forget_where(&mut |cell| stable(cell.stamp))
    }

    /// Joins a cell that arrived; forgets tombstones where it would not fit otherwise. `lost` is told of each cell that
    /// it replaces, and whether that one was covered.
    pub(crate) fn join_making_room(
        &mut self,
        cell: Stored<'_>,
        lost: &mut dyn FnMut(Stored<'_>, bool),
    ) -> Result<Joined, CapacityError> {
        loop {
            match self.join_stored(cell, lost) {
                Err(error) if self.make_room(error) => {}
                result => return result,
            }
        }
    }

    /// Forgets the oldest tombstones, in the order in which they came here, until what is `lacking` is there. False when
    /// all of them would not be enough, and nothing is forgotten then. O(cells).
    pub(crate) fn make_room(&mut self, lacking: CapacityError) -> bool {
        let (cells, bytes) = match lacking {
            CapacityError::Cells { needed, limit } => (needed - limit, 0),
            CapacityError::Bytes { needed, limit } => (0, needed - limit),
            CapacityError::Peers { .. } | CapacityError::Replicas { .. } | CapacityError::Writes { .. } => {
                return false;
            }
        };
        let forgettable =
            || self.cells.since(0).filter(|cell| !cell.is_live() && self.knowledge.vv().covers(cell.stamp));
        let all = forgettable().count();
        let cells = cells.max(all.div_ceil(FORGET_PART));
        let (mut freed_cells, mut freed_bytes, mut last) = (0, 0, 0);
        for cell in forgettable() {
            freed_cells += 1;
            freed_bytes += cell.path.len();
            last = cell.seq;
            if freed_cells >= cells && freed_bytes >= bytes {
                break;
            }
        }
        if all == 0 || freed_cells < cells || freed_bytes < bytes {
            return false;
        }
        self.forgotten_for_room += self.forget_where(&mut |cell| cell.seq <= last);
        true
    }

    fn forget_where(&mut self, wanted: &mut dyn FnMut(&Stored<'_>) -> bool) -> usize {
        let knowledge = &mut self.knowledge;
        let mut forgotten = 0;
        self.cells.remove_below(None, &mut |cell| {
            let forget = !cell.is_live() && knowledge.vv().covers(cell.stamp) && wanted(&cell);
            if forget {
                knowledge.forget(cell.stamp);
                forgotten += 1;
            }
            forget
        });
        if forgotten > 0 {
            self.knowledge.note_floor_changed();
        }
        forgotten
    }
}

/// At least one in so many tombstones goes when capacity is needed.
const FORGET_PART: usize = 4;
