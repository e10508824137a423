//! The aggregator.
pub mod access;
pub mod cli;
mod disk;
pub mod engine;
mod error;
pub mod limits;
mod offline;
mod place;
mod report;
mod server;
pub mod status;

pub use error::ServeError;
pub use offline::Offline;
pub use place::Place;
pub use server::{Options, Server};
