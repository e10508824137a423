//! How long to wait before the next attempt.

use std::time::Duration;

/// Pauses that double, with jitter, so that a fleet does not come back in step.
///
/// The pauses are `first`, twice that, and so on up to `last`, each made shorter by a random part of up to a half.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    failures: u32,
}

impl Backoff {
    /// Pauses from `first` to `last`.
    pub fn new(first: Duration, last: Duration) -> Self {
        Self { first, last: last.max(first), failures: 0 }
    }

    /// The pause after one more failure. `random` is 64 fresh random bits.
    pub fn next(&mut self, random: u64) -> Duration {
        let doubled = 1_u32.checked_shl(self.failures).and_then(|factor| self.first.checked_mul(factor));
        self.failures = self.failures.saturating_add(1).min(FAILURES_COUNTED);
        let full = doubled.unwrap_or(self.last).min(self.last);
        let part = (random >> 32) as f64 / f64::from(u32::MAX);
        full.mul_f64(1.0 - part / 2.0)
    }

    /// An attempt went well: the next pause is the first one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// Failures beyond this number no longer change the pause.
const FAILURES_COUNTED: u32 = 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_last_one() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 300 * second);
        let pauses: Vec<u64> = (0..12).map(|_| backoff.next(0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        backoff.reset();
        assert_eq!(backoff.next(u64::MAX), second / 2, "the jitter takes up to a half");
        (0..100).for_each(|_| assert!(backoff.next(1 << 63) <= 300 * second));
    }
}
