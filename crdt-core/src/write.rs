//! The writes of a transaction, and the memory for those of one that is put together.

use crate::cell::{Content, Path, Value};
use crate::error::CapacityError;
#[cfg(feature = "alloc")]
use crate::limits::TRANSACTION_WRITES_MAX;

/// One write of a transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Write<'a> {
    pub(crate) path: Path<'a>,
    pub(crate) content: Content<'a>,
    /// The content is a number that is added to the integer that stands there when the write is made.
    adds: bool,
}

impl<'a> Write<'a> {
    /// Puts a scalar at `path`; what was there and below is gone.
    pub fn set(path: Path<'a>, value: impl Into<Value<'a>>) -> Self {
        Self::put(path, Content::Value(value.into()))
    }

    /// Puts an empty map at `path`; what was there and below is gone.
    pub fn map(path: Path<'a>) -> Self {
        Self::put(path, Content::Map)
    }

    /// Puts an empty list at `path`; what was there and below is gone.
    pub fn list(path: Path<'a>) -> Self {
        Self::put(path, Content::List)
    }

    /// Deletes what is at `path` and below.
    pub fn delete(path: Path<'a>) -> Self {
        Self::put(path, Content::Tombstone)
    }

    /// Adds to the integer at `path`, 0 where none is, when the write is made: so several additions in one transaction all
    /// count.
    pub(crate) fn add(path: Path<'a>, amount: i64) -> Self {
        Self { adds: true, ..Self::set(path, amount) }
    }

    fn put(path: Path<'a>, content: Content<'a>) -> Self {
        Self { path, content, adds: false }
    }

    /// What is added, if this is an addition.
    pub(crate) fn amount(&self) -> Option<i64> {
        match self.content {
            Content::Value(Value::I64(amount)) if self.adds => Some(amount),
            _ => None,
        }
    }

    /// The content with the longest encoding that the write can come to.
    pub(crate) fn longest(&self) -> Content<'a> {
        if self.adds { Content::Value(Value::I64(i64::MIN)) } else { self.content }
    }
}

/// Memory for the writes of a transaction that is put together: part of what a [`Storage`](crate::Storage) provides.
///
/// Both kinds have no code to run when they are dropped, so a value may be made after the [`Transaction`](crate::Transaction)
/// that borrows it.
pub trait Pending<'w>: Default {
    /// Appends a write. O(1).
    ///
    /// # Errors
    /// [`CapacityError::Writes`] when there is no capacity for another one; nothing has changed then.
    fn push(&mut self, write: Write<'w>) -> Result<(), CapacityError>;
    /// Keeps the first `len` writes.
    fn truncate(&mut self, len: usize);
    /// The writes, in order.
    fn as_slice(&self) -> &[Write<'w>];
}

/// At most `N` writes, inside the value. A write takes 32 bytes where addresses have 32 bits, and 48 where they have 64.
#[derive(Clone, Debug)]
pub struct PendingFixed<'w, const N: usize> {
    /// Not a `heapless::Vec`: that one is dropped, and so would want values that live longer than the transaction.
    writes: [Write<'w>; N],
    len: usize,
}

impl<const N: usize> Default for PendingFixed<'_, N> {
    fn default() -> Self {
        Self { writes: [Write::delete(Path::from_checked("")); N], len: 0 }
    }
}

impl<'w, const N: usize> Pending<'w> for PendingFixed<'w, N> {
    fn push(&mut self, write: Write<'w>) -> Result<(), CapacityError> {
        let Some(place) = self.writes.get_mut(self.len) else {
            return Err(CapacityError::Writes { needed: N + 1, limit: N });
        };
        *place = write;
        self.len += 1;
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    fn as_slice(&self) -> &[Write<'w>] {
        &self.writes[..self.len]
    }
}

/// Writes on the heap, at most [`TRANSACTION_WRITES_MAX`].
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Default)]
pub struct PendingHeap<'w>(alloc::vec::Vec<Write<'w>>);

#[cfg(feature = "alloc")]
impl<'w> Pending<'w> for PendingHeap<'w> {
    fn push(&mut self, write: Write<'w>) -> Result<(), CapacityError> {
        if self.0.len() == TRANSACTION_WRITES_MAX {
            let limit = TRANSACTION_WRITES_MAX;
            return Err(CapacityError::Writes { needed: limit + 1, limit });
        }
        self.0.push(write);
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    fn as_slice(&self) -> &[Write<'w>] {
        &self.0
    }
}

const _: () = assert!(size_of::<Write<'_>>() == if size_of::<usize>() == 4 { 32 } else { 48 });
