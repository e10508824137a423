//! The writes of a transaction, and the memory in which a transaction collects them.

use crate::cell::{Content, Path, Value};
use crate::error::CapacityError;
#[cfg(feature = "alloc")]
use crate::limits::TRANSACTION_WRITES_MAX;

/// One write of a transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Write<'a> {
    pub(crate) path: Path<'a>,
    pub(crate) content: Content<'a>,
    /// The content is a number to add to the integer at `path` when the write is made.
    adds: bool,
}

impl<'a> Write<'a> {
    /// Puts a scalar at `path`, and removes what was there and below.
    pub fn set(path: Path<'a>, value: impl Into<Value<'a>>) -> Self {
        Self::put(path, Content::Value(value.into()))
    }

    /// Puts an empty map at `path`, and removes what was there and below.
    pub fn map(path: Path<'a>) -> Self {
        Self::put(path, Content::Map)
    }

    /// Puts an empty list at `path`, and removes what was there and below.
    pub fn list(path: Path<'a>) -> Self {
        Self::put(path, Content::List)
    }

    /// Deletes what is at `path` and below.
    pub fn delete(path: Path<'a>) -> Self {
        Self::put(path, Content::Tombstone)
    }

    /// Adds to the integer at `path`, or to 0 if there is none, when the write is made. So several additions
    /// in one transaction all count.
    pub(crate) fn add(path: Path<'a>, amount: i64) -> Self {
        Self { adds: true, ..Self::set(path, amount) }
    }

    fn put(path: Path<'a>, content: Content<'a>) -> Self {
        Self { path, content, adds: false }
    }

    /// The amount, if this is an addition.
    pub(crate) fn amount(&self) -> Option<i64> {
        match self.content {
            Content::Value(Value::I64(amount)) if self.adds => Some(amount),
            _ => None,
        }
    }

    /// The content with the longest encoding that the write can result in.
    pub(crate) fn longest(&self) -> Content<'a> {
        if self.adds { Content::Value(Value::I64(i64::MIN)) } else { self.content }
    }
}

/// Memory for the writes of a [`Transaction`](crate::Transaction): part of what a [`Storage`](crate::Storage)
/// provides.
///
/// Neither kind uses the writes when it is dropped, so a value may be created after the
/// [`Transaction`](crate::Transaction) that borrows it.
pub trait Pending<'w>: Default {
    /// Appends a write. O(1).
    ///
    /// # Errors
    /// [`CapacityError::Writes`] if there is no capacity for another one; nothing has changed then.
    fn push(&mut self, write: Write<'w>) -> Result<(), CapacityError>;
    /// Keeps the first `len` writes.
    fn truncate(&mut self, len: usize);
    /// The writes, in order.
    fn as_slice(&self) -> &[Write<'w>];
}

/// At most `N` writes, stored inline. A write takes 32 bytes on 32-bit targets, and 48 on 64-bit targets.
#[derive(Clone, Debug)]
pub struct PendingFixed<'w, const N: usize> {
    /// Not a `heapless::Vec`: its `Drop` would require values that outlive the transaction.
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
