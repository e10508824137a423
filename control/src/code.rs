//! The codes of error replies: words for programs that stay the same. Both processes give these and no others, so one table
//! gives the exit codes of both command lines ([`Exit::of_reply`](crate::command::Exit::of_reply)).

/// Not the name of a document.
pub const BAD_NAME: &str = "bad_name";
/// Not a path.
pub const BAD_PATH: &str = "bad_path";
/// Not a request that the process knows, or one that lacks something.
pub const BAD_REQUEST: &str = "bad_request";
/// A value that cannot be stored.
pub const BAD_VALUE: &str = "bad_value";
/// So many requests wait that no more are taken.
pub const BUSY: &str = "busy";
/// A record in the store is not what was written.
pub const DAMAGED: &str = "damaged";
/// The document has no room.
pub const FULL: &str = "full";
/// A bug.
pub const INTERNAL: &str = "internal";
/// Nothing stands at the path.
pub const NOT_FOUND: &str = "not_found";
/// A rule of the document forbids it.
pub const REFUSED: &str = "refused";
/// The process is stopping, or has stopped.
pub const STOPPING: &str = "stopping";
/// The disk failed.
pub const STORE_FAILED: &str = "store_failed";
/// As many of something as there may be.
pub const TOO_MANY: &str = "too_many";
/// No document of that name.
pub const UNKNOWN_DOCUMENT: &str = "unknown_document";
