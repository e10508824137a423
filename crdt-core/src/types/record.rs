//! A value of several fields that lives and dies whole.

use core::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::cell::{Path, Value};
use crate::document::Document;
use crate::limits::VALUE_LEN_MAX;
use crate::storage::Storage;
use crate::write::Write;

/// A record at a path: one cell that holds a `serde` type, encoded with postcard.
///
/// For fields that make sense together only. As there is one cell, the fields of two writers never mix: the newer
/// record wins whole. What it costs: to change one field is to send them all. Both sides must use the same type; an
/// `enum` with a variant per version leaves capacity for change.
///
/// ```
/// use crdt_core::capacity::{Bytes, Cells, Replicas};
/// use crdt_core::types::Record;
/// use crdt_core::{Document, DocumentName, Fixed, Limits, Moment, Path, ReplicaId};
/// use serde::{Deserialize, Serialize};
///
/// // A latitude with somebody else's longitude is no place.
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Position {
///     latitude: f64,
///     longitude: f64,
/// }
/// let name = DocumentName::new("truck-7")?;
/// type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<4>>;
/// let mut document = Document::<Small>::new(&name, ReplicaId::new(1), Limits::default());
/// let depot = Record::<Position>::at(Path::new("depot")?);
///
/// let mut buffer = [0; 16];
/// let write = depot.encode(&Position { latitude: 47.37, longitude: 8.54 }, &mut buffer)?;
/// document.update(Moment::new(1_000), &[write])?;
/// assert_eq!(depot.read(&document)?.map(|p| p.latitude), Some(47.37));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Record<'p, T> {
    path: Path<'p>,
    value: PhantomData<fn() -> T>,
}

impl<'p, T> Record<'p, T> {
    /// The record at `path`.
    pub const fn at(path: Path<'p>) -> Self {
        Self { path, value: PhantomData }
    }

    /// Where the record is.
    pub const fn path(self) -> Path<'p> {
        self.path
    }

    /// Encodes `value` into `buffer`, and plans to write that. O(size).
    ///
    /// # Errors
    /// [`RecordAccessError::TooLong`] when it needs more than the buffer has, or more than 4096 bytes;
    /// [`RecordAccessError::Unsupported`] when the type cannot be encoded.
    pub fn encode<'b>(self, value: &T, buffer: &'b mut [u8]) -> Result<Write<'b>, RecordAccessError>
    where
        T: Serialize,
        'p: 'b,
    {
        let size = postcard::ser_flavors::Size::default();
        let len = postcard::serialize_with_flavor(value, size).map_err(|_| RecordAccessError::Unsupported)?;
        let limit = buffer.len().min(VALUE_LEN_MAX);
        if len > limit {
            return Err(RecordAccessError::TooLong { len, limit });
        }
        let bytes = postcard::to_slice(value, buffer).map_err(|_| RecordAccessError::Unsupported)?;
        Ok(Write::set(self.path, &*bytes))
    }

    /// The record, or `None` where nothing stands. Strings and bytes may borrow from the document. O(size).
    ///
    /// # Errors
    /// [`RecordAccessError::NotARecord`], [`RecordAccessError::Malformed`].
    pub fn read<'d, S: Storage>(self, document: &'d Document<S>) -> Result<Option<T>, RecordAccessError>
    where
        T: Deserialize<'d>,
    {
        if document.node(self.path).is_none() {
            return Ok(None);
        }
        let Some(Value::Bytes(bytes)) = document.get(self.path) else {
            return Err(RecordAccessError::NotARecord);
        };
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(Some(value)),
            Ok(_) | Err(_) => Err(RecordAccessError::Malformed { len: bytes.len() }),
        }
    }
}

/// Written by hand: the derived ones would want the same of `T`.
impl<T> Clone for Record<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Record<'_, T> {}

/// Why a record was not encoded or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordAccessError {
    /// The bytes are not exactly one value of the type.
    #[error("the {len} bytes here are not a record of this type: it was written with another one")]
    Malformed {
        /// Bytes that stand there.
        len: usize,
    },
    /// Something else stands at the path.
    #[error("what stands here is not a record: it is not bytes")]
    NotARecord,
    /// The record does not fit.
    #[error(
        "the record has {len} bytes, and {limit} is the limit: give a larger buffer (4096 at most) or split it"
    )]
    TooLong {
        /// Bytes needed.
        len: usize,
        /// Bytes of the buffer, at most 4096.
        limit: usize,
    },
    /// A sequence without a length, or another type that postcard cannot encode.
    #[error("the type cannot be encoded: postcard knows no sequences of unknown length")]
    Unsupported,
}
