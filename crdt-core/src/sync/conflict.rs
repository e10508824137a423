//! A conflict: a write replaced a value that its sender had not seen.

use super::Memory;
use core::fmt;

use crate::causal::Stamp;
use crate::cell::{Content, Kind};
use crate::limits::CONFLICT_LEN;
use crate::list::List;
use crate::storage::Stored;
use crate::varint;

/// A live cell that was replaced by an incoming one whose sender was not known to have seen it. See
/// [`Event::Conflicts`](crate::Event::Conflicts).
///
/// It owns its data. Heap storage keeps all of it. Fixed storage keeps at most [`CONFLICT_LEN`] bytes: a path
/// that leaves no capacity for two numbers is cut, then the winning and then the lost text or bytes. Numbers
/// and markers are never cut. The document still has the winning value.
pub struct Conflict<S: Memory> {
    lost: Side,
    won: Side,
    /// The path of the lost cell (the winning path is a prefix of it), the lost payload, the winning payload.
    bytes: S::ConflictBytes,
}

/// One side of a [`Conflict`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConflictSide<'a> {
    /// The path of the write. For the winning side, it is the path of the lost cell or one above it.
    pub path: &'a str,
    /// The time and the writer.
    pub stamp: Stamp,
    /// What was written: a scalar, the marker of an empty map or list, or the delete that won.
    pub content: Content<'a>,
    /// Bytes of the path, and of a text or bytes value, in the document. What is shorter here was cut.
    pub full_len: (usize, usize),
}

impl ConflictSide<'_> {
    /// Whether nothing was cut.
    pub fn is_whole(&self) -> bool {
        (self.path.len(), long_len(self.content)) == self.full_len
    }
}

/// One side of a conflict, without its text.
#[derive(Clone, Copy, Debug)]
struct Side {
    stamp: Stamp,
    kind: Kind,
    path_len: u8,
    payload_len: u16,
    /// Bytes of the payload that are kept.
    kept: u16,
}

impl<S: Memory> Conflict<S> {
    pub(crate) fn new(lost: &Stored<'_>, won: &Stored<'_>) -> Self {
        let mut bytes = S::ConflictBytes::default();
        let path_len = cut(lost.path, bytes.capacity() - 2 * varint::LEN_MAX);
        let capacity = bytes.capacity() - path_len;
        // The lost value is stored nowhere else, so it is kept first.
        let lost_kept =
            cut_payload(lost.kind, lost.payload, capacity - won.payload.len().min(varint::LEN_MAX));
        let won_kept = cut_payload(won.kind, won.payload, capacity - lost_kept);
        let parts = [&lost.path.as_bytes()[..path_len], &lost.payload[..lost_kept], &won.payload[..won_kept]];
        for byte in parts.into_iter().flatten() {
            let pushed = bytes.push(*byte);
            debug_assert!(pushed.is_ok(), "what is kept was cut to the capacity");
        }
        let side = |cell: &Stored<'_>, kept| Side {
            stamp: cell.stamp,
            kind: cell.kind,
            path_len: cell.path.len() as u8,
            payload_len: cell.payload.len() as u16,
            kept: kept as u16,
        };
        Self { lost: side(lost, lost_kept), won: side(won, won_kept), bytes }
    }

    /// The path of the lost value. [`ConflictSide::is_whole`] returns whether it was cut.
    pub fn path(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.path_kept()]).expect("cut between characters")
    }

    /// The value that was lost, with its stamp.
    pub fn lost(&self) -> ConflictSide<'_> {
        let start = self.path_kept();
        self.version(&self.lost, start)
    }

    /// What replaced it, with its stamp.
    pub fn won(&self) -> ConflictSide<'_> {
        let start = self.path_kept() + usize::from(self.lost.kept);
        self.version(&self.won, start)
    }

    fn path_kept(&self) -> usize {
        self.bytes.len() - usize::from(self.lost.kept) - usize::from(self.won.kept)
    }

    fn version(&self, side: &Side, start: usize) -> ConflictSide<'_> {
        let (path, path_len) = (self.path(), usize::from(side.path_len));
        let payload = &self.bytes[start..start + usize::from(side.kept)];
        let content = Content::of(side.kind, payload).expect("only text and bytes are cut");
        let long = if side.kind.has_length() { side.payload_len.into() } else { 0 };
        let path = path.get(..path_len).unwrap_or(path);
        ConflictSide { path, stamp: side.stamp, content, full_len: (path_len, long) }
    }
}

impl<S: Memory> fmt::Debug for Conflict<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conflict").field("lost", &self.lost()).field("won", &self.won()).finish()
    }
}

/// Length of the longest prefix of `text` within `capacity` that has only whole characters, in bytes.
fn cut(text: &str, capacity: usize) -> usize {
    text.floor_char_boundary(capacity)
}

fn cut_payload(kind: Kind, payload: &[u8], capacity: usize) -> usize {
    match core::str::from_utf8(payload) {
        Ok(text) if kind == Kind::Str => cut(text, capacity),
        _ => payload.len().min(capacity),
    }
}

/// Length of a content that may have been cut.
fn long_len(content: Content<'_>) -> usize {
    use crate::cell::Value::{Bytes, Str};
    match content {
        Content::Value(Str(text)) => text.len(),
        Content::Value(Bytes(bytes)) => bytes.len(),
        _ => 0,
    }
}

const _: () = assert!(CONFLICT_LEN >= 2 * varint::LEN_MAX, "two numbers are kept whole");
