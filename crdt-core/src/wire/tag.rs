//! The registry of message tags and of the protocol version. A number that was released is never given another meaning.
//!
//! | tag | message | body |
//! |---:|---|---|
//! | 0x01 | Open | [`OpenHead`](super::OpenHead) |
//! | 0x02 | Batch, first flight | base, LEB128: 0: nothing is taken for granted; n + 1: the vector of the Open, but the sender's own time less n |
//! | 0x03 | Batch | none: the base is what the receiver said it has |
//! | 0x04 | Batch, full | none |
//! | 0x05 | Cells | a run of cells |
//! | 0x06 | End | claim: vector |
//! | 0x07 | End, please acknowledge | claim: vector |
//! | 0x08 | End of a full batch | claim: vector, floor: vector, horizon: replica, time |
//! | 0x09 | Ack | further claims that are durable: LEB128 |
//! | 0x0a | Ack with digest | as Ack, then the digest: 4 bytes, little endian |
//! | 0x0b | Need | batch number: LEB128, full: 0 or 1, what the sender has: vector |
//! | 0x0c | Stable | vector |
//! | 0x0d | Refused | batch number: LEB128, reason: its number and its numbers, in the order of [`Refusal`](super::Refusal), LEB128 each |
//! | 0x0e | Ask: please acknowledge what you have | none |
//! | 0x0f | Repair | a step of it: see [`repair`](super::repair) |
//! | 0x10 | Open again: list the vector, it is not known here by its hash | none |
//! | 0x11 | End: all of the sender's own up to the last time it sent | none |
//! | 0x12 | the same, please acknowledge | none |
//! | 0x13 | Retired | the last transactions of retired ids: vector; when they retired: zigzag LEB128, distance from the last time this side sent |
//! | 0x80.. | Update | a cell of the sender's own, which is a whole batch; see below |
//!
//! An Update stands for Batch (or follows one), one cell and End. Its tag holds, from the top: 1, literal path, please acknowledge, 0,
//! and the kind of the content in the low four bits. Then come path, time (LEB128, after the last time this side sent) and
//! payload, as in a run of cells.

pub(crate) const OPEN: u8 = 0x01;
pub(crate) const BATCH_FIRST: u8 = 0x02;
pub(crate) const BATCH: u8 = 0x03;
pub(crate) const BATCH_FULL: u8 = 0x04;
pub(crate) const CELLS: u8 = 0x05;
pub(crate) const END: u8 = 0x06;
pub(crate) const END_ASK: u8 = 0x07;
pub(crate) const END_FULL: u8 = 0x08;
pub(crate) const ACK: u8 = 0x09;
pub(crate) const ACK_DIGEST: u8 = 0x0a;
pub(crate) const NEED: u8 = 0x0b;
pub(crate) const STABLE: u8 = 0x0c;
pub(crate) const REFUSED: u8 = 0x0d;
pub(crate) const ASK: u8 = 0x0e;
pub(crate) const REPAIR: u8 = 0x0f;
pub(crate) const OPEN_AGAIN: u8 = 0x10;
pub(crate) const END_OWN: u8 = 0x11;
pub(crate) const END_OWN_ASK: u8 = 0x12;
pub(crate) const RETIRED: u8 = 0x13;
pub(crate) const UPDATE: u8 = 0x80;
pub(crate) const UPDATE_LITERAL: u8 = 0x40;
pub(crate) const UPDATE_ASK: u8 = 0x20;

/// Whether a message brings cells, or begins or ends a batch of them.
pub(crate) fn is_content(tag: u8) -> bool {
    matches!(tag, BATCH_FIRST..=END_FULL | END_OWN | END_OWN_ASK | UPDATE..)
}

/// The protocol version that Open carries. A peer with another one is refused with both numbers.
pub(crate) const PROTOCOL_VERSION: u8 = 1;
