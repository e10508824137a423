//! Two links joined by a pipe, in virtual time; and the driver over real sockets.

mod bytes;
mod driver;
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
