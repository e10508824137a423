//! The memory of sessions, and of what is remembered of peers.

use super::{Conflict, Event, Peer, Session, SessionId};
use crate::capacity::{Bytes, Cells, Peers, Replicas};
use crate::limits::{CONFLICT_LEN, CONFLICTS_FIXED_MAX, DICTIONARY_PATH_LEN_MAX};
#[cfg(feature = "alloc")]
use crate::limits::{CONFLICTS_HEAP_MAX, EVENTS_MAX, REPLICAS_MAX};
#[cfg(feature = "alloc")]
use crate::list::Growing;
use crate::list::List;
#[cfg(feature = "alloc")]
use crate::storage::Heap;
use crate::storage::{Fixed, Storage};

/// The memory of a replica: a document's [`Storage`], and lists for its sessions and peers. [`Fixed`] and [`Heap`] are both.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no memory of a replica",
    note = "without a heap it is `Fixed<Cells<32>, Bytes<1024>, Replicas<4>>`, in this order, and perhaps `Peers<1>` behind"
)]
pub trait Memory: Storage {
    /// Paths that a session has named.
    type Dictionary: List<DictionaryPath>;
    /// A short hash of each of these.
    type Marks: List<u16>;
    /// The ids that a session has named, in their order.
    type IdOrder: List<u16>;
    /// Events that wait for the application.
    type Events: List<Event>;
    /// What is remembered of peers.
    type Peers: List<Peer<Self>>;
    /// Sessions that are open.
    type Sessions: List<Session<Self>>;
    /// Those that may have something to send.
    type Ready: List<SessionId>;
    /// Conflicts that the application has not taken yet.
    type Conflicts: List<Conflict<Self>>;
    /// Path and values of one of them.
    type ConflictBytes: List<u8>;
    /// Paths that a session's dictionary holds, in each direction.
    const DICTIONARY_SLOTS: usize;
}

/// A path that is short enough to be remembered by a session.
pub(crate) type DictionaryPath = heapless::String<DICTIONARY_PATH_LEN_MAX>;

impl<const CELLS: usize, const BYTES: usize, const REPLICAS: usize, const PEERS: usize> Memory
    for Fixed<Cells<CELLS>, Bytes<BYTES>, Replicas<REPLICAS>, Peers<PEERS>>
{
    type Dictionary = heapless::Vec<DictionaryPath, { FIXED_DICTIONARY_SLOTS }>;
    type Marks = heapless::Vec<u16, 0>;
    type IdOrder = heapless::Vec<u16, 0>;
    type Events = heapless::Vec<Event, FIXED_EVENTS>;
    type Peers = heapless::Vec<Peer<Self>, PEERS>;
    type Sessions = heapless::Vec<Session<Self>, PEERS>;
    type Ready = heapless::Vec<SessionId, PEERS>;
    type Conflicts = heapless::Vec<Conflict<Self>, CONFLICTS_FIXED_MAX>;
    type ConflictBytes = heapless::Vec<u8, CONFLICT_LEN>;
    const DICTIONARY_SLOTS: usize = FIXED_DICTIONARY_SLOTS;
}

#[cfg(feature = "alloc")]
impl Memory for Heap {
    type Dictionary = Growing<DictionaryPath, { HEAP_DICTIONARY_SLOTS }>;
    type Marks = Growing<u16, { HEAP_DICTIONARY_SLOTS }>;
    type IdOrder = Growing<u16, REPLICAS_MAX>;
    type Events = Growing<Event, EVENTS_MAX>;
    type Peers = Growing<Peer<Self>, REPLICAS_MAX>;
    type Sessions = Growing<Session<Self>, REPLICAS_MAX>;
    type Ready = Growing<SessionId, REPLICAS_MAX>;
    type Conflicts = Growing<Conflict<Self>, CONFLICTS_HEAP_MAX>;
    type ConflictBytes = Growing<u8, { usize::MAX }>;
    const DICTIONARY_SLOTS: usize = HEAP_DICTIONARY_SLOTS;
}

const FIXED_DICTIONARY_SLOTS: usize = 16;
/// A device takes them after each input, which makes one or two.
const FIXED_EVENTS: usize = 8;
#[cfg(feature = "alloc")]
const HEAP_DICTIONARY_SLOTS: usize = 64;
