//! Receipts: what peers are known to have made durable.

use rand_core::Rng;

use super::Replica;
use crate::causal::{Stamp, VersionVector};
use crate::id::PeerId;
use crate::size::Size;
use crate::storage::CellStore;
use crate::sync::{Event, Memory, Peer, Session, SessionId};
use crate::time::Time;

impl<S: Memory, R: Rng> Replica<S, R> {
    /// Requests from the peer of every open session one acknowledgement of what is durable there.
    pub fn request_acknowledgement(&mut self) {
        for session in self.sessions.iter_mut() {
            session.request_acknowledgement();
        }
        self.sessions.wake_all();
    }

    /// Number of claims sent in `session` so far. After polling a frame, keep it for
    /// [`note_delivered`](Self::note_delivered). 0 if there is no such session.
    pub fn claims_sent(&self, session: SessionId) -> u32 {
        self.sessions.index_of(session).map_or(0, |index| self.sessions[index].claims_sent())
    }

    /// The transport delivered a frame and all before it. `claims` is what [`claims_sent`](Self::claims_sent)
    /// returned after that frame.
    ///
    /// Only for a transport whose peer acknowledges what it has made durable: a delivery is then a receipt
    /// that costs no bytes. [`acknowledged_through`](Self::acknowledged_through) rises, with an
    /// [`Event::Acknowledged`], while the session lasts. What a peer refuses or needs again is not a receipt,
    /// so handle its frames about that first. What may be forgotten, and what outlives the session, still
    /// depends on the peer's own acknowledgements
    /// ([`request_acknowledgement`](Self::request_acknowledgement)).
    pub fn note_delivered(&mut self, session: SessionId, claims: u32) {
        let Some(index) = self.session_index(session) else { return };
        if !self.sessions[index].note_delivered(claims) {
            return;
        }
        let peer = self.sessions[index].carrier.peer;
        let told = self.acknowledged_by(peer).map_or(Time::ZERO, |acked| acked.time_of(self.id()));
        let delivered = self.sessions[index].delivered_claim().map_or(Time::ZERO, |claim| claim.own_time);
        self.context.events.push(Event::Acknowledged { peer, through: told.max(delivered) });
    }

    /// Changes of the document up to this one ([`Document::seq`](crate::Document::seq)), of any writer, are
    /// durable at `peer`: the transport delivered them in the open session. 0 without one.
    pub fn delivered_seq(&self, peer: PeerId) -> u64 {
        let sessions = self.sessions.iter().filter(|s| s.carrier.peer == peer);
        sessions.filter_map(Session::delivered_claim).map(|claim| claim.seq).max().unwrap_or(0)
    }

    /// What `peer` has acknowledged as durable.
    pub fn acknowledged_by(&self, peer: PeerId) -> Option<&VersionVector<S>> {
        self.context.peers.of(peer).map(|p| &p.acked)
    }

    /// Own writes up to this time are durable at `peer`, by its acknowledgement or by delivery in the open
    /// session.
    pub fn acknowledged_through(&self, peer: PeerId) -> Time {
        let told = self.acknowledged_by(peer).map_or(Time::ZERO, |acked| acked.time_of(self.id()));
        let sessions = self.sessions.iter().filter(|s| s.carrier.peer == peer);
        sessions.filter_map(Session::delivered_claim).map(|claim| claim.own_time).fold(told, Time::max)
    }

    /// The peers that are known to have the transaction `stamp`, of any writer, on their disks. Get a stamp
    /// from [`update`](Self::update), or from [`Document::stamp_of`](crate::Document::stamp_of). O(peers x
    /// log replicas).
    ///
    /// Peers acknowledge on request ([`request_acknowledgement`](Self::request_acknowledgement)). For own
    /// writes, delivery by the transport counts too ([`note_delivered`](Self::note_delivered)).
    pub fn confirmed_by(&self, stamp: Stamp) -> impl Iterator<Item = PeerId> + '_ {
        let delivered = move |peer: PeerId| {
            stamp.replica == self.id()
                && self.sessions.iter().any(|s| {
                    s.carrier.peer == peer
                        && s.delivered_claim().is_some_and(|claim| claim.own_time >= stamp.time)
                })
        };
        let has = move |peer: &&Peer<S>| peer.acked.covers(stamp) || delivered(peer.id);
        self.context.peers.iter().filter(has).map(|peer| peer.id)
    }

    /// Cells that `peer` is not known to have, and the bytes of their paths and payloads. O(cells).
    pub fn backlog(&self, peer: PeerId) -> Size {
        let (acked, delivered) = (self.acknowledged_by(peer), self.delivered_seq(peer));
        let mut backlog = Size::default();
        for cell in self.context.document.cells.below(None) {
            if cell.seq > delivered && acked.is_none_or(|acked| !acked.covers(cell.stamp)) {
                backlog.cells += 1;
                backlog.bytes += cell.path.len() + cell.payload.len();
            }
        }
        backlog
    }
}
