//! The state machine of one side of a session with one peer about one document.
//!
//! [`Session::handle`] handles a message of the peer, and [`Session::write_frame`] writes the next frame.
//! What affects other sessions too is returned as an [`Outcome`], which the replica executes.

use core::fmt;

use super::{
    Awaited, Carrier, Claim, Closing, Compare, Context, Event, FirstBase, Incoming, Memory, Opened, Opening,
    Outgoing, Phase, Receiving,
};
use crate::causal::{Stamp, VersionVector};
use crate::id::ReplicaId;
use crate::time::Time;
use crate::wire::{Cursor, Refusal};

/// A session of this replica, unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u32);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The state of one session: the driver's settings, the phase, the two directions, and the comparison of both
/// sides.
pub struct Session<S: Memory> {
    pub(crate) id: SessionId,
    pub(crate) carrier: Carrier,
    /// It is in the queue of sessions that may have something to send.
    pub(crate) is_ready: bool,
    pub(super) phase: Phase,
    /// The initiator's vector in its Open: the table that both sides refer to.
    pub(super) table: VersionVector<S>,
    pub(super) outgoing: Outgoing<S>,
    pub(super) incoming: Incoming<S>,
    pub(super) compare: Compare,
}

/// What the replica must do after a message that affects more than its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Outcome {
    /// Nothing.
    Done,
    /// A batch ended. It may contain cells of ids that nobody uses.
    BatchEnded,
    /// The peer's Open was accepted.
    Opened,
    /// The peer refused what this side sent.
    Refused(Refusal),
    /// Cells were repaired that no claim announces: other peers may lack them too.
    Repaired,
}

impl<S: Memory> Session<S> {
    /// `salt`: random bits for the digests of a repair.
    pub(crate) fn new(id: SessionId, carrier: Carrier, salt: u32) -> Self {
        let phase =
            if carrier.initiator { Phase::Opening(Opening::Due) } else { Phase::Awaiting(Awaited::Any) };
        Self {
            id,
            carrier,
            is_ready: false,
            phase,
            table: VersionVector::new(),
            outgoing: Outgoing::new(0),
            incoming: Incoming::new(),
            compare: Compare::new(salt),
        }
    }

    /// Starts over with an Open that lists the vector, because the peer does not know its hash. The driver's
    /// settings and requests are kept.
    pub(super) fn open_again(&mut self) {
        let asks = self.outgoing.asks;
        self.phase = Phase::Opening(Opening::ListDue);
        self.table.clear();
        self.outgoing = Outgoing { asks, ..Outgoing::new(self.outgoing.claims.total()) };
        self.incoming = Incoming::new();
        self.compare = Compare::new(self.compare.repair.salt);
    }

    /// Closes the session: it accepts no more input, and ends once a pending refusal is sent.
    pub(crate) fn close(&mut self) {
        if !self.is_closing() {
            let was_open = self.is_open();
            self.phase = Phase::Closing(Closing { was_open, refusal: self.incoming.refusal_due.take() });
        }
    }

    /// As [`close`](Self::close), but nothing more is sent.
    pub(crate) fn close_silently(&mut self) {
        self.close();
        if let Phase::Closing(closing) = &mut self.phase {
            closing.refusal = None;
        }
    }

    /// The peer is confirmed. Returns whether its Open, which may have been a replay until now, was accepted
    /// before.
    pub(crate) fn confirm(&mut self, context: &mut Context<S>) -> bool {
        self.carrier.confirmed = true;
        let Some(theirs) = self.incoming.early_vector.take() else { return false };
        if let Some(peer) = context.peers.index_of(self.carrier.peer) {
            context.peers[peer].acked.copy_from(&theirs);
            context.note_acknowledged(peer);
        }
        true
    }

    /// The session ends. Remembers what it knows with its peer, so that the next session can resume, if the
    /// peer also remembers.
    pub(crate) fn remember(&self, context: &mut Context<S>) {
        let was_open = match self.phase {
            Phase::Open(_) => true,
            Phase::Closing(closing) => closing.was_open,
            Phase::Awaiting(_) | Phase::Opening(_) => false,
        };
        let peer = context.peers.of_mut(self.carrier.peer);
        let Some(peer) = peer.filter(|_| was_open && self.carrier.confirmed) else { return };
        let (sending, claims) = (self.outgoing.sending, &self.outgoing.claims);
        let is_acknowledged = sending.is_idle() && claims.are_all_acked();
        let keeps = self.outgoing.is_in_order && !sending.is_full() && !is_acknowledged;
        peer.sent_through = if keeps { self.outgoing.cursor } else { 0 };
        // Field by field: a copy of the whole stamp would link `memmove`, which nothing else needs on a small
        // device.
        let through = self.incoming.received_through();
        peer.received_through = through.map(|stamp| Stamp::new(stamp.time, stamp.replica));
        peer.guess.copy_from(&self.outgoing.peer_knows);
    }

    /// Requests one acknowledgement of what is durable at the peer.
    pub(crate) fn request_acknowledgement(&mut self) {
        self.outgoing.asks = true;
    }

    /// Compares fingerprints with an acknowledgement that is due now.
    pub(crate) fn compare_soon(&mut self) {
        self.compare.digest_due = true;
        self.incoming.ack_due = true;
    }

    /// Sends the cell of change `seq` before others, if it is not sent yet. If the list is full, it is sent
    /// in its turn.
    pub(crate) fn prioritize(&mut self, seq: u64, stamp: Stamp) {
        let waits = seq > self.outgoing.cursor && !self.outgoing.peer_knows.covers(stamp);
        if waits && self.outgoing.urgent.iter().all(|(urgent, _)| *urgent != seq) {
            self.outgoing.urgent.push((seq, false)).ok();
        }
    }

    /// The transport delivered the first `claims` claims of this session. Returns whether more is known to be
    /// durable.
    pub(crate) fn note_delivered(&mut self, claims: u32) -> bool {
        self.carrier.confirmed
            && self.is_open()
            && !self.outgoing.is_stopped
            && self.outgoing.claims.note_delivered(claims)
    }

    /// Sends the reason why the session ends, unless another one is due.
    pub(crate) fn refuse_once(&mut self, reason: Refusal, context: &mut Context<S>) {
        if self.incoming.refusal_due.is_none() && !self.is_closing() {
            self.refuse(context, reason);
        }
    }

    /// Refuses the batch in progress, and sends the reason to the peer.
    pub(super) fn refuse(&mut self, context: &mut Context<S>, reason: Refusal) {
        self.incoming.refuse(reason);
        context.events.push(Event::RefusedPeer { session: self.id, reason });
    }

    /// Whether the peer's Open was accepted, and the session is not being closed.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing(_))
    }

    /// Whether the session is closed, and nothing is left to send.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Closing(Closing { refusal: None, .. }))
    }

    /// What the peer's Open stated, while the session is open.
    pub(crate) fn opened(&self) -> Option<&Opened> {
        match &self.phase {
            Phase::Open(opened) => Some(opened),
            Phase::Awaiting(_) | Phase::Closing(_) | Phase::Opening(_) => None,
        }
    }

    /// The replica id that the peer opened with.
    pub(crate) fn peer_replica(&self) -> Option<ReplicaId> {
        self.opened().and_then(|opened| opened.peer_replica)
    }

    /// The highest time in the vector that the peer opened with.
    pub(super) fn peer_highest_time(&self) -> Time {
        self.opened().map_or(Time::ZERO, |opened| opened.highest_time)
    }

    /// The cursor of the incoming names, for the reader of the next frame.
    pub(crate) fn names_cursor(&self) -> Cursor {
        self.incoming.names.cursor
    }

    /// Claims that were sent so far.
    pub(crate) fn claims_sent(&self) -> u32 {
        self.outgoing.claims.total()
    }

    /// The last claim that is durable at the peer because the transport delivered it.
    pub(crate) fn delivered_claim(&self) -> Option<Claim> {
        self.outgoing.claims.last_delivered().filter(|_| !self.is_closing())
    }

    /// Whether the peer had `stamp` before anything was sent to it in this session; `own` is this side.
    pub(super) fn peer_came_with(&self, stamp: Stamp, own: ReplicaId) -> bool {
        match self.outgoing.first_base {
            _ if !self.carrier.initiator => self.table.covers(stamp),
            Some(FirstBase::Table { own: time }) if stamp.replica == own => stamp.time <= time,
            Some(FirstBase::Table { .. }) => self.table.covers(stamp),
            Some(FirstBase::Nothing) | None => false,
        }
    }

    /// The cells of the batch in progress were applied up to `stamp`.
    pub(super) fn note_applied(&mut self, stamp: Stamp) {
        if let Receiving::Delta { through } = &mut self.incoming.receiving {
            *through = Some(stamp);
        }
    }
}

impl<S: Memory> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("peer", &self.carrier.peer)
            .field("phase", &self.phase)
            .field("peer_knows", &self.outgoing.peer_knows)
            .finish_non_exhaustive()
    }
}
