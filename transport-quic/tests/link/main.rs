//! Two links joined by a pipe, in virtual time.

mod bytes;
mod faults;
mod floor;
mod hostile;
mod identity;
mod ipv6;
mod limit;
mod messages;
mod pipe;
mod receipts;
mod resumption;
mod roaming;
mod stranger;
