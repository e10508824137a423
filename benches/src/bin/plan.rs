//! Prints what a data plan is spent on, before it is bought.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use benches::plan::chart::{Bar, amount, svg, terminal};
use benches::plan::forecast::{CELLS_MAX, Forecast, MONTH_DAYS, Traffic};
use clap::{Parser, ValueEnum};
use runtime_linux::{parse_duration, parse_size, show_duration};
use serde_json::json;
use sim::link_profiles::Link;

/// What a device costs on a metered link: bytes a day and a month, by cause, how long a data plan lasts, and what other ways
/// would cost. A day of the traffic is played on the real replica and the real transport in virtual time, with the losses of
/// the link, and multiplied out; only MQTT's figures were measured elsewhere.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Options {
    /// What the SIM has a month: 50MB, 512KiB, 1GB.
    #[arg(long, value_name = "BYTES", value_parser = plan_size)]
    plan: u64,
    /// Time between two reports, from 1s to 1d: 30s, 15m, 1h30m.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = interval)]
    report: Duration,
    /// Values that change from report to report.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    cells: usize,
    /// The access link: cat-m1, nb-iot, lte.
    #[arg(long, value_name = "NAME", default_value = "cat-m1")]
    link: Link,
    /// Whether the operator gives the device a new address before each report, as many do after some silent minutes.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    new_address: NewAddress,
    /// Writes the bars as SVG, too.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// When the device gets a new address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NewAddress {
    /// Before each report if they are two minutes or more apart.
    Auto,
    /// Before each report.
    Each,
    /// Never.
    Never,
}

const EXAMPLES: &str = "Examples:
  cargo run --release -p benches --bin plan -- --plan 50MB --report 15m --cells 6 --link cat-m1
  cargo run --release -p benches --bin plan -- --plan 5MB --report 1h --link nb-iot --svg plan.svg
  cargo run --release -p benches --bin plan -- --plan 10MB --report 30s --new-address never --json

Each cell is a small integer. Other sizes: the README tells what values cost.";

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let Options { plan, report, cells, link, .. } = options;
    ensure!(
        (1..=CELLS_MAX).contains(&cells),
        "{cells} cells in a report: from 1 to {CELLS_MAX}; put more of them into one value"
    );
    let new_addresses = match options.new_address {
        NewAddress::Auto => report.as_secs() >= ADDRESS_KEPT_S,
        NewAddress::Each => true,
        NewAddress::Never => false,
    };
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[Kplaying days of reports every {} on {link} ..", show_duration(report));
    }
    let forecast = Forecast::play(Traffic { report, cells, link, new_addresses });
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    let title = format!("{} a month, {cells} cells every {} on {link}", amount(plan), show_duration(report));
    let (causes, instead) = (cause_bars(&forecast), instead_bars(&forecast, plan));
    if let Some(path) = &options.svg {
        let drawn = svg(&title, &[("a month, by cause", causes.clone()), ("other ways", instead.clone())]);
        std::fs::write(path, drawn).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(out, "{}", json_of(&options, &forecast, new_addresses))?;
        return Ok(());
    }
    let addresses = if new_addresses { "a new address before each report" } else { "one address" };
    writeln!(out, "{title}")?;
    writeln!(out, "{addresses}; losses, IP and UDP headers included\n")?;
    let (day, month) = (amount(forecast.day_bytes()), amount(forecast.month_bytes()));
    writeln!(out, "{day} a day, {month} in the first month ({MONTH_DAYS} days), by cause:")?;
    write!(out, "{}", terminal(&causes))?;
    writeln!(out, "\n{}", verdict(&forecast, plan))?;
    writeln!(out, "a report is known to be durable after {:.1} s on average\n", forecast.seconds)?;
    writeln!(out, "a month of other ways:")?;
    write!(out, "{}", terminal(&instead))?;
    writeln!(out, "\n{NOTE}")?;
    Ok(())
}

const NOTE: &str = "A day was played in virtual time and multiplied out. MQTT (QoS 1, TLS 1.3) was not
played: its exchanges were measured without losses (benches/rivals), and added up.";

/// What a SIM has a month. A number alone would be bytes, which nobody means.
fn plan_size(text: &str) -> Result<u64, String> {
    if text.trim_end().ends_with(|last: char| last.is_ascii_digit()) {
        return Err(format!("{text:?} has no unit: write {text}MB, for instance"));
    }
    let bytes = parse_size(text).map_err(|error| error.to_string())?;
    let is_in_range = (1_000..=1_000_000_000_000).contains(&bytes);
    is_in_range.then_some(bytes).ok_or_else(|| format!("{text:?} is out of range: from 1kB to 1000GB"))
}

/// The time between two reports.
fn interval(text: &str) -> Result<Duration, String> {
    let length = parse_duration(text).map_err(|error| error.to_string())?;
    let is_in_range = (Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&length);
    is_in_range.then_some(length).ok_or_else(|| format!("{text:?} is out of range: from 1s to 1d"))
}

/// Operators keep an address mapping of UDP for at least so long, if they follow RFC 4787 (REQ-5).
const ADDRESS_KEPT_S: u64 = 120;

fn verdict(forecast: &Forecast, plan: u64) -> String {
    let (month, days) = (forecast.month_bytes(), forecast.days(plan));
    if month <= plan {
        let share = 100.0 * month as f64 / plan as f64;
        format!("the plan lasts: {share:.1} % of it is used, it would do for {days:.0} days")
    } else {
        format!("the plan is used up after {days:.1} days: report less often, or buy {}", amount(month))
    }
}

fn cause_bars(forecast: &Forecast) -> Vec<Bar> {
    let month = forecast.month_bytes().max(1) as f64;
    let bar = |name: &str, bytes: u64| Bar {
        name: name.to_owned(),
        value: bytes,
        label: format!("{} {:>5.1} %", amount(bytes), 100.0 * bytes as f64 / month),
    };
    let set_up = bar("set-up, once", forecast.set_up_bytes);
    let causes = forecast.day.iter().map(|(cause, bytes)| bar(cause.as_str(), bytes * MONTH_DAYS));
    std::iter::once(set_up).chain(causes).collect()
}

fn instead_bars(forecast: &Forecast, plan: u64) -> Vec<Bar> {
    let share = |bytes: u64| format!("{} {:>5.1} %", amount(bytes), 100.0 * bytes as f64 / plan as f64);
    let bars = forecast.instead.iter();
    bars.map(|(name, bytes)| Bar { name: name.clone(), value: *bytes, label: share(*bytes) }).collect()
}

fn json_of(options: &Options, forecast: &Forecast, new_addresses: bool) -> serde_json::Value {
    let day: serde_json::Map<_, _> =
        forecast.day.iter().map(|(cause, bytes)| (cause.key().to_owned(), (*bytes).into())).collect();
    let instead: Vec<_> =
        forecast.instead.iter().map(|(way, bytes)| json!({"way": way, "month_bytes": bytes})).collect();
    json!({
        "plan_bytes": options.plan,
        "report_seconds": options.report.as_secs_f64(),
        "cells": options.cells,
        "link": options.link,
        "new_addresses": new_addresses,
        "set_up_bytes": forecast.set_up_bytes,
        "day_bytes": forecast.day_bytes(),
        "day_bytes_by_cause": day,
        "month_bytes": forecast.month_bytes(),
        "plan_lasts_days": (forecast.days(options.plan) * 10.0).round() / 10.0,
        "seconds": (forecast.seconds * 1_000.0).round() / 1_000.0,
        "instead": instead,
        "method": "a day in virtual time, multiplied out; mqtt from exchanges measured by the link bench",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_of_the_examples_is_read() {
        for line in EXAMPLES.lines().filter_map(|line| line.split_once(" -- ")) {
            Options::try_parse_from(["plan"].into_iter().chain(line.1.split(' '))).unwrap();
        }
    }

    #[test]
    fn a_plan_without_a_unit_is_refused_with_the_next_step() {
        let error = Options::try_parse_from(["plan", "--plan", "3"]).err().unwrap().to_string();
        assert!(error.contains("\"3\" has no unit: write 3MB, for instance"), "{error}");
        let error =
            Options::try_parse_from(["plan", "--plan", "3MB", "--link", "5g"]).err().unwrap().to_string();
        assert!(error.contains("use one of cat-m1, nb-iot"), "{error}");
    }

    #[test]
    fn amounts_and_times_are_read_or_refused_with_what_to_write() {
        assert_eq!(plan_size("1.5 GB"), Ok(1_500_000_000));
        assert_eq!(plan_size("512KiB"), Ok(524_288));
        for (text, part) in
            [("MB", "write it as 50MB"), ("-3MB", "number"), ("3m3", "no unit"), ("5B", "from 1kB to 1000GB")]
        {
            assert!(plan_size(text).unwrap_err().contains(part), "{text}");
        }
        for (text, seconds) in [("15m", 900), ("90 s", 90), ("0.5h", 1_800), ("1h30m", 5_400), ("1d", 86_400)]
        {
            assert_eq!(interval(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for (text, part) in
            [("15", "write it as 500ms"), ("-5m", "1h30m"), ("0s", "from 1s to 1d"), ("2d", "from 1s to 1d")]
        {
            assert!(interval(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn a_verdict_says_how_long_or_what_to_buy() {
        let forecast = Forecast { set_up_bytes: 4_000, day: Vec::new(), instead: Vec::new(), seconds: 0.0 };
        let day = vec![(benches::plan::forecast::Cause::Cells, 100_000)];
        let forecast = Forecast { day, ..forecast };
        let verdict = |bytes| verdict(&forecast, bytes);
        assert_eq!(verdict(6_008_000), "the plan lasts: 50.0 % of it is used, it would do for 60 days");
        assert_eq!(
            verdict(1_004_000),
            "the plan is used up after 10.0 days: report less often, or buy 3.00 MB"
        );
    }
}
