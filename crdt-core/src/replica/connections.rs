//! Sessions of a replica: connect, disconnect, back-pressure, deferral and priority.

use rand_core::Rng;

use super::Replica;
use crate::cell::Path;
use crate::config::Role;
use crate::error::CapacityError;
use crate::id::PeerId;
use crate::list::List;
use crate::storage::CellStore;
use crate::sync::{Carrier, Memory, Peer, Session, SessionId};
use crate::time::Moment;

/// A connection over which to sync this document.
///
/// ```
/// use crdt_core::{Connect, PeerId, Role};
/// let (aggregator, device) = (PeerId([2; 32]), PeerId([1; 32]));
/// let on_the_device = Connect::initiator(aggregator, Role::Aggregator, 0);
/// let at_the_aggregator = Connect::responder(device, Role::Member, 0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Connect {
    /// The key that the transport authenticated.
    pub peer: PeerId,
    /// The role of the peer.
    pub peer_role: Role,
    /// Which side opens the document on this connection.
    pub side: Side,
    /// The peer is not confirmed to be live: until the handshake completes, its input may be a replay
    /// (0-RTT). Call [`Replica::confirm`] then.
    pub is_early: bool,
    /// The document's number on this connection, chosen by the initiator.
    pub handle: u16,
}

/// A side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This side opens the document.
    Initiator,
    /// This side waits for the peer's Open.
    Responder,
}

impl Connect {
    /// This side opens the document. The handshake with the peer is complete.
    pub const fn initiator(peer: PeerId, peer_role: Role, handle: u16) -> Self {
        Self { peer, peer_role, side: Side::Initiator, is_early: false, handle }
    }

    /// The peer opens the document. The handshake with it is complete.
    pub const fn responder(peer: PeerId, peer_role: Role, handle: u16) -> Self {
        Self { peer, peer_role, side: Side::Responder, is_early: false, handle }
    }

    /// The same connection, before the handshake is complete.
    pub const fn early(self) -> Self {
        Self { is_early: true, ..self }
    }
}

impl<S: Memory, R: Rng> Replica<S, R> {
    /// Begins a session. If it is not early, it replaces the open sessions with the same peer.
    ///
    /// # Errors
    /// [`CapacityError::Peers`] when there is no capacity for another session or peer.
    pub fn connect(&mut self, connect: Connect) -> Result<SessionId, CapacityError> {
        if !connect.is_early {
            self.close_sessions_with(connect.peer, None);
        }
        self.remember_peer(connect.peer)?;
        self.next_session += 1;
        let carrier = Carrier {
            peer: connect.peer,
            peer_role: connect.peer_role,
            initiator: connect.side == Side::Initiator,
            confirmed: !connect.is_early,
            handle: connect.handle,
            has_capacity: true,
            is_deferred: false,
        };
        let session = Session::new(SessionId(self.next_session), carrier, self.rng.next_u32());
        let (id, limit) = (session.id, self.sessions.capacity());
        self.sessions.add(session).map_err(|()| CapacityError::Peers { limit })?;
        Ok(id)
    }

    /// The connection of `session` is closed.
    pub fn disconnect(&mut self, session: SessionId) {
        if let Some(index) = self.sessions.index_of(session) {
            self.sessions[index].remember(&mut self.context);
        }
        self.sessions.remove(session);
        self.note_presence();
    }

    /// The handshake of `session` is complete: its earlier input was not a replay.
    pub fn confirm(&mut self, moment: Moment, session: SessionId) {
        let Some(index) = self.session_index(session) else { return };
        if self.sessions[index].carrier.confirmed {
            return;
        }
        let before = self.context.document.seq;
        self.context.begin(moment);
        self.close_sessions_with(self.sessions[index].carrier.peer, Some(session));
        if self.sessions[index].confirm(&mut self.context) {
            self.note_peer_present(index);
        }
        self.sessions.wake(index);
        self.note_changed(before);
    }

    /// Sends what is at `path` and below before other pending cells, in all open sessions.
    ///
    /// It arrives and is visible before the rest of a long batch; it is claimed and acknowledged with the
    /// batch. At most [`URGENT_CELLS_MAX`](crate::limits::URGENT_CELLS_MAX) cells per session and batch;
    /// further ones are sent in their turn. O(cells below).
    pub fn prioritize(&mut self, path: Path<'_>) {
        let cells = &self.context.document.cells;
        for session in self.sessions.iter_mut() {
            for cell in cells.get(path.as_str()).into_iter().chain(cells.below(Some(path.as_str()))) {
                session.prioritize(cell.seq, cell.stamp);
            }
        }
    }

    /// Defers changes in `session`: while deferred, changes alone do not cause a frame. What is due anyway
    /// (an Open, a requested acknowledgement, what the peer needs again, the rest of a batch in progress) is
    /// sent together with the deferred changes. A new session defers nothing.
    pub fn set_deferred(&mut self, session: SessionId, is_deferred: bool) {
        if let Some(index) = self.sessions.index_of(session)
            && core::mem::replace(&mut self.sessions[index].carrier.is_deferred, is_deferred) != is_deferred
        {
            self.sessions.wake(index);
        }
    }

    /// Back-pressure: whether the transport of `session` accepts frames now. Initially it does. While it does
    /// not, [`poll_output`](Self::poll_output) returns no frame of this session; other sessions continue.
    /// Nothing is queued: the next frame is computed when there is capacity again.
    pub fn set_capacity(&mut self, session: SessionId, has_capacity: bool) {
        if let Some(index) = self.sessions.index_of(session)
            && core::mem::replace(&mut self.sessions[index].carrier.has_capacity, has_capacity)
                != has_capacity
        {
            self.sessions.wake(index);
        }
    }

    /// Whether a session with `peer` is open and its Open was accepted.
    pub fn is_connected(&self, peer: PeerId) -> bool {
        self.sessions.iter().any(|s| s.carrier.peer == peer && s.is_open())
    }

    /// The index of a session that accepts input.
    pub(super) fn session_index(&self, session: SessionId) -> Option<usize> {
        self.sessions.index_of(session).filter(|index| !self.sessions[*index].is_closing())
    }

    /// A peer connected, or left.
    pub(super) fn note_presence(&mut self) {
        self.presence = self.presence.wrapping_add(1);
    }

    /// Remembers `peer`. If the list is full, evicts a peer that has no session.
    fn remember_peer(&mut self, peer: PeerId) -> Result<(), CapacityError> {
        let peers = &mut self.context.peers;
        if peers.index_of(peer).is_some() {
            return Ok(());
        }
        let limit = peers.capacity();
        if peers.len() == limit {
            let sessions = &self.sessions;
            let idle = peers.iter().position(|p| sessions.iter().all(|s| s.carrier.peer != p.id));
            // Forgetting what a peer has acknowledged costs bytes, never data.
            peers.remove(idle.ok_or(CapacityError::Peers { limit })?);
            self.presence = self.presence.wrapping_add(1);
        }
        peers.insert(Peer::new(peer)).map(|_| ()).ok_or(CapacityError::Peers { limit })
    }

    pub(super) fn close_all_sessions(&mut self) {
        self.sessions.close_where(|_| true);
    }

    fn close_sessions_with(&mut self, peer: PeerId, except: Option<SessionId>) {
        self.sessions.close_where(|session| session.carrier.peer == peer && Some(session.id) != except);
    }
}
