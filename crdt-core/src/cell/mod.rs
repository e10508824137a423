//! The document's only building block: a path, a stamp and a content.

mod content;
mod float;
mod path;
mod precedence;

pub(crate) use content::Scratch;
pub use content::{Content, Kind, Value, ValueError};
pub use path::{Path, PathError};
pub use precedence::dominates;

use crate::causal::Stamp;

/// A cell, borrowed from wherever it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell<'a> {
    /// Where.
    pub path: Path<'a>,
    /// Which transaction wrote it.
    pub stamp: Stamp,
    /// What it holds.
    pub content: Content<'a>,
}
