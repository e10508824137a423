//! Prints how costs grow.

use std::io::{IsTerminal, Write as _};

use anyhow::ensure;
use benches::scale::{Cost, WORKLOADS, Workload};
use clap::Parser;
use serde_json::json;

/// How costs grow with cells, writes and members: microseconds of an operation, or operations a second, at each size.
///
/// Times are this machine's: read the growth from one size to the next.
#[derive(Parser)]
#[command(after_help = "Examples:
  cargo run --release -p benches --bin scale
  cargo run --release -p benches --bin scale -- --json --workload fan_out --workload transaction
  cargo run --release -p benches --bin scale -- --workload set --size 1000 --size 1000000")]
struct Options {
    /// One JSON object a line instead of a table: workload, n, and microseconds or per_second
    #[arg(long)]
    json: bool,
    /// Only these; all without it
    #[arg(long, value_name = "NAME")]
    workload: Vec<String>,
    /// Other sizes than the usual ones; the first is what the others are compared with
    #[arg(long, value_name = "NUMBER")]
    size: Vec<usize>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let names = || WORKLOADS.iter().map(|workload| workload.name).collect::<Vec<_>>().join(", ");
    for name in &options.workload {
        ensure!(
            WORKLOADS.iter().any(|workload| workload.name == name),
            "no workload {name:?}: there are {}",
            names()
        );
    }
    ensure!(options.size.iter().all(|size| *size > 0), "a size is at least 1");
    let is_wanted = |workload: &&Workload| {
        options.workload.is_empty() || options.workload.iter().any(|name| name == workload.name)
    };
    for workload in WORKLOADS.iter().filter(is_wanted) {
        let sizes = if options.size.is_empty() { workload.sizes } else { &options.size };
        print(workload, sizes, options.json)?;
    }
    Ok(())
}

fn print(workload: &Workload, sizes: &[usize], as_json: bool) -> anyhow::Result<()> {
    let Workload { name, unit, what, measure, .. } = workload;
    let mut out = std::io::stdout().lock();
    if !as_json {
        writeln!(out, "{name}: {what}")?;
    }
    let mut first = None;
    for n in sizes {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{name}, {n} {unit} ..");
        }
        let cost = measure(*n)?;
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        let (key, number) = match cost {
            Cost::Each(spent) => ("microseconds", spent.as_secs_f64() * 1e6),
            Cost::PerSecond(rate) => ("per_second", rate),
        };
        let ratio = number / *first.get_or_insert(number);
        if as_json {
            let rounded = (number * 1_000.0).round() / 1_000.0;
            writeln!(
                out,
                "{}",
                json!({"workload": name, "n": n, key: rounded, "ratio": (ratio * 100.0).round() / 100.0})
            )?;
        } else {
            writeln!(out, "  {n:>8} {unit:<9}{number:>14.3} {key:<13}{ratio:>8.2} x")?;
        }
        out.flush()?;
    }
    Ok(())
}
