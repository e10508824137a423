//! Conflicts: what an incoming cell replaced that its sender had not seen.
//!
//! A stamp does not say what its writer had seen, and no message does: it would cost bytes in each. So it is judged by what
//! the peer that sent the cell has confirmed:
//!
//! - A cell with a time up to the highest that the peer opened the session with was there before the session began. It is
//!   compared with what the peer had then: the vector of its Open, or where this side spoke first, what it had acknowledged.
//! - A later one is compared with what the peer has confirmed since: its claims, and its acknowledgements, one that comes in
//!   the same frame included. An acknowledgement rides with the first frame that a peer has something to say in, so what
//!   was written in answer to a write comes no earlier than the acknowledgement of that write.
//!
//! No conflict: a cell that its own writer overwrites, one that came from this peer, and an equal content at the same path.

use super::{Conflict, Memory, Peers, Session};
use crate::causal::{Stamp, VersionVector};
use crate::id::ReplicaId;
use crate::list::List;
use crate::storage::Stored;

/// Conflicts that wait. When there is no capacity the oldest is dropped, and counted.
pub(crate) struct Conflicts<S: Memory> {
    kept: S::Conflicts,
    pub(crate) dropped: u64,
    /// Conflicts there ever were.
    pub(crate) count: u64,
}

impl<S: Memory> Conflicts<S> {
    /// `won` replaces `lost`; `covered`: this replica covers the lost cell.
    pub(crate) fn note(
        &mut self,
        sender: &Sender<'_, S>,
        lost: &Stored<'_>,
        covered: bool,
        won: &Stored<'_>,
    ) {
        if !sender.is_conflict(lost, covered, won) {
            return;
        }
        self.count += 1;
        if self.kept.len() == self.kept.capacity() {
            self.kept.remove(0);
            self.dropped += 1;
        }
        let pushed = self.kept.push(Conflict::new(lost, won));
        debug_assert!(pushed.is_ok(), "there is capacity for one");
    }

    pub(crate) fn take(&mut self) -> Option<Conflict<S>> {
        (self.kept.len() > 0).then(|| self.kept.remove(0))
    }
}

impl<S: Memory> Default for Conflicts<S> {
    fn default() -> Self {
        Self { kept: S::Conflicts::default(), dropped: 0, count: 0 }
    }
}

/// What is known here of what the peer had when it took or wrote a cell that it sends.
pub(crate) struct Sender<'a, S: Memory> {
    session: &'a Session<S>,
    acked: Option<&'a VersionVector<S>>,
    /// The id of this replica.
    own: ReplicaId,
}

impl<'a, S: Memory> Sender<'a, S> {
    pub(crate) fn new(session: &'a Session<S>, peers: &'a Peers<S>, own: ReplicaId) -> Self {
        let acked = peers.of(session.carrier.peer).map(|peer| &peer.acked);
        Self { session, acked, own }
    }

    fn is_conflict(&self, lost: &Stored<'_>, covered: bool, won: &Stored<'_>) -> bool {
        let writer = lost.stamp.replica;
        let is_own = writer == won.stamp.replica || self.session.peer_replica() == Some(writer);
        // A member has what it does not cover from its aggregator.
        let is_theirs = !covered && self.session.carrier.with_aggregator();
        let is_equal = (lost.path, lost.kind, lost.payload) == (won.path, won.kind, won.payload);
        lost.is_live() && !is_own && !is_theirs && !is_equal && !self.had_seen(lost, won.stamp)
    }

    fn had_seen(&self, lost: &Stored<'_>, won: Stamp) -> bool {
        let session = self.session;
        if session.peer_came_with(lost.stamp, self.own) {
            return true;
        }
        let spoke_first = session.carrier.initiator && session.outgoing.first_base.is_some();
        if won.time <= session.peer_highest_time() && (spoke_first || !session.carrier.initiator) {
            return false;
        }
        lost.seq <= session.outgoing.claims.seen_seq()
            || self.acked.is_some_and(|acked| acked.covers(lost.stamp))
    }
}
