//! Virtual time: the simulation's own clock, and what the clocks of the simulated devices show.
//!
//! [`SimTime`] is the one time line of a run; [`Clock`] translates it into the types that real code asks for, and
//! [`WallClock`] is what one device believes the date to be. Nothing here reads the host's clock, apart from the one
//! base [`Instant`] of a [`Clock`], and only offsets to that base are ever used.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A point in virtual time: nanoseconds since the simulation began. Holds 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SimTime(u64);

impl SimTime {
    /// The beginning of the simulation.
    pub const ZERO: Self = Self(0);
    /// Later than anything that happens.
    pub const MAX: Self = Self(u64::MAX);

    /// The time `ns` nanoseconds after the beginning.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// The time `ms` milliseconds after the beginning; [`MAX`](Self::MAX) where that is not representable.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(NS_PER_MS))
    }

    /// The time `secs` seconds after the beginning; [`MAX`](Self::MAX) where that is not representable.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_ms(secs.saturating_mul(1_000))
    }

    /// Nanoseconds since the beginning.
    #[must_use]
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the beginning.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0 / NS_PER_MS
    }

    /// Time since the beginning.
    #[must_use]
    pub const fn elapsed(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Time from `earlier` to `self`; zero where `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self` moved on by `ns` nanoseconds, at most to [`MAX`](Self::MAX).
    #[must_use]
    pub const fn plus_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }
}

/// Moves on; stops at [`SimTime::MAX`].
impl Add<Duration> for SimTime {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        self.plus_ns(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// The same as [`SimTime::since`].
impl Sub for SimTime {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// Seconds with three decimals: `12.034 s`.
impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.as_ms() / 1_000, self.as_ms() % 1_000)
    }
}

/// Translates virtual time for code that was written for real time.
///
/// ```
/// use std::time::Duration;
/// use sim::clock::{Clock, SimTime, WallClock};
///
/// let clock = Clock::new();
/// let now = SimTime::from_secs(90);
/// // What a protocol machine is given, and what its next timeout means here.
/// let timeout = clock.instant(now) + Duration::from_secs(10);
/// assert_eq!(clock.sim_time(timeout), SimTime::from_secs(100));
/// // What two devices believe the date to be.
/// assert_eq!(WallClock::ACCURATE.unix_ms(&clock, now), Some(Clock::UNIX_START_MS + 90_000));
/// assert_eq!(WallClock::Missing.unix_ms(&clock, now), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Instant,
    unix_start_ms: u64,
}

impl Clock {
    /// The date at which a simulation begins if nothing else is asked for: 2026-01-01 00:00:00 UTC, in Unix ms.
    pub const UNIX_START_MS: u64 = 1_767_225_600_000;

    /// A clock that begins at [`UNIX_START_MS`](Self::UNIX_START_MS).
    #[must_use]
    pub fn new() -> Self {
        Self::starting_at(Self::UNIX_START_MS)
    }

    /// A clock whose true date at [`SimTime::ZERO`] is `unix_start_ms`, in Unix milliseconds.
    #[must_use]
    pub fn starting_at(unix_start_ms: u64) -> Self {
        Self { base: Instant::now(), unix_start_ms }
    }

    /// `at` as an [`Instant`]. Only differences between such instants mean anything.
    #[must_use]
    pub fn instant(&self, at: SimTime) -> Instant {
        self.base.checked_add(at.elapsed()).unwrap_or(self.base + INSTANT_REACH)
    }

    /// The virtual time of an `instant` that was derived from [`instant`](Self::instant); zero for earlier ones.
    #[must_use]
    pub fn sim_time(&self, instant: Instant) -> SimTime {
        SimTime::ZERO + instant.saturating_duration_since(self.base)
    }

    /// The true date at `at`, in Unix milliseconds.
    #[must_use]
    pub fn unix_ms(&self, at: SimTime) -> u64 {
        self.unix_start_ms.saturating_add(at.as_ms())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// What one device believes the date to be. Replace the value in the middle of a run to simulate a clock that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WallClock {
    /// The device has no clock, or none it trusts.
    Missing,
    /// A clock that runs, more or less right.
    Running {
        /// How far it is ahead of the true date at the beginning of the run, in ms; negative is behind.
        skew_ms: i64,
        /// How much too fast it runs, in parts per million; negative is too slow. A bare crystal is within 100.
        drift_ppm: i32,
    },
}

impl WallClock {
    /// A clock that shows the true date.
    pub const ACCURATE: Self = Self::Running { skew_ms: 0, drift_ppm: 0 };

    /// What the clock shows at `at`, in Unix milliseconds; `None` if the device has none. Dates before 1970 show as 0.
    #[must_use]
    pub fn unix_ms(self, clock: &Clock, at: SimTime) -> Option<u64> {
        match self {
            Self::Missing => None,
            Self::Running { skew_ms, drift_ppm } => {
                let drift_ms = i128::from(at.as_ms()) * i128::from(drift_ppm) / 1_000_000;
                let shown = i128::from(clock.unix_ms(at)) + i128::from(skew_ms) + drift_ms;
                Some(u64::try_from(shown.max(0)).unwrap_or(u64::MAX))
            }
        }
    }
}

const NS_PER_MS: u64 = 1_000_000;
/// Where an [`Instant`] cannot hold the sum: a century on, which every platform can.
const INSTANT_REACH: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_virtual_time_translate_both_ways() {
        let clock = Clock::new();
        for at in [SimTime::ZERO, SimTime::from_ns(1), SimTime::from_secs(86_400 * 365)] {
            assert_eq!(clock.sim_time(clock.instant(at)), at);
        }
        assert_eq!(SimTime::from_ms(1_500) - SimTime::from_secs(1), Duration::from_millis(500));
        assert_eq!(SimTime::ZERO.since(SimTime::MAX), Duration::ZERO);
        assert_eq!(SimTime::MAX + Duration::MAX, SimTime::MAX);
        assert_eq!(SimTime::from_ms(12_034).to_string(), "12.034 s");
    }

    #[test]
    fn wall_clocks_are_skewed_drift_or_are_missing() {
        let clock = Clock::starting_at(1_000_000);
        let day = SimTime::from_secs(86_400);
        assert_eq!(WallClock::ACCURATE.unix_ms(&clock, day), Some(87_400_000));
        let fast = WallClock::Running { skew_ms: -500, drift_ppm: 100 };
        assert_eq!(fast.unix_ms(&clock, day), Some(87_400_000 - 500 + 8_640));
        assert_eq!(WallClock::Missing.unix_ms(&clock, day), None);
        let ancient = WallClock::Running { skew_ms: i64::MIN, drift_ppm: 0 };
        assert_eq!(ancient.unix_ms(&clock, day), Some(0));
    }
}
