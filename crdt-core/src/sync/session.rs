//! One side of one conversation with one peer about one document.

use core::fmt;

use super::{Carrier, ClaimSent, Compare, FirstBase, Incoming, Memory, Outgoing};
use crate::causal::{Stamp, VersionVector};
use crate::id::ReplicaId;
use crate::time::Time;

/// A session of this replica, unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u32);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The state of one session: what carries it, its two directions, and the comparison of both sides.
pub struct Session<S: Memory> {
    pub(crate) id: SessionId,
    pub(crate) carrier: Carrier,
    /// It stands in the queue of those that may have something to send.
    pub(crate) is_ready: bool,
    pub(crate) open_sent: bool,
    pub(crate) open_received: bool,
    pub(crate) is_closing: bool,
    /// Whether the initiator must list its vector, because the responder does not know it by name.
    pub(crate) again: Again,
    /// The replica id that the peer opened with.
    pub(crate) peer_replica: Option<ReplicaId>,
    /// The aggregator's clock when it wrote its Open.
    pub(crate) peer_time: Option<Time>,
    /// The initiator's vector in its Open: the table that both sides refer to.
    pub(crate) table: VersionVector<S>,
    pub(crate) outgoing: Outgoing<S>,
    pub(crate) incoming: Incoming<S>,
    pub(crate) compare: Compare,
}

/// Where the wish for an Open that lists its vector stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    Asked,
    Due,
    No,
}

impl<S: Memory> Session<S> {
    pub(crate) fn new(id: SessionId, carrier: Carrier) -> Self {
        Self {
            id,
            carrier,
            is_ready: false,
            open_sent: false,
            open_received: false,
            is_closing: false,
            again: Again::No,
            peer_replica: None,
            peer_time: None,
            table: VersionVector::new(),
            outgoing: Outgoing::new(),
            incoming: Incoming::new(),
            compare: Compare::new(),
        }
    }

    /// The peer does not know the vector that this side named: the next Open lists it. What the driver has set stays, and
    /// so does what it asked for.
    pub(crate) fn open_again(&mut self) {
        let asks = self.outgoing.asks;
        let claims_before = self.outgoing.claims_before.saturating_add(self.outgoing.claims_sent);
        self.open_sent = false;
        self.again = Again::Asked;
        self.table.clear();
        self.outgoing = Outgoing { asks, claims_before, ..Outgoing::new() };
        self.incoming = Incoming::new();
        self.compare = Compare::new();
    }

    /// The last claim that is durable at the peer because the transport delivered it.
    pub(crate) fn delivered_claim(&self) -> Option<&ClaimSent> {
        self.outgoing.delivered_claim().filter(|_| !self.is_closing)
    }

    /// Whether a frame is sent in any case, also while changes are deferred.
    pub(crate) fn must_send(&self) -> bool {
        self.outgoing.must_send() || self.incoming.ack_due
    }

    /// Whether the peer had `stamp` before anything was sent to it in this session; `own` is this side.
    pub(crate) fn peer_came_with(&self, stamp: Stamp, own: ReplicaId) -> bool {
        match self.outgoing.first_base {
            _ if !self.carrier.initiator => self.table.covers(stamp),
            Some(FirstBase::Table { own: time }) if stamp.replica == own => stamp.time <= time,
            Some(FirstBase::Table { .. }) => self.table.covers(stamp),
            Some(FirstBase::Nothing) | None => false,
        }
    }
}

impl<S: Memory> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("peer", &self.carrier.peer)
            .field("peer_knows", &self.outgoing.peer_knows)
            .finish_non_exhaustive()
    }
}
