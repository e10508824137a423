//! Two links joined by a pipe, in virtual time.

mod bytes;
mod faults;
mod floor;
mod identity;
mod messages;
mod pipe;
mod receipts;
mod roaming;
mod stranger;
