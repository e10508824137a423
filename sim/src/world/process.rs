//! A running program: the transport's link, the documents, and the driver's loop between them.
//!
//! This is the loop that a product's runtime writes, with virtual time in place of sockets and timers. In one turn:
//! what the disk has finished, what the transport's timers want, what the peers said, what the documents answer, the
//! next commit, and last the datagrams. Nothing in it waits: [`Process::turn`] says when it wants the next one.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crdt_core::{Config, CountingRng, DocumentName, Heap, PeerId, Replica, Role, peek_handle, peek_open};
use transport_quic::{CloseCode, ConnectionId, Link, LinkEvent, MessageId, PublicKey, SendError};

use super::disk::{Change, Disk};
use super::documents::{Channel, Effect, Input, OpenDocument};
use super::host::{Host, Note};
use super::policy::Policy;
use crate::clock::SimTime;

pub(super) struct Process {
    role: Role,
    policy: Policy,
    link: Link,
    pub(super) documents: BTreeMap<DocumentName, OpenDocument>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// The way to the aggregator; the aggregator has none.
    uplink: Option<Uplink>,
    /// Changes that wait for the next commit.
    staged: Vec<Change>,
    commit: Option<Commit>,
    forget_at: SimTime,
}

/// A device's connection to its aggregator.
struct Uplink {
    aggregator: SocketAddr,
    key: PublicKey,
    state: UplinkState,
    /// Attempts since the last one that worked.
    attempt: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UplinkState {
    Open(ConnectionId),
    Waiting { until: SimTime },
}

struct Connection {
    peer: PeerId,
    handles: BTreeMap<u16, DocumentName>,
    /// Messages that the transport has no capacity for yet.
    backlog: VecDeque<Outgoing>,
    /// Messages that are not known to have arrived.
    undelivered: BTreeMap<MessageId, Undelivered>,
    /// Since when this side, which made the connection to open documents on it, has heard nothing of any.
    unanswered: Option<SimTime>,
}

/// A frame that one of the documents sends.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) channel: Channel,
    pub(super) frame: Vec<u8>,
    /// Claims that the session had sent by then.
    pub(super) claims: u32,
}

struct Undelivered {
    channel: Channel,
    claims: u32,
    since: SimTime,
}

struct Commit {
    due: SimTime,
    changes: Vec<Change>,
}

impl Process {
    pub(super) fn new(
        role: Role,
        policy: Policy,
        link: Link,
        uplink: Option<(SocketAddr, PublicKey)>,
        now: SimTime,
    ) -> Self {
        let uplink = uplink.map(|(aggregator, key)| Uplink {
            aggregator,
            key,
            state: UplinkState::Waiting { until: now },
            attempt: 0,
        });
        let forget_at = match role {
            Role::Aggregator => now + FORGET_INTERVAL,
            Role::Member | Role::Mesh => SimTime::MAX,
        };
        Self {
            role,
            policy,
            link,
            documents: BTreeMap::new(),
            connections: BTreeMap::new(),
            uplink,
            staged: Vec::new(),
            commit: None,
            forget_at,
        }
    }

    /// Opens a document from the disk, or anew.
    pub(super) fn open(&mut self, name: &DocumentName, disk: &Disk, host: &mut Host<'_>) {
        let config = Config::new(self.role);
        let rng = CountingRng::new(host.rng.next_u64());
        let replica = match disk.image().load(name, config, rng.clone(), host.moment()) {
            Ok(Some(replica)) => {
                if let Err(broken) = replica.document().check_invariants() {
                    host.violation(format!("{name}: after loading, {broken}"));
                }
                replica
            }
            Ok(None) => Replica::<Heap, _>::new(name, config, rng),
            Err(error) => {
                host.violation(format!("{name}: what was committed cannot be loaded: {error}"));
                return;
            }
        };
        self.documents.insert(name.clone(), OpenDocument::new(replica));
    }

    pub(super) fn give(&mut self, document: &DocumentName, input: Input) {
        if let Some(document) = self.documents.get_mut(document) {
            document.give(input);
        }
    }

    pub(super) fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.link.handle_datagram(now, from, datagram);
    }

    /// Closes the connection to the aggregator.
    pub(super) fn hang_up(&mut self, now: Instant) {
        if let Some(Uplink { state: UplinkState::Open(conn), .. }) = self.uplink {
            self.link.close(now, conn, CloseCode::Normal.into(), "");
        }
    }

    /// Does everything that can be done now; `send` takes the datagrams. Tells when the next turn is due.
    pub(super) fn turn(
        &mut self,
        disk: &mut Disk,
        host: &mut Host<'_>,
        mut send: impl FnMut(SocketAddr, &[u8]),
    ) -> SimTime {
        let now = host.clock.instant(host.now);
        self.finish_commit(disk, host);
        if self.link.poll_timeout().is_some_and(|at| at <= now) {
            self.link.handle_timeout(now);
        }
        self.forget_stable(host.now);
        self.give_up_the_deaf(now, host.now);
        self.connect(now, host.now);
        let mut datagram = Vec::new();
        loop {
            let mut is_idle = true;
            while let Some(event) = self.link.poll_event() {
                self.take_event(event, disk, now, host);
                is_idle = false;
            }
            is_idle &= !self.run_documents(now, host);
            self.begin_commit(disk, host.now);
            while let Some(transmit) = self.link.poll_transmit(now, &mut datagram) {
                send(transmit.to, &datagram[..transmit.len]);
            }
            if is_idle {
                break;
            }
        }
        self.next_turn(host)
    }

    pub(super) fn ledger(&self) -> transport_quic::Ledger {
        self.link.ledger()
    }

    /// Why nothing comes or goes, for people; `None` when the way to the aggregator is open.
    pub(super) fn why_offline(&self) -> Option<String> {
        match self.uplink.as_ref()?.state {
            UplinkState::Waiting { until } => Some(format!("not connected, tries again at {until}")),
            UplinkState::Open(conn) if !self.connections.contains_key(&conn) => {
                Some("in the handshake of a connection".into())
            }
            UplinkState::Open(_) => None,
        }
    }

    fn finish_commit(&mut self, disk: &mut Disk, host: &mut Host<'_>) {
        let Some(commit) = self.commit.take_if(|commit| commit.due <= host.now) else { return };
        disk.commit(&commit.changes);
        for change in commit.changes {
            if let Some(document) = self.documents.get_mut(&change.document) {
                document.committed(change, host);
            }
        }
    }

    /// One commit at a time takes everything that waits.
    fn begin_commit(&mut self, disk: &Disk, now: SimTime) {
        if self.commit.is_none() && !self.staged.is_empty() {
            self.commit = Some(Commit { due: now + disk.delay, changes: std::mem::take(&mut self.staged) });
        }
    }

    fn forget_stable(&mut self, now: SimTime) {
        if now >= self.forget_at {
            self.forget_at = now + FORGET_INTERVAL;
            self.documents.values_mut().for_each(|document| document.give(Input::ForgetStable));
        }
    }

    /// A peer that acknowledges nothing for too long is gone, whatever the connection says.
    fn give_up_the_deaf(&mut self, now: Instant, at: SimTime) {
        let patience = self.policy.patience;
        let deaf: Vec<ConnectionId> =
            self.connections.iter().filter(|(_, c)| c.is_deaf(at, patience)).map(|(id, _)| *id).collect();
        for conn in deaf {
            match self.role {
                Role::Aggregator => self.link.abandon(conn, CloseCode::Normal.into()),
                Role::Member | Role::Mesh => self.link.close(now, conn, CloseCode::Normal.into(), ""),
            }
        }
    }

    fn connect(&mut self, now: Instant, at: SimTime) {
        let Some(uplink) = &mut self.uplink else { return };
        if matches!(uplink.state, UplinkState::Waiting { until } if until <= at) {
            let conn = self.link.connect(now, uplink.aggregator, uplink.key);
            uplink.state = UplinkState::Open(conn.expect("nothing is open to the aggregator"));
            uplink.attempt += 1;
        }
    }

    fn take_event(&mut self, event: LinkEvent, disk: &Disk, now: Instant, host: &mut Host<'_>) {
        match event {
            LinkEvent::Closed { conn, reason } => {
                tracing::trace!(at = %host.now, %reason, "connection closed");
                self.closed(conn, host);
            }
            LinkEvent::Connected { conn, peer, .. } => self.connected(conn, PeerId(*peer.as_bytes()), host),
            LinkEvent::Delivered { conn, id } => {
                let connection = self.connections.get_mut(&conn);
                let sent = connection.and_then(|connection| connection.undelivered.remove(&id));
                // Only the aggregator withholds acknowledgements until what came is durable.
                if let Some(Undelivered { channel, claims, .. }) = sent.filter(|_| self.uplink.is_some())
                    && let Some(name) = self.name_of(channel)
                {
                    self.give(&name, Input::Delivered(channel, claims));
                }
                self.flush(conn, now, host);
                if self.uplink.is_some() && self.connections.get(&conn).is_some_and(Connection::is_at_rest) {
                    host.notes.push(Note::Delivered);
                }
            }
            LinkEvent::Message { conn, message } => self.take_message(conn, message, disk, now, host),
            _ => {}
        }
    }

    fn connected(&mut self, conn: ConnectionId, peer: PeerId, host: &mut Host<'_>) {
        host.counters.connections += 1;
        let older: Vec<ConnectionId> =
            self.connections.iter().filter(|(_, c)| c.peer == peer).map(|(id, _)| *id).collect();
        for conn in older {
            self.link.abandon(conn, CloseCode::Replaced.into());
        }
        let mut connection = Connection {
            peer,
            handles: BTreeMap::new(),
            backlog: VecDeque::new(),
            undelivered: BTreeMap::new(),
            unanswered: None,
        };
        if let Some(uplink) = &mut self.uplink {
            uplink.attempt = 0;
            connection.unanswered = (!self.documents.is_empty()).then_some(host.now);
            for (handle, (name, document)) in (0..).zip(&mut self.documents) {
                connection.handles.insert(handle, name.clone());
                document.give(Input::Connect { channel: Channel { conn, handle }, peer, initiator: true });
            }
        }
        self.connections.insert(conn, connection);
    }

    fn closed(&mut self, conn: ConnectionId, host: &mut Host<'_>) {
        if let Some(connection) = self.connections.remove(&conn) {
            for (handle, name) in connection.handles {
                self.give(&name, Input::Disconnect(Channel { conn, handle }));
            }
        }
        if let Some(uplink) = &mut self.uplink
            && uplink.state == UplinkState::Open(conn)
        {
            let pause = self.policy.pause(uplink.attempt, host.rng);
            uplink.state = UplinkState::Waiting { until: host.now + pause };
        }
    }

    fn take_message(
        &mut self,
        conn: ConnectionId,
        message: Vec<u8>,
        disk: &Disk,
        now: Instant,
        host: &mut Host<'_>,
    ) {
        host.counters.frames_received += 1;
        host.counters.payload_bytes_received += message.len() as u64;
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.unanswered = None;
        let Some(handle) = peek_handle(&message) else {
            host.violation("a message without a handle".into());
            return;
        };
        let channel = Channel { conn, handle };
        let name = match connection.handles.get(&handle) {
            Some(name) => name.clone(),
            None => {
                let Some(name) = peek_open(&message).and_then(|(_, name)| DocumentName::new(name).ok())
                else {
                    host.violation(format!("a message for handle {handle}, which nobody opened"));
                    self.link.close(now, conn, CloseCode::ProtocolError.into(), "");
                    return;
                };
                let peer = connection.peer;
                connection.handles.insert(handle, name.clone());
                if !self.documents.contains_key(&name) {
                    self.open(&name, disk, host);
                }
                self.give(&name, Input::Connect { channel, peer, initiator: false });
                name
            }
        };
        self.give(&name, Input::Frame(channel, message));
    }

    fn name_of(&self, channel: Channel) -> Option<DocumentName> {
        self.connections.get(&channel.conn)?.handles.get(&channel.handle).cloned()
    }

    /// Whether any document wanted something.
    fn run_documents(&mut self, now: Instant, host: &mut Host<'_>) -> bool {
        let mut effects = Vec::new();
        for document in self.documents.values_mut() {
            document.run(host, &mut effects);
        }
        let any = !effects.is_empty();
        for effect in effects {
            match effect {
                Effect::Close(channel) => {
                    self.link.close(now, channel.conn, CloseCode::Normal.into(), "");
                }
                Effect::Persist(change) => self.staged.push(change),
                Effect::Refused(channel) => self.pause_uplink(channel.conn, now, host.now),
                Effect::Release(conn, frames) => self.link.release(now, conn, frames),
                Effect::Send(outgoing) => {
                    let conn = outgoing.channel.conn;
                    if let Some(connection) = self.connections.get_mut(&conn) {
                        connection.backlog.push_back(outgoing);
                        self.flush(conn, now, host);
                    }
                }
            }
        }
        any
    }

    /// The aggregator refuses what is here: it may take it later.
    fn pause_uplink(&mut self, conn: ConnectionId, now: Instant, at: SimTime) {
        if let Some(uplink) = &mut self.uplink {
            uplink.state = UplinkState::Waiting { until: at + self.policy.pause_after_refusal };
            self.link.close(now, conn, CloseCode::Normal.into(), "");
        }
    }

    fn flush(&mut self, conn: ConnectionId, now: Instant, host: &mut Host<'_>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        while let Some(Outgoing { channel, frame, claims }) = connection.backlog.front() {
            match self.link.send(now, conn, frame) {
                Ok(id) => {
                    host.counters.frames_sent += 1;
                    host.counters.payload_bytes_sent += frame.len() as u64;
                    let sent = Undelivered { channel: *channel, claims: *claims, since: host.now };
                    connection.undelivered.insert(id, sent);
                    connection.backlog.pop_front();
                }
                // Its end is reported, or there will be a delivery.
                Err(SendError::Closed { .. } | SendError::Full { .. }) => return,
                Err(error) => {
                    host.violation(format!("a frame that the transport does not take: {error}"));
                    return;
                }
            }
        }
    }

    fn next_turn(&self, host: &Host<'_>) -> SimTime {
        let timer = self.link.poll_timeout().map_or(SimTime::MAX, |at| host.clock.sim_time(at));
        let commit = self.commit.as_ref().map_or(SimTime::MAX, |commit| commit.due);
        let uplink = match self.uplink.as_ref().map(|uplink| uplink.state) {
            Some(UplinkState::Waiting { until }) => until,
            Some(UplinkState::Open(_)) | None => SimTime::MAX,
        };
        let waiting = self.connections.values().filter_map(Connection::waiting_since).min();
        let patience = waiting.map_or(SimTime::MAX, |since| since + self.policy.patience);
        timer.min(commit).min(uplink).min(patience).min(self.forget_at)
    }
}

impl Connection {
    /// Whether everything that it was given has arrived.
    fn is_at_rest(&self) -> bool {
        self.undelivered.is_empty() && self.backlog.is_empty()
    }

    /// Since when the oldest message waits to be delivered, or the first one of the peer is due. That all was delivered is
    /// not enough: the answer may be lost for good, because a NAT has forgotten this side.
    fn waiting_since(&self) -> Option<SimTime> {
        let oldest = self.undelivered.first_key_value().map(|(_, sent)| sent.since);
        [oldest, self.unanswered].into_iter().flatten().min()
    }

    fn is_deaf(&self, now: SimTime, patience: Duration) -> bool {
        self.waiting_since().is_some_and(|since| since + patience <= now)
    }
}

/// How often an aggregator looks for tombstones that everyone has.
const FORGET_INTERVAL: Duration = Duration::from_secs(600);
