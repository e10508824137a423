//! Silence until what came in is durable: then the transport's acknowledgement is a receipt.
//!
//! A commit takes milliseconds and a round trip a hundred, so waiting for the disk costs nothing, while a receipt in
//! a message of its own costs 60 bytes and more. While something is held, a connection sends nothing at all, because
//! every packet may carry an acknowledgement.
//!
//! QUIC acknowledges packets, and all that it has. Where messages come faster than commits end, some message would
//! always be on its way to the disk, and the acknowledgement never on its way to the peer. So after [`PATIENCE`] no
//! more datagrams are given to QUIC: they are put off. The commits that are under way end, everything that QUIC has
//! is durable, it says so, and then it gets what was put off. A datagram waits for the commits before it, once.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What one connection waits for.
#[derive(Debug)]
pub(crate) struct Hold {
    /// How long it may last without progress; none where acknowledgements are no receipts.
    limit: Option<Duration>,
    /// Messages that the application has and that it did not call durable.
    messages: u64,
    /// Whether there is something that the application has not taken yet.
    is_unread: bool,
    /// Since when nothing was sent.
    began: Option<Instant>,
    /// Since when there was no progress.
    since: Option<Instant>,
    /// Datagrams that QUIC gets once it has spoken.
    put_off: VecDeque<Arrival>,
    /// When it has spoken.
    spoke: Option<Instant>,
}

/// A datagram of a connection, and what it counts.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) from: SocketAddr,
    pub(crate) event: quinn_proto::ConnectionEvent,
    pub(crate) ip_bytes: u64,
    pub(crate) header_bytes: u64,
}

impl Hold {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            messages: 0,
            is_unread: false,
            began: None,
            since: None,
            put_off: VecDeque::new(),
            spoke: None,
        }
    }

    /// The application took a message.
    pub(crate) fn took(&mut self, now: Instant) {
        self.messages += 1;
        self.since = Some(now);
        self.began.get_or_insert(now);
    }

    /// Some of the messages that the application took are durable.
    pub(crate) fn release(&mut self, now: Instant, messages: u64) {
        self.messages = self.messages.saturating_sub(messages);
        self.since = Some(now);
        self.note_end();
    }

    /// Notes whether messages wait for the application.
    pub(crate) fn note_unread(&mut self, now: Instant, is_unread: bool) {
        if is_unread && !self.is_on() {
            self.since = Some(now);
            self.began = Some(now);
        }
        self.is_unread = is_unread;
        self.note_end();
    }

    /// Puts a datagram off, or gives it back where it may go to QUIC: after those that were put off.
    pub(crate) fn put_off(&mut self, now: Instant, arrival: Arrival) -> Option<Arrival> {
        let is_too_long = || self.began.is_some_and(|began| now.saturating_duration_since(began) >= PATIENCE);
        let is_starving = self.is_on() && self.messages > 0 && is_too_long();
        if self.put_off.len() < PUT_OFF_MAX && (is_starving || self.has_put_off()) {
            self.put_off.push_back(arrival);
            return None;
        }
        Some(arrival)
    }

    /// QUIC has nothing more to say. What was put off is due, if it was allowed to speak.
    pub(crate) fn note_spoken(&mut self, now: Instant) {
        if !self.is_on() && self.has_put_off() {
            self.spoke = Some(now);
        }
    }

    /// The next datagram that was put off.
    pub(crate) fn take_put_off(&mut self) -> Option<Arrival> {
        self.spoke = None;
        self.put_off.pop_front()
    }

    pub(crate) fn has_put_off(&self) -> bool {
        !self.put_off.is_empty()
    }

    /// When what was put off is due.
    pub(crate) fn put_off_until(&self) -> Option<Instant> {
        self.spoke
    }

    /// Whether nothing may be sent.
    pub(crate) fn is_on(&self) -> bool {
        self.limit.is_some() && (self.messages > 0 || self.is_unread)
    }

    /// When it has lasted too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.since?.checked_add(self.limit?).filter(|_| self.is_on())
    }

    fn note_end(&mut self) {
        if !self.is_on() {
            self.began = None;
        }
    }
}

/// How long messages may join those that a commit is made for: no longer than QUIC takes a round trip to vary.
const PATIENCE: Duration = Duration::from_millis(50);
/// Most datagrams of a connection that are put off; where more come, QUIC gets all, and the acknowledgement waits.
const PUT_OFF_MAX: usize = 64;
