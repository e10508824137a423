//! The edge against a small aggregator over real UDP, and the binary as a process.

#![expect(clippy::unwrap_used, reason = "a test says by its panic what went wrong")]

mod address;
mod kernel;
mod ledger;
mod line;
mod numbers;
mod policy;
mod process;
mod receipts;
mod scripts;
mod stores;
mod support;
mod sync;
mod unchanged;
mod unopened;
mod zone;
