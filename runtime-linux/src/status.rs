//! The answer to "why is it not syncing?".

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::budget::Level;
use crate::meter::WASTE_BYTES_MAX;
use crate::policy::BadRule;
use crate::report::utc;
use crate::tried::{Account, Tried};
use crate::unopened::UnopenedDocument;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use transport_quic::{CloseCode, CloseReason, PublicKey};

/// How an edge is. Made anew for each question. What is about one document is about the main one; `documents` has all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The document's name.
    pub document: String,
    /// The device's public key: what the aggregator must let in.
    pub public_key: PublicKey,
    /// The id under which this copy writes, 16 hexadecimal digits.
    pub replica: String,
    /// Host and port of the aggregator, as they were given.
    pub aggregator: Option<String>,
    /// The address of the aggregator that the connection goes to; while one is made, the address that is being tried.
    /// Nothing while the name is looked up, and between attempts.
    #[serde(default)]
    pub aggregator_address: Option<SocketAddr>,
    /// How far the connection is.
    pub link: LinkState,
    /// Whether the aggregator has opened the document in answer.
    pub connected: bool,
    /// Whether own writes are held back until the aggregator has told that this copy is not an old one.
    pub unverified: bool,
    /// Cells in the document, tombstones included.
    pub cells: usize,
    /// Bytes of their paths and values.
    pub bytes: usize,
    /// Cells that the aggregator is not known to have on its disk.
    pub backlog_cells: usize,
    /// Bytes of their paths and values.
    pub backlog_bytes: usize,
    /// When the aggregator last confirmed something, by the local clock, in milliseconds since 1970; in this process.
    pub last_acknowledged_ms: Option<u64>,
    /// Own writes up to this time are on the aggregator's disk; in milliseconds since 1970.
    pub acknowledged_through_ms: u64,
    /// What has to happen next, for people.
    pub waits_for: String,
    /// What went wrong last, if it has not gone well since.
    pub problem: Option<Problem>,
    /// Each document, the main one first.
    #[serde(default)]
    pub documents: Vec<DocumentStatus>,
    /// Until when changes wait for company, if some do and their time is not over.
    #[serde(default)]
    pub company: Option<CompanyStatus>,
    /// Each line of a device.
    #[serde(default)]
    pub lines: Vec<LineStatus>,
    /// Documents of the store that are not open, with what of them is not at the aggregator; none without an aggregator.
    #[serde(default)]
    pub unopened: Vec<UnopenedDocument>,
    /// Attempts to connect that failed since the last one that went well.
    pub failed_attempts: u32,
    /// Milliseconds until the next attempt, if it waits for one.
    pub next_attempt_ms: Option<u64>,
    /// Whether the system's clock can be right.
    pub clock_is_trusted: bool,
    /// Bytes of IP sent by this process, headers included.
    pub ip_bytes_sent: u64,
    /// Bytes of IP received by this process, headers included.
    pub ip_bytes_received: u64,
    /// What may be spent, and what was; nothing without a budget.
    #[serde(default)]
    pub budget: Option<BudgetStatus>,
    /// Bytes of messages sent by this process: what the document itself costs, without QUIC, UDP and IP.
    pub payload_bytes_sent: u64,
    /// Bytes of messages received by this process, the same way.
    pub payload_bytes_received: u64,
}

/// How one document of an edge is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentStatus {
    /// Its name.
    pub document: String,
    /// The id under which this copy writes, 16 hexadecimal digits.
    pub replica: String,
    /// Whether the aggregator has opened it in answer.
    pub connected: bool,
    /// Whether own writes are held back until the aggregator has told that this copy is not an old one.
    pub unverified: bool,
    /// Cells in it, tombstones included.
    pub cells: usize,
    /// Bytes of their paths and values.
    pub bytes: usize,
    /// Cells that the aggregator is not known to have on its disk.
    pub backlog_cells: usize,
    /// Bytes of their paths and values.
    pub backlog_bytes: usize,
    /// Cells written here or by devices on lines that were not handed to the link.
    #[serde(default)]
    pub unsent_cells: usize,
    /// What stands in it as a rule of its policy and is none.
    #[serde(default)]
    pub bad_rules: Vec<BadRule>,
    /// Own writes up to this time are on the aggregator's disk; in milliseconds since 1970.
    pub acknowledged_through_ms: u64,
    /// What has to happen next, for people.
    pub waits_for: String,
    /// What went wrong last with it or with the connection, if it has not gone well since.
    pub problem: Option<Problem>,
}

/// Changes that wait for company: whatever leaves first takes those of all documents along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompanyStatus {
    /// The document of the rule whose time is over first.
    pub document: String,
    /// The prefix of that rule; empty if it holds everywhere.
    pub prefix: String,
    /// What it says.
    pub terms: String,
    /// Milliseconds until its time is over.
    pub in_ms: u64,
    /// When that is, in milliseconds since 1970, if the device has a clock.
    pub until_ms: Option<u64>,
}

/// How a line to a device is. It counts from when somebody was last connected to its other end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineStatus {
    /// What and where it is, such as `serial /dev/ttyUSB0:115200`.
    pub line: String,
    /// The documents that the device may open.
    pub documents: Vec<String>,
    /// Whether a device has opened a connection.
    pub open: bool,
    /// What went wrong last, if it has not gone well since.
    pub problem: Option<String>,
    /// Frames from the device.
    pub frames_received: u32,
    /// Frames to the device.
    pub frames_sent: u32,
    /// Frames to the device that were sent once more.
    pub frames_repeated: u32,
    /// Packets that were dropped: damaged, too long, malformed, of another connection, come twice, or without capacity.
    pub packets_dropped: u32,
}

/// How a budget is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// What may be sent now.
    pub level: Level,
    /// When everything may be sent again, if not now; in milliseconds since 1970.
    pub resumes_ms: Option<u64>,
    /// The same as a date in the zone.
    pub resumes: Option<String>,
    /// The time zone in which days and billing periods begin at midnight.
    #[serde(default = "utc")]
    pub zone: String,
    /// The cap of a billing period, in bytes of IP, both directions.
    pub cap_bytes: u64,
    /// What was spent of it.
    pub spent_bytes: u64,
    /// The first day of the billing period.
    pub period_from: String,
    /// The first day of the next one.
    #[serde(default)]
    pub period_until: String,
    /// Part of what was spent: bytes from before the billing period that count until a day, because the reset day was changed.
    #[serde(default)]
    pub held_bytes: u64,
    /// That day; none if there are no such bytes.
    #[serde(default)]
    pub held_until: Option<String>,
    /// What all but urgent traffic may cost today, in bytes.
    pub allowance_today_bytes: u64,
    /// What was spent today.
    pub spent_today_bytes: u64,
    /// What is kept for what is urgent, in bytes of the cap.
    pub reserve_bytes: u64,
    /// Part of what was spent: bytes that killed processes were allowed to send and may not have sent.
    pub forfeited_bytes: u64,
}

/// How far the connection to the aggregator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// The document is open on both sides.
    Connected,
    /// The handshake is under way.
    Connecting,
    /// There is no aggregator to connect to.
    Off,
    /// The handshake is done, and the aggregator has not opened the document yet.
    Opening,
    /// A pause before the next attempt.
    Waiting,
}

/// Why the connection does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Problem {
    /// The aggregator does not let this device in.
    #[error(
        "the aggregator refuses this device: {text}; let its key in there: aggregator allow KEY [--document NAME]"
    )]
    AccessDenied {
        /// What the aggregator says.
        text: String,
    },
    /// What was given is no address and no name with a port.
    #[error("{address:?} is no address of an aggregator: {detail}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The budget does not allow to go on.
    #[error(
        "the budget allows {} until {resumes} ({zone}): {spent_bytes} of {cap_bytes} bytes of this month are spent, {spent_today_bytes} \
         of {allowance_bytes} today; edits go on here, and a larger --budget lets them leave sooner",
        match level { Level::Nothing => "nothing", _ => "only what is urgent" }
    )]
    Budget {
        /// What it allows.
        level: Level,
        /// The day on which it allows everything again.
        resumes: String,
        /// The time zone in which that day begins at midnight.
        #[serde(default = "utc")]
        zone: String,
        /// What is spent of the billing period, in bytes of IP.
        spent_bytes: u64,
        /// The cap of the period.
        cap_bytes: u64,
        /// What is spent of this day.
        spent_today_bytes: u64,
        /// The allowance of this day, for all but what is urgent.
        allowance_bytes: u64,
    },
    /// The connection ended.
    #[error("{text}")]
    Closed {
        /// Why.
        text: String,
    },
    /// The system could not look the name up.
    #[error(
        "the look-up of {name} failed: {detail}; check the name, this device's network, and its DNS servers \
         (/etc/resolv.conf)"
    )]
    LookUpFailed {
        /// The name, without its port.
        name: String,
        /// What the system says.
        detail: String,
    },
    /// The name exists and has no address.
    #[error(
        "the name {name} has no address: it needs an A or AAAA record in the DNS, or a line in /etc/hosts"
    )]
    NoAddress {
        /// The name, without its port.
        name: String,
    },
    /// The aggregator accepted the connection, or a message, and then did not do its part.
    #[error("the aggregator did not answer in {} s: {what} did not come", after.as_secs_f32())]
    NoAnswer {
        /// What did not come.
        what: Awaited,
        /// How long it was waited for.
        after: Duration,
    },
    /// None of the addresses that were tried led to a connection, and at least one of them was sent something.
    #[error("{}", Account(tried))]
    NoConnection {
        /// The addresses, in the order in which they were tried; those that nothing could be sent to come first.
        tried: Vec<Tried>,
    },
    /// The aggregator does not take what was written here. It stays here.
    #[error("the aggregator refuses what was written here: {text}")]
    Refused {
        /// Its reason.
        text: String,
    },
    /// The system sends to none of the addresses. The attempt has cost nothing.
    #[error("{}; check its network (ip route) and its firewall", Account(tried))]
    Unreachable {
        /// The addresses, with what the system says.
        tried: Vec<Tried>,
    },
    /// Too many bytes went by, and nothing came of them.
    #[error("the aggregator wasted {} kB of the budget, and is left alone for {} s: look into its log", WASTE_BYTES_MAX / 1024, pause.as_secs())]
    Wasted {
        /// How long.
        pause: Duration,
    },
    /// Somebody else answers at the aggregator's address.
    #[error("wrong aggregator key: expected {expected}, but the one that answers has {presented}")]
    WrongKey {
        /// The key that was given at the start.
        expected: PublicKey,
        /// The key that it has.
        presented: PublicKey,
    },
}

/// What an aggregator owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// The durable acknowledgement that was asked for.
    Acknowledgement,
    /// The transport's word that a message has arrived.
    Delivery,
    /// Its Open.
    Open,
}

impl Problem {
    /// Whether somebody answered and said no: to try again soon would cost and change nothing.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::AccessDenied { .. } | Self::Refused { .. } | Self::WrongKey { .. })
    }
}

impl From<CloseReason> for Problem {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::WrongServerKey { expected, presented } => Self::WrongKey { expected, presented },
            CloseReason::ByPeer { code, text }
                if CloseCode::from_number(code) == Some(CloseCode::AccessDenied) =>
            {
                Self::AccessDenied { text }
            }
            reason => Self::Closed { text: reason.to_string() },
        }
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Acknowledgement => "the acknowledgement",
            Self::Delivery => "the receipt of a message",
            Self::Open => "its opening of the document",
        })
    }
}

/// Until when, and by which rule.
impl fmt::Display for CompanyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until_ms {
            Some(ms) => write!(f, "until {} UTC", time_of_day(ms))?,
            None => write!(f, "for {:.1} s", self.in_ms as f64 / 1000.0)?,
        }
        let prefix = if self.prefix.is_empty() { "everywhere" } else { &self.prefix };
        write!(f, " at the latest (policy {prefix}: {})", self.terms)
    }
}

/// `2027-01-15 12:15:00`.
fn time_of_day(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connected => "connected",
            Self::Connecting => "connecting",
            Self::Off => "off",
            Self::Opening => "opening",
            Self::Waiting => "waiting",
        })
    }
}
