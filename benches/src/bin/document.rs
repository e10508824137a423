//! Prints what documents cost.

use benches::document::{self, Options};
use benches::systems::GODWIT;
use benches::workload::ALLOCATOR;
use clap::Parser;
use stats_alloc::StatsAlloc;

#[global_allocator]
static GLOBAL: &StatsAlloc<std::alloc::System> = ALLOCATOR;

/// What a document costs in godwit: payload bytes of sync (both ways, no transport), heap, merges per second, code size.
/// Bytes are exact and the same on every machine; rates are this machine's. Beside its rivals: `benches/rivals`.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

const EXAMPLES: &str = "Examples:
  cargo run --release -p benches --bin document
  cargo run --release -p benches --bin document -- --skip binary_size     (which builds for minutes the first time)
  cargo run --release -p benches --bin document -- --workload full_sync --workload idle_reconnect
  cargo run --release -p benches --bin document -- --json > document.jsonl";

const NOTES: &str = "
pass, MISS: whether it reaches its target. Every sync ends with equal JSON on both sides.
Rates are this machine's, at this moment. Bytes of its rivals, and what is not comparable: `benches/rivals`.";

fn main() -> anyhow::Result<()> {
    document::print(&Arguments::parse().options, &[GODWIT], NOTES)
}
