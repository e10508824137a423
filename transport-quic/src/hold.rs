//! Silence until what came in is durable: then the transport's acknowledgement is a receipt.
//!
//! A commit takes milliseconds and a round trip a hundred, so waiting for the disk costs nothing, while a receipt in
//! a message of its own costs 60 bytes and more. While something is held, a connection sends nothing at all, because
//! every packet may carry an acknowledgement.

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
    /// Since when there was no progress.
    since: Option<Instant>,
}

impl Hold {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { limit, messages: 0, is_unread: false, since: None }
    }

    /// The application took a message.
    pub(crate) fn took(&mut self, now: Instant) {
        self.messages += 1;
        self.since = Some(now);
    }

    /// Some of the messages that the application took are durable.
    pub(crate) fn release(&mut self, now: Instant, messages: u64) {
        self.messages = self.messages.saturating_sub(messages);
        self.since = Some(now);
    }

    /// Notes whether messages wait for the application.
    pub(crate) fn note_unread(&mut self, now: Instant, is_unread: bool) {
        if is_unread && !self.is_on() {
            self.since = Some(now);
        }
        self.is_unread = is_unread;
    }

    /// Whether nothing may be sent.
    pub(crate) fn is_on(&self) -> bool {
        self.limit.is_some() && (self.messages > 0 || self.is_unread)
    }

    /// When it has lasted too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.since?.checked_add(self.limit?).filter(|_| self.is_on())
    }
}
