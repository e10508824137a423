//! The phases of a session. Each phase contains the data that is valid in it.

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
    /// The session accepts no more input, and ends when its last message is sent.
    Closing(Closing),
}

/// An initiator's Open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// To be sent. It may name the own vector by a hash.
    Due,
    /// To be sent again with the own vector listed, because the peer does not know its hash.
    ListDue,
    /// Sent.
    Sent,
    /// Sent, with the own vector listed.
    ListSent,
}

/// The Open that a responder waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Any.
    Any,
    /// One that lists its vector. The peer must be asked for it first.
    ListToAsk,
    /// One that lists its vector. The peer was asked for it; what it sent before that is ignored.
    List,
}

/// What the peer's Open stated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// The own Open was sent: always true for an initiator; a responder sends it once there is capacity.
    pub(crate) is_answered: bool,
    /// The replica id that the peer opened with; an aggregator that has never written has none.
    pub(crate) peer_replica: Option<ReplicaId>,
    /// The aggregator's clock when it wrote its Open.
    pub(crate) peer_time: Option<Time>,
    /// Highest time in the vector of the peer's Open. A cell with a time up to it counts as older than the
    /// Open.
    pub(crate) highest_time: Time,
    /// The peer wants every retired id, including those that it does not list.
    pub(crate) wants_retired: bool,
}

/// How a session ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing {
    /// The peer's Open was accepted, so what the session knows of the peer is remembered.
    pub(crate) was_open: bool,
    /// The last message, if one is left to send.
    pub(crate) refusal: Option<Refused>,
}
