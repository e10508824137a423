//! The rules of documents, merging and syncing, from outside. What counts the heap is in `tests/heap`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod clocks;
mod common;
mod counters;
mod defaults;
mod documents;
mod events;
mod forgetting;
mod golden;
mod held;
mod hostile;
#[cfg(feature = "std")]
mod json;
mod laws;
mod layers;
mod receipts;
mod repair;
mod resume;
mod retirement;
mod sessions;
mod transactions;
mod typed;
#[cfg(feature = "std")]
mod typed_exact;
mod types;
mod urgent;
