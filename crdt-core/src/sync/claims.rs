//! The claims that a session has sent, and which of them were acknowledged or delivered.

use crate::time::Time;

/// A claim that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Counted from 1 in each session.
    number: u32,
    /// The sender's own time in it.
    pub(crate) own_time: Time,
    /// The last change of the document when it was sent.
    pub(crate) seq: u64,
}

/// Claims are numbered from 1. `acked <= sent` and `delivered <= sent` always hold.
pub(crate) struct Claims {
    sent: u32,
    /// The peer has acknowledged claims up to this one.
    acked: u32,
    /// The transport delivered claims up to this one: the peer has made them durable.
    delivered: u32,
    /// Claims up to this one assumed a base that the peer lacks: their acknowledgements are ignored.
    void: u32,
    /// Claims that were sent before the peer asked for another Open: [`total`](Self::total) counts them too.
    before: u32,
    /// The peer has acknowledged the changes up to this sequence number.
    seen_seq: u64,
    /// A sample of the claims: the newest and, if any was acknowledged or delivered, at least one of those.
    recent: heapless::Deque<Claim, 8>,
}

impl Claims {
    /// `before`: claims that count towards the total of the session.
    pub(crate) fn new(before: u32) -> Self {
        Self { sent: 0, acked: 0, delivered: 0, void: 0, before, seen_seq: 0, recent: heapless::Deque::new() }
    }

    /// Notes a sent claim. `own_time` is the sender's own time in it, `seq` the last change of the document.
    pub(crate) fn note_sent(&mut self, own_time: Time, seq: u64) {
        self.sent = self.sent.saturating_add(1);
        if self.recent.is_full() {
            // The oldest is evicted only if a later one is known to have arrived. Otherwise, under steady
            // writes, each claim would be evicted before its acknowledgement arrives.
            let known = self.acked.max(self.delivered);
            if self.recent.get(1).is_some_and(|claim| claim.number <= known) {
                self.recent.pop_front();
            } else {
                self.recent.pop_back();
            }
        }
        let pushed = self.recent.push_back(Claim { number: self.sent, own_time, seq });
        debug_assert!(pushed.is_ok(), "one was removed");
    }

    /// The peer acknowledges `further` claims. Returns the number of the last one, or `None` if it was never
    /// sent.
    pub(crate) fn note_acked(&mut self, further: u64) -> Option<u32> {
        let through = u64::from(self.acked).checked_add(further)?;
        self.acked = u32::try_from(through).ok().filter(|through| *through <= self.sent)?;
        Some(self.acked)
    }

    /// The frame about to be handled acknowledges `further` claims: the peer had them when it wrote the
    /// frame.
    pub(crate) fn note_seen(&mut self, further: u64) {
        let through = u64::from(self.acked).saturating_add(further);
        if further == 0 || through <= u64::from(self.void) {
            return;
        }
        let claim = self.recent.iter().rev().find(|claim| u64::from(claim.number) <= through);
        self.seen_seq = claim.map_or(self.seen_seq, |claim| claim.seq.max(self.seen_seq));
    }

    /// The transport delivered the first `total` claims of the session. Returns whether more is now known to
    /// be durable at the peer.
    pub(crate) fn note_delivered(&mut self, total: u32) -> bool {
        let claims = total.saturating_sub(self.before).min(self.sent);
        if claims <= self.delivered {
            return false;
        }
        let before = self.last_delivered();
        self.delivered = claims;
        self.last_delivered() != before
    }

    /// Voids all claims so far, because the peer lacks the base that they assumed.
    pub(crate) fn void_all(&mut self) {
        self.void = self.sent;
        self.seen_seq = 0;
    }

    /// Number of claims in the whole session, including those before a repeated Open.
    pub(crate) fn total(&self) -> u32 {
        self.before.saturating_add(self.sent)
    }

    pub(crate) fn are_all_acked(&self) -> bool {
        self.acked == self.sent
    }

    /// Whether the last acknowledged claim is valid, and not void.
    pub(crate) fn is_ack_valid(&self) -> bool {
        self.void < self.acked
    }

    /// Whether the claim or batch `number` assumed a base that the peer is known to lack.
    pub(crate) fn is_void(&self, number: u64) -> bool {
        number <= u64::from(self.void)
    }

    /// The sender's own time in the last claim that is known to be acknowledged.
    pub(crate) fn acked_own_time(&self) -> Option<Time> {
        self.recent.iter().rev().find(|claim| claim.number <= self.acked).map(|claim| claim.own_time)
    }

    /// The last claim that is durable at the peer because the transport delivered it.
    pub(crate) fn last_delivered(&self) -> Option<Claim> {
        let claim = self.recent.iter().rev().find(|claim| claim.number <= self.delivered);
        claim.filter(|claim| claim.number > self.void).copied()
    }

    /// The peer has acknowledged the changes up to this sequence number.
    pub(crate) fn seen_seq(&self) -> u64 {
        self.seen_seq
    }
}
