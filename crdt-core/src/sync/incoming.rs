//! The receiving half of a session: the batch in progress, and the answers that are due.

use super::{Memory, Names};
use crate::causal::{Stamp, VersionVector};
use crate::wire::{Refusal, Refused};

/// See the [module](self).
pub(crate) struct Incoming<S: Memory> {
    pub(crate) receiving: Receiving,
    pub(crate) claims_received: u32,
    pub(crate) acks_sent: u32,
    pub(crate) ack_due: bool,
    /// Sequence numbers of the cells that a full batch has confirmed.
    pub(crate) confirmed: S::Sequences,
    pub(crate) need_due: Option<Need>,
    pub(crate) refusal_due: Option<Refused>,
    /// The vector of an Open that may be a replay. It takes effect once the peer is confirmed.
    pub(crate) early_vector: Option<VersionVector<S>>,
    pub(crate) names: Names<S>,
}

/// What is done with the cells of the batch in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    /// A delta: its cells are applied.
    Delta {
        /// The last cell that was applied and is not claimed yet.
        through: Option<Stamp>,
    },
    /// A full batch: its cells are applied, and noted in [`Incoming::confirmed`].
    Full,
    /// Cells are read but not applied, until a batch begins that can be applied.
    Skipping {
        /// The batch is a full one.
        full: bool,
        reason: Skipped,
    },
}

/// Why a batch is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// It assumes a base that is not here. A Need reports that to the peer.
    BaseMissing,
    /// This or an earlier batch was refused. What the peer sends until it receives the refusal depends on
    /// that batch.
    Refused,
}

/// The content of a Need: a batch assumed a base that is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) batch: u32,
    pub(crate) full: bool,
}

impl<S: Memory> Incoming<S> {
    // Not inlined: each of the two callers would have a copy.
    #[inline(never)]
    pub(crate) fn new() -> Self {
        Self {
            receiving: Receiving::Delta { through: None },
            claims_received: 0,
            acks_sent: 0,
            ack_due: false,
            confirmed: S::Sequences::default(),
            need_due: None,
            refusal_due: None,
            early_vector: None,
            names: Names::new(),
        }
    }

    /// Refuses the batch in progress.
    pub(crate) fn refuse(&mut self, reason: Refusal) {
        self.receiving = Receiving::Skipping { full: self.is_full(), reason: Skipped::Refused };
        self.refusal_due = Some(Refused { batch: u64::from(self.claims_received) + 1, reason });
    }

    /// Notes the end of the batch in progress.
    pub(crate) fn end_batch(&mut self) {
        self.receiving = match self.receiving {
            Receiving::Skipping { reason, .. } => Receiving::Skipping { full: false, reason },
            Receiving::Delta { .. } | Receiving::Full => Receiving::Delta { through: None },
        };
    }

    /// Counts the end of a batch. The count saturates: a peer that ends that many batches only loses
    /// receipts.
    pub(crate) fn note_claim_received(&mut self) {
        self.claims_received = self.claims_received.saturating_add(1);
    }

    /// Whether a full batch is being received.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self.receiving, Receiving::Full | Receiving::Skipping { full: true, .. })
    }

    pub(crate) fn is_skipping(&self) -> bool {
        matches!(self.receiving, Receiving::Skipping { .. })
    }

    pub(crate) fn has_refused(&self) -> bool {
        matches!(self.receiving, Receiving::Skipping { reason: Skipped::Refused, .. })
    }

    /// The last cell that was applied of a delta that is not claimed yet.
    pub(crate) fn received_through(&self) -> Option<Stamp> {
        match self.receiving {
            Receiving::Delta { through } => through,
            Receiving::Full | Receiving::Skipping { .. } => None,
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::storage::Heap;

    /// 65,536 batches fit into a frame, so a peer can overflow 32 bits within 65,536 frames.
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
