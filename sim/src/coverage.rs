//! How deep in a building a device sits, and how that changes: coverage classes of narrow links.
//!
//! Cat-M and NB-IoT reach devices that LTE does not by repeating each block until it can be decoded. That costs rate and
//! time. Three classes stand for the many steps in between, by the largest coupling loss (MCL) that they bear: *normal*
//! (144 dB, as LTE), *robust* (154 dB) and *extreme* (164 dB). On Cat-M these are coverage enhancement mode A without
//! repetitions, mode A with, and mode B; on NB-IoT the levels CE 0, CE 1 and CE 2.
//!
//! | | `cat-m1` robust | `cat-m1` extreme | `nb-iot` robust | `nb-iot` extreme |
//! |---|---|---|---|---|
//! | downlink, b/s | 9,375 (b) | 1,400 (a) | 5,000 (b) | 625 (c) |
//! | uplink, b/s | 11,625 (b) | 250 (a) | 4,000 (b) | 500 (c) |
//! | delays and wake-up (d) | x 2 | x 10 | x 2 | x 3 |
//! | bursts of loss (d) | x 2 | x 4 | x 2 | x 4 |
//!
//!  - (a) "Coverage Analysis of LTE-M Category-M1", white paper of operators and vendors, version 1.0, January 2017: what
//!    was simulated at 164 dB.
//!  - (b) Our choice: 8 repetitions on Cat-M, of at most 32 in mode A (3GPP TS 36.213, section 8.0), and 4 on NB-IoT.
//!  - (c) Our choice: 32 repetitions. 3GPP asks for at least 160 b/s at 164 dB (TR 45.820, section 4).
//!  - (d) Our choice. On both links a small report from a sleeping device then takes about the 10 s that 3GPP allows an
//!    exception report at 164 dB (TR 45.820, section 4).
//!
//! `lte` and `loopback` have no coverage enhancement: they are the same in each class.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::SimTime;
use crate::link_profiles::{Link, LinkProfile, Loss, PipeProfile};
use crate::rng::{Probability, SimRng};

/// A coverage class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// Where LTE works too: up to 144 dB of coupling loss.
    #[default]
    Normal,
    /// Indoors: up to 154 dB.
    Robust,
    /// In a cellar: up to 164 dB.
    Extreme,
}

impl Coverage {
    /// All classes, from the best to the worst.
    pub const ALL: [Self; 3] = [Self::Normal, Self::Robust, Self::Extreme];

    /// The name, as it is parsed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Robust => "robust",
            Self::Extreme => "extreme",
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Coverage {
    type Err = UnknownCoverage;

    fn from_str(name: &str) -> Result<Self, UnknownCoverage> {
        let known = Self::ALL.into_iter().find(|class| class.name() == name);
        known.ok_or_else(|| UnknownCoverage { name: name.into() })
    }
}

/// A name that is none of [`Coverage::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown coverage {name:?}: use one of {}", Coverage::ALL.map(Coverage::name).join(", "))]
pub struct UnknownCoverage {
    /// What was given.
    pub name: String,
}

impl Link {
    /// The link as a device in this class of coverage has it. See the [module](crate::coverage) for the numbers.
    ///
    /// ```
    /// use sim::coverage::Coverage;
    /// use sim::link_profiles::Link;
    ///
    /// let cellar = Link::CatM1.in_coverage(Coverage::Extreme);
    /// assert_eq!(cellar.uplink.rate_bps.map(u64::from), Some(250));
    /// ```
    #[must_use]
    pub fn in_coverage(self, class: Coverage) -> LinkProfile {
        let effect = match (self, class) {
            (Self::Loopback | Self::Lte, _) | (_, Coverage::Normal) => return self.profile(),
            (Self::CatM1, Coverage::Robust) => {
                Effect { downlink_bps: 9_375, uplink_bps: 11_625, slower: 2, lossier: 2 }
            }
            (Self::CatM1, Coverage::Extreme) => {
                Effect { downlink_bps: 1_400, uplink_bps: 250, slower: 10, lossier: 4 }
            }
            (Self::NbIot, Coverage::Robust) => {
                Effect { downlink_bps: 5_000, uplink_bps: 4_000, slower: 2, lossier: 2 }
            }
            (Self::NbIot, Coverage::Extreme) => {
                Effect { downlink_bps: 625, uplink_bps: 500, slower: 3, lossier: 4 }
            }
        };
        effect.on(self.profile())
    }
}

/// What a class does to a link in normal coverage.
#[derive(Clone, Copy, Debug)]
struct Effect {
    downlink_bps: u64,
    uplink_bps: u64,
    /// Factor of delays and of the wake-up.
    slower: u32,
    /// Factor of the chance that a burst of loss begins.
    lossier: u32,
}

impl Effect {
    fn on(self, mut profile: LinkProfile) -> LinkProfile {
        profile.uplink = self.on_pipe(profile.uplink, self.uplink_bps);
        profile.downlink = self.on_pipe(profile.downlink, self.downlink_bps);
        if let Some(radio) = &mut profile.radio {
            radio.promotion_us *= self.slower;
        }
        profile
    }

    fn on_pipe(self, pipe: PipeProfile, rate_bps: u64) -> PipeProfile {
        let loss = match pipe.loss {
            Loss::Burst { enter, leave, loss } => {
                let enter = enter.ppm().saturating_mul(self.lossier).min(Probability::ALWAYS.ppm());
                Loss::Burst { enter: Probability::from_ppm(enter), leave, loss }
            }
            other => other,
        };
        PipeProfile {
            rate_bps: NonZeroU64::new(rate_bps),
            latency_us: pipe.latency_us * self.slower,
            jitter_us: pipe.jitter_us * self.slower,
            loss,
            ..pipe
        }
    }
}

/// How the coverage of one device changes in the course of a run. Ask with times that do not decrease.
#[derive(Clone, Debug)]
pub struct CoveragePlan {
    current: Coverage,
    changes: Changes,
}

#[derive(Clone, Debug)]
enum Changes {
    /// Sorted by time.
    Listed(VecDeque<(SimTime, Coverage)>),
    Walk {
        next_at: SimTime,
        mean_ns: u64,
        rng: Box<SimRng>,
    },
}

impl CoveragePlan {
    /// From each of these times on, this class; normal before the first one.
    #[must_use]
    pub fn listed(changes: impl IntoIterator<Item = (SimTime, Coverage)>) -> Self {
        let mut changes: Vec<_> = changes.into_iter().collect();
        changes.sort_by_key(|(at, _)| *at);
        Self { current: Coverage::Normal, changes: Changes::Listed(changes.into()) }
    }

    /// A random walk: from time to time the class becomes one better or one worse, from `start` on. A class lasts from a
    /// half to three halves of `mean`; at either end the walk turns back.
    #[must_use]
    pub fn walk(start: Coverage, mean: std::time::Duration, mut rng: SimRng) -> Self {
        let mean_ns = u64::try_from(mean.as_nanos()).unwrap_or(u64::MAX / 2).max(2);
        let next_at = SimTime::from_ns(lasts(mean_ns, &mut rng));
        Self { current: start, changes: Changes::Walk { next_at, mean_ns, rng: Box::new(rng) } }
    }

    /// The class at `now`.
    pub fn at(&mut self, now: SimTime) -> Coverage {
        match &mut self.changes {
            Changes::Listed(changes) => {
                while let Some((_, class)) = changes.pop_front_if(|(at, _)| *at <= now) {
                    self.current = class;
                }
            }
            Changes::Walk { next_at, mean_ns, rng } => {
                while *next_at <= now {
                    let is_better = rng.chance(Probability::percent(50));
                    self.current = match self.current {
                        Coverage::Normal | Coverage::Extreme => Coverage::Robust,
                        Coverage::Robust if is_better => Coverage::Normal,
                        Coverage::Robust => Coverage::Extreme,
                    };
                    *next_at = next_at.plus_ns(lasts(*mean_ns, rng));
                }
            }
        }
        self.current
    }
}

fn lasts(mean_ns: u64, rng: &mut SimRng) -> u64 {
    mean_ns / 2 + rng.below(mean_ns)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rates(link: Link, class: Coverage) -> (u64, u64) {
        let LinkProfile { downlink, uplink, .. } = link.in_coverage(class);
        (downlink.rate_bps.unwrap().get(), uplink.rate_bps.unwrap().get())
    }

    #[test]
    fn the_table_of_the_module_holds() {
        assert_eq!(rates(Link::CatM1, Coverage::Robust), (75_000 / 8, 93_000 / 8));
        assert_eq!(rates(Link::CatM1, Coverage::Extreme), (1_400, 250));
        assert_eq!(rates(Link::NbIot, Coverage::Robust), (20_000 / 4, 16_000 / 4));
        assert_eq!(rates(Link::NbIot, Coverage::Extreme), (20_000 / 32, 16_000 / 32));
        let cellar = Link::CatM1.in_coverage(Coverage::Extreme);
        assert_eq!((cellar.uplink.latency_us, cellar.uplink.jitter_us), (600_000, 1_200_000));
        assert_eq!(cellar.radio.unwrap().promotion_us, 5_000_000);
        let Loss::Burst { enter, .. } = cellar.uplink.loss else { panic!("it loses in bursts") };
        assert_eq!(enter.ppm(), 4 * 2_525);
        for class in Coverage::ALL {
            assert_eq!(Link::Lte.in_coverage(class), Link::Lte.profile());
            assert_eq!(class.name().parse(), Ok(class));
        }
        assert_eq!(Link::NbIot.in_coverage(Coverage::Normal), Link::NbIot.profile());
        let error = "deep".parse::<Coverage>().unwrap_err();
        assert_eq!(error.to_string(), "unknown coverage \"deep\": use one of normal, robust, extreme");
    }

    /// 105 bytes, the exception report of TR 45.820 with compressed headers, at 164 dB: wake-up, transmission, delay.
    #[test]
    fn a_small_report_from_the_cellar_takes_about_ten_seconds() {
        for (link, longest_ms) in [(Link::CatM1, 10_160), (Link::NbIot, 16_080)] {
            let cellar = link.in_coverage(Coverage::Extreme);
            let wake_ms = u64::from(cellar.radio.unwrap().promotion_us / 1_000);
            let sending_ms = 105 * 8 * 1_000 / cellar.uplink.rate_bps.unwrap().get();
            let travel_ms = u64::from((cellar.uplink.latency_us + cellar.uplink.jitter_us) / 1_000);
            assert_eq!(wake_ms + sending_ms + travel_ms, longest_ms, "{link}");
        }
    }

    #[test]
    fn listed_changes_hold_from_their_time_on() {
        let t = SimTime::from_secs;
        use Coverage::{Extreme, Normal};
        let mut plan = CoveragePlan::listed([(t(20), Normal), (t(10), Extreme)]);
        let seen = [0, 9, 10, 19, 20, 99].map(|second| plan.at(t(second)));
        assert_eq!(seen, [Normal, Normal, Extreme, Extreme, Normal, Normal]);
    }

    #[test]
    fn a_walk_repeats_and_goes_one_step_at_a_time() {
        let walk = |seed| {
            let rng = SimRng::new(seed, 0);
            let mut plan = CoveragePlan::walk(Coverage::Normal, Duration::from_secs(600), rng);
            (0..20_000).map(|n| plan.at(SimTime::from_secs(n * 60))).collect::<Vec<_>>()
        };
        let seen = walk(1);
        assert_eq!(seen, walk(1));
        assert_ne!(seen, walk(2));
        let is_step = |pair: &[Coverage]| (pair[0] as i8 - pair[1] as i8).abs() <= 1;
        assert!(seen.windows(2).all(is_step));
        let share = |class| seen.iter().filter(|seen| **seen == class).count() * 100 / seen.len();
        assert_eq!(Coverage::ALL.map(share), [24, 49, 25], "percent of the time in each class");
        let changes = seen.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!((1_900..2_100).contains(&changes), "{changes} changes, 2,000 expected");
    }
}
