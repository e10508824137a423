//! The connection to the aggregator as the engine sees it: one at a time, with deadlines.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use crdt_core::SessionId;

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
    /// Where the connection goes to, or is tried.
    pub(crate) address: Option<SocketAddr>,
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
    /// The aggregator has opened some document.
    pub(crate) has_answered: bool,
    since: Instant,
    last_activity: Instant,
    last_delivery: Instant,
    /// Number of the next message of this connection.
    next_message: u64,
    /// Messages that the peer's transport has not acknowledged, by their numbers.
    in_flight: BTreeMap<u64, Sent>,
    in_flight_bytes: usize,
}

/// Something that the aggregator owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Debt {
    pub(crate) since: Instant,
    pub(crate) what: Awaited,
}

/// What a message carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Length of the frame, in bytes.
    pub(crate) len: usize,
    /// Index of the document.
    pub(crate) document: usize,
    pub(crate) session: SessionId,
    /// Claims that the session had sent by then.
    pub(crate) claims: u32,
}

impl Connector {
    pub(crate) fn new(timing: Timing, state: State) -> Self {
        Self {
            state,
            problem: None,
            address: None,
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
        self.address = None;
        self.state = State::Connecting(attempt);
        Some(attempt)
    }

    pub(crate) fn opened(&mut self, now: Instant, attempt: Attempt) {
        self.state = State::Open(Open {
            attempt,
            has_answered: false,
            since: now,
            last_activity: now,
            last_delivery: now,
            next_message: 0,
            in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
        });
    }

    /// The connection is gone, or is given up: pauses before the next attempt. `is_refused`: the aggregator took nothing
    /// of what is here, so the pause is a long one.
    pub(crate) fn pause(&mut self, now: Instant, random: u64, problem: Option<Problem>, is_refused: bool) {
        if let State::Open(open) = &self.state
            && open.has_answered
            && now.duration_since(open.since) > self.timing.backoff_last
        {
            self.failed.reset();
        }
        if problem.is_some() {
            self.problem = problem;
        }
        let is_refused = is_refused || self.problem.as_ref().is_some_and(Problem::is_refusal);
        let backoff = if is_refused { &mut self.refused } else { &mut self.failed };
        let until = now + backoff.next(random);
        self.wait(until);
    }

    /// There is no connection, and no attempt before this time.
    pub(crate) fn defer(&mut self, until: Instant, problem: Problem) {
        self.problem = Some(problem);
        self.wait(until);
    }

    /// The connection is given up for a new one at once.
    pub(crate) fn renew(&mut self, now: Instant) {
        self.wait(now);
    }

    fn wait(&mut self, until: Instant) {
        self.address = None;
        self.state = State::Waiting { until };
    }

    /// The aggregator did its part. Only what it had not done before (`is_news`) makes the next pause short again: one
    /// that takes connections, agrees, and drops them would be paid a handshake a second otherwise.
    pub(crate) fn note_progress(&mut self, is_news: bool) {
        if is_news {
            self.failed.reset();
        }
        if let State::Open(_) = &self.state {
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
            State::Open(open) if open.has_answered => LinkState::Connected,
            State::Open(_) => LinkState::Opening,
            State::Waiting { .. } => LinkState::Waiting,
        }
    }

    /// When something is to be done if nothing happens before. `owed`: what the aggregator owes the documents.
    pub(crate) fn deadline(&self, owed: Option<Debt>) -> Option<Instant> {
        match &self.state {
            State::Connecting(_) | State::Off => None,
            State::Open(open) => {
                let answer = open.debt(owed).map(|debt| debt.since + self.timing.answer_timeout);
                let silence = Some(open.last_activity + self.timing.silence_max);
                answer.into_iter().chain(silence).min()
            }
            State::Waiting { until } => Some(*until),
        }
    }

    /// What the aggregator owes for too long.
    pub(crate) fn overdue(&self, now: Instant, owed: Option<Debt>) -> Option<Problem> {
        let Debt { since, what } = self.open()?.debt(owed)?;
        let after = self.timing.answer_timeout;
        (now >= since + after).then_some(Problem::NoAnswer { what, after })
    }

    /// Whether nothing was said for so long that the connection should be made anew although nothing is owed.
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        self.open().is_some_and(|open| now >= open.last_activity + self.timing.silence_max)
    }
}

impl Open {
    /// Counts a message that is handed to the transport.
    pub(crate) fn note_sent(&mut self, now: Instant, sent: Sent) {
        if self.in_flight.is_empty() {
            self.last_delivery = now;
        }
        self.last_activity = now;
        self.in_flight.insert(self.next_message, sent);
        self.in_flight_bytes += sent.len;
        self.next_message += 1;
    }

    /// The peer's transport has a message. Gives what it carried.
    pub(crate) fn note_delivered(&mut self, now: Instant, message: u64) -> Option<Sent> {
        let sent = self.in_flight.remove(&message)?;
        self.in_flight_bytes -= sent.len;
        self.last_delivery = now;
        self.last_activity = now;
        Some(sent)
    }

    pub(crate) fn note_received(&mut self, now: Instant) {
        self.last_activity = now;
    }

    /// Whether the transport has capacity for another message.
    pub(crate) fn has_capacity(&self) -> bool {
        self.in_flight_bytes + self.in_flight.len() * transport_quic::MESSAGE_OVERHEAD < IN_FLIGHT_MAX
    }

    /// Whether the peer's transport has everything.
    pub(crate) fn is_delivered(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// What the aggregator owes first: to the documents, or to the connection itself.
    fn debt(&self, owed: Option<Debt>) -> Option<Debt> {
        let delivery = Debt { since: self.last_delivery, what: Awaited::Delivery };
        let delivery = (!self.is_delivered()).then_some(delivery);
        owed.into_iter().chain(delivery).min_by_key(|debt| debt.since)
    }
}

/// Bytes handed to the transport that wait for delivery, beyond which no more is handed over. With a longest frame
/// more it stays below the transport's own limit, so that sending never fails for want of capacity.
const IN_FLIGHT_MAX: usize = 96 * 1024;

const _: () = assert!(
    IN_FLIGHT_MAX + crate::engine::FRAME_LEN + 2 * transport_quic::MESSAGE_OVERHEAD
        < transport_quic::WINDOW_BYTES_MIN as usize,
    "the transport takes what the engine hands over"
);
