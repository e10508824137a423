//! What an aggregator may waste.
//!
//! A hostile or broken aggregator can make a device spend: it takes connections and drops them, sends the same again
//! and again, never acknowledges, floods it with messages that say nothing. All of that looks alike from here: bytes go
//! by, and nothing comes of them. So bytes are counted against what came of them, and whoever wastes a window is left
//! for a while.

use std::time::Duration;

use crate::backoff::Backoff;

/// Bytes that may be spent while nothing comes of them: a window. What waits to be sent is added twice.
pub const WASTE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes against their use.
#[derive(Debug)]
pub(crate) struct Meter {
    wasted: u64,
    /// Transactions since the last acknowledgement.
    written: u64,
    pauses: Backoff,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self { wasted: 0, written: 0, pauses: Backoff::new(PAUSE_FIRST, PAUSE_LAST) }
    }

    pub(crate) fn spend(&mut self, ip_bytes: u64) {
        self.wasted = self.wasted.saturating_add(ip_bytes);
    }

    /// This side made a transaction.
    pub(crate) fn note_written(&mut self) {
        self.written = self.written.saturating_add(1);
    }

    /// The aggregator confirmed own writes that it had not confirmed before. What that may have cost is counted in this
    /// side's writes, so no aggregator can make it more.
    pub(crate) fn note_acknowledged(&mut self) {
        self.pauses.reset();
        let worth = ACKNOWLEDGED_WORTH + std::mem::take(&mut self.written).saturating_mul(WRITE_WORTH);
        self.wasted = self.wasted.saturating_sub(worth);
    }

    /// Half a window is gone: time to ask the aggregator for an acknowledgement, if there is something to confirm.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.wasted > WASTE_BYTES_MAX / 2
    }

    /// A frame changed the document.
    pub(crate) fn note_changed(&mut self, frame_len: usize) {
        self.wasted = self.wasted.saturating_sub(2 * frame_len as u64 + CHANGED_WORTH);
    }

    /// How long to leave the aggregator alone, if it has wasted too much while so many bytes of content wait.
    pub(crate) fn pause(&mut self, backlog_bytes: usize, random: u64) -> Option<Duration> {
        if self.wasted <= WASTE_BYTES_MAX + 2 * backlog_bytes as u64 {
            return None;
        }
        // The next attempt has a quarter of a window until something comes of it.
        self.wasted = WASTE_BYTES_MAX / 4 * 3;
        Some(self.pauses.next(random))
    }
}

/// What an acknowledgement of own writes may have cost, in bytes of IP: a handshake.
const ACKNOWLEDGED_WORTH: u64 = 4096;
/// What a transaction may have cost, in bytes of IP: a datagram and what answers it.
const WRITE_WORTH: u64 = 1536;
/// What a frame with news may have cost beside its own length, in bytes of IP.
const CHANGED_WORTH: u64 = 512;
/// The first pause after a wasted window.
const PAUSE_FIRST: Duration = Duration::from_secs(3600);
/// The longest one.
const PAUSE_LAST: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_pays_for_itself_and_waste_does_not() {
        let mut meter = Meter::new();
        for _ in 0..10_000 {
            meter.spend(260);
            meter.note_written();
            meter.note_acknowledged();
            meter.spend(1_300);
            meter.note_changed(1_200);
        }
        assert_eq!(meter.pause(0, 0), None);
        meter.spend(WASTE_BYTES_MAX + 1);
        assert_eq!(meter.pause(100_000, 0), None, "much waits to be sent");
        assert_eq!(meter.pause(0, 0), Some(PAUSE_FIRST));
        meter.spend(WASTE_BYTES_MAX / 4);
        assert_eq!(meter.pause(0, 0), None);
        meter.spend(1);
        assert_eq!(meter.pause(0, 0), Some(2 * PAUSE_FIRST));
    }
}
