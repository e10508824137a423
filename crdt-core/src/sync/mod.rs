//! Sessions: the protocol by which two replicas sync one document.
//!
//! | file | what |
//! |---|---|
//! | `session`, `phase`, `carrier` | the state machine, its phase, and the driver's settings |
//! | `open` | both sides exchange version vectors |
//! | `outgoing`, `claims`, `send` | what the peer has, what was claimed, and writing frames |
//! | `incoming`, `receive`, `apply` | reading frames, and applying the batches in them |
//! | `repair`, `retired` | messages with rules of their own |
//! | `context` | the state that all sessions of a replica share; `counter` and `reissue` are rules on it |
//! | `sessions`, `peer`, `event`, `conflict`, `conflicts`, `names`, `memory`, `error` | parts of these |

mod apply;
mod carrier;
mod claims;
mod conflict;
mod conflicts;
mod context;
mod counter;
mod error;
mod event;
mod incoming;
mod memory;
mod names;
mod open;
mod outgoing;
mod peer;
mod phase;
mod receive;
mod reissue;
mod repair;
mod retired;
mod send;
mod session;
mod sessions;

pub(crate) use carrier::Carrier;
pub(crate) use claims::{Claim, Claims};
pub use conflict::{Conflict, ConflictSide};
pub(crate) use conflicts::Conflicts;
pub(crate) use context::Context;
pub use error::PeerError;
pub(crate) use error::{Fork, Stop, Turn};
pub use event::Event;
pub(crate) use event::Events;
pub(crate) use incoming::{Incoming, Need, Receiving, Skipped};
pub(crate) use memory::DictionaryPath;
pub use memory::Memory;
pub(crate) use names::Names;
#[cfg(all(test, feature = "alloc"))]
pub(crate) use open::open_head;
pub(crate) use outgoing::{FirstBase, Outgoing, Sending};
pub(crate) use peer::{Peer, Peers};
pub(crate) use phase::{Awaited, Closing, Opened, Opening, Phase};
pub(crate) use reissue::{cell_of_change, copy_path, in_order_of_stamps};
pub(crate) use repair::Compare;
pub use repair::Repairs;
pub use session::SessionId;
pub(crate) use session::{Outcome, Session};
pub(crate) use sessions::Sessions;
