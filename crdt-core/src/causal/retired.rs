//! Replica ids that are no longer listed in version vectors, and what must be remembered of them.

use super::{KnowledgeMemory, Stamp, VersionVector};
use crate::id::ReplicaId;
use crate::list::List;
use crate::time::Time;
use crate::weaken::{Rule, holds};

/// An id that was removed from the version vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// The id.
    pub replica: ReplicaId,
    /// Every transaction of it up to here is incorporated or known to be dead, and no cell of it is left.
    pub time: Time,
    /// When it was removed: its rank among the retirements.
    pub at: Time,
}

/// Retired ids, the oldest retirement first. `[retired ids]`
///
/// Aggregators and meshes keep them: a copy that was offline may still send cells of such an id, or lack its
/// deletes. Lookups cost O(retired ids).
pub(crate) struct RetiredIds<S: KnowledgeMemory> {
    entries: S::Retired,
    /// The last retirement that is no longer listed, because there was no capacity, or because the id is in use again.
    dropped: Time,
}

impl<S: KnowledgeMemory> RetiredIds<S> {
    pub(crate) fn new() -> Self {
        Self { entries: S::Retired::default(), dropped: Time::ZERO }
    }

    /// Whether this storage keeps any. If not, the compiler removes the code that depends on it.
    pub(crate) fn has_capacity(&self) -> bool {
        self.entries.capacity() > 0
    }

    /// Lists an id. If the list is full, evicts the oldest.
    pub(crate) fn add(&mut self, retired: Retired) {
        if !self.has_capacity() {
            return;
        }
        self.remove(retired.replica);
        if self.entries.len() == self.entries.capacity() {
            self.dropped = self.dropped.max(self.entries.remove(0).at);
        }
        let place = self.entries.partition_point(|listed| listed.at <= retired.at);
        let inserted = self.entries.insert(place, retired);
        debug_assert!(inserted.is_ok(), "capacity was made");
    }

    /// Removes an id, because it is in use again.
    pub(crate) fn remove(&mut self, replica: ReplicaId) -> Option<Retired> {
        let index = self.listed().iter().position(|listed| listed.replica == replica)?;
        Some(self.entries.remove(index))
    }

    /// Whether a retirement covers the transaction `stamp`.
    pub(crate) fn covers(&self, stamp: Stamp) -> bool {
        let is_meant = |listed: &Retired| listed.replica == stamp.replica && listed.time >= stamp.time;
        self.listed().iter().any(is_meant) && holds(Rule::RetiredIsCovered)
    }

    /// The last retirement that a peer with the vector `theirs` can take over from a list of ids alone,
    /// because it has all their writes. Zero if it lacks some, or if that is no longer known.
    pub(crate) fn reachable(&self, theirs: &VersionVector<S>) -> Time {
        let known = theirs.time_of(ReplicaId::RETIREMENTS);
        if known < self.dropped {
            return Time::ZERO;
        }
        let first = self.listed().partition_point(|listed| listed.at <= known);
        let later = &self.listed()[first..];
        let has_all = later.iter().all(|listed| theirs.time_of(listed.replica) >= listed.time);
        if has_all || !holds(Rule::RetiredIsFloor) {
            later.last().map_or(known, |last| last.at)
        } else {
            Time::ZERO
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Retired> + Clone + '_ {
        self.listed().iter().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.listed().len()
    }

    pub(crate) fn dropped(&self) -> Time {
        self.dropped
    }

    /// Retirements up to `at` may be missing from the list.
    pub(crate) fn note_dropped(&mut self, at: Time) {
        if !self.has_capacity() {
            return;
        }
        self.dropped = self.dropped.max(at);
    }

    fn listed(&self) -> &[Retired] {
        if self.has_capacity() { &self.entries } else { &[] }
    }
}
