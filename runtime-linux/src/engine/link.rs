//! The connection and the sessions on it: opened, asked, given up, and set aside.

use crdt_core::{Connect, Role, SessionId, peek_handle};
use rand_chacha::rand_core::Rng;
use transport_quic::CloseCode;

use super::hosted::{Hosted, Retry};
use super::{Engine, Output};
use crate::clock::Now;
use crate::connection::{Attempt, Debt, Open, State};
use crate::status::{Awaited, Problem};

impl Engine {
    /// The handshake is done: opens every document.
    pub(super) fn open_sessions(&mut self, now: Now, attempt: Attempt) {
        self.connector.opened(now.at, attempt);
        for index in 0..self.documents.len() {
            self.open_session(now, index);
        }
        if self.documents.iter().all(|hosted| hosted.session.is_none()) {
            let problem = self.documents[0].problem.clone();
            return self.give_up(now, attempt, CloseCode::Overloaded, problem);
        }
        self.prioritize_urgent();
    }

    pub(super) fn open_session(&mut self, now: Now, index: usize) {
        let hosted = &mut self.documents[index];
        let (Some(peer), Ok(handle)) = (hosted.peer, u16::try_from(index)) else { return };
        let connect = Connect::initiator(peer, Role::Aggregator, handle);
        match hosted.replica.connect(connect) {
            Ok(session) => hosted.opened(now.at, session),
            Err(error) => {
                let problem = Problem::Closed { text: error.to_string() };
                self.set_aside(now, index, Some(problem), true);
            }
        }
    }

    pub(super) fn handle_frame(&mut self, now: Now, attempt: Attempt, frame: &[u8]) {
        let moment = self.moment(now);
        let Some(open) = self.connector.open_as(attempt) else { return };
        open.note_received(now.at);
        let index = peek_handle(frame).map(usize::from);
        let Some(hosted) = index.and_then(|index| self.documents.get_mut(index)) else {
            let problem = Problem::Refused { text: "a frame of no document of this device".to_owned() };
            tracing::warn!(%problem, "the aggregator sent what this side does not take");
            return self.give_up(now, attempt, CloseCode::ProtocolError, Some(problem));
        };
        let own = hosted.own_stamp();
        // What is still on its way to a document that was set aside concerns nobody.
        let Some(session) = hosted.session.as_mut() else { return };
        let floor = hosted.replica.document().floor().clone();
        let seq = hosted.replica.document().seq();
        if let Err(error) = hosted.replica.handle_frame(moment, session.id, frame) {
            let document = hosted.replica.name().as_str();
            tracing::warn!(document, %error, "the aggregator sent what this side does not take");
            // The replica says what is left to be said, and then wants the session closed.
            session.is_broken = true;
            hosted.problem = Some(Problem::Refused { text: error.to_string() });
        }
        if hosted.replica.document().seq() != seq {
            self.spending.note_changed(frame.len());
        }
        if *hosted.replica.document().floor() != floor {
            hosted.forgotten_at = hosted.replica.document().seq();
        }
        if hosted.note_answered()
            && let Some(open) = self.connector.open_as(attempt)
        {
            open.has_answered = true;
            let document = hosted.replica.name().as_str();
            tracing::info!(document, "the document is open at the aggregator");
        }
        if let Some(index) = index {
            self.note_own_writes(index, own);
            self.follow_policy(index);
        }
    }

    pub(super) fn check_deadlines(&mut self, now: Now) {
        if self.is_stopping {
            return;
        }
        if let Some(attempt) = self.connector.begin(now.at) {
            self.outputs.push_back(Output::Connect(attempt));
            return;
        }
        let Some(attempt) = self.connector.open().map(|open| open.attempt) else { return };
        if let Some(problem) = self.connector.overdue(now.at, self.owed()) {
            match self.stuck_alone() {
                Some(index) => self.set_aside(now, index, Some(problem), true),
                None => {
                    tracing::warn!(%problem, "the connection is given up for another one");
                    self.give_up(now, attempt, CloseCode::Normal, Some(problem));
                }
            }
            return;
        }
        let retries = self.documents.iter().enumerate();
        let due = |(index, hosted): (usize, &Hosted)| {
            hosted.retry.filter(|retry| now.at >= retry.at).map(|retry| (index, retry))
        };
        match retries.filter_map(due).max_by_key(|(_, retry)| retry.needs_connection) {
            Some((index, Retry { needs_connection: false, .. })) => self.open_session(now, index),
            None if !self.connector.is_stale(now.at) => {}
            _ => {
                self.give_up(now, attempt, CloseCode::Normal, None);
                self.connector.renew(now.at);
            }
        }
    }

    /// Asks for acknowledgements where deliveries do not serve: where there was none for long, and where much was spent for
    /// nothing. Where one document asks, the others ask with it: the answers share a datagram.
    pub(super) fn ask_if_needed(&mut self, now: Now) {
        for hosted in &mut self.documents {
            hosted.follow_acknowledgements(now.at);
        }
        let is_late = |hosted: &Hosted| hosted.late_at(&self.timing).is_some_and(|at| now.at >= at);
        if self.spending.is_doubtful() || self.documents.iter().any(is_late) {
            self.documents.iter_mut().for_each(|hosted| hosted.ask(now.at));
        }
    }

    /// Whatever waits is sent now: the gate opens, and the pause before the next attempt ends, unless it is there because
    /// the aggregator or the budget said no.
    pub(super) fn flush(&mut self, now: Now) {
        self.gate.open();
        let is_told = |problem: &Problem| {
            problem.is_refusal() || matches!(problem, Problem::Budget { .. } | Problem::Wasted { .. })
        };
        let is_waiting = matches!(self.connector.state, State::Waiting { until } if until > now.at);
        if is_waiting && !self.connector.problem.as_ref().is_some_and(is_told) {
            self.connector.renew(now.at);
        }
    }

    /// A replica is done with its session.
    pub(super) fn close_session(&mut self, now: Now, index: usize, session: SessionId) {
        let others = self.documents.iter().enumerate().filter(|(other, _)| *other != index);
        let has_others = others.filter(|(_, hosted)| hosted.session.is_some()).count() > 0;
        let hosted = &mut self.documents[index];
        let Some(carried) = hosted.session.as_ref().filter(|carried| carried.id == session) else { return };
        let Some(attempt) = self.connector.open().map(|open| open.attempt) else { return };
        match carried.is_broken {
            true if has_others => self.set_aside(now, index, None, true),
            true => {
                let problem = hosted.problem.clone();
                self.give_up(now, attempt, CloseCode::ProtocolError, problem);
            }
            // It goes on under another id, or by another clock.
            false => self.give_up(now, attempt, CloseCode::Normal, None),
        }
    }

    /// Goes on without a document for a while.
    pub(super) fn set_aside(
        &mut self,
        now: Now,
        index: usize,
        problem: Option<Problem>,
        needs_connection: bool,
    ) {
        let random = self.rng.next_u64();
        let hosted = &mut self.documents[index];
        hosted.leave_session();
        hosted.problem = problem.or(hosted.problem.take());
        let pause = hosted.refused.next(random);
        hosted.retry = Some(Retry { at: now.at + pause, needs_connection });
        let document = hosted.replica.name().as_str();
        let problem = hosted.problem.as_ref().map(ToString::to_string);
        tracing::warn!(document, problem, ?pause, "the document is set aside, the others go on");
    }

    /// Closes a connection and pauses.
    pub(super) fn give_up(&mut self, now: Now, attempt: Attempt, code: CloseCode, problem: Option<Problem>) {
        self.hand_over();
        let reason =
            problem.as_ref().map_or_else(|| "a new connection follows".to_owned(), ToString::to_string);
        self.leave_connection(now, problem);
        self.outputs.push_back(Output::Disconnect { attempt, code, reason });
    }

    /// The connection is gone, and all sessions with it.
    pub(super) fn leave_connection(&mut self, now: Now, problem: Option<Problem>) {
        self.frames.clear();
        let is_refused = self.documents.iter().all(|hosted| hosted.retry.is_some());
        self.documents.iter_mut().for_each(Hosted::leave_session);
        let random = self.rng.next_u64();
        self.connector.pause(now.at, random, problem, is_refused);
    }

    /// What the aggregator owes the documents first.
    pub(super) fn owed(&self) -> Option<Debt> {
        self.documents.iter().filter_map(Hosted::debt).min_by_key(|debt| debt.since)
    }

    /// The document that alone gets no answer, while the connection works and others are open on it.
    fn stuck_alone(&self) -> Option<usize> {
        let is_delivered = self.connector.open().is_some_and(Open::is_delivered);
        let stuck =
            self.documents.iter().enumerate().filter_map(|(index, hosted)| Some((index, hosted.debt()?)));
        let (index, debt) = stuck.min_by_key(|(_, debt)| debt.since)?;
        let works = |(other, hosted): (usize, &Hosted)| {
            other != index && hosted.is_connected() && hosted.debt().is_none()
        };
        let others_work = self.documents.iter().enumerate().any(works);
        (is_delivered && others_work && debt.what != Awaited::Delivery).then_some(index)
    }
}
