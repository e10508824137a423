//! The real binary, with devices made of the real transport and the real replica.

mod access;
mod device;
mod durability;
mod faults;
mod process;
mod stores;
mod sync;
