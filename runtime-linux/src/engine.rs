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
//!
//! # Several documents
//!
//! An edge has one connection, and on it one session for each document; the document's handle on the wire is its
//! [`DocumentIndex`]. They share the commit, and the frames that it releases leave in one [`Output::Send`], so that
//! short ones share a datagram. What is wrong with one document sets that one aside for a while; only what concerns
//! the connection ends it for all. Devices on lines have sessions of their own with the documents that they may open
//! ([`Engine::handle_line`]).

mod answers;
mod events;
mod hosted;
mod io;
mod lines;
mod link;
mod receipts;
mod report;
mod sending;
mod spending;
mod standing;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crdt_core::{DocumentName, Heap, Moment, PeerId, PersistToken, Replica, Time};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use storage_redb::{Batch, StoreError, stage};
use transport_quic::{CloseCode, PublicKey};

use crate::clock::Now;
use crate::connection::{Attempt, Connector, Sent, State};
use crate::error::EdgeError;
use crate::options::{Aggregator, Timing};
use crate::policy::{Gate, Policy};
use crate::unopened::UnopenedDocument;
use answers::Answers;
pub use hosted::WRITES_MAX;
use hosted::{Done, Hosted};
pub use io::{Command, DocumentCommand, DocumentIndex, LinkInput, Output, Parts, Reply, Updated};
pub(crate) use lines::LINE_FRAMES_MAX;
use lines::Line;
pub use lines::{LineIndex, LineInput, LineParts};
pub use receipts::{Basis, RECEIPTS_MAX};
pub(crate) use spending::BUDGET_SETTING;
use spending::Spending;

/// See the [module](self).
pub struct Engine {
    /// By their [`DocumentIndex`]; the main one is the first.
    documents: Vec<Hosted>,
    /// By their [`LineIndex`].
    lines: Vec<Line>,
    public_key: PublicKey,
    aggregator: Option<Aggregator>,
    timing: Timing,
    connector: Connector,
    rng: ChaCha12Rng,
    outputs: VecDeque<Output>,
    /// Frames of the open connection that leave together.
    frames: Vec<Vec<u8>>,
    /// The document whose turn it is to send.
    turn: usize,
    answers: Answers,
    /// What the next commit is made of.
    staged: Staged,
    committing: Option<Committing>,
    failed: Option<Arc<StoreError>>,
    is_stopping: bool,
    is_stopped: bool,
    /// The aggregator's clock, and when it was told, for a device that has none.
    learned_clock: Option<(Time, Instant)>,
    spending: Spending,
    /// Whether changes wait for company.
    gate: Gate,
    /// What a document is opened with.
    policy: Policy,
    /// What of the store is not open.
    unopened: Vec<UnopenedDocument>,
    /// Bytes of frames sent and received.
    payload: (u64, u64),
    buffer: Vec<u8>,
}

/// What documents want to be on the disk.
#[derive(Default)]
struct Staged {
    batch: Batch<'static>,
    /// Of the documents that have a part in it.
    tokens: Vec<(usize, PersistToken)>,
}

/// What is on its way to the disk.
#[derive(Debug)]
struct Committing {
    /// Of the documents that have a part in it.
    tokens: Vec<(usize, PersistToken)>,
    /// What the transport may spend once it is done.
    limit_bytes: Option<u64>,
}

impl Engine {
    /// An engine at its start.
    ///
    /// # Panics
    /// Without a document, or with more than [`DOCUMENTS_MAX`].
    pub fn new(now: Now, parts: Parts) -> Self {
        let Parts { replicas, lines, public_key, aggregator, timing, seed, books, budget, policy, unopened } =
            parts;
        assert!((1..=DOCUMENTS_MAX).contains(&replicas.len()), "an edge has 1 to {DOCUMENTS_MAX} documents");
        let state = match &aggregator {
            Some(_) => State::Waiting { until: now.at },
            None => State::Off,
        };
        let peer = aggregator.as_ref().map(|aggregator| PeerId(aggregator.key.0));
        let host = |replica| Hosted::new(replica, peer, &timing, policy.clone());
        let mut engine = Self {
            documents: replicas.into_iter().map(host).collect(),
            lines: lines.into_iter().map(Line::new).collect(),
            public_key,
            aggregator,
            timing,
            connector: Connector::new(timing, state),
            rng: ChaCha12Rng::from_seed(seed),
            outputs: VecDeque::new(),
            frames: Vec::new(),
            turn: 0,
            answers: Answers::default(),
            staged: Staged::default(),
            committing: None,
            failed: None,
            is_stopping: false,
            is_stopped: false,
            learned_clock: None,
            spending: Spending::new(now, books, budget),
            gate: Gate::new(now.at, &public_key.0),
            policy,
            unopened,
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
            Command::Document { document, command } => {
                let moment = self.moment(now);
                let Some(hosted) = self.documents.get_mut(usize::from(document.0)) else {
                    // The handle knows the documents of its edge, so nobody waits for the answer.
                    return command.fail(EdgeError::Stopped);
                };
                match hosted.take(moment, command, &mut self.answers) {
                    Some(Done::Awaited) => self.gate.note_awaited(now, usize::from(document.0)),
                    Some(Done::Written(written)) => self.note_writes(now, document, &written),
                    None => {}
                }
            }
            Command::Flush { reply } => {
                self.flush(now);
                self.answers.add(reply, Ok(()));
            }
            Command::Ledger { reply } => {
                let report = self.ledger_report();
                self.answers.add(reply, Ok(report));
            }
            Command::Open { replica, reply } => {
                let opened = self.open_document(now, *replica);
                self.answers.add(reply, opened.map(Some));
            }
            Command::Policy { reply } => {
                let report = self.policy_report();
                self.answers.add(reply, Ok(report));
            }
            Command::Status { reply } => {
                let status = self.status(now);
                self.answers.add(reply, Ok(status));
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
                self.leave_connection(now, Some(problem));
            }
            LinkInput::Connected => self.open_sessions(now, attempt),
            LinkInput::Delivered(message) => {
                let open = self.connector.open_as(attempt);
                if let Some(sent) = open.and_then(|open| open.note_delivered(now.at, message))
                    && let Some(hosted) = self.documents.get_mut(sent.document)
                {
                    hosted.note_delivered(sent.session, sent.claims);
                }
            }
            LinkInput::Trying(address) => self.connector.address = Some(address),
            LinkInput::Message(frame) => {
                self.payload.1 += frame.len() as u64;
                self.handle_frame(now, attempt, &frame);
            }
        }
    }

    /// The commit has ended.
    pub fn handle_committed(&mut self, result: Result<(), Arc<StoreError>>) {
        let Some(Committing { tokens, limit_bytes }) = self.committing.take() else { return };
        match result {
            Ok(()) => {
                for (index, token) in tokens {
                    self.documents[index].replica.handle_persisted(token);
                }
                self.outputs.extend(limit_bytes.map(Output::Limit));
            }
            Err(error) => self.fail(error),
        }
    }

    /// Finishes what was begun, keeps what is known of the aggregator, closes the connection, and stops.
    pub fn shut_down(&mut self) {
        self.is_stopping = true;
        self.documents.iter_mut().for_each(|hosted| hosted.replica.request_persist());
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
            self.follow_gate(now);
            self.ask_if_needed(now);
            if self.outputs.is_empty() && !self.poll_documents(now) {
                self.hand_over();
                if !self.outputs.is_empty() {
                    continue;
                }
                self.shut_gate(now);
                if self.spending.is_due(now.at) {
                    self.commit(true);
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
        let documents = self.documents.iter();
        let late = documents.clone().filter_map(|hosted| hosted.late_at(&self.timing)).min();
        let retry = documents.filter_map(|hosted| hosted.retry).map(|retry| retry.at).min();
        let retry = retry.filter(|_| self.connector.open().is_some());
        let connection = self.connector.deadline(self.owed());
        [connection, late, retry, self.gate.deadline(), self.spending.deadline()].into_iter().flatten().min()
    }

    /// The documents' names, the main one first.
    pub fn document_names(&self) -> impl Iterator<Item = &DocumentName> {
        self.documents.iter().map(|hosted| hosted.replica.name())
    }

    /// Why it stopped, if its store failed.
    pub fn failure(&self) -> Option<EdgeError> {
        self.failed.clone().map(EdgeError::Store)
    }

    /// A document is not in the store any more.
    pub fn handle_removed(&mut self, name: &str) {
        self.unopened.retain(|unopened| unopened.document != name);
    }

    /// A document and its sessions.
    pub fn replica(&self, document: DocumentIndex) -> Option<&Replica<Heap, ChaCha12Rng>> {
        self.documents.get(usize::from(document.0)).map(|hosted| &hosted.replica)
    }

    // ---- the documents ----

    /// Takes one more document; it is opened at the aggregator at once if there is a connection.
    fn open_document(
        &mut self,
        now: Now,
        replica: Replica<Heap, ChaCha12Rng>,
    ) -> Result<DocumentIndex, EdgeError> {
        let place = self.documents.iter().position(|hosted| hosted.replica.name() == replica.name());
        let index = match place {
            Some(index) => index,
            None if self.documents.len() >= DOCUMENTS_MAX => {
                return Err(EdgeError::TooManyDocuments { limit: DOCUMENTS_MAX });
            }
            None => {
                self.handle_removed(replica.name().as_str());
                let peer = self.aggregator.as_ref().map(|aggregator| PeerId(aggregator.key.0));
                self.documents.push(Hosted::new(replica, peer, &self.timing, self.policy.clone()));
                let index = self.documents.len() - 1;
                self.find_urgent();
                self.gate.open();
                if self.connector.open().is_some() {
                    self.open_session(now, index);
                }
                index
            }
        };
        Ok(DocumentIndex(u16::try_from(index).expect("an edge has few documents")))
    }

    /// Notes for each document what the aggregator has of it.
    fn stage_arrived(&self, batch: &mut Batch<'_>) {
        for hosted in &self.documents {
            if let Some(arrived) = hosted.arrived() {
                arrived.stage(hosted.replica.name().as_str(), batch);
            }
        }
    }

    /// Takes what a document wants done; false when none wants anything, or when a commit has begun.
    ///
    /// What is unsaved goes first, of all documents, and has one commit: what that releases leaves together then.
    fn poll_documents(&mut self, now: Now) -> bool {
        let unsaved = |index: &usize| {
            let is_staged = self.staged.tokens.iter().any(|(staged, _)| staged == index);
            self.documents[*index].replica.has_unsaved() && !is_staged
        };
        if let Some(index) = (0..self.documents.len()).find(unsaved) {
            return self.poll_document(now, index);
        }
        if !self.staged.tokens.is_empty() {
            self.commit(false);
            return true;
        }
        // A long catch-up of one document does not keep the others from sending.
        for _ in 0..self.documents.len() {
            let index = self.turn;
            self.turn = (index + 1) % self.documents.len();
            // Devices on lines do not wait for the aggregator.
            let (has_capacity, hosted) = (self.may_transmit(), &mut self.documents[index]);
            if let Some(session) = &hosted.session {
                hosted.replica.set_capacity(session.id, has_capacity);
            }
            if self.poll_document(now, index) {
                return true;
            }
        }
        false
    }

    /// Takes the next thing that a document wants done; false when it wants nothing.
    fn poll_document(&mut self, now: Now, index: usize) -> bool {
        let moment = self.moment(now);
        let replica = &mut self.documents[index].replica;
        let Some(output) = replica.poll_output(moment, &mut self.buffer) else { return false };
        match output {
            crdt_core::Output::Close { session } if self.close_on_line(session, index) => {}
            crdt_core::Output::Close { session } => self.close_session(now, index, session),
            crdt_core::Output::Event(event) => self.handle_event(now, index, event),
            crdt_core::Output::Persist => {
                let token = stage(&mut self.staged.batch, &mut self.documents[index].replica);
                self.staged.tokens.push((index, token));
            }
            crdt_core::Output::Transmit { session, len } if self.send_on_line(session, index, len) => {}
            crdt_core::Output::Transmit { session, len } => {
                let hosted = &self.documents[index];
                let is_carried = hosted.session.as_ref().is_some_and(|carried| carried.id == session);
                if let Some(open) = self.connector.open_mut().filter(|_| is_carried) {
                    let claims = hosted.replica.claims_sent(session);
                    open.note_sent(now.at, Sent { len, document: index, session, claims });
                    self.payload.0 += len as u64;
                    self.spending.note_sent(&self.buffer[..len]);
                    self.frames.push(self.buffer[..len].to_vec());
                }
                // Something leaves: what waits goes along.
                self.gate.open();
            }
        }
        true
    }

    /// Gives the frames that are ready to the link, all at once.
    fn hand_over(&mut self) {
        let frames = std::mem::take(&mut self.frames);
        if let Some(open) = self.connector.open().filter(|_| !frames.is_empty()) {
            self.outputs.push_back(Output::Send { attempt: open.attempt, frames });
        }
    }

    /// Begins a commit of what is staged. The accounts ride along if they are due.
    fn commit(&mut self, is_for_accounts: bool) {
        self.hand_over();
        let Staged { mut batch, tokens } = std::mem::take(&mut self.staged);
        let is_due = is_for_accounts || self.spending.has_unsaved();
        let limit_bytes = if is_due { self.spending.stage(&mut batch) } else { None };
        if is_for_accounts {
            self.stage_arrived(&mut batch);
        }
        self.committing = Some(Committing { tokens, limit_bytes });
        self.outputs.push_back(Output::Commit(batch));
    }

    /// Everything is durable: gives the answers that waited for it.
    fn settle(&mut self) {
        self.answers.give();
        self.documents.iter_mut().for_each(Hosted::settle);
    }

    /// The random numbers of a replica that is to be loaded.
    pub(crate) fn fork_rng(&mut self) -> ChaCha12Rng {
        ChaCha12Rng::from_rng(&mut self.rng)
    }

    fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    pub(crate) fn moment(&self, now: Now) -> Moment {
        // A device without a clock counts on from the time that the aggregator told last.
        let learned = |(told, at): (Time, Instant)| {
            let since_ms = now.at.saturating_duration_since(at).as_millis();
            Time::from_clock_ms(told.as_ms().saturating_add(u64::try_from(since_ms).unwrap_or(u64::MAX)))
        };
        Moment { now: now.wall.or_else(|| self.learned_clock.map(learned)) }
    }

    // ---- the end ----

    fn fail(&mut self, error: Arc<StoreError>) {
        tracing::error!(%error, "the store failed; the edge stops");
        let told = || EdgeError::Store(error.clone());
        self.answers.fail(told);
        self.documents.iter_mut().for_each(|hosted| hosted.fail(told));
        self.failed = Some(error);
    }

    fn stop(&mut self, reason: &str) -> Option<Output> {
        if let Some(attempt) = self.connector.open().map(|open| open.attempt) {
            self.hand_over();
            self.documents.iter_mut().for_each(Hosted::leave_session);
            let reason = reason.to_owned();
            self.outputs.push_back(Output::Disconnect { attempt, code: CloseCode::ShuttingDown, reason });
        }
        self.end_lines();
        self.connector.state = State::Off;
        self.is_stopped = true;
        self.outputs.push_back(Output::Stopped);
        self.outputs.pop_front()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let replicas: Vec<_> = self.documents.iter().map(|hosted| &hosted.replica).collect();
        f.debug_struct("Engine")
            .field("replicas", &replicas)
            .field("connector", &self.connector)
            .field("committing", &self.committing)
            .finish_non_exhaustive()
    }
}

/// Most documents of one edge. An aggregator lets so many be open on one connection.
pub const DOCUMENTS_MAX: usize = 64;
/// Buffer for a frame, in bytes: small changes make small frames; a long catch-up is cut into frames of this length.
pub(crate) const FRAME_LEN: usize = 16 * 1024;

#[cfg(test)]
mod tests;
