//! What an aggregator may waste.
//!
//! A hostile or broken aggregator can make a device spend: it takes connections and drops them, sends the same again
//! and again, never acknowledges, floods it with messages that say nothing. All of that looks alike from here: bytes go
//! by, and nothing comes of them. So bytes are counted against what came of them, and whoever wastes a window is left
//! for a while.
//!
//! What is not the aggregator's doing is not counted: attempts that nobody answers, what strangers send, keep-alives of
//! this side. And what an honest connection costs in silence, a reconnection now and then, is forgiven as time passes.

use std::time::{Duration, Instant};

use transport_quic::Ledger;

use crate::backoff::Backoff;

/// Bytes that may be spent while nothing comes of them: a window. What waits to be sent is added twice.
pub const WASTE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes against their use.
#[derive(Debug)]
pub(crate) struct Meter {
    wasted: u64,
    /// What frames of content since the last acknowledgement may have cost.
    sent_worth: u64,
    /// Bytes of handshakes that nobody has answered.
    unanswered: u64,
    /// Bytes that acknowledgements of keep-alives may have.
    kept_alive: u64,
    /// Bytes of content that waited to be sent when that was last looked at.
    backlog: u64,
    /// Up to when waste was forgiven.
    forgiven_at: Option<Instant>,
    /// Since when too much is wasted.
    wasteful_since: Option<Instant>,
    pauses: Backoff,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            wasted: 0,
            sent_worth: 0,
            unanswered: 0,
            kept_alive: 0,
            backlog: 0,
            forgiven_at: None,
            wasteful_since: None,
            pauses: Backoff::new(PAUSE_FIRST, PAUSE_LAST),
        }
    }

    /// Notes what the link has counted.
    pub(crate) fn note_traffic(&mut self, now: Instant, added: &Ledger) {
        let since = self.forgiven_at.replace(now).unwrap_or(now);
        let forgiven =
            FORGIVEN_BYTES_A_DAY as f64 / 86_400.0 * now.saturating_duration_since(since).as_secs_f64();
        if forgiven < 1.0 {
            // Parts of a byte are not lost.
            self.forgiven_at = Some(since);
        }
        self.wasted = self.wasted.saturating_sub(forgiven as u64);

        let (sent, received) = (&added.sent, &added.received);
        let mut bytes = added.bytes() - sent.unrouted.bytes - received.unrouted.bytes - sent.path.bytes;
        if received.handshake.bytes == 0 {
            bytes -= sent.handshake.bytes;
            self.unanswered = self.unanswered.saturating_add(sent.handshake.bytes);
        } else {
            bytes += std::mem::take(&mut self.unanswered).min(HANDSHAKE_MAX);
        }
        self.kept_alive += sent.path.packets * ACKNOWLEDGEMENT_MAX;
        let answers = received.acknowledgements.bytes.min(self.kept_alive);
        self.kept_alive -= answers;
        self.spend(bytes - answers);
    }

    fn spend(&mut self, ip_bytes: u64) {
        self.wasted = self.wasted.saturating_add(ip_bytes);
    }

    /// A frame of content is handed over.
    pub(crate) fn note_sent(&mut self, frame_len: usize) {
        self.sent_worth = self.sent_worth.saturating_add(worth(frame_len));
    }

    /// The aggregator confirmed own writes that it had not confirmed before. What that may have cost is counted in the
    /// frames that brought them, so no aggregator can make it more, and a confirmation pays for no question.
    pub(crate) fn note_acknowledged(&mut self) {
        let worth = std::mem::take(&mut self.sent_worth);
        self.redeem(worth);
    }

    /// Half a window is gone: time to ask the aggregator for an acknowledgement, if there is something to confirm.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.wasted > WASTE_BYTES_MAX / 2
    }

    /// A frame changed the document.
    pub(crate) fn note_changed(&mut self, frame_len: usize) {
        self.redeem(worth(frame_len));
    }

    /// Something came of what was spent. The next pause is a short one again only where little is wasted: one that does its
    /// part, too, while it wastes, is left for longer each time.
    fn redeem(&mut self, worth: u64) {
        self.wasted = self.wasted.saturating_sub(worth);
        if !self.is_doubtful() {
            self.pauses.reset();
        }
    }

    /// Whether a window is gone, so that [`pause`](Self::pause) has to be asked. Costs nothing.
    pub(crate) fn is_full(&mut self) -> bool {
        let is_full = self.wasted > WASTE_BYTES_MAX;
        if !is_full {
            self.wasteful_since = None;
            // Nobody looks at what waits in the meantime, so later it counts anew.
            self.backlog = 0;
        }
        is_full
    }

    /// How long to leave the aggregator alone, if it has wasted too much while so many bytes of content wait.
    ///
    /// What has come may wait for a commit, and is counted before it is known what it is good for; so the aggregator has
    /// [`GRACE`].
    pub(crate) fn pause(&mut self, now: Instant, backlog_bytes: usize, random: u64) -> Option<Duration> {
        let backlog = backlog_bytes as u64;
        // What does not wait any more is there.
        self.wasted = self.wasted.saturating_sub(2 * self.backlog.saturating_sub(backlog));
        self.backlog = backlog;
        if self.wasted <= WASTE_BYTES_MAX + 2 * backlog {
            self.wasteful_since = None;
            return None;
        }
        if now < *self.wasteful_since.get_or_insert(now) + GRACE {
            return None;
        }
        self.wasteful_since = None;
        // The next attempt has a quarter of a window until something comes of it.
        self.wasted = WASTE_BYTES_MAX / 4 * 3;
        Some(self.pauses.next(random))
    }
}

/// What a frame of content may have cost in all, in bytes of IP: itself twice, and two datagrams and what answers them.
fn worth(frame_len: usize) -> u64 {
    2 * frame_len as u64 + FRAME_WORTH
}

/// The part of that which does not depend on its length.
const FRAME_WORTH: u64 = 256;
/// A handshake, at most, in bytes of IP.
const HANDSHAKE_MAX: u64 = 8192;
/// An acknowledgement with nothing else, at most, in bytes of IP.
const ACKNOWLEDGEMENT_MAX: u64 = 80;
/// Waste that is forgiven: some reconnections a day.
const FORGIVEN_BYTES_A_DAY: u64 = 24 * 1024;
/// How long too much may be wasted.
const GRACE: Duration = Duration::from_secs(2);
/// The first pause after a wasted window.
const PAUSE_FIRST: Duration = Duration::from_secs(3600);
/// The longest one.
const PAUSE_LAST: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use transport_quic::{Cause, Count, Traffic};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// The pause, when there was time to see what comes of it.
    fn pause(meter: &mut Meter, backlog_bytes: usize) -> Option<Duration> {
        let now = Instant::now();
        assert_eq!(meter.pause(now, backlog_bytes, 0), None);
        meter.pause(now + GRACE, backlog_bytes, 0)
    }

    fn sent(cause: Cause, bytes: u64) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.sent[cause] = Count { packets: 1, bytes };
        ledger
    }

    fn received(cause: Cause, bytes: u64) -> Ledger {
        Ledger { received: sent(cause, bytes).sent, sent: Traffic::default() }
    }

    #[test]
    fn work_pays_for_itself_and_waste_does_not() {
        let mut meter = Meter::new();
        for _ in 0..10_000 {
            meter.spend(260);
            meter.note_sent(7);
            meter.note_acknowledged();
            meter.spend(1_300);
            meter.note_changed(1_200);
        }
        assert_eq!(pause(&mut meter, 0), None);
        meter.spend(WASTE_BYTES_MAX + 1);
        assert_eq!(pause(&mut meter, 0), Some(PAUSE_FIRST));
        meter.spend(WASTE_BYTES_MAX / 4);
        assert_eq!(pause(&mut meter, 0), None);
        meter.spend(1);
        assert_eq!(pause(&mut meter, 0), Some(2 * PAUSE_FIRST));
    }

    /// It takes each report, and makes it cost twenty times as much.
    #[test]
    fn who_does_its_part_and_wastes_is_left_for_longer_each_time() {
        let mut meter = Meter::new();
        let mut pauses = Vec::new();
        for _ in 0..200 {
            meter.note_sent(7);
            meter.spend(2_500);
            meter.note_acknowledged();
            pauses.extend(pause(&mut meter, 0));
        }
        assert!(pauses.len() > 4 && pauses.is_sorted() && pauses[0] < pauses[3], "{pauses:?}");
    }

    #[test]
    fn a_first_upload_is_no_waste_when_it_is_there() {
        let mut meter = Meter::new();
        assert_eq!(pause(&mut meter, 100_000), None);
        meter.spend(115_000);
        assert_eq!(pause(&mut meter, 100_000), None, "much waits to be sent");
        meter.note_acknowledged();
        assert_eq!(pause(&mut meter, 0), None);
    }

    #[test]
    fn a_night_without_coverage_is_not_the_aggregators_waste() {
        let (mut meter, mut now) = (Meter::new(), Instant::now());
        for _ in 0..12 * 12 {
            now += 5 * MINUTE;
            for _ in 0..5 {
                meter.note_traffic(now, &sent(Cause::Handshake, 1_228));
            }
        }
        meter.note_traffic(now, &received(Cause::Handshake, 1_300));
        assert_eq!(pause(&mut meter, 0), None);
    }

    #[test]
    fn months_of_keep_alives_and_strangers_are_no_waste() {
        let (mut meter, mut now) = (Meter::new(), Instant::now());
        for minute in 0..60 * 24 * 60 {
            now += MINUTE;
            meter.note_traffic(now, &sent(Cause::Path, 58));
            meter.note_traffic(now, &received(Cause::Acknowledgements, 53));
            meter.note_traffic(now, &received(Cause::Unrouted, 1_228));
            if minute % (6 * 60) == 0 {
                meter.note_traffic(now, &sent(Cause::Handshake, 2_500));
                meter.note_traffic(now, &received(Cause::Handshake, 1_300));
            }
            assert_eq!(pause(&mut meter, 0), None, "after {minute} minutes");
        }
    }

    #[test]
    fn pings_of_the_aggregator_are_waste() {
        let (mut meter, now) = (Meter::new(), Instant::now());
        for _ in 0..1_000 {
            meter.note_traffic(now, &received(Cause::Path, 58));
            meter.note_traffic(now, &sent(Cause::Acknowledgements, 53));
        }
        assert_eq!(pause(&mut meter, 0), Some(PAUSE_FIRST));
    }
}
