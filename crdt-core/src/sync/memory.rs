//! The memory for sessions and peers.

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

/// The memory of a replica: a document's [`Storage`], and lists for its sessions and peers. [`Fixed`] and
/// [`Heap`] implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no memory of a replica",
    note = "without a heap it is `Fixed<Cells<32>, Bytes<1024>, Replicas<4>>`, in this order, and perhaps `Peers<1>` behind"
)]
pub trait Memory: Storage {
    /// The path dictionary of a session.
    type Dictionary: List<DictionaryPath>;
    /// A short hash of each path in it.
    type Marks: List<u16>;
    /// Indices of the ids that a session has defined, sorted by id.
    type IdOrder: List<u16>;
    /// Events that the application has not taken yet.
    type Events: List<Event>;
    /// What is remembered of peers.
    type Peers: List<Peer<Self>>;
    /// Sessions that are open.
    type Sessions: List<Session<Self>>;
    /// Sessions that may have something to send.
    type Ready: List<SessionId>;
    /// Conflicts that the application has not taken yet.
    type Conflicts: List<Conflict<Self>>;
    /// Path and values of one conflict.
    type ConflictBytes: List<u8>;
    /// Capacity of a session's dictionary, in paths per direction.
    const DICTIONARY_SLOTS: usize;
}

/// A path that is short enough for a session's dictionary.
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
/// A device takes events after each input, and an input causes one or two.
const FIXED_EVENTS: usize = 8;
#[cfg(feature = "alloc")]
const HEAP_DICTIONARY_SLOTS: usize = 64;
