//! The end of a run: a table for people, or the same as JSON.

use std::fmt;

use serde::Serialize;

/// What a run has shown.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    /// Number of devices.
    pub devices: usize,
    /// The link of each.
    pub link: &'static str,
    /// What decided cuts, kills and accidents.
    pub seed: u64,
    /// How long it all took, in seconds.
    pub elapsed_s: f64,
    /// Transactions, on either side.
    pub updates: u64,
    /// Those that devices made.
    pub updates_by_devices: u64,
    /// Those that were made at the aggregator.
    pub updates_by_cloud: u64,
    /// Whether each device's document is equal to the aggregator's copy.
    pub converged: bool,
    /// Cells that were compared.
    pub cells_compared: usize,
    /// Cells that differ.
    pub cells_different: usize,
    /// Transactions whose writer was told that they are on the aggregator's disk.
    pub acknowledged: u64,
    /// Values among them that are missing there, and nothing newer either.
    pub acknowledged_lost: usize,
    /// The device whose process was killed.
    pub killed: Option<String>,
    /// Transactions that it was told are on its own disk, before it was killed.
    pub durable_before_kill: u64,
    /// Values among them that were missing after it was started again.
    pub durable_lost: Option<usize>,
    /// IP bytes that the relay carried, both directions, all devices.
    pub ip_bytes: u64,
    /// Those of them that went for the first connection of each device, before its first update.
    pub ip_bytes_set_up: u64,
    /// `ip_bytes / updates`.
    pub ip_bytes_per_update: f64,
    /// `(ip_bytes - ip_bytes_set_up) / updates`.
    pub ip_bytes_per_update_after_set_up: f64,
    /// One entry a device.
    pub per_device: Vec<DeviceSummary>,
}

/// The same for one device.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DeviceSummary {
    /// Its document.
    pub name: String,
    /// Transactions made on the device.
    pub updates_by_device: u64,
    /// Transactions made at the aggregator.
    pub updates_by_cloud: u64,
    /// Cells in the transactions of the device.
    pub cells_written: u64,
    /// Bytes of messages, both directions, without QUIC, UDP and IP.
    pub payload_bytes: u64,
    /// IP bytes that the relay carried, both directions.
    pub ip_bytes: u64,
    /// From the last change on either side until both copies were equal, in milliseconds; none if they never were.
    pub converged_ms: Option<u64>,
    /// Paths that differ.
    pub different: Vec<String>,
    /// What happened to it: `cut off`, `killed`, or nothing.
    pub fate: &'static str,
}

impl Summary {
    /// Whether the run shows what it should.
    #[must_use]
    pub(crate) fn is_good(&self) -> bool {
        self.converged && self.acknowledged_lost == 0 && self.durable_lost == Some(0)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:>8} {:>6} {:>6} {:>9} {:>8} {:>9} {:>10}  ",
            "device", "updates", "edits", "cells", "payload B", "IP B", "IP B each", "converged"
        )?;
        for row in &self.per_device {
            let updates = row.updates_by_device + row.updates_by_cloud;
            let converged = match row.converged_ms {
                Some(ms) => format!("{:.1} s", ms as f64 / 1e3),
                None => "no".to_owned(),
            };
            let line = format!(
                "{:<10} {:>8} {:>6} {:>6} {:>9} {:>8} {:>9.0} {:>10}  {}",
                row.name,
                row.updates_by_device,
                row.updates_by_cloud,
                row.cells_written,
                row.payload_bytes,
                row.ip_bytes,
                per(row.ip_bytes, updates),
                converged,
                row.fate,
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        let sum = |what: fn(&DeviceSummary) -> u64| self.per_device.iter().map(what).sum::<u64>();
        writeln!(
            f,
            "{:<10} {:>8} {:>6} {:>6} {:>9} {:>8} {:>9.0}\n",
            "all",
            self.updates_by_devices,
            self.updates_by_cloud,
            sum(|row| row.cells_written),
            sum(|row| row.payload_bytes),
            self.ip_bytes,
            self.ip_bytes_per_update,
        )?;
        writeln!(
            f,
            "updates: transactions on the device, with so many cells; edits: transactions at the aggregator; converged: after the last of both"
        )?;
        writeln!(
            f,
            "IP bytes: {} on {}, of which {} set the connections up; {:.0} an update without those",
            self.ip_bytes, self.link, self.ip_bytes_set_up, self.ip_bytes_per_update_after_set_up,
        )?;
        let equal = self.per_device.iter().filter(|row| row.converged_ms.is_some()).count();
        writeln!(
            f,
            "converged: {equal} of {} documents equal at device and aggregator, {} cells compared, {} differ",
            self.devices, self.cells_compared, self.cells_different,
        )?;
        for row in self.per_device.iter().filter(|row| !row.different.is_empty()) {
            writeln!(f, "  {}: {}", row.name, row.different.join(", "))?;
        }
        writeln!(
            f,
            "acknowledged by the aggregator: {} of {} updates; missing there: {}",
            self.acknowledged, self.updates, self.acknowledged_lost,
        )?;
        if let (Some(killed), Some(lost)) = (&self.killed, self.durable_lost) {
            write!(
                f,
                "killed: {killed}, with {} updates on its disk; missing after its restart: {lost}",
                self.durable_before_kill,
            )?;
        }
        Ok(())
    }
}

/// Bytes for each update.
#[must_use]
pub(crate) fn per(bytes: u64, updates: u64) -> f64 {
    bytes as f64 / updates.max(1) as f64
}
