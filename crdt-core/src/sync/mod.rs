//! The state of a conversation: what is remembered of a peer for good, and of a session while it is open.
//!
//! The rules that move this state are in [`replica`](crate::replica).

mod carrier;
mod conflict;
mod event;
mod memory;
mod names;
mod peer;
mod repair;
mod session;
mod sessions;

pub(crate) use carrier::Carrier;
pub use conflict::{Conflict, Version};
pub use event::Event;
pub(crate) use event::Events;
pub(crate) use memory::DictionaryPath;
pub use memory::Memory;
pub(crate) use names::Names;
pub(crate) use peer::{Peer, Peers};
pub(crate) use repair::{Phase, Repair, Task};
pub(crate) use session::Session;
pub use session::SessionId;
pub(crate) use session::{Again, Batch, ClaimSent, FirstBase, Need};
pub(crate) use sessions::Sessions;
