//! Simulated device-hours with everything that can go wrong, as many as asked for, on all cores.
//!
//! `cargo run --release -p sim --bin fleet_hours -- --device-hours 250000`
//!
//! Each scenario follows from its seed. The exit code is 1 when one fails; the seed is printed, and
//! `--seed N --device-hours 1` runs it again.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use sim::world::fleet::{self, Failure, Options, Tally};

/// Simulates fleets of devices with all faults, and checks that they converge and lose nothing.
#[derive(Debug, Parser)]
struct Args {
    /// Devices times virtual hours to simulate.
    #[arg(long, default_value_t = 250_000)]
    device_hours: u64,
    /// Seed of the first scenario; the others follow it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Virtual hours of a scenario before all heals.
    #[arg(long, default_value_t = 24)]
    hours: u32,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Prints the result as one JSON object on the last line.
    #[arg(long)]
    json: bool,
}

struct Shared {
    next_seed: AtomicU64,
    device_hours: AtomicU64,
    stop: AtomicBool,
    outcome: Mutex<(Tally, Vec<Failure>)>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let options = Options { hours: args.hours, ..Options::default() };
    let shared = Shared {
        next_seed: AtomicU64::new(args.seed),
        device_hours: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        outcome: Mutex::new((Tally::default(), Vec::new())),
    };
    let begun = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&shared, &options, &args))).collect();
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(200));
            show_progress(&shared, begun, args.device_hours);
        }
    });
    let (tally, failures) = shared.outcome.into_inner().expect("no worker panicked");
    report(&tally, &failures, begun.elapsed(), args.json);
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn work(shared: &Shared, options: &Options, args: &Args) {
    while !shared.stop.load(Ordering::Relaxed) {
        let seed = shared.next_seed.fetch_add(1, Ordering::Relaxed);
        let result = fleet::run(seed, options);
        let mut outcome = shared.outcome.lock().expect("no worker panicked");
        match result {
            Ok(tally) => {
                outcome.0.add(&tally);
                let done = shared.device_hours.fetch_add(tally.device_hours, Ordering::Relaxed);
                if done + tally.device_hours >= args.device_hours {
                    shared.stop.store(true, Ordering::Relaxed);
                }
            }
            Err(failure) => {
                outcome.1.push(failure);
                shared.stop.fetch_or(!args.keep_going, Ordering::Relaxed);
            }
        }
    }
}

fn show_progress(shared: &Shared, begun: Instant, wanted: u64) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let done = shared.device_hours.load(Ordering::Relaxed);
        let seconds = begun.elapsed().as_secs();
        // Progress is a courtesy: nothing depends on its being shown.
        let _ = write!(err, "\r{done} of {wanted} device-hours, {seconds} s ");
        let _ = err.flush();
    }
}

fn report(tally: &Tally, failures: &[Failure], took: Duration, json: bool) {
    let minutes = took.as_secs_f64() / 60.0;
    let rate = (tally.device_hours as f64 / minutes) as u64;
    println!(
        "\n{} device-hours in {} scenarios, {:.1} s: {rate} device-hours a minute",
        tally.device_hours,
        tally.runs,
        took.as_secs_f64()
    );
    println!(
        "{} updates, {} acknowledged; {} connections, {} datagrams",
        tally.updates, tally.acknowledged, tally.connections, tally.datagrams
    );
    println!(
        "{} crashes, {} copies that were old ones, {} late writes",
        tally.crashes, tally.forks, tally.late_writes
    );
    println!(
        "all equal at most {} s, and at most {} frames for a device, after all had healed",
        tally.converged_after_max_s, tally.frames_to_converge_max
    );
    println!("divergences: {}", failures.len());
    for failure in failures {
        println!("{failure}\nagain: --seed {} --device-hours 1", failure.seed);
    }
    if json {
        let object = serde_json::json!({
            "tally": tally,
            "divergences": failures.len(),
            "failed_seeds": failures.iter().map(|failure| failure.seed).collect::<Vec<_>>(),
            "seconds": took.as_secs_f64(),
            "device_hours_per_minute": rate,
        });
        println!("{object}");
    }
}
