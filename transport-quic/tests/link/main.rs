//! Two links joined by a pipe, in virtual time.

mod bytes;
mod faults;
mod floor;
mod identity;
mod messages;
mod pipe;
mod roaming;
mod stranger;
