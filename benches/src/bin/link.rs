//! Prints what a metered link is charged, side by side.

use std::io::{IsTerminal, Write};

use anyhow::bail;
use benches::link::report::{Row, json_line, table_head, table_line};
use benches::link::{LinkSystem, Measured, SCENARIOS, namespaces};
use clap::Parser;
use sim::link_profiles::Link;

/// What a device on a metered link is charged in godwit and in its rivals: IP bytes, both ways, headers and acknowledgements
/// included. In virtual time, exact and the same on every machine, except for MQTT, which runs between two network
/// namespaces and needs root, `ip` and `mosquitto`.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Options {
    /// One JSON object a line instead of tables: scenario, system, link, ip_bytes, seconds, method.
    #[arg(long)]
    json: bool,
    /// Only this scenario. May be given several times.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Only this system: godwit, automerge, quinn, mqtt. May be given several times.
    #[arg(long, value_name = "NAME")]
    system: Vec<String>,
    /// Only this link: cat-m1, nb-iot. May be given several times.
    #[arg(long, value_name = "NAME")]
    link: Vec<String>,
    /// What this program does inside a namespace, when it starts itself there.
    #[arg(long, hide = true)]
    inside: Option<namespaces::Inside>,
}

const EXAMPLES: &str = "Examples:
  cargo run --release -p benches --bin link
  cargo run --release -p benches --bin link -- --system godwit --link nb-iot
  cargo run --release -p benches --bin link -- --scenario update_warm --scenario month_2880_reports
  cargo run --release -p benches --bin link -- --json > link.jsonl";

const NOTES: &str = "
pass, MISS: whether godwit reaches its target. One exchange: mean, rounded up, on the link without losses; months and days
with them. Seconds (--json): virtual time until the device knew that its messages had arrived; at godwit and automerge an
acknowledgement says that they are durable, because the aggregator holds it back until then.
What is not comparable:
  automerge  its own sync protocol over godwit's transport. It keeps and sends every overwrite; of the day of a million
             overwrites one hour is played and multiplied out (*).
  quinn      godwit's documents over quinn's core with its default settings, and self-signed certificates on both sides.
             The default idle timeout of 30 s ends the connection: each report of a month makes a new one, and an idle
             day costs nothing because nobody is connected any more. A receipt is a message of its own.
  mqtt       MQTT 3.1.1, QoS 1, over TLS 1.3 with certificates on both sides, mosquitto, on a real kernel's TCP without
             loss or delay: 20 exchanges, or one cycle of the 60 s keep-alive, multiplied out (*). It carries a value, not
             a document; its acknowledgement does not say that anything is durable. Behind a new address it is connected anew;
             no keep-alive is counted in the months. Its idle day is its keep-alive.";

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(inside) = options.inside {
        return namespaces::run_inside(inside);
    }
    known("scenario", &options.scenario, &SCENARIOS.map(|scenario| scenario.name))?;
    known("system", &options.system, &LinkSystem::ALL.map(LinkSystem::as_str))?;
    known("link", &options.link, &LINKS.map(Link::name))?;
    let wanted = |list: &[String], name: &str| list.is_empty() || list.iter().any(|wanted| wanted == name);

    let mut out = std::io::stdout().lock();
    let mut notes = Vec::new();
    let mqtt = if wanted(&options.system, LinkSystem::Mqtt.as_str()) {
        progress("mqtt and godwit between two network namespaces");
        match namespaces::measure() {
            Ok(figures) => {
                notes.push(figures.agreement.to_string());
                Some(figures)
            }
            Err(error) => {
                notes.push(format!("mqtt is left out: {error:#}"));
                None
            }
        }
    } else {
        None
    };
    for link in LINKS.into_iter().filter(|link| wanted(&options.link, link.name())) {
        if !options.json {
            table_head(&mut out, link)?;
        }
        for scenario in SCENARIOS.iter().filter(|scenario| wanted(&options.scenario, scenario.name)) {
            let mut figures: [Option<Measured>; 4] = [None; 4];
            for (system, figure) in LinkSystem::ALL.into_iter().zip(&mut figures) {
                if !wanted(&options.system, system.as_str()) {
                    continue;
                }
                progress(&format!("{link}: {} of {}", scenario.name, system.as_str()));
                *figure = match (system, &mqtt) {
                    (LinkSystem::Mqtt, Some(mqtt)) => mqtt.scenario(scenario.name),
                    _ => scenario.run(system, link)?,
                };
                if let (true, Some(measured)) = (options.json, *figure) {
                    progress("");
                    json_line(&mut out, Row { scenario: scenario.name, system, link, measured })?;
                }
            }
            progress("");
            if !options.json {
                table_line(&mut out, scenario, link, &figures)?;
            }
        }
    }
    progress("");
    if options.json {
        notes.iter().for_each(|note| eprintln!("{note}"));
    } else {
        writeln!(out, "{NOTES}")?;
        for note in notes {
            writeln!(out, "  {note}")?;
        }
    }
    Ok(())
}

fn known(what: &str, given: &[String], names: &[&str]) -> anyhow::Result<()> {
    match given.iter().find(|name| !names.contains(&name.as_str())) {
        Some(name) => bail!("there is no {what} {name}; there are: {}", names.join(", ")),
        None => Ok(()),
    }
}

/// Whoever looks on sees what is being played.
fn progress(what: &str) {
    if std::io::stderr().is_terminal() {
        let dots = if what.is_empty() { "" } else { " .." };
        eprint!("\r\x1b[K{what}{dots}");
    }
}

const LINKS: [Link; 2] = [Link::CatM1, Link::NbIot];
