//! Short names for paths and replicas in one direction of a session. Both sides keep the same table.

use super::{DictionaryPath, Memory};
use core::fmt;

use crate::causal::VersionVector;
use crate::cell::Path;
use crate::id::ReplicaId;
use crate::list::List;
use crate::wire::{Cursor, ReplicaRef};

/// The names of one direction, and its cursor.
pub(crate) struct Names<S: Memory> {
    /// A ring: when it is full, the oldest is overwritten.
    paths: S::Dictionary,
    /// A short hash of each path, so that a search compares few paths. Empty in fixed storage, which has few.
    marks: S::Marks,
    next_path: usize,
    /// Ids defined in addition to the entries of the initiator's Open.
    ids: S::Ids,
    /// Indices into `ids`, sorted by id. Empty in fixed storage, which has few ids.
    by_id: S::IdOrder,
    pub(crate) cursor: Cursor,
    /// The sender of this direction did not state its id in its Open: it refers to itself as to any other
    /// replica.
    pub(crate) anonymous: bool,
}

impl<S: Memory> Names<S> {
    pub(crate) fn new() -> Self {
        Self {
            paths: S::Dictionary::default(),
            marks: S::Marks::default(),
            next_path: 0,
            ids: S::Ids::default(),
            by_id: S::IdOrder::default(),
            anonymous: false,
            cursor: Cursor {
                last_time: 0,
                replicas: 0,
                replicas_max: Self::replicas_capacity(),
                paths: 0,
                paths_max: S::DICTIONARY_SLOTS,
                defining: true,
            },
        }
    }

    /// Number of ids that fit, as announced to the peer: a power of two.
    pub(crate) fn replicas_capacity() -> usize {
        let capacity = S::Ids::default().capacity().max(1);
        1 << capacity.ilog2().min(15)
    }

    /// Applies the limits of the peer's Open, and starts the table with the initiator's vector.
    pub(crate) fn begin(
        &mut self,
        paths_max: usize,
        replicas_max: usize,
        initiator_replicas: usize,
        highest: u64,
    ) {
        self.cursor.paths_max = self.cursor.paths_max.min(paths_max);
        self.cursor.replicas_max = self.cursor.replicas_max.min(replicas_max);
        self.cursor.replicas = initiator_replicas;
        self.cursor.last_time = highest;
    }

    /// Gives a literal path the next slot.
    pub(crate) fn define_path(&mut self, path: Path<'_>) {
        let Ok(text) = DictionaryPath::try_from(path.as_str()) else { return };
        if !self.cursor.defining || self.cursor.paths_max == 0 {
            return;
        }
        if self.paths.len() < self.cursor.paths_max {
            let pushed = self.paths.push(text);
            debug_assert!(pushed.is_ok(), "the announced number of slots fits");
            self.marks.push(mark(path.as_str())).ok();
        } else {
            self.paths[self.next_path] = text;
            if let Some(place) = self.marks.get_mut(self.next_path) {
                *place = mark(path.as_str());
            }
        }
        self.cursor.paths = self.paths.len();
        self.next_path = (self.next_path + 1) % self.cursor.paths_max;
    }

    /// Gives a literal replica id the next number.
    pub(crate) fn define_replica(&mut self, id: ReplicaId) {
        if self.cursor.defining
            && self.cursor.replicas < self.cursor.replicas_max
            && self.ids.push(id).is_ok()
        {
            self.cursor.replicas += 1;
            if self.by_id.capacity() > 0 {
                let place = self.by_id.partition_point(|index| self.ids[usize::from(*index)] < id);
                self.by_id.insert(place, (self.ids.len() - 1) as u16).ok();
            }
        }
    }

    /// The current position, for [`rewind`](Self::rewind). Paths are never undone, because cells are not
    /// written in part.
    pub(crate) fn mark(&self) -> (Cursor, usize) {
        (self.cursor, self.ids.len())
    }

    /// Undoes the ids defined since `mark`.
    pub(crate) fn rewind(&mut self, (cursor, ids): (Cursor, usize)) {
        if self.ids.len() > ids {
            self.ids.truncate(ids);
            if self.by_id.capacity() > 0 {
                self.by_id.retain(|index| usize::from(*index) < ids);
            }
        }
        self.cursor = Cursor { paths: self.cursor.paths, ..cursor };
    }

    pub(crate) fn slot_of(&self, path: Path<'_>) -> Option<usize> {
        let is_it = |slot: &usize| self.paths[*slot].as_str() == path.as_str();
        if self.marks.capacity() == 0 {
            return (0..self.paths.len()).find(is_it);
        }
        let wanted = mark(path.as_str());
        let mut slots =
            self.marks.iter().enumerate().filter(|(_, mark)| **mark == wanted).map(|(slot, _)| slot);
        slots.find(is_it)
    }

    pub(crate) fn path(&self, slot: usize) -> Option<Path<'_>> {
        self.paths.get(slot).map(|text| Path::from_checked(text))
    }

    /// The reference to `id`. `own` is the sender of this direction, `table` the initiator's vector.
    pub(crate) fn reference(&self, id: ReplicaId, own: ReplicaId, table: &VersionVector<S>) -> ReplicaRef {
        if id == own && !self.anonymous {
            return ReplicaRef::Own;
        }
        let further = || {
            let index = match self.by_id.capacity() {
                0 => self.ids.iter().position(|known| *known == id)?,
                _ => {
                    let place =
                        self.by_id.binary_search_by_key(&id, |index| self.ids[usize::from(*index)]).ok()?;
                    usize::from(self.by_id[place])
                }
            };
            Some(table.len() + index)
        };
        table.index_of(id).or_else(further).map_or(ReplicaRef::Literal(id), ReplicaRef::Table)
    }

    /// The replica that `reference` names. `own` is the sender of this direction, if it stated its id. Does
    /// not define literals.
    pub(crate) fn resolve(
        &self,
        reference: ReplicaRef,
        own: Option<ReplicaId>,
        table: &VersionVector<S>,
    ) -> Option<ReplicaId> {
        match reference {
            ReplicaRef::Own => own,
            ReplicaRef::Literal(id) => Some(id),
            ReplicaRef::Table(index) => match table.entry(index) {
                Some(entry) => Some(entry.replica),
                None => self.ids.get(index - table.len()).copied(),
            },
        }
    }
}

/// FNV-1a, folded to 16 bits. Fowler, Noll, Vo (1991).
fn mark(path: &str) -> u16 {
    let hash =
        path.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ hash >> 16) as u16
}

impl<S: Memory> fmt::Debug for Names<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}
