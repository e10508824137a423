//! Prints what documents cost, side by side.

use std::io::{IsTerminal, Write};

use anyhow::{bail, ensure};
use benches::binary_size::{self, Probe};
use benches::report::{Row, json_line, table_head, table_line};
use benches::systems::Name;
use benches::workload::{ALLOCATOR, Figure, Target, WORKLOADS, Workload, targets};
use clap::Parser;
use stats_alloc::StatsAlloc;

#[global_allocator]
static GLOBAL: &StatsAlloc<std::alloc::System> = ALLOCATOR;

/// What a document costs in godwit and in its rivals: payload bytes of sync (both ways, no transport), heap, merges per
/// second, code size. Bytes are exact and the same on every machine; rates are worth their ratio within one run.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Options {
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Only this workload. May be given several times.
    #[arg(long, value_name = "NAME")]
    workload: Vec<String>,
    /// Without this workload. May be given several times.
    #[arg(long, value_name = "NAME")]
    skip: Vec<String>,
}

const EXAMPLES: &str = "Examples:
  cargo run --release -p benches --bin document
  cargo run --release -p benches --bin document -- --skip binary_size     (which builds for minutes the first time)
  cargo run --release -p benches --bin document -- --workload full_sync --workload idle_reconnect
  cargo run --release -p benches --bin document -- --json > document.jsonl";

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
    let options = Options::parse();
    let known: Vec<&str> = WORKLOADS.iter().map(|w| w.name).chain([binary_size::NAME]).collect();
    for name in options.workload.iter().chain(&options.skip) {
        if !known.contains(&name.as_str()) {
            bail!("there is no workload {name}; there are: {}", known.join(", "));
        }
    }
    let wanted = |name: &str| {
        (options.workload.is_empty() || options.workload.iter().any(|w| w == name))
            && !options.skip.iter().any(|s| s == name)
    };
    let mut out = std::io::stdout().lock();
    if !options.json {
        table_head(&mut out)?;
    }
    let mut notes = Vec::new();
    let mut before_day = None;
    for workload in WORKLOADS.iter().filter(|w| wanted(w.name)) {
        let figures = play(workload, options.json, &mut out, &mut notes)?;
        let target = match (workload.name, before_day) {
            // After a day the heap must be what it was before.
            ("heap_after_day", Some(before)) => Some(Target::AtMost(before)),
            _ => targets(workload.name),
        };
        if workload.name == "heap_before_day" {
            before_day = figures[0].map(Figure::number);
        }
        if !options.json {
            table_line(&mut out, workload.name, &figures, target, workload.what)?;
        }
    }
    if wanted(binary_size::NAME) {
        sizes(options.json, &mut out, &mut notes)?;
    }
    if !options.json {
        for note in notes {
            writeln!(out, "  {note}")?;
        }
        writeln!(out, "{NOTES}")?;
    }
    Ok(())
}

fn play(
    workload: &Workload,
    json: bool,
    out: &mut impl Write,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<Option<Figure>>> {
    let mut figures = Vec::new();
    let mut document = None;
    for name in Name::ALL {
        // The days take seconds: whoever looks on sees what is being played.
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{}: {} ..", workload.name, name.as_str());
        }
        let measured = (workload.run)(name);
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        if let Some(json) = measured.json {
            let first = document.get_or_insert_with(|| json.clone());
            ensure!(*first == json, "{} has another document after {}", name.as_str(), workload.name);
        }
        if json {
            json_line(
                out,
                Row { workload: workload.name, system: name, figure: measured.figure, target: None },
            )?;
        }
        notes.extend(measured.note.map(|note| format!("{}: {note}", workload.name)));
        figures.push(Some(measured.figure));
    }
    Ok(figures)
}

fn sizes(json: bool, out: &mut impl Write, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let mut failed = 0;
    for target in ["x86_64", "thumbv7m"] {
        let mut figures = [None; Name::ALL.len()];
        let mut limit = None;
        for probe in Probe::ALL.into_iter().filter(|probe| probe.target() == target) {
            let name = probe.system();
            eprintln!(
                "{}: {} for {target} (the first time this takes minutes)",
                binary_size::NAME,
                name.as_str()
            );
            match probe.measure() {
                Ok(bytes) => {
                    let figure = Figure::Bytes(bytes);
                    if json {
                        json_line(
                            out,
                            Row { workload: binary_size::NAME, system: name, figure, target: Some(target) },
                        )?;
                    }
                    let at = Name::ALL.iter().position(|n| *n == name).unwrap_or(0);
                    figures[at] = Some(figure);
                }
                Err(error) => {
                    failed += 1;
                    notes.push(format!("{}: {error:#}", binary_size::NAME));
                }
            }
            if name == Name::Godwit {
                limit = Some(probe.limit());
            }
        }
        if !json {
            let workload = format!("{} {target}", binary_size::NAME);
            table_line(out, &workload, &figures, limit, what_of(target))?;
        }
    }
    if json && failed > 0 {
        bail!("{}", notes.join("\n"));
    }
    Ok(())
}

fn what_of(target: &str) -> &'static str {
    match target {
        "x86_64" => "added to a stripped executable built for size",
        _ => "flash of a whole firmware image, session and start-up included",
    }
}
