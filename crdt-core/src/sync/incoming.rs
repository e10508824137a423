//! The receiving half of a session: the batch that is being received, and what is to be said about it.

use super::{Memory, Names};
use crate::causal::{Stamp, VersionVector};
use crate::time::Time;
use crate::wire::{Refusal, Refused};

/// See the [module](self).
pub(crate) struct Incoming<S: Memory> {
    pub(crate) claims_received: u32,
    pub(crate) acks_sent: u32,
    pub(crate) ack_due: bool,
    /// The batch being received does not fit: its cells are read, not applied.
    pub(crate) is_skipping: bool,
    /// A batch was refused here. The peer stops when it hears of it; what it sends until then rests on that batch.
    pub(crate) has_refused: bool,
    /// The frame being handled has no stamp from too far in the future.
    pub(crate) is_admitted: bool,
    /// A full batch is being received.
    pub(crate) is_full: bool,
    /// Sequence numbers of the cells that a full batch has confirmed.
    pub(crate) confirmed: S::Sequences,
    /// The last cell of a delta whose claim has not come yet.
    pub(crate) received_through: Option<Stamp>,
    pub(crate) need_due: Option<Need>,
    pub(crate) refusal_due: Option<Refused>,
    /// Highest time in the vector that the peer opened with: what it sends with a lower one is older than that.
    pub(crate) opened_at: Time,
    /// The vector in an Open that may be a replay: it counts once the peer is confirmed.
    pub(crate) early_vector: Option<VersionVector<S>>,
    pub(crate) names: Names<S>,
}

/// What is to be told about a batch that did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) batch: u32,
    pub(crate) full: bool,
}

impl<S: Memory> Incoming<S> {
    // Not inlined: two callers would have a copy each.
    #[inline(never)]
    pub(crate) fn new() -> Self {
        Self {
            claims_received: 0,
            acks_sent: 0,
            ack_due: false,
            is_skipping: false,
            has_refused: false,
            is_admitted: true,
            is_full: false,
            confirmed: S::Sequences::default(),
            received_through: None,
            need_due: None,
            refusal_due: None,
            opened_at: Time::ZERO,
            early_vector: None,
            names: Names::new(),
        }
    }

    /// The batch being received cannot be applied: the rest of it is only read.
    pub(crate) fn refuse(&mut self, reason: Refusal) {
        self.is_skipping = true;
        self.has_refused = true;
        self.received_through = None;
        self.refusal_due = Some(Refused { batch: u64::from(self.claims_received) + 1, reason });
    }

    /// A batch has ended. A peer that ends four thousand million of them is not counted any further: only its own receipts
    /// suffer.
    pub(crate) fn note_claim_received(&mut self) {
        self.claims_received = self.claims_received.saturating_add(1);
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::Heap;

    /// 65,536 batches fit into a frame, so a peer comes to the end of 32 bits within 65,536 frames.
    #[test]
    fn a_peer_that_ends_batches_without_end_is_counted_no_further() {
        let mut incoming = Incoming::<Heap>::new();
        incoming.claims_received = u32::MAX - 1;
        (0..3).for_each(|_| incoming.note_claim_received());
        incoming.refuse(Refusal::Access);
        assert_eq!(incoming.claims_received, u32::MAX);
        assert_eq!(incoming.refusal_due.map(|refused| refused.batch), Some(1 << 32));
    }
}
