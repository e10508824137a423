//! A version vector: for each replica, the highest time known.

use core::fmt;

use super::{KnowledgeMemory, Stamp};
use crate::error::CapacityError;
use crate::id::ReplicaId;
use crate::list::List;
use crate::time::Time;

/// One replica's part of a version vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorEntry {
    /// The replica.
    pub replica: ReplicaId,
    /// Every transaction of that replica up to this time.
    pub time: Time,
}

/// For each replica, the time up to which all of its transactions are covered. `[replicas]`
///
/// Sorted by replica id; a replica that is not listed has time zero. Lookups cost O(log replicas), a new replica
/// O(replicas). Source: Parker et al., "Detection of Mutual Inconsistency in Distributed Systems" (1983).
pub struct VersionVector<S: KnowledgeMemory> {
    entries: S::Entries,
}

impl<S: KnowledgeMemory> VersionVector<S> {
    /// Covers nothing.
    pub fn new() -> Self {
        Self { entries: S::Entries::default() }
    }

    /// Raises `replica` to `time`; never lowers it.
    ///
    /// # Errors
    /// [`CapacityError::Replicas`] if `replica` is new and there is no capacity. Nothing has changed then.
    pub fn raise(&mut self, replica: ReplicaId, time: Time) -> Result<(), CapacityError> {
        match self.position(replica) {
            Ok(i) => self.entries[i].time = self.entries[i].time.max(time),
            Err(_) if time == Time::ZERO => {}
            Err(i) => {
                let limit = self.entries.capacity();
                self.entries
                    .insert(i, VectorEntry { replica, time })
                    .map_err(|_| CapacityError::Replicas { limit })?;
            }
        }
        Ok(())
    }

    /// Sets `replica` to `time`, even if that is lower. Zero removes the entry.
    ///
    /// # Errors
    /// As [`raise`](Self::raise).
    pub fn put(&mut self, replica: ReplicaId, time: Time) -> Result<(), CapacityError> {
        match self.position(replica) {
            Ok(i) if time == Time::ZERO => {
                self.entries.remove(i);
            }
            Ok(i) => self.entries[i].time = time,
            Err(_) => return self.raise(replica, time),
        }
        Ok(())
    }

    /// The least upper bound with `other`, in place. O(replicas x log replicas).
    ///
    /// # Errors
    /// As [`raise`](Self::raise); `self` may then contain a part of `other`. If that matters, check
    /// [`fits`](Self::fits) first.
    pub fn join(&mut self, other: &Self) -> Result<(), CapacityError> {
        self.join_entries(other.entries())
    }

    /// Raises each replica of `entries`, up to the first that does not fit.
    pub(crate) fn join_entries(&mut self, entries: &[VectorEntry]) -> Result<(), CapacityError> {
        entries.iter().try_for_each(|e| self.raise(e.replica, e.time))
    }

    /// Joins what fits: for vectors that are safe when they are too low.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.absorb_writes(other);
        self.raise(ReplicaId::RETIREMENTS, other.time_of(ReplicaId::RETIREMENTS)).ok();
    }

    /// As [`absorb`](Self::absorb), without the retirements, which a delta does not contain.
    pub(crate) fn absorb_writes(&mut self, other: &Self) {
        for entry in other.iter().filter(|e| e.replica != ReplicaId::RETIREMENTS) {
            // A replica that does not fit stays unknown.
            self.raise(entry.replica, entry.time).ok();
        }
    }

    /// Becomes a copy of `other`.
    pub fn copy_from(&mut self, other: &Self) {
        self.entries.clear();
        for entry in other.iter() {
            let pushed = self.entries.push(entry);
            debug_assert!(pushed.is_ok(), "both vectors have the same capacity");
        }
    }

    /// The greatest lower bound with `other`, in place.
    pub(crate) fn lower_to(&mut self, other: &Self) {
        for entry in self.entries.iter_mut() {
            entry.time = entry.time.min(other.time_of(entry.replica));
        }
        self.entries.retain(|entry| entry.time > Time::ZERO);
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The highest time known of `replica`; zero if it is not listed.
    pub fn time_of(&self, replica: ReplicaId) -> Time {
        self.position(replica).map_or(Time::ZERO, |i| self.entries[i].time)
    }

    /// As [`time_of`](Self::time_of). `near` is its index in a vector that lists about the same replicas. In
    /// a vector that is not cached, this avoids most memory accesses of a search.
    #[inline(never)]
    pub(crate) fn time_of_near(&self, replica: ReplicaId, near: usize) -> Time {
        match self.entries.get(near) {
            Some(entry) if entry.replica == replica => entry.time,
            _ => self.time_of(replica),
        }
    }

    /// As [`raise`](Self::raise); `near` as for [`time_of_near`](Self::time_of_near).
    pub(crate) fn raise_near(
        &mut self,
        replica: ReplicaId,
        near: usize,
        time: Time,
    ) -> Result<(), CapacityError> {
        match self.entries.get_mut(near) {
            Some(entry) if entry.replica == replica => {
                entry.time = entry.time.max(time);
                Ok(())
            }
            _ => self.raise(replica, time),
        }
    }

    /// The index of `replica`, or where it would be inserted.
    pub(crate) fn place_of(&self, replica: ReplicaId) -> usize {
        self.position(replica).unwrap_or_else(|place| place)
    }

    /// Whether the transaction `stamp` is covered.
    // Not inlined: a copy at each caller costs flash on a small device.
    #[inline(never)]
    pub fn covers(&self, stamp: Stamp) -> bool {
        self.time_of(stamp.replica) >= stamp.time
    }

    /// Whether `self >= other` in every entry. O(replicas x log replicas).
    pub fn dominates(&self, other: &Self) -> bool {
        other.iter().all(|e| self.time_of(e.replica) >= e.time)
    }

    /// Whether `more` further replicas would fit.
    pub fn fits(&self, more: usize) -> bool {
        self.entries.len() + more <= self.entries.capacity()
    }

    /// Entries in the order of their replica ids.
    pub fn iter(&self) -> impl Iterator<Item = VectorEntry> + Clone + '_ {
        self.entries.iter().copied()
    }

    /// The entries as a slice, in the same order.
    pub(crate) fn entries(&self) -> &[VectorEntry] {
        &self.entries
    }

    /// Entry number `index` in the order of replica ids.
    pub(crate) fn entry(&self, index: usize) -> Option<VectorEntry> {
        self.entries.get(index).copied()
    }

    /// Index of the entry of `replica`, if it is listed.
    pub(crate) fn index_of(&self, replica: ReplicaId) -> Option<usize> {
        self.position(replica).ok()
    }

    /// Number of replicas listed.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no replica is listed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Most replicas that it can list.
    pub fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    fn position(&self, replica: ReplicaId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&replica, |e| e.replica)
    }
}

impl<S: KnowledgeMemory> Default for VersionVector<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: KnowledgeMemory> Clone for VersionVector<S> {
    fn clone(&self) -> Self {
        let mut copy = Self::new();
        copy.copy_from(self);
        copy
    }
}

impl<S: KnowledgeMemory> PartialEq for VersionVector<S> {
    fn eq(&self, other: &Self) -> bool {
        self.entries[..] == other.entries[..]
    }
}

impl<S: KnowledgeMemory> Eq for VersionVector<S> {}

impl<S: KnowledgeMemory> fmt::Debug for VersionVector<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|e| (e.replica, e.time.as_ms()))).finish()
    }
}
