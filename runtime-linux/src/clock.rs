//! The system's clock, as far as it can be trusted.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crdt_core::Time;

/// What the engine knows of time: it reads no clock itself.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For pauses and timeouts.
    pub at: Instant,
    /// For stamps; `None` when the device has no clock that can be trusted.
    pub wall: Option<Time>,
}

impl Now {
    /// Reads the system's clocks. A wall clock outside of the years 2025 to 2099 is one that was never set, or a broken
    /// one; then stamps go on from the highest one seen, which keeps their order.
    pub fn read() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let wall = wall.and_then(|since| u64::try_from(since.as_millis()).ok()).and_then(trusted);
        Self { at: Instant::now(), wall }
    }
}

/// The time of a clock that shows `ms`, if it can be right.
fn trusted(ms: u64) -> Option<Time> {
    (TRUSTED_FROM_MS..TRUSTED_UNTIL_MS).contains(&ms).then(|| Time::from_clock_ms(ms))
}

/// 2025-01-01: before this program was written. In milliseconds since 1970.
const TRUSTED_FROM_MS: u64 = 1_735_689_600_000;
/// 2100-01-01, in milliseconds since 1970.
const TRUSTED_UNTIL_MS: u64 = 4_102_444_800_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_not_trusted() {
        assert_eq!(trusted(0), None);
        assert_eq!(trusted(TRUSTED_FROM_MS - 1), None);
        assert_eq!(trusted(1_800_000_000_000), Time::from_ms(1_800_000_000_000));
        assert_eq!(trusted(u64::MAX), None);
        assert!(Now::read().wall.is_some(), "this machine's clock is set");
    }
}
