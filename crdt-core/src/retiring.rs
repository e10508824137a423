//! Retiring replica ids, so that version vectors do not grow with every copy there ever was.
//!
//! An id is taken out of version vector and floor when its owner goes on under another, no cell of it is left, and every
//! active member has incorporated all it wrote. What it deleted must still reach whoever was away: so the retirement itself
//! gets a time, which stands in version vector and floor like that of a forgotten tombstone, under an id that is
//! [nobody's](ReplicaId::RETIREMENTS). Whoever has a lower time there gets the whole document, unless it turns out to have
//! all that the retired ids wrote; then it is only told which they are.

use crate::causal::{Retired, Stamp};
use crate::document::{Document, UpdateError};
use crate::id::ReplicaId;
use crate::storage::Storage;
use crate::time::{Moment, Time};
use crate::weaken::{Rule, holds};

impl<S: Storage> Document<S> {
    /// Whether the transaction `stamp` is incorporated here, or known to be dead. O(log replicas), and O(retired ids) for one
    /// that the version vector does not cover.
    pub fn covers(&self, stamp: Stamp) -> bool {
        self.knowledge.covers(stamp)
    }

    /// Whether more of an id is known here than whoever retired it knew: its owner lives, and that will be learned there.
    pub(crate) fn is_in_use(&self, retired: Retired) -> bool {
        retired.replica == self.replica || self.knowledge.vv().time_of(retired.replica) > retired.time
    }

    /// Drops what is left of a retired id: it is dead. Tells how many cells that were.
    pub(crate) fn drop_retired(&mut self, retired: Retired) -> usize {
        let is_its = |stamp: Stamp| stamp.replica == retired.replica && stamp.time <= retired.time;
        let dropped = if holds(Rule::RetiredIsDropped) { self.drop_absent(is_its, |_| false) } else { 0 };
        self.knowledge.lower_floor_of(retired.replica);
        dropped
    }

    /// Takes an id out of version vector and floor, at a time after all that were seen. The caller has made sure that every
    /// active member has all of it, and that no cell of it is left here.
    ///
    /// # Errors
    /// [`UpdateError::ClockExhausted`]; nothing has changed then.
    pub(crate) fn retire(&mut self, moment: Moment, replica: ReplicaId) -> Result<(), UpdateError> {
        self.knowledge.retire(moment, replica)?;
        self.covered_seq = 0;
        Ok(())
    }

    /// Takes an id out of version vector and floor: somebody has retired it.
    pub(crate) fn unlist(&mut self, replica: ReplicaId) {
        self.knowledge.unlist(replica);
        self.covered_seq = 0;
    }

    /// The own id `old` ends at `common`: what it wrote later is written again by another.
    pub(crate) fn roll_back(&mut self, old: ReplicaId, common: Time) {
        self.knowledge.roll_back(old, common);
        self.covered_seq = 0;
    }
}
