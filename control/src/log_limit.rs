//! A fault that comes again and again gets one line a minute.

use std::time::{Duration, Instant};

/// Decides whether a repeated fault is logged now. One for each kind of fault.
///
/// ```
/// use std::time::{Duration, Instant};
/// let (mut limit, start) = (control::LogLimit::default(), Instant::now());
/// assert_eq!(limit.note(start), Some(1));
/// assert_eq!(limit.note(start + Duration::from_secs(1)), None);
/// assert_eq!(limit.note(start + Duration::from_secs(61)), Some(2));
/// ```
#[derive(Debug, Default)]
pub struct LogLimit {
    logged_at: Option<Instant>,
    unlogged: u64,
}

impl LogLimit {
    /// Notes that the fault has happened. If it is to be logged now: how often it has happened since the last line, this
    /// time included.
    pub fn note(&mut self, now: Instant) -> Option<u64> {
        self.unlogged += 1;
        if self.logged_at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

/// The time from one line to the next.
const PAUSE: Duration = Duration::from_secs(60);
