//! What replicas tell: followed, and written to the log.

use crdt_core::{Event, Refusal};
use rand_chacha::rand_core::Rng;

use super::Engine;
use super::hosted::{Hosted, Retry};
use crate::clock::Now;
use crate::status::Problem;

impl Engine {
    pub(super) fn handle_event(&mut self, now: Now, index: usize, event: Event) {
        if self.handle_line_event(index, &event) {
            return;
        }
        let hosted = &mut self.documents[index];
        let name = hosted.replica.name().clone();
        let document = name.as_str();
        match event {
            Event::Acknowledged { .. } => {
                hosted.last_acknowledged = now.wall.or(hosted.last_acknowledged);
                let is_news = hosted.note_acknowledged(now.at);
                if is_news {
                    self.spending.note_acknowledged();
                }
                hosted.note_progress();
                self.connector.note_progress(is_news);
            }
            // Watchers read the document's own order of changes.
            Event::Changed { .. } => {}
            Event::Conflicts { cells } => {
                tracing::info!(
                    document,
                    cells,
                    "values of this copy were overwritten by somebody who had not seen them"
                );
                log_conflicts(document, hosted);
            }
            Event::Converged { .. } => {
                hosted.note_progress();
                self.connector.note_progress(false);
            }
            Event::Damaged { .. } => {
                tracing::error!(
                    document,
                    "this copy and the aggregator's differ although they should not; both repair it"
                );
            }
            Event::Dropped { .. } => {
                hosted.drops += 1;
                self.follow_policy(index);
            }
            Event::Forgotten { tombstones } => {
                tracing::warn!(
                    document,
                    tombstones,
                    "the document is full: deletes were forgotten to make room"
                );
            }
            Event::Forked { from, to } => {
                tracing::warn!(document, %from, %to, "this copy was older than what the aggregator knows of it, or has a twin");
                hosted.note_forked(from, to);
            }
            Event::LateWrite { original, reissued } => {
                tracing::info!(document, %original, %reissued, "a late write was written again");
            }
            Event::ClockCorrected { now: told, by_ms } => {
                tracing::warn!(aggregator = %told, ?by_ms, "this device's clock is wrong; the aggregator's counts");
                self.spending.note_told(now, told);
                if by_ms.is_none() {
                    self.learned_clock = Some((told, now.at));
                }
            }
            Event::Refused { reason: reason @ Refusal::Fenced, .. } if !hosted.is_connected() => {
                tracing::warn!(document, %reason, "this device takes an id of its own, and writes again what it wrote since it started");
            }
            Event::Refused { reason: reason @ Refusal::Clock { .. }, .. } if !hosted.is_connected() => {
                tracing::warn!(document, %reason, "what was written by a wrong clock is written again by the aggregator's");
            }
            Event::Refused { reason: Refusal::Access, .. } => {
                let text = format!("it may not open document {document:?}");
                self.set_aside(now, index, Some(Problem::AccessDenied { text }), false);
            }
            Event::Refused { reason, .. } => {
                tracing::error!(document, %reason, "the aggregator refuses what was written here; it stays here");
                hosted.problem = Some(Problem::Refused { text: reason.to_string() });
                // It answers, and counts nothing any more in this session.
                hosted.session.iter_mut().for_each(|session| session.asked = None);
                // What it sends is still welcome, so the connection stays for a while.
                let at = now.at + hosted.refused.next(self.rng.next_u64());
                hosted.retry = Some(Retry { at, needs_connection: true });
            }
            Event::RefusedPeer { reason, .. } => {
                tracing::error!(document, %reason, "what the aggregator sent does not fit here");
                hosted.problem = Some(Problem::Closed { text: format!("refused here: {reason}") });
            }
            Event::ShortBuffer { len, needed, path_len, .. } => {
                tracing::error!(document, len, needed, path_len, "a cell does not fit into a frame");
            }
            Event::Verified => {
                tracing::info!(document, "the aggregator confirms that this copy is the newest of its id");
            }
            _ => tracing::debug!(document, ?event, "an event that this version does not know"),
        }
    }
}

fn log_conflicts(document: &str, hosted: &mut Hosted) {
    while let Some(conflict) = hosted.replica.take_conflict() {
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
}
