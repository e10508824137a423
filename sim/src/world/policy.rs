//! When a device tries again, and how long it waits: the choices that a runtime makes.

use std::time::Duration;

use crate::link_profiles::LinkProfile;
use crate::rng::SimRng;

/// The choices of one node's driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A connection whose oldest message is undelivered for longer than this is given up.
    pub patience: Duration,
    /// First pause before a lost connection is tried again; doubles with each attempt that fails.
    pub pause_min: Duration,
    /// Longest such pause.
    pub pause_max: Duration,
    /// Pause after the aggregator has refused what is here.
    pub pause_after_refusal: Duration,
}

impl Policy {
    /// For a device on a link like this.
    #[must_use]
    pub fn for_link(profile: &LinkProfile) -> Self {
        let is_slow = profile.uplink.latency_us >= SLOW_LATENCY_US;
        Self { patience: Duration::from_secs(if is_slow { 180 } else { 60 }), ..Self::AGGREGATOR }
    }

    /// For an aggregator: patient, because whoever still needs the connection says so.
    pub const AGGREGATOR: Self = Self {
        patience: Duration::from_secs(15 * 60),
        pause_min: Duration::from_secs(2),
        pause_max: Duration::from_secs(15 * 60),
        pause_after_refusal: Duration::from_secs(10 * 60),
    };

    /// The pause before the next try, after `attempt` that failed: half of it is chance, so that a fleet does not come
    /// back in step.
    pub(super) fn pause(&self, attempt: u32, rng: &mut SimRng) -> Duration {
        let longest = self.pause_min.saturating_mul(1 << attempt.min(16)).min(self.pause_max);
        let half = longest / 2;
        half + Duration::from_millis(rng.below(half.as_millis() as u64))
    }
}

/// One-way delay from which a link counts as slow, in microseconds.
pub(super) const SLOW_LATENCY_US: u32 = 500_000;
