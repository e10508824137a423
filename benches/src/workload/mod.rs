//! What is played on the systems, and what is measured of it.

mod bytes;
mod catalogue;
mod documents;
mod heap;
mod merge;

pub use catalogue::{Figure, Measured, Target, WORKLOADS, Workload, targets};
pub use documents::normal;
pub use heap::ALLOCATOR;
