//! What a microcontroller puts around the core to keep its document: [`FlashLog`], a replica's records in two pages of
//! flash, one atomic step a commit.
//!
//! It is plain state: it reads no clock and no flash controller. No heap, no `unsafe`. The line to the gateway is the
//! crate `transport-serial`.

#![no_std]

#[cfg(test)]
extern crate std;

mod checksum;
mod flash_log;

pub use flash_log::{FlashLog, FlashLogError};
