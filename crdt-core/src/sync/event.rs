//! What a replica reports to its application.
//!
//! | an application wants to know | event |
//! |---|---|
//! | what changed | [`Event::Changed`], then [`Document::changes_since`](crate::Document::changes_since); after [`Event::Dropped`], everything |
//! | whether a write of this side was overwritten unseen | [`Event::Conflicts`], then [`Replica::take_conflict`](crate::Replica::take_conflict) |
//! | whether a write arrived so late that it was written again | [`Event::LateWrite`] |
//! | whether something was refused, and why | [`Event::Refused`] (by the peer), [`Event::RefusedPeer`] (here) |
//! | whether both sides have the same content | [`Event::Converged`] |
//! | what is durable at the peer | [`Event::Acknowledged`]; ask with [`Replica::request_acknowledgement`](crate::Replica::request_acknowledgement) |
//! | whether tombstones were forgotten to free capacity | [`Event::Forgotten`] |
//! | whether this copy was an old one, or is the newest | [`Event::Forked`], [`Event::Verified`] |
//! | what an operator must look at | [`Event::Damaged`], [`Event::ShortBuffer`] |
//!
//! Events are queued, at most [`EVENTS_MAX`](crate::limits::EVENTS_MAX) on the heap. When the queue is full,
//! the oldest is dropped and counted ([`Replica::dropped_events`](crate::Replica::dropped_events)). `Changed`
//! and `Conflicts` are not in the queue: at most one of each is pending, and it covers everything since the
//! last.

use super::Memory;
use super::SessionId;
use crate::causal::Stamp;
use crate::id::{PeerId, ReplicaId};
use crate::list::List;
use crate::time::Time;
use crate::wire::Refusal;

/// Something the application may want to know. A table of all events is in `docs/semantics.md`.
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
    /// The aggregator's clock differs from this device's.
    ///
    /// From now on, the replica corrects the driver's readings. A driver without a clock may count on from
    /// `now`, and pass the result in each [`Moment`](crate::Moment).
    ClockCorrected {
        /// The aggregator's clock when it wrote its Open, so older than now by the delay of the link.
        now: Time,
        /// The correction of the driver's readings, in milliseconds; `None` if there are none.
        by_ms: Option<i64>,
    },
    /// Input from a peer changed the document. Local writes do not cause this event.
    ///
    /// A tombstone means that its path, and older cells below it, were deleted. Any cell may have removed
    /// older cells below its path: read its path and everything below.
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
        /// [`Document::seq`](crate::Document::seq) before the first of these changes. Local writes made since
        /// then are listed after it too.
        since: u64,
    },
    /// A peer replaced values of this copy that it was not known to have seen: at the same path, or below a
    /// path that was written or deleted. [`Replica::take_conflict`](crate::Replica::take_conflict) returns
    /// the values that were kept, with their stamps.
    ///
    /// The newest write has won, as always; this event reports that it overwrote a value unseen. If an
    /// incoming cell loses against a newer one here, the peer reports the conflict, when the newer cell
    /// arrives there. A scalar that a write below its path hides is not reported: it is still stored.
    ///
    /// What the sender had seen is inferred from what it has confirmed, so this can err. Reported without
    /// need: the sender had seen the value, but the connection ended before its acknowledgement arrived, or
    /// its clock is far behind. Not reported: the two writes crossed while the sender's disk was busy; or the
    /// sender, an aggregator, had seen the value, and the writer behind it had not. In that case the
    /// aggregator reports it.
    Conflicts {
        /// Values that were lost since the last such event.
        cells: u64,
    },
    /// Both sides of the session have the same content, as far as this side can know.
    Converged {
        /// The session.
        session: SessionId,
    },
    /// Fingerprints differ although both sides claim the same knowledge: storage was damaged, or there is a
    /// bug. Both sides find the differences, and each takes what it lacks. Reported at most once per session,
    /// on both sides. [`Replica::repairs`](crate::Replica::repairs) counts what was repaired.
    Damaged {
        /// The session.
        session: SessionId,
    },
    /// Cells that a peer knows to be dead were dropped. Read the whole document again.
    Dropped {
        /// How many.
        cells: usize,
    },
    /// A limit was reached, and tombstones were forgotten to free capacity. A peer that lacks any of them
    /// gets a full batch.
    Forgotten {
        /// How many.
        tombstones: usize,
    },
    /// This copy continues under a new id. It was older than what a peer has of its id, or another copy uses
    /// the id, or its clock was wrong.
    Forked {
        /// The old id.
        from: ReplicaId,
        /// The new one.
        to: ReplicaId,
    },
    /// This replica wrote a cell again: the cell could no longer be ordered, or its writer is gone, or this
    /// replica forked.
    LateWrite {
        /// Its stamp.
        original: Stamp,
        /// Its new stamp.
        reissued: Stamp,
    },
    /// The peer refused what this side sent. The data is still here; no more changes are sent in this
    /// session.
    Refused {
        /// The session.
        session: SessionId,
        /// Why, with its numbers.
        reason: Refusal,
    },
    /// This side refused what the peer sent. The peer still has the data.
    RefusedPeer {
        /// The session.
        session: SessionId,
        /// Why, with its numbers.
        reason: Refusal,
    },
    /// A cell does not fit into a frame: no more changes are sent in this session.
    ///
    /// The buffer is too short, or the longest frame that the peer accepts is
    /// ([`Config::frame_len_max`](crate::Config::frame_len_max)). If that is longer in the next session, or
    /// the cell is gone, sending continues.
    ShortBuffer {
        /// The session.
        session: SessionId,
        /// Longest frame that could be sent, in bytes: the buffer, or what the peer accepts.
        len: usize,
        /// Most bytes that a frame needs for the longest cell that is not sent yet.
        needed: usize,
        /// Length of that cell's path, in bytes.
        path_len: usize,
    },
    /// The aggregator has no own writes that this copy lacks. The copy may send its new writes.
    Verified,
}

/// Pending events. When the queue is full, the oldest is dropped and counted.
pub(crate) struct Events<S: Memory> {
    queue: S::Events,
    /// The document's last change before the first unreported one.
    changed_since: Option<u64>,
    /// Conflicts not reported yet.
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
