//! The connection to the aggregator as the engine sees it: one at a time, with deadlines.

use std::collections::BTreeMap;
use std::time::Instant;

use crdt_core::{SessionId, Time};

use crate::backoff::Backoff;
use crate::options::Timing;
use crate::status::{Awaited, LinkState, Problem};

/// Names one attempt to connect, and the connection that came of it. Unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u64);

/// Where the connection is, when to try again, and what went wrong.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) state: State,
    /// What went wrong last; `None` again once it goes well.
    pub(crate) problem: Option<Problem>,
    timing: Timing,
    failed: Backoff,
    refused: Backoff,
    attempts: u64,
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum State {
    Connecting(Attempt),
    Off,
    Open(Open),
    Waiting { until: Instant },
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) attempt: Attempt,
    pub(crate) session: SessionId,
    /// The aggregator has opened the document.
    pub(crate) is_heard: bool,
    /// The acknowledgement that was asked for: when, and up to which own time.
    pub(crate) asked: Option<(Instant, Time)>,
    /// The aggregator refused some content: another connection is tried then.
    pub(crate) retry_at: Option<Instant>,
    since: Instant,
    last_activity: Instant,
    last_delivery: Instant,
    /// Number of the next message of this connection.
    next_message: u64,
    /// Lengths of the messages that the peer's transport has not acknowledged, by their numbers.
    in_flight: BTreeMap<u64, usize>,
    in_flight_bytes: usize,
}

impl Connector {
    pub(crate) fn new(timing: Timing, state: State) -> Self {
        Self {
            state,
            problem: None,
            timing,
            failed: Backoff::new(timing.backoff_first, timing.backoff_last),
            refused: Backoff::new(timing.backoff_first, timing.refused_last),
            attempts: 0,
        }
    }

    /// Begins the attempt that is due, if one is.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<Attempt> {
        let State::Waiting { until } = self.state else { return None };
        if now < until {
            return None;
        }
        self.attempts += 1;
        let attempt = Attempt(self.attempts);
        self.state = State::Connecting(attempt);
        Some(attempt)
    }

    pub(crate) fn opened(&mut self, now: Instant, attempt: Attempt, session: SessionId) {
        self.state = State::Open(Open {
            attempt,
            session,
            is_heard: false,
            asked: None,
            retry_at: None,
            since: now,
            last_activity: now,
            last_delivery: now,
            next_message: 0,
            in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
        });
    }

    /// The connection is gone, or is given up: pauses before the next attempt.
    pub(crate) fn pause(&mut self, now: Instant, random: u64, problem: Option<Problem>) {
        if let State::Open(open) = &self.state
            && open.is_heard
            && now.duration_since(open.since) > self.timing.backoff_last
        {
            self.failed.reset();
        }
        // That the connection ended says less than why the aggregator did not take something on it.
        let is_explained = self.open().is_some_and(|open| open.retry_at.is_some());
        if let Some(problem) = problem
            && (problem.is_refusal() || !is_explained)
        {
            self.problem = Some(problem);
        }
        let is_refused = self.problem.as_ref().is_some_and(Problem::is_refusal);
        let backoff = if is_refused { &mut self.refused } else { &mut self.failed };
        self.state = State::Waiting { until: now + backoff.next(random) };
    }

    /// There is no connection, and no attempt before this time.
    pub(crate) fn hold(&mut self, until: Instant, problem: Problem) {
        self.problem = Some(problem);
        self.state = State::Waiting { until };
    }

    /// The connection is given up for a new one at once.
    pub(crate) fn renew(&mut self, now: Instant) {
        self.state = State::Waiting { until: now };
    }

    /// The aggregator refused some content. What it sends is still welcome, so the connection stays for a while.
    pub(crate) fn note_refusal(&mut self, now: Instant, random: u64, text: String) {
        self.problem = Some(Problem::Refused { text });
        let pause = self.refused.next(random);
        if let State::Open(open) = &mut self.state {
            open.retry_at = Some(now + pause);
        }
    }

    /// The aggregator did its part. Only what it had not done before (`is_news`) makes the next pause short again: one
    /// that takes connections, agrees, and drops them would be paid a handshake a second otherwise.
    pub(crate) fn note_progress(&mut self, is_news: bool) {
        if is_news {
            self.failed.reset();
        }
        let State::Open(open) = &self.state else { return };
        if open.retry_at.is_none() {
            self.refused.reset();
            self.problem = None;
        }
    }

    pub(crate) fn open(&self) -> Option<&Open> {
        match &self.state {
            State::Open(open) => Some(open),
            _ => None,
        }
    }

    pub(crate) fn open_mut(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) => Some(open),
            _ => None,
        }
    }

    /// The open connection, if it is this one.
    pub(crate) fn open_as(&mut self, attempt: Attempt) -> Option<&mut Open> {
        self.open_mut().filter(|open| open.attempt == attempt)
    }

    /// Whether `attempt` is the one that counts now.
    pub(crate) fn is_current(&self, attempt: Attempt) -> bool {
        match &self.state {
            State::Connecting(current) => *current == attempt,
            State::Open(open) => open.attempt == attempt,
            State::Off | State::Waiting { .. } => false,
        }
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failed.failures().max(self.refused.failures())
    }

    pub(crate) fn link_state(&self) -> LinkState {
        match &self.state {
            State::Connecting(_) => LinkState::Connecting,
            State::Off => LinkState::Off,
            State::Open(open) if open.is_heard => LinkState::Connected,
            State::Open(_) => LinkState::Opening,
            State::Waiting { .. } => LinkState::Waiting,
        }
    }

    /// When something is to be done if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Connecting(_) | State::Off => None,
            State::Open(open) => {
                let answer = open.debt(&self.timing).map(|(until, _)| until);
                let silence = Some(open.last_activity + self.timing.silence_max);
                [answer, silence, open.retry_at].into_iter().flatten().min()
            }
            State::Waiting { until } => Some(*until),
        }
    }

    /// What the aggregator owes for too long.
    pub(crate) fn overdue(&self, now: Instant) -> Option<Problem> {
        let (until, what) = self.open()?.debt(&self.timing)?;
        (now >= until).then_some(Problem::NoAnswer { what, after: self.timing.answer_timeout })
    }

    /// Whether the connection should be made anew although nothing is owed.
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        self.open().is_some_and(|open| {
            open.retry_at.is_some_and(|at| now >= at) || now >= open.last_activity + self.timing.silence_max
        })
    }
}

impl Open {
    /// Counts a message that is handed to the transport.
    pub(crate) fn note_sent(&mut self, now: Instant, len: usize) {
        if self.in_flight.is_empty() {
            self.last_delivery = now;
        }
        self.last_activity = now;
        self.in_flight.insert(self.next_message, len);
        self.in_flight_bytes += len;
        self.next_message += 1;
    }

    pub(crate) fn note_delivered(&mut self, now: Instant, message: u64) {
        if let Some(len) = self.in_flight.remove(&message) {
            self.in_flight_bytes -= len;
            self.last_delivery = now;
            self.last_activity = now;
        }
    }

    pub(crate) fn note_received(&mut self, now: Instant) {
        self.last_activity = now;
    }

    /// Whether the transport has room for another message.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight_bytes + self.in_flight.len() * transport_quic::MESSAGE_OVERHEAD < IN_FLIGHT_MAX
    }

    /// What the aggregator owes first, and until when.
    fn debt(&self, timing: &Timing) -> Option<(Instant, Awaited)> {
        let open = (!self.is_heard).then_some((self.since, Awaited::Open));
        let delivery = (!self.in_flight.is_empty()).then_some((self.last_delivery, Awaited::Delivery));
        let asked = self.asked.map(|(at, _)| (at, Awaited::Acknowledgement));
        let oldest = [open, delivery, asked].into_iter().flatten().min_by_key(|(since, _)| *since)?;
        Some((oldest.0 + timing.answer_timeout, oldest.1))
    }
}

/// Bytes handed to the transport that wait for delivery, beyond which no more is handed over. With a longest frame
/// more it stays below the transport's own limit, so that sending never fails for want of room.
const IN_FLIGHT_MAX: usize = 96 * 1024;

const _: () = assert!(
    IN_FLIGHT_MAX + crate::engine::FRAME_LEN + 2 * transport_quic::MESSAGE_OVERHEAD
        < transport_quic::WINDOW_BYTES_MIN as usize,
    "the transport takes what the engine hands over"
);
