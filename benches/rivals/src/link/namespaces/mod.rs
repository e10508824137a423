//! Two network namespaces joined by a veth pair: a real kernel counts what passes, less the 14 bytes of each Ethernet
//! header.
//!
//! The program starts itself in both ([`Inside`]). The pair is not shaped: what a lossy, slow link adds to TCP is not in
//! the figures. Segmentation offload is off, the neighbours are entered by hand and IPv6 is off, so nothing passes but
//! what is measured.

mod godwit;
mod mqtt;
mod veth;

use std::fmt;

use anyhow::Context;
use benches::link::{Measured, Method};

use veth::Namespaces;

/// What to do in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Inside {
    /// Our aggregator.
    GodwitCloud,
    /// Our device.
    GodwitDevice,
    /// A client of mosquitto.
    MqttDevice,
}

/// What the namespaces showed.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Ours, counted in two ways.
    pub agreement: Agreement,
    mqtt: mqtt::Exchanges,
}

/// The same exchanges of ours, counted by the kernel and in virtual time.
#[derive(Clone, Copy, Debug)]
pub struct Agreement {
    /// Bytes at the device's interface.
    pub kernel_bytes: u64,
    /// What the device's own ledger says.
    pub ledger_bytes: u64,
    /// Bytes in virtual time.
    pub virtual_bytes: u64,
}

/// Measures everything that needs a kernel: about 30 s.
///
/// # Errors
/// When there is no root, no `ip` or no `mosquitto`, with what to do about it; or when something in a namespace failed.
pub fn measure() -> anyhow::Result<Figures> {
    let namespaces = Namespaces::new()?;
    let directory = tempfile::tempdir().context("no directory for certificates")?;
    let mqtt = mqtt::measure(&namespaces, directory.path()).context("mqtt")?;
    let agreement = godwit::measure(&namespaces).context("godwit in the namespaces")?;
    Ok(Figures { agreement, mqtt })
}

/// What the program does in a namespace. Results go to standard output.
///
/// # Errors
/// What went wrong there; the parent passes it on.
pub fn run_inside(inside: Inside) -> anyhow::Result<()> {
    match inside {
        Inside::GodwitCloud => godwit::run_cloud(),
        Inside::GodwitDevice => godwit::run_device(),
        Inside::MqttDevice => mqtt::run_device(),
    }
}

impl Figures {
    /// What MQTT costs in a scenario, from the exchanges that it consists of; `None` where TCP on a fast link says nothing
    /// about it.
    pub fn scenario(&self, name: &str) -> Option<Measured> {
        let mqtt::Exchanges { connect, publish, publish_ten, ping, repetitions } = self.mqtt;
        let anew = connect + publish;
        let (total_bytes, exchanges) = match name {
            "set_up" => (connect, repetitions),
            "cold_sync" | "update_after_rebind" => (anew, repetitions),
            "update_warm" | "update_warm_receipt" => (publish, repetitions),
            "batch_ten" => (publish_ten, repetitions),
            "month_2880_reports" | "month_every_receipt" => (anew * 2_880 / repetitions, 1),
            "day_million_overwrites" => ((connect + publish * 1_440) / repetitions, 1),
            "idle_day" => (ping * 1_440, 1),
            _ => return None,
        };
        Some(Measured { total_bytes, exchanges, seconds: None, method: Method::Extrapolated })
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel_bytes, ledger_bytes, virtual_bytes } = *self;
        let apart = 100.0 * (kernel_bytes as f64 / virtual_bytes as f64 - 1.0);
        write!(
            f,
            "99 updates of godwit, the same in both: {kernel_bytes} bytes at the interface, {ledger_bytes} in the device's ledger, \
             {virtual_bytes} in virtual time ({apart:+.2} %)"
        )
    }
}
