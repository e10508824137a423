//! A connection between two nodes, with what is under way on it in both directions.

use std::collections::VecDeque;

use crdt_core::SessionId;

/// Which end of a connection: the one that opened it, or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Acceptor = 1,
    Initiator = 0,
}

impl End {
    pub(super) const BOTH: [End; 2] = [End::Initiator, End::Acceptor];

    pub(super) fn other(self) -> Self {
        match self {
            End::Acceptor => End::Initiator,
            End::Initiator => End::Acceptor,
        }
    }
}

/// Something under way. What is sent earlier arrives earlier.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// The other end is done.
    Closed,
    /// The initiator has heard the acceptor: nothing from now on can be a replay.
    Confirm,
    Frame(Vec<u8>),
    /// The acceptor's half of the transport's handshake.
    Handshake,
}

/// A connection. It lives until neither end has a session on it.
pub(super) struct Connection {
    pub(super) id: u32,
    nodes: [usize; 2],
    sessions: [Option<SessionId>; 2],
    queues: [VecDeque<Item>; 2],
    /// What the initiator sends before it has heard anything can be recorded and replayed.
    pub(super) early: bool,
    /// The acceptor has seen the first frame.
    pub(super) accepted: bool,
    /// The initiator has heard from the acceptor.
    pub(super) heard: bool,
    /// Nothing sent from now on arrives; an end may not have noticed.
    pub(super) dead: bool,
    /// Frames that anyone on the way may have recorded.
    pub(super) first_flight: Vec<Vec<u8>>,
}

impl Connection {
    pub(super) fn new(id: u32, initiator: usize, acceptor: usize, early: bool) -> Self {
        Self {
            id,
            nodes: [initiator, acceptor],
            sessions: [None, None],
            queues: [VecDeque::new(), VecDeque::new()],
            early,
            accepted: false,
            heard: false,
            dead: false,
            first_flight: Vec::new(),
        }
    }

    pub(super) fn node(&self, end: End) -> usize {
        self.nodes[end as usize]
    }

    pub(super) fn session(&self, end: End) -> Option<SessionId> {
        self.sessions[end as usize]
    }

    pub(super) fn session_mut(&mut self, end: End) -> &mut Option<SessionId> {
        &mut self.sessions[end as usize]
    }

    /// What is under way to `end`.
    pub(super) fn towards(&mut self, end: End) -> &mut VecDeque<Item> {
        &mut self.queues[end as usize]
    }

    /// The end that is at `node`, if any.
    pub(super) fn end_at(&self, node: usize) -> Option<End> {
        End::BOTH.into_iter().find(|end| self.node(*end) == node)
    }

    pub(super) fn is_between(&self, a: usize, b: usize) -> bool {
        self.nodes == [a, b] || self.nodes == [b, a]
    }

    pub(super) fn has_items(&self) -> bool {
        self.queues.iter().any(|queue| !queue.is_empty())
    }

    /// Sends a frame from `end`.
    pub(super) fn send(&mut self, end: End, frame: &[u8]) {
        if self.dead {
            return;
        }
        if end == End::Initiator && self.early && !self.heard {
            self.first_flight.push(frame.to_vec());
        }
        self.towards(end.other()).push_back(Item::Frame(frame.to_vec()));
    }

    /// `end` is done; the other end hears of it after what was sent before.
    pub(super) fn close(&mut self, end: End) {
        *self.session_mut(end) = None;
        if !self.dead {
            self.towards(end.other()).push_back(Item::Closed);
        }
    }

    /// Nothing arrives any more.
    pub(super) fn cut(&mut self) {
        self.dead = true;
        self.queues.iter_mut().for_each(VecDeque::clear);
    }

    pub(super) fn is_gone(&self) -> bool {
        let waits = !self.dead && (!self.accepted || self.has_items());
        self.sessions == [None, None] && !waits
    }
}
