//! The ledger for people and programs.

use std::fmt;

use serde::{Deserialize, Serialize};
use transport_quic::{Cause, Count, Traffic};

use crate::billing::RESET_DAY_MAX;
use crate::zone::Zone;

/// What the link cost, oldest first. Its display is a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerReport {
    /// The day of the month on which billing periods begin; the last one of a shorter month.
    pub reset_day: u8,
    /// The zone in which days and billing periods begin at midnight.
    #[serde(default = "utc")]
    pub zone: String,
    /// By billing period.
    pub months: Vec<ReportRow>,
    /// By day.
    pub days: Vec<ReportRow>,
}

/// One day or billing period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRow {
    /// The first day, `2026-11-22`.
    pub from: String,
    /// The first day that is not in it.
    pub until: String,
    /// The zone in which it was counted; the last one, if that changed in the meantime.
    #[serde(default = "utc")]
    pub zone: String,
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
        table(f, "day", &self.days)?;
        writeln!(f, "\nBytes of IP, headers included, sent and received.")?;
        writeln!(f, "Months begin on {}, at midnight in {}.", reset_day(self.reset_day), self.zone)
    }
}

fn table(f: &mut fmt::Formatter<'_>, title: &str, rows: &[ReportRow]) -> fmt::Result {
    write!(f, "{title:<11}{:>12}{:>12}{:>12}", "total", "sent", "received")?;
    for cause in Cause::ALL {
        write!(f, "{:>WIDTH$}", heading(cause))?;
    }
    writeln!(f, "{:>9}  zone", "packets")?;
    for row in rows {
        let (sent, received) = (row.sent.total().bytes, row.received.total().bytes);
        write!(f, "{:<11}{:>12}{sent:>12}{received:>12}", row.from, row.total.bytes)?;
        for cause in Cause::ALL {
            write!(f, "{:>WIDTH$}", row.sent[cause].bytes + row.received[cause].bytes)?;
        }
        writeln!(f, "{:>9}  {}", row.total.packets, row.zone)?;
    }
    Ok(())
}

/// Which day of the month it is, for people.
fn reset_day(day: u8) -> String {
    match day {
        0..=28 => format!("day {day}"),
        RESET_DAY_MAX.. => "their last day".to_owned(),
        _ => format!("day {day} or their last day"),
    }
}

/// The zone of earlier versions, which name none.
pub(crate) fn utc() -> String {
    Zone::UTC.name().to_owned()
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
