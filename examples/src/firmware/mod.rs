//! The other end of `examples/firmware`: starts it in QEMU, plays its aggregator over the emulated serial port, disturbs
//! the line, and compares what both ends have.
//!
//! `run` is the story; the `gateway` is a replica behind a serial line, the `emulator` is the machine, the `report` is
//! what both have counted.

mod emulator;
mod error;
mod gateway;
mod options;
mod report;
mod run;

pub use run::main;
