//! Every bound of the format, in one place. Each constant names its unit in its documentation.

/// Longest path of a cell, in bytes of UTF-8.
pub const PATH_LEN_MAX: usize = 255;
/// Most keys in a path.
pub const PATH_DEPTH_MAX: usize = 16;
/// Longest string or byte value, in bytes.
pub const VALUE_LEN_MAX: usize = 4096;
/// Longest document name, in bytes of UTF-8.
pub const DOCUMENT_NAME_LEN_MAX: usize = 64;
/// Largest time of a stamp, in milliseconds since 1970: 48 bits, the year 10889.
pub const TIME_MAX: u64 = (1 << 48) - 1;
/// How far ahead of its own clock an aggregator admits a stamp, in milliseconds.
pub const ADMISSION_AHEAD_MS: u64 = 10 * 60 * 1000;
/// How long an aggregator keeps an id, in milliseconds, after a peer that knows more of an id than the aggregator made it take
/// another one.
pub const OWN_ID_KEPT_MS: u64 = 24 * 60 * 60 * 1000;
/// Largest difference between the clocks of a device and its aggregator that is not corrected, in
/// milliseconds. Half of what is admitted, so that an uncorrected clock is never refused.
pub const CLOCK_TOLERANCE_MS: u64 = ADMISSION_AHEAD_MS / 2;
/// Longest frame that any peer may send, in bytes.
pub const FRAME_LEN_MAX: usize = 64 * 1024;
/// Shortest frame buffer of a driver, in bytes: an Open with a full name and a few replicas must fit.
pub const FRAME_LEN_MIN: usize = 256;
/// Most replicas in a version vector, in entries. A frame that names more is refused before memory is
/// reserved.
pub const REPLICAS_MAX: usize = 4096;
/// Retired replica ids that are remembered, in entries, on the heap; fixed storage remembers none.
pub const RETIRED_MAX: usize = 1024;
/// Longest path that a path dictionary remembers, in bytes. Longer ones are sent in full each time.
pub const DICTIONARY_PATH_LEN_MAX: usize = 48;
/// Longest position of a list's element, in bytes. The same on every replica: a longer one does not count as a position.
pub const POSITION_LEN_MAX: usize = 48;
/// Positions up to this length, in bytes, are kept when a list is rebalanced.
pub const POSITION_LEN_SHORT: usize = 8;
/// Characters of the id of a list's element: 42 random bits.
pub const ELEMENT_ID_LEN: usize = 7;
/// Most cells that a session sends ahead of the others in a batch. Further ones are sent in their turn.
pub const URGENT_CELLS_MAX: usize = 8;
/// Events that are queued before the oldest is dropped (and counted), on the heap; 8 in fixed storage.
pub const EVENTS_MAX: usize = 32;
/// Conflicts whose details fixed storage keeps for the application before the oldest are dropped (and counted).
pub const CONFLICTS_FIXED_MAX: usize = 2;
/// Conflicts whose details heap storage keeps for the application before the oldest are dropped (and counted).
pub const CONFLICTS_HEAP_MAX: usize = 64;
/// Bytes of path and both values that fixed storage keeps of one conflict.
pub const CONFLICT_LEN: usize = 128;
/// Most options and newtypes around one value that is written or read as a type.
pub const TYPED_NESTING_MAX: usize = 64;
/// Most writes of a [`Transaction`](crate::Transaction) on the heap; in fixed storage as many as it has
/// cells.
pub const TRANSACTION_WRITES_MAX: usize = 1 << 20;
/// Longest text in an error of typed access, in bytes of UTF-8. What is longer is cut off.
pub const ERROR_TEXT_LEN_MAX: usize = 56;

const _: () =
    assert!(PATH_LEN_MAX + VALUE_LEN_MAX + 64 < FRAME_LEN_MAX, "the largest cell must fit in a frame");
const _: () = assert!(DICTIONARY_PATH_LEN_MAX <= PATH_LEN_MAX);
