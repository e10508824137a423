//! The aggregator without its socket, its disk and its clock.
//!
//! [`Engine`] is a state machine. Inputs: events of the link, requests of people, "it is loaded", "it is committed", and
//! a tick. Outputs ([`Output`]): frames to send, connections to close, documents to load, one batch to commit, and
//! answers. A driver (`server`) carries them to the network and the disk; a test carries them to a vector.
//!
//! # The way of a frame
//!
//! 1. `router`: connection and handle name the document; a first frame opens it, if the key may.
//! 2. `hosted`: the frame waits in the document's inbox while the document is being loaded or committed. Otherwise the
//!    replica takes all that waits, and what changed goes into the batch that is being collected.
//! 3. `state`: when no commit is under way, the batch is committed, whatever documents are in it.
//! 4. Only then the replica is asked for frames: acknowledgements, and the change for everybody else.
//!
//! So one commit serves all documents that changed while the previous one was under way, and nothing leaves before it
//! is durable.
//!
//! # What waits, and where
//!
//! Input waits in inboxes; [`Engine::accepts_input`] says when the driver must stop reading. Frames wait for a device in
//! its connection's outbox, which is bounded; a device that is too slow for it is disconnected and loses nothing.

mod events;
mod hosted;
mod output;
mod request;
mod router;
mod state;
#[cfg(test)]
mod tests;
mod watch;

pub use output::{Output, Reply, RequestId};
pub use request::{Request, RequestError};
pub(crate) use state::replica_config;
pub use state::{Engine, Setup};
