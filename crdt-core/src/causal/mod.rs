//! Causality: a stamp names a transaction, a version vector a set of transactions.

mod knowledge;
pub(crate) mod memory;
mod retired;
mod stamp;
mod version_vector;

pub(crate) use knowledge::Knowledge;
pub use knowledge::Rise;
pub use memory::KnowledgeMemory;
pub use retired::Retired;
pub(crate) use retired::RetiredIds;
pub use stamp::Stamp;
pub use version_vector::{VectorEntry, VersionVector};
