//! Where a session stands. Each phase holds the data that is valid in it.

use crate::id::ReplicaId;
use crate::time::Time;
use crate::wire::Refused;

/// The phase of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// The initiator begins here: the peer has not answered its Open.
    Opening(Opening),
    /// The responder begins here: the peer has not opened.
    Awaiting(Awaited),
    /// The peer's Open was accepted.
    Open(Opened),
    /// The session takes no more input, and ends when its last message is sent.
    Closing(Closing),
}

/// An initiator's Open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// It is to be sent. It may name the own vector by a hash.
    Due,
    /// It is to be sent again, and must list the own vector: the peer does not know that vector by its hash.
    ListDue,
    /// It was sent.
    Sent,
    /// It was sent, and listed the own vector.
    ListSent,
}

/// The Open that a responder waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Any.
    Any,
    /// One that lists its vector. The peer must be asked for it first.
    ListToAsk,
    /// One that lists its vector. The peer was asked for it, and what it sent before is ignored.
    List,
}

/// What the peer's Open said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// The own Open was sent: an initiator's always, a responder's as soon as there is capacity.
    pub(crate) is_answered: bool,
    /// The replica id that the peer opened with; an aggregator that has never written has none.
    pub(crate) peer_replica: Option<ReplicaId>,
    /// The aggregator's clock when it wrote its Open.
    pub(crate) peer_time: Option<Time>,
    /// Highest time in the vector that the peer opened with: what it sends with a lower one is older than that.
    pub(crate) highest_time: Time,
    /// The peer wants to be told of each retired id, also of those that it does not list.
    pub(crate) wants_retired: bool,
}

/// How a session ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing {
    /// The peer's Open had been accepted: what the session knows of the peer is remembered.
    pub(crate) was_open: bool,
    /// The last message, if one is left to send.
    pub(crate) refusal: Option<Refused>,
}
