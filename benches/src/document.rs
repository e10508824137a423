//! The program that plays the workloads on documents and prints what they cost, for as many systems as it is given.

use std::io::{IsTerminal, Write};

use anyhow::{bail, ensure};

use crate::binary_size::{self, Probe, THUMBV7M, X86_64};
use crate::report::{Row, json_line, table_head, table_line};
use crate::systems::{Contender, GODWIT};
use crate::workload::{Figure, Target, WORKLOADS, Workload, targets};

/// What it is asked for.
#[derive(Debug, clap::Args)]
pub struct Options {
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

/// Plays what `options` ask for on `contenders`, ours first, and prints it with `notes_below`.
///
/// # Errors
/// When there is no such workload, two systems end with different documents, or standard output cannot be written.
pub fn print(options: &Options, contenders: &[Contender], notes_below: &str) -> anyhow::Result<()> {
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
        table_head(&mut out, contenders.iter().map(|who| who.name))?;
    }
    let mut notes = Vec::new();
    let mut before_day = None;
    for workload in WORKLOADS.iter().filter(|w| wanted(w.name)) {
        let figures = play(workload, contenders, options.json, &mut out, &mut notes)?;
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
        sizes(contenders, options.json, &mut out, &mut notes)?;
    }
    if !options.json {
        for note in notes {
            writeln!(out, "  {note}")?;
        }
        writeln!(out, "{notes_below}")?;
    }
    Ok(())
}

fn play(
    workload: &Workload,
    contenders: &[Contender],
    json: bool,
    out: &mut impl Write,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<Option<Figure>>> {
    let mut figures = Vec::new();
    let mut document = None;
    for who in contenders {
        // The days take seconds: whoever looks on sees what is being played.
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{}: {} ..", workload.name, who.name);
        }
        let measured = (workload.run)(*who);
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        if let Some(json) = measured.json {
            let first = document.get_or_insert_with(|| json.clone());
            ensure!(*first == json, "{} has another document after {}", who.name, workload.name);
        }
        if json {
            json_line(
                out,
                Row { workload: workload.name, system: who.name, figure: measured.figure, target: None },
            )?;
        }
        notes.extend(measured.note.map(|note| format!("{}: {note}", workload.name)));
        figures.push(Some(measured.figure));
    }
    Ok(figures)
}

fn sizes(
    contenders: &[Contender],
    json: bool,
    out: &mut impl Write,
    notes: &mut Vec<String>,
) -> anyhow::Result<()> {
    let mut failed = 0;
    for target in [X86_64, THUMBV7M] {
        let mut figures = vec![None; contenders.len()];
        let mut limit = None;
        for (who, figure) in contenders.iter().zip(&mut figures) {
            let Some(probe) = Probe::of(who.name, target) else { continue };
            let name = who.name;
            eprintln!("{}: {name} for {target} (the first time this takes minutes)", binary_size::NAME);
            match probe.measure() {
                Ok(bytes) => {
                    let bytes = Figure::Bytes(bytes);
                    if json {
                        let workload = binary_size::NAME;
                        json_line(out, Row { workload, system: name, figure: bytes, target: Some(target) })?;
                    }
                    *figure = Some(bytes);
                }
                Err(error) => {
                    failed += 1;
                    notes.push(format!("{}: {error:#}", binary_size::NAME));
                }
            }
            if name == GODWIT.name {
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
        X86_64 => "added to a stripped executable built for size",
        _ => "flash of a whole firmware image, session and start-up included",
    }
}
