//! What a replica tells its application.

use crate::causal::Stamp;
use crate::id::{PeerId, ReplicaId};
use crate::storage::{List, Storage};
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
    /// Both sides write again what the other lacks.
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
    /// What must be sent does not fit into a frame: nothing more is sent in this session.
    ///
    /// The buffer is too short, or the longest frame that the peer takes is (see
    /// [`Config::frame_len_max`](crate::Config::frame_len_max)). With a longer one, or without that cell, the next session
    /// sends it.
    ShortBuffer {
        /// The session.
        session: SessionId,
        /// Longest frame that could be sent, in bytes: the buffer, or what the peer takes.
        len: usize,
        /// Bytes that a frame needs for the longest cell that is still to be sent, at most.
        needed: usize,
        /// Length of that cell's path, in bytes.
        path_len: usize,
    },
    /// The aggregator knows no more of this copy than the copy itself: it may send what it wrote.
    Verified,
}

/// Events that wait. When it is full the oldest is dropped, and counted.
pub(crate) struct Events<S: Storage> {
    queue: S::Events,
    pub(crate) dropped: u64,
}

impl<S: Storage> Events<S> {
    pub(crate) fn new() -> Self {
        Self { queue: S::Events::default(), dropped: 0 }
    }

    pub(crate) fn push(&mut self, event: Event) {
        if self.queue.len() == self.queue.room() {
            self.queue.remove(0);
            self.dropped += 1;
        }
        let pushed = self.queue.push(event);
        debug_assert!(pushed.is_ok(), "there is room for one");
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        (!self.queue.is_empty()).then(|| self.queue.remove(0))
    }
}
