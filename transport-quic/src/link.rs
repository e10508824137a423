//! One UDP socket's worth of connections, without the socket.

mod incoming;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::{
    ClientConfig, ConnectionHandle, Endpoint, EndpointConfig, EndpointEvent, NoneTokenStore, ServerConfig,
    TransportConfig, ValidationTokenConfig,
};
use ring::{hkdf, hmac};

use crate::cause::{Cause, MessageKind, Shares};
use crate::cid::{CLIENT_CID_LEN, INITIAL_CID_LEN, SERVER_CID_LEN, SeededIds};
use crate::config::Config;
use crate::connection::{Connection, ConnectionStats};
use crate::error::{ConnectError, SendError};
use crate::event::{CloseReason, ConnectionId, LinkEvent, MessageId};
use crate::faults::{Fault, Faults};
use crate::identity::{Identity, PublicKey};
use crate::ledger::{IPV6_UDP_HEADER_BYTES, Ledger, ip_bytes};
use crate::roaming::Route;
use crate::tls::{self, Pin, Tls};

/// The connections behind one UDP socket, as a state machine: datagrams and times go in, datagrams and events come
/// out. It never reads a clock, a socket or a random source of its own.
///
/// The caller's loop is, in this order:
/// 1. hand over what came in: all waiting datagrams ([`Link::handle_datagram`]), calls like [`Link::send`], and
///    [`Link::handle_timeout`] if its time has come;
/// 2. take events with [`Link::poll_event`] until there is none, or until there is no capacity for more. Events that are
///    not taken hold the peer back: nothing is buffered beyond the receive window;
/// 3. take datagrams with [`Link::poll_transmit`] until there is none;
/// 4. wait until [`Link::poll_timeout`], or until something comes in.
///
/// Handing over all waiting datagrams before step 3 saves bytes: one acknowledgement answers all of them.
///
/// Time, memory: a call costs work for the connection it is about, not for the others (their number enters as a
/// logarithm). A connection keeps about 30 kB, and at most its two windows and one message beside that.
///
/// Runs repeat: with the same seed and the same calls, the same datagrams of the same lengths come out. Their content
/// differs, because the TLS library draws its ephemeral keys from the operating system and cannot be seeded.
pub struct Link {
    endpoint: Endpoint,
    /// Of a link that accepts connections.
    server: Option<Arc<ServerConfig>>,
    tls: Tls,
    transport: Arc<TransportConfig>,
    config: Config,
    public_key: PublicKey,
    ids: SeededIds,
    cid_len: usize,
    connections: BTreeMap<ConnectionId, Connection>,
    by_handle: HashMap<ConnectionHandle, ConnectionId>,
    next_id: u64,
    /// Handshakes of the server that are under way.
    handshakes: usize,
    /// One entry for each connection that has a timer.
    timers: BTreeSet<(Instant, ConnectionId)>,
    /// Connections that may have something to transmit; one entry for each with `is_dirty`.
    dirty: VecDeque<ConnectionId>,
    /// Connections that may have something to report; one entry for each with `is_ready`.
    ready: VecDeque<ConnectionId>,
    /// Datagrams that belong to no connection: resets and refusals.
    responses: VecDeque<Response>,
    ledger: Ledger,
    faults: Faults,
    /// The latest time that a call gave; for those that give none.
    latest: Option<Instant>,
    /// The ledger's total beyond which nothing is transmitted.
    limit_bytes: Option<u64>,
    kind_of: fn(&[u8]) -> MessageKind,
}

/// A datagram to send. Its bytes are in the buffer given to [`Link::poll_transmit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a datagram that is not sent is lost"]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// Its length in bytes: the UDP payload.
    pub len: usize,
}

impl Link {
    /// A link that starts connections and accepts none. Its packets to a server carry 4 bytes of connection id, and
    /// those from the server none; so it has one connection to an address at a time.
    ///
    /// `rng_seed` must be unpredictable, except in a simulation, and it must be another one for each link and at each
    /// start: a server takes packets of two links with one seed for packets of the same connection.
    #[must_use]
    pub fn client(identity: Identity, config: Config, rng_seed: [u8; 32]) -> Self {
        Self::new(&identity, config, None, rng_seed)
    }

    /// A link that accepts connections, and can start some too.
    ///
    /// `reset_key` is secret and stays the same over restarts: with it, a restarted server tells clients of the
    /// former process at once that their connections are gone. `rng_seed` must be unpredictable, except in a
    /// simulation, and new at each start.
    #[must_use]
    pub fn server(identity: Identity, config: Config, reset_key: [u8; 32], rng_seed: [u8; 32]) -> Self {
        Self::new(&identity, config, Some(reset_key), rng_seed)
    }

    fn new(identity: &Identity, config: Config, reset_key: Option<[u8; 32]>, rng_seed: [u8; 32]) -> Self {
        let config = config.in_range();
        let tls = Tls::new(identity);
        let transport = config.transport();
        let cid_len = if reset_key.is_some() { SERVER_CID_LEN } else { CLIENT_CID_LEN };
        let ids = SeededIds::new(rng_seed, cid_len);
        // A client has no ids to reset, but QUIC wants a key all the same.
        let reset_key = reset_key.unwrap_or_else(|| ids.bytes());
        let endpoint_seed = ids.bytes();

        let mut endpoint = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &reset_key)));
        let generator = ids.clone();
        endpoint
            .cid_generator(move || Box::new(generator.clone()))
            .rng_seed(Some(endpoint_seed))
            .min_reset_interval(RESET_INTERVAL_MIN);
        let server = (cid_len == SERVER_CID_LEN).then(|| {
            // Only tokens would use this key, and none are made.
            let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&reset_key);
            let mut tokens = ValidationTokenConfig::default();
            tokens.sent(0);
            let mut server = ServerConfig::new(tls.server(), Arc::new(token_key));
            server.transport_config(transport.clone()).validation_token_config(tokens);
            Arc::new(server)
        });
        let is_mtu_discovery_allowed = false;
        Self {
            endpoint: Endpoint::new(Arc::new(endpoint), server.clone(), is_mtu_discovery_allowed, None),
            server,
            tls,
            transport,
            config,
            public_key: identity.public_key(),
            ids,
            cid_len,
            connections: BTreeMap::new(),
            by_handle: HashMap::new(),
            next_id: 0,
            handshakes: 0,
            timers: BTreeSet::new(),
            dirty: VecDeque::new(),
            ready: VecDeque::new(),
            responses: VecDeque::new(),
            ledger: Ledger::default(),
            faults: Faults::default(),
            latest: None,
            limit_bytes: None,
            kind_of: |_| MessageKind::Cells,
        }
    }

    /// Says how to tell what a message is for, by its bytes; for the ledger, and for connections that begin later.
    /// Without it all messages count as content. `kind_of` is called once for each message that is sent, and up to
    /// once for each datagram that comes in; it must not fail on any bytes.
    pub fn classify_messages(&mut self, kind_of: fn(&[u8]) -> MessageKind) {
        self.kind_of = kind_of;
    }

    /// Transmits nothing any more, acknowledgements included, that could bring the total of the [ledger](Self::ledger)
    /// above this, until another limit is set; `None` takes the limit away. What comes in counts too, but cannot be
    /// held back: it makes less room for what goes out. A datagram is held back where the longest one would not fit.
    /// QUIC's timers rest meanwhile, so that nothing is saved up; time limits of handshakes and holds do not.
    pub fn set_limit(&mut self, limit_bytes: Option<u64>) {
        self.limit_bytes = limit_bytes;
        let ids: Vec<_> = self.connections.keys().copied().collect();
        // What was held back is looked at again.
        ids.into_iter().for_each(|id| self.settle(id));
    }

    /// Starts a connection to a server that must have this key. Messages may be sent at once; they wait for the
    /// handshake, and leave only if the server has proved the key.
    ///
    /// # Errors
    /// [`ConnectError::AlreadyConnected`] on a client link with an open connection to that address;
    /// [`ConnectError::InvalidAddress`] where nothing can be.
    pub fn connect(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        expected: PublicKey,
    ) -> Result<ConnectionId, ConnectError> {
        self.note_time(now);
        if remote.port() == 0 || remote.ip().is_unspecified() {
            return Err(ConnectError::InvalidAddress { remote });
        }
        if self.cid_len == CLIENT_CID_LEN {
            self.make_way(now, remote)?;
        }
        let pin = Arc::new(Pin::new(expected));
        let mut client = ClientConfig::new(self.tls.client(pin.clone()));
        let ids = self.ids.clone();
        client
            .transport_config(self.transport.clone())
            .token_store(Arc::new(NoneTokenStore))
            .initial_dst_cid_provider(Arc::new(move || ids.id(INITIAL_CID_LEN)));
        let quic =
            self.endpoint.connect(now, client, self.alias(remote), tls::SERVER_NAME).map_err(|error| {
                match error {
                    quinn_proto::ConnectError::CidsExhausted => ConnectError::TooManyConnections,
                    _ => ConnectError::InvalidAddress { remote },
                }
            })?;
        let id = self.insert(now, quic, Route::fixed(remote), Some(pin));
        self.settle(id);
        Ok(id)
    }

    /// Sends a message. It is copied, and waits here while the peer gives no credit.
    ///
    /// # Errors
    /// [`SendError::Full`] where too much waits already: try again after the next `Delivered` event.
    pub fn send(&mut self, now: Instant, conn: ConnectionId, message: &[u8]) -> Result<MessageId, SendError> {
        self.note_time(now);
        let connection = self.connections.get_mut(&conn).ok_or(SendError::Closed { conn })?;
        connection.set_now(now);
        let id = connection.send(message)?;
        self.settle(conn);
        Ok(id)
    }

    /// Says that so many more of the messages that were reported of this connection are durable; see
    /// [`Config::hold_max`]. Without that it does nothing.
    pub fn release(&mut self, now: Instant, conn: ConnectionId, messages: u64) {
        self.with(now, conn, |connection| connection.release(messages));
    }

    /// Closes a connection: the peer is told the code and the text (up to about 1,000 bytes of it), once. Messages
    /// that are not delivered yet may be lost. Does nothing if the connection has ended.
    pub fn close(&mut self, now: Instant, conn: ConnectionId, code: u32, reason: &str) {
        self.with(now, conn, |connection| connection.close(code, reason));
    }

    /// Forgets a connection without telling the peer, which costs no byte: for a server that knows that the peer has
    /// given it up, because a newer connection of the same key came. The code goes into this side's `Closed` event.
    /// If the peer had not given it up, it is told of a reset when it sends next.
    pub fn abandon(&mut self, conn: ConnectionId, code: u32) {
        self.forget(conn, CloseReason::Local { code });
    }

    /// The system did not take a datagram to this address. A handshake that was begun here, and that nobody there has
    /// answered, ends with [`CloseReason::Unsent`]. To any other connection it is a lost packet.
    pub fn note_unsent(&mut self, to: SocketAddr, detail: &str) {
        let is_hopeless = |connection: &Connection| connection.is_unanswered() && connection.remote() == to;
        let found = self.connections.iter().find(|(_, connection)| is_hopeless(connection));
        if let Some(id) = found.map(|(&id, _)| id) {
            self.forget(id, CloseReason::Unsent { detail: detail.to_owned() });
        }
    }

    /// The path changed, to another network for instance. Call it before the first send then. It forgets what was
    /// measured of the path, so that a slow first round trip is not taken for a loss. After ten seconds of silence
    /// [`Link::send`] does this by itself, because the peer's radio, or ours, may sleep.
    pub fn path_changed(&mut self, now: Instant, conn: ConnectionId) {
        self.with(now, conn, Connection::path_changed);
    }

    /// Does what is due. Spurious calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.note_time(now);
        let is_limited = self.is_limited();
        let due: Vec<_> = self.timers.iter().take_while(|(at, _)| *at <= now).map(|&(_, id)| id).collect();
        for id in due {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            connection.set_now(now);
            match connection.is_overdue() {
                Some(after) => {
                    self.faults.count(Fault::HandshakeOverdue);
                    self.forget(id, CloseReason::HandshakeTimeout { after });
                }
                None => {
                    connection.handle_timeout(is_limited);
                    if connection.is_put_off_due() {
                        self.receive_put_off(id);
                    }
                    self.settle(id);
                }
            }
        }
    }

    /// Writes the next datagram to send into `buffer`, over what was in it.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Transmit> {
        self.note_time(now);
        buffer.clear();
        if self.is_limited() {
            return None;
        }
        if let Some(Response { to, datagram, cause }) = self.responses.pop_front() {
            let len = datagram.len();
            buffer.extend_from_slice(&datagram);
            self.ledger.sent.count(&Shares::all(cause, ip_bytes(to, len)));
            return Some(Transmit { to, len });
        }
        while let Some(&id) = self.dirty.front() {
            if let Some(connection) = self.connections.get_mut(&id) {
                if let Some((to, shares)) = connection.poll_transmit(now, buffer) {
                    connection.ledger.sent.count(&shares);
                    self.ledger.sent.count(&shares);
                    return Some(Transmit { to, len: buffer.len() });
                }
                connection.is_dirty = false;
            }
            self.dirty.pop_front();
            self.note(id);
        }
        None
    }

    /// The next event, at the latest time that another call was given. Connections take turns. Call [`Link::poll_transmit`] afterwards: a message that is taken may
    /// give the peer credit.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        while let Some(id) = self.ready.pop_front() {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            connection.is_ready = false;
            if let Some(latest) = self.latest {
                connection.set_now(latest);
            }
            let event = connection.poll_event();
            // Puts it back into the queues that it belongs to, or drops it if this was its end.
            self.settle(id);
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// When [`Link::handle_timeout`] is to be called next, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// What all connections have cost since the link began, and what belonged to none.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// What came in that was not in order, since the link began.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults
    }

    /// A snapshot of one connection, or `None` once its end has been reported.
    #[must_use]
    pub fn stats(&self, conn: ConnectionId) -> Option<ConnectionStats> {
        let connection = self.connections.get(&conn)?;
        (!connection.is_ended() || connection.has_reports()).then(|| connection.stats())
    }

    /// The connections that are open or in their handshake, oldest first.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.connections.iter().filter(|(_, connection)| !connection.is_ended()).map(|(&id, _)| id)
    }

    /// Our own key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// The address that QUIC knows a peer by. See [`roaming`](crate::roaming).
    fn alias(&self, real: SocketAddr) -> SocketAddr {
        if self.cid_len == CLIENT_CID_LEN { real } else { PEER_ALIAS }
    }

    fn insert(
        &mut self,
        now: Instant,
        (handle, quic): (ConnectionHandle, quinn_proto::Connection),
        route: Route,
        pin: Option<Arc<Pin>>,
    ) -> ConnectionId {
        let id = ConnectionId(self.next_id);
        self.next_id += 1;
        self.by_handle.insert(handle, id);
        let connection = Connection::new(now, id, (handle, quic), route, pin, &self.config, self.kind_of);
        self.connections.insert(id, connection);
        id
    }

    fn with(&mut self, now: Instant, id: ConnectionId, change: impl FnOnce(&mut Connection)) {
        self.note_time(now);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.set_now(now);
            change(connection);
            self.settle(id);
        }
    }

    /// After anything happened to a connection: passes events on, and notes what it may want next.
    fn settle(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        while !connection.is_drained
            && let Some(event) = connection.quic.poll_endpoint_events()
        {
            if event.is_drained() {
                // From here on QUIC's endpoint may give the handle to another connection.
                connection.is_drained = true;
                self.by_handle.remove(&connection.handle);
            }
            if let Some(event) = self.endpoint.handle_event(connection.handle, event) {
                connection.quic.handle_event(event);
            }
        }
        connection.advance();
        if !connection.is_dirty && !connection.is_drained {
            connection.is_dirty = true;
            self.dirty.push_back(id);
        }
        self.note(id);
    }

    /// Brings the link's books about a connection up to date.
    fn note(&mut self, id: ConnectionId) {
        let is_limited = self.is_limited();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.faults.drain(..).for_each(|fault| self.faults.count(fault));
        if connection.is_ended() {
            // They came after the end, and are for nobody.
            while let Some(arrival) = connection.take_put_off() {
                let shares = Shares::all(Cause::Unrouted, arrival.ip_bytes);
                connection.ledger.received.count(&shares);
                self.ledger.received.count(&shares);
            }
        }
        let timer = connection.poll_timeout(is_limited);
        if timer != connection.timer {
            if let Some(at) = connection.timer {
                self.timers.remove(&(at, id));
            }
            if let Some(at) = timer {
                self.timers.insert((at, id));
            }
            connection.timer = timer;
        }
        if connection.is_counted_handshake && !connection.is_handshaking() {
            connection.is_counted_handshake = false;
            self.handshakes -= 1;
        }
        if connection.has_reports() {
            if !connection.is_ready {
                connection.is_ready = true;
                self.ready.push_back(id);
            }
        } else if connection.is_drained && connection.is_ended() {
            self.connections.remove(&id);
        }
    }

    /// Ends a connection without a datagram.
    fn forget(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !connection.is_drained {
            let _ = self.endpoint.handle_event(connection.handle, EndpointEvent::drained());
            self.by_handle.remove(&connection.handle);
        }
        connection.abandon(reason);
        self.note(id);
    }

    /// Before a client link connects to an address: an ended connection there gives way, an open one does not.
    fn make_way(&mut self, now: Instant, remote: SocketAddr) -> Result<(), ConnectError> {
        let there: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| !connection.is_drained && connection.remote() == remote)
            .map(|(&id, _)| id)
            .collect();
        for conn in there {
            let Some(connection) = self.connections.get_mut(&conn) else { continue };
            if !connection.is_ended() {
                return Err(ConnectError::AlreadyConnected { conn, remote });
            }
            // Its last words still leave, if there is capacity for them.
            let mut datagram = Vec::new();
            if self.responses.len() < RESPONSES_MAX
                && let Some((to, shares)) = connection.poll_transmit(now, &mut datagram)
            {
                connection.ledger.sent.count(&shares);
                self.responses.push_back(Response { to, datagram, cause: shares.dominating });
            }
            self.forget(conn, CloseReason::Reset);
        }
        Ok(())
    }

    /// Whether the longest datagram would bring the ledger above the limit.
    fn is_limited(&self) -> bool {
        let longest = IPV6_UDP_HEADER_BYTES + DATAGRAM_LEN_MAX;
        self.limit_bytes.is_some_and(|limit| self.ledger.bytes().saturating_add(longest) > limit)
    }

    fn note_time(&mut self, now: Instant) {
        self.latest = self.latest.max(Some(now));
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("public_key", &self.public_key)
            .field("config", &self.config)
            .field("connections", &self.connections.len())
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

/// A datagram that QUIC's endpoint, not a connection, wants to send.
#[derive(Debug)]
struct Response {
    to: SocketAddr,
    datagram: Vec<u8>,
    cause: Cause,
}

/// What QUIC knows the peers of a server by, all of them; connection ids tell them apart.
const PEER_ALIAS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
/// The longest datagram that is sent, in bytes of UDP payload: there is no path-MTU discovery.
const DATAGRAM_LEN_MAX: u64 = 1200;
/// Most datagrams of no connection that wait to be sent.
const RESPONSES_MAX: usize = 64;
/// Least time between two stateless resets. Short, because after a restart a whole fleet waits for its resets; not
/// zero, because two hosts must not be talked into resetting each other as fast as they can.
const RESET_INTERVAL_MIN: std::time::Duration = std::time::Duration::from_millis(1);
