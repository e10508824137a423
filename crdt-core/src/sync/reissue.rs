//! Reissues cells under a new stamp of this replica, in the order of their old stamps.

use super::{Context, Event, Memory};
use crate::cell::Path;
use crate::document::Document;
use crate::limits::PATH_LEN_MAX;
use crate::list::List;
use crate::storage::{CellStore, Stored, sort_by};

impl<S: Memory> Context<S> {
    /// Reissues, oldest first, the cells that changed here after `since` and for which `wanted` returns true.
    /// O(changes + n log n).
    pub(crate) fn reissue_all(&mut self, since: u64, wanted: &dyn Fn(&Self, &Stored<'_>) -> bool) {
        let this = &*self;
        let again = in_order_of_stamps(&this.document, since, &mut |cell| wanted(this, cell));
        for seq in again.iter() {
            // A cell below a reissued one was reissued with it.
            let Some(cell) = cell_of_change(&self.document, *seq) else { continue };
            let (original, path) = (cell.stamp, copy_path(cell.path));
            let Ok(reissued) = self.document.reissue_in_place(self.moment, Path::from_checked(&path)) else {
                return;
            };
            self.unsaved = true;
            self.events.push(Event::LateWrite { original, reissued });
        }
    }
}

/// The changes after `since` for whose cells `wanted` returns true, in the order of their stamps.
pub(crate) fn in_order_of_stamps<S: Memory>(
    document: &Document<S>,
    since: u64,
    wanted: &mut dyn FnMut(&Stored<'_>) -> bool,
) -> S::Sequences {
    let mut changes = S::Sequences::default();
    for cell in document.cells.since(since).filter(|cell| wanted(cell)) {
        let pushed = changes.push(cell.seq);
        debug_assert!(pushed.is_ok(), "there is a place for each cell");
    }
    let stamp = |seq| cell_of_change(document, seq).map(|cell| cell.stamp);
    sort_by(&mut changes, &mut |a, b| (stamp(a), a) < (stamp(b), b));
    changes
}

/// The cell that change `seq` wrote, if it is still stored.
pub(crate) fn cell_of_change<S: Memory>(document: &Document<S>, seq: u64) -> Option<Stored<'_>> {
    document.cells.since(seq - 1).next().filter(|cell| cell.seq == seq)
}

pub(crate) fn copy_path(path: &str) -> heapless::String<PATH_LEN_MAX> {
    heapless::String::try_from(path).expect("stored paths have at most 255 bytes")
}
