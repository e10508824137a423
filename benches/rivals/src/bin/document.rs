//! Prints what documents cost, side by side.

use benches::document::{self, Options};
use benches::workload::ALLOCATOR;
use clap::Parser;
use rivals::systems::CONTENDERS;
use stats_alloc::StatsAlloc;

#[global_allocator]
static GLOBAL: &StatsAlloc<std::alloc::System> = ALLOCATOR;

/// What a document costs in godwit and in its rivals: payload bytes of sync (both ways, no transport), heap, merges per
/// second, code size. Bytes are exact and the same on every machine; rates are worth their ratio within one run.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

const EXAMPLES: &str = "Examples, in benches/rivals:
  cargo run --release --bin document
  cargo run --release --bin document -- --skip binary_size     (which builds for minutes the first time)
  cargo run --release --bin document -- --workload full_sync --workload idle_reconnect
  cargo run --release --bin document -- --json > document.jsonl";

const NOTES: &str = "
pass, MISS: whether godwit reaches its target. Every sync ends with equal JSON on both sides, in all systems.
Rates are this machine's, at this moment: only their ratio within one run means something.
What is not comparable:
  automerge  keeps the whole history (blame, branches, undo); its sync protocol also tells each side what the other has.
             Its merge rate is that of single changes loaded, as its sync protocol waits for an answer to each message.
  loro       keeps the whole history. A shallow snapshot would shorten the days, but it cannot merge what the cloud
             changed meanwhile, so its documentation's incremental updates are used. Nothing is acknowledged.
  yrs        keeps no overwritten values (garbage collection is on), but a mark for each. Nothing is acknowledged.
  godwit     keeps the newest state of each path and no history. It checks stamps, identity and a digest of the whole,
             keeps what is durable apart from what is not, and acknowledges lazily: these bytes are in its figures.
  Who wins between concurrent writes differs: see docs/semantics.md.";

fn main() -> anyhow::Result<()> {
    document::print(&Arguments::parse().options, &CONTENDERS, NOTES)
}
