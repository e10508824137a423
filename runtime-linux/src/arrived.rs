//! What of a document is at the aggregator, kept over restarts: a document that is not opened any more is judged by it.
//!
//! A delivery is a receipt, but the document itself remembers only what the aggregator has said in so many words. Setting
//! `arrived/DOCUMENT`: JSON, the aggregator's key and for each writer the time up to which its cells were there. It is
//! written when the edge stops and with the ledger, so after a power cut it may lack what was delivered last. An older cell
//! of another writer that came after it was written counts as delivered; this copy's own cells come in the order of their times.

use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;

use crdt_core::{Heap, PeerId, Replica, ReplicaId, Stamp, Time};
use serde::{Deserialize, Serialize};
use storage_redb::{Batch, Store, StoreError};
use transport_quic::PublicKey;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Arrived {
    pub(crate) aggregator: PublicKey,
    /// By the writer's replica id, in milliseconds since 1970.
    through_ms: BTreeMap<u64, u64>,
}

impl Arrived {
    /// What is known of a document that is open. Cost: `[cells]`.
    pub(crate) fn of(replica: &Replica<Heap, ChaCha12Rng>, aggregator: PublicKey) -> Self {
        let peer = PeerId(aggregator.0);
        let (acked, delivered) = (replica.acknowledged_by(peer), replica.delivered_seq(peer));
        let mut newest: BTreeMap<ReplicaId, Time> = BTreeMap::new();
        let mut missing: BTreeMap<ReplicaId, Time> = BTreeMap::new();
        for cell in replica.document().changes_since(0) {
            let Stamp { replica, time, .. } = cell.stamp;
            if cell.seq <= delivered || acked.is_some_and(|acked| acked.covers(cell.stamp)) {
                newest.entry(replica).and_modify(|newest| *newest = time.max(*newest)).or_insert(time);
            } else {
                missing.entry(replica).and_modify(|oldest| *oldest = time.min(*oldest)).or_insert(time);
            }
        }
        let through = newest.into_iter().map(|(replica, newest)| {
            let before = missing.get(&replica).map(|oldest| oldest.as_ms().saturating_sub(1));
            (replica.get(), before.map_or(newest.as_ms(), |before| before.min(newest.as_ms())))
        });
        Self { aggregator, through_ms: through.collect() }
    }

    /// What a former process left, if there is something that can be read.
    pub(crate) fn load(store: &Store, document: &str) -> Result<Option<Self>, StoreError> {
        Ok(store.setting(&setting(document))?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    pub(crate) fn stage(&self, document: &str, batch: &mut Batch<'_>) {
        let bytes = serde_json::to_vec(self).expect("numbers under fixed names are JSON");
        batch.set(setting(document), bytes);
    }

    /// The document is gone.
    pub(crate) fn unstage(document: &str, batch: &mut Batch<'_>) {
        batch.unset(setting(document));
    }

    /// Whether a cell with this stamp was at the aggregator.
    pub(crate) fn covers(&self, stamp: Stamp) -> bool {
        let through = self.through_ms.get(&stamp.replica.get());
        through.is_some_and(|through| stamp.time.as_ms() <= *through)
    }
}

fn setting(document: &str) -> String {
    format!("arrived/{document}")
}
