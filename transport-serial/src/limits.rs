//! Every bound of the line, in one place.

use crate::packet::{CHECKSUM_LEN, HEAD_LEN};

/// Longest frame, in bytes. What is sent is written to a buffer of this length.
pub const FRAME_LEN_MAX: usize = 512;
/// Most bytes that one frame takes on the line.
pub const LINE_LEN_MAX: usize = ENCODED_LEN_MAX + 2;
/// Most frames that may be under way in one direction, whatever the two ends have capacity for.
pub const WINDOW_MAX: usize = 8;
/// The capacity of a reader that takes every frame at once: see [`Link::set_capacity`](crate::Link::set_capacity).
pub const CAPACITY_UNBOUNDED: u8 = u8::MAX;

/// Longest packet between two zeros, in bytes.
pub(crate) const ENCODED_LEN_MAX: usize = cobs::max_encoding_length(HEAD_LEN + FRAME_LEN_MAX + CHECKSUM_LEN);
/// The version of what stands on the line, told with each Begin.
pub(crate) const VERSION: u8 = 1;
/// How often a pause doubles.
pub(crate) const DOUBLINGS_MAX: u8 = 4;

const _: () = assert!(WINDOW_MAX < 1 << 5, "a credit has five bits");
const _: () = assert!(2 * WINDOW_MAX < 1 << 7, "a number of eight bits tells new frames from old ones");
