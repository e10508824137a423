//! The real binary, with devices made of the real transport and the real replica.

mod access;
mod device;
mod durability;
mod faults;
mod numbers;
mod process;
mod scripts;
mod stores;
mod sync;
