//! A device: a client link over real UDP, and a replica that keeps its state in memory.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crdt_core::{
    Config as ReplicaConfig, Connect, DocumentName, Event, Heap, Moment, Output, Path, PeerId, Replica, Role,
    SessionId, Time, Value, Write,
};
use tokio::time::{Instant, timeout_at};
use transport_quic::{
    CloseReason, Config, ConnectionId, Driver, EventReceiver, Handle, Identity, Link, LinkEvent, PublicKey,
};

use crate::process::Aggregator;

pub(crate) struct Device {
    identity: Identity,
    link: Handle,
    link_events: EventReceiver,
    pub(crate) replica: Replica<Heap, ChaCha12Rng>,
    pub(crate) connection: Option<(ConnectionId, SessionId)>,
    /// Why the last connection ended.
    pub(crate) closed: Option<CloseReason>,
    pub(crate) events: Vec<Event>,
    /// Messages of this connection that the transport took, and how many of them it reported as delivered.
    sent: u64,
    delivered: u64,
}

impl Device {
    pub(crate) fn new(number: u8, document: &str) -> Self {
        let identity = identity(number);
        let link = Link::client(identity.clone(), Config::cat_m1(), random());
        let (link, link_events) =
            Driver::bind("127.0.0.1:0".parse().expect("an address"), link).expect("a free port");
        let name = DocumentName::new(document).expect("a document name");
        let rng = ChaCha12Rng::from_seed(random());
        let replica = Replica::new(&name, ReplicaConfig::new(Role::Member), rng);
        Self {
            identity,
            link,
            link_events,
            replica,
            connection: None,
            closed: None,
            events: Vec::new(),
            sent: 0,
            delivered: 0,
        }
    }

    pub(crate) fn key(&self) -> PublicKey {
        self.identity.public_key()
    }

    /// Starts a connection, and opens the document on it.
    pub(crate) async fn connect(&mut self, aggregator: &Aggregator) {
        if let Some((conn, session)) = self.connection.take() {
            self.replica.disconnect(session);
            self.link.abandon(conn, 0).await.expect("the link runs");
        }
        let peer = PeerId(aggregator.key.0);
        let conn = self.link.connect(aggregator.address, aggregator.key).await.expect("a connection");
        let connect = Connect::initiator(peer, Role::Aggregator, HANDLE);
        let session = self.replica.connect(connect).expect("capacity for a session");
        self.connection = Some((conn, session));
        (self.sent, self.delivered) = (0, 0);
        self.closed = None;
    }

    pub(crate) fn set<'a>(&mut self, path: &'a str, value: impl Into<Value<'a>>) -> Time {
        let write = Write::set(Path::new(path).expect("a path"), value);
        self.replica.update(moment(), &[write]).expect("capacity").expect("something changes").time
    }

    pub(crate) fn delete(&mut self, path: &str) {
        self.replica.update(moment(), &[Write::delete(Path::new(path).expect("a path"))]).expect("capacity");
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value<'_>> {
        self.replica.document().get(Path::new(path).expect("a path"))
    }

    /// Works until `done` says so; panics after some seconds.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            self.work().await;
            if done(self) {
                return;
            }
            match timeout_at(deadline, self.link_events.recv()).await {
                Ok(event) => self.take(event.expect("the link runs")),
                Err(_) => panic!("in vain: {what}; closed: {:?}, events: {:?}", self.closed, self.events),
            }
        }
    }

    /// Works for a while.
    pub(crate) async fn during(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        loop {
            self.work().await;
            match timeout_at(deadline, self.link_events.recv()).await {
                Ok(event) => self.take(event.expect("the link runs")),
                Err(_) => return,
            }
        }
    }

    /// Waits until the aggregator has said that the write of this time is durable there.
    pub(crate) async fn acknowledged(&mut self, aggregator: &Aggregator, time: Time) {
        let peer = PeerId(aggregator.key.0);
        self.work().await;
        self.replica.request_acknowledgement();
        self.until("an acknowledgement", |device| device.replica.acknowledged_through(peer) >= time).await;
    }

    /// Waits until the document is open on both sides.
    pub(crate) async fn open(&mut self, aggregator: &Aggregator) {
        let peer = PeerId(aggregator.key.0);
        self.until("the aggregator's Open", |device| device.replica.is_connected(peer)).await;
    }

    /// Waits until the transport has reported everything as delivered. Nobody is asked for anything.
    pub(crate) async fn delivered(&mut self) {
        self.until("deliveries", |device| device.sent > 0 && device.delivered == device.sent).await;
    }

    /// Waits until the connection has been closed; gives what the aggregator said.
    pub(crate) async fn told(&mut self) -> (u64, String) {
        self.until("the end of the connection", |device| device.closed.is_some()).await;
        match self.closed.clone() {
            Some(CloseReason::ByPeer { code, text }) => (code, text),
            reason => panic!("{reason:?}"),
        }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        let (conn, _) = self.connection.expect("a connection");
        self.link.send(conn, bytes.to_vec()).await.expect("capacity");
    }

    async fn work(&mut self) {
        let mut buffer = [0; 16 << 10];
        while let Some(output) = self.replica.poll_output(moment(), &mut buffer) {
            match output {
                Output::Persist => {
                    let token = self.replica.take_unsaved(|_| {});
                    self.replica.handle_persisted(token);
                }
                Output::Transmit { len, .. } => {
                    let Some((conn, _)) = self.connection else { continue };
                    // Fails if the connection has ended; the event is on its way.
                    if self.link.send(conn, buffer[..len].to_vec()).await.is_ok() {
                        self.sent += 1;
                    }
                }
                Output::Event(event) => self.events.push(event),
                Output::Close { .. } => {}
            }
        }
    }

    fn take(&mut self, event: LinkEvent) {
        let Some((current, session)) = self.connection.filter(|(conn, _)| *conn == event.conn()) else {
            return;
        };
        match event {
            // What was opened by bytes as they are has no replica here.
            LinkEvent::Message { message, .. } if crdt_core::peek_handle(&message) != Some(HANDLE) => {}
            LinkEvent::Message { message, .. } => {
                self.replica.handle_frame(moment(), session, &message).expect("the aggregator makes sense");
            }
            LinkEvent::Delivered { id, .. } => self.delivered = id.0 + 1,
            LinkEvent::Closed { reason, .. } => {
                assert_eq!(current, self.connection.expect("checked").0);
                self.replica.disconnect(session);
                self.connection = None;
                self.closed = Some(reason);
            }
            _ => {}
        }
    }
}

pub(crate) fn identity(number: u8) -> Identity {
    Identity::from_bytes([number; 32])
}

pub(crate) fn moment() -> Moment {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    Moment::new(now)
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("random bytes");
    bytes
}

/// The number of the device's document on its connection.
const HANDLE: u16 = 0;
