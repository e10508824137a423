//! What the run has shown, as lines of `name=number` on the host's console.

use device_io::FlashLog;

use crate::board::say;
use crate::device::Pump;
use crate::figures::Figures;
use crate::line::Line;

/// Prints everything that is counted or measured here.
pub(crate) fn print(pump: &Pump, line: &Line, flash: &FlashLog<'_>) {
    let figures = Figures::measure();
    let (link, sessions, refused) = line.counters();
    let (flash_bytes, flash_erasures) = flash.wear();
    let size = pump.document().size();
    for (name, number) in [
        ("flash", figures.flash as u64),
        ("static_ram", figures.static_ram as u64),
        ("stack_used", figures.stack_used as u64),
        ("stack_room", figures.stack_room as u64),
        ("replica_ram", size_of::<Pump>() as u64),
        ("cells", size.cells as u64),
        ("cell_bytes", size.bytes as u64),
        ("frames_in", link.frames_in.into()),
        ("frame_bytes_in", link.frame_bytes_in.into()),
        ("frames_out", link.frames_out.into()),
        ("frame_bytes_out", link.frame_bytes_out.into()),
        ("line_bytes_out", link.line_bytes_out.into()),
        ("damaged", link.damaged.into()),
        ("too_long", link.too_long.into()),
        ("stale", link.stale.into()),
        ("duplicate", link.duplicate.into()),
        ("repeated", link.repeated.into()),
        ("refused", refused.into()),
        ("sessions", sessions.into()),
        ("flash_written", flash_bytes.into()),
        ("flash_erasures", flash_erasures.into()),
        ("replica", pump.id().get()),
        ("fingerprint", pump.document().fingerprint()),
    ] {
        say(name);
        say("=");
        say_hexadecimal(number);
        say("\n");
    }
    say("end\n");
}

/// In hexadecimal, because dividing 64-bit numbers takes a routine of its own.
fn say_hexadecimal(number: u64) {
    let mut digits = [0; 16];
    for (index, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (60 - 4 * index)) as usize & 15];
    }
    say(core::str::from_utf8(&digits).expect("they are digits"));
}
