//! Who has seen what: stamps name transactions, version vectors sum up sets of them.

mod stamp;
mod version_vector;

pub use stamp::Stamp;
pub use version_vector::{Entry, VersionVector};
