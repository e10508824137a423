//! The edge runtime: documents on a Linux device that work offline and sync with an aggregator when they can.
//!
//! It is no database server and has no network API: a program embeds it, and people use the binary `edge`.
//!
//! ```
//! use runtime_linux::{Change, Edge, Options, Scalar, Transaction};
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! // With an aggregator: Options::new(..).document(..).aggregator("203.0.113.7:4433", key)
//! let edge = Edge::open(Options::new(directory).document("pump-42")).await?;
//!
//! // On this device's disk when it returns, with or without a connection.
//! let receipt = edge.set("pump/3/setpoint", 4.5).await?;
//! edge.update(Transaction::new().set("pump/3/mode", "auto").delete("pump/3/alarm")).await?;
//! assert_eq!(edge.get("pump/3/setpoint").await?, Some(Scalar::F64(4.5)));
//!
//! // Everybody's changes, also those that come from the cloud.
//! let mut watch = edge.watch(Some("pump/3"))?;
//! assert!(matches!(watch.next().await?, Change::Snapshot { .. }));
//!
//! // receipt.durable_at_aggregator().await? waits until the aggregator has it on its disk.
//! # assert!(receipt.stamp().is_some());
//! println!("{}", edge.status().await?.waits_for);
//! edge.shut_down().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An edge has one document or several, on one connection. Its own methods speak to the main one, which was named first;
//! [`Edge::document`] gives any of them.
//!
//! # What holds
//!
//! - What [`Edge::set`] and its like confirm is on the disk, and survives a power cut. What a receipt confirms is on
//!   the aggregator's disk too.
//! - Nothing is sent, and nobody is told, before it is on the disk. Calls at the same time share one commit.
//! - Nothing grows without bound while the device is offline: overwritten values are gone, watchers have no queues.
//! - One process has the store. The binary lends its own to others through a control socket ([`Service`]).
//!
//! # Layers
//!
//! `options`, `error`, `status`, `tried`, `clock`, `zone`, `size`, `duration`, `backoff` (data) <- `billing`, `books`, `budget`, `meter`, `report`
//! (what the link costs), `policy` (when it is used) <- `changes`, `arrived`, `unopened`, `connection`, `frames` <- `engine` (a state machine
//! without clock, disk or socket) <- `line` (the ports of devices), `network` (the link to the aggregator: `lookup`, `addresses`), `place` (store, identity, socket) <- `driver`
//! (one tokio task that has them) <- `document`, `handle` (what applications hold) <- `service`
//! (the control socket).
//!
//! The [engine] is public for those who bring their own driver, such as a simulation.

mod addresses;
mod arrived;
mod backoff;
mod billing;
mod books;
mod budget;
mod changes;
mod clock;
mod connection;
mod document;
mod driver;
mod duration;
pub mod engine;
mod error;
mod frames;
mod handle;
mod line;
mod lookup;
mod meter;
mod network;
mod options;
mod place;
mod policy;
mod report;
mod service;
mod size;
mod status;
mod tried;
mod unopened;
mod zone;

pub use backoff::Backoff;
pub use billing::{Billing, Day};
pub use books::{Books, DAYS_KEPT, MONTHS_KEPT};
pub use budget::{Budget, CAP_BYTES_MIN, Held, LEASE_BYTES, Level, MARGIN_BYTES, Plan, PlanError, Spent};
pub use changes::{Changes, Cursor};
pub use clock::Now;
pub use connection::Attempt;
pub use control::{Change, Scalar};
pub use document::{Document, Receipt, Transaction, Watch};
pub use duration::{DurationError, parse_duration, show_duration};
pub use engine::DOCUMENTS_MAX;
pub use error::{EdgeError, OpenError};
pub use handle::{Edge, ledger};
pub use line::{LineOptions, Port, PortError};
pub use meter::WASTE_BYTES_MAX;
pub use options::{Aggregator, Options, Timing};
pub use place::{Initialized, connect, init, public_key, socket_path, store_path};
pub use policy::{
    BadRule, DELAY_MAX, DeadBand, DocumentPolicy, POLICY_PATH, Placed, Policy, Priority, RULES_MAX, Rule,
    RuleError, RuleReport, Source, Terms,
};
pub use report::{LedgerReport, ReportRow};
pub use service::{EdgeRequest, Service, Written};
pub use size::{SizeError, parse_size};
pub use status::{
    Awaited, BudgetStatus, CompanyStatus, DocumentStatus, LineStatus, LinkState, Problem, Status,
};
pub use tried::{Outcome, Tried};
pub use unopened::UnopenedDocument;
pub use zone::{Zone, ZoneError};
