//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Runs the firmware of `examples/firmware` in QEMU (a Cortex-M3 with 64 KiB of RAM) and plays the aggregator at the
/// other end of its serial line: edits on both sides, garbage on the line, a cut, a restart in the middle. The end is a
/// proof that both copies are equal, and a table of what it took.
#[derive(Debug, Parser)]
#[command(name = "firmware_host", version, after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The firmware, as `just firmware` builds it (an ELF file).
    pub firmware: PathBuf,

    /// QEMU for 32-bit ARM.
    #[arg(long, default_value = "qemu-system-arm")]
    pub qemu: PathBuf,

    /// How long any one step may take, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub patience: u64,

    /// Decides the noise on the line and all ids.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Print one JSON object instead of the table.
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  just firmware                            build it and run it
  firmware_host target/firmware/thumbv7m-none-eabi/release/firmware --json | jq .stack_used_bytes

The exit code is 0 if both ends converged and the firmware survived everything, 1 if not, 2 if it could not be run,
3 if QEMU is not installed.";
