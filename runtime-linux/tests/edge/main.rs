//! The edge against a small aggregator over real UDP, and the binary as a process.

#![expect(clippy::unwrap_used, reason = "a test says by its panic what went wrong")]

mod kernel;
mod ledger;
mod line;
mod policy;
mod process;
mod stores;
mod support;
mod sync;
