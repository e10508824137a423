//! A list that many replicas insert into, move in and delete from.

mod element_id;
mod handle;
mod insertion;
mod order;
pub(crate) mod place;
mod position;
#[cfg(feature = "alloc")]
mod rebalance;

pub use handle::{List, ListError};
pub use insertion::Insertion;
pub use order::Element;
pub(super) use position::Position;
#[cfg(feature = "alloc")]
pub use rebalance::Rebalance;

/// The key of an element's position.
pub(crate) const POSITION_KEY: &str = "@";
/// The key of an element's content, where it is one value.
pub(crate) const CONTENT_KEY: &str = "=";
