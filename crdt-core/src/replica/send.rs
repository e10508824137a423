//! Sending: what goes out is computed from the document and the session, at the moment it goes.

use super::retire::{has_all_of_retired, write_retired};
use super::{Event, Replica};
use crate::causal::{Entry, Stamp, VersionVector};
use crate::document::Document;
use crate::id::ReplicaId;
use crate::replica::Role;
use crate::storage::{CellStore, Stored};
use crate::sync::{Again, Batch, FirstBase, Memory, Names, Session};
use crate::time::{Moment, Time};
use crate::weaken::{Rule, holds};
use crate::wire::{Full, ReplicaRef, RunWriter, Writer, cell_len_max, tag, write_entry, write_replica};

/// Bytes before the first cell of a frame, at most: the document's handle, and a tag.
const FRAME_HEAD_LEN_MAX: usize = 3 + 1;
/// Claims of a session after which fingerprints are compared again.
const COMPARE_EVERY: u32 = 64;

/// Whether a message was written.
type Written = Result<bool, Full>;

impl<S: Memory> Replica<S> {
    /// Writes the next frame of a session; 0 when it has nothing to say.
    // In a frame of the stack of its own: within the application's loop, whatever is far from its pointer takes longer code.
    #[inline(never)]
    pub(super) fn write_frame(&mut self, moment: Moment, index: usize, buffer: &mut [u8]) -> usize {
        let session = &self.sessions[index];
        let speaks = session.carrier.initiator
            || session.open_received
            || session.incoming.refusal_due.is_some()
            || session.again == Again::Due;
        if !speaks || !session.carrier.has_capacity {
            return 0;
        }
        let len = buffer.len().min(session.outgoing.frame_len_max);
        let mut writer = Writer::new(&mut buffer[..len]);
        if writer.varint(session.carrier.handle.into()).is_err() {
            return self.short_buffer(index, len);
        }
        let start = writer.len();
        let result = self.write_messages(moment, index, &mut writer);
        match result {
            Err(Full) if writer.len() == start => self.short_buffer(index, len),
            _ if writer.len() == start => {
                self.note_quiet(index);
                0
            }
            // What did not fit any more goes into the next frame.
            _ => writer.len(),
        }
    }

    fn write_messages(&mut self, moment: Moment, index: usize, writer: &mut Writer<'_>) -> Result<(), Full> {
        let start = writer.len();
        if self.sessions[index].is_closing {
            return self.whole(index, writer, &mut |this, writer| this.write_refused(index, writer));
        }
        if self.sessions[index].again == Again::Due {
            return self.whole(index, writer, &mut |this, writer| this.write_open_again(index, writer));
        }
        if !self.sessions[index].open_sent {
            self.whole(index, writer, &mut |this, writer| this.write_open(moment, index, writer))?;
        }
        self.whole(index, writer, &mut |this, writer| this.write_refused(index, writer))?;
        self.whole(index, writer, &mut |this, writer| this.write_need(index, writer))?;
        self.whole(index, writer, &mut |this, writer| this.write_stable(index, writer))?;
        self.whole(index, writer, &mut |this, writer| this.write_repair(moment, index, writer))?;
        let before = writer.len();
        let session = &self.sessions[index];
        if !session.carrier.is_deferred || before > start || session.must_send() {
            self.write_batch(index, writer)?;
        }
        self.whole(index, writer, &mut |this, writer| this.tell_retired(index, writer))?;
        // An acknowledgement that nobody waits for rides along with something else.
        let company = writer.len() > before;
        self.whole(index, writer, &mut |this, writer| this.write_ack(index, company, writer))?;
        self.whole(index, writer, &mut |this, writer| this.write_ask(index, writer))
    }

    /// Takes a message back that did not fit, and the names it defined.
    fn whole(
        &mut self,
        index: usize,
        writer: &mut Writer<'_>,
        write: &mut dyn FnMut(&mut Self, &mut Writer<'_>) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let (start, mark) = (writer.len(), self.sessions[index].outgoing.names.mark());
        let result = write(self, writer);
        if result.is_err() {
            writer.truncate(start);
            self.sessions[index].outgoing.names.rewind(mark);
        }
        result
    }

    fn short_buffer(&mut self, index: usize, len: usize) -> usize {
        let session = &mut self.sessions[index];
        if !session.outgoing.is_refused {
            session.outgoing.is_refused = true;
            let unsent = self.document.cells.since(session.outgoing.cursor);
            let lens = unsent
                .map(|c| (FRAME_HEAD_LEN_MAX + cell_len_max(c.path.len(), c.payload.len()), c.path.len()));
            let (needed, path_len) = lens.max().unwrap_or_default();
            self.events.push(Event::ShortBuffer { session: session.id, len, needed, path_len });
        }
        0
    }

    fn note_quiet(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        let converged = session.open_received
            && !session.compare.is_quiet
            && !session.outgoing.is_refused
            && !session.incoming.is_skipping
            && session.outgoing.peer_has_all_writes(&self.document.knowledge);
        if converged {
            session.compare.is_quiet = true;
            self.events.push(Event::Converged { session: session.id });
        }
    }

    // ---- batches ----

    /// Whether own writes may leave: a copy that came from storage asks first.
    fn may_send(&self) -> bool {
        self.unverified
            .is_none_or(|loaded| self.document.knowledge.vv().time_of(self.document.replica) <= loaded)
    }

    fn write_batch(&mut self, index: usize, writer: &mut Writer<'_>) -> Result<(), Full> {
        let (may_send, decides) = (self.may_send(), self.config.role == Role::Aggregator);
        let (document, session) = (&self.document, &mut self.sessions[index]);
        let first_flight = !session.open_received;
        let too_early =
            first_flight && (session.outgoing.first_claim.is_some() || session.outgoing.first_base.is_none());
        if !may_send || session.outgoing.is_refused || too_early {
            return Ok(());
        }
        let full = session.outgoing.wants_full
            || (!session.outgoing.is_delta_enough(&document.knowledge) && holds(Rule::Floor));
        if full && first_flight {
            return Ok(());
        }
        if session.outgoing.batch.is_some_and(|b| {
            b.full != full
                || (full
                    && b.floor_changes != document.knowledge.floor_changes()
                    && holds(Rule::RestartBatch))
        }) {
            session.outgoing.batch = None;
            session.outgoing.restarts = true;
        }
        let news = session.outgoing.news(&document.knowledge);
        if session.outgoing.batch.is_none() {
            let next = if full { Next::Batch } else { next_delta(document, session, &news) };
            if next == Next::Nothing {
                return Ok(());
            }
            if next == Next::Batch || first_flight || session.outgoing.restarts {
                begin_batch(document, session, first_flight, full, writer)?;
            }
            if next == Next::Update {
                return write_update(document, session, &news, writer);
            }
        }
        let complete = write_cells(document, session, full, writer);
        if !complete? {
            return Ok(());
        }
        let tells_retired = decides && has_all_of_retired(document, session);
        write_end(document, session, (full, tells_retired), &news, writer)
    }

    // ---- the other messages ----

    fn write_refused(&mut self, index: usize, writer: &mut Writer<'_>) -> Result<(), Full> {
        let Some(refused) = self.sessions[index].incoming.refusal_due else { return Ok(()) };
        writer.byte(tag::REFUSED)?;
        writer.varint(refused.batch)?;
        refused.reason.write(writer)?;
        self.sessions[index].incoming.refusal_due = None;
        Ok(())
    }

    fn write_need(&mut self, index: usize, writer: &mut Writer<'_>) -> Result<(), Full> {
        let (document, session) = (&self.document, &mut self.sessions[index]);
        let Some(need) = session.incoming.need_due.filter(|_| session.open_sent) else { return Ok(()) };
        writer.byte(tag::NEED)?;
        writer.varint(need.batch.into())?;
        writer.varint(need.full.into())?;
        write_vector(document.knowledge.vv(), |_| true, document.replica, session, writer)?;
        session.incoming.need_due = None;
        Ok(())
    }

    fn write_stable(&mut self, index: usize, writer: &mut Writer<'_>) -> Result<(), Full> {
        let (document, session) = (&self.document, &mut self.sessions[index]);
        if self.config.role != Role::Aggregator
            || !session.carrier.confirmed
            || !session.open_received
            || document.knowledge.floor().is_empty()
        {
            return Ok(());
        }
        let Some(peer) = self.peers.of_mut(session.carrier.peer) else { return Ok(()) };
        if peer.told_floor == document.knowledge.floor_changes() {
            return Ok(());
        }
        writer.byte(tag::STABLE)?;
        write_vector(
            document.knowledge.floor(),
            |e| e.replica != ReplicaId::RETIREMENTS,
            document.replica,
            session,
            writer,
        )?;
        peer.told_floor = document.knowledge.floor_changes();
        Ok(())
    }

    fn write_ack(&mut self, index: usize, company: bool, writer: &mut Writer<'_>) -> Result<(), Full> {
        let (document, session) = (&mut self.document, &mut self.sessions[index]);
        let further = session.incoming.claims_received - session.incoming.acks_sent;
        if !session.open_sent || !(session.incoming.ack_due || (company && further > 0)) {
            return Ok(());
        }
        // A session that lasts compares now and then.
        session.compare.digest_due |=
            session.incoming.claims_received / COMPARE_EVERY > session.incoming.acks_sent / COMPARE_EVERY;
        // Where a batch did not fit, its claim is received, and what it claims is not here.
        let same = session.compare.digest_due
            && !session.incoming.is_skipping
            && session.outgoing.peer_has_all(&document.knowledge)
            && document.is_clean();
        writer.byte(if same { tag::ACK_DIGEST } else { tag::ACK })?;
        writer.varint(further.into())?;
        if same {
            writer
                .bytes(&document.fingerprint.digest(session.incoming.claims_received.into()).to_le_bytes())?;
            session.compare.digest_due = false;
        }
        session.incoming.acks_sent = session.incoming.claims_received;
        session.incoming.ack_due = false;
        Ok(())
    }

    fn write_ask(&mut self, index: usize, writer: &mut Writer<'_>) -> Result<(), Full> {
        let session = &mut self.sessions[index];
        if !session.outgoing.asks || !session.open_received || session.outgoing.batch.is_some() {
            return Ok(());
        }
        if session.outgoing.claims_acked < session.outgoing.claims_sent {
            writer.byte(tag::ASK)?;
            session.outgoing.asks = false;
        }
        Ok(())
    }
}

/// Takes a message back that did not fit, and the names it defined.
fn whole<S: Memory, T>(
    session: &mut Session<S>,
    writer: &mut Writer<'_>,
    write: impl FnOnce(&mut Session<S>, &mut Writer<'_>) -> Result<T, Full>,
) -> Result<T, Full> {
    let (start, mark) = (writer.len(), session.outgoing.names.mark());
    let result = write(session, writer);
    if result.is_err() {
        writer.truncate(start);
        session.outgoing.names.rewind(mark);
    }
    result
}

#[derive(PartialEq)]
enum Next {
    Batch,
    Nothing,
    Update,
}

/// Whether there is something to send to this peer, and whether an Update says it all.
fn next_delta<S: Memory>(document: &Document<S>, session: &mut Session<S>, news: &[ReplicaId]) -> Next {
    let mut unsent = 0;
    let mut alone = true;
    let own = Stamp::new(document.knowledge.vv().time_of(document.replica), document.replica);
    for cell in document.cells.since(session.outgoing.cursor) {
        if session.outgoing.peer_has(cell.stamp, &document.knowledge) {
            if unsent == 0 {
                session.outgoing.cursor = cell.seq;
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
    let later =
        own.time.as_ms() >= session.outgoing.names.cursor.last_time && !session.outgoing.names.anonymous;
    if unsent == 1 && alone && only_own && later { Next::Update } else { Next::Batch }
}

fn begin_batch<S: Memory>(
    document: &Document<S>,
    session: &mut Session<S>,
    first_flight: bool,
    full: bool,
    writer: &mut Writer<'_>,
) -> Result<(), Full> {
    whole(session, writer, |session, writer| {
        if full {
            writer.byte(tag::BATCH_FULL)
        } else if first_flight {
            writer.byte(tag::BATCH_FIRST)?;
            session.outgoing.names.cursor.defining = false;
            match session.outgoing.first_base {
                Some(FirstBase::Table { own }) => {
                    let told = session.table.time_of(document.replica);
                    writer.varint(told.as_ms() - own.as_ms() + 1)
                }
                Some(FirstBase::Nothing) | None => writer.varint(0),
            }
        } else if session.outgoing.restarts {
            writer.byte(tag::BATCH)
        } else {
            Ok(())
        }
    })?;
    if full {
        session.outgoing.cursor = 0;
        session.outgoing.told_retired = Time::ZERO;
    }
    session.outgoing.urgent.iter_mut().for_each(|(_, went)| *went = false);
    session.outgoing.names.cursor.defining = !first_flight;
    session.outgoing.restarts = false;
    session.outgoing.batch =
        Some(Batch { full, floor_changes: document.knowledge.floor_changes(), began_at: document.seq });
    Ok(())
}

/// Writes cells until there are none left (true) or the frame is full.
fn write_cells<S: Memory>(
    document: &Document<S>,
    session: &mut Session<S>,
    full: bool,
    writer: &mut Writer<'_>,
) -> Written {
    let start = writer.len();
    writer.byte(tag::CELLS)?;
    let mut run = RunWriter::default();
    let mut complete = true;
    for urgent in 0..session.outgoing.urgent.len() {
        let (seq, went) = session.outgoing.urgent[urgent];
        let cell = document.cells.since(seq - 1).next().filter(|cell| cell.seq == seq && !went);
        let Some(cell) =
            cell.filter(|cell| full || !session.outgoing.peer_has(cell.stamp, &document.knowledge))
        else {
            continue;
        };
        if !fits(&cell, writer) {
            complete = false;
            break;
        }
        write_cell(&mut run, writer, cell, document.replica, session)?;
        session.outgoing.urgent[urgent].1 = true;
        session.outgoing.is_in_order = false;
    }
    let rest = complete.then(|| document.cells.since(session.outgoing.cursor)).into_iter().flatten();
    for cell in rest {
        let claimed =
            holds(Rule::SentIsClaimed) || session.outgoing.batch.is_none_or(|b| cell.seq <= b.began_at);
        if claimed
            && (full || !session.outgoing.peer_has(cell.stamp, &document.knowledge))
            && !session.outgoing.went_ahead(cell.seq)
        {
            if !fits(&cell, writer) {
                complete = false;
                break;
            }
            write_cell(&mut run, writer, cell, document.replica, session)?;
        }
        session.outgoing.cursor = cell.seq;
    }
    if !run.finish(writer) {
        writer.truncate(start);
        if !complete {
            return Err(Full);
        }
    }
    Ok(complete)
}

fn write_end<S: Memory>(
    document: &Document<S>,
    session: &mut Session<S>,
    (full, tells_retired): (bool, bool),
    news: &[ReplicaId],
    writer: &mut Writer<'_>,
) -> Result<(), Full> {
    // A delta waits for it, too: without the room of the retired ids, its claim might not fit.
    let tells = if full { !session.carrier.with_aggregator } else { tells_retired };
    if tells {
        let told = whole(session, writer, |session, writer| write_retired(document, session, full, writer))?;
        if !told {
            // The others go into the next frame.
            return Err(Full);
        }
    }
    // If it does not fit, the batch stays open, and End goes into a frame of its own.
    whole(session, writer, |session, writer| write_claim(document, session, full, news, writer))?;
    after_claim(document, session, full, news);
    Ok(())
}

fn write_claim<S: Memory>(
    document: &Document<S>,
    session: &mut Session<S>,
    full: bool,
    news: &[ReplicaId],
    writer: &mut Writer<'_>,
) -> Result<(), Full> {
    let own = document.replica;
    if full {
        writer.byte(tag::END_FULL)?;
        write_vector(document.knowledge.vv(), |_| true, own, session, writer)?;
        write_vector(document.knowledge.floor(), |_| true, own, session, writer)?;
        write_replica(
            writer,
            name_replica(
                &mut session.outgoing.names,
                document.knowledge.horizon().replica,
                own,
                &session.table,
            ),
        )?;
        let time = document.knowledge.horizon().time.as_ms();
        writer.signed(time as i64 - session.outgoing.names.cursor.last_time as i64)?;
        session.outgoing.names.cursor.last_time = time;
        return Ok(());
    }
    let ask = session.outgoing.asks && session.open_received;
    let last_sent = session.outgoing.names.cursor.last_time;
    let only_own = news.iter().all(|replica| *replica == own);
    if only_own
        && document.knowledge.vv().time_of(own).as_ms() == last_sent
        && !session.outgoing.names.anonymous
    {
        writer.byte(if ask { tag::END_OWN_ASK } else { tag::END_OWN })?;
        session.outgoing.asks &= !session.open_received;
        return Ok(());
    }
    writer.byte(if ask { tag::END_ASK } else { tag::END })?;
    writer.varint(news.len() as u64)?;
    for replica in news {
        let entry = Entry { replica: *replica, time: document.knowledge.vv().time_of(*replica) };
        write_vector_entry(entry, own, session, writer)?;
    }
    if session.open_received {
        session.outgoing.asks = false;
    }
    Ok(())
}

fn after_claim<S: Memory>(document: &Document<S>, session: &mut Session<S>, full: bool, news: &[ReplicaId]) {
    if !session.open_received {
        session.outgoing.first_claim = Some(document.knowledge.vv().clone());
    }
    let own_time = document.knowledge.vv().time_of(document.replica);
    session.outgoing.note_claimed(&document.knowledge, news, full, (own_time, document.seq));
    session.compare.is_quiet = false;
}

fn write_update<S: Memory>(
    document: &Document<S>,
    session: &mut Session<S>,
    news: &[ReplicaId],
    writer: &mut Writer<'_>,
) -> Result<(), Full> {
    let unsent = document
        .cells
        .since(session.outgoing.cursor)
        .find(|c| !session.outgoing.peer_has(c.stamp, &document.knowledge));
    let cell = unsent.expect("an Update has one cell");
    if !fits(&cell, writer) {
        return Err(Full);
    }
    let path = cell.path();
    let slot = session.outgoing.names.slot_of(path);
    let time = cell.stamp.time.as_ms();
    let delta = time - session.outgoing.names.cursor.last_time;
    RunWriter::default().update(
        writer,
        (path, slot),
        delta,
        (cell.kind, cell.payload),
        session.outgoing.asks,
    )?;
    session.outgoing.asks = false;
    session.outgoing.names.cursor.last_time = time;
    if slot.is_none() {
        session.outgoing.names.define_path(path);
    }
    session.outgoing.cursor = cell.seq;
    after_claim(document, session, false, news);
    Ok(())
}

pub(super) fn fits(cell: &Stored<'_>, writer: &Writer<'_>) -> bool {
    writer.remaining() >= cell_len_max(cell.path.len(), cell.payload.len())
}

pub(super) fn write_cell<S: Memory>(
    run: &mut RunWriter,
    writer: &mut Writer<'_>,
    cell: Stored<'_>,
    own: ReplicaId,
    session: &mut Session<S>,
) -> Result<(), Full> {
    let path = cell.path();
    let slot = session.outgoing.names.slot_of(path);
    let replica = if run.has_stamp(cell.stamp.replica, cell.stamp.time.as_ms()) {
        ReplicaRef::Own
    } else {
        name_replica(&mut session.outgoing.names, cell.stamp.replica, own, &session.table)
    };
    let stamp = (cell.stamp.replica, replica, cell.stamp.time.as_ms());
    run.cell(
        writer,
        (path, slot),
        stamp,
        (cell.kind, cell.payload),
        &mut session.outgoing.names.cursor.last_time,
    )?;
    if slot.is_none() {
        session.outgoing.names.define_path(path);
    }
    Ok(())
}

/// How to name a replica; a literal is defined by being written.
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

fn write_vector<S: Memory>(
    vector: &VersionVector<S>,
    wanted: impl Fn(&Entry) -> bool + Clone,
    own: ReplicaId,
    session: &mut Session<S>,
    writer: &mut Writer<'_>,
) -> Result<(), Full> {
    let entries = vector.iter().filter(|e| wanted(e));
    writer.varint(entries.clone().count() as u64)?;
    { entries }.try_for_each(|entry| write_vector_entry(entry, own, session, writer))
}

pub(super) fn write_vector_entry<S: Memory>(
    entry: Entry,
    own: ReplicaId,
    session: &mut Session<S>,
    writer: &mut Writer<'_>,
) -> Result<(), Full> {
    let replica = name_replica(&mut session.outgoing.names, entry.replica, own, &session.table);
    write_entry(writer, replica, entry.time.as_ms(), &mut session.outgoing.names.cursor.last_time)
}
