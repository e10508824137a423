//! Numbers in an order that only their owner knows: a list of short lists.
//!
//! An ordered map would hold each path a second time. Here a cell takes 4 to 8 bytes. A place is found by bisection;
//! inserting and removing move at most one short list, and the list of them once in many times.

use alloc::vec::Vec;

/// Slots in the order of their paths.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    /// None is empty.
    runs: Vec<Vec<u32>>,
    len: usize,
}

/// Where a number is, or would be.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    run: usize,
    offset: usize,
}

impl Order {
    /// Inserts `slot` before what is at `place`.
    pub(super) fn insert(&mut self, place: Place, slot: u32) {
        let Place { mut run, mut offset } = place;
        if run == self.runs.len() {
            self.runs.push(Vec::new());
        } else if self.runs[run].len() == RUN_LEN_MAX {
            // Behind everything, a full run stays full: what comes in order takes no more than it needs.
            let is_end = run + 1 == self.runs.len() && offset == RUN_LEN_MAX;
            let kept = if is_end { RUN_LEN_MAX } else { RUN_LEN_MAX / 2 };
            let tail = self.runs[run].split_off(kept);
            self.runs.insert(run + 1, tail);
            if offset >= kept {
                run += 1;
                offset -= kept;
            }
        }
        let run = &mut self.runs[run];
        if run.len() == run.capacity() {
            run.reserve_exact((run.len() / 4 + RUN_MORE_MIN).min(RUN_LEN_MAX - run.len()));
        }
        run.insert(offset, slot);
        self.len += 1;
    }

    /// Takes out what is at `place`.
    pub(super) fn remove(&mut self, place: Place) {
        self.runs[place.run].remove(place.offset);
        if self.runs[place.run].is_empty() {
            self.runs.remove(place.run);
        }
        self.len -= 1;
    }

    /// The first place whose number does not come `before` the place that is looked for. O(log numbers).
    pub(super) fn place(&self, mut before: impl FnMut(u32) -> bool) -> Place {
        let inner = &self.runs[..self.runs.len().saturating_sub(1)];
        let run = inner.partition_point(|run| run.last().is_some_and(|last| before(*last)));
        let offset = self.runs.get(run).map_or(0, |run| run.partition_point(|slot| before(*slot)));
        Place { run, offset }
    }

    /// The place behind `place`.
    pub(super) fn after(&self, place: Place) -> Place {
        match self.runs.get(place.run) {
            Some(run) if place.offset + 1 == run.len() => Place { run: place.run + 1, offset: 0 },
            _ => Place { offset: place.offset + 1, ..place },
        }
    }

    /// What is at `place`.
    pub(super) fn at(&self, place: Place) -> Option<u32> {
        self.runs.get(place.run)?.get(place.offset).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// Numbers in one run: as many as are moved when one is inserted.
const RUN_LEN_MAX: usize = 256;
/// Numbers that a run grows by, at least.
const RUN_MORE_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn place_of(order: &Order, slot: u32) -> Place {
        order.place(|other| other < slot)
    }

    proptest! {
        #[test]
        fn it_holds_what_a_set_holds(slots in proptest::collection::vec((0_u32..2000, 0_u32..4), 0..3000), ascending: bool) {
            let mut slots = slots;
            if ascending {
                slots.sort_unstable();
            }
            let (mut order, mut model) = (Order::default(), BTreeSet::new());
            for (slot, action) in slots {
                let place = place_of(&order, slot);
                prop_assert_eq!(order.at(place) == Some(slot), model.contains(&slot));
                if action > 0 && model.insert(slot) {
                    order.insert(place, slot);
                } else if action == 0 && model.remove(&slot) {
                    order.remove(place);
                }
                prop_assert_eq!(order.len(), model.len());
            }
            prop_assert!(order.runs.iter().all(|run| (1..=RUN_LEN_MAX).contains(&run.len())));
            for start in [0, 1, 700, 1999, 2000] {
                let mut place = place_of(&order, start);
                for slot in model.range(start..) {
                    prop_assert_eq!(order.at(place), Some(*slot));
                    place = order.after(place);
                }
                prop_assert_eq!(order.at(place), None);
            }
        }
    }
}
