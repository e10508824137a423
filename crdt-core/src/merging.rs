//! Merging two copies of one document without a session between them.

use crate::document::Document;
use crate::error::CapacityError;
use crate::storage::{CellStore, Storage};
use crate::time::Time;

/// Why two documents were not merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// A limit of this replica was reached.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// They are copies of different documents.
    #[error("the two documents have different names: only copies of one document can be merged")]
    OtherDocument,
}

impl<S: Storage> Document<S> {
    /// Merges all cells and knowledge of `other`. O(cells of both).
    ///
    /// Cells that `other` covers but does not have are dead there, and are dropped here.
    ///
    /// # Errors
    /// [`MergeError::OtherDocument`] if `other` has another name. [`MergeError::Capacity`] if it does not
    /// fit; cells that did fit are here then, but the version vector has not risen.
    pub fn merge<T: Storage>(&mut self, other: &Document<T>) -> Result<(), MergeError> {
        if !self.fingerprint.has_key_of(&other.fingerprint) {
            return Err(MergeError::OtherDocument);
        }
        let (known, vv) = (&other.knowledge, self.knowledge.vv());
        let missing = known.vv().iter().filter(|e| vv.time_of(e.replica) == Time::ZERO).count();
        if !self.knowledge.fits(missing) {
            return Err(CapacityError::Replicas { limit: vv.capacity() }.into());
        }
        for retired in known.retired().iter() {
            if retired.replica != self.replica {
                self.drop_retired(retired);
            }
            if !self.is_in_use(retired) {
                self.unlist(retired.replica);
            }
        }
        self.drop_absent(
            |stamp| known.vv().covers(stamp),
            |cell| other.cells.get(cell.path).is_some_and(|theirs| theirs.stamp == cell.stamp),
        );
        for cell in other.cells.below(None) {
            if !self.covers(cell.stamp) {
                self.join_stored(cell, &mut |_, _| {})?;
            }
        }
        Ok(self.knowledge.merge(known)?)
    }
}
