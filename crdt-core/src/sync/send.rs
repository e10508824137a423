//! Sends frames. Each is computed from the document and the session at the moment it is sent.

use super::{Awaited, Context, Event, FirstBase, Memory, Names, Opening, Phase, Sending, Session};
use crate::causal::{Stamp, VectorEntry, VersionVector};
use crate::config::Role;
use crate::document::Document;
use crate::id::ReplicaId;
use crate::storage::{CellStore, Stored};
use crate::time::Time;
use crate::weaken::{Rule, holds};
use crate::wire::{Full, ReplicaRef, RunWriter, Writer, cell_len_max, tag, write_entry, write_replica};

impl<S: Memory> Session<S> {
    /// Writes the next frame to the front of `buffer`. Returns its length; 0 if there is nothing to send.
    // Not inlined: in the large stack frame of the application's loop, far offsets need longer Thumb instructions.
    #[inline(never)]
    pub(crate) fn write_frame(&mut self, buffer: &mut [u8], context: &mut Context<S>) -> usize {
        if matches!(self.phase, Phase::Awaiting(Awaited::Any | Awaited::List)) || !self.carrier.has_capacity {
            return 0;
        }
        let len = buffer.len().min(self.outgoing.frame_len_max);
        let mut writer = Writer::new(&mut buffer[..len]);
        if writer.varint(self.carrier.handle.into()).is_err() {
            return self.stop_short(len, context);
        }
        let start = writer.len();
        let result = self.write(&mut writer, context);
        match result {
            Err(Full) if writer.len() == start => self.stop_short(len, context),
            _ if writer.len() == start => {
                self.note_quiet(context);
                0
            }
            // What did not fit goes into the next frame.
            _ => writer.len(),
        }
    }

    /// Writes the messages of a frame.
    fn write(&mut self, writer: &mut Writer<'_>, context: &mut Context<S>) -> Result<(), Full> {
        let start = writer.len();
        match self.phase {
            Phase::Closing(_) => return self.whole(writer, &mut |this, writer| this.write_refused(writer)),
            Phase::Awaiting(Awaited::ListToAsk) => {
                return self.whole(writer, &mut |this, writer| this.write_open_again(writer));
            }
            Phase::Awaiting(_) | Phase::Open(_) | Phase::Opening(_) => {}
        }
        self.whole(writer, &mut |this, writer| this.write_open(context, writer))?;
        self.whole(writer, &mut |this, writer| this.write_refused(writer))?;
        self.whole(writer, &mut |this, writer| this.write_need(context, writer))?;
        self.whole(writer, &mut |this, writer| this.write_stable(context, writer))?;
        self.whole(writer, &mut |this, writer| this.write_repair(context, writer))?;
        let before = writer.len();
        let must_send = self.outgoing.must_send() || self.incoming.ack_due;
        if !self.carrier.is_deferred || before > start || must_send {
            self.write_batch(context, writer)?;
        }
        self.whole(writer, &mut |this, writer| this.write_due_retirements(context, writer))?;
        // An acknowledgement that the peer did not request is only sent with other content.
        let has_company = writer.len() > before;
        self.whole(writer, &mut |this, writer| this.write_ack(has_company, context, writer))?;
        self.whole(writer, &mut |this, writer| this.write_ask(writer))
    }

    /// Writes a whole message or nothing: if it does not fit, it is removed, with the ids that it defined.
    fn whole(
        &mut self,
        writer: &mut Writer<'_>,
        write: &mut dyn FnMut(&mut Self, &mut Writer<'_>) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let (start, mark) = (writer.len(), self.outgoing.names.mark());
        let result = write(self, writer);
        if result.is_err() {
            writer.truncate(start);
            self.outgoing.names.rewind(mark);
        }
        result
    }

    /// Stops sending: a frame of `len` bytes is too short for what must be sent.
    fn stop_short(&mut self, len: usize, context: &mut Context<S>) -> usize {
        if !self.outgoing.is_stopped {
            self.outgoing.is_stopped = true;
            let unsent = context.document.cells.since(self.outgoing.cursor);
            let lens = unsent
                .map(|c| (FRAME_HEAD_LEN_MAX + cell_len_max(c.path.len(), c.payload.len()), c.path.len()));
            let (needed, path_len) = lens.max().unwrap_or_default();
            context.events.push(Event::ShortBuffer { session: self.id, len, needed, path_len });
        }
        0
    }

    fn note_quiet(&mut self, context: &mut Context<S>) {
        let converged = self.is_open()
            && !self.compare.is_quiet
            && !self.outgoing.is_stopped
            && !self.incoming.is_skipping()
            && self.outgoing.peer_has_all_writes(&context.document.knowledge);
        if converged {
            self.compare.is_quiet = true;
            context.events.push(Event::Converged { session: self.id });
        }
    }

    /// Whether the own Open was sent.
    fn is_introduced(&self) -> bool {
        match self.phase {
            Phase::Opening(opening) => matches!(opening, Opening::Sent | Opening::ListSent),
            Phase::Open(opened) => opened.is_answered,
            Phase::Awaiting(_) | Phase::Closing(_) => false,
        }
    }

    // ---- batches ----

    fn write_batch(&mut self, context: &mut Context<S>, writer: &mut Writer<'_>) -> Result<(), Full> {
        let (may_send, decides) = (context.may_send(), context.config.role == Role::Aggregator);
        let document = &context.document;
        let first_flight = !self.is_open();
        let too_early =
            first_flight && (self.outgoing.first_claim.is_some() || self.outgoing.first_base.is_none());
        if !may_send || self.outgoing.is_stopped || too_early {
            return Ok(());
        }
        let full = self.outgoing.wants_full
            || (!self.outgoing.is_delta_enough(&document.knowledge) && holds(Rule::Floor));
        if full && first_flight {
            return Ok(());
        }
        let is_obsolete = match self.outgoing.sending {
            Sending::Idle => false,
            Sending::Delta { .. } => full,
            Sending::Full { floor_changes, .. } => {
                !full || (floor_changes != document.knowledge.floor_changes() && holds(Rule::RestartBatch))
            }
        };
        if is_obsolete {
            self.outgoing.sending = Sending::Idle;
            self.outgoing.restarts = true;
        }
        let news = self.outgoing.news(&document.knowledge);
        if self.outgoing.sending.is_idle() {
            let next = if full { Next::Batch } else { self.next_delta(document, &news) };
            if next == Next::Nothing {
                return Ok(());
            }
            if next == Next::Batch || first_flight || self.outgoing.restarts {
                self.begin_sending(document, first_flight, full, writer)?;
            }
            if next == Next::Update {
                return self.write_update(document, &news, writer);
            }
        }
        if !self.write_cells(document, writer)? {
            return Ok(());
        }
        let tells_retired = if full {
            !self.carrier.with_aggregator()
        } else {
            decides && self.has_all_of_retired(&document.knowledge)
        };
        self.write_end(document, tells_retired, &news, writer)
    }

    /// What to send to this peer: nothing, an Update if that is enough, or a batch.
    fn next_delta(&mut self, document: &Document<S>, news: &[ReplicaId]) -> Next {
        let outgoing = &mut self.outgoing;
        let mut unsent = 0;
        let mut alone = true;
        let own = Stamp::new(document.knowledge.vv().time_of(document.replica), document.replica);
        for cell in document.cells.since(outgoing.cursor) {
            if outgoing.peer_has(cell.stamp, &document.knowledge) {
                if unsent == 0 {
                    outgoing.cursor = cell.seq;
                }
                continue;
            }
            unsent += 1;
            alone &= cell.stamp == own;
            if unsent > 1 {
                return Next::Batch;
            }
        }
        if unsent == 0 && news.is_empty() {
            return Next::Nothing;
        }
        let only_own = news.iter().all(|replica| *replica == own.replica);
        let later = own.time.as_ms() >= outgoing.names.cursor.last_time && !outgoing.names.anonymous;
        if unsent == 1 && alone && only_own && later { Next::Update } else { Next::Batch }
    }

    fn begin_sending(
        &mut self,
        document: &Document<S>,
        first_flight: bool,
        full: bool,
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        self.whole(writer, &mut |this, writer| {
            if full {
                writer.byte(tag::BATCH_FULL)
            } else if first_flight {
                writer.byte(tag::BATCH_FIRST)?;
                this.outgoing.names.cursor.defining = false;
                match this.outgoing.first_base {
                    Some(FirstBase::Table { own }) => {
                        let told = this.table.time_of(document.replica);
                        writer.varint(told.as_ms() - own.as_ms() + 1)
                    }
                    Some(FirstBase::Nothing) | None => writer.varint(0),
                }
            } else if this.outgoing.restarts {
                writer.byte(tag::BATCH)
            } else {
                Ok(())
            }
        })?;
        let outgoing = &mut self.outgoing;
        outgoing.urgent.iter_mut().for_each(|(_, was_sent)| *was_sent = false);
        outgoing.names.cursor.defining = !first_flight;
        outgoing.restarts = false;
        let began_at = document.seq;
        outgoing.sending = if full {
            outgoing.cursor = 0;
            let floor_changes = document.knowledge.floor_changes();
            Sending::Full { began_at, floor_changes, told_retired: Time::ZERO }
        } else {
            Sending::Delta { began_at }
        };
        Ok(())
    }

    /// Writes cells until none is left (true) or the frame is full.
    fn write_cells(&mut self, document: &Document<S>, writer: &mut Writer<'_>) -> Result<bool, Full> {
        let full = self.outgoing.sending.is_full();
        let start = writer.len();
        writer.byte(tag::CELLS)?;
        let mut run = RunWriter::default();
        let mut complete = true;
        for urgent in 0..self.outgoing.urgent.len() {
            let (seq, was_sent) = self.outgoing.urgent[urgent];
            let cell = document.cells.since(seq - 1).next().filter(|cell| cell.seq == seq && !was_sent);
            let Some(cell) =
                cell.filter(|cell| full || !self.outgoing.peer_has(cell.stamp, &document.knowledge))
            else {
                continue;
            };
            if !fits(&cell, writer) {
                complete = false;
                break;
            }
            self.write_cell(&mut run, writer, cell, document.replica)?;
            self.outgoing.urgent[urgent].1 = true;
            self.outgoing.is_in_order = false;
        }
        let rest = complete.then(|| document.cells.since(self.outgoing.cursor)).into_iter().flatten();
        for cell in rest {
            let claimed = holds(Rule::SentIsClaimed)
                || self.outgoing.sending.began_at().is_none_or(|began_at| cell.seq <= began_at);
            if claimed
                && (full || !self.outgoing.peer_has(cell.stamp, &document.knowledge))
                && !self.outgoing.was_prioritized(cell.seq)
            {
                if !fits(&cell, writer) {
                    complete = false;
                    break;
                }
                self.write_cell(&mut run, writer, cell, document.replica)?;
            }
            self.outgoing.cursor = cell.seq;
        }
        if !run.finish(writer) {
            writer.truncate(start);
            if !complete {
                return Err(Full);
            }
        }
        Ok(complete)
    }

    fn write_end(
        &mut self,
        document: &Document<S>,
        tells_retired: bool,
        news: &[ReplicaId],
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        // Before the claim, even of a delta: the peer may need the capacity of the retired ids for the claim.
        if tells_retired {
            let mut told = true;
            self.whole(writer, &mut |this, writer| {
                told = this.write_retired(document, writer)?;
                Ok(())
            })?;
            if !told {
                // The other ids go into the next frame.
                return Err(Full);
            }
        }
        // If the claim does not fit, the batch stays open, and ends in the next frame.
        self.whole(writer, &mut |this, writer| match this.outgoing.sending {
            Sending::Full { .. } => this.write_full_claim(document, writer),
            Sending::Delta { .. } | Sending::Idle => this.write_claim(document, news, writer),
        })?;
        self.note_claimed(document, news);
        Ok(())
    }

    fn write_full_claim(&mut self, document: &Document<S>, writer: &mut Writer<'_>) -> Result<(), Full> {
        let (own, knowledge) = (document.replica, &document.knowledge);
        writer.byte(tag::END_FULL)?;
        self.write_vector(knowledge.vv(), |_| true, own, writer)?;
        self.write_vector(knowledge.floor(), |_| true, own, writer)?;
        let horizon = knowledge.horizon();
        write_replica(writer, name_replica(&mut self.outgoing.names, horizon.replica, own, &self.table))?;
        let time = horizon.time.as_ms();
        writer.signed(time as i64 - self.outgoing.names.cursor.last_time as i64)?;
        self.outgoing.names.cursor.last_time = time;
        Ok(())
    }

    fn write_claim(
        &mut self,
        document: &Document<S>,
        news: &[ReplicaId],
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let own = document.replica;
        let ask = self.outgoing.asks && self.is_open();
        let last_sent = self.outgoing.names.cursor.last_time;
        let only_own = news.iter().all(|replica| *replica == own);
        if only_own
            && document.knowledge.vv().time_of(own).as_ms() == last_sent
            && !self.outgoing.names.anonymous
        {
            writer.byte(if ask { tag::END_OWN_ASK } else { tag::END_OWN })?;
        } else {
            writer.byte(if ask { tag::END_ASK } else { tag::END })?;
            writer.varint(news.len() as u64)?;
            for replica in news {
                let entry =
                    VectorEntry { replica: *replica, time: document.knowledge.vv().time_of(*replica) };
                write_vector_entry(entry, own, self, writer)?;
            }
        }
        self.outgoing.asks &= !ask;
        Ok(())
    }

    fn note_claimed(&mut self, document: &Document<S>, news: &[ReplicaId]) {
        if !self.is_open() {
            self.outgoing.first_claim = Some(document.knowledge.vv().clone());
        }
        let own_time = document.knowledge.vv().time_of(document.replica);
        self.outgoing.note_claimed(&document.knowledge, news, (own_time, document.seq));
        self.compare.is_quiet = false;
    }

    fn write_update(
        &mut self,
        document: &Document<S>,
        news: &[ReplicaId],
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let unsent = document
            .cells
            .since(self.outgoing.cursor)
            .find(|c| !self.outgoing.peer_has(c.stamp, &document.knowledge));
        let cell = unsent.expect("an Update has one cell");
        if !fits(&cell, writer) {
            return Err(Full);
        }
        let path = cell.path();
        let slot = self.outgoing.names.slot_of(path);
        let time = cell.stamp.time.as_ms();
        let delta = time - self.outgoing.names.cursor.last_time;
        let content = (cell.kind, cell.payload);
        RunWriter::default().update(writer, (path, slot), delta, content, self.outgoing.asks)?;
        self.outgoing.asks = false;
        self.outgoing.names.cursor.last_time = time;
        if slot.is_none() {
            self.outgoing.names.define_path(path);
        }
        self.outgoing.cursor = cell.seq;
        self.note_claimed(document, news);
        Ok(())
    }

    pub(super) fn write_cell(
        &mut self,
        run: &mut RunWriter,
        writer: &mut Writer<'_>,
        cell: Stored<'_>,
        own: ReplicaId,
    ) -> Result<(), Full> {
        let path = cell.path();
        let slot = self.outgoing.names.slot_of(path);
        let replica = if run.has_stamp(cell.stamp.replica, cell.stamp.time.as_ms()) {
            ReplicaRef::Own
        } else {
            name_replica(&mut self.outgoing.names, cell.stamp.replica, own, &self.table)
        };
        let stamp = (cell.stamp.replica, replica, cell.stamp.time.as_ms());
        let content = (cell.kind, cell.payload);
        run.cell(writer, (path, slot), stamp, content, &mut self.outgoing.names.cursor.last_time)?;
        if slot.is_none() {
            self.outgoing.names.define_path(path);
        }
        Ok(())
    }

    // ---- the other messages ----

    fn write_refused(&mut self, writer: &mut Writer<'_>) -> Result<(), Full> {
        let due = match &mut self.phase {
            Phase::Closing(closing) => &mut closing.refusal,
            Phase::Awaiting(_) | Phase::Open(_) | Phase::Opening(_) => &mut self.incoming.refusal_due,
        };
        let Some(refused) = *due else { return Ok(()) };
        writer.byte(tag::REFUSED)?;
        writer.varint(refused.batch)?;
        refused.reason.write(writer)?;
        *due = None;
        Ok(())
    }

    fn write_need(&mut self, context: &mut Context<S>, writer: &mut Writer<'_>) -> Result<(), Full> {
        let document = &context.document;
        let Some(need) = self.incoming.need_due.filter(|_| self.is_introduced()) else { return Ok(()) };
        writer.byte(tag::NEED)?;
        writer.varint(need.batch.into())?;
        writer.varint(need.full.into())?;
        self.write_vector(document.knowledge.vv(), |_| true, document.replica, writer)?;
        self.incoming.need_due = None;
        Ok(())
    }

    fn write_stable(&mut self, context: &mut Context<S>, writer: &mut Writer<'_>) -> Result<(), Full> {
        let document = &context.document;
        if context.config.role != Role::Aggregator
            || !self.carrier.confirmed
            || !self.is_open()
            || document.knowledge.floor().is_empty()
        {
            return Ok(());
        }
        let Some(peer) = context.peers.of_mut(self.carrier.peer) else { return Ok(()) };
        if peer.told_floor == document.knowledge.floor_changes() {
            return Ok(());
        }
        writer.byte(tag::STABLE)?;
        let is_write = |e: &VectorEntry| e.replica != ReplicaId::RETIREMENTS;
        self.write_vector(document.knowledge.floor(), is_write, document.replica, writer)?;
        peer.told_floor = document.knowledge.floor_changes();
        Ok(())
    }

    fn write_ack(
        &mut self,
        has_company: bool,
        context: &mut Context<S>,
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let further = self.incoming.claims_received - self.incoming.acks_sent;
        if !self.is_introduced() || !(self.incoming.ack_due || (has_company && further > 0)) {
            return Ok(());
        }
        // A long session compares fingerprints from time to time.
        self.compare.digest_due |=
            self.incoming.claims_received / COMPARE_EVERY > self.incoming.acks_sent / COMPARE_EVERY;
        // A skipped batch is acknowledged although its cells are missing here.
        let document = &mut context.document;
        let same = self.compare.digest_due
            && !self.incoming.is_skipping()
            && self.outgoing.peer_has_all(&document.knowledge)
            && document.is_clean();
        writer.byte(if same { tag::ACK_DIGEST } else { tag::ACK })?;
        writer.varint(further.into())?;
        if same {
            let digest = document.fingerprint.digest(self.incoming.claims_received.into());
            writer.bytes(&digest.to_le_bytes())?;
            self.compare.digest_due = false;
        }
        self.incoming.acks_sent = self.incoming.claims_received;
        self.incoming.ack_due = false;
        Ok(())
    }

    fn write_ask(&mut self, writer: &mut Writer<'_>) -> Result<(), Full> {
        if !self.outgoing.asks || !self.is_open() || !self.outgoing.sending.is_idle() {
            return Ok(());
        }
        if !self.outgoing.claims.are_all_acked() {
            writer.byte(tag::ASK)?;
            self.outgoing.asks = false;
        }
        Ok(())
    }

    fn write_vector(
        &mut self,
        vector: &VersionVector<S>,
        wanted: impl Fn(&VectorEntry) -> bool + Clone,
        own: ReplicaId,
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let entries = vector.iter().filter(|e| wanted(e));
        writer.varint(entries.clone().count() as u64)?;
        { entries }.try_for_each(|entry| write_vector_entry(entry, own, self, writer))
    }
}

#[derive(PartialEq)]
enum Next {
    Batch,
    Nothing,
    Update,
}

pub(super) fn fits(cell: &Stored<'_>, writer: &Writer<'_>) -> bool {
    writer.remaining() >= cell_len_max(cell.path.len(), cell.payload.len())
}

/// The reference to a replica. Writing a literal defines it.
pub(super) fn name_replica<S: Memory>(
    names: &mut Names<S>,
    id: ReplicaId,
    own: ReplicaId,
    table: &VersionVector<S>,
) -> ReplicaRef {
    let reference = names.reference(id, own, table);
    if let ReplicaRef::Literal(id) = reference {
        names.define_replica(id);
    }
    reference
}

pub(super) fn write_vector_entry<S: Memory>(
    entry: VectorEntry,
    own: ReplicaId,
    session: &mut Session<S>,
    writer: &mut Writer<'_>,
) -> Result<(), Full> {
    let replica = name_replica(&mut session.outgoing.names, entry.replica, own, &session.table);
    write_entry(writer, replica, entry.time.as_ms(), &mut session.outgoing.names.cursor.last_time)
}

/// Most bytes before the first cell of a frame: the document's handle, and a tag.
const FRAME_HEAD_LEN_MAX: usize = 3 + 1;
/// Claims of a session after which fingerprints are compared again.
const COMPARE_EVERY: u32 = 64;
