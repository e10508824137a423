//! Applies a batch. Its cells are visible at once; they are incorporated when the claim at its end arrives.

use super::conflicts::Sender;
use super::receive::refusal;
use super::{Context, Event, Memory, Outcome, Session, Stop, Turn};
use crate::causal::{Stamp, VectorEntry, VersionVector};
use crate::cell::{Kind, Path};
use crate::document::{Document, Joined, UpdateError};
use crate::error::CapacityError;
use crate::id::ReplicaId;
use crate::list::List;
use crate::storage::{CellStore, Stored, sort};
use crate::time::Time;
use crate::weaken::{Rule, holds};
use crate::wire::{MessageReader, WireCell};

impl<S: Memory> Session<S> {
    // ---- cells ----

    pub(super) fn handle_cells(
        &mut self,
        messages: &mut MessageReader<'_>,
        context: &mut Context<S>,
    ) -> Result<(), Stop> {
        while let Some(cell) = messages.next_cell()? {
            self.handle_cell(&cell, messages.literal().path_if(&cell), context)?;
        }
        Ok(())
    }

    // Not inlined: the code is larger if it is part of the loop over cells.
    #[inline(never)]
    fn handle_cell(
        &mut self,
        wire: &WireCell<'_>,
        literal: Option<Path<'_>>,
        context: &mut Context<S>,
    ) -> Result<(), Stop> {
        let (stamp, slot) = self.resolve_cell(wire, literal)?;
        let path = match (&slot, literal) {
            (Some(text), _) => Path::from_checked(text),
            (None, literal) => literal.ok_or(Stop::Dangling)?,
        };
        if self.incoming.is_skipping() {
            return Ok(());
        }
        let cell = Stored { path: path.as_str(), stamp, kind: wire.kind, payload: wire.payload, seq: 0 };
        let document = &context.document;
        let is_ahead =
            stamp.replica == document.replica && stamp.time > document.knowledge.vv().time_of(stamp.replica);
        if (is_ahead && context.check_own_id(stamp.time, None)?) || context.check_own_past(&cell)? {
            return Ok(());
        }
        let own_total = context.total_to_defend(&cell);
        match self.apply_cell(cell, context) {
            Ok(()) => {
                if let Some(total) = own_total {
                    context.defend_total(path, total);
                }
                self.note_applied(stamp);
            }
            Err(error) => self.refuse(context, refusal(error)),
        }
        Ok(())
    }

    fn apply_cell(&mut self, cell: Stored<'_>, context: &mut Context<S>) -> Result<(), UpdateError> {
        context.document.knowledge.note_time(cell.stamp.time);
        if !context.document.covers(cell.stamp) || !holds(Rule::Covered) {
            let horizon = context.document.knowledge.horizon();
            context.unsaved = true;
            if cell.is_live() && cell.stamp <= horizon && holds(Rule::Late) {
                return self.reissue_late(cell, context);
            }
            let before = context.document.seq;
            let sender = Sender::new(self, &context.peers, context.document.replica);
            let conflicts = &mut context.conflicts;
            let joined = context.document.join_making_room(cell, &mut |lost, covered| {
                conflicts.note(&sender, &lost, covered, &cell);
            })?;
            context.has_orphans |= self.peer_replica() != Some(cell.stamp.replica);
            // The peer has what it just sent.
            if joined == Joined::Applied && self.outgoing.cursor == before && !self.outgoing.sending.is_full()
            {
                self.outgoing.cursor = context.document.seq;
            }
        }
        let document = &context.document;
        if self.incoming.is_full()
            && let Some(here) = document.cells.get(cell.path).filter(|here| here.stamp == cell.stamp)
        {
            let seq = here.seq;
            note_confirmed(document, &mut self.incoming.confirmed, seq);
            if !holds(Rule::AbsenceByPath) {
                document
                    .cells
                    .below(None)
                    .filter(|c| c.stamp == cell.stamp)
                    .for_each(|c| note_confirmed(document, &mut self.incoming.confirmed, c.seq));
            }
        }
        Ok(())
    }

    /// Reissues a value that a forgotten tombstone may have deleted, unless a newer cell dominates it.
    fn reissue_late(&mut self, cell: Stored<'_>, context: &mut Context<S>) -> Result<(), UpdateError> {
        let here = context.document.cells.get(cell.path).is_some_and(|here| here.stamp == cell.stamp);
        if here || !context.document.is_dominated(cell.path(), cell.stamp) {
            let dead = Stored { kind: Kind::Tombstone, payload: &[], ..cell };
            let written = if holds(Rule::LateIsKept) { cell } else { dead };
            let sender = Sender::new(self, &context.peers, context.document.replica);
            let conflicts = &mut context.conflicts;
            let reissued = context.document.reissue(context.moment, written, &mut |lost, covered| {
                conflicts.note(&sender, &lost, covered, &cell);
            })?;
            context.unsaved = true;
            context.events.push(Event::LateWrite { original: cell.stamp, reissued });
        }
        Ok(())
    }

    // ---- claims ----

    /// Handles the end of a delta. `claim` is `None` if it does not fit.
    pub(super) fn handle_end(
        &mut self,
        claim: Option<VersionVector<S>>,
        context: &mut Context<S>,
    ) -> Result<Outcome, Stop> {
        let Some(mut claim) = claim else {
            self.refuse_replicas(context);
            self.incoming.note_claim_received();
            return Ok(Outcome::Done);
        };
        // Retirements have a message of their own. Removing an entry needs no capacity.
        claim.put(ReplicaId::RETIREMENTS, Time::ZERO).ok();
        self.handle_claim(&mut claim, context)?;
        Ok(Outcome::BatchEnded)
    }

    /// Handles the claim of a delta that has only the peer's own writes.
    pub(super) fn handle_own_claim(&mut self, time_ms: u64, context: &mut Context<S>) -> Result<(), Stop> {
        let replica = self.peer_replica().ok_or(Stop::Dangling)?;
        let time = Time::from_ms(time_ms).ok_or(Stop::Dangling)?;
        let mut claim = VersionVector::new();
        // There is capacity for one.
        claim.raise(replica, time).ok();
        self.handle_claim(&mut claim, context)
    }

    /// Handles the claim of a batch: incorporates what it raises here. A claim lists each replica once.
    fn handle_claim(&mut self, claim: &mut VersionVector<S>, context: &mut Context<S>) -> Result<(), Stop> {
        if self.incoming.is_skipping() {
            self.incoming.note_claim_received();
            return Ok(());
        }
        self.incoming.end_batch();
        if !self.has_capacity_for(claim.entries(), context) {
            self.refuse_replicas(context);
            self.incoming.note_claim_received();
            return Ok(());
        }
        let own = context.document.replica;
        let claimed = claim.time_of(own);
        if claimed > context.document.knowledge.vv().time_of(own) {
            context.check_own_id(claimed, Some(claim))?;
        }
        let claim = claim.entries();
        if self.carrier.confirmed
            && let Some(peer) = context.peers.of_mut(self.carrier.peer)
        {
            // A peer sends only what is durable there, so its claim is an acknowledgement.
            peer.acked.join_entries(claim).ok();
        }
        // An id that the aggregator lists is in use again.
        let decides = self.carrier.with_aggregator();
        for entry in claim {
            let stamp = Stamp::new(entry.time, entry.replica);
            if !decides && context.document.knowledge.retired().covers(stamp) {
                continue;
            }
            context.reinstate(entry.replica);
            context.unsaved |= !context.document.knowledge.vv().covers(stamp);
            let raised = context.document.knowledge.claim(entry.replica, entry.time);
            debug_assert!(raised.is_ok(), "there is capacity for all of them");
        }
        // An entry that does not fit may be dropped: a lower vector only costs bytes.
        self.outgoing.peer_knows.join_entries(claim).ok();
        self.incoming.note_claim_received();
        Ok(())
    }

    /// Whether the version vector has capacity for the ids of a claim that are new here.
    fn has_capacity_for(&self, claim: &[VectorEntry], context: &Context<S>) -> bool {
        let (vv, retired) = (context.document.knowledge.vv(), context.document.knowledge.retired());
        let decides = self.carrier.with_aggregator();
        let is_retired = |e: &VectorEntry| !decides && retired.covers(Stamp::new(e.time, e.replica));
        let new = claim.iter().filter(|e| e.time > Time::ZERO && vv.time_of(e.replica) == Time::ZERO);
        vv.fits(new.filter(|e| !is_retired(e)).count())
    }

    fn refuse_replicas(&mut self, context: &mut Context<S>) {
        let limit = context.document.knowledge.vv().capacity();
        if !self.incoming.is_skipping() {
            self.refuse(context, refusal(CapacityError::Replicas { limit }.into()));
        }
    }

    /// Handles the end of a full batch: drops cells that the sender covers but does not have, and takes over
    /// its floor.
    // Not inlined: its large stack frame would be part of that of every message.
    #[inline(never)]
    pub(super) fn handle_end_full(
        &mut self,
        claim: Option<VersionVector<S>>,
        floor: Option<VersionVector<S>>,
        horizon: Stamp,
        context: &mut Context<S>,
    ) -> Result<(), Stop> {
        if !self.incoming.is_full() {
            return Err(Stop::OutOfTurn(Turn::FullEndInDelta));
        }
        self.incoming.end_batch();
        let (Some(mut claim), Some(floor)) = (claim, floor) else {
            self.refuse_replicas(context);
            self.incoming.note_claim_received();
            return Ok(());
        };
        if !claim.dominates(&floor) {
            return Err(Stop::OutOfTurn(Turn::FloorAboveClaim));
        }
        // If the claim is not accepted, nothing is dropped: the floor would rise above the version vector.
        if self.incoming.is_skipping() || !self.has_capacity_for(claim.entries(), context) {
            self.refuse_replicas(context);
            self.incoming.note_claim_received();
            return Ok(());
        }
        // If every tombstone that the sender forgot is incorporated here, the batch is a plain delta.
        let plain = context.document.knowledge.dominates(&floor) && holds(Rule::FullAsDelta);
        if !plain {
            sort(&mut self.incoming.confirmed);
            let confirmed = &self.incoming.confirmed;
            let dropped = context
                .document
                .drop_absent(|stamp| claim.covers(stamp), |cell| confirmed.binary_search(&cell.seq).is_ok());
            if dropped > 0 {
                context.events.push(Event::Dropped { cells: dropped });
            }
        }
        self.incoming.confirmed.clear();
        self.handle_claim(&mut claim, context)?;
        if !plain {
            context.document.knowledge.take_over(&floor, horizon);
            context.unsaved = true;
            context.reissue_all(0, &|_, cell| {
                cell.is_live() && !claim.covers(cell.stamp) && cell.stamp <= horizon && holds(Rule::OwnLate)
            });
        }
        Ok(())
    }
}

/// Notes that the sender of a full batch has this cell. The list has capacity for every stored cell.
fn note_confirmed<S: Memory>(document: &Document<S>, confirmed: &mut S::Sequences, seq: u64) {
    // Bounded, because a peer may repeat the same cells without end.
    let limit = 64 + 2 * document.cells.count();
    if confirmed.len() < limit && confirmed.push(seq).is_ok() {
        return;
    }
    // Cells that were replaced since have new sequence numbers: remove their old ones.
    sort(confirmed);
    let mut held = S::Sequences::default();
    for cell in document.cells.below(None).filter(|cell| confirmed.binary_search(&cell.seq).is_ok()) {
        held.push(cell.seq).ok();
    }
    if held.iter().all(|held| *held != seq) {
        held.push(seq).ok();
    }
    *confirmed = held;
}
