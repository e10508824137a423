//! How costs grow: with the cells of a document, with the writes of a transaction, with the members of a fleet.
//!
//! Times are this machine's: read the growth from one size to the next.

pub mod cells;
mod end;
pub mod fleet;
pub mod hostile;
pub mod members;
pub mod rewriting;
pub mod writing;

use std::time::{Duration, Instant};

pub use end::{End, settle};

/// What one workload cost at one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cost {
    /// One operation takes so long.
    Each(Duration),
    /// So many operations are done in a second.
    PerSecond(f64),
}

/// A workload, and the sizes at which it is measured.
#[derive(Clone, Copy)]
pub struct Workload {
    /// Its name in the output.
    pub name: &'static str,
    /// What is counted by its size.
    pub unit: &'static str,
    /// What is measured.
    pub what: &'static str,
    /// Sizes, if none are given.
    pub sizes: &'static [usize],
    /// Measures it at one size.
    pub measure: fn(usize) -> anyhow::Result<Cost>,
}

/// All workloads, in the order of their output.
pub const WORKLOADS: [Workload; 16] = [
    cells::SET,
    cells::GET,
    cells::DELTA_1,
    cells::DELTA_100,
    cells::SINCE_1,
    cells::FULL_CELL,
    fleet::FAN_OUT,
    fleet::FORWARD,
    fleet::QUIET,
    fleet::ROUND,
    members::MEMBERS,
    rewriting::REISSUE,
    rewriting::FORK,
    writing::TRANSACTION,
    writing::TYPED_WRITE,
    hostile::WANT,
];

/// The time of one call.
fn timed<T>(call: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    std::hint::black_box(call()?);
    Ok(start.elapsed())
}

/// The median of an odd number of rounds: what else the machine does shows in the slow ones.
fn median(
    rounds: usize,
    mut round: impl FnMut(usize) -> anyhow::Result<Duration>,
) -> anyhow::Result<Duration> {
    let mut times = (0..rounds).map(&mut round).collect::<anyhow::Result<Vec<_>>>()?;
    times.sort_unstable();
    Ok(times[rounds / 2])
}
