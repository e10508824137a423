//! Bytes: what replicas say to each other.
//!
//! A frame belongs to one document on one connection: the document's handle (LEB128), then messages up to its end.
//!
//! | part | bytes | see |
//! |---|---|---|
//! | handle | LEB128 | chosen by the peer that opened the document on this connection |
//! | messages | each a tag, then its body | [`tag`] |
//!
//! Reading never allocates, checks every length before it believes it, and accepts exactly what writing makes. A frame
//! is read twice: first it is checked from end to end, then it is applied; a damaged one changes nothing.

mod cells;
mod cursor;
mod message;
mod reader;
pub(crate) mod repair;
pub(crate) mod tag;
mod text;
mod vector;
mod writer;

pub(crate) use cells::{RunWriter, WireCell, WirePath, cell_len_max};
pub(crate) use cursor::Cursor;
pub(crate) use message::{
    Message, MessageReader, OpenHead, OpenVector, OwnReplica, Refused, highest_time, write_relative_time,
};
pub use message::{Refusal, Resource, peek_handle, peek_is_content, peek_open, write_refusal};
pub use reader::DecodeError;
pub(crate) use reader::{Damaged, Reader};
pub(crate) use vector::{ReplicaRef, VectorReference, VectorSection, write_entry, write_replica};
pub(crate) use writer::{Full, Writer};
