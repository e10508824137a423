//! What the socket takes. All lengths in bytes.

/// The longest request line, without its line feed. The longest value fits, even if each of its bytes is escaped.
pub const REQUEST_LEN_MAX: usize = 64 * 1024;

/// The longest reply line that a client reads: a whole document of the default size, written as JSON.
pub const REPLY_LEN_MAX: usize = 256 << 20;

/// The longest path of a socket: the system's limit on Linux. A longer one works as well if its name is short enough,
/// because it is reached through its directory.
pub const SOCKET_PATH_LEN_MAX: usize = 107;

/// Most connections served at once; more wait until one is closed.
pub const CONNECTIONS_MAX: usize = 64;

const _: () = assert!(
    crdt_core::limits::VALUE_LEN_MAX * 6 + crdt_core::limits::PATH_LEN_MAX * 6 + 1024 <= REQUEST_LEN_MAX,
    "a request with the longest value and the longest path must fit"
);
