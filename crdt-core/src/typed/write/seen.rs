//! Which keys of a map were written: the others go, and none may be written twice.

use core::hash::Hasher as _;

use super::Writer;
use crate::cell::Content;
use crate::document::UpdateError;
use crate::error::CapacityError;
use crate::fingerprint::sip_hash;
use crate::list::List;
use crate::storage::{CellStore, Storage};
use crate::typed::children::{children, first_live};
use crate::typed::error::{WriteProblem, WriteStop};
use crate::typed::reserved::is_reserved;
use crate::types::list::POSITION_KEY;

impl<S: Storage> Writer<'_, S> {
    /// The entry whose value was just written.
    pub(super) fn remember_entry(&mut self) -> Result<(), WriteStop> {
        let first = if self.void { None } else { first_live(self.document, &self.path) };
        let mark = first.map_or_else(|| self.hash_of_place() | NOT_A_SEQUENCE, |first| first.seq);
        let limit = self.seen.capacity();
        let full = CapacityError::Cells { needed: limit.saturating_add(1), limit };
        Ok(self.seen.push(mark).map_err(|_| UpdateError::from(full))?)
    }

    fn hash_of_place(&self) -> u64 {
        sip_hash((self.document.salt, 0), &mut |hasher| hasher.write(self.path.as_bytes()))
    }

    /// Deletes the keys below this place whose cells were not remembered since `from`.
    pub(super) fn delete_unseen(&mut self, from: usize) -> Result<(), WriteStop> {
        let mut seen = core::mem::take(&mut self.seen);
        let known = seen.len();
        seen[from..].sort_unstable();
        let is_twice = seen[from..].windows(2).any(|pair| pair[0] == pair[1]);
        self.seen = seen;
        if is_twice {
            return Err(WriteProblem::SameKey.into());
        }
        if !self.void {
            self.remember_unseen(from..known)?;
        }
        for index in known..self.seen.len() {
            let seq = self.seen[index];
            let place = self.place();
            self.go_below_to(seq);
            if first_live(self.document, &self.path).is_some_and(|first| first.seq == seq) {
                self.put(Content::Tombstone)?;
            }
            self.leave(place);
        }
        self.forget(from);
        Ok(())
    }

    /// Forgets what was remembered since `from`.
    pub(in crate::typed) fn forget(&mut self, from: usize) {
        self.seen.truncate(from);
    }

    /// Appends the sequence numbers of the keys below this place that are not among those in `known`, which is sorted.
    fn remember_unseen(&mut self, known: core::ops::Range<usize>) -> Result<(), WriteStop> {
        let mut seen = core::mem::take(&mut self.seen);
        let limit = seen.capacity();
        let full = children(self.document, self.prefix()).try_for_each(|child| {
            // The place of an element is no key of its content.
            if child.key == POSITION_KEY && is_reserved(self.document, child.path) {
                return Ok(());
            }
            match seen[known.clone()].binary_search(&child.seq) {
                Ok(_) => Ok(()),
                Err(_) => seen.push(child.seq),
            }
        });
        self.seen = seen;
        full.map_err(|_| UpdateError::from(CapacityError::Cells { needed: limit + 1, limit }).into())
    }

    /// Goes to the key below this place that the cell with `seq` belongs to.
    fn go_below_to(&mut self, seq: u64) {
        let start = self.path.len() + usize::from(!self.path.is_empty());
        let found = self.document.cells.since(seq - 1).next();
        let Some(cell) = found.filter(|cell| cell.seq == seq) else { return };
        let end = cell.path[start..].find('/').map_or(cell.path.len(), |len| start + len);
        self.path.clear();
        self.path.push_str(&cell.path[..end]).expect("a stored path has at most 255 bytes");
        self.keys += 1;
    }
}

/// What tells the hash of a path from a sequence number: no document makes so many changes.
const NOT_A_SEQUENCE: u64 = 1 << 63;
