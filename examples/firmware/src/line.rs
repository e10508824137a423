//! The session on the serial line: when it begins, and when it begins again.

use crdt_core::{CapacityError, Connect, Output, Role, SessionId};
use static_cell::StaticCell;
use transport_serial::{Counters, FRAME_LEN_MAX, Input, Link, SendError, Timing};

use crate::GATEWAY;
use crate::board::uptime_ms;
use crate::device::{NOW, Pump};
use crate::uart::Uart;

/// The line to the gateway, with at most one session on it.
pub struct Line {
    uart: Uart,
    /// One frame under way in each direction: the least memory.
    link: Link<1, 0>,
    session: Option<SessionId>,
    /// When the replica was done with a session, in milliseconds since the start.
    closed_at_ms: Option<u32>,
    /// Frames that the core took for a breach of the protocol.
    refused: u32,
    sessions: u32,
}

impl Line {
    /// The line, at its beginning; once. Not inlined: the stack is to forget the copy that this leaves there.
    #[inline(never)]
    pub(crate) fn open(uart: Uart, random: u32) -> &'static mut Self {
        static LINE: StaticCell<Line> = StaticCell::new();
        let line = LINE.init_with(|| {
            let link = Link::initiator(TIMING, random);
            Self { uart, link, session: None, closed_at_ms: None, refused: 0, sessions: 0 }
        });
        line.link.begin();
        line
    }

    /// Takes what came in, and begins a session where there is none, or none that works.
    pub(crate) fn receive(&mut self, pump: &mut Pump) -> Result<(), CapacityError> {
        if self.closed_at_ms.is_some_and(|at| uptime_ms().wrapping_sub(at) >= PATIENCE_MS) {
            self.closed_at_ms = None;
            self.link.begin();
        }
        // What the link has to say may come without a byte: that nobody answers.
        let mut byte = None;
        loop {
            let mut bytes = byte.as_slice();
            while let Some(input) = self.link.receive(&mut bytes) {
                match (input, self.session) {
                    (Input::Frame(frame), Some(session)) => {
                        // The session is closed then, and the replica says so by an output.
                        self.refused += u32::from(pump.handle_frame(NOW, session, frame).is_err());
                    }
                    (Input::Frame(_), None) => {}
                    (Input::Begun, before) => {
                        before.into_iter().for_each(|session| pump.disconnect(session));
                        self.sessions += 1;
                        self.closed_at_ms = None;
                        self.session = Some(pump.connect(UPLINK)?);
                    }
                    (Input::Over(_), before) => {
                        before.into_iter().for_each(|session| pump.disconnect(session));
                        self.session = None;
                        self.closed_at_ms = None;
                        self.link.begin();
                    }
                }
            }
            byte = self.uart.receive();
            if byte.is_none() {
                return Ok(());
            }
        }
    }

    /// What the replica wants done next. While the line has no capacity for a frame, nothing but what is to be saved.
    pub(crate) fn poll(&self, pump: &mut Pump, frame: &mut [u8]) -> Option<Output> {
        let has_capacity = self.link.has_capacity() || pump.has_unsaved();
        has_capacity.then(|| pump.poll_output(NOW, frame)).flatten()
    }

    /// Takes a frame of the session. Of a connection that has just ended it is dropped: the next one begins anew.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<(), SendError> {
        match self.link.send(frame) {
            Err(SendError::Closed) => Ok(()),
            result => result,
        }
    }

    /// Writes to the port what is to be said.
    pub(crate) fn transmit(&mut self) {
        while let Some(bytes) = self.link.poll_line(uptime_ms()) {
            self.uart.send(bytes);
        }
    }

    /// The replica is done with a session; another one begins when patience is over.
    pub(crate) fn close(&mut self, session: SessionId) {
        if self.session == Some(session) {
            self.session = None;
            self.closed_at_ms = Some(uptime_ms());
        }
    }

    /// What the line has seen, sessions that began, and frames that the core refused.
    pub(crate) fn counters(&self) -> (Counters, u32, u32) {
        (self.link.counters(), self.sessions, self.refused)
    }
}

/// To the document, the gateway is what an aggregator is to others: it verifies this copy, and what it acknowledges is on
/// its disk.
const UPLINK: Connect = Connect::initiator(GATEWAY, Role::Aggregator, 0);

/// For an emulated port, which has no speed. A product says `Timing::for_baud(115_200)`.
const TIMING: Timing = Timing { repeat_ms: 200, repeats_max: 5 };
/// How long after a breach of the protocol another session is tried.
const PATIENCE_MS: u32 = 400;

const _: () = assert!(FRAME_LEN_MAX >= crdt_core::limits::FRAME_LEN_MIN, "the core needs as much");
