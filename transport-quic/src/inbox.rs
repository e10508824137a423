//! Messages on their way in: streams are read one after the other, in the order in which the peer opened them.
//!
//! Later streams stay unread in QUIC until it is their turn. So what a connection can make us remember is bounded by
//! its receive window and by one message.

use quinn_proto::{Connection, Dir, ReadError, ReadableError, Side, StreamId};

use crate::config::MESSAGE_LEN_MAX;

#[derive(Debug)]
pub(crate) struct Inbox {
    peer: Side,
    /// Streams that the peer has opened.
    opened: u64,
    /// The stream to read now.
    next: u64,
    /// What has been read of it.
    partial: Vec<u8>,
}

impl Inbox {
    pub(crate) fn new(ours: Side) -> Self {
        Self { peer: !ours, opened: 0, next: 0, partial: Vec::new() }
    }

    /// The next message, if it is complete.
    ///
    /// # Errors
    /// What the peer did wrong.
    pub(crate) fn poll(&mut self, quic: &mut Connection) -> Result<Option<Vec<u8>>, PeerError> {
        while quic.streams().accept(Dir::Uni).is_some() {
            self.opened += 1;
        }
        if self.next == self.opened {
            return Ok(None);
        }
        let id = StreamId::new(self.peer, Dir::Uni, self.next);
        let mut stream = quic.recv_stream(id);
        let mut chunks = match stream.read(true) {
            Ok(chunks) => chunks,
            Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => {
                return Err(PeerError::Reset);
            }
        };
        let outcome = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) if self.partial.len() + chunk.bytes.len() > MESSAGE_LEN_MAX => {
                    break Err(PeerError::TooLong);
                }
                Ok(Some(chunk)) => self.partial.extend_from_slice(&chunk.bytes),
                Ok(None) => break Ok(true),
                Err(ReadError::Blocked) => break Ok(false),
                Err(ReadError::Reset(_)) => break Err(PeerError::Reset),
            }
        };
        // The caller polls for transmits after every message anyway.
        let _ = chunks.finalize();
        if !outcome? {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(std::mem::take(&mut self.partial)))
    }
}

/// The peer broke the rules of this transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PeerError {
    /// The handshake ended without a key of the peer.
    #[error("the peer has no public key")]
    NoKey,
    /// A stream was given up before its end.
    #[error("a message was abandoned half-way")]
    Reset,
    /// A stream was refused before its end.
    #[error("a message was stopped half-way")]
    Stopped,
    /// A message is too long.
    #[error("a message is longer than {MESSAGE_LEN_MAX} bytes")]
    TooLong,
}
