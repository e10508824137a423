//! What passes the socket, and the socket itself.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod scalar;
mod socket;
