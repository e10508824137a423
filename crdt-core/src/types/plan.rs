//! Writes that are decided and not yet made.

use super::list::Position;
use super::path_buffer::PathBuffer;
use crate::cell::Value;
use crate::document::Write;

/// `N` writes with the paths they need, to be given to [`Replica::update`](crate::Replica::update).
///
/// It takes about 300 bytes a write, on the stack. `'v` is the lifetime of the application's values.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a plan changes nothing until its writes are given to `update`"]
pub struct Plan<'v, const N: usize>([Planned<'v>; N]);

impl<'v, const N: usize> Plan<'v, N> {
    pub(super) const fn new(writes: [Planned<'v>; N]) -> Self {
        Self(writes)
    }

    /// The writes, for a transaction.
    pub fn writes(&self) -> [Write<'_>; N] {
        self.0.each_ref().map(Planned::write)
    }
}

impl Plan<'_, 1> {
    /// The write, for a transaction with others.
    pub fn write(&self) -> Write<'_> {
        self.0[0].write()
    }
}

/// One write of a plan.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Planned<'v> {
    pub(super) path: PathBuffer,
    pub(super) content: PlannedContent<'v>,
}

/// What a planned write puts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PlannedContent<'v> {
    Delete,
    Position(Position),
    Value(Value<'v>),
}

impl Planned<'_> {
    fn write(&self) -> Write<'_> {
        let path = self.path.as_path();
        match &self.content {
            PlannedContent::Delete => Write::delete(path),
            PlannedContent::Position(position) => Write::set(path, position.as_bytes()),
            PlannedContent::Value(value) => Write::set(path, *value),
        }
    }
}
