//! When a node is cut off from the network: now, until further notice, or as a [`Schedule`] says.

pub mod schedule;

pub use schedule::{Length, Rule, RuleError, Schedule, ScheduleError, Window};

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::clock::SimTime;

/// A direction of an access link, seen from its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the node.
    Downlink,
    /// From the node.
    Uplink,
}

/// Which directions of a link are dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// Nothing passes.
    Both,
    /// The node still sends, but hears nothing.
    Downlink,
    /// The node still hears, but nobody hears it.
    Uplink,
}

impl Cut {
    /// Whether `direction` is dead.
    #[must_use]
    pub fn covers(self, direction: Direction) -> bool {
        match self {
            Self::Both => true,
            Self::Downlink => direction == Direction::Downlink,
            Self::Uplink => direction == Direction::Uplink,
        }
    }
}

/// The outages of one node: one that lasts until it is ended, and any number of planned ones.
#[derive(Clone, Debug, Default)]
pub struct Outages {
    current: Option<Cut>,
    /// Sorted by `from`; those that have ended are dropped once they come to the front.
    planned: VecDeque<Window>,
}

impl Outages {
    /// Cuts the node off until [`restore`](Self::restore); replaces an earlier cut.
    pub fn cut(&mut self, cut: Cut) {
        self.current = Some(cut);
    }

    /// Ends what [`cut`](Self::cut) began. Planned outages stay.
    pub fn restore(&mut self) {
        self.current = None;
    }

    /// Cuts the node off from `from` until just before `until`. Outages may overlap.
    pub fn plan(&mut self, from: SimTime, until: SimTime, cut: Cut) {
        let index = self.planned.partition_point(|window| window.from <= from);
        self.planned.insert(index, Window { from, until, cut });
    }

    /// Whether `direction` is dead at `now`. `now` must not decrease from call to call: what has ended is forgotten.
    pub fn is_cut(&mut self, now: SimTime, direction: Direction) -> bool {
        while self.planned.front().is_some_and(|window| window.until <= now) {
            self.planned.pop_front();
        }
        let mut begun = self.planned.iter().take_while(|window| window.from <= now);
        self.current.is_some_and(|cut| cut.covers(direction))
            || begun.any(|window| now < window.until && window.cut.covers(direction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_outages_overlap_and_end() {
        let mut outages = Outages::default();
        let t = SimTime::from_secs;
        outages.plan(t(20), t(30), Cut::Uplink);
        outages.plan(t(10), t(25), Cut::Downlink);
        let state = |outages: &mut Outages, at| {
            [Direction::Downlink, Direction::Uplink].map(|direction| outages.is_cut(at, direction))
        };
        assert_eq!(state(&mut outages, t(9)), [false, false]);
        assert_eq!(state(&mut outages, t(10)), [true, false]);
        assert_eq!(state(&mut outages, t(24)), [true, true]);
        assert_eq!(state(&mut outages, t(25)), [false, true]);
        outages.cut(Cut::Downlink);
        assert_eq!(state(&mut outages, t(29)), [true, true]);
        assert_eq!(state(&mut outages, t(30)), [true, false]);
        outages.restore();
        assert_eq!(state(&mut outages, t(31)), [false, false]);
        assert!(outages.planned.is_empty());
    }
}
