//! The own total of a counter, while another copy may also write it.
//!
//! A counter adds to a cell named by the replica's id, which no other replica writes
//! ([`Counter`](crate::types::Counter)). A copy loaded from storage may be old, and its total may have grown
//! elsewhere: adding to the loaded total would lose those additions. Until the aggregator verifies the copy,
//! it adds to a separate cell, named by a spare id, which is not sent. When the copy is verified, that cell
//! is folded into the total. If it forks, it continues under the spare id.

use super::{Context, Memory};
use crate::cell::{Content, Path, Value};
use crate::document::Document;
use crate::id::ReplicaId;
use crate::limits::PATH_LEN_MAX;
use crate::storage::{CellStore, Stored};
use crate::types::{integer, is_total_of, own_counter_key, total_of};

impl<S: Memory> Context<S> {
    /// Folds what was counted since the load into the totals: this copy is the newest.
    pub(crate) fn fold_counters(&mut self) {
        if let Some(spare) = self.document.spare.take() {
            self.move_totals(spare);
        }
    }

    /// Adds the totals of a spare id, which were never sent, to those that this copy adds to now.
    pub(crate) fn move_totals(&mut self, spare: ReplicaId) {
        let to = own_counter_key(&self.document);
        let document = &mut self.document;
        let mut folded = heapless::String::<PATH_LEN_MAX>::new();
        while let Some((path, more)) = next_total(document, spare, &folded) {
            let own = own_total_beside(&path, to);
            let total = document.get(Path::from_checked(&own)).map_or(Some(0), integer);
            if let Some(total) = total.and_then(|total| total.checked_add(more))
                && let Ok(stamp) = document.tick(self.moment)
            {
                document.remove_unsent(&path);
                document.write_with(stamp, Path::from_checked(&own), Content::Value(Value::I64(total)));
                self.unsaved = true;
            }
            // A total that cannot be folded still counts where it is.
            folded = path;
        }
    }

    /// The own total at the path of `cell`, if another replica's cell is about to replace it.
    ///
    /// A replica that reissues a late cell gives an older total a newer stamp.
    pub(crate) fn total_to_defend(&self, cell: &Stored<'_>) -> Option<i64> {
        let own = self.document.replica;
        let is_foreign = cell.stamp.replica != own && cell.is_live();
        if !is_foreign || self.document.spare.is_some() || !is_total_of(cell.path, own) {
            return None;
        }
        let here = self.document.cells.get(cell.path)?;
        let total = self.document.get(cell.path()).and_then(integer)?;
        (here.stamp < cell.stamp).then_some(total)
    }

    /// Writes the own total again, if another number replaced it.
    pub(crate) fn defend_total(&mut self, path: Path<'_>, total: i64) {
        let replaced = self.document.get(path).and_then(integer).is_some_and(|here| here != total);
        if replaced && let Ok(stamp) = self.document.tick(self.moment) {
            self.document.write_with(stamp, path, Content::Value(Value::I64(total)));
            self.unsaved = true;
        }
    }
}

/// The first total of `spare` after the path `after`.
fn next_total<S: Memory>(
    document: &Document<S>,
    spare: ReplicaId,
    after: &str,
) -> Option<(heapless::String<PATH_LEN_MAX>, i64)> {
    let totals = document.cells.below(None).filter(|cell| cell.path > after && is_total_of(cell.path, spare));
    let mut numbers = totals.filter_map(|cell| total_of(&cell).map(|number| (cell.path, number)));
    let (path, number) = numbers.next()?;
    Some((heapless::String::try_from(path).ok()?, number))
}

/// The path of the total of `own` in the same counter as another total.
fn own_total_beside(path: &str, own: ReplicaId) -> heapless::String<PATH_LEN_MAX> {
    let digits = own.digits();
    let counter = path.len().checked_sub(digits.len()).and_then(|end| path.get(..end));
    let mut beside = heapless::String::new();
    let written = beside.push_str(counter.unwrap_or_default());
    let written = written.and_then(|()| digits.iter().try_for_each(|digit| beside.push(char::from(*digit))));
    debug_assert!(written.is_ok(), "it is as long as the other");
    beside
}
