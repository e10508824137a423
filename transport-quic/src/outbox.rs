//! Messages on their way out: one finished unidirectional stream for each, opened in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    /// What each message counts that was not reported as delivered.
    unreported_costs: BTreeMap<MessageId, usize>,
    /// Those of them that are delivered.
    delivered: BTreeSet<MessageId>,
    next: MessageId,
    /// The first message that was not reported as delivered.
    unreported: MessageId,
    queued: usize,
    limit: usize,
}

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            writing: None,
            fresh: Fresh::default(),
            unreported_costs: BTreeMap::new(),
            delivered: BTreeSet::new(),
            next: MessageId(0),
            unreported: MessageId(0),
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
        self.unreported_costs.insert(id, cost);
        self.waiting.push_back((Bytes::copy_from_slice(message), kind));
        Ok(id)
    }

    /// Gives QUIC what it takes now, or less: no message begins that does not fit into `capacity`. Call it after
    /// everything that may have brought credit or capacity.
    pub(crate) fn pump(&mut self, quic: &mut Connection, capacity: Option<usize>) -> Pumped {
        let mut pumped = Pumped::default();
        loop {
            if self.writing.is_none()
                && let (Some((next, _)), Some(capacity)) = (self.waiting.front(), capacity)
                && pumped.bytes + next.len() > capacity
            {
                pumped.is_held_back = true;
                return pumped;
            }
            let Some(Writing { stream, mut rest, kind }) = self.writing.take().or_else(|| self.open(quic))
            else {
                return pumped;
            };
            let mut sender = quic.send_stream(stream);
            let before = rest.len();
            while !rest.is_empty() {
                match sender.write_chunks(std::slice::from_mut(&mut rest)) {
                    Ok(_) => {}
                    Err(WriteError::Blocked) => {
                        if rest.len() < before {
                            self.fresh.push(kind, before - rest.len());
                            pumped.bytes += before - rest.len() + STREAM_OVERHEAD;
                        }
                        self.writing = Some(Writing { stream, rest, kind });
                        return pumped;
                    }
                    // The peer stopped the stream: the event that says so ends the connection.
                    Err(WriteError::Stopped(_) | WriteError::ClosedStream) => return pumped,
                }
            }
            self.fresh.push(kind, before);
            pumped.bytes += before + STREAM_OVERHEAD;
            // Fails only on a stream that the peer stopped; see above.
            let _ = sender.finish();
        }
    }

    /// The stream is acknowledged to its end.
    pub(crate) fn acknowledged(&mut self, stream: StreamId) {
        self.delivered.insert(MessageId(stream.index()));
        if self.delivered.len() == self.unreported_costs.len() {
            self.fresh.clear();
        }
    }

    pub(crate) fn fresh(&mut self) -> &mut Fresh {
        &mut self.fresh
    }

    /// The next message that is delivered, in their order: one that overtook another waits for it. It makes room.
    pub(crate) fn poll_delivered(&mut self) -> Option<MessageId> {
        let id = self.unreported;
        if !self.delivered.remove(&id) {
            return None;
        }
        self.queued -= self.unreported_costs.remove(&id).unwrap_or(0);
        self.unreported = MessageId(id.0 + 1);
        Some(id)
    }

    pub(crate) fn has_delivered(&self) -> bool {
        self.delivered.contains(&self.unreported)
    }

    /// Reports nothing more of what is delivered so far.
    pub(crate) fn forget_delivered(&mut self) {
        self.delivered.clear();
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

/// What [`Outbox::pump`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pumped {
    /// About what it is on the wire, in bytes.
    pub(crate) bytes: usize,
    /// Whether a message waits for capacity.
    pub(crate) is_held_back: bool,
}

/// The outbox has no capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) queued: usize,
    pub(crate) limit: usize,
}

/// Most bytes of a stream frame beside its data: type, stream, offset and length.
const STREAM_OVERHEAD: usize = 16;
