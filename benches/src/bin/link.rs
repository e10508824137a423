//! Prints what a metered link is charged.

use benches::link::GODWIT;
use benches::link::program::{self, Options};
use clap::Parser;

/// What a device on a metered link is charged in godwit: IP bytes, both ways, headers and acknowledgements included, in
/// virtual time, exact and the same on every machine. Beside its rivals: `benches/rivals`.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

const EXAMPLES: &str = "Examples:
  cargo run --release -p benches --bin link
  cargo run --release -p benches --bin link -- --link nb-iot
  cargo run --release -p benches --bin link -- --scenario update_warm --scenario month_2880_reports
  cargo run --release -p benches --bin link -- --json > link.jsonl";

const NOTES: &str = "
pass, MISS: whether it reaches its target. One exchange: mean, rounded up, on the link without losses; months and days with
them. Seconds (--json): virtual time until the device knew that its messages had arrived; an acknowledgement says that they
are durable, because the aggregator holds it back until then. Rivals, and what is not comparable: `benches/rivals`.";

fn main() -> anyhow::Result<()> {
    program::print(&Arguments::parse().options, &[GODWIT.into()], NOTES, &[])
}
