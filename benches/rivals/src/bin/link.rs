//! Prints what a metered link is charged, side by side.

use benches::link::program::{self, Column, Options, progress};
use clap::Parser;
use rivals::link::{MQTT, SYSTEMS, namespaces};

/// What a device on a metered link is charged in godwit and in its rivals: IP bytes, both ways, headers and acknowledgements
/// included. In virtual time, exact and the same on every machine, except for MQTT, which runs between two network
/// namespaces and needs root, `ip` and `mosquitto`. Systems: godwit, automerge, quinn, mqtt.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// What this program does inside a namespace, when it starts itself there.
    #[arg(long, hide = true)]
    inside: Option<namespaces::Inside>,
}

const EXAMPLES: &str = "Examples, in benches/rivals:
  cargo run --release --bin link
  cargo run --release --bin link -- --system automerge --link nb-iot
  cargo run --release --bin link -- --scenario update_warm --scenario month_2880_reports
  cargo run --release --bin link -- --json > link.jsonl";

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
    let Arguments { options, inside } = Arguments::parse();
    if let Some(inside) = inside {
        return namespaces::run_inside(inside);
    }
    let names: Vec<_> = SYSTEMS.iter().map(|system| system.name).chain([MQTT]).collect();
    options.check(&names)?;
    let (mut mqtt, mut remarks) = (None, Vec::new());
    if options.wants(MQTT) {
        progress("mqtt and godwit between two network namespaces");
        remarks.push(match namespaces::measure() {
            Ok(figures) => mqtt.insert(figures).agreement.to_string(),
            Err(error) => format!("mqtt is left out: {error:#}"),
        });
    }
    let mut columns: Vec<Column<'_>> = SYSTEMS.into_iter().map(Column::from).collect();
    columns.push(Column {
        name: MQTT,
        cost: Box::new(|scenario, _| Ok(mqtt.as_ref().and_then(|figures| figures.scenario(scenario.name)))),
    });
    program::print(&options, &columns, NOTES, &remarks)
}
