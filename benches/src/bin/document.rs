//! Prints what documents cost on the wire, side by side.

use std::io::Write;

use benches::{Automerge, Godwit, System, WORKLOADS};
use clap::Parser;
use serde_json::json;

/// Payload bytes of document sync, both ways, without any transport: exact, and the same on every machine.
///
/// Example: cargo run --release -p benches --bin document -- --json
#[derive(Parser)]
struct Options {
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut out = std::io::stdout().lock();
    if !options.json {
        writeln!(out, "{:<22}{:>10}{:>12}  payload bytes, both ways", "", "godwit", "automerge")?;
    }
    for workload in WORKLOADS {
        if !options.json {
            write!(out, "{:<22}", workload.name)?;
        }
        let systems: [Box<dyn System>; 2] = [Box::new(Godwit::default()), Box::new(Automerge::default())];
        for (mut system, width) in systems.into_iter().zip([10, 12]) {
            let bytes = (workload.run)(&mut *system);
            if options.json {
                let line = json!({"workload": workload.name, "system": system.name(), "bytes": bytes});
                writeln!(out, "{line}")?;
            } else {
                write!(out, "{bytes:>width$}")?;
                // The days take seconds: show each figure when it is there.
                out.flush()?;
            }
        }
        if !options.json {
            writeln!(out, "  {}", workload.what)?;
        }
    }
    if !options.json {
        writeln!(out, "\nautomerge keeps the whole history; godwit keeps the newest state of each path.")?;
    }
    Ok(())
}
