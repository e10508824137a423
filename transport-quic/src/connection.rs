//! One connection of a link: QUIC's half, ours, and what is to be reported.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{ConnectionError, ConnectionHandle, Event, StreamEvent, TransportErrorCode};

use crate::cause::{Cause, Frames, MessageKind, Shares};
use crate::config::{Config, MESSAGE_LEN_MAX};
use crate::error::SendError;
use crate::event::{CloseCode, CloseReason, ConnectionId, LinkEvent, MessageId};
use crate::faults::Fault;
use crate::hold::{Arrival, Hold};
use crate::identity::PublicKey;
use crate::inbox::{Inbox, PeerError};
use crate::ledger::{Ledger, header_bytes};
use crate::outbox::{Full, Outbox};
use crate::roaming::Route;
use crate::tls::{self, Pin};

/// A snapshot of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Where the peer is now. A server follows its clients.
    pub remote: SocketAddr,
    /// Who the peer is, once it is connected.
    pub peer: Option<PublicKey>,
    /// The estimated round trip; [`Config::initial_rtt`] until one was measured.
    pub rtt: Duration,
    /// Packets believed lost since the last change of path.
    pub lost_packets: u64,
    /// Bytes of messages that are not known to be delivered, 64 for each message included.
    pub queued_bytes: usize,
    /// What it has cost so far.
    pub ledger: Ledger,
}

pub(crate) struct Connection {
    pub(crate) quic: quinn_proto::Connection,
    pub(crate) handle: ConnectionHandle,
    pub(crate) ledger: Ledger,
    /// The time under which the link has noted this connection.
    pub(crate) timer: Option<Instant>,
    /// Whether it stands in the link's queue of connections that may have something to transmit.
    pub(crate) is_dirty: bool,
    /// Whether it stands in the link's queue of connections that may have something to report.
    pub(crate) is_ready: bool,
    /// Whether the link counts it as a handshake of its server.
    pub(crate) is_counted_handshake: bool,
    /// Whether QUIC's endpoint has forgotten it. It transmits nothing any more.
    pub(crate) is_drained: bool,
    /// What was not in order, until the link counts it.
    pub(crate) faults: Vec<Fault>,
    id: ConnectionId,
    route: Route,
    state: State,
    /// Of a connection that was started here.
    pin: Option<Arc<Pin>>,
    peer: Option<PublicKey>,
    outbox: Outbox,
    inbox: Inbox,
    hold: Hold,
    /// Whether the peer ended it: then there is nothing more to say.
    is_closed_by_peer: bool,
    /// The peer, until its connection is reported.
    unreported_peer: Option<PublicKey>,
    /// Whether the inbox may have a message.
    is_readable: bool,
    /// A message that was taken over to see what kind it is, and waits for its turn.
    ahead: Option<Vec<u8>>,
    /// Whether QUIC told of something that had not been received before.
    has_news: bool,
    kind_of: fn(&[u8]) -> MessageKind,
    /// What is in the datagram that the route holds back.
    held_frames: Frames,
    /// When it was last given a time.
    now: Instant,
    /// When a datagram of the peer came, or a message was sent.
    active_at: Instant,
}

impl Connection {
    pub(crate) fn new(
        now: Instant,
        id: ConnectionId,
        (handle, quic): (ConnectionHandle, quinn_proto::Connection),
        route: Route,
        pin: Option<Arc<Pin>>,
        config: &Config,
        kind_of: fn(&[u8]) -> MessageKind,
    ) -> Self {
        Self {
            handle,
            ledger: Ledger::default(),
            timer: None,
            is_dirty: false,
            is_ready: false,
            is_counted_handshake: pin.is_none(),
            is_drained: false,
            faults: Vec::new(),
            id,
            route,
            state: State::Handshake { since: now, deadline: now.checked_add(config.handshake_timeout) },
            pin,
            peer: None,
            outbox: Outbox::new(config.send_window_bytes as usize),
            inbox: Inbox::new(quic.side()),
            hold: Hold::new(config.hold_max),
            is_closed_by_peer: false,
            unreported_peer: None,
            is_readable: false,
            ahead: None,
            has_news: false,
            kind_of,
            held_frames: Frames::default(),
            now,
            active_at: now,
            quic,
        }
    }

    /// Notes the time. Everything that happens until the next call happens now.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    /// Does what is due. See [`Connection::poll_timeout`] for `is_limited`.
    pub(crate) fn handle_timeout(&mut self, is_limited: bool) {
        if !self.rests(is_limited) {
            self.quic.handle_timeout(self.now);
        }
        self.route.handle_timeout(self.now);
        if self.hold.deadline().is_some_and(|deadline| deadline <= self.now) {
            tracing::warn!(conn = %self.id, "messages are not durable for too long");
            self.close(
                CloseCode::Overloaded.into(),
                "messages were not made durable in time; connect again later",
            );
        }
    }

    /// Where the peer is.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.route.address()
    }

    /// Whether a datagram from this address may be for this connection.
    pub(crate) fn accepts(&self, from: SocketAddr) -> bool {
        self.route.accepts(from)
    }

    /// Forgets what was measured of the path.
    pub(crate) fn path_changed(&mut self) {
        self.quic.path_changed(self.now);
    }

    /// Takes over what QUIC has to report, and gives it what it can send now.
    pub(crate) fn advance(&mut self) {
        while let Some(event) = self.quic.poll() {
            self.on_quic_event(event);
        }
        if !self.is_ended() {
            let pumped = self.outbox.pump(&mut self.quic, self.route.capacity());
            self.route.gave(pumped.bytes);
            if pumped.is_held_back && self.route.wants_proof(self.now) {
                self.quic.ping();
            }
            self.hold.note_unread(self.now, self.is_readable || self.ahead.is_some());
        }
    }

    pub(crate) fn send(&mut self, message: &[u8]) -> Result<MessageId, SendError> {
        if self.is_ended() {
            return Err(SendError::Closed { conn: self.id });
        }
        if message.len() > MESSAGE_LEN_MAX {
            return Err(SendError::TooLong { len: message.len(), limit: MESSAGE_LEN_MAX });
        }
        let was_idle = self.outbox.queued() == 0;
        let id = self
            .outbox
            .push(message, (self.kind_of)(message))
            .map_err(|Full { queued, limit }| SendError::Full { queued, limit })?;
        let silence = self.now.saturating_duration_since(self.active_at);
        if was_idle && silence >= RADIO_SLEEP_MIN && !self.is_handshaking() {
            self.path_changed();
        }
        self.active_at = self.now;
        Ok(id)
    }

    /// So many of the messages that were reported are durable.
    pub(crate) fn release(&mut self, messages: u64) {
        self.hold.release(self.now, messages);
    }

    /// Closes from this side. Nothing that waits is sent or reported any more.
    pub(crate) fn close(&mut self, code: u32, text: &str) {
        if !self.is_ended() {
            self.end(code, text, CloseReason::Local { code });
        }
    }

    /// Gives up without a word to the peer.
    pub(crate) fn abandon(&mut self, reason: CloseReason) {
        self.is_drained = true;
        if !self.is_ended() {
            self.forget_reports();
            self.state = State::Ended { reason: self.has_been_told().then_some(reason) };
        }
    }

    /// The next thing to report, in this order: connected, messages, delivered, then the end. What the peer says
    /// about a message comes before its acknowledgement, if both came together.
    pub(crate) fn poll_event(&mut self) -> Option<LinkEvent> {
        let conn = self.id;
        if let Some(peer) = self.unreported_peer.take() {
            return Some(LinkEvent::Connected { conn, peer, initiated: self.is_initiated() });
        }
        if let Some(message) = self.ahead.take() {
            self.hold.took(self.now);
            return Some(LinkEvent::Message { conn, message });
        }
        if self.is_readable {
            match self.inbox.poll(&mut self.quic) {
                Ok(Some(message)) => {
                    self.hold.took(self.now);
                    return Some(LinkEvent::Message { conn, message });
                }
                Ok(None) => self.is_readable = false,
                Err(error) => self.fail(error),
            }
        }
        if let Some(id) = self.outbox.poll_delivered() {
            return Some(LinkEvent::Delivered { conn, id });
        }
        match &mut self.state {
            State::Ended { reason } => reason.take().map(|reason| LinkEvent::Closed { conn, reason }),
            State::Established | State::Handshake { .. } => None,
        }
    }

    /// When [`Connection::is_overdue`], [`Connection::is_put_off_due`] or QUIC's own timeout is next to be looked at.
    /// `is_limited` where the link may transmit nothing.
    pub(crate) fn poll_timeout(&mut self, is_limited: bool) -> Option<Instant> {
        if self.is_drained {
            return None;
        }
        let deadline = match self.state {
            State::Handshake { deadline, .. } => deadline,
            State::Established => self.hold.deadline(),
            State::Ended { .. } => None,
        };
        let quic = if self.rests(is_limited) { None } else { self.quic.poll_timeout() };
        [quic, self.route.poll_timeout(), deadline, self.hold.put_off_until()].into_iter().flatten().min()
    }

    /// Whether QUIC's timers rest, because nothing that they want may leave: each probe that is due in the meantime would
    /// be made up for. A connection that has ended has nothing to probe for, and ends by a timer.
    fn rests(&self, is_limited: bool) -> bool {
        (is_limited || self.hold.is_on()) && !self.is_ended()
    }

    /// Whether it says nothing until messages are durable.
    fn is_silenced(&self) -> bool {
        self.hold.is_on() && !self.is_ended()
    }

    /// How long the handshake has been tried, if that is too long.
    pub(crate) fn is_overdue(&self) -> Option<Duration> {
        match self.state {
            State::Handshake { since, deadline: Some(deadline) } if deadline <= self.now => {
                Some(self.now.saturating_duration_since(since))
            }
            _ => None,
        }
    }

    /// Puts a datagram off, or gives it back where it is to be [received](Self::receive) now, after those that were put
    /// off before.
    pub(crate) fn put_off(&mut self, arrival: Arrival, is_limited: bool) -> Option<Arrival> {
        // Under a limit nothing can be said before it.
        if is_limited || self.is_ended() { Some(arrival) } else { self.hold.put_off(self.now, arrival) }
    }

    /// The next datagram that was put off.
    pub(crate) fn take_put_off(&mut self) -> Option<Arrival> {
        self.hold.take_put_off()
    }

    /// Whether what was put off is to be received now.
    pub(crate) fn is_put_off_due(&self) -> bool {
        self.hold.put_off_until().is_some_and(|until| until <= self.now)
    }

    pub(crate) fn has_reports(&self) -> bool {
        self.unreported_peer.is_some()
            || self.ahead.is_some()
            || self.is_readable
            || self.outbox.has_delivered()
            || matches!(self.state, State::Ended { reason: Some(_) })
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Handshake { .. })
    }

    /// Whether it was begun here, and nothing has come back yet.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.is_initiated() && self.is_handshaking() && self.ledger.received.total().packets == 0
    }

    pub(crate) fn is_initiated(&self) -> bool {
        self.pin.is_some()
    }

    /// Gives QUIC a datagram that came in, and tells what it was for.
    pub(crate) fn receive(&mut self, arrival: Arrival) -> Shares {
        let Arrival { from, event, ip_bytes, header_bytes } = arrival;
        let (is_handshake, was_ended) = (self.peer.is_none(), self.is_ended());
        let before = self.quic.stats().frame_rx;
        let opened_before = self.route.opened();
        self.has_news = false;
        self.active_at = self.now;
        self.quic.handle_event(event);
        let frames = Frames::between(&before, &self.quic.stats().frame_rx);
        let opened = self.route.opened().zip(opened_before).map(|(now, before)| now.since(before));
        self.route.received(from, ip_bytes);
        self.advance();
        // What comes after the end, or tells it, is not decrypted.
        if !was_ended && !self.is_ended() {
            self.faults.extend(opened.unwrap_or_default().fault(&frames));
        }
        if is_handshake {
            return Shares::all(Cause::Handshake, ip_bytes);
        }
        let cause = match self.has_news {
            _ if frames.streams == 0 => Cause::Unrouted,
            true => self.kind_of_next().into(),
            false => Cause::Retransmissions,
        };
        Shares::split(ip_bytes, header_bytes, &frames, |rest, _, to| to[cause as usize] += rest)
    }

    /// Writes the next datagram into the empty buffer, and gives its destination and what it is for.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        buffer: &mut Vec<u8>,
    ) -> Option<(SocketAddr, Shares)> {
        if self.is_drained || self.is_closed_by_peer || self.is_silenced() {
            return None;
        }
        let frames = match self.route.take_held() {
            Some(datagram) => {
                *buffer = datagram;
                self.held_frames
            }
            None => {
                let before = self.quic.stats().frame_tx;
                // It is in the buffer; its destination is the route's business.
                if self.quic.poll_transmit(now, 1, buffer).is_none() {
                    // An acknowledgement that is overdue leaves first.
                    if self.quic.poll_timeout().is_none_or(|at| at > now) {
                        self.hold.note_spoken(now);
                    }
                    return None;
                }
                Frames::between(&before, &self.quic.stats().frame_tx)
            }
        };
        if !self.route.admit(now, buffer) {
            self.held_frames = frames;
            self.hold.note_spoken(now);
            return None;
        }
        let to = self.route.address();
        let header = header_bytes(to);
        let ip_bytes = header + buffer.len() as u64;
        let fresh = self.outbox.fresh();
        let shares = Shares::split(ip_bytes, header, &frames, |rest, count, to| fresh.take(rest, count, to));
        // What leaves before the other side has proved itself is the handshake's, messages that ride along too.
        Some((to, if self.peer.is_some() { shares } else { Shares::all(Cause::Handshake, ip_bytes) }))
    }

    /// The kind of the message that the application gets next. A message that is not complete yet is a long one, and
    /// those have content.
    fn kind_of_next(&mut self) -> MessageKind {
        if self.ahead.is_none() && self.is_readable {
            match self.inbox.poll(&mut self.quic) {
                Ok(message) => self.ahead = message,
                Err(error) => self.fail(error),
            }
        }
        self.ahead.as_deref().map_or(MessageKind::Cells, self.kind_of)
    }

    pub(crate) fn stats(&self) -> ConnectionStats {
        let path = self.quic.stats().path;
        ConnectionStats {
            remote: self.route.address(),
            peer: self.peer,
            rtt: path.rtt,
            lost_packets: path.lost_packets,
            queued_bytes: self.outbox.queued(),
            ledger: self.ledger,
        }
    }

    fn on_quic_event(&mut self, event: Event) {
        if self.is_ended() {
            return;
        }
        match event {
            Event::Connected => match tls::peer_key(&self.quic) {
                Some(peer) => {
                    self.peer = Some(peer);
                    self.route.established();
                    self.state = State::Established;
                    self.unreported_peer = Some(peer);
                }
                None => self.fail(PeerError::NoKey),
            },
            Event::ConnectionLost { reason } => {
                self.is_closed_by_peer = matches!(
                    reason,
                    ConnectionError::ApplicationClosed(_) | ConnectionError::ConnectionClosed(_)
                );
                if self.is_handshaking() {
                    self.faults.push(Fault::HandshakeRefused);
                }
                let reason = self.close_reason(reason);
                tracing::debug!(conn = %self.id, %reason, "connection ended");
                // The peer's last packet acknowledges whatever has arrived, also what it does not keep.
                self.outbox.forget_delivered();
                self.state = State::Ended { reason: self.has_been_told().then_some(reason) };
            }
            Event::Stream(StreamEvent::Opened { .. } | StreamEvent::Readable { .. }) => {
                self.is_readable = true;
                self.has_news = true;
            }
            Event::Stream(StreamEvent::Finished { id }) => {
                self.outbox.acknowledged(id);
            }
            Event::Stream(StreamEvent::Stopped { .. }) => self.fail(PeerError::Stopped),
            // `advance` offers QUIC all it takes after every event, so these tell nothing new.
            Event::Stream(StreamEvent::Writable { .. } | StreamEvent::Available { .. })
            | Event::HandshakeDataReady
            | Event::DatagramReceived
            | Event::DatagramsUnblocked => {}
        }
    }

    fn fail(&mut self, error: PeerError) {
        self.faults.push(match error {
            PeerError::NoKey => Fault::HandshakeRefused,
            PeerError::Reset | PeerError::Stopped => Fault::MessageBroken,
            PeerError::TooLong => Fault::MessageOversized,
        });
        let detail = error.to_string();
        tracing::debug!(conn = %self.id, detail, "the peer broke the protocol");
        let code = CloseCode::ProtocolError.into();
        self.end(code, &detail.clone(), CloseReason::Protocol { by_peer: false, detail });
    }

    fn end(&mut self, code: u32, text: &str, reason: CloseReason) {
        self.quic.close(self.now, code.into(), Bytes::copy_from_slice(text.as_bytes()));
        self.forget_reports();
        self.state = State::Ended { reason: self.has_been_told().then_some(reason) };
    }

    fn forget_reports(&mut self) {
        self.unreported_peer = None;
        self.outbox.forget_delivered();
        self.ahead = None;
        self.is_readable = false;
    }

    /// Whether the application knows this connection, so that it must learn of its end.
    fn has_been_told(&self) -> bool {
        self.is_initiated() || self.peer.is_some()
    }

    fn close_reason(&self, error: ConnectionError) -> CloseReason {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                CloseReason::ByPeer { code: close.error_code.into_inner(), text: text(&close.reason) }
            }
            ConnectionError::ConnectionClosed(close) => {
                let code = u64::from(close.error_code);
                if close.error_code == TransportErrorCode::CONNECTION_REFUSED || TLS_ALERTS.contains(&code) {
                    CloseReason::Refused { code, text: refusal(close.error_code, &close.reason) }
                } else {
                    CloseReason::Protocol { by_peer: true, detail: close.to_string() }
                }
            }
            ConnectionError::TransportError(error) => {
                match self.pin.as_ref().and_then(|pin| pin.mismatch()) {
                    Some((expected, presented)) => CloseReason::WrongServerKey { expected, presented },
                    None => CloseReason::Protocol { by_peer: false, detail: error.to_string() },
                }
            }
            ConnectionError::Reset => CloseReason::Reset,
            ConnectionError::VersionMismatch => CloseReason::VersionMismatch,
            ConnectionError::CidsExhausted | ConnectionError::LocallyClosed | ConnectionError::TimedOut => {
                CloseReason::Protocol { by_peer: false, detail: error.to_string() }
            }
        }
    }
}

/// The life of a connection, as the application sees it.
#[derive(Debug)]
enum State {
    Handshake {
        since: Instant,
        deadline: Option<Instant>,
    },
    Established,
    /// `reason` is what is still to be reported.
    Ended {
        reason: Option<CloseReason>,
    },
}

fn refusal(code: TransportErrorCode, reason: &[u8]) -> String {
    if reason.is_empty() { code.to_string() } else { text(reason) }
}

/// Words of a peer, made printable and short.
fn text(bytes: &[u8]) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    String::from_utf8_lossy(bytes).chars().take(PEER_TEXT_CHARS_MAX).map(printable).collect()
}

/// After so long a silence a radio may sleep, and the first round trip takes seconds. What was measured before would
/// take that for a loss and repeat the packet, so it is forgotten. It costs no byte; the price is that a packet that
/// is really lost then is repeated after three times the initial round trip.
const RADIO_SLEEP_MIN: Duration = Duration::from_secs(10);
/// QUIC error codes that carry a TLS alert (RFC 9001, section 4.8).
const TLS_ALERTS: std::ops::RangeInclusive<u64> = 0x100..=0x1ff;
/// Most characters kept of a peer's words.
const PEER_TEXT_CHARS_MAX: usize = 256;
