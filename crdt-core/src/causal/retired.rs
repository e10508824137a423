//! Replica ids that are no longer listed anywhere, and what must be remembered of them.

use super::{KnowledgeMemory, Stamp, VersionVector};
use crate::id::ReplicaId;
use crate::list::List;
use crate::time::Time;
use crate::weaken::{Rule, holds};

/// An id that was taken out of the version vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// Whose.
    pub replica: ReplicaId,
    /// Every transaction of it up to here is incorporated, or known to be dead, and none is left in the document.
    pub time: Time,
    /// When it was taken out: its rank among the retirements.
    pub at: Time,
}

/// Retired ids, the oldest retirement first. `[retired ids]`
///
/// Whoever serves others keeps them: a copy that was away may still bring cells of such an id, or lack what such an id
/// deleted. Lookups cost O(retired ids).
pub(crate) struct RetiredIds<S: KnowledgeMemory> {
    entries: S::Retired,
    /// The last retirement that is no longer listed, because there was no capacity, or because the id is in use again.
    dropped: Time,
}

impl<S: KnowledgeMemory> RetiredIds<S> {
    pub(crate) fn new() -> Self {
        Self { entries: S::Retired::default(), dropped: Time::ZERO }
    }

    /// Whether this storage keeps any. Where it does not, the compiler sees that, and leaves out what follows from it.
    pub(crate) fn has_capacity(&self) -> bool {
        self.entries.capacity() > 0
    }

    /// Lists an id; where there is no capacity, the oldest goes.
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

    /// Takes an id out: it is in use again.
    pub(crate) fn remove(&mut self, replica: ReplicaId) -> Option<Retired> {
        let index = self.listed().iter().position(|listed| listed.replica == replica)?;
        Some(self.entries.remove(index))
    }

    /// Whether the transaction `stamp` is one of those that retired.
    pub(crate) fn covers(&self, stamp: Stamp) -> bool {
        let is_meant = |listed: &Retired| listed.replica == stamp.replica && listed.time >= stamp.time;
        self.listed().iter().any(is_meant) && holds(Rule::RetiredIsCovered)
    }

    /// The retirement that a peer with the vector `theirs` may be brought to by being told of the ids alone, because it has
    /// all that they ever wrote; zero when it lacks something, or when that cannot be known any more.
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

    /// Retirements up to `at` are not listed.
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
