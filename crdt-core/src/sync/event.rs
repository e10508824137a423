//! What a replica tells its application.
//!
//! | an application wants to know | event |
//! |---|---|
//! | what changed | [`Event::Changed`], then [`Document::changes_since`](crate::Document::changes_since); after [`Event::Dropped`], everything |
//! | whether a write of this side was overwritten unseen | [`Event::Conflicts`], then [`Replica::take_conflict`](crate::Replica::take_conflict) |
//! | whether a write came so late that it was written again | [`Event::LateWrite`] |
//! | whether something was refused, and why | [`Event::Refused`] (by the peer), [`Event::RefusedPeer`] (here) |
//! | whether both sides have the same | [`Event::Converged`] |
//! | what is durable at the peer | [`Event::Acknowledged`]; ask with [`Replica::request_acknowledgement`](crate::Replica::request_acknowledgement) |
//! | whether deletes were forgotten to make room | [`Event::Forgotten`] |
//! | whether this copy was an old one, or is the newest | [`Event::Forked`], [`Event::Verified`] |
//! | what an operator must look at | [`Event::Damaged`], [`Event::ShortBuffer`] |
//!
//! Events wait in a queue of [`EVENTS_MAX`](crate::limits::EVENTS_MAX); when it is full the oldest is dropped and counted
//! ([`Replica::dropped_events`](crate::Replica::dropped_events)). `Changed` and `Conflicts` take no place in it: one of
//! each waits at most, and tells of all since the last.

use super::Memory;
use super::SessionId;
use crate::causal::Stamp;
use crate::id::{PeerId, ReplicaId};
use crate::list::List;
use crate::time::Time;
use crate::wire::Refusal;

/// Something the application may want to know. The table of what there is: in the source of this module, and in
/// `docs/semantics.md`.
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
    /// The aggregator's clock shows another time than this device's.
    ///
    /// From here on the driver's readings are corrected by the replica. A driver without a clock may count on from
    /// `now` by itself, and give that with each [`Moment`](crate::Moment).
    ClockCorrected {
        /// The aggregator's clock when it wrote its Open: a delay of the link behind.
        now: Time,
        /// What is added to the driver's readings, in milliseconds; `None` when it gives none.
        by_ms: Option<i64>,
    },
    /// Input from a peer changed the document. Writes of this application do not raise it: it knows them.
    ///
    /// A cell that is a tombstone now says that what was at its path is gone, and below it as far as it is older. A cell
    /// above others may have cleared them: read at its path and below.
    ///
    /// # Example: what is new
    /// ```
    /// # use crdt_core::{Event, Memory, Output, Replica, rand_core::Rng};
    /// # fn driver<S: Memory, R: Rng>(replica: &Replica<S, R>, output: Output) {
    /// // In the loop over `poll_output`:
    /// if let Output::Event(Event::Changed { since }) = output {
    ///     for cell in replica.document().changes_since(since) {
    ///         println!("{} is now {:?}, written by {}", cell.path(), cell.content(), cell.stamp);
    ///     }
    /// }
    /// # }
    /// ```
    Changed {
        /// [`Document::seq`](crate::Document::seq) before the first of these changes. Own writes that were made since then are
        /// listed after it too.
        since: u64,
    },
    /// Values of this copy were replaced by a peer that was not known to have seen them: at the same path, or below a
    /// path that was written or deleted. [`Replica::take_conflict`](crate::Replica::take_conflict) gives the values with
    /// their writers and times, as many as are kept.
    ///
    /// The newest write has won, as always; this says that somebody's work was overwritten unseen. An incoming cell that loses
    /// against a newer one here is not told here, but at the peer, when the newer one gets there. Nor is a scalar that
    /// a write below its path hides: it is still stored.
    ///
    /// What the sender had seen is what it has confirmed, so this can err. Told without need: the sender had seen the
    /// value, but the connection ended before its acknowledgement came, or its clock is far behind. Not told: the
    /// two writes crossed while the sender's disk was busy; or the sender, an aggregator, had seen the value, and the writer
    /// behind it had not: the aggregator is told then.
    Conflicts {
        /// Values that were lost since the last such event.
        cells: u64,
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
    /// A limit was reached, and tombstones were forgotten to make room. Peers that do not have them all get the whole
    /// document when they next come.
    Forgotten {
        /// How many.
        tombstones: usize,
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
pub(crate) struct Events<S: Memory> {
    queue: S::Events,
    /// The document's last change before the first one that was not told yet.
    changed_since: Option<u64>,
    /// Conflicts that were not told yet.
    conflicts: u64,
    pub(crate) dropped: u64,
}

impl<S: Memory> Events<S> {
    pub(crate) fn new() -> Self {
        Self { queue: S::Events::default(), changed_since: None, conflicts: 0, dropped: 0 }
    }

    pub(crate) fn push(&mut self, event: Event) {
        if self.queue.len() == self.queue.capacity() {
            self.queue.remove(0);
            self.dropped += 1;
        }
        let pushed = self.queue.push(event);
        debug_assert!(pushed.is_ok(), "there is capacity for one");
    }

    pub(crate) fn note_changed(&mut self, since: u64) {
        self.changed_since.get_or_insert(since);
    }

    pub(crate) fn note_conflicts(&mut self, cells: u64) {
        self.conflicts += cells;
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        if !self.queue.is_empty() {
            return Some(self.queue.remove(0));
        }
        match core::mem::take(&mut self.conflicts) {
            0 => self.changed_since.take().map(|since| Event::Changed { since }),
            cells => Some(Event::Conflicts { cells }),
        }
    }
}
