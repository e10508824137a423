//! Ours beside the rivals.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod differential;
mod link;
mod workloads;
