//! Retiring replica ids, so that version vectors do not grow with every copy there ever was.
//!
//! An id is taken out of version vector and floor when its owner goes on under another, no cell of it is left, and every
//! active member has incorporated all it wrote. What it deleted must still reach whoever was away: so the retirement itself
//! gets a time, which stands in version vector and floor like that of a forgotten tombstone, under an id that is
//! [nobody's](ReplicaId::RETIREMENTS). Whoever has a lower time there gets the whole document, unless it turns out to have
//! all that the retired ids wrote; then it is only told which they are.

use crate::causal::{Retired, Stamp, VersionVector};
use crate::document::{Document, UpdateError};
use crate::id::ReplicaId;
use crate::storage::Storage;
use crate::time::{Moment, Time};
use crate::weaken::{Rule, holds};

impl<S: Storage> Document<S> {
    /// Whether the transaction `stamp` is incorporated here, or known to be dead. O(log replicas), and O(retired ids) for one
    /// that the version vector does not cover.
    pub fn covers(&self, stamp: Stamp) -> bool {
        self.vv.covers(stamp) || self.retired.covers(stamp)
    }

    /// Whether everything that `vector` means is incorporated here.
    pub(crate) fn dominates(&self, vector: &VersionVector<S>) -> bool {
        vector.iter().all(|e| self.covers(Stamp::new(e.time, e.replica)))
    }

    /// Whether a peer with the vector `theirs` lacks nothing that is forgotten here: then a delta is enough for it.
    pub(crate) fn is_delta_enough(&self, theirs: &VersionVector<S>) -> bool {
        let told = self.retired.reachable(theirs);
        self.floor.iter().all(|e| {
            let has = theirs.time_of(e.replica);
            has >= e.time || (e.replica == ReplicaId::RETIREMENTS && told >= e.time)
        })
    }

    /// Takes an id out of version vector and floor. The caller has made sure that every active member has all of it, and that
    /// no cell of it is left here.
    ///
    /// # Errors
    /// [`UpdateError::ClockExhausted`]; nothing has changed then.
    pub(crate) fn retire(&mut self, moment: Moment, replica: ReplicaId) -> Result<(), UpdateError> {
        // A backup may be behind the retirements that members know of: a time they have would hide this one.
        self.clock = self.clock.max(self.vv.time_of(ReplicaId::RETIREMENTS));
        let at = self.next_time(moment)?;
        self.clock = at;
        self.retired.add(Retired { replica, time: self.vv.time_of(replica), at });
        self.unlist(replica);
        self.note_retirement(at);
        Ok(())
    }

    /// Whether more of an id is known here than whoever retired it knew: its owner lives, and that will be learned there.
    pub(crate) fn is_in_use(&self, retired: Retired) -> bool {
        retired.replica == self.replica || self.vv.time_of(retired.replica) > retired.time
    }

    /// Drops what is left of a retired id: it is dead. Tells how many cells that were.
    pub(crate) fn drop_retired(&mut self, retired: Retired) -> usize {
        let is_its = |stamp: Stamp| stamp.replica == retired.replica && stamp.time <= retired.time;
        let dropped = if holds(Rule::RetiredIsDropped) { self.drop_absent(is_its, |_| false) } else { 0 };
        // Deletes among them that were not covered here are known by the retirement alone.
        let known = self.vv.time_of(retired.replica);
        if self.floor.time_of(retired.replica) > known {
            self.floor.put(retired.replica, known).ok();
        }
        dropped
    }

    /// Every retirement up to `at` was taken over.
    pub(crate) fn note_retirement(&mut self, at: Time) {
        // Where there is no room, the peer tells again.
        if self.vv.raise(ReplicaId::RETIREMENTS, at).is_ok()
            && self.floor.raise(ReplicaId::RETIREMENTS, at).is_ok()
        {
            self.clock = self.clock.max(at);
        }
    }

    /// Lists an id again that was retired: it is in use.
    pub(crate) fn reinstate(&mut self, replica: ReplicaId) -> bool {
        let Some(retired) = self.retired.remove(replica) else { return false };
        // What it had deleted is no longer told by the list: whoever was not told before gets the whole document.
        self.retired.note_dropped(retired.at);
        // Where there is no room, its owner's next claim is refused, with the limit.
        self.vv.raise(replica, retired.time).ok();
        true
    }

    /// Takes an id out of version vector and floor.
    pub(crate) fn unlist(&mut self, replica: ReplicaId) {
        for vector in [&mut self.vv, &mut self.floor] {
            // Nothing is needed to take something out.
            vector.put(replica, Time::ZERO).ok();
        }
        self.covered_seq = 0;
    }
}
