//! Receiving: a frame is checked from end to end, then applied message by message.

use super::conflict::Sender;
use super::open::table_highest;
use super::stop::{Stop, Turn};
use super::{Config, Event, PeerError, Replica, Role};
use crate::causal::{Entry, Stamp, VersionVector};
use crate::cell::{Kind, Path};
use crate::document::{Document, Joined, UpdateError};
use crate::error::CapacityError;
use crate::id::ReplicaId;
use crate::limits::{DICTIONARY_PATH_LEN_MAX, FRAME_LEN_MAX};
use crate::list::List;
use crate::storage::{CellStore, Stored, sort};
use crate::sync::{Again, Memory, Need, Session, SessionId};
use crate::time::{Moment, Time};
use crate::weaken::{Rule, holds};
use crate::wire::{
    DecodeError, Message, MessageReader, OpenVector, Refusal, Refused, ReplicaRef, Resource, VectorSection,
    WireCell, WirePath, highest_time, tag,
};

impl<S: Memory> Replica<S> {
    /// Takes one frame of a session, as the transport delivered it: complete, in order, from the session's peer.
    ///
    /// A damaged frame changes nothing. O(frame) and what the cells in it cost; see [`Document::update`].
    ///
    /// # Errors
    /// [`PeerError`]: the peer broke the protocol, or cannot be served. The session is closed then (an
    /// [`Output::Close`](super::Output::Close) follows, after what is left to be said), and everything else goes on.
    // In a frame of the stack of its own, as what writes frames.
    #[inline(never)]
    pub fn handle_frame(
        &mut self,
        moment: Moment,
        session: SessionId,
        frame: &[u8],
    ) -> Result<(), PeerError> {
        let index = self.session_index(session).ok_or(PeerError::UnknownSession)?;
        let (changes, conflicts) = (self.document.seq, self.conflicts.count);
        let result = self.take_frame(self.corrected(moment), index, frame);
        self.events.note_conflicts(self.conflicts.count - conflicts);
        self.note_changed(changes);
        if let Some(index) = self.sessions.index_of(session) {
            if result.is_err() {
                self.sessions.close(index);
            }
            self.sessions.wake(index);
        }
        result
    }

    fn take_frame(&mut self, moment: Moment, index: usize, frame: &[u8]) -> Result<(), PeerError> {
        if frame.len() > FRAME_LEN_MAX {
            return Err(DecodeError::TooLong { len: frame.len() }.into());
        }
        let mut messages = MessageReader::new(frame, self.sessions[index].incoming.names.cursor);
        let taken = self.take_messages(moment, index, &mut messages);
        taken.map_err(|stop| stop.error(&messages, self.document.knowledge.vv().room()))
    }

    fn take_messages(
        &mut self,
        moment: Moment,
        index: usize,
        messages: &mut MessageReader<'_>,
    ) -> Result<(), Stop> {
        let session = &self.sessions[index];
        let (id, cursor) = (session.id, session.incoming.names.cursor);
        if messages.handle()? != session.carrier.handle {
            return Err(Stop::OutOfTurn(Turn::OtherDocument));
        }
        let start = messages.rest();
        let acks = match self.check_messages(index, messages)? {
            Checked::Messages { acks } => acks,
            Checked::Ignored => return Ok(()),
            Checked::UnknownVector => {
                self.sessions[index].again = Again::Due;
                return Ok(());
            }
        };
        self.admit(moment, index, messages.highest_time);
        self.sessions[index].outgoing.note_seen(acks);
        *messages = MessageReader::new(start, cursor);
        while let Some(message) = messages.next()? {
            self.sessions[index].compare.is_quiet = false;
            self.take_message(moment, index, message, messages)?;
            // A fork closes every session; what else the frame says was meant for the id that is gone.
            if self.sessions[index].is_closing || self.sessions[index].id != id {
                return Ok(());
            }
            let session = &mut self.sessions[index];
            if messages.names_are_open {
                // What the Open named by a hash is known now.
                messages.begin_names(session.table.len(), table_highest(session));
            }
            session.incoming.names.cursor = messages.cursor;
        }
        Ok(())
    }

    /// Reads the messages of a frame from end to end.
    fn check_messages(&self, index: usize, messages: &mut MessageReader<'_>) -> Result<Checked, Stop> {
        let session = &self.sessions[index];
        let waits_for_open = !session.carrier.initiator && session.again != Again::No;
        if waits_for_open && messages.rest().first() != Some(&tag::OPEN) {
            return Ok(Checked::Ignored);
        }
        let mut heard = session.open_received;
        let mut acks = 0_u64;
        while let Some(message) = messages.next()? {
            match message {
                // These may come instead of an Open.
                Message::Refused(_) | Message::OpenAgain if !heard => continue,
                Message::Open(_, OpenVector::Reference(reference)) if !heard => {
                    match self.resolve_reference(index, reference) {
                        Some(_) if waits_for_open => return Ok(Checked::Ignored),
                        Some(table) => messages
                            .begin_names(table.len(), highest_time(table.iter().map(|e| e.time.as_ms()))),
                        None => return Ok(Checked::UnknownVector),
                    }
                }
                Message::Open(..) | Message::OtherVersion(_) if !heard => {}
                Message::Open(..) => return Err(Stop::OutOfTurn(Turn::SecondOpen)),
                _ if !heard => return Err(Stop::OutOfTurn(Turn::BeforeOpen)),
                Message::Ack { claims, .. } => {
                    acks = acks.saturating_add(claims);
                    continue;
                }
                _ => continue,
            }
            heard = true;
        }
        Ok(Checked::Messages { acks })
    }

    /// An aggregator takes no stamps from the future: nothing of such a batch is applied, and the sender learns by how much.
    fn admit(&mut self, moment: Moment, index: usize, highest_time: u64) {
        self.sessions[index].incoming.is_admitted = true;
        let Config { role: Role::Aggregator, admission_ahead_ms: limit_ms, .. } = self.config else { return };
        let Some(now) = moment.now else { return };
        let ahead_ms = highest_time.saturating_sub(now.as_ms());
        if ahead_ms > limit_ms {
            self.sessions[index].incoming.is_admitted = false;
            self.refuse(index, Refusal::Clock { ahead_ms, limit_ms });
        }
    }

    pub(super) fn refuse(&mut self, index: usize, reason: Refusal) {
        let session = &mut self.sessions[index];
        session.incoming.refuse(reason);
        self.events.push(Event::RefusedPeer { session: session.id, reason });
    }

    /// `messages` gives the cells of `message`.
    fn take_message(
        &mut self,
        moment: Moment,
        index: usize,
        message: Message<'_>,
        messages: &mut MessageReader<'_>,
    ) -> Result<(), Stop> {
        match message {
            Message::Open(head, vector) => return self.take_open(moment, index, head, vector),
            Message::OtherVersion(ours) => {
                let reason = Refusal::Version { theirs: tag::PROTOCOL_VERSION, ours };
                self.refuse(index, reason);
                self.sessions.close(index);
                return Err(Stop::OtherVersion(ours));
            }
            Message::BatchFirst { own_behind } => {
                let base_holds = self.first_base_holds(index, own_behind)? || !holds(Rule::Base);
                self.begin_batch(index, false, base_holds);
            }
            Message::OpenAgain => self.take_open_again(index)?,
            Message::BatchDelta => self.begin_batch(index, false, true),
            Message::BatchFull => self.begin_batch(index, true, true),
            Message::Cells => self.take_cells(moment, index, messages)?,
            Message::Update { ask } => {
                self.no_full_batch(index)?;
                self.take_cells(moment, index, messages)?;
                self.sessions[index].incoming.ack_due |= ask;
                self.take_own_claim(moment, index, messages.cursor.last_time)?;
            }
            Message::End { claim, ask } => {
                self.sessions[index].incoming.ack_due |= ask;
                let claim = self.resolve_vector(index, claim)?;
                self.take_end(moment, index, claim)?;
            }
            Message::EndOwn { time, ask } => {
                self.sessions[index].incoming.ack_due |= ask;
                self.no_full_batch(index)?;
                self.take_own_claim(moment, index, time)?;
                self.adopt_orphans(moment);
            }
            Message::EndFull { claim, floor, horizon } => {
                let (claim, floor) = (self.resolve_vector(index, claim)?, self.resolve_vector(index, floor)?);
                let replica = self.resolve_and_define(index, horizon.0)?;
                let time = Time::from_ms(horizon.1).ok_or(Stop::Dangling)?;
                self.take_end_full(moment, index, claim, floor, Stamp::new(time, replica))?;
            }
            Message::Ack { claims, digest } => self.take_ack(index, claims, digest)?,
            Message::Ask => self.sessions[index].incoming.ack_due = true,
            Message::Need { batch, full, vv } => {
                let vv = self.resolve_vector(index, vv)?;
                self.take_need(index, batch, full, vv);
            }
            Message::Retired { ids, at } => self.take_retired(index, ids, at)?,
            Message::Stable(vector) => {
                let stable = self.resolve_vector(index, vector)?;
                if let Some(stable) = stable.filter(|_| self.sessions[index].carrier.with_aggregator) {
                    let forgotten = self.document.forget_tombstones(|stamp| stable.covers(stamp));
                    self.unsaved |= forgotten > 0;
                }
            }
            Message::Refused(Refused { reason, .. }) => {
                let session = &mut self.sessions[index];
                session.outgoing.is_refused = true;
                self.events.push(Event::Refused { session: session.id, reason });
                match reason {
                    Refusal::Clock { .. } => self.write_again_by_the_right_clock(moment, index)?,
                    Refusal::Fenced => self.leave_fenced_id(moment, index)?,
                    Refusal::Access | Refusal::Capacity { .. } | Refusal::Version { .. } => {}
                }
            }
            Message::Repair(step) => self.take_repair(index, step, messages)?,
        }
        Ok(())
    }

    // ---- batches ----

    /// Whether this side has what a batch of the first flight takes for granted.
    fn first_base_holds(&self, index: usize, own_behind: Option<u64>) -> Result<bool, Stop> {
        let session = &self.sessions[index];
        let Some(behind) = own_behind else { return Ok(true) };
        let peer = session.peer_replica.ok_or(Stop::Dangling)?;
        let told = session.table.time_of(peer).as_ms();
        let own = told.checked_sub(behind).ok_or(Stop::Dangling)?;
        let vv = self.document.knowledge.vv();
        let others = session.table.iter().filter(|e| e.replica != peer);
        let is_here = |e: Entry| self.document.covers(Stamp::new(e.time, e.replica));
        Ok(vv.time_of(peer).as_ms() >= own && { others }.all(is_here))
    }

    fn begin_batch(&mut self, index: usize, full: bool, base_holds: bool) {
        let session = &mut self.sessions[index];
        session.incoming.is_full = full;
        session.incoming.received_through = None;
        session.incoming.confirmed.clear();
        if base_holds {
            session.incoming.is_skipping = !session.incoming.is_admitted || session.incoming.has_refused;
            return;
        }
        if !session.incoming.is_skipping || !holds(Rule::NeedOnce) {
            session.incoming.is_skipping = true;
            session.incoming.need_due =
                Some(Need { batch: session.incoming.claims_received.saturating_add(1), full: false });
        }
    }

    fn take_cells(
        &mut self,
        moment: Moment,
        index: usize,
        messages: &mut MessageReader<'_>,
    ) -> Result<(), Stop> {
        while let Some(cell) = messages.next_cell()? {
            self.take_cell(moment, index, &cell, messages.literal().path_if(&cell))?;
            if self.sessions[index].is_closing {
                // A fork: the rest was meant for the id that is gone.
                break;
            }
        }
        Ok(())
    }

    /// One cell of a batch. It is visible at once, and covered when the batch is complete.
    // Not within the loop over cells: its code is longer there.
    #[inline(never)]
    fn take_cell(
        &mut self,
        moment: Moment,
        index: usize,
        wire: &WireCell<'_>,
        literal: Option<Path<'_>>,
    ) -> Result<(), Stop> {
        let (stamp, slot) = self.resolve_cell(index, wire, literal)?;
        let path = match (&slot, literal) {
            (Some(text), _) => Path::from_checked(text),
            (None, literal) => literal.ok_or(Stop::Dangling)?,
        };
        if self.sessions[index].incoming.is_skipping {
            return Ok(());
        }
        let cell = Stored { path: path.as_str(), stamp, kind: wire.kind, payload: wire.payload, seq: 0 };
        if stamp.replica == self.document.replica
            && stamp.time > self.document.knowledge.vv().time_of(stamp.replica)
            && self.check_own_id(moment, stamp.time, false)?
        {
            return Ok(());
        }
        if self.check_own_past(moment, &cell)? {
            return Ok(());
        }
        let own_total = self.total_to_defend(&cell);
        match self.apply_cell(moment, index, cell) {
            Ok(()) => {
                if let Some(total) = own_total {
                    self.defend_total(moment, path, total);
                }
                let session = &mut self.sessions[index];
                session.incoming.received_through = Some(stamp).filter(|_| !session.incoming.is_full);
            }
            Err(error) => self.refuse(index, refusal(error)),
        }
        Ok(())
    }

    fn apply_cell(&mut self, moment: Moment, index: usize, cell: Stored<'_>) -> Result<(), UpdateError> {
        self.document.knowledge.note_time(cell.stamp.time);
        if !self.document.covers(cell.stamp) || !holds(Rule::Covered) {
            let late = cell.is_live() && cell.stamp <= self.document.knowledge.horizon() && holds(Rule::Late);
            self.unsaved = true;
            if late {
                return self.reissue_late(moment, index, cell);
            }
            let before = self.document.seq;
            let joined = self.join_from(index, cell)?;
            let (document, session) = (&self.document, &mut self.sessions[index]);
            self.orphans |= session.peer_replica != Some(cell.stamp.replica);
            // The peer has what it just sent.
            if joined == Joined::Applied
                && session.outgoing.cursor == before
                && !session.outgoing.batch.is_some_and(|b| b.full)
            {
                session.outgoing.cursor = document.seq;
            }
        }
        let (document, session) = (&self.document, &mut self.sessions[index]);
        if session.incoming.is_full
            && let Some(here) = document.cells.get(cell.path).filter(|here| here.stamp == cell.stamp)
        {
            let seq = here.seq;
            note_seen(document, session, seq);
            if !holds(Rule::AbsenceByPath) {
                document
                    .cells
                    .below(None)
                    .filter(|c| c.stamp == cell.stamp)
                    .for_each(|c| note_seen(document, session, c.seq));
            }
        }
        Ok(())
    }

    /// Joins a cell that the peer sent, and notes what it replaces unseen.
    fn join_from(&mut self, index: usize, cell: Stored<'_>) -> Result<Joined, CapacityError> {
        let sender = Sender::new(&self.sessions[index], &self.peers, self.document.replica);
        let conflicts = &mut self.conflicts;
        self.document
            .join_making_room(cell, &mut |lost, covered| conflicts.note(&sender, &lost, covered, &cell))
    }

    /// A value that a forgotten tombstone may have killed: written again, unless something else stands above it.
    fn reissue_late(&mut self, moment: Moment, index: usize, cell: Stored<'_>) -> Result<(), UpdateError> {
        let here = self.document.cells.get(cell.path).is_some_and(|here| here.stamp == cell.stamp);
        if here || !self.document.is_dominated(cell.path(), cell.stamp) {
            let dead = Stored { kind: Kind::Tombstone, payload: &[], ..cell };
            let written = if holds(Rule::LateIsKept) { cell } else { dead };
            let sender = Sender::new(&self.sessions[index], &self.peers, self.document.replica);
            let conflicts = &mut self.conflicts;
            let reissued = self.document.reissue(moment, written, &mut |lost, covered| {
                conflicts.note(&sender, &lost, covered, &cell);
            })?;
            self.unsaved = true;
            self.events.push(Event::LateWrite { original: cell.stamp, reissued });
        }
        Ok(())
    }

    fn take_end(
        &mut self,
        moment: Moment,
        index: usize,
        claim: Option<VersionVector<S>>,
    ) -> Result<(), Stop> {
        self.no_full_batch(index)?;
        let Some(mut claim) = claim else {
            self.refuse_replicas(index);
            self.sessions[index].incoming.note_claim_received();
            return Ok(());
        };
        // Retirements have a message of their own. Nothing is needed to take it out.
        claim.put(ReplicaId::RETIREMENTS, Time::ZERO).ok();
        self.take_claim(moment, index, claim.entries())?;
        self.adopt_orphans(moment);
        Ok(())
    }

    /// The batch may have brought cells of ids that nobody uses, and nobody will claim.
    fn adopt_orphans(&mut self, moment: Moment) {
        if self.orphans && self.config.role == Role::Aggregator {
            self.adopt(moment);
        }
    }

    fn no_full_batch(&self, index: usize) -> Result<(), Stop> {
        if self.sessions[index].incoming.is_full {
            return Err(Stop::OutOfTurn(Turn::DeltaEndInFull));
        }
        Ok(())
    }

    fn refuse_replicas(&mut self, index: usize) {
        let limit = self.document.knowledge.vv().room();
        if !self.sessions[index].incoming.is_skipping {
            self.refuse(index, refusal(CapacityError::Replicas { limit }.into()));
        }
    }

    /// The claim of a delta that has only the peer's own writes.
    fn take_own_claim(&mut self, moment: Moment, index: usize, time_ms: u64) -> Result<(), Stop> {
        let replica = self.sessions[index].peer_replica.ok_or(Stop::Dangling)?;
        let time = Time::from_ms(time_ms).ok_or(Stop::Dangling)?;
        self.take_claim(moment, index, &[Entry { replica, time }])
    }

    /// The claim of a delta: what is raised here is incorporated now. It lists a replica once.
    fn take_claim(&mut self, moment: Moment, index: usize, claim: &[Entry]) -> Result<(), Stop> {
        if self.sessions[index].is_closing {
            // A fork left out a cell that this claims.
            return Ok(());
        }
        self.sessions[index].incoming.received_through = None;
        if !self.sessions[index].incoming.is_skipping {
            if !self.has_room_for(index, claim) {
                self.refuse_replicas(index);
            } else {
                let (vv, own) = (self.document.knowledge.vv(), self.document.replica);
                // What the aggregator lists is in use again.
                let decides = self.sessions[index].carrier.with_aggregator;
                let claimed = claim.iter().find(|e| e.replica == own).map(|e| e.time);
                if let Some(claimed) = claimed.filter(|time| *time > vv.time_of(own))
                    && self.check_own_id(moment, claimed, false)?
                {
                    return Ok(());
                }
                let session = &self.sessions[index];
                if session.carrier.confirmed
                    && let Some(peer) = self.peers.of_mut(session.carrier.peer)
                {
                    // Nothing leaves the peer before it is durable there.
                    peer.acked.join_entries(claim).ok();
                }
                for entry in claim {
                    let retired = self.document.knowledge.retired();
                    if !decides && retired.covers(Stamp::new(entry.time, entry.replica)) {
                        continue;
                    }
                    self.reinstate(entry.replica);
                    self.unsaved |=
                        !self.document.knowledge.vv().covers(Stamp::new(entry.time, entry.replica));
                    let raised = self.document.knowledge.claim(entry.replica, entry.time);
                    debug_assert!(raised.is_ok(), "there is room for all of them");
                }
                // What does not fit is only forgotten knowledge.
                self.sessions[index].outgoing.peer_knows.join_entries(claim).ok();
            }
        }
        self.sessions[index].incoming.note_claim_received();
        Ok(())
    }

    /// Whether the version vector has room for the ids of a claim that are new here.
    fn has_room_for(&self, index: usize, claim: &[Entry]) -> bool {
        let (vv, retired) = (self.document.knowledge.vv(), self.document.knowledge.retired());
        let decides = self.sessions[index].carrier.with_aggregator;
        let is_retired = |e: &Entry| !decides && retired.covers(Stamp::new(e.time, e.replica));
        let new = claim.iter().filter(|e| e.time > Time::ZERO && vv.time_of(e.replica) == Time::ZERO);
        vv.fits(new.filter(|e| !is_retired(e)).count())
    }

    fn take_end_full(
        &mut self,
        moment: Moment,
        index: usize,
        claim: Option<VersionVector<S>>,
        floor: Option<VersionVector<S>>,
        horizon: Stamp,
    ) -> Result<(), Stop> {
        let session = &mut self.sessions[index];
        if !session.incoming.is_full {
            return Err(Stop::OutOfTurn(Turn::FullEndInDelta));
        }
        session.incoming.is_full = false;
        let (Some(claim), Some(floor)) = (claim, floor) else {
            self.refuse_replicas(index);
            self.sessions[index].incoming.note_claim_received();
            return Ok(());
        };
        if !claim.dominates(&floor) {
            return Err(Stop::OutOfTurn(Turn::FloorAboveClaim));
        }
        if session.incoming.is_skipping {
            session.incoming.note_claim_received();
            return Ok(());
        }
        if !self.has_room_for(index, claim.entries()) {
            // Nothing is dropped for a claim that is not taken: the floor would be above the version vector.
            self.refuse_replicas(index);
            self.sessions[index].incoming.note_claim_received();
            return Ok(());
        }
        // With every forgotten tombstone incorporated here, it is a plain delta.
        let plain = self.document.knowledge.dominates(&floor) && holds(Rule::FullAsDelta);
        if !plain {
            let session = &mut self.sessions[index];
            sort(&mut session.incoming.confirmed);
            let seen = &session.incoming.confirmed;
            let dropped = self
                .document
                .drop_absent(|stamp| claim.covers(stamp), |cell| seen.binary_search(&cell.seq).is_ok());
            if dropped > 0 {
                self.events.push(Event::Dropped { cells: dropped });
            }
        }
        self.sessions[index].incoming.confirmed.clear();
        self.take_claim(moment, index, claim.entries())?;
        if plain || self.sessions[index].incoming.is_skipping || self.sessions[index].is_closing {
            return Ok(());
        }
        self.document.knowledge.take_over(&floor, horizon);
        self.unsaved = true;
        self.reissue_all(moment, 0, &|_, cell| {
            cell.is_live() && !claim.covers(cell.stamp) && cell.stamp <= horizon && holds(Rule::OwnLate)
        });
        Ok(())
    }

    // ---- the other messages ----

    fn take_ack(&mut self, index: usize, further: u64, digest: Option<u32>) -> Result<(), Stop> {
        let session = &mut self.sessions[index];
        let through = u64::from(session.outgoing.claims_acked) + further;
        if through > u64::from(session.outgoing.claims_sent) {
            return Err(Stop::OutOfTurn(Turn::AckOfNothing));
        }
        session.outgoing.claims_acked = through as u32;
        let latest =
            session.outgoing.claims_acked == session.outgoing.claims_sent && session.outgoing.batch.is_none();
        let own_time = session
            .outgoing
            .claims
            .iter()
            .rev()
            .find(|c| c.number <= session.outgoing.claims_acked)
            .map(|c| c.own_time);
        if session.carrier.confirmed
            && !session.outgoing.is_refused
            && session.outgoing.rebased_at < session.outgoing.claims_acked
        {
            let (own, knowledge) = (self.document.replica, &self.document.knowledge);
            let peer = self.peers.index_of(session.carrier.peer).ok_or(Stop::Dangling)?;
            let acked = &mut self.peers[peer].acked;
            if latest {
                session.outgoing.note_all_acked(knowledge, acked);
            } else if let Some(time) = own_time {
                acked.raise(own, time).ok();
            }
            self.note_acknowledged(peer);
        }
        let session = &mut self.sessions[index];
        // The peer does not know yet that a batch of its did not fit here: what it has and what is here do differ.
        if let Some(digest) = digest
            && latest
            && !session.incoming.is_skipping
            && session.outgoing.peer_has_all(&self.document.knowledge)
            && self.document.is_clean()
        {
            self.compare(index, digest, through);
        }
        Ok(())
    }

    pub(super) fn note_acknowledged(&mut self, peer: usize) {
        let through = self.peers[peer].acked.time_of(self.document.replica);
        if through > Time::ZERO {
            self.events.push(Event::Acknowledged { peer: self.peers[peer].id, through });
        }
    }

    fn take_need(&mut self, index: usize, batch: u64, full: bool, vv: Option<VersionVector<S>>) {
        let session = &mut self.sessions[index];
        if batch <= u64::from(session.outgoing.rebased_at) && holds(Rule::NeedOnce) {
            return;
        }
        // A vector that does not fit here: what is known of it is a lower bound, which is safe.
        let vv = vv.unwrap_or_default();
        session.outgoing.set_peer_knows(&vv);
        session.outgoing.rebase();
        session.outgoing.wants_full |= full;
        let peer = session.carrier.peer;
        if let Some(peer) = self.peers.of_mut(peer) {
            peer.acked.lower_to(&vv);
        }
    }

    // ---- names ----

    fn resolve(&self, index: usize, reference: ReplicaRef) -> Result<ReplicaId, Stop> {
        let session = &self.sessions[index];
        session.incoming.names.resolve(reference, session.peer_replica, &session.table).ok_or(Stop::Dangling)
    }

    /// The same, for a name that takes the next number of the table if it is a literal.
    pub(super) fn resolve_and_define(
        &mut self,
        index: usize,
        reference: ReplicaRef,
    ) -> Result<ReplicaId, Stop> {
        let replica = self.resolve(index, reference)?;
        if let ReplicaRef::Literal(id) = reference {
            self.sessions[index].incoming.names.define_replica(id);
        }
        Ok(replica)
    }

    /// A vector with its names resolved, and literals defined; `None` when there is no room for it.
    pub(super) fn resolve_vector(
        &mut self,
        index: usize,
        section: VectorSection<'_>,
    ) -> Result<Option<VersionVector<S>>, Stop> {
        let mut vector = VersionVector::new();
        let mut fits = true;
        self.sessions[index].incoming.names.cursor.defining = section.is_defining();
        for (reference, time) in section.entries() {
            let replica = self.resolve_and_define(index, reference)?;
            let time = Time::from_ms(time).ok_or(Stop::Dangling)?;
            fits &= vector.raise(replica, time).is_ok();
        }
        Ok(fits.then_some(vector))
    }

    /// A cell's stamp and, if it is named by a slot, its path; literals are defined.
    pub(super) fn resolve_cell(
        &mut self,
        index: usize,
        wire: &WireCell<'_>,
        literal: Option<Path<'_>>,
    ) -> Result<(Stamp, Option<heapless::String<DICTIONARY_PATH_LEN_MAX>>), Stop> {
        let replica = self.resolve(index, wire.stamp.replica)?;
        let rx = &mut self.sessions[index].incoming.names;
        if let ReplicaRef::Literal(id) = wire.stamp.replica
            && wire.names_replica
        {
            rx.define_replica(id);
        }
        let slot = match wire.path {
            WirePath::Slot(slot) => {
                let text = rx.path(slot).ok_or(Stop::Dangling)?;
                heapless::String::try_from(text.as_str()).ok()
            }
            WirePath::Literal => {
                rx.define_path(literal.ok_or(Stop::Dangling)?);
                None
            }
        };
        let time = Time::from_ms(wire.stamp.time).filter(|time| *time > Time::ZERO);
        let time = time.filter(|_| replica != ReplicaId::RETIREMENTS).ok_or(Stop::Dangling)?;
        Ok((Stamp::new(time, replica), slot))
    }
}

/// What became of reading a frame from end to end.
enum Checked {
    /// It can be taken; it acknowledges so many claims.
    Messages { acks: u64 },
    /// Sent before its sender knew that it has to open again.
    Ignored,
    /// It opens with a vector that is not known here by its hash.
    UnknownVector,
}

/// Notes that the sender of a full batch has this cell. There is room for every cell that is held.
fn note_seen<S: Memory>(document: &Document<S>, session: &mut Session<S>, seq: u64) {
    // A peer that names the same cells over and over does not make this grow without end.
    let limit = 64 + 2 * document.cells.count();
    if session.incoming.confirmed.len() < limit && session.incoming.confirmed.push(seq).is_ok() {
        return;
    }
    // Some of those noted were replaced since: their numbers mean nothing any more.
    sort(&mut session.incoming.confirmed);
    let mut held = S::Sequences::default();
    for cell in
        document.cells.below(None).filter(|cell| session.incoming.confirmed.binary_search(&cell.seq).is_ok())
    {
        held.push(cell.seq).ok();
    }
    if held.iter().all(|held| *held != seq) {
        held.push(seq).ok();
    }
    session.incoming.confirmed = held;
}

pub(super) fn refusal(error: UpdateError) -> Refusal {
    let (what, needed, limit) = match error {
        UpdateError::Capacity(CapacityError::Bytes { needed, limit }) => (Resource::Bytes, needed, limit),
        // What comes from a peer is no transaction that is put together here.
        UpdateError::Capacity(
            CapacityError::Cells { needed, limit } | CapacityError::Writes { needed, limit },
        ) => (Resource::Cells, needed, limit),
        UpdateError::Capacity(CapacityError::Peers { limit }) => (Resource::Peers, limit + 1, limit),
        UpdateError::Capacity(CapacityError::Replicas { limit }) => (Resource::Replicas, limit + 1, limit),
        UpdateError::ClockExhausted { last } => {
            return Refusal::Clock { ahead_ms: last.as_ms(), limit_ms: 0 };
        }
        // Nothing that comes from a peer adds.
        UpdateError::Overflow => (Resource::Bytes, 0, 0),
        UpdateError::Value(error) => (Resource::Bytes, error.len, crate::limits::VALUE_LEN_MAX),
    };
    Refusal::Capacity { what, needed: needed as u64, limit: limit as u64 }
}
