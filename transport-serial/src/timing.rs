//! How long a link waits, and how often it tries.

use crate::limits::{DOUBLINGS_MAX, LINE_LEN_MAX};

/// Plain data; both ends have their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// What is not answered for so long is repeated, in milliseconds; at least 1. Longer than the frames under way take on
    /// the line, with the time that the peer needs for them. Pauses double up to sixteen times this.
    pub repeat_ms: u32,
    /// Repetitions without any answer after which a connection is over. A Begin is repeated for ever.
    pub repeats_max: u8,
}

impl Timing {
    /// For a serial port of this speed, 8 bits without parity: the time of a window of four frames each way, and a quarter
    /// of a second for the peer.
    #[must_use]
    pub const fn for_baud(baud: u32) -> Self {
        // Ten bits a byte, on the line.
        let window_bits = 2 * 4 * LINE_LEN_MAX as u32 * 10;
        let baud = if baud == 0 { 1 } else { baud };
        Self { repeat_ms: PEER_MS + window_bits.saturating_mul(1_000) / baud, ..Self::LOCAL }
    }

    /// The pause before repetition `repeats`, counted from 0.
    pub(crate) fn pause_ms(self, repeats: u8) -> u32 {
        self.repeat_ms.max(1).saturating_mul(1 << repeats.min(DOUBLINGS_MAX))
    }

    const LOCAL: Self = Self { repeat_ms: 500, repeats_max: 6 };
}

impl Default for Timing {
    /// For pipes, TCP within a house and serial ports from 115,200 baud on: half a second, and 6 repetitions, which take
    /// 32 s.
    fn default() -> Self {
        Self::LOCAL
    }
}

const PEER_MS: u32 = 250;
