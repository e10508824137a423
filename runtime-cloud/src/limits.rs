//! Every bound of the aggregator, in one place. Each constant names its unit in its documentation.
//!
//! Where a bound is reached, the one who reached it is told so: a device by the text its connection is closed with, a
//! command by its error. Input beyond [`INPUT_BYTES_MAX`] is not refused but left in the network: it comes later.

use std::time::Duration;

use crdt_core::Limits;
use crdt_core::limits::{PATH_LEN_MAX, VALUE_LEN_MAX};
use transport_quic::MESSAGE_LEN_MAX;

/// Most documents of one aggregator. Each is in memory from its first use to the end of the process.
pub const DOCUMENTS_MAX: usize = 10_000;

/// Most cells, and bytes of paths and values, of one document.
pub const DOCUMENT_LIMITS: Limits = Limits { cells: 1 << 18, bytes: 16 << 20 };

/// Most devices that may be allowed in.
pub const DEVICES_MAX: usize = 100_000;

/// Most documents that one device may be allowed by name, before it is better allowed to open all of them.
pub const GRANTS_MAX: usize = 1_000;

/// Most documents open on one connection.
pub const SESSIONS_PER_CONNECTION_MAX: usize = 64;

/// Input that waits for commits, of all documents together, in bytes. Beyond it nothing more is read from the network,
/// and flow control holds the devices back.
pub const INPUT_BYTES_MAX: usize = 8 << 20;

/// What a queued input counts beside its own bytes, in bytes.
pub const INPUT_OVERHEAD_BYTES: usize = 64;

/// Commands that wait for a commit or for a document.
pub const REQUESTS_MAX: usize = 1_024;

/// Watches that are open.
pub const WATCHES_MAX: usize = 256;

/// The buffer for outgoing frames, in bytes: what fills one is sent in several messages.
pub const FRAME_BUFFER_BYTES: usize = 16 << 10;

/// Frames that wait until a device has acknowledged what was sent before, in bytes, for one connection. A whole
/// document fits, with its stamps.
pub const OUTBOX_BYTES_MAX: usize = 40 << 20;

/// The same for all connections together.
pub const OUTBOX_TOTAL_BYTES_MAX: usize = 512 << 20;

/// How long a connection may have frames waiting without acknowledging any, before it is forgotten. The device gets a
/// reset when it sends next, and connects again.
pub const STALLED_AFTER: Duration = Duration::from_secs(30 * 60);

/// How long a device waits for a commit before its connection is closed, with nothing acknowledged. It comes again, and
/// brings again what it has. A disk that works needs milliseconds.
pub const COMMIT_MAX: Duration = Duration::from_secs(30);

/// How often the aggregator looks after what is not urgent.
pub const TICK: Duration = Duration::from_secs(5);

/// Tombstones of one document that are kept without asking the devices what they have. Asking costs them bytes.
pub const TOMBSTONES_UNASKED_MAX: usize = 64;

/// How long a stop waits for the last commit and for devices to be told.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);

const _: () =
    assert!(FRAME_BUFFER_BYTES > PATH_LEN_MAX + VALUE_LEN_MAX + 256, "the longest cell fits in a frame");
const _: () = assert!(FRAME_BUFFER_BYTES <= MESSAGE_LEN_MAX, "a frame is one message");
const _: () = assert!(
    OUTBOX_BYTES_MAX > DOCUMENT_LIMITS.bytes + 64 * DOCUMENT_LIMITS.cells,
    "a device that starts anew can be sent its whole document"
);
