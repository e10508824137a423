//! The ledger for people and programs.

use std::fmt;

use serde::{Deserialize, Serialize};
use transport_quic::{Cause, Count, Traffic};

/// What the link cost, oldest first. Its display is a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerReport {
    /// The day of the month on which billing periods begin.
    pub reset_day: u8,
    /// By billing period.
    pub months: Vec<ReportRow>,
    /// By day, UTC.
    pub days: Vec<ReportRow>,
}

/// One day or billing period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRow {
    /// The first day, `2026-11-22`.
    pub from: String,
    /// The first day that is not in it.
    pub until: String,
    /// Both directions, all causes.
    pub total: Count,
    /// Sent, by cause.
    pub sent: Traffic,
    /// Received, by cause.
    pub received: Traffic,
}

impl fmt::Display for LedgerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days.is_empty() {
            return f.write_str("nothing was sent or received yet\n");
        }
        table(f, "month from", &self.months)?;
        writeln!(f)?;
        table(f, "day (UTC)", &self.days)?;
        writeln!(f, "\nBytes of IP, headers included, sent and received; packets in the last column.")
    }
}

fn table(f: &mut fmt::Formatter<'_>, title: &str, rows: &[ReportRow]) -> fmt::Result {
    write!(f, "{title:<11}{:>12}{:>12}{:>12}", "total", "sent", "received")?;
    for cause in Cause::ALL {
        write!(f, "{:>WIDTH$}", heading(cause))?;
    }
    writeln!(f, "{:>9}", "packets")?;
    for row in rows {
        let (sent, received) = (row.sent.total().bytes, row.received.total().bytes);
        write!(f, "{:<11}{:>12}{sent:>12}{received:>12}", row.from, row.total.bytes)?;
        for cause in Cause::ALL {
            write!(f, "{:>WIDTH$}", row.sent[cause].bytes + row.received[cause].bytes)?;
        }
        writeln!(f, "{:>9}", row.total.packets)?;
    }
    Ok(())
}

fn heading(cause: Cause) -> &'static str {
    match cause {
        Cause::Acknowledgements => "acks",
        Cause::Retransmissions => "retransmits",
        cause => cause.name(),
    }
}

/// Columns of a cause, in characters.
const WIDTH: usize = 12;
