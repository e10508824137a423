//! Runs many random histories of replicas and says which seeds fail.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use sim::history::{Tally, Variant, run, sweep};

/// Random histories of replicas: writes, crashes, lost and restored storage, replays. All must converge.
///
/// A failing seed fails again: `SIM_SEED=<seed> histories --variant <name>` runs that one alone.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Histories, over all variants.
    #[arg(long, default_value_t = 10_000)]
    runs: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only this variant.
    #[arg(long, value_parser = variant)]
    variant: Option<Variant>,
    /// Threads; as many as there are cores by default.
    #[arg(long)]
    threads: Option<usize>,
    /// Failures after which a variant is given up.
    #[arg(long, default_value_t = 20)]
    failures: u64,
    /// One line of JSON for each variant instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let only = std::env::var("SIM_SEED").ok().map(|seed| seed.parse::<u64>());
    let (first, runs) = match only {
        None => (options.seed, options.runs),
        Some(Ok(seed)) => (seed, 0),
        Some(Err(error)) => {
            eprintln!("SIM_SEED is not a seed: {error}");
            return ExitCode::FAILURE;
        }
    };
    let variants = options.variant.map_or(Variant::ALL.to_vec(), |variant| vec![variant]);
    let each = runs.div_ceil(variants.len() as u64).max(1);
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let threads = options.threads.unwrap_or_else(cores);
    let mut failed = false;
    for variant in variants {
        let started = Instant::now();
        let tally = with_progress(variant.name, each, |done| {
            sweep(first..first + each, threads, options.failures, done, |seed| run(seed, variant))
        });
        failed |= tally.failed > 0;
        if options.json {
            print_json(&variant, &tally, started.elapsed());
        } else {
            print_table(&variant, &tally, started.elapsed());
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Shows on a terminal how far `work` is.
fn with_progress<T: Send>(name: &str, all: u64, work: impl FnOnce(&AtomicU64) -> T + Send) -> T {
    let (done, finished) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        if std::io::stderr().is_terminal() {
            scope.spawn(|| {
                while !finished.load(Ordering::Relaxed) {
                    eprint!("\r{name}: {} of {all}", done.load(Ordering::Relaxed));
                    std::io::stderr().flush().ok();
                    thread::sleep(Duration::from_millis(200));
                }
                eprint!("\r\x1b[K");
            });
        }
        let result = work(&done);
        finished.store(true, Ordering::Relaxed);
        result
    })
}

fn print_table(variant: &Variant, tally: &Tally, took: Duration) {
    let sums = &tally.sums;
    let rate = tally.runs as f64 / took.as_secs_f64();
    println!("{:24} {:8} runs, {} failed, {rate:.0} runs/s", variant.name, tally.runs, tally.failed);
    println!(
        "{:24} writes {}, frames {}, receipts {}, restarts {} ({} on old disks), wipes {}, replays {}",
        "", sums.writes, sums.frames, sums.receipts, sums.restarts, sums.restores, sums.wipes, sums.replays
    );
    println!(
        "{:24} verified {}, forks {}, re-issued {}, ids retired {}, full batches that dropped cells {}, most rounds to heal {}",
        "", sums.verified, sums.forks, sums.late, sums.retired, sums.dropped, sums.rounds_max
    );
    if variant.small {
        println!(
            "{:24} refused for want of capacity {}, forgot to make room {}",
            "", sums.full, sums.forgotten
        );
    }
    if variant.aggregator_restores {
        println!("{:24} alarms of fingerprints, all repaired: {}", "", sums.alarms);
    }
    for (kind, (count, seed, text)) in &tally.kinds {
        println!("{:24} {count} x {kind}; SIM_SEED={seed} histories --variant {}: {text}", "", variant.name);
    }
}

fn print_json(variant: &Variant, tally: &Tally, took: Duration) {
    let failures = tally.kinds.iter().map(|(kind, (count, seed, text))| {
        json!({ "kind": kind, "count": count, "first_seed": seed, "text": text })
    });
    let line = json!({
        "variant": variant.name,
        "runs": tally.runs,
        "failed": tally.failed,
        "seconds": took.as_secs_f64(),
        "sums": tally.sums,
        "failures": failures.collect::<Vec<_>>(),
    });
    println!("{line}");
}

fn variant(name: &str) -> Result<Variant, String> {
    let names = || Variant::ALL.map(|variant| variant.name).join(", ");
    Variant::named(name).ok_or_else(|| format!("no such variant; there are: {}", names()))
}
