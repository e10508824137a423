//! Time in the core: an input, in milliseconds.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::TIME_MAX;

/// Milliseconds since 1970-01-01, in 48 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(u64);

impl Time {
    /// The lowest time. No write has it.
    pub const ZERO: Time = Time(0);
    /// The largest time of a stamp.
    pub const MAX: Time = Time(TIME_MAX);

    /// `None` when `ms` needs more than 48 bits.
    pub const fn from_ms(ms: u64) -> Option<Self> {
        if ms <= TIME_MAX { Some(Self(ms)) } else { None }
    }

    /// As [`from_ms`](Self::from_ms), but clamped to the largest time: for clocks, which may be broken, never
    /// for stamps.
    pub const fn from_clock_ms(ms: u64) -> Self {
        if ms <= TIME_MAX { Self(ms) } else { Self::MAX }
    }

    /// Milliseconds since 1970-01-01.
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// The next millisecond; `None` after [`MAX`](Self::MAX).
    pub const fn next(self) -> Option<Self> {
        Self::from_ms(self.0 + 1)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// When an input arrived, by the device's clock. A replica has no clock, so each input passes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The device's clock, or `None` when it has none it can trust.
    pub now: Option<Time>,
}

impl Moment {
    /// The device has no clock that it can trust.
    pub const UNKNOWN: Moment = Moment { now: None };

    /// A moment at `ms` milliseconds since 1970.
    pub const fn new(ms: u64) -> Self {
        Self { now: Some(Time::from_clock_ms(ms)) }
    }

    /// The same moment, by a clock that is `ms` milliseconds ahead.
    pub(crate) fn moved_by(self, ms: i64) -> Self {
        let moved = |now: Time| Time::from_clock_ms(now.as_ms().saturating_add_signed(ms));
        Self { now: self.now.map(moved) }
    }
}
