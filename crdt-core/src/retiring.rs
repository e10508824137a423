//! Retires replica ids, so that version vectors do not grow with every copy that ever existed.
//!
//! An id is removed from version vector and floor when its owner continues under another, no cell of it is
//! left, and every active member has incorporated all its writes. Its deletes must still reach copies that
//! were offline. So the retirement itself gets a time, which is in version vector and floor like that of a
//! forgotten tombstone, under an id that is [nobody's](ReplicaId::RETIREMENTS). A peer with a lower time
//! there gets a full batch, unless it turns out to have all writes of the retired ids; then it gets only the
//! list of ids.

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

    /// Whether more of an id is known here than when it was retired: it is in use, and the replica that
    /// retired it will learn that.
    pub(crate) fn is_in_use(&self, retired: Retired) -> bool {
        retired.replica == self.replica || self.knowledge.vv().time_of(retired.replica) > retired.time
    }

    /// Drops the cells that are left of a retired id: they are dead. Returns their number.
    pub(crate) fn drop_retired(&mut self, retired: Retired) -> usize {
        let is_its = |stamp: Stamp| stamp.replica == retired.replica && stamp.time <= retired.time;
        let dropped = if holds(Rule::RetiredIsDropped) { self.drop_absent(is_its, |_| false) } else { 0 };
        self.knowledge.lower_floor_of(retired.replica);
        dropped
    }

    /// Removes an id from version vector and floor, at a time after all that were seen. Before, every active
    /// member must have all its writes, and no cell of it may be left here.
    ///
    /// # Errors
    /// [`UpdateError::ClockExhausted`]; nothing has changed then.
    pub(crate) fn retire(&mut self, moment: Moment, replica: ReplicaId) -> Result<(), UpdateError> {
        self.knowledge.retire(moment, replica)?;
        self.covered_seq = 0;
        Ok(())
    }

    /// Removes an id from version vector and floor, because another replica has retired it.
    pub(crate) fn unlist(&mut self, replica: ReplicaId) {
        self.knowledge.unlist(replica);
        self.covered_seq = 0;
    }

    /// Ends the own id `old` at `common`: its later writes are written again under another id.
    pub(crate) fn roll_back(&mut self, old: ReplicaId, common: Time) {
        self.knowledge.roll_back(old, common);
        self.covered_seq = 0;
    }
}
