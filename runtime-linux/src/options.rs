//! What an edge is told at its start.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crdt_core::Limits;
use transport_quic::PublicKey;

use crate::budget::Plan;
use crate::line::LineOptions;
use crate::policy::{POLICY_PATH, Rule};
use crate::zone::Zone;

/// How to open an edge. Plain data; begin with [`Options::new`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the store lies. With [`create`](Self::create) it is made if its parent exists.
    pub directory: PathBuf,
    /// The documents' names, 1 to 64 bytes each; the first is the main one, and a name given twice counts once. They
    /// are remembered; none takes those that were used last. At most [`DOCUMENTS_MAX`](crate::DOCUMENTS_MAX).
    pub documents: Vec<String>,
    /// Lines to devices that reach the aggregator through this edge. Give each time the same ones for a document: without
    /// them a copy keeps its replica id over restarts, with them it takes a new one.
    pub lines: Vec<LineOptions>,
    /// Whom to sync with; `None` for nobody.
    pub aggregator: Option<Aggregator>,
    /// Whether a missing store is made, which needs the name of a document. A file that is there is never taken for a new
    /// store, whatever it holds.
    pub create: bool,
    /// Most cells and bytes of each document.
    pub limits: Limits,
    /// The transport's settings.
    pub transport: transport_quic::Config,
    /// What the link may cost; `None` for as much as it takes.
    pub plan: Option<Plan>,
    /// The day of the month on which the ledger's billing periods begin, where there is no plan that says it; 1 to 31. A
    /// month that is shorter has its last day instead.
    pub reset_day: u8,
    /// The time zone in which the ledger's days and billing periods begin, where there is no plan that says it.
    pub zone: Zone,
    /// Paths that are sent first, and while the budget allows only what is urgent; with what is below them.
    pub urgent: Vec<String>,
    /// When changes are sent, by path; at once where no rule holds. Rules in a document come before these.
    pub rules: Vec<Rule>,
    /// Where rules stand in a document: a path, below which each is one string.
    pub policy_path: String,
    /// How to go about failures of the connection.
    pub timing: Timing,
}

/// The cloud side of a document: where it is, and who it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregator {
    /// Host and port: `203.0.113.7:4433`, `[2001:db8::7]:4433`, `[fe80::7%eth0]:4433` or `sync.example.com:4433`. A name is
    /// looked up at each attempt. If it has several addresses, the one that worked last is tried first, and those that do
    /// not answer make way for others; what comes of each is in [`Problem`](crate::Problem).
    pub address: String,
    /// Its public key. Whoever answers with another one gets nothing.
    pub key: PublicKey,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The first pause before another attempt; the next ones double.
    pub backoff_first: Duration,
    /// The longest pause.
    pub backoff_last: Duration,
    /// The longest pause where the aggregator answers and says no, because each attempt costs a handshake of 4 kB.
    pub refused_last: Duration,
    /// How long the aggregator may take to answer what asks for an answer: an Open, a delivery, an acknowledgement.
    /// Then the connection is given up for another one.
    pub answer_timeout: Duration,
    /// Deliveries are receipts. Where own writes are not known to be at the aggregator for so long all the same, it is asked.
    pub acknowledge_after: Duration,
    /// A connection on which nothing was sent or received for so long is made anew, because the other side may be
    /// gone without a word. Costs a handshake of 4 kB each time.
    pub silence_max: Duration,
}

impl Options {
    /// The defaults, for a store in this directory: no aggregator, the documents that were used last.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            documents: Vec::new(),
            lines: Vec::new(),
            aggregator: None,
            create: true,
            limits: Limits::default(),
            transport: transport_quic::Config::cat_m1(),
            plan: None,
            reset_day: 1,
            zone: Zone::UTC,
            urgent: Vec::new(),
            rules: Vec::new(),
            policy_path: POLICY_PATH.to_owned(),
            timing: Timing::default(),
        }
    }

    /// The same with one more document. The first one is the main one.
    #[must_use]
    pub fn document(mut self, name: impl Into<String>) -> Self {
        self.documents.push(name.into());
        self
    }

    /// The same with one more rule for when changes are sent.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// The same with a line to a device.
    #[must_use]
    pub fn line(mut self, line: LineOptions) -> Self {
        self.lines.push(line);
        self
    }

    /// The same with an aggregator.
    #[must_use]
    pub fn aggregator(self, address: impl Into<String>, key: PublicKey) -> Self {
        Self { aggregator: Some(Aggregator { address: address.into(), key }), ..self }
    }
}

impl Options {
    /// The same with a data plan.
    #[must_use]
    pub fn plan(self, plan: Plan) -> Self {
        let (reset_day, zone) = (plan.billing().reset_day(), plan.billing().zone().clone());
        Self { plan: Some(plan), reset_day, zone, ..self }
    }
}

impl Default for Timing {
    /// For cellular links: pauses from 1 s to 5 min (1 h when refused), 2 min for an answer, an hour for a receipt.
    fn default() -> Self {
        Self {
            backoff_first: Duration::from_secs(1),
            backoff_last: Duration::from_secs(300),
            refused_last: Duration::from_secs(3600),
            answer_timeout: Duration::from_secs(120),
            acknowledge_after: Duration::from_secs(3600),
            silence_max: Duration::from_secs(6 * 3600),
        }
    }
}

impl fmt::Display for Aggregator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, self.key)
    }
}
