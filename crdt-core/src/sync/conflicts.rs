//! Conflicts: an incoming cell replaced a value that its sender had not seen.
//!
//! Neither stamps nor messages contain what a writer had seen: that would cost bytes in each message. It is
//! inferred from what the sending peer has confirmed:
//!
//! - An incoming cell with a time up to the highest in the peer's Open counts as older than the session. It
//!   is compared with what the peer had then: the vector of its Open or, if this side sent first, what the
//!   peer had acknowledged.
//! - A later cell is compared with what the peer has confirmed since: its claims and acknowledgements,
//!   including an acknowledgement in the same frame. A pending acknowledgement is sent with the next frame
//!   that has other content. So an answer to a write never arrives before the acknowledgement of that write.
//!
//! Not a conflict: a cell overwritten by its own writer, a cell that came from this peer, equal content at
//! the same path.

use super::{Conflict, Memory, Peers, Session};
use crate::causal::{Stamp, VersionVector};
use crate::id::ReplicaId;
use crate::list::List;
use crate::storage::Stored;

/// Conflicts not yet taken by the application. When the list is full, the oldest is dropped and counted.
pub(crate) struct Conflicts<S: Memory> {
    kept: S::Conflicts,
    pub(crate) dropped: u64,
    /// Number of conflicts so far.
    pub(crate) count: u64,
}

impl<S: Memory> Conflicts<S> {
    /// `won` replaces `lost`. `covered` is whether this replica covers `lost`.
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

/// Infers what the peer had seen when it wrote or received a cell that it sends.
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
        // A member received what it does not cover from its aggregator.
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
