//! A list that many replicas insert into, move in and delete from.

mod handle;
mod order;
mod position;
#[cfg(feature = "alloc")]
mod rebalance;

pub use handle::{ElementId, Insertion, List, ListError};
pub use order::Element;
pub(super) use position::Position;
#[cfg(feature = "alloc")]
pub use rebalance::Rebalance;

/// The key of an element's position.
const POSITION_KEY: &str = "@";
/// The key of an element's content, where it is one value.
const CONTENT_KEY: &str = "=";
