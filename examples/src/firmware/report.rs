//! The end of a run: a table for people, or the same as JSON.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::error::FirmwareError;

/// What one life of the firmware has printed: names and numbers in hexadecimal.
#[derive(Debug, Default)]
pub(crate) struct Figures(HashMap<String, u64>);

impl Figures {
    /// Takes a line of the console; false when it is no figure.
    pub(crate) fn take(&mut self, line: &str) -> bool {
        let Some((name, number)) = line.split_once('=') else { return false };
        let Ok(number) = u64::from_str_radix(number, 16) else { return false };
        self.0.insert(name.to_owned(), number);
        true
    }

    /// # Errors
    /// [`FirmwareError::Figure`] when it is not there.
    pub(crate) fn number(&self, name: &'static str) -> Result<u64, FirmwareError> {
        self.0.get(name).copied().ok_or(FirmwareError::Figure { name })
    }
}

/// What a run has shown. Sizes are in bytes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    /// Both copies are equal.
    pub converged: bool,
    /// Of both.
    pub fingerprint: String,
    /// Cells of the document at the end, and the bytes of their paths and values.
    pub cells: u64,
    /// See `cells`.
    pub cell_bytes: u64,
    /// Code, constants and initial values of the whole program.
    pub flash_bytes: u64,
    /// Variables, the replica and the stand-in for flash included.
    pub static_ram_bytes: u64,
    /// The replica, with capacity for 48 cells, 2 KiB of paths and values, 4 replicas and two sessions.
    pub replica_ram_bytes: u64,
    /// High-water mark of the stack, the higher one of both lives.
    pub stack_used_bytes: u64,
    /// What the stack may have.
    pub stack_room_bytes: u64,
    /// Frames that the device sent, over both lives.
    pub frames_up: u64,
    /// Their bytes.
    pub payload_up_bytes: u64,
    /// Frames that the device received.
    pub frames_down: u64,
    /// Their bytes.
    pub payload_down_bytes: u64,
    /// Bytes that the device put on the line.
    pub line_up_bytes: u64,
    /// Frames that the device sent once more.
    pub frames_repeated: u64,
    /// Sessions that the device began.
    pub sessions: u64,
    /// What the device dropped or refused.
    pub dropped: Dropped,
    /// Measurements that the device made while the line was cut.
    pub offline_updates: u64,
    /// Bytes that the device wrote to its log.
    pub log_written_bytes: u64,
    /// Pages that it erased.
    pub log_erasures: u64,
    /// How long it all took, in seconds.
    pub elapsed_s: f64,
}

/// What came in on the device's line and was not taken.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Dropped {
    /// No packet, or a wrong checksum.
    pub damaged: u64,
    /// Longer than any packet.
    pub too_long: u64,
    /// Of a connection that was left.
    pub stale: u64,
    /// Frames that had come before.
    pub duplicate: u64,
    /// Frames with a good checksum that are none of the protocol.
    pub refused: u64,
}

impl Summary {
    /// # Errors
    /// [`FirmwareError::Figure`] when the firmware did not report all.
    pub(crate) fn new(
        lives: &[Figures],
        offline_updates: u64,
        elapsed_s: f64,
    ) -> Result<Self, FirmwareError> {
        let last = |name| lives.last().ok_or(FirmwareError::Figure { name })?.number(name);
        let sum = |name| lives.iter().map(|life| life.number(name)).sum::<Result<u64, _>>();
        let most = |name| {
            lives.iter().try_fold(0, |most: u64, life| Ok::<_, FirmwareError>(life.number(name)?.max(most)))
        };
        Ok(Self {
            converged: true,
            fingerprint: format!("{:016x}", last("fingerprint")?),
            cells: last("cells")?,
            cell_bytes: last("cell_bytes")?,
            flash_bytes: last("flash")?,
            static_ram_bytes: last("static_ram")?,
            replica_ram_bytes: last("replica_ram")?,
            stack_used_bytes: most("stack_used")?,
            stack_room_bytes: last("stack_room")?,
            frames_up: sum("frames_out")?,
            payload_up_bytes: sum("frame_bytes_out")?,
            frames_down: sum("frames_in")?,
            payload_down_bytes: sum("frame_bytes_in")?,
            line_up_bytes: sum("line_bytes_out")?,
            frames_repeated: sum("repeated")?,
            sessions: sum("sessions")?,
            dropped: Dropped {
                damaged: sum("damaged")?,
                too_long: sum("too_long")?,
                stale: sum("stale")?,
                duplicate: sum("duplicate")?,
                refused: sum("refused")?,
            },
            offline_updates,
            log_written_bytes: sum("flash_written")?,
            log_erasures: sum("flash_erasures")?,
            elapsed_s,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dropped { damaged, too_long, stale, duplicate, refused } = self.dropped;
        writeln!(f, "{:<44} {:>9}", "on the device (Cortex-M3, no heap)", "bytes")?;
        for (what, bytes) in [
            ("flash: the whole program", self.flash_bytes),
            ("static RAM", self.static_ram_bytes),
            ("  of which the replica", self.replica_ram_bytes),
            ("  of which a stand-in for flash", LOG_LEN),
            ("stack, high-water mark", self.stack_used_bytes),
            ("frames to the host", self.payload_up_bytes),
            ("frames from the host", self.payload_down_bytes),
            ("on the line to the host", self.line_up_bytes),
            ("written to flash", self.log_written_bytes),
        ] {
            writeln!(f, "{what:<44} {bytes:>9}")?;
        }
        writeln!(
            f,
            "\nframes: {} to the host, {} from it; sessions: {}; pages of flash erased: {}",
            self.frames_up, self.frames_down, self.sessions, self.log_erasures,
        )?;
        writeln!(
            f,
            "dropped on the line: {damaged} damaged, {too_long} too long, {stale} stale, {duplicate} duplicate; \
             {refused} refused by the core; frames sent once more: {}",
            self.frames_repeated,
        )?;
        writeln!(
            f,
            "measurements while the line was cut: {}; restarts in the middle: 1",
            self.offline_updates
        )?;
        write!(
            f,
            "converged: fingerprint {} at both ends, {} cells of {} bytes, after {:.1} s",
            self.fingerprint, self.cells, self.cell_bytes, self.elapsed_s,
        )
    }
}

/// Bytes of the firmware's memory that stand in for flash.
const LOG_LEN: u64 = 8192;
