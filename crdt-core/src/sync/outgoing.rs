//! The sending half of a session: what the peer has, what was sent to it, and what it has acknowledged.

use super::{Memory, Names};
use crate::causal::{Knowledge, Stamp, VersionVector};
use crate::id::ReplicaId;
use crate::limits::{FRAME_LEN_MAX, URGENT_CELLS_MAX};
use crate::time::Time;

/// What to send is computed from the document and this, never queued.
pub(crate) struct Outgoing<S: Memory> {
    // ---- used for each frame ----
    /// Cells up to this sequence number were sent in this session, or are known to be there.
    pub(crate) cursor: u64,
    /// The last rise of the own version vector that `peer_knows` includes; 0 when all of it must be compared.
    pub(crate) claimed_rise: u64,
    /// What the peer has once all that was sent is applied.
    pub(crate) peer_knows: VersionVector<S>,
    pub(crate) batch: Option<Batch>,
    /// With the floor as it was then, a delta was enough for what the peer has.
    pub(crate) delta_enough_at: Option<u32>,
    pub(crate) claims_sent: u32,
    /// Claims that the peer has acknowledged.
    pub(crate) claims_acked: u32,
    /// The last claim that the transport delivered, and that the peer so has made durable.
    pub(crate) claims_delivered: u32,
    /// The peer needs a full batch.
    pub(crate) wants_full: bool,
    /// The next batch must say that it starts anew.
    pub(crate) restarts: bool,
    /// The peer refused: nothing more is sent in this session.
    pub(crate) is_refused: bool,
    /// The application wants to know what is durable at the peer.
    pub(crate) asks: bool,
    /// Cells were sent in sequence order, none twice.
    pub(crate) is_in_order: bool,
    pub(crate) frame_len_max: usize,
    pub(crate) names: Names<S>,

    // ---- used now and then ----
    /// The same as `claimed_rise` for what the peer has acknowledged, which is remembered with the peer.
    pub(crate) acked_rise: u64,
    /// What a batch that is sent before the peer's Open takes for granted; none may be sent if this is `None`.
    pub(crate) first_base: Option<FirstBase>,
    /// Own vector in the claim that was sent before the peer's Open came.
    pub(crate) first_claim: Option<VersionVector<S>>,
    /// A Need for a batch up to this number is stale.
    pub(crate) rebased_at: u32,
    /// Claims that were sent before the peer asked for another Open: they are not counted in `claims_sent`.
    pub(crate) claims_before: u32,
    /// The peer wants to be told of each retired id, also of those that it does not list.
    pub(crate) wants_retired: bool,
    /// It was told of all retirements up to here, in this batch.
    pub(crate) told_retired: Time,
    /// It has told that it has the changes up to this sequence number.
    pub(crate) seen_seq: u64,
    /// Some claims, among them the newest and the last that the peer is known to have: what an Ack or a delivery means.
    pub(crate) claims: heapless::Deque<ClaimSent, 8>,
    /// Cells that go ahead of the others, and whether they went, by sequence number.
    pub(crate) urgent: heapless::Vec<(u64, bool), URGENT_CELLS_MAX>,
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

impl<S: Memory> Outgoing<S> {
    // Not inlined: two callers would have a copy each.
    #[inline(never)]
    pub(crate) fn new() -> Self {
        Self {
            cursor: 0,
            claimed_rise: 0,
            peer_knows: VersionVector::new(),
            batch: None,
            delta_enough_at: None,
            claims_sent: 0,
            claims_acked: 0,
            claims_delivered: 0,
            wants_full: false,
            restarts: false,
            is_refused: false,
            asks: false,
            is_in_order: true,
            frame_len_max: FRAME_LEN_MAX,
            names: Names::new(),
            acked_rise: 0,
            first_base: Some(FirstBase::Nothing),
            first_claim: None,
            rebased_at: 0,
            claims_before: 0,
            wants_retired: false,
            told_retired: Time::ZERO,
            seen_seq: 0,
            claims: heapless::Deque::new(),
            urgent: heapless::Vec::new(),
        }
    }

    // ---- what the peer has ----

    /// What the peer has is known anew, perhaps less than was believed.
    pub(crate) fn set_peer_knows(&mut self, theirs: &VersionVector<S>) {
        self.peer_knows.copy_from(theirs);
        self.note_lowered();
    }

    /// The peer has, or lists, less than was believed.
    pub(crate) fn note_lowered(&mut self) {
        self.claimed_rise = 0;
        self.acked_rise = 0;
        self.delta_enough_at = None;
    }

    /// The replicas of which the peer lacks something that is incorporated here. See [`Knowledge::news_for`].
    // Not inlined: five callers would have a copy each.
    #[inline(never)]
    pub(crate) fn news(&mut self, knowledge: &Knowledge<S>) -> S::Ids {
        let news = knowledge.news_for(&self.peer_knows, self.claimed_rise);
        if news.is_empty() {
            self.claimed_rise = knowledge.rises();
        }
        news
    }

    /// Whether the peer is believed to have the transaction `stamp`, which may be one that is not incorporated here yet.
    #[inline(never)]
    pub(crate) fn peer_has(&self, stamp: Stamp, knowledge: &Knowledge<S>) -> bool {
        let place = knowledge.vv().place_of(stamp.replica);
        self.peer_knows.time_of_near(stamp.replica, place) >= stamp.time
    }

    /// Whether the peer is believed to have all writes that are incorporated here.
    pub(crate) fn peer_has_all_writes(&mut self, knowledge: &Knowledge<S>) -> bool {
        self.news(knowledge).is_empty()
    }

    /// The same, and all retirements.
    pub(crate) fn peer_has_all(&mut self, knowledge: &Knowledge<S>) -> bool {
        let retirements = ReplicaId::RETIREMENTS;
        self.peer_knows.time_of(retirements) >= knowledge.vv().time_of(retirements)
            && self.peer_has_all_writes(knowledge)
    }

    /// Whether a delta is enough for the peer.
    #[inline(never)]
    pub(crate) fn is_delta_enough(&mut self, knowledge: &Knowledge<S>) -> bool {
        let rises = knowledge.floor_rises();
        if self.delta_enough_at != Some(rises) {
            self.delta_enough_at = knowledge.is_delta_enough(&self.peer_knows).then_some(rises);
        }
        self.delta_enough_at.is_some()
    }

    /// The vector that the first flight takes for granted; `own` is the sender, `table` the vector of its Open.
    pub(crate) fn first_base_vector(&self, own: ReplicaId, table: &VersionVector<S>) -> VersionVector<S> {
        match self.first_base {
            Some(FirstBase::Table { own: time }) => {
                let mut base = table.clone();
                // Lower than what stands there: it needs no capacity.
                base.put(own, time).ok();
                base
            }
            Some(FirstBase::Nothing) | None => VersionVector::new(),
        }
    }

    /// The last retirement that the peer knows of, or has been told of in the full batch that is being sent.
    pub(crate) fn last_retirement_told(&self, full: bool) -> Time {
        let known = self.peer_knows.time_of(ReplicaId::RETIREMENTS);
        if full { self.told_retired.max(known) } else { known }
    }

    // ---- claims ----

    /// A claim was written: the peer gets all of `news` with it, and of a `full` batch everything. `seq` is the last change of
    /// the document, `own_time` the own time.
    pub(crate) fn note_claimed(
        &mut self,
        knowledge: &Knowledge<S>,
        news: &[ReplicaId],
        full: bool,
        (own_time, seq): (Time, u64),
    ) {
        if full {
            self.peer_knows.absorb(knowledge.vv());
        } else {
            for replica in news {
                let place = knowledge.vv().place_of(*replica);
                let time = knowledge.vv().time_of_near(*replica, place);
                // A replica that does not fit stays unknown.
                self.peer_knows.raise_near(*replica, place, time).ok();
            }
        }
        self.claimed_rise = knowledge.rises();
        self.batch = None;
        self.urgent.clear();
        self.wants_full = false;
        self.names.cursor.defining = true;
        self.claims_sent = self.claims_sent.saturating_add(1);
        if self.claims.is_full() {
            // What the peer is not known to have yet must not go: under steady writes no claim would ever be known.
            let known = self.claims_acked.max(self.claims_delivered);
            if self.claims.get(1).is_some_and(|claim| claim.number <= known) {
                self.claims.pop_front();
            } else {
                self.claims.pop_back();
            }
        }
        let pushed = self.claims.push_back(ClaimSent { number: self.claims_sent, own_time, seq });
        debug_assert!(pushed.is_ok(), "a place was made");
    }

    /// The peer has acknowledged all that was claimed: `acked`, which is remembered with it, becomes what it is believed to
    /// have. O(what was claimed since the last time).
    pub(crate) fn note_all_acked(&mut self, knowledge: &Knowledge<S>, acked: &mut VersionVector<S>) {
        match knowledge.risen_since(self.acked_rise) {
            Some(risen) => {
                for replica in risen.chain([ReplicaId::RETIREMENTS]) {
                    acked.raise(replica, self.peer_knows.time_of(replica)).ok();
                }
            }
            None => acked.copy_from(&self.peer_knows),
        }
        self.acked_rise = self.claimed_rise;
    }

    /// The peer acknowledges `further` claims in the frame that is about to be handled: it had them before it wrote the frame.
    pub(crate) fn note_seen(&mut self, further: u64) {
        let through = u64::from(self.claims_acked).saturating_add(further);
        if further == 0 || self.is_refused || through <= u64::from(self.rebased_at) {
            return;
        }
        let claim = self.claims.iter().rev().find(|claim| u64::from(claim.number) <= through);
        self.seen_seq = claim.map_or(self.seen_seq, |claim| claim.seq.max(self.seen_seq));
    }

    /// The last claim that is durable at the peer because the transport delivered it.
    pub(crate) fn delivered_claim(&self) -> Option<&ClaimSent> {
        let claim = self.claims.iter().rev().find(|claim| claim.number <= self.claims_delivered);
        claim.filter(|claim| claim.number > self.rebased_at)
    }

    // ---- batches ----

    /// Whether a frame is sent in any case: the peer waits for something, or is to be asked, or has half of a batch.
    pub(crate) fn must_send(&self) -> bool {
        self.batch.is_some() || self.restarts || self.wants_full || self.asks
    }

    /// Whether the cell was sent ahead of its turn.
    pub(crate) fn went_ahead(&self, seq: u64) -> bool {
        self.urgent.contains(&(seq, true))
    }

    /// The base of what was sent did not hold: starts over.
    pub(crate) fn rebase(&mut self) {
        self.cursor = 0;
        self.urgent.clear();
        self.is_in_order = false;
        self.batch = None;
        self.restarts = true;
        self.rebased_at = self.claims_sent;
        self.seen_seq = 0;
        self.note_lowered();
    }
}
