//! What replicas tell: counted, and written to the log.

use crdt_core::Event;

use crate::status::CounterStatus;

impl CounterStatus {
    /// Counts an event of a document, and logs it.
    pub(super) fn note(&mut self, document: &str, event: &Event) {
        match event {
            Event::Damaged { session } => {
                self.damages += 1;
                tracing::error!(document, %session, "copies differ that should not; both sides send what the other lacks");
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
