//! The sending half of a session: what the peer has, and what is being sent to it.

use super::{Claims, Memory, Names};
use crate::causal::{Knowledge, Stamp, VersionVector};
use crate::id::ReplicaId;
use crate::limits::{FRAME_LEN_MAX, URGENT_CELLS_MAX};
use crate::time::Time;

/// What to send is computed from this and the document, never queued.
pub(crate) struct Outgoing<S: Memory> {
    // Used for each frame. On Cortex-M, access at an offset of 128 bytes or more takes a longer instruction.
    /// Cells up to this sequence number were sent in this session, or the peer has them.
    pub(crate) cursor: u64,
    /// The last rise of the own version vector that `peer_knows` includes; 0 if the whole vector must be
    /// compared.
    pub(crate) claimed_rise: u64,
    /// What the peer has once it has applied all that was sent.
    pub(crate) peer_knows: VersionVector<S>,
    pub(crate) sending: Sending,
    /// The count of floor rises at which a delta was enough for the peer.
    pub(crate) delta_enough_at: Option<u32>,
    /// The peer needs a full batch.
    pub(crate) wants_full: bool,
    /// The next batch must be marked as starting over.
    pub(crate) restarts: bool,
    /// No more changes are sent in this session: the peer refused, or a cell does not fit into a frame.
    pub(crate) is_stopped: bool,
    /// The application asked what is durable at the peer.
    pub(crate) asks: bool,
    /// Cells were sent in sequence order, each once.
    pub(crate) is_in_order: bool,
    pub(crate) frame_len_max: usize,
    pub(crate) names: Names<S>,

    // Used less often.
    pub(crate) claims: Claims,
    /// As `claimed_rise`, for the acknowledged vector that is remembered with the peer.
    pub(crate) acked_rise: u64,
    /// The base that a batch before the peer's Open assumes. If `None`, no batch may be sent before the Open.
    pub(crate) first_base: Option<FirstBase>,
    /// Own vector in the claim that was sent before the peer's Open arrived.
    pub(crate) first_claim: Option<VersionVector<S>>,
    /// Sequence numbers of prioritized cells, and whether each was sent.
    pub(crate) urgent: heapless::Vec<(u64, bool), URGENT_CELLS_MAX>,
}

/// What is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// No batch is in progress.
    Idle,
    /// A batch of what the peer lacks.
    Delta {
        /// The last change of the document when it began.
        began_at: u64,
    },
    /// A batch of all cells.
    Full {
        /// The last change of the document when it began.
        began_at: u64,
        /// The count of floor changes when it began.
        floor_changes: u32,
        /// Retirements up to this time were sent in this batch.
        told_retired: Time,
    },
}

/// What the first flight assumes that the peer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstBase {
    Nothing,
    /// The vector of the own Open, except that the sender's own time is `own`.
    Table {
        own: Time,
    },
}

impl Sending {
    pub(crate) fn is_idle(self) -> bool {
        self == Sending::Idle
    }

    pub(crate) fn is_full(self) -> bool {
        matches!(self, Sending::Full { .. })
    }

    /// The last change of the document when the batch began.
    pub(crate) fn began_at(self) -> Option<u64> {
        match self {
            Sending::Idle => None,
            Sending::Delta { began_at } | Sending::Full { began_at, .. } => Some(began_at),
        }
    }
}

impl<S: Memory> Outgoing<S> {
    /// `claims_before`: claims that count towards the total of the session.
    // Not inlined: each of the two callers would have a copy.
    #[inline(never)]
    pub(crate) fn new(claims_before: u32) -> Self {
        Self {
            cursor: 0,
            claimed_rise: 0,
            peer_knows: VersionVector::new(),
            sending: Sending::Idle,
            delta_enough_at: None,
            wants_full: false,
            restarts: false,
            is_stopped: false,
            asks: false,
            is_in_order: true,
            frame_len_max: FRAME_LEN_MAX,
            names: Names::new(),
            claims: Claims::new(claims_before),
            acked_rise: 0,
            first_base: Some(FirstBase::Nothing),
            first_claim: None,
            urgent: heapless::Vec::new(),
        }
    }

    // ---- what the peer has ----

    /// The peer reported what it has, which may be less than was believed.
    pub(crate) fn set_peer_knows(&mut self, theirs: &VersionVector<S>) {
        self.peer_knows.copy_from(theirs);
        self.note_lowered();
    }

    /// Resets what was derived from `peer_knows`: it was lowered.
    pub(crate) fn note_lowered(&mut self) {
        self.claimed_rise = 0;
        self.acked_rise = 0;
        self.delta_enough_at = None;
    }

    /// The replicas of which the peer lacks something that is incorporated here. See [`Knowledge::news_for`].
    // Not inlined: each of the five callers would have a copy.
    #[inline(never)]
    pub(crate) fn news(&mut self, knowledge: &Knowledge<S>) -> S::Ids {
        let news = knowledge.news_for(&self.peer_knows, self.claimed_rise);
        if news.is_empty() {
            self.claimed_rise = knowledge.rises();
        }
        news
    }

    /// Whether the peer is believed to have the transaction `stamp`, which need not be incorporated here.
    #[inline(never)]
    pub(crate) fn peer_has(&self, stamp: Stamp, knowledge: &Knowledge<S>) -> bool {
        let place = knowledge.vv().place_of(stamp.replica);
        self.peer_knows.time_of_near(stamp.replica, place) >= stamp.time
    }

    /// Whether the peer is believed to have all writes that are incorporated here.
    pub(crate) fn peer_has_all_writes(&mut self, knowledge: &Knowledge<S>) -> bool {
        self.news(knowledge).is_empty()
    }

    /// Whether the peer is believed to have all writes and all retirements.
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

    /// The vector that the first flight assumes. `own` is the sender, `table` the vector of its Open.
    pub(crate) fn first_base_vector(&self, own: ReplicaId, table: &VersionVector<S>) -> VersionVector<S> {
        match self.first_base {
            Some(FirstBase::Table { own: time }) => {
                let mut base = table.clone();
                // It lowers an entry, so it needs no capacity.
                base.put(own, time).ok();
                base
            }
            Some(FirstBase::Nothing) | None => VersionVector::new(),
        }
    }

    /// The last retirement that the peer knows, or that was sent in the full batch in progress.
    pub(crate) fn last_retirement_told(&self) -> Time {
        let known = self.peer_knows.time_of(ReplicaId::RETIREMENTS);
        match self.sending {
            Sending::Full { told_retired, .. } => told_retired.max(known),
            Sending::Delta { .. } | Sending::Idle => known,
        }
    }

    // ---- claims ----

    /// Notes a written claim. It covers all of `news`, or everything after a full batch. `own_time` is the
    /// own time, `seq` the last change of the document.
    pub(crate) fn note_claimed(
        &mut self,
        knowledge: &Knowledge<S>,
        news: &[ReplicaId],
        (own_time, seq): (Time, u64),
    ) {
        if self.sending.is_full() {
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
        self.sending = Sending::Idle;
        self.urgent.clear();
        self.wants_full = false;
        self.names.cursor.defining = true;
        self.claims.note_sent(own_time, seq);
    }

    /// Notes that the peer acknowledged all claims: raises `acked`, which is remembered with the peer, to
    /// `peer_knows`. O(what was claimed since the last call).
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

    // ---- batches ----

    /// Whether a frame is due even while changes are deferred: a batch is in progress or must start over, or
    /// an acknowledgement must be requested.
    pub(crate) fn must_send(&self) -> bool {
        !self.sending.is_idle() || self.restarts || self.wants_full || self.asks
    }

    /// Whether the cell was sent ahead of its turn.
    pub(crate) fn was_prioritized(&self, seq: u64) -> bool {
        self.urgent.contains(&(seq, true))
    }

    /// Starts over, because the peer lacks the base of what was sent.
    pub(crate) fn rebase(&mut self) {
        self.cursor = 0;
        self.urgent.clear();
        self.is_in_order = false;
        self.sending = Sending::Idle;
        self.restarts = true;
        self.claims.void_all();
        self.note_lowered();
    }
}
