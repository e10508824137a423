//! Forgets tombstones, also to free capacity.
//!
//! A tombstone keeps deltas small; it contains no data. Forgetting a covered one is always safe: the floor
//! shows when a delta is no longer enough for a peer, which then gets a full batch. So if a limit is reached,
//! tombstones are evicted before new data is refused. The oldest go first, and at least a fixed part of them:
//! each move of the floor restarts full batches in progress.

use crate::causal::Stamp;
use crate::document::{Document, Joined};
use crate::error::CapacityError;
use crate::storage::{CellStore, Storage, Stored};

impl<S: Storage> Document<S> {
    /// Forgets covered tombstones for which `stable` returns true. Returns their number. O(cells).
    pub fn forget_tombstones(&mut self, mut stable: impl FnMut(Stamp) -> bool) -> usize {
        self.forget_where(&mut |cell| stable(cell.stamp))
    }

    /// Joins a cell that arrived. If it does not fit otherwise, forgets tombstones. Calls `lost` with each
    /// cell that it replaces, and with whether that one was covered.
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

    /// Forgets tombstones, in the order in which they arrived, until `lacking` is available. If all of them
    /// are not enough, forgets nothing and returns false. O(cells).
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

/// When capacity is needed, at least one in this many tombstones is forgotten.
const FORGET_PART: usize = 4;
