//! A month of a fleet in virtual time: what each device costs, how soon its reports are safe, how long its radio is on.
//!
//! `cargo run --release -p sim --bin month -- --devices 100 --days 30 --link cat-m1 --report 15m --json`
//!
//! The devices are spread over worlds of at most 25, each with an aggregator of its own, which run on all cores. The same
//! options and seed give the same figures. The exit code is 1 when not everyone has the same in the end, or anything else
//! that must hold does not; it is 2 for options that make no sense.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use sim::coverage::Coverage;
use sim::link_profiles::Link;
use sim::mobility::MobilityProfile;
use sim::nat::NatProfile;
use sim::outages::{Length, Schedule};
use sim::radio::Sleep;
use sim::world::fleet::Cause;
use sim::world::month::{self, DeviceMonth, Options, Outcome, Surroundings};

/// Simulates a month of a fleet and prints what it cost.
#[derive(Debug, Parser)]
struct Args {
    /// How many devices.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    /// How many days.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// The link: cat-m1, nb-iot, lte or loopback.
    #[arg(long, default_value = "cat-m1")]
    link: Link,
    /// From report to report, as in 15m.
    #[arg(long, default_value = "15m")]
    report: Length,
    /// How many cells a report changes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    cells: u32,
    /// Each report asks for an acknowledgement of its own.
    #[arg(long)]
    receipts: bool,
    /// The extended cycle of the radio (eDRX) in milliseconds, as in 81920.
    #[arg(long, conflicts_with = "psm")]
    edrx: Option<u64>,
    /// Power saving mode: how long the radio listens after a connection, and how often it updates, as in 10s,24h.
    #[arg(long, value_parser = parse_power_saving)]
    psm: Option<Sleep>,
    /// Coverage: normal, robust, extreme, or walk, which changes each hour in the mean.
    #[arg(long, default_value = "normal", value_parser = parse_surroundings)]
    coverage: Surroundings,
    /// The devices are on the road.
    #[arg(long)]
    vehicles: bool,
    /// How long the carrier's NAT remembers a silent device, as in 60s; off for none.
    #[arg(long, default_value = "60s", value_parser = parse_nat)]
    nat: NatTimeout,
    /// A file that says when the devices are cut off.
    #[arg(long)]
    outages: Option<PathBuf>,
    /// Everything follows from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// `None` for no NAT at all.
#[derive(Clone, Copy, Debug)]
struct NatTimeout(Option<Length>);

fn main() -> ExitCode {
    let args = Args::parse();
    let options = match options(&args) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    match simulate(&args, &options) {
        Ok(outcome) => {
            report(&args, outcome, begun.elapsed());
            ExitCode::SUCCESS
        }
        Err(causes) => {
            for (seed, cause) in causes {
                eprintln!("world {seed}: {cause}");
            }
            if args.json {
                println!("{}", json!({ "converged": false, "seed": args.seed }));
            }
            ExitCode::FAILURE
        }
    }
}

fn options(args: &Args) -> Result<Options, String> {
    let outages = match &args.outages {
        None => Schedule::default(),
        Some(path) => {
            let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
            text.parse().map_err(|error| told(&error))?
        }
    };
    let mobility = match args.link {
        Link::NbIot => MobilityProfile::NB_IOT_VEHICLE,
        Link::CatM1 | Link::Loopback | Link::Lte => MobilityProfile::CAT_M1_VEHICLE,
    };
    let nat = |timeout: Length| NatProfile { timeout_ms: timeout.seconds() * 1_000, ..NatProfile::CARRIER };
    Ok(Options {
        days: args.days,
        link: args.link,
        sleep: args.psm.or(args.edrx.map(Sleep::extended)),
        report: args.report.duration(),
        cells: args.cells,
        wants_receipts: args.receipts,
        coverage: args.coverage,
        nat: args.nat.0.map(nat),
        mobility: args.vehicles.then_some(mobility),
        outages,
    })
}

fn parse_surroundings(text: &str) -> Result<Surroundings, String> {
    match text {
        "walk" => Ok(Surroundings::Walk(Duration::from_secs(3_600))),
        class => class.parse().map(Surroundings::Same).map_err(|_| {
            let known = Coverage::ALL.map(Coverage::name).join(", ");
            format!("use one of {known}, walk")
        }),
    }
}

fn parse_nat(text: &str) -> Result<NatTimeout, String> {
    match text {
        "off" => Ok(NatTimeout(None)),
        length => length.parse().map(|length| NatTimeout(Some(length))).map_err(|e| format!("{e}, or off")),
    }
}

fn parse_power_saving(text: &str) -> Result<Sleep, String> {
    let (active, update) = text.split_once(',').ok_or("write two lengths, as in 10s,24h")?;
    let seconds = |text: &str| text.parse().map(Length::seconds).map_err(|e| e.to_string());
    Ok(Sleep::power_saving(seconds(active)?, seconds(update)?))
}

type Failures = Vec<(u64, Box<Cause>)>;

/// Runs the worlds on all cores.
fn simulate(args: &Args, options: &Options) -> Result<Outcome, Failures> {
    let worlds = args.devices.div_ceil(WORLD_DEVICES);
    let (next, days_done) = (AtomicU32::new(0), AtomicU32::new(0));
    let results = Mutex::new((Outcome::default(), Failures::new()));
    let work = || {
        loop {
            let world = next.fetch_add(1, Ordering::Relaxed);
            if world >= worlds {
                return;
            }
            // As equal as can be.
            let count = args.devices / worlds + u32::from(world < args.devices % worlds);
            let seed = args.seed.wrapping_mul(WORLD_SEEDS).wrapping_add(world.into());
            let result = month::run(seed, count, options, || {
                days_done.fetch_add(1, Ordering::Relaxed);
            });
            let mut results = results.lock().expect("no worker panicked");
            match result {
                Ok(outcome) => {
                    results.0.devices.extend(outcome.devices);
                    results.0.receipts.extend(outcome.receipts);
                    results.0.datagrams += outcome.datagrams;
                }
                Err(cause) => results.1.push((seed, cause)),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(100));
            show_progress(days_done.load(Ordering::Relaxed), worlds * args.days);
        }
    });
    let (outcome, failures) = results.into_inner().expect("no worker panicked");
    if failures.is_empty() { Ok(outcome) } else { Err(failures) }
}

fn show_progress(done: u32, wanted: u32) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let percent = u64::from(done) * 100 / u64::from(wanted.max(1));
        // Progress is a courtesy: nothing depends on its being shown.
        let _ = write!(err, "\r{percent} % ");
        let _ = err.flush();
    }
}

/// The least, the middle, the 99th of a hundred, and the most of some numbers.
#[derive(Clone, Copy, Debug)]
struct Spread {
    min: u64,
    median: u64,
    p99: u64,
    max: u64,
}

impl Spread {
    /// By the nearest rank; all zero without numbers.
    fn of(numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut sorted: Vec<u64> = numbers.into_iter().collect();
        sorted.sort_unstable();
        let rank = |percent: usize| {
            let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(index).copied().unwrap_or(0)
        };
        Self { min: rank(0), median: rank(50), p99: rank(99), max: rank(100) }
    }

    fn json(self) -> serde_json::Value {
        json!({ "min": self.min, "median": self.median, "p99": self.p99, "max": self.max })
    }
}

fn report(args: &Args, outcome: Outcome, took: Duration) {
    let Outcome { devices, receipts, datagrams } = outcome;
    let of = |part: &dyn Fn(&DeviceMonth) -> u64| Spread::of(devices.iter().map(part));
    let sum = |part: fn(&DeviceMonth) -> u64| devices.iter().map(part).sum::<u64>();
    let seconds = |ns: u64| ns / 1_000_000_000;
    let causes: Vec<(&str, Spread)> = transport_quic::Cause::ALL
        .into_iter()
        .map(|cause| {
            let bytes = |m: &DeviceMonth| m.ledger.sent[cause].bytes + m.ledger.received[cause].bytes;
            (cause.name(), of(&bytes))
        })
        .collect();
    let latency = Spread::of(receipts.iter().map(|latency| latency.as_millis() as u64));
    // The name in JSON, that for people, and the numbers.
    let rows = [
        ("bytes", "bytes", of(&|m| m.ledger.bytes())),
        ("carried_bytes", "  carried by the link", of(&|m| m.carried_bytes)),
        (
            "radio_connected_s",
            "radio connected, s",
            of(&|m| seconds(m.radio.connected_ns + m.radio.waking_ns)),
        ),
        ("radio_transmitting_s", "radio transmitting, s", of(&|m| seconds(m.radio.transmitting_ns))),
        ("radio_reachable_s", "radio reachable, s", of(&|m| seconds(m.radio.idle_ns))),
        ("radio_unreachable_s", "radio unreachable, s", of(&|m| seconds(m.radio.power_saving_ns))),
        ("radio_wakes", "radio woken", of(&|m| m.radio.wakes)),
        ("handshakes", "handshakes", of(&|m| m.connections)),
        ("nat_renewals", "new NAT mappings", of(&|m| m.nat_renewals)),
        ("receipt_ms", "receipt after, ms", latency),
    ];
    let energy = devices.iter().map(|m| m.energy_mj.map(|mj| mj / 1_000)).collect::<Option<Vec<_>>>();
    let energy = energy.map(Spread::of);
    let per_day = devices.iter().map(|m| m.radio.connected_ns + m.radio.waking_ns).sum::<u64>()
        / (devices.len() as u64 * u64::from(args.days)).max(1);
    let device_days = u64::from(args.devices) * u64::from(args.days);
    if args.json {
        let causes: serde_json::Map<_, _> =
            causes.iter().map(|(name, spread)| ((*name).to_owned(), spread.json())).collect();
        let mut object = json!({
            "devices": args.devices,
            "days": args.days,
            "link": args.link,
            "seed": args.seed,
            "converged": true,
            "reports": sum(|m| m.reports),
            "without_receipt": sum(|m| m.without_receipt),
            "datagrams": datagrams,
            "bytes_by_cause": causes,
            "radio_connected_s_per_day": seconds(per_day),
            "energy_estimate_j": energy.map(Spread::json),
            "wall_seconds": took.as_secs_f64(),
            "device_days_per_second": (device_days as f64 / took.as_secs_f64()) as u64,
        });
        for (key, _, spread) in rows {
            object[key] = spread.json();
        }
        println!("{object}");
        return;
    }
    let mut text = String::new();
    let mut row = |name: &str, spread: Spread| {
        let Spread { min, median, p99, max } = spread;
        // A string takes everything.
        let _ = writeln!(text, "{name:<24}{min:>12}{median:>12}{p99:>12}{max:>12}");
    };
    for (key, name, spread) in rows {
        row(name, spread);
        if key == "bytes" {
            causes.iter().for_each(|(name, spread)| row(&format!("  {name}"), *spread));
        }
    }
    if let Some(energy) = energy {
        row("energy estimate, J", energy);
    }
    println!("\n{} devices for {} days on {}: all are equal in the end", args.devices, args.days, args.link);
    println!("{:<24}{:>12}{:>12}{:>12}{:>12}", "per device", "min", "median", "p99", "max");
    print!("{text}");
    println!("radio connected: {} s a day in the mean", seconds(per_day));
    println!(
        "{} reports, {} of them without a receipt yet; {datagrams} datagrams",
        sum(|m| m.reports),
        sum(|m| m.without_receipt)
    );
    println!(
        "{:.1} s: {:.0} device-days a second",
        took.as_secs_f64(),
        device_days as f64 / took.as_secs_f64()
    );
}

/// So many that the check at the end, whose cost grows with the square, is a small part.
const WORLD_DEVICES: u32 = 25;
/// Worlds of one run have neighbouring seeds; those of the next seed are far away.
const WORLD_SEEDS: u64 = 1_000_003;
