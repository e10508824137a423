//! Who waits until the aggregator has something on its disk, and for what.

use crdt_core::{ReplicaId, Stamp};

use super::io::Reply;
use crate::error::EdgeError;

/// What an answer rests on: all of it must be at the aggregator before a receipt is true.
///
/// A write rests on itself. An answer that wrote nothing, such as the second delete of one path, rests on what the document
/// held at that moment: the first delete may still be on its way, whoever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basis {
    /// The newest write of this copy that counts.
    pub(super) own: Stamp,
    /// The newest write of each other replica that the aggregator was not known to have.
    pub(super) others: Vec<Stamp>,
    /// The change of the document up to which that counts: a delivery of it covers `others` too.
    pub(super) seq: u64,
    /// Nothing was written: then the aggregator must have opened the document, or nobody knows what it has.
    pub(super) needs_open: bool,
}

impl From<Stamp> for Basis {
    fn from(own: Stamp) -> Self {
        Self { own, others: Vec::new(), seq: u64::MAX, needs_open: false }
    }
}

/// The receipts of one document that are waited for.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    waiting: Vec<(Basis, Reply<()>)>,
    /// Ids that this copy gave up in this process, and what stands for their writes now.
    forks: Vec<(ReplicaId, Stamp)>,
}

impl Receipts {
    /// Waits for what `basis` says. An error says that too many wait, and gives the reply back.
    pub(super) fn add(&mut self, mut basis: Basis, reply: Reply<()>) -> Result<(), (EdgeError, Reply<()>)> {
        self.waiting.retain(|(_, reply)| !reply.is_closed());
        if self.waiting.len() >= RECEIPTS_MAX {
            return Err((EdgeError::TooManyReceipts { limit: RECEIPTS_MAX }, reply));
        }
        if let Some((_, to)) = self.forks.iter().rev().find(|(from, _)| *from == basis.own.replica) {
            basis.own = *to;
        }
        self.waiting.push((basis, reply));
        Ok(())
    }

    /// Gives those for which `has_arrived` says yes.
    pub(super) fn give(&mut self, has_arrived: impl Fn(&Basis) -> bool) {
        for (_, reply) in self.waiting.extract_if(.., |(basis, _)| has_arrived(basis)) {
            // Whoever does not wait any more needs no receipt.
            let _ = reply.send(Ok(()));
        }
    }

    /// What was written under `from` stands under the replica id of `to` now, up to its time.
    pub(super) fn note_forked(&mut self, from: ReplicaId, to: Stamp) {
        let own = self.waiting.iter_mut().map(|(basis, _)| &mut basis.own);
        for stamp in own.chain(self.forks.iter_mut().map(|(_, stamp)| stamp)) {
            if stamp.replica == from {
                *stamp = to;
            }
        }
        self.forks.push((from, to));
        if self.forks.len() > FORKS_MAX {
            self.forks.remove(0);
        }
    }

    /// No receipt will come any more.
    pub(super) fn fail(&mut self, error: impl Fn() -> EdgeError) {
        // Whoever does not wait any more needs no answer.
        self.waiting.drain(..).for_each(|(_, reply)| drop(reply.send(Err(error()))));
    }
}

/// Most receipts of one document that are waited for at once.
pub const RECEIPTS_MAX: usize = 16_384;
/// Forks of this process that are remembered for receipts of writes before them.
const FORKS_MAX: usize = 16;
