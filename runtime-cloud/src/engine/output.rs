//! What the engine wants done.

use control::Change;
use serde_json::Value as Json;
use storage_redb::Batch;
use transport_quic::{CloseCode, ConnectionId};

use super::request::RequestError;

/// One request, named by the driver. It must not be used again while the request is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Work for the driver, to be done in this order.
#[derive(Debug)]
#[must_use = "an output is work still to do"]
pub enum Output {
    /// Forget this connection without telling its peer, who has given it up.
    Abandon {
        /// Which one.
        conn: ConnectionId,
    },
    /// Close this connection.
    Close {
        /// Which one.
        conn: ConnectionId,
        /// Why, for the device's program.
        code: CloseCode,
        /// Why, for people.
        text: String,
    },
    /// Make this durable, all or nothing, then call [`Engine::handle_committed`](super::Engine::handle_committed). No
    /// other commit comes before that. If the disk fails, the engine is of no more use: drop it.
    Commit(Batch<'static>),
    /// Load this document and call [`Engine::handle_loaded`](super::Engine::handle_loaded).
    Load {
        /// Its name.
        document: String,
    },
    /// So many more of the messages that came on this connection are durable, or refused: the transport may
    /// acknowledge them.
    Release {
        /// On which one.
        conn: ConnectionId,
        /// How many.
        messages: u64,
    },
    /// Answer a request.
    Reply {
        /// Which one.
        request: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// Send this on a connection. There is capacity for it.
    Send {
        /// On which one.
        conn: ConnectionId,
        /// The message.
        frame: Vec<u8>,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Some lines of a watch. The next ones come after
    /// [`Engine::handle_watch_written`](super::Engine::handle_watch_written).
    Changes(Vec<Change>),
    /// It is done; the request is over.
    Done(Json),
    /// It is not done; the request is over.
    Failed(RequestError),
}
