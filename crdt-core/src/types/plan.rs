//! Writes that are decided and not yet made.

use super::list::Position;
use super::path_buffer::PathBuffer;
use crate::cell::{Path, Value};
use crate::write::Write;

/// `N` writes with the paths they need, to be given to [`Replica::update`](crate::Replica::update).
///
/// It takes about 330 bytes a write, on the stack. `'v` is the lifetime of the application's values.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a plan changes nothing until its writes are given to `update`"]
pub struct Plan<'v, const N: usize>([Planned<'v>; N]);

impl<'v, const N: usize> Plan<'v, N> {
    pub(super) const fn new(writes: [Planned<'v>; N]) -> Self {
        Self(writes)
    }

    /// The path above the first write.
    pub(super) fn place(&self) -> Option<Path<'_>> {
        self.0.first()?.path.as_path().parent()
    }

    /// The writes, for a transaction.
    pub fn writes(&self) -> [Write<'_>; N] {
        self.0.each_ref().map(Planned::write)
    }
}

impl<'v> Plan<'v, 1> {
    /// The same with one more write.
    pub(super) fn with<'w>(self, write: Planned<'w>) -> Plan<'w, 2>
    where
        'v: 'w,
    {
        let [first] = self.0;
        Plan([first, write])
    }

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
    /// To the integer that stands there at the time of the commit.
    Add(i64),
    Delete,
    Position(Position),
    Value(Value<'v>),
}

impl Planned<'_> {
    fn write(&self) -> Write<'_> {
        let path = self.path.as_path();
        match &self.content {
            PlannedContent::Add(amount) => Write::add(path, *amount),
            PlannedContent::Delete => Write::delete(path),
            PlannedContent::Position(position) => Write::set(path, position.as_bytes()),
            PlannedContent::Value(value) => Write::set(path, *value),
        }
    }
}
