//! What a microcontroller puts around the core: a line that carries frames, and a log that keeps the document.
//!
//! - [`Link`]: frames over a serial port or a pipe, with a checksum, and connections that begin again after a loss;
//! - [`FlashLog`]: a replica's records in two pages of flash, one atomic step a commit.
//!
//! Both are plain state: they read no port, no clock and no flash controller. No heap, no `unsafe`.

#![no_std]

#[cfg(test)]
extern crate std;

mod checksum;
mod flash_log;
mod link;

pub use flash_log::{FlashLog, FlashLogError};
pub use link::{Counters, FRAME_LEN_MAX, FrameTooLong, Input, LINE_LEN_MAX, Link};
