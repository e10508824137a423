//! What a replica knows: which transactions are incorporated, what was forgotten, and what time it is.
//!
//! No other module writes these fields, so their invariants are kept here:
//!
//! - The floor is covered by the version vector: what was forgotten had been incorporated.
//! - The horizon is the highest stamp that was forgotten, and the clock is not below it.
//! - Each rise of the version vector has a number, so a session finds in O(rises since) what was not sent to
//!   its peer.

use super::{KnowledgeMemory, Retired, RetiredIds, Stamp, VersionVector};
use crate::error::{CapacityError, ClockExhausted};
use crate::id::ReplicaId;
use crate::list::List;
use crate::time::{Moment, Time};

/// See the [module](self).
pub(crate) struct Knowledge<S: KnowledgeMemory> {
    vv: VersionVector<S>,
    floor: VersionVector<S>,
    retired: RetiredIds<S>,
    horizon: Stamp,
    clock: Time,
    floor_changes: u32,
    floor_rises: u32,
    /// Rises of the version vector in this process.
    rises: u64,
    /// Each replica with the number of its last rise, in the order of the numbers. May contain older rises
    /// too. Fixed storage keeps no log: its vectors are short.
    log: S::Rises,
}

/// A rise of a version vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rise {
    number: u64,
    replica: ReplicaId,
}

impl<S: KnowledgeMemory> Knowledge<S> {
    /// Empty knowledge.
    pub(crate) fn new() -> Self {
        Self {
            vv: VersionVector::new(),
            floor: VersionVector::new(),
            retired: RetiredIds::new(),
            horizon: Stamp::ZERO,
            clock: Time::ZERO,
            floor_changes: 0,
            floor_rises: 0,
            rises: 0,
            log: S::Rises::default(),
        }
    }

    /// Restores stored knowledge. Retired ids follow with [`restore_retired`](Self::restore_retired).
    pub(crate) fn restore(
        vv: VersionVector<S>,
        floor: VersionVector<S>,
        horizon: Stamp,
        clock: Time,
    ) -> Self {
        // All of it is one rise, before those in the log.
        Self { vv, floor, horizon, clock, rises: 1, ..Self::new() }
    }

    /// Restores a stored retired id.
    pub(crate) fn restore_retired(&mut self, retired: Retired) {
        self.retired.add(retired);
    }

    /// Restores the time of the last retirement that is no longer listed.
    pub(crate) fn restore_dropped(&mut self, dropped: Time) {
        self.retired.note_dropped(dropped);
    }

    // ---- time ----

    /// A stamp with this time was seen.
    pub(crate) fn note_time(&mut self, time: Time) {
        self.clock = self.clock.max(time);
    }

    /// A time after all that were seen.
    pub(crate) fn next_time(&self, moment: Moment) -> Result<Time, ClockExhausted> {
        let next = self.clock.next().ok_or(ClockExhausted { last: self.clock })?;
        Ok(moment.now.map_or(next, |now| now.max(next)))
    }

    /// Incorporates a transaction of `replica` at `time`, which is [after all](Self::next_time) that were seen.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub(crate) fn begin_transaction(
        &mut self,
        replica: ReplicaId,
        time: Time,
    ) -> Result<Stamp, CapacityError> {
        self.claim(replica, time)?;
        self.clock = time;
        Ok(Stamp::new(time, replica))
    }

    /// Sets the clock back to `past`, because the writes of `own` after `common` are written again. Their
    /// forgotten tombstones count as forgotten at `past`.
    pub(crate) fn turn_back(&mut self, own: ReplicaId, common: Time, past: Time) {
        if self.horizon.replica == own && self.horizon.time > common {
            // No forgotten stamp of another replica is above that.
            self.horizon.time = past;
        }
        self.clock = past;
    }

    // ---- what is incorporated ----

    /// Incorporates everything that `replica` wrote up to `time`.
    ///
    /// # Errors
    /// [`CapacityError::Replicas`] when `replica` is new and there is no capacity. Nothing has changed then.
    pub(crate) fn claim(&mut self, replica: ReplicaId, time: Time) -> Result<(), CapacityError> {
        if self.vv.time_of(replica) >= time {
            return Ok(());
        }
        self.vv.raise(replica, time)?;
        self.rises += 1;
        if self.log.capacity() == 0 {
            return Ok(());
        }
        if let Some(last) = self.log.last_mut().filter(|last| last.replica == replica) {
            last.number = self.rises;
            return Ok(());
        }
        if self.log.len() >= LOG_MIN + 2 * self.vv.len() {
            self.compact_log();
        }
        let pushed = self.log.push(Rise { number: self.rises, replica });
        debug_assert!(pushed.is_ok(), "the log has capacity for two rises of each replica");
        Ok(())
    }

    /// Ends the own id `old` at `common`: later own writes count as never made.
    pub(crate) fn roll_back(&mut self, old: ReplicaId, common: Time) {
        // It lowers an entry, so it needs no capacity.
        self.vv.put(old, common).ok();
    }

    /// Moves what was forgotten of the id `old` after `common` to the transaction `stamp`.
    pub(crate) fn move_floor(&mut self, old: ReplicaId, common: Time, stamp: Option<Stamp>) {
        self.floor.put(old, common).ok();
        if let Some(stamp) = stamp {
            self.floor.raise(stamp.replica, stamp.time).ok();
            self.horizon = self.horizon.max(stamp);
        }
        self.note_floor_changed();
    }

    /// Whether the transaction `stamp` is incorporated here, or known to be dead. O(log replicas), and O(retired ids) for one
    /// that the version vector does not cover.
    pub(crate) fn covers(&self, stamp: Stamp) -> bool {
        self.vv.covers(stamp) || self.retired.covers(stamp)
    }

    /// Whether everything that `vector` covers is covered here.
    pub(crate) fn dominates(&self, vector: &VersionVector<S>) -> bool {
        vector.iter().all(|e| self.covers(Stamp::new(e.time, e.replica)))
    }

    /// The number of the last rise.
    pub(crate) fn rises(&self) -> u64 {
        self.rises
    }

    /// The replicas of which more is incorporated here than a peer with the vector `theirs` has, in the order
    /// of their ids. The peer must have all rises up to the number `since`. Without retirements, which have a
    /// message of their own.
    ///
    /// O(rises since x log replicas), or O(replicas) if that is less; O(1) when nothing rose.
    pub(crate) fn news_for(&self, theirs: &VersionVector<S>, since: u64) -> S::Ids {
        let mut news = S::Ids::default();
        if since >= self.rises {
            return news;
        }
        let is_news = |replica: ReplicaId, time: Time, place: usize| {
            replica != ReplicaId::RETIREMENTS && theirs.time_of_near(replica, place) < time
        };
        match self.rises_since(since).filter(|later| later.len() <= self.vv.len() / 4) {
            Some(later) => {
                for Rise { replica, .. } in later.iter().copied() {
                    let place = self.vv.place_of(replica);
                    if is_news(replica, self.vv.time_of_near(replica, place), place)
                        && let Err(place) = news.binary_search(&replica)
                    {
                        news.insert(place, replica).ok();
                    }
                }
            }
            None => {
                for (place, entry) in self.vv.iter().enumerate() {
                    if is_news(entry.replica, entry.time, place) {
                        news.push(entry.replica).ok();
                    }
                }
            }
        }
        news
    }

    /// The replicas that rose after the number `since`, possibly with repetitions; `None` if that is not
    /// known.
    pub(crate) fn risen_since(&self, since: u64) -> Option<impl Iterator<Item = ReplicaId> + '_> {
        Some(self.rises_since(since)?.iter().map(|rise| rise.replica))
    }

    /// The rises after the number `since`; `None` if that is not known.
    fn rises_since(&self, since: u64) -> Option<&[Rise]> {
        // Without a log, the compiler removes the rest.
        if self.log.capacity() == 0 || since == 0 {
            return None;
        }
        Some(&self.log[self.log.partition_point(|rise| rise.number <= since)..])
    }

    /// Removes rises from the log that are followed by a later one of their replica.
    fn compact_log(&mut self) {
        let (mut seen, mut kept) = (S::Ids::default(), S::Rises::default());
        for rise in self.log.iter().rev() {
            // An id that is no longer listed need not be sent to anybody.
            let is_listed = self.vv.index_of(rise.replica).is_some();
            if let Err(place) = seen.binary_search(&rise.replica)
                && is_listed
                && seen.insert(place, rise.replica).is_ok()
            {
                kept.push(*rise).ok();
            }
        }
        kept.reverse();
        self.log = kept;
    }

    // ---- what is forgotten ----

    /// An incorporated tombstone is forgotten.
    pub(crate) fn forget(&mut self, stamp: Stamp) {
        // This fails only for a retired id that was never listed here. Its retirement covers the tombstone.
        self.floor.raise(stamp.replica, stamp.time).ok();
        self.horizon = self.horizon.max(stamp);
        self.floor_rises += 1;
    }

    /// Tombstones were forgotten: full batches in progress start over, and the floor is sent to members.
    pub(crate) fn note_floor_changed(&mut self) {
        self.floor_changes += 1;
        self.floor_rises += 1;
    }

    /// Takes over what a peer has forgotten, once everything that it has is incorporated.
    pub(crate) fn take_over(&mut self, floor: &VersionVector<S>, horizon: Stamp) {
        // The version vector lists these replicas, and the floor has the same capacity.
        for entry in floor.iter().filter(|e| self.vv.time_of(e.replica) >= e.time) {
            self.floor.raise(entry.replica, entry.time).ok();
        }
        self.horizon = self.horizon.max(horizon);
        self.clock = self.clock.max(self.horizon.time);
        self.note_floor_changed();
        // The sender no longer lists retired ids that are in use again, so earlier retirements may be missing
        // here.
        self.retired.note_dropped(self.floor.time_of(ReplicaId::RETIREMENTS));
    }

    /// Takes over what `other` knows. The cells of both must be joined before.
    ///
    /// # Errors
    /// [`CapacityError::Replicas`]; a part may be incorporated then.
    pub(crate) fn merge<T: KnowledgeMemory>(&mut self, other: &Knowledge<T>) -> Result<(), CapacityError> {
        for entry in other.vv.iter() {
            if !self.retired.covers(Stamp::new(entry.time, entry.replica)) {
                self.claim(entry.replica, entry.time)?;
            }
        }
        for entry in other.floor.iter() {
            if !self.retired.covers(Stamp::new(entry.time, entry.replica)) {
                self.floor.raise(entry.replica, entry.time)?;
            }
        }
        self.horizon = self.horizon.max(other.horizon);
        self.clock = self.clock.max(other.clock);
        self.floor_rises += 1;
        Ok(())
    }

    /// Whether a peer with the vector `theirs` has everything that is forgotten here: then a delta is enough
    /// for it. O(replicas).
    pub(crate) fn is_delta_enough(&self, theirs: &VersionVector<S>) -> bool {
        let told = self.retired.reachable(theirs);
        self.floor.iter().all(|e| {
            let has = theirs.time_of(e.replica);
            has >= e.time || (e.replica == ReplicaId::RETIREMENTS && told >= e.time)
        })
    }

    /// Number of floor changes by which something was forgotten, in this process.
    pub(crate) fn floor_changes(&self) -> u32 {
        self.floor_changes
    }

    /// Number of rises of the floor in this process. While it stays the same, a peer for which a delta was
    /// enough needs no full batch.
    pub(crate) fn floor_rises(&self) -> u32 {
        self.floor_rises
    }

    // ---- ids that retired ----

    /// Removes an id from version vector and floor, at a time after all that were seen. Before, every active
    /// member must have all its writes, and no cell of it may be left here.
    ///
    /// # Errors
    /// [`ClockExhausted`]; nothing has changed then.
    pub(crate) fn retire(&mut self, moment: Moment, replica: ReplicaId) -> Result<(), ClockExhausted> {
        // A backup may be older than the retirements that members know. A time that they already have would
        // hide this one.
        self.note_time(self.vv.time_of(ReplicaId::RETIREMENTS));
        let at = self.next_time(moment)?;
        self.clock = at;
        self.retired.add(Retired { replica, time: self.vv.time_of(replica), at });
        self.unlist(replica);
        self.note_retirement(at);
        Ok(())
    }

    /// Remembers an id that another replica has retired.
    pub(crate) fn add_retired(&mut self, retired: Retired) {
        self.retired.add(retired);
    }

    /// Lowers the floor of a retired id whose cells were dropped: the retirement covers its deletes.
    pub(crate) fn lower_floor_of(&mut self, replica: ReplicaId) {
        let known = self.vv.time_of(replica);
        if self.floor.time_of(replica) > known {
            self.floor.put(replica, known).ok();
        }
    }

    /// Every retirement up to `at` was taken over.
    pub(crate) fn note_retirement(&mut self, at: Time) {
        // If it does not fit, the peer sends it again.
        if self.claim(ReplicaId::RETIREMENTS, at).is_ok()
            && self.floor.raise(ReplicaId::RETIREMENTS, at).is_ok()
        {
            self.note_time(at);
        }
        self.floor_rises += 1;
    }

    /// The last retirement that is known here. After a load from a backup, members may know of later ones.
    pub(crate) fn last_retirement(&self) -> Time {
        let listed = self.retired.iter().last().map_or(Time::ZERO, |retired| retired.at);
        self.vv.time_of(ReplicaId::RETIREMENTS).max(listed)
    }

    /// Lists a retired id again, because it is in use. Returns false if it is not retired.
    pub(crate) fn reinstate(&mut self, replica: ReplicaId) -> bool {
        let Some(retired) = self.retired.remove(replica) else { return false };
        // The list no longer covers its deletes: a peer that did not get the retirement before gets a full
        // batch.
        self.retired.note_dropped(retired.at);
        // If it does not fit, its owner's next claim is refused, with the limit.
        self.claim(replica, retired.time).ok();
        self.floor_rises += 1;
        true
    }

    /// Removes an id from version vector and floor.
    pub(crate) fn unlist(&mut self, replica: ReplicaId) {
        for vector in [&mut self.vv, &mut self.floor] {
            // Removing an entry needs no capacity.
            vector.put(replica, Time::ZERO).ok();
        }
    }

    /// Whether `more` further replicas fit.
    pub(crate) fn fits(&self, more: usize) -> bool {
        self.vv.fits(more)
    }

    pub(crate) fn vv(&self) -> &VersionVector<S> {
        &self.vv
    }

    pub(crate) fn floor(&self) -> &VersionVector<S> {
        &self.floor
    }

    pub(crate) fn retired(&self) -> &RetiredIds<S> {
        &self.retired
    }

    pub(crate) fn horizon(&self) -> Stamp {
        self.horizon
    }

    pub(crate) fn clock(&self) -> Time {
        self.clock
    }

    /// Checks the invariants. Returns the first that is violated.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if !self.vv.dominates(&self.floor) {
            return Err("the floor is above the version vector");
        }
        if self.log.iter().zip(self.log.iter().skip(1)).any(|(a, b)| a.number >= b.number) {
            return Err("rises are out of order");
        }
        if self.log.last().is_some_and(|rise| rise.number > self.rises) {
            return Err("a rise is newer than the last one");
        }
        Ok(())
    }
}

/// Capacity of the log, in rises, in addition to two per replica.
const LOG_MIN: usize = 16;

#[cfg(all(test, feature = "alloc"))]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capacity::{Bytes, Cells, Replicas};
    use crate::storage::{Fixed, Heap};

    #[derive(Clone, Debug)]
    enum Step {
        Claim(u64, u64),
        /// A peer is compared, and gets what it lacks.
        Tell(usize),
        /// A peer lost what it had.
        Lower(usize),
        Reload,
        Retire(u64),
        RollBack(u64, u64),
    }

    /// What a session remembers of a peer.
    struct Peer<S: KnowledgeMemory> {
        has: VersionVector<S>,
        since: u64,
    }

    fn step() -> impl Strategy<Value = Step> {
        let id = 1..40_u64;
        prop_oneof![
            12 => (id.clone(), 1..500_u64).prop_map(|(id, ms)| Step::Claim(id, ms)),
            4 => (0..3_usize).prop_map(Step::Tell),
            1 => (0..3_usize).prop_map(Step::Lower),
            1 => Just(Step::Reload),
            1 => id.clone().prop_map(Step::Retire),
            1 => (id, 1..500_u64).prop_map(|(id, ms)| Step::RollBack(id, ms)),
        ]
    }

    fn play<S: KnowledgeMemory>(steps: &[Step]) {
        let mut knowledge = Knowledge::<S>::new();
        let peer = || Peer { has: VersionVector::<S>::new(), since: 0 };
        let mut peers = [peer(), peer(), peer()];
        for step in steps {
            match *step {
                Step::Claim(id, ms) => {
                    knowledge.claim(ReplicaId::new(id), Time::from_clock_ms(ms)).unwrap();
                }
                Step::Tell(peer) => {
                    let Peer { has, since } = &mut peers[peer];
                    let lacks = |e: &crate::causal::VectorEntry| {
                        e.replica != ReplicaId::RETIREMENTS && has.time_of(e.replica) < e.time
                    };
                    let naive: std::vec::Vec<_> =
                        knowledge.vv().iter().filter(lacks).map(|e| e.replica).collect();
                    let news = knowledge.news_for(has, *since);
                    assert_eq!(&news[..], &naive[..]);
                    for replica in naive {
                        has.raise(replica, knowledge.vv().time_of(replica)).unwrap();
                    }
                    *since = knowledge.rises();
                }
                Step::Lower(peer) => peers[peer] = Peer { has: VersionVector::new(), since: 0 },
                Step::Reload => {
                    let (vv, floor) = (knowledge.vv().clone(), knowledge.floor().clone());
                    knowledge = Knowledge::restore(vv, floor, knowledge.horizon(), knowledge.clock());
                    peers.iter_mut().for_each(|peer| peer.since = 0);
                }
                Step::Retire(id) => {
                    knowledge.retire(Moment::new(1), ReplicaId::new(id)).unwrap();
                }
                Step::RollBack(id, ms) => {
                    let (id, common) = (ReplicaId::new(id), Time::from_clock_ms(ms));
                    if knowledge.vv().time_of(id) > common {
                        knowledge.roll_back(id, common);
                    }
                }
            }
            knowledge.check().unwrap();
            assert!(
                knowledge.log.len() <= LOG_MIN + 2 * knowledge.vv().len() + 80,
                "{}",
                knowledge.log.len()
            );
        }
    }

    proptest! {
        /// The rises since the last comparison show the same as a comparison of whole vectors.
        #[test]
        fn what_rose_is_what_a_peer_lacks(steps in prop::collection::vec(step(), 1..400)) {
            play::<Heap>(&steps);
            play::<Fixed<Cells<4>, Bytes<64>, Replicas<64>>>(&steps);
        }
    }
}
