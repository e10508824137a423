//! Reading from bytes of a peer, which may be anything.

use crate::varint;

/// The bytes are not a frame. Nothing of it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame ends within something.
    #[error("the frame ends at byte {offset}, within a message")]
    Truncated {
        /// Where, in bytes.
        offset: usize,
    },
    /// A number is overlong or too large for what it counts.
    #[error("the number at byte {offset} is not well formed or above its limit of {limit}")]
    Number {
        /// Where, in bytes.
        offset: usize,
        /// Largest value allowed.
        limit: u64,
    },
    /// A path is not one.
    #[error("the path at byte {offset} is not well formed")]
    Path {
        /// Where, in bytes.
        offset: usize,
    },
    /// A content is not one, or not in its one form.
    #[error("the content at byte {offset} is not well formed")]
    Content {
        /// Where, in bytes.
        offset: usize,
    },
    /// Something is referred to that was not defined.
    #[error("byte {offset} refers to number {reference}, but only {defined} are defined")]
    Reference {
        /// Where, in bytes.
        offset: usize,
        /// What was referred to.
        reference: u64,
        /// How many there are.
        defined: usize,
    },
    /// An unknown tag or reserved bits.
    #[error("byte {offset} is {tag:#04x}, which is no known tag")]
    Tag {
        /// Where, in bytes.
        offset: usize,
        /// The byte.
        tag: u8,
    },
    /// A frame is longer than any may be.
    #[error("the frame has {len} bytes, {limit} is the limit", limit = crate::limits::FRAME_LEN_MAX)]
    TooLong {
        /// Its length, in bytes.
        len: usize,
    },
}

/// The bytes are not what they should be: [`Reader::error`] tells the rest.
///
/// It is nothing but a sign, since every `?` of the readers would have to carry more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Takes things off the front of a slice, and keeps what was wrong first.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    /// `None`, while nothing is wrong but that the bytes may end too early.
    flaw: Option<DecodeError>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0, flaw: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.offset == self.bytes.len()
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.offset..]
    }

    /// What was wrong, after something was [`Damaged`].
    #[cold]
    #[inline(never)]
    pub(crate) fn error(&self) -> DecodeError {
        self.flaw.unwrap_or(DecodeError::Truncated { offset: self.bytes.len() })
    }

    /// Keeps what is wrong.
    #[cold]
    #[inline(never)]
    pub(crate) fn fail(&mut self, flaw: DecodeError) -> Damaged {
        self.flaw.get_or_insert(flaw);
        Damaged
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let taken = self.rest().get(..len).ok_or(Damaged)?;
        self.offset += len;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.bytes(N).map(|bytes| bytes.try_into().expect("N bytes were taken"))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damaged> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A LEB128 number of at most `limit`.
    pub(crate) fn varint(&mut self, limit: u64) -> Result<u64, Damaged> {
        let offset = self.offset;
        match varint::decode(self.rest()) {
            Some((value, len)) if value <= limit => {
                self.offset += len;
                Ok(value)
            }
            None if self.rest().len() < varint::LEN_MAX && self.rest().iter().all(|b| b & 0x80 != 0) => {
                Err(Damaged)
            }
            _ => Err(self.fail(DecodeError::Number { offset, limit })),
        }
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Damaged> {
        self.varint(u64::MAX).map(varint::unzigzag)
    }

    /// A time given as its distance from `last`.
    pub(crate) fn time_after(&mut self, last: u64) -> Result<u64, Damaged> {
        let offset = self.offset;
        let delta = self.signed()?;
        last.checked_add_signed(delta)
            .filter(|time| *time <= crate::limits::TIME_MAX)
            .ok_or_else(|| self.fail(DecodeError::Number { offset, limit: crate::limits::TIME_MAX }))
    }
}
