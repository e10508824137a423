//! Frames of peers. The session handles each message; what affects more than that session is done here.

use rand_core::Rng;

use super::Replica;
use crate::limits::FRAME_LEN_MAX;
use crate::sync::{Memory, Outcome, PeerError, SessionId, Stop};
use crate::time::Moment;
use crate::wire::{DecodeError, MessageReader, Refusal};

impl<S: Memory, R: Rng> Replica<S, R> {
    /// Handles one frame of a session, as the transport delivered it: complete, in order, from the session's peer.
    ///
    /// A damaged frame changes nothing. O(frame), plus the cost of its cells: see
    /// [`Document::update`](crate::Document::update).
    ///
    /// # Errors
    /// [`PeerError`] if the peer broke the protocol, or cannot be served. The session is closed then: an
    /// [`Output::Close`](super::Output::Close) follows a pending refusal. Other sessions continue.
    // Not inlined: in the large stack frame of the application's loop, far offsets need longer Thumb instructions.
    #[inline(never)]
    pub fn handle_frame(
        &mut self,
        moment: Moment,
        session: SessionId,
        frame: &[u8],
    ) -> Result<(), PeerError> {
        let index = self.session_index(session).ok_or(PeerError::UnknownSession)?;
        let (changes, conflicts) = (self.context.document.seq, self.context.conflicts.count);
        self.context.begin(moment);
        let result = self.handle_messages(index, frame);
        self.context.events.note_conflicts(self.context.conflicts.count - conflicts);
        self.note_changed(changes);
        if let Some(index) = self.sessions.index_of(session) {
            if let Err(error) = result {
                if let PeerError::Refused(reason) = error {
                    self.sessions[index].refuse_once(reason, &mut self.context);
                }
                self.sessions.close(index);
            }
            self.sessions.wake(index);
        }
        result
    }

    fn handle_messages(&mut self, index: usize, frame: &[u8]) -> Result<(), PeerError> {
        if frame.len() > FRAME_LEN_MAX {
            return Err(DecodeError::TooLong { len: frame.len() }.into());
        }
        let mut messages = MessageReader::new(frame, self.sessions[index].names_cursor());
        let handled = match self.handle_each(index, &mut messages) {
            Err(Stop::Fork(fork)) => self.fork_because_of(fork),
            handled => handled,
        };
        handled.map_err(|stop| stop.error(&messages, self.context.document.knowledge.vv().capacity()))
    }

    fn handle_each(&mut self, index: usize, messages: &mut MessageReader<'_>) -> Result<(), Stop> {
        if !self.sessions[index].begin_frame(messages, &mut self.context)? {
            return Ok(());
        }
        while let Some(message) = messages.next()? {
            match self.sessions[index].handle(message, messages, &mut self.context)? {
                Outcome::Done => {}
                Outcome::BatchEnded => self.adopt_orphans(),
                Outcome::Opened => self.note_opened(index),
                Outcome::Refused(reason) => self.note_refused(index, reason)?,
                Outcome::Repaired => self.compare_with_others(index),
            }
            // A fork closes every session: the rest of the frame was sent to the old id.
            if self.sessions[index].is_closing() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The peer's Open was accepted.
    fn note_opened(&mut self, index: usize) {
        let carrier = self.sessions[index].carrier;
        if carrier.with_aggregator() {
            self.note_verified();
        }
        if carrier.confirmed {
            self.note_peer_present(index);
        }
    }

    /// The peer refused what this side sent. If this copy's id or clock is the reason, it continues under
    /// another id.
    fn note_refused(&mut self, index: usize, reason: Refusal) -> Result<(), Stop> {
        match reason {
            Refusal::Clock { .. } => self.write_again_by_the_right_clock(index),
            Refusal::Fenced => self.leave_fenced_id(index),
            Refusal::Access | Refusal::Capacity { .. } | Refusal::Version { .. } => Ok(()),
        }
    }

    /// Cells were repaired that no claim announces: compares with other connected peers, which may lack them
    /// too.
    fn compare_with_others(&mut self, index: usize) {
        let repaired = self.sessions[index].id;
        for session in self.sessions.iter_mut().filter(|session| session.id != repaired) {
            session.compare_soon();
        }
        self.sessions.wake_all();
    }

    /// Reports what an input of a peer changed. `before` is the document's last change before it.
    pub(super) fn note_changed(&mut self, before: u64) {
        if self.context.document.seq > before {
            self.context.events.note_changed(before);
        }
        self.context.note_forgotten();
    }
}
