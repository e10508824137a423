//! What a replica tells its application.

use crate::causal::Stamp;
use crate::id::{PeerId, ReplicaId};
use crate::limits::EVENTS_MAX;
use crate::sync::SessionId;
use crate::time::Time;
use crate::wire::Refusal;

/// Something the application may want to know. Changes of the document are not events: read them with
/// [`Document::changes_since`](crate::Document::changes_since).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Everything written here up to this time is durable at the peer.
    Acknowledged {
        /// The peer.
        peer: PeerId,
        /// Own writes up to here.
        through: Time,
    },
    /// Both sides of the session have the same, as far as this side can know.
    Converged {
        /// The session.
        session: SessionId,
    },
    /// Fingerprints differed although both sides claim to have the same: storage was damaged, or there is a bug.
    /// Both sides find out what differs, and each takes what it lacks. Told at most once a session, on both sides. How
    /// much it was is counted: [`Replica::repairs`](crate::Replica::repairs).
    Damaged {
        /// The session.
        session: SessionId,
    },
    /// Cells that a peer knows to be dead were dropped; read everything again.
    Dropped {
        /// How many.
        cells: usize,
    },
    /// This copy was older than what the world knows of its id, or has a twin: it goes on under a new id.
    Forked {
        /// The old id.
        from: ReplicaId,
        /// The new one.
        to: ReplicaId,
    },
    /// A write came whose rank could no longer be judged, or whose writer is gone: it was written again, by this replica.
    LateWrite {
        /// Its stamp.
        original: Stamp,
        /// Its new stamp.
        reissued: Stamp,
    },
    /// The peer refused what this side sent. The data is still here; nothing more is sent in this session.
    Refused {
        /// The session.
        session: SessionId,
        /// Why, with its numbers.
        reason: Refusal,
    },
    /// What the peer sent was refused here. The data is still there.
    RefusedPeer {
        /// The session.
        session: SessionId,
        /// Why, with its numbers.
        reason: Refusal,
    },
    /// A buffer for frames is too short for what must be sent: nothing can be until it is longer.
    ShortBuffer {
        /// The session.
        session: SessionId,
        /// Bytes that were offered.
        len: usize,
    },
    /// The aggregator knows no more of this copy than the copy itself: it may send what it wrote.
    Verified,
}

/// Events that wait. When it is full the oldest is dropped, and counted.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queue: heapless::Deque<Event, EVENTS_MAX>,
    pub(crate) dropped: u64,
}

impl Events {
    pub(crate) fn push(&mut self, event: Event) {
        if self.queue.is_full() {
            self.queue.pop_front();
            self.dropped += 1;
        }
        let pushed = self.queue.push_back(event);
        debug_assert!(pushed.is_ok(), "there is room for one");
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }
}
