//! The edge as a state machine: commands, link events and times go in; commits, frames and connections come out.
//!
//! # The loop that a driver writes
//!
//! 1. Unless a commit is under way, hand over everything that waits: [`Engine::handle_command`], [`Engine::handle_link`].
//! 2. Take [`Engine::poll_output`] until there is nothing, and do what it says.
//! 3. Wait for an input, for the end of the commit ([`Engine::handle_committed`]), or until [`Engine::poll_timeout`]; then
//!    begin again.
//!
//! While a commit is under way inputs stay in their queues; then all of them are handled and have one commit
//! together. This is the group commit, and the back-pressure. A reply is given only when everything before it is on
//! the disk, so nobody, not even a reader here, sees what could be lost again.

mod io;
mod spending;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use control::{Scalar, tree};
use crdt_core::{
    Connect, DocumentName, Event, Heap, Moment, Path, PeerId, PersistToken, Refusal, Replica, ReplicaId,
    SessionId, Stamp, Time, Value, ValueError, Write, limits::VALUE_LEN_MAX,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use storage_redb::{Batch, StoreError, stage};
use transport_quic::{CloseCode, PublicKey};

use crate::changes::{Changes, Cursor};
use crate::clock::Now;
use crate::connection::{Attempt, Connector, Open, State};
use crate::error::EdgeError;
use crate::options::{Aggregator, Timing};
use crate::status::{LinkState, Problem, Status};
pub use io::{Command, LinkInput, Output, Parts, Reply};
pub(crate) use spending::BUDGET_SETTING;
use spending::Spending;

/// See the [module](self).
pub struct Engine {
    replica: Replica<Heap>,
    public_key: PublicKey,
    aggregator: Option<(Aggregator, PeerId)>,
    timing: Timing,
    connector: Connector,
    rng: ChaCha12Rng,
    outputs: VecDeque<Output>,
    /// Answers that wait until everything is durable.
    answers: Vec<Answer>,
    watchers: Vec<Watcher>,
    receipts: Vec<(Stamp, Reply<()>)>,
    /// Ids that this copy gave up in this process, and what stands for their writes now.
    forks: Vec<(ReplicaId, Stamp)>,
    /// Tombstones were forgotten at this change: who has not seen them yet is told everything anew.
    forgotten_at: u64,
    /// How often cells went without a trace: who has not seen it is told everything anew.
    drops: u64,
    committing: Option<Committing>,
    failed: Option<Arc<StoreError>>,
    is_stopping: bool,
    is_stopped: bool,
    /// Since when own writes lack an acknowledgement.
    unacknowledged_since: Option<Instant>,
    last_acknowledged: Option<Time>,
    /// The aggregator's clock, and when it was told, for a device that has none.
    learned_clock: Option<(Time, Instant)>,
    spending: Spending,
    /// Bytes of frames sent and received.
    payload: (u64, u64),
    buffer: Vec<u8>,
}

/// What is on its way to the disk.
#[derive(Debug)]
struct Committing {
    /// Of the replica, if it has a part in it.
    token: Option<PersistToken>,
    /// What the transport may spend once it is done.
    limit_bytes: Option<u64>,
}

/// Gives an answer, or this error instead of it.
type Answer = Box<dyn FnOnce(Option<EdgeError>) + Send>;

struct Watcher {
    prefix: Option<String>,
    after: Cursor,
    reply: Reply<Changes>,
}

impl Engine {
    /// An engine at its start.
    pub fn new(now: Now, parts: Parts) -> Self {
        let Parts { replica, public_key, aggregator, timing, seed, books, budget, urgent } = parts;
        let state = match &aggregator {
            Some(_) => State::Waiting { until: now.at },
            None => State::Off,
        };
        let mut engine = Self {
            replica,
            public_key,
            aggregator: aggregator.map(|aggregator| {
                let peer = PeerId(aggregator.key.0);
                (aggregator, peer)
            }),
            timing,
            connector: Connector::new(timing, state),
            rng: ChaCha12Rng::from_seed(seed),
            outputs: VecDeque::new(),
            answers: Vec::new(),
            watchers: Vec::new(),
            receipts: Vec::new(),
            forks: Vec::new(),
            forgotten_at: 0,
            drops: 0,
            committing: None,
            failed: None,
            is_stopping: false,
            is_stopped: false,
            unacknowledged_since: None,
            last_acknowledged: None,
            learned_clock: None,
            spending: Spending::new(now, books, budget, urgent),
            payload: (0, 0),
            buffer: vec![0; FRAME_LEN],
        };
        engine.find_urgent();
        engine
    }

    /// Takes a command; its answer goes to its reply, once everything before it is durable.
    pub fn handle_command(&mut self, now: Now, command: Command) {
        if let Some(error) = &self.failed {
            return command.fail(EdgeError::Store(error.clone()));
        }
        match command {
            Command::Changes { prefix, after, reply } => self.watch(prefix, after, reply),
            Command::Get { path, reply } => {
                let value = checked(&path).map(|path| self.replica.document().get(path).map(Scalar::from));
                self.answer(reply, value);
            }
            Command::Ledger { reply } => {
                let report = self.ledger_report();
                self.answer(reply, Ok(report));
            }
            Command::Receipt { stamp, reply } => self.add_receipt(stamp, reply),
            Command::Status { reply } => {
                let status = self.status(now);
                self.answer(reply, Ok(status));
            }
            Command::Tree { path, reply } => {
                let json = path.as_deref().map(checked).transpose();
                let json = json.map(|path| tree(path, self.replica.document().iter(path)));
                self.answer(reply, json);
            }
            Command::Update { writes, reply } => {
                let moment = self.moment(now);
                let stamp = self.update(moment, &writes);
                self.answer(reply, stamp);
            }
        }
    }

    /// Takes what happened on a connection; nothing happens if it is not the current one.
    pub fn handle_link(&mut self, now: Now, attempt: Attempt, input: LinkInput) {
        if !self.connector.is_current(attempt) {
            return;
        }
        match input {
            LinkInput::Closed(problem) => {
                tracing::info!(%problem, "the connection to the aggregator ended");
                self.leave_session();
                let random = self.rng.next_u64();
                self.connector.pause(now.at, random, Some(problem));
            }
            LinkInput::Connected => self.open_session(now, attempt),
            LinkInput::Delivered(message) => {
                if let Some(open) = self.connector.open_as(attempt) {
                    open.note_delivered(now.at, message);
                }
            }
            LinkInput::Message(frame) => {
                self.payload.1 += frame.len() as u64;
                self.take_frame(now, attempt, &frame);
            }
        }
    }

    /// The commit has ended.
    pub fn handle_committed(&mut self, result: Result<(), Arc<StoreError>>) {
        let Some(Committing { token, limit_bytes }) = self.committing.take() else { return };
        match result {
            Ok(()) => {
                if let Some(token) = token {
                    self.replica.handle_persisted(token);
                }
                self.outputs.extend(limit_bytes.map(Output::Limit));
            }
            Err(error) => self.fail(error),
        }
    }

    /// Finishes what was begun, keeps what is known of the aggregator, closes the connection, and stops.
    pub fn shut_down(&mut self) {
        self.is_stopping = true;
        self.replica.request_persist();
    }

    /// The next thing to do; `None` when there is nothing until the next input, or while a commit is under way.
    pub fn poll_output(&mut self, now: Now) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if self.committing.is_some() || self.is_stopped {
                return None;
            }
            if self.failed.is_some() {
                return self.stop("the store of the device failed");
            }
            self.follow_budget(now);
            self.check_deadlines(now);
            self.ask_if_needed(now);
            if self.outputs.is_empty() && !self.poll_replica(now) {
                if self.spending.is_due(now.at) {
                    self.commit(None, Batch::new());
                    continue;
                }
                self.settle();
                if self.is_stopping {
                    return self.stop("the device shuts down");
                }
                if self.outputs.is_empty() {
                    return None;
                }
            }
        }
    }

    /// When to call [`poll_output`](Self::poll_output) again if nothing comes in before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_stopped || self.committing.is_some() {
            return None;
        }
        let lazy_ask = match (self.connector.open(), self.unacknowledged_since) {
            (Some(open), Some(since)) if open.is_heard && open.asked.is_none() && open.retry_at.is_none() => {
                Some(since + self.timing.acknowledge_after)
            }
            _ => None,
        };
        [self.connector.deadline(), lazy_ask, self.spending.deadline()].into_iter().flatten().min()
    }

    /// The document's name.
    pub fn document_name(&self) -> &DocumentName {
        self.replica.name()
    }

    /// How it is. Cost: `[cells]`.
    pub fn status(&self, now: Now) -> Status {
        let document = self.replica.document();
        let size = document.size();
        let backlog = match self.peer() {
            Some(peer) => self.replica.backlog(peer),
            None => size,
        };
        let next_attempt = match self.connector.state {
            State::Waiting { until } => Some(until.saturating_duration_since(now.at).as_millis() as u64),
            _ => None,
        };
        Status {
            document: self.replica.name().as_str().to_owned(),
            public_key: self.public_key,
            replica: self.replica.id().to_string(),
            aggregator: self.aggregator.as_ref().map(|(aggregator, _)| aggregator.address.clone()),
            link: self.connector.link_state(),
            connected: self.connector.link_state() == LinkState::Connected,
            unverified: self.replica.is_unverified(),
            cells: size.cells,
            bytes: size.bytes,
            backlog_cells: backlog.cells,
            backlog_bytes: backlog.bytes,
            last_acknowledged_ms: self.last_acknowledged.map(Time::as_ms),
            acknowledged_through_ms: self.acknowledged().as_ms(),
            waits_for: self.waits_for(next_attempt, backlog.cells),
            problem: self.connector.problem.clone(),
            failed_attempts: self.connector.failures(),
            next_attempt_ms: next_attempt,
            clock_is_trusted: now.wall.is_some(),
            ip_bytes_sent: self.spending.seen.sent.total().bytes,
            ip_bytes_received: self.spending.seen.received.total().bytes,
            budget: self.spending.status(),
            payload_bytes_sent: self.payload.0,
            payload_bytes_received: self.payload.1,
        }
    }

    /// Why it stopped, if its store failed.
    pub fn failure(&self) -> Option<EdgeError> {
        self.failed.clone().map(EdgeError::Store)
    }

    /// The document and its sessions.
    pub fn replica(&self) -> &Replica<Heap> {
        &self.replica
    }

    // ---- commands ----

    fn answer<T: Send + 'static>(&mut self, reply: Reply<T>, result: Result<T, EdgeError>) {
        // Whoever does not wait any more needs no answer.
        self.answers.push(Box::new(move |failure| drop(reply.send(failure.map_or(result, Err)))));
    }

    fn update(
        &mut self,
        moment: Moment,
        writes: &[(String, Option<Scalar>)],
    ) -> Result<Option<Stamp>, EdgeError> {
        if writes.len() > WRITES_MAX {
            return Err(EdgeError::TooManyWrites { writes: writes.len(), limit: WRITES_MAX });
        }
        let checked: Vec<_> =
            writes.iter().map(|(path, value)| write(path, value.as_ref())).collect::<Result<_, _>>()?;
        let stamp = self.replica.update(moment, &checked)?;
        self.note_writes(stamp, writes.iter().map(|(path, _)| path.as_str()));
        Ok(stamp)
    }

    fn watch(&mut self, prefix: Option<String>, after: Option<Cursor>, reply: Reply<Changes>) {
        let checked = prefix.as_deref().map(checked).transpose();
        match (checked, after) {
            (Err(error), _) => self.answer(reply, Err(error)),
            (Ok(prefix), None) => {
                let snapshot = Changes::snapshot(self.replica.document(), prefix, self.drops);
                self.answer(reply, Ok(snapshot));
            }
            (Ok(_), Some(after)) => {
                self.watchers.retain(|watcher| !watcher.reply.is_closed());
                self.watchers.push(Watcher { prefix, after, reply });
            }
        }
    }

    fn add_receipt(&mut self, stamp: Stamp, reply: Reply<()>) {
        self.receipts.retain(|(_, reply)| !reply.is_closed());
        if self.receipts.len() >= RECEIPTS_MAX {
            return self.answer(reply, Err(EdgeError::TooManyReceipts { limit: RECEIPTS_MAX }));
        }
        let moved = self.forks.iter().rev().find(|(from, _)| *from == stamp.replica);
        self.receipts.push((moved.map_or(stamp, |(_, to)| *to), reply));
    }

    /// Everything is durable: gives the answers that waited for it.
    fn settle(&mut self) {
        debug_assert!(!self.replica.has_unsaved(), "answers are given when everything is durable");
        for answer in self.answers.drain(..) {
            answer(None);
        }
        let acknowledged = self.acknowledged();
        let id = self.replica.id();
        for (_, reply) in
            self.receipts.extract_if(.., |(stamp, _)| stamp.replica == id && stamp.time <= acknowledged)
        {
            // Whoever does not wait any more needs no receipt.
            let _ = reply.send(Ok(()));
        }
        let document = self.replica.document();
        let newest = Cursor { seq: document.seq(), drops: self.drops };
        if self.watchers.iter().all(|watcher| watcher.after == newest) {
            return;
        }
        for mut watcher in std::mem::take(&mut self.watchers) {
            let prefix = watcher.prefix.as_deref().and_then(|prefix| checked(prefix).ok());
            let is_behind = watcher.after.drops != self.drops || watcher.after.seq < self.forgotten_at;
            let changes = if is_behind {
                Changes::snapshot(document, prefix, self.drops)
            } else {
                Changes::since(document, prefix, watcher.after)
            };
            if changes.changes.is_empty() {
                watcher.after = changes.cursor;
                self.watchers.push(watcher);
            } else {
                // Whoever does not wait any more asks again, with what it knows.
                let _ = watcher.reply.send(Ok(changes));
            }
        }
    }

    // ---- the connection ----

    fn open_session(&mut self, now: Now, attempt: Attempt) {
        let Some(peer) = self.peer() else { return };
        let connect = Connect { peer, with_aggregator: true, initiator: true, confirmed: true, handle: 0 };
        match self.replica.connect(connect) {
            Ok(session) => {
                self.connector.opened(now.at, attempt, session);
                self.hurry_urgent();
            }
            Err(error) => {
                let problem = Problem::Closed { text: error.to_string() };
                self.give_up(now, attempt, CloseCode::Overloaded, Some(problem));
            }
        }
    }

    fn take_frame(&mut self, now: Now, attempt: Attempt, frame: &[u8]) {
        let moment = self.moment(now);
        let Some(open) = self.connector.open_as(attempt) else { return };
        open.note_received(now.at);
        let session = open.session;
        let floor = self.replica.document().floor().clone();
        let seq = self.replica.document().seq();
        if let Err(error) = self.replica.handle_frame(moment, session, frame) {
            tracing::warn!(%error, "the aggregator sent what this side does not take");
            // The replica says what is left to be said, and then wants the connection closed.
            self.connector.problem = Some(Problem::Refused { text: error.to_string() });
        }
        if self.replica.document().seq() != seq {
            self.spending.note_changed(frame.len());
        }
        if *self.replica.document().floor() != floor {
            self.forgotten_at = self.replica.document().seq();
        }
        let is_heard = self.peer().is_some_and(|peer| self.replica.is_connected(peer));
        if let Some(open) = self.connector.open_as(attempt)
            && is_heard
            && !open.is_heard
        {
            open.is_heard = true;
            tracing::info!("the document is open at the aggregator");
        }
    }

    fn check_deadlines(&mut self, now: Now) {
        if self.is_stopping {
            return;
        }
        if let Some(attempt) = self.connector.begin(now.at) {
            self.outputs.push_back(Output::Connect(attempt));
        } else if let Some(problem) = self.connector.overdue(now.at)
            && let Some(attempt) = self.connector.open().map(|open| open.attempt)
        {
            tracing::warn!(%problem, "the connection is given up for another one");
            self.give_up(now, attempt, CloseCode::Normal, Some(problem));
        } else if self.connector.is_stale(now.at)
            && let Some(attempt) = self.connector.open().map(|open| open.attempt)
        {
            self.give_up(now, attempt, CloseCode::Normal, None);
            self.connector.renew(now.at);
        }
    }

    /// Asks for an acknowledgement where somebody waits for it, or where there was none for long.
    fn ask_if_needed(&mut self, now: Now) {
        let own = self.replica.document().version_vector().time_of(self.replica.id());
        let acknowledged = self.acknowledged();
        if own <= acknowledged {
            self.unacknowledged_since = None;
        } else if self.aggregator.is_some() {
            self.unacknowledged_since.get_or_insert(now.at);
        }
        let wanted = self.receipts.iter().map(|(stamp, _)| stamp.time).max();
        let late =
            self.unacknowledged_since.is_some_and(|since| now.at >= since + self.timing.acknowledge_after);
        let wanted = if late || self.spending.is_doubtful() {
            Some(own)
        } else {
            wanted.max(self.urgent_waits().map(|urgent| urgent.min(own)))
        };
        let Some(open) = self.connector.open_mut() else { return };
        if open.asked.is_some_and(|(_, through)| acknowledged >= through) {
            open.asked = None;
        }
        let Some(wanted) = wanted.filter(|wanted| *wanted > acknowledged) else { return };
        let is_asked = open.asked.is_some_and(|(_, through)| through >= wanted);
        if open.is_heard && open.retry_at.is_none() && !is_asked && !self.replica.is_unverified() {
            open.asked = Some((open.asked.map_or(now.at, |(at, _)| at), own));
            self.replica.request_acknowledgement();
        }
    }

    /// Closes a connection and pauses.
    fn give_up(&mut self, now: Now, attempt: Attempt, code: CloseCode, problem: Option<Problem>) {
        self.leave_session();
        let reason =
            problem.as_ref().map_or_else(|| "a new connection follows".to_owned(), ToString::to_string);
        let random = self.rng.next_u64();
        self.connector.pause(now.at, random, problem);
        self.outputs.push_back(Output::Disconnect { attempt, code, reason });
    }

    fn leave_session(&mut self) {
        if let Some(open) = self.connector.open() {
            self.replica.disconnect(open.session);
        }
    }

    // ---- the replica ----

    /// Takes what the replica wants done; false when it wants nothing.
    fn poll_replica(&mut self, now: Now) -> bool {
        let has_room = self.connector.open().is_none_or(Open::has_room);
        if !has_room && !self.replica.has_unsaved() {
            return false;
        }
        let moment = self.moment(now);
        let Some(output) = self.replica.poll_output(moment, &mut self.buffer) else { return false };
        match output {
            crdt_core::Output::Close { session } => self.close_session(now, session),
            crdt_core::Output::Event(event) => self.take_event(now, event),
            crdt_core::Output::Persist(_) => {
                let mut batch = Batch::new();
                let token = stage(&mut batch, &mut self.replica);
                self.commit(Some(token), batch);
            }
            crdt_core::Output::Transmit { session, len } => {
                if let Some(open) = self.connector.open_mut().filter(|open| open.session == session) {
                    open.note_sent(now.at, len);
                    let (attempt, frame) = (open.attempt, self.buffer[..len].to_vec());
                    self.payload.0 += frame.len() as u64;
                    self.outputs.push_back(Output::Send { attempt, frame });
                }
            }
        }
        true
    }

    /// Begins a commit. The accounts ride along if they are due.
    fn commit(&mut self, token: Option<PersistToken>, mut batch: Batch<'static>) {
        let is_due = token.is_none() || self.spending.has_unsaved();
        let limit_bytes = if is_due { self.spending.stage(&mut batch) } else { None };
        self.committing = Some(Committing { token, limit_bytes });
        self.outputs.push_back(Output::Commit(batch));
    }

    fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    fn close_session(&mut self, now: Now, session: SessionId) {
        let Some(open) = self.connector.open().filter(|open| open.session == session) else { return };
        let attempt = open.attempt;
        let is_refused = self.connector.problem.as_ref().is_some_and(Problem::is_refusal);
        let code = if is_refused { CloseCode::ProtocolError } else { CloseCode::Normal };
        self.give_up(now, attempt, code, None);
    }

    fn take_event(&mut self, now: Now, event: Event) {
        match event {
            Event::Acknowledged { .. } => {
                self.last_acknowledged = now.wall.or(self.last_acknowledged);
                if let Some((since, _)) = self.connector.open_mut().and_then(|open| open.asked.as_mut()) {
                    *since = now.at;
                }
                let through = self.acknowledged();
                let is_news = self.spending.note_acknowledged(through);
                self.connector.note_progress(is_news);
            }
            // Watchers read the document's own order of changes.
            Event::Changed { .. } => {}
            Event::Conflicts { cells } => self.log_conflicts(cells),
            Event::Converged { .. } => self.connector.note_progress(false),
            Event::Damaged { .. } => {
                tracing::error!(
                    "this copy and the aggregator's differ although they should not; both repair it"
                );
            }
            Event::Dropped { .. } => self.drops += 1,
            Event::Forgotten { tombstones } => {
                tracing::warn!(tombstones, "the document is full: deletes were forgotten to make room");
            }
            Event::Forked { from, to } => {
                tracing::warn!(%from, %to, "this copy was older than what the aggregator knows of it, or has a twin");
                let through = self.replica.document().version_vector().time_of(to);
                let target = Stamp::new(through, to);
                self.note_forked(through);
                let moved = self.receipts.iter_mut().map(|(stamp, _)| stamp);
                for stamp in moved.chain(self.forks.iter_mut().map(|(_, stamp)| stamp)) {
                    if stamp.replica == from {
                        *stamp = target;
                    }
                }
                self.forks.push((from, target));
                if self.forks.len() > FORKS_MAX {
                    self.forks.remove(0);
                }
            }
            Event::LateWrite { original, reissued } => {
                tracing::info!(%original, %reissued, "a late write was written again");
            }
            Event::ClockCorrected { now: told, by_ms } => {
                tracing::warn!(aggregator = %told, ?by_ms, "this device's clock is wrong; the aggregator's counts");
                self.spending.note_told(now, told);
                if by_ms.is_none() {
                    self.learned_clock = Some((told, now.at));
                }
            }
            Event::Refused { reason: reason @ Refusal::Fenced, .. } if !self.is_in_session() => {
                tracing::warn!(%reason, "this device takes an id of its own, and writes again what it wrote since it started");
            }
            Event::Refused { reason: reason @ Refusal::Clock { .. }, .. } if !self.is_in_session() => {
                tracing::warn!(%reason, "what was written by a wrong clock is written again by the aggregator's");
            }
            Event::Refused { reason, .. } => {
                tracing::error!(%reason, "the aggregator refuses what was written here; it stays here");
                let random = self.rng.next_u64();
                self.connector.note_refusal(now.at, random, reason.to_string());
            }
            Event::RefusedPeer { reason, .. } => {
                tracing::error!(%reason, "what the aggregator sent does not fit here");
                self.connector.problem = Some(Problem::Closed { text: format!("refused here: {reason}") });
            }
            Event::ShortBuffer { len, needed, path_len, .. } => {
                tracing::error!(len, needed, path_len, "a cell does not fit into a frame");
            }
            Event::Verified => {
                tracing::info!("the aggregator confirms that this copy is the newest of its id");
            }
            _ => tracing::debug!(?event, "an event that this version does not know"),
        }
    }

    fn log_conflicts(&mut self, cells: u64) {
        tracing::info!(cells, "values of this copy were overwritten by somebody who had not seen them");
        while let Some(conflict) = self.replica.take_conflict() {
            let (path, lost, won) = (conflict.path(), conflict.lost(), conflict.won());
            tracing::info!(
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

    fn moment(&mut self, now: Now) -> Moment {
        // A device without a clock counts on from the time that the aggregator told last.
        let learned = |(told, at): (Time, Instant)| {
            let since_ms = now.at.saturating_duration_since(at).as_millis();
            Time::from_clock_ms(told.as_ms().saturating_add(u64::try_from(since_ms).unwrap_or(u64::MAX)))
        };
        Moment { now: now.wall.or_else(|| self.learned_clock.map(learned)), random: self.rng.next_u64() }
    }

    fn is_in_session(&self) -> bool {
        self.peer().is_some_and(|peer| self.replica.is_connected(peer))
    }

    fn acknowledged(&self) -> Time {
        self.peer().map_or(Time::ZERO, |peer| self.replica.acknowledged_through(peer))
    }

    fn peer(&self) -> Option<PeerId> {
        self.aggregator.as_ref().map(|(_, peer)| *peer)
    }

    fn waits_for(&self, next_attempt_ms: Option<u64>, backlog: usize) -> String {
        let state = self.connector.link_state();
        match (state, next_attempt_ms) {
            (LinkState::Off, _) => "nothing: no aggregator was named".to_owned(),
            (LinkState::Waiting, _)
                if let Some(Problem::Budget { resumes, .. }) = &self.connector.problem =>
            {
                format!("the budget, which allows to go on from {resumes} (UTC) on")
            }
            (LinkState::Waiting, pause) => {
                format!("the next attempt to connect, in {:.1} s", pause.unwrap_or(0) as f64 / 1000.0)
            }
            (LinkState::Connecting, _) => "the end of the handshake".to_owned(),
            (LinkState::Opening, _) => "the aggregator to open the document".to_owned(),
            (LinkState::Connected, _) => match self.connector.open() {
                Some(open) if open.retry_at.is_some() => "the aggregator to take what it refused".to_owned(),
                Some(open) if open.asked.is_some() => "the aggregator's acknowledgement".to_owned(),
                _ if self.replica.is_unverified() => "the aggregator to verify this copy".to_owned(),
                _ if backlog > 0 => {
                    "nothing; an acknowledgement is asked for when somebody needs it".to_owned()
                }
                _ => "nothing: everything is at the aggregator".to_owned(),
            },
        }
    }

    // ---- the end ----

    fn fail(&mut self, error: Arc<StoreError>) {
        tracing::error!(%error, "the store failed; the edge stops");
        let told = || EdgeError::Store(error.clone());
        self.answers.drain(..).for_each(|answer| answer(Some(told())));
        // Whoever does not wait any more needs no answer.
        self.watchers.drain(..).for_each(|watcher| drop(watcher.reply.send(Err(told()))));
        self.receipts.drain(..).for_each(|(_, reply)| drop(reply.send(Err(told()))));
        self.failed = Some(error);
    }

    fn stop(&mut self, reason: &str) -> Option<Output> {
        if let Some(attempt) = self.connector.open().map(|open| open.attempt) {
            self.leave_session();
            let reason = reason.to_owned();
            self.outputs.push_back(Output::Disconnect { attempt, code: CloseCode::ShuttingDown, reason });
        }
        self.connector.state = State::Off;
        self.is_stopped = true;
        self.outputs.push_back(Output::Stopped);
        self.outputs.pop_front()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("replica", &self.replica)
            .field("connector", &self.connector)
            .field("committing", &self.committing)
            .finish_non_exhaustive()
    }
}

fn checked(path: &str) -> Result<Path<'_>, EdgeError> {
    Path::new(path).map_err(|source| EdgeError::Path { path: shortened(path), source })
}

fn write<'a>(path: &'a str, value: Option<&'a Scalar>) -> Result<Write<'a>, EdgeError> {
    let checked = checked(path)?;
    let Some(value) = value else { return Ok(Write::delete(checked)) };
    match value.as_value() {
        Value::Str(text) if text.len() > VALUE_LEN_MAX => Err(text.len()),
        Value::Bytes(bytes) if bytes.len() > VALUE_LEN_MAX => Err(bytes.len()),
        value => Ok(Write::set(checked, value)),
    }
    .map_err(|len| EdgeError::Value { path: path.to_owned(), source: ValueError { len } })
}

/// The start of a path that may be long, for a message.
fn shortened(path: &str) -> String {
    match path.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &path[..end]),
        None => path.to_owned(),
    }
}

/// Room for a frame, in bytes: small changes make small frames; a long catch-up is cut into frames of this length.
pub(crate) const FRAME_LEN: usize = 16 * 1024;
/// Most writes of one transaction.
pub const WRITES_MAX: usize = 4096;
/// Most receipts that are waited for at once.
pub const RECEIPTS_MAX: usize = 16_384;
/// Forks of this process that are remembered for receipts of writes before them.
const FORKS_MAX: usize = 16;
/// Characters of a bad path that an error shows.
const SHOWN_CHARS: usize = 80;

#[cfg(test)]
mod tests;
