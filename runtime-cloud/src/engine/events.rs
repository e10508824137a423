//! What replicas tell: counted, and written to the log.

use crdt_core::{Conflict, Event, Heap};

use crate::status::CounterStatus;

impl CounterStatus {
    /// Counts an event of a document, and logs it.
    pub(super) fn note(&mut self, document: &str, event: &Event) {
        match event {
            // Watches read the document's own order of changes.
            Event::Changed { .. } => {}
            Event::Conflicts { cells } => {
                tracing::info!(document, cells, "values were overwritten by somebody who had not seen them");
            }
            Event::Damaged { session } => {
                self.damages += 1;
                tracing::error!(document, %session, "copies differ that should not; both sides send what the other lacks");
            }
            Event::Forgotten { tombstones } => {
                tracing::warn!(
                    document,
                    tombstones,
                    "the document is full: deletes were forgotten to make room"
                );
            }
            Event::Forked { from, to } => {
                tracing::warn!(document, %from, %to, "this copy was an old one, and goes on under a new id");
            }
            Event::LateWrite { original, reissued } => {
                self.late_writes += 1;
                tracing::info!(document, %original, %reissued, "a late write was written again");
            }
            Event::Refused { session, reason } => {
                tracing::warn!(document, %session, %reason, "a device refused what was sent");
            }
            Event::RefusedPeer { session, reason } => {
                self.batches_refused += 1;
                tracing::warn!(document, %session, %reason, "a batch of a device was refused");
            }
            Event::ShortBuffer { session, len, needed, path_len } => {
                tracing::error!(document, %session, len, needed, path_len, "a cell does not fit into a frame of this device");
            }
            event => tracing::debug!(document, ?event, "event"),
        }
    }
}

/// Logs both sides of a conflict.
pub(super) fn log_conflict(document: &str, conflict: &Conflict<Heap>) {
    let (path, lost, won) = (conflict.path(), conflict.lost(), conflict.won());
    tracing::info!(
        document,
        path,
        lost = ?lost.content,
        lost_stamp = %lost.stamp,
        won_at = won.path,
        won = ?won.content,
        won_stamp = %won.stamp,
        "conflict"
    );
}
