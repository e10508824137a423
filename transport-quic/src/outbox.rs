//! Messages on their way out: one finished unidirectional stream for each, opened in order.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use quinn_proto::{Connection, Dir, StreamId, WriteError};

use crate::cause::{Fresh, MessageKind};
use crate::config::MESSAGE_OVERHEAD;
use crate::event::MessageId;

/// The messages of one connection that the peer has not acknowledged: some in QUIC's hands, then at most one partly
/// there (`writing`), then those that wait for credit (`waiting`).
///
/// A message's id is the index of its stream, because messages and streams are both numbered in order from 0.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: VecDeque<(Bytes, MessageKind)>,
    writing: Option<Writing>,
    /// What QUIC has and has not sent.
    fresh: Fresh,
    /// What each message counts that has an id and no acknowledgement yet.
    unacknowledged: BTreeMap<MessageId, usize>,
    next: MessageId,
    queued: usize,
    limit: usize,
}

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            writing: None,
            fresh: Fresh::default(),
            unacknowledged: BTreeMap::new(),
            next: MessageId(0),
            queued: 0,
            limit,
        }
    }

    /// Takes a message, or says how many bytes are in its way.
    pub(crate) fn push(&mut self, message: &[u8], kind: MessageKind) -> Result<MessageId, Full> {
        let cost = message.len() + MESSAGE_OVERHEAD;
        if self.queued + cost > self.limit {
            return Err(Full { queued: self.queued, limit: self.limit });
        }
        let id = self.next;
        self.next = MessageId(id.0 + 1);
        self.queued += cost;
        self.unacknowledged.insert(id, cost);
        self.waiting.push_back((Bytes::copy_from_slice(message), kind));
        Ok(id)
    }

    /// Gives QUIC what it takes now. Call it after everything that may have brought credit.
    pub(crate) fn pump(&mut self, quic: &mut Connection) {
        while let Some(Writing { stream, mut rest, kind }) = self.writing.take().or_else(|| self.open(quic)) {
            let mut sender = quic.send_stream(stream);
            let before = rest.len();
            while !rest.is_empty() {
                match sender.write_chunks(std::slice::from_mut(&mut rest)) {
                    Ok(_) => {}
                    Err(WriteError::Blocked) => {
                        if rest.len() < before {
                            self.fresh.push(kind, before - rest.len());
                        }
                        self.writing = Some(Writing { stream, rest, kind });
                        return;
                    }
                    // The peer stopped the stream: the event that says so ends the connection.
                    Err(WriteError::Stopped(_) | WriteError::ClosedStream) => return,
                }
            }
            self.fresh.push(kind, before);
            // Fails only on a stream that the peer stopped; see above.
            let _ = sender.finish();
        }
    }

    /// The stream is acknowledged to its end: which message it was.
    pub(crate) fn acknowledged(&mut self, stream: StreamId) -> Option<MessageId> {
        let id = MessageId(stream.index());
        self.queued -= self.unacknowledged.remove(&id)?;
        if self.unacknowledged.is_empty() {
            self.fresh.clear();
        }
        Some(id)
    }

    pub(crate) fn fresh(&mut self) -> &mut Fresh {
        &mut self.fresh
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    fn open(&mut self, quic: &mut Connection) -> Option<Writing> {
        if self.waiting.is_empty() {
            return None;
        }
        let stream = quic.streams().open(Dir::Uni)?;
        let (rest, kind) = self.waiting.pop_front()?;
        Some(Writing { stream, rest, kind })
    }
}

/// The message that is partly in QUIC's hands.
#[derive(Debug)]
struct Writing {
    stream: StreamId,
    rest: Bytes,
    kind: MessageKind,
}

/// The outbox has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) queued: usize,
    pub(crate) limit: usize,
}
