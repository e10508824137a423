//! The session on the serial line: when it begins, and when it begins again.

use crdt_core::{CapacityError, Connect, SessionId, Time};
use device_io::{Counters, FrameTooLong, Input, Link};

use crate::AGGREGATOR;
use crate::application::is_delivered;
use crate::board::{Random, uptime_ms};
use crate::device::Pump;
use crate::uart::Uart;

/// The line to the gateway, with at most one session on it.
pub struct Line {
    uart: Uart,
    link: Link,
    session: Option<SessionId>,
    /// When there was last nothing to wait for, in milliseconds since the start.
    content_at_ms: u32,
    /// What the peer had acknowledged then.
    acknowledged: Time,
    /// Frames that the core took for a breach of the protocol.
    refused: u32,
    sessions: u32,
}

impl Line {
    pub(crate) fn new(uart: Uart, connection: u8) -> Self {
        let link = Link::initiator(connection);
        Self {
            uart,
            link,
            session: None,
            content_at_ms: 0,
            acknowledged: Time::ZERO,
            refused: 0,
            sessions: 0,
        }
    }

    /// Takes what came in, and begins a session where there is none, or none that works.
    pub(crate) fn work(&mut self, pump: &mut Pump, random: &mut Random) -> Result<(), CapacityError> {
        while let Some(byte) = self.uart.receive() {
            match (self.link.receive(byte), self.session) {
                (Some(Input::Frame(frame) | Input::Begin(frame)), Some(session)) => {
                    // The session is closed then, and the replica says so by an output.
                    self.refused += u32::from(pump.handle_frame(random.moment(), session, frame).is_err());
                }
                (Some(Input::Over), _) => self.begin(pump)?,
                (Some(_) | None, _) => {}
            }
        }
        // Lost for good is what nobody acknowledges: a line does not say that its other end is gone.
        let acknowledged = pump.acknowledged_through(AGGREGATOR);
        if acknowledged != self.acknowledged || (is_delivered(pump) && pump.is_connected(AGGREGATOR)) {
            self.acknowledged = acknowledged;
            self.content_at_ms = uptime_ms();
        }
        if self.sessions == 0 || uptime_ms().wrapping_sub(self.content_at_ms) > PATIENCE_MS {
            self.begin(pump)?;
        }
        Ok(())
    }

    /// Sends a frame of the session.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<(), FrameTooLong> {
        self.uart.send(self.link.send(frame)?);
        Ok(())
    }

    /// The replica is done with a session; another one begins when patience is over.
    pub(crate) fn close(&mut self, session: SessionId) {
        self.session = self.session.filter(|current| *current != session);
    }

    /// What the line has seen, sessions that began, and frames that the core refused.
    pub(crate) fn counters(&self) -> (Counters, u32, u32) {
        (self.link.counters(), self.sessions, self.refused)
    }

    fn begin(&mut self, pump: &mut Pump) -> Result<(), CapacityError> {
        if let Some(session) = self.session.take() {
            pump.disconnect(session);
        }
        self.link.begin();
        self.sessions += 1;
        self.content_at_ms = uptime_ms();
        self.session = Some(pump.connect(UPLINK)?);
        Ok(())
    }
}

const UPLINK: Connect =
    Connect { peer: AGGREGATOR, with_aggregator: true, initiator: true, confirmed: true, handle: 0 };

/// How long a write may go without acknowledgement before the session begins again.
const PATIENCE_MS: u32 = 400;
