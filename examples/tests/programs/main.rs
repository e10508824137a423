//! The programs as processes, and what the README says of them.

mod embedding;
mod fleet;
mod readme;
mod stores;
