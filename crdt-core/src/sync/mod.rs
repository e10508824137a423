//! The state of a conversation: what is remembered of a peer for good, and of a session while it is open.
//!
//! The rules that move this state are in [`replica`](crate::replica).

mod carrier;
mod conflict;
mod event;
mod incoming;
mod memory;
mod names;
mod outgoing;
mod peer;
mod repair;
mod session;
mod sessions;

pub(crate) use carrier::Carrier;
pub use conflict::{Conflict, Version};
pub use event::Event;
pub(crate) use event::Events;
pub(crate) use incoming::{Incoming, Need};
pub(crate) use memory::DictionaryPath;
pub use memory::Memory;
pub(crate) use names::Names;
pub(crate) use outgoing::{Batch, ClaimSent, FirstBase, Outgoing};
pub(crate) use peer::{Peer, Peers};
pub(crate) use repair::{Compare, Phase, Repair, Task};
pub(crate) use session::Again;
pub(crate) use session::Session;
pub use session::SessionId;
pub(crate) use sessions::Sessions;
