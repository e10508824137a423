//! One side of one conversation with one peer about one document.

use super::Memory;
use core::fmt;

use super::{Carrier, Names, Repair};
use crate::causal::{Knowledge, Stamp, VersionVector};
use crate::id::ReplicaId;
use crate::limits::URGENT_CELLS_MAX;
use crate::time::Time;
use crate::wire::{Refusal, Refused};

/// A session of this replica, unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u32);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The state of one session. What to send is computed from the document and this, never queued.
pub struct Session<S: Memory> {
    pub(crate) id: SessionId,
    pub(crate) carrier: Carrier,
    /// It stands in the queue of those that may have something to send.
    pub(crate) is_ready: bool,
    /// Own Open was sent; the peer's was received.
    pub(crate) opened: bool,
    pub(crate) heard: bool,
    pub(crate) closing: bool,
    /// Whether the initiator must list its vector, because the responder does not know it by name.
    pub(crate) again: Again,
    /// The replica id that the peer opened with.
    pub(crate) peer_replica: Option<ReplicaId>,
    /// The aggregator's clock when it wrote its Open.
    pub(crate) peer_time: Option<Time>,
    /// The initiator's vector in its Open: the table that both sides refer to.
    pub(crate) table: VersionVector<S>,

    // ---- sending ----
    /// What the peer has once all that was sent is applied.
    pub(crate) believed: VersionVector<S>,
    /// The last rise of the own version vector that `believed` includes; 0 when all of it must be compared.
    pub(crate) claimed_rise: u64,
    /// The same for what the peer has acknowledged, which is remembered with the peer.
    pub(crate) acked_rise: u64,
    /// With the floor as it was then, a delta was enough for what the peer has.
    pub(crate) enough_at: Option<u32>,
    /// What a batch that is sent before the peer's Open takes for granted; none may be sent if this is `None`.
    pub(crate) first_base: Option<FirstBase>,
    /// Own vector in the claim that was sent before the peer's Open came.
    pub(crate) first_claim: Option<VersionVector<S>>,
    pub(crate) batch: Option<Batch>,
    /// Cells up to this sequence number were sent in this session, or are known to be there.
    pub(crate) cursor: u64,
    /// Cells that go ahead of the others, and whether they went, by sequence number.
    pub(crate) urgent: heapless::Vec<(u64, bool), URGENT_CELLS_MAX>,
    /// No cell of this session went ahead of its turn, nor anew.
    pub(crate) in_order: bool,
    pub(crate) claims_sent: u32,
    /// A Need for a batch up to this number is stale.
    pub(crate) rebased_at: u32,
    pub(crate) want_full: bool,
    /// The peer wants to be told of each retired id, also of those that it does not list.
    pub(crate) wants_retired: bool,
    /// It was told of all retirements up to here, in this batch.
    pub(crate) told_retired: Time,
    /// The next batch must say that it starts anew.
    pub(crate) explicit: bool,
    /// The peer refused: nothing more is sent in this session.
    pub(crate) refused: bool,
    /// The application wants to know what is durable at the peer.
    pub(crate) ask: bool,
    /// Claims that the peer has acknowledged.
    pub(crate) claims_acked: u32,
    /// The last claim that the transport delivered, and that the peer so has made durable.
    pub(crate) delivered: u32,
    /// Claims that were sent before the peer asked for another Open: they are not counted above.
    pub(crate) claims_before: u32,
    /// Some claims, among them the newest and the last that the peer is known to have: what an Ack or a delivery means.
    pub(crate) own_times: heapless::Deque<ClaimSent, 8>,
    pub(crate) tx: Names<S>,
    pub(crate) frame_len_max: usize,

    // ---- receiving ----
    pub(crate) claims_received: u32,
    pub(crate) acks_sent: u32,
    pub(crate) ack_due: bool,
    /// The batch being received does not fit: its cells are read, not applied.
    pub(crate) gap: bool,
    /// A batch was refused here. The peer stops when it hears of it; what it sends until then rests on that batch.
    pub(crate) has_refused: bool,
    /// The frame being taken has no stamp from too far in the future.
    pub(crate) admitted: bool,
    /// The last cell of a delta whose claim has not come yet.
    pub(crate) received_through: Option<Stamp>,
    pub(crate) need_due: Option<Need>,
    pub(crate) refusal_due: Option<Refused>,
    /// A full batch is being received; sequence numbers of the cells that it has confirmed.
    pub(crate) full: bool,
    pub(crate) seen: S::Sequences,
    pub(crate) rx: Names<S>,

    // ---- comparing ----
    /// Fingerprints are to be compared, as soon as both sides have the same.
    pub(crate) digest_due: bool,
    pub(crate) repair: Repair,
    pub(crate) quiet: bool,

    /// The vector in an Open that may be a replay: it counts once the peer is confirmed.
    pub(crate) early_vector: Option<VersionVector<S>>,

    // ---- what the peer has seen ----
    /// Highest time in the vector that it opened with: what it sends with a lower one is older than that.
    pub(crate) opened_at: Time,
    /// It has told that it has the changes up to this sequence number.
    pub(crate) seen_seq: u64,
}

/// A claim that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClaimSent {
    pub(crate) number: u32,
    /// The sender's own time in it.
    pub(crate) own_time: Time,
    /// The last change of the document when it was made.
    pub(crate) seq: u64,
}

/// A batch that is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) full: bool,
    /// Changes of the floor when it began.
    pub(crate) floor_changes: u32,
    /// The last change of the document when it began.
    pub(crate) began_at: u64,
}

/// What the first flight takes for granted at the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstBase {
    Nothing,
    /// The vector of the own Open, but of the sender itself only up to `own`.
    Table {
        own: Time,
    },
}

/// Where the wish for an Open that lists its vector stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    Asked,
    Due,
    No,
}

/// What is to be told about a batch that did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) batch: u32,
    pub(crate) full: bool,
}

impl<S: Memory> Session<S> {
    pub(crate) fn new(id: SessionId, carrier: Carrier) -> Self {
        Self {
            id,
            carrier,
            is_ready: false,
            opened: false,
            heard: false,
            closing: false,
            again: Again::No,
            peer_replica: None,
            peer_time: None,
            table: VersionVector::new(),
            believed: VersionVector::new(),
            claimed_rise: 0,
            acked_rise: 0,
            enough_at: None,
            first_base: Some(FirstBase::Nothing),
            first_claim: None,
            batch: None,
            cursor: 0,
            urgent: heapless::Vec::new(),
            in_order: true,
            claims_sent: 0,
            rebased_at: 0,
            want_full: false,
            wants_retired: false,
            told_retired: Time::ZERO,
            explicit: false,
            refused: false,
            ask: false,
            claims_acked: 0,
            delivered: 0,
            claims_before: 0,
            own_times: heapless::Deque::new(),
            tx: Names::new(),
            frame_len_max: crate::limits::FRAME_LEN_MAX,
            claims_received: 0,
            acks_sent: 0,
            ack_due: false,
            gap: false,
            has_refused: false,
            admitted: true,
            received_through: None,
            need_due: None,
            refusal_due: None,
            full: false,
            seen: S::Sequences::default(),
            rx: Names::new(),
            digest_due: true,
            repair: Repair::new(),
            quiet: false,
            early_vector: None,
            opened_at: Time::ZERO,
            seen_seq: 0,
        }
    }

    /// The batch being received cannot be applied: the rest of it is only read.
    pub(crate) fn refuse(&mut self, reason: Refusal) {
        self.gap = true;
        self.has_refused = true;
        self.received_through = None;
        self.refusal_due = Some(Refused { batch: u64::from(self.claims_received) + 1, reason });
    }

    /// What the peer has is known anew, perhaps less than was believed.
    pub(crate) fn set_believed(&mut self, theirs: &VersionVector<S>) {
        self.believed.copy_from(theirs);
        self.note_lowered();
    }

    /// The peer has, or lists, less than was believed.
    pub(crate) fn note_lowered(&mut self) {
        self.claimed_rise = 0;
        self.acked_rise = 0;
        self.enough_at = None;
    }

    /// The replicas of which the peer lacks something that is incorporated here. See [`Knowledge::news_for`].
    pub(crate) fn news(&mut self, knowledge: &Knowledge<S>) -> S::Ids {
        let news = knowledge.news_for(&self.believed, self.claimed_rise);
        if news.is_empty() {
            self.claimed_rise = knowledge.rises();
        }
        news
    }

    /// Whether the peer is believed to have the transaction `stamp`, which may be one that is not incorporated here yet.
    pub(crate) fn peer_has(&self, stamp: Stamp, knowledge: &Knowledge<S>) -> bool {
        let place = knowledge.vv().place_of(stamp.replica);
        self.believed.time_of_near(stamp.replica, place) >= stamp.time
    }

    /// Whether the peer is believed to have all writes that are incorporated here.
    pub(crate) fn has_all_writes(&mut self, knowledge: &Knowledge<S>) -> bool {
        self.news(knowledge).is_empty()
    }

    /// The same, and all retirements.
    pub(crate) fn has_all(&mut self, knowledge: &Knowledge<S>) -> bool {
        let retirements = ReplicaId::RETIREMENTS;
        self.believed.time_of(retirements) >= knowledge.vv().time_of(retirements)
            && self.has_all_writes(knowledge)
    }

    /// The peer gets all of `news` with the claim that is sent, and of a `full` batch everything.
    pub(crate) fn note_claimed(&mut self, knowledge: &Knowledge<S>, news: &[ReplicaId], full: bool) {
        if full {
            self.believed.absorb(knowledge.vv());
        } else {
            for replica in news {
                let place = knowledge.vv().place_of(*replica);
                let time = knowledge.vv().time_of_near(*replica, place);
                // A replica that does not fit stays unknown.
                self.believed.raise_near(*replica, place, time).ok();
            }
        }
        self.claimed_rise = knowledge.rises();
    }

    /// The peer has acknowledged all that was claimed: `acked`, which is remembered with it, becomes what it is believed to
    /// have. O(what was claimed since the last time).
    pub(crate) fn note_acked(&mut self, knowledge: &Knowledge<S>, acked: &mut VersionVector<S>) {
        match knowledge.risen_since(self.acked_rise) {
            Some(risen) => {
                for replica in risen.chain([ReplicaId::RETIREMENTS]) {
                    acked.raise(replica, self.believed.time_of(replica)).ok();
                }
            }
            None => acked.copy_from(&self.believed),
        }
        self.acked_rise = self.claimed_rise;
    }

    /// Whether a delta is enough for the peer.
    pub(crate) fn is_delta_enough(&mut self, knowledge: &Knowledge<S>) -> bool {
        let rises = knowledge.floor_rises();
        if self.enough_at != Some(rises) {
            self.enough_at = knowledge.is_delta_enough(&self.believed).then_some(rises);
        }
        self.enough_at.is_some()
    }

    /// A batch has ended. A peer that ends four thousand million of them is not counted any further: only its own receipts
    /// suffer.
    pub(crate) fn note_claim_received(&mut self) {
        self.claims_received = self.claims_received.saturating_add(1);
    }

    /// The vector that the first flight takes for granted; `own` is the sender.
    pub(crate) fn first_base_vector(&self, own: ReplicaId) -> VersionVector<S> {
        match self.first_base {
            Some(FirstBase::Table { own: time }) => {
                let mut base = self.table.clone();
                // Lower than what stands there: it needs no room.
                base.put(own, time).ok();
                base
            }
            Some(FirstBase::Nothing) | None => VersionVector::new(),
        }
    }

    /// The last retirement that the peer knows of, or has been told of in the full batch that is being sent.
    pub(crate) fn told_retired(&self, full: bool) -> Time {
        let known = self.believed.time_of(ReplicaId::RETIREMENTS);
        if full { self.told_retired.max(known) } else { known }
    }

    /// Whether the cell went ahead of its turn.
    pub(crate) fn went_ahead(&self, seq: u64) -> bool {
        self.urgent.contains(&(seq, true))
    }

    /// Whether the peer had `stamp` before anything was sent to it in this session; `own` is this side.
    pub(crate) fn peer_came_with(&self, stamp: Stamp, own: ReplicaId) -> bool {
        match self.first_base {
            _ if !self.carrier.initiator => self.table.covers(stamp),
            Some(FirstBase::Table { own: time }) if stamp.replica == own => stamp.time <= time,
            Some(FirstBase::Table { .. }) => self.table.covers(stamp),
            Some(FirstBase::Nothing) | None => false,
        }
    }

    /// Whether a frame leaves in any case: the peer waits for something, or is to be asked, or has half of a batch.
    pub(crate) fn must_speak(&self) -> bool {
        self.batch.is_some() || self.explicit || self.want_full || self.ack_due || self.ask
    }

    /// The peer acknowledges `further` claims in the frame that is about to be taken: it had them before it wrote the frame.
    pub(crate) fn note_seen(&mut self, further: u64) {
        let through = u64::from(self.claims_acked).saturating_add(further);
        if further == 0 || self.refused || through <= u64::from(self.rebased_at) {
            return;
        }
        let claim = self.own_times.iter().rev().find(|claim| u64::from(claim.number) <= through);
        self.seen_seq = claim.map_or(self.seen_seq, |claim| claim.seq.max(self.seen_seq));
    }

    /// The last claim that is durable at the peer because the transport delivered it.
    pub(crate) fn delivered_claim(&self) -> Option<&ClaimSent> {
        let claim = self.own_times.iter().rev().find(|claim| claim.number <= self.delivered);
        claim.filter(|claim| claim.number > self.rebased_at && !self.closing)
    }

    /// The base of what was sent did not hold: start over.
    pub(crate) fn rebase(&mut self) {
        self.cursor = 0;
        self.urgent.clear();
        self.in_order = false;
        self.batch = None;
        self.explicit = true;
        self.rebased_at = self.claims_sent;
        self.seen_seq = 0;
        self.note_lowered();
    }
}

impl<S: Memory> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("peer", &self.carrier.peer)
            .field("believed", &self.believed)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::id::PeerId;
    use crate::storage::Heap;

    /// 65,536 batches fit into a frame, so a peer comes to the end of 32 bits within 65,536 frames.
    #[test]
    fn a_peer_that_ends_batches_without_end_is_counted_no_further() {
        let carrier = Carrier {
            peer: PeerId([1; 32]),
            with_aggregator: false,
            initiator: false,
            confirmed: true,
            handle: 0,
            has_capacity: true,
            is_deferred: false,
        };
        let mut session = Session::<Heap>::new(SessionId(1), carrier);
        session.claims_received = u32::MAX - 1;
        (0..3).for_each(|_| session.note_claim_received());
        session.refuse(Refusal::Access);
        assert_eq!(session.claims_received, u32::MAX);
        assert_eq!(session.refusal_due.map(|refused| refused.batch), Some(1 << 32));
    }
}
