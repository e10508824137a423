//! Several documents on one connection: the engine over the real transport, in virtual time.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crdt_core::{Output as Work, Refusal, Role, peek_handle, peek_open, write_refusal};
use transport_quic::{Config as LinkConfig, ConnectionId, Link, LinkEvent};

use super::*;

mod company;
mod hostile;

/// An edge with documents, an aggregator with the same, and a network between them that counts datagrams.
struct Town {
    engine: Engine,
    start: Instant,
    now: Instant,
    device: Link,
    cloud: Link,
    connection: Option<(Attempt, ConnectionId)>,
    connects: usize,
    documents: BTreeMap<String, Replica<Heap, ChaCha12Rng>>,
    sessions: BTreeMap<(ConnectionId, u16), (String, SessionId)>,
    /// Documents that the device may not open.
    denied: BTreeSet<String>,
    /// Documents of which the aggregator takes everything and says nothing.
    stuck: BTreeSet<String>,
    /// What the aggregator does to make the device spend.
    hostile: Option<Hostile>,
    /// Nothing arrives.
    is_down: bool,
    on_the_way: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    put_in: u64,
    /// Packets and IP bytes, from the device and from the aggregator.
    seen: [(u64, u64); 2],
}

/// Aggregators that would spend a device's budget, with the right key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hostile {
    /// Asks for acknowledgements without end.
    Asks,
    /// Ends each connection as soon as it is made.
    HangsUp,
    /// Completes the handshake and takes nothing: what was sent is repeated.
    IsDeaf,
}

const DEVICE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 5000);
const CLOUD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 4433);
const IPV4_AND_UDP: u64 = 28;
const DELAY: Duration = Duration::from_millis(50);

/// A town whose edge has these documents; it has connected, unless the network is down.
fn town(names: &[&str], set_up: impl FnOnce(&mut Town)) -> Town {
    town_under(names, &[], set_up)
}

/// The same with these rules for when changes are sent.
fn town_under(names: &[&str], rules: &[&str], set_up: impl FnOnce(&mut Town)) -> Town {
    town_within(names, rules, None, set_up)
}

/// The same with a budget.
fn town_within(
    names: &[&str],
    rules: &[&str],
    budget: Option<Budget>,
    set_up: impl FnOnce(&mut Town),
) -> Town {
    let start = Instant::now();
    let identity = |number| Identity::from_bytes([number; 32]);
    let replica = |(name, id, role): (&str, u64, Role)| {
        Replica::new(&DocumentName::new(name).unwrap(), Config::new(role), ChaCha12Rng::seed_from_u64(id))
    };
    let parts = Parts {
        replicas: (1..).zip(names).map(|(id, name)| replica((name, id, Role::Member))).collect(),
        lines: Vec::new(),
        public_key: key(1),
        aggregator: Some(Aggregator { address: "cloud:1".to_owned(), key: key(2) }),
        timing: Timing::default(),
        seed: [7; 32],
        books: Books::default(),
        budget: budget.clone(),
        policy: policy_of(rules),
        unopened: Vec::new(),
    };
    let cloud =
        (101..).zip(names).map(|(id, name)| ((*name).to_owned(), replica((name, id, Role::Aggregator))));
    let mut town = Town {
        engine: Engine::new(Now { at: start, wall: Time::from_ms(MS_AT_START) }, parts),
        start,
        now: start,
        device: Link::client(identity(1), LinkConfig::cat_m1(), [3; 32]),
        cloud: Link::server(identity(2), LinkConfig::cat_m1(), [4; 32], [5; 32]),
        connection: None,
        connects: 0,
        documents: cloud.collect(),
        sessions: BTreeMap::new(),
        denied: BTreeSet::new(),
        stuck: BTreeSet::new(),
        hostile: None,
        is_down: false,
        on_the_way: BTreeMap::new(),
        put_in: 0,
        seen: [(0, 0); 2],
    };
    // As the driver does, until something is leased.
    town.device.set_limit(budget.map(|_| 0));
    set_up(&mut town);
    town.sleep(seconds(60));
    town
}

impl Town {
    fn now(&self) -> Now {
        let ms = MS_AT_START + (self.now - self.start).as_millis() as u64;
        Now { at: self.now, wall: Time::from_ms(ms) }
    }

    fn moment(&self) -> Moment {
        Moment::new(self.now().wall.unwrap().as_ms())
    }

    fn command<T>(
        &mut self,
        document: u16,
        command: impl FnOnce(Reply<T>) -> DocumentCommand,
    ) -> oneshot::Receiver<Result<T, EdgeError>> {
        let (reply, answer) = oneshot::channel();
        let (now, document) = (self.now(), DocumentIndex(document));
        self.engine.handle_command(now, Command::Document { document, command: command(reply) });
        answer
    }

    fn set(&mut self, document: u16, path: &str, value: i64) {
        let writes = vec![(path.to_owned(), Some(Scalar::I64(value)))];
        drop(self.command(document, |reply| DocumentCommand::Update { writes, reply }));
    }

    /// The receipt of everything that was written to a document so far.
    fn receipt(&mut self, document: u16) -> oneshot::Receiver<Result<(), EdgeError>> {
        let replica = self.engine.replica(DocumentIndex(document)).unwrap();
        let stamp = Stamp::new(replica.document().version_vector().time_of(replica.id()), replica.id());
        self.command(document, |reply| DocumentCommand::Receipt { basis: Some(stamp.into()), reply })
    }

    fn cloud_get(&self, document: &str, path: &str) -> Option<Scalar> {
        self.documents[document].document().get(Path::new(path).unwrap()).map(Scalar::from)
    }

    fn status_of(&self, document: usize) -> DocumentStatus {
        self.engine.status(self.now()).documents.swap_remove(document)
    }

    fn sleep(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            while self.run() {}
            let arrival = self.on_the_way.first_key_value().map(|(&(at, _), _)| at);
            let timers = [self.engine.poll_timeout(), self.device.poll_timeout(), self.cloud.poll_timeout()];
            let next = timers.into_iter().chain([arrival]).flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.on_the_way.first_entry()
                && entry.key().0 <= self.now
            {
                let (to_cloud, datagram) = entry.remove();
                match to_cloud {
                    true => self.cloud.handle_datagram(self.now, DEVICE, &datagram),
                    false => self.device.handle_datagram(self.now, CLOUD, &datagram),
                }
            }
            self.device.handle_timeout(self.now);
            self.cloud.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Lets everybody do what there is to do at this time; whether there was something.
    fn run(&mut self) -> bool {
        let (now, ledger) = (self.now(), self.device.ledger());
        self.engine.note_traffic(now, ledger);
        let mut is_busy = self.run_engine() | self.run_cloud();
        let mut datagram = Vec::new();
        while let Some(transmit) = self.device.poll_transmit(self.now, &mut datagram) {
            assert_eq!(transmit.to, CLOUD);
            self.put(true, &datagram);
        }
        while self.cloud.poll_transmit(self.now, &mut datagram).is_some() {
            self.put(false, &datagram);
        }
        while let Some(event) = self.device.poll_event() {
            is_busy = true;
            let Some((attempt, conn)) = self.connection.filter(|(_, conn)| *conn == event.conn()) else {
                continue;
            };
            let input = match event {
                LinkEvent::Closed { reason, .. } => {
                    self.connection = None;
                    reason.into()
                }
                LinkEvent::Connected { .. } => LinkInput::Connected,
                LinkEvent::Delivered { id, .. } => LinkInput::Delivered(id.0),
                LinkEvent::Message { message, .. } => LinkInput::Message(message),
                event => panic!("{event:?} on {conn}"),
            };
            let now = self.now();
            self.engine.handle_link(now, attempt, input);
        }
        is_busy
    }

    fn put(&mut self, to_cloud: bool, datagram: &[u8]) {
        let (packets, bytes) = &mut self.seen[usize::from(!to_cloud)];
        *packets += 1;
        *bytes += IPV4_AND_UDP + datagram.len() as u64;
        self.put_in += 1;
        let is_unheard = to_cloud && self.hostile == Some(Hostile::IsDeaf) && self.is_established();
        if !self.is_down && !is_unheard {
            self.on_the_way.insert((self.now + DELAY, self.put_in), (to_cloud, datagram.to_vec()));
        }
    }

    fn is_established(&self) -> bool {
        self.engine.connector.open().is_some()
    }

    fn run_engine(&mut self) -> bool {
        let mut is_busy = false;
        while let Some(output) = self.engine.poll_output(self.now()) {
            is_busy = true;
            match output {
                Output::Commit(_) => self.engine.handle_committed(Ok(())),
                Output::Connect(attempt) => {
                    self.connects += 1;
                    self.connection = Some((attempt, self.device.connect(self.now, CLOUD, key(2)).unwrap()));
                }
                Output::Disconnect { attempt, code, reason } => {
                    let (of, conn) = self.connection.take().unwrap();
                    assert_eq!(of, attempt);
                    self.device.close(self.now, conn, code.into(), &reason);
                }
                Output::Send { attempt, frames } => {
                    let (of, conn) = self.connection.unwrap();
                    assert_eq!(of, attempt);
                    for frame in frames {
                        self.device.send(self.now, conn, &frame).unwrap();
                    }
                }
                Output::EndLine { .. } | Output::SendOnLine { .. } => unreachable!("there is no line"),
                Output::Limit(bytes) => self.device.set_limit(Some(bytes)),
                Output::Level(_) | Output::Stopped => {}
            }
        }
        is_busy
    }

    fn run_cloud(&mut self) -> bool {
        let mut is_busy = false;
        while let Some(event) = self.cloud.poll_event() {
            is_busy = true;
            match event {
                LinkEvent::Connected { conn, .. } if self.hostile == Some(Hostile::HangsUp) => {
                    self.cloud.close(self.now, conn, CloseCode::Normal.into(), "");
                }
                LinkEvent::Message { conn, message } => self.take(conn, &message),
                LinkEvent::Closed { conn, .. } => {
                    let gone: Vec<_> = self.sessions.extract_if(.., |(of, _), _| *of == conn).collect();
                    for (_, (name, session)) in gone {
                        self.documents.get_mut(&name).unwrap().disconnect(session);
                    }
                }
                _ => {}
            }
        }
        let moment = self.moment();
        let mut buffer = vec![0; 1200];
        for (name, replica) in &mut self.documents {
            while let Some(output) = replica.poll_output(moment, &mut buffer) {
                is_busy = true;
                match output {
                    Work::Persist => {
                        let token = replica.take_unsaved(|_| {});
                        replica.handle_persisted(token);
                    }
                    Work::Transmit { session, len } => {
                        let is_its =
                            |carried: &(String, SessionId)| carried.0 == *name && carried.1 == session;
                        let carrier = self.sessions.iter().find(|(_, carried)| is_its(carried));
                        if let Some((&(conn, _), _)) = carrier {
                            self.cloud.send(self.now, conn, &buffer[..len]).unwrap();
                        }
                    }
                    Work::Event(_) | Work::Close { .. } => {}
                }
            }
        }
        is_busy
    }

    fn take(&mut self, conn: ConnectionId, frame: &[u8]) {
        let handle = peek_handle(frame).unwrap();
        if let Some((_, name)) = peek_open(frame) {
            if self.denied.contains(name) {
                return self.say(conn, |buffer| write_refusal(handle, Refusal::Access, buffer).unwrap());
            }
            if self.stuck.contains(name) {
                return;
            }
            let replica = self.documents.get_mut(name).unwrap();
            let peer = PeerId([1; 32]);
            let connect = Connect::responder(peer, Role::Member, handle);
            let session = replica.connect(connect).unwrap();
            self.sessions.insert((conn, handle), (name.to_owned(), session));
        }
        if let Some((name, session)) = self.sessions.get(&(conn, handle)) {
            let moment = Moment::new(MS_AT_START + (self.now - self.start).as_millis() as u64);
            self.documents.get_mut(name).unwrap().handle_frame(moment, *session, frame).unwrap();
        }
    }

    fn say(&mut self, conn: ConnectionId, write: impl FnOnce(&mut [u8]) -> usize) {
        let mut buffer = [0; 64];
        let len = write(&mut buffer);
        self.cloud.send(self.now, conn, &buffer[..len]).unwrap();
    }
}

fn town_only() -> BTreeSet<String> {
    BTreeSet::from(["town".to_owned()])
}

/// Datagrams and IP bytes of a warm update of one document, and of the transport's acknowledgement.
const ONE_UPDATE: [(u64, u64); 2] = [(1, 70), (1, 52)];
/// The same of two documents at the same time: one more stream in the same datagrams.
const TWO_UPDATES: [(u64, u64); 2] = [(1, 82), (1, 52)];

#[test]
fn documents_that_change_together_share_a_datagram() {
    let mut town = town(&["pump", "town"], |_| {});
    for value in 0..20 {
        for document in [0, 1] {
            town.set(document, "speed", value);
            town.sleep(seconds(60));
        }
    }
    let mut cost_of = |documents: &[u16]| {
        let before = town.seen;
        for &document in documents {
            town.set(document, "speed", 100 + i64::from(document));
        }
        town.sleep(seconds(60));
        [0, 1].map(|side| (town.seen[side].0 - before[side].0, town.seen[side].1 - before[side].1))
    };
    assert_eq!(cost_of(&[0]), ONE_UPDATE);
    assert_eq!(cost_of(&[0, 1]), TWO_UPDATES);
    assert_eq!(town.cloud_get("pump", "speed"), Some(Scalar::I64(100)));
    assert_eq!(town.cloud_get("town", "speed"), Some(Scalar::I64(101)));
    assert_eq!(town.connects, 1);
}

#[test]
fn a_document_that_may_not_be_opened_keeps_no_other_waiting() {
    let mut town = town(&["pump", "town"], |town| town.denied = town_only());
    town.set(0, "speed", 1);
    town.set(1, "speed", 2);
    let (mut first, mut second) = (town.receipt(0), town.receipt(1));
    town.sleep(seconds(5));
    assert_eq!(first.try_recv().unwrap().unwrap(), ());
    assert!(second.try_recv().is_err(), "a receipt is of its own document");
    let problem = town.status_of(1).problem;
    assert!(
        matches!(&problem, Some(Problem::AccessDenied { text }) if text.contains("\"town\"")),
        "{problem:?}"
    );
    assert_eq!((town.status_of(0).problem, town.status_of(0).backlog_cells), (None, 0));

    // It is asked for again and again, on the same connection, and less and less often.
    let before = town.seen[0].0;
    town.sleep(seconds(24 * 3600));
    let asked = town.seen[0].0 - before;
    assert!((24..150).contains(&asked), "{asked} datagrams");
    assert!(town.connects <= 5, "{} connections, for the silence of the other one", town.connects);
    town.denied.clear();
    town.sleep(seconds(3600));
    assert_eq!(second.try_recv().unwrap().unwrap(), ());
    assert_eq!(town.cloud_get("town", "speed"), Some(Scalar::I64(2)));
    assert_eq!(town.status_of(1).problem, None);
}

#[test]
fn a_document_that_the_aggregator_breaks_is_set_aside() {
    let mut town = town(&["pump", "town"], |_| {});
    let conn = *town.sessions.keys().next().map(|(conn, _)| conn).unwrap();
    town.say(conn, |buffer| {
        buffer[..2].copy_from_slice(&[1, 0x7f]);
        2
    });
    town.sleep(DELAY * 3);
    assert!(matches!(town.status_of(1).problem, Some(Problem::Refused { .. })), "{:?}", town.status_of(1));
    assert!(town.status_of(0).connected && !town.status_of(1).connected);
    town.set(0, "speed", 1);
    town.set(1, "speed", 2);
    town.sleep(DELAY * 3);
    assert_eq!(town.cloud_get("pump", "speed"), Some(Scalar::I64(1)));
    assert_eq!((town.cloud_get("town", "speed"), town.connects), (None, 1));
    // Another connection is tried soon.
    town.sleep(seconds(5));
    assert_eq!((town.cloud_get("town", "speed"), town.connects), (Some(Scalar::I64(2)), 2));
    assert_eq!(town.status_of(1).problem, None);
}

#[test]
fn a_document_that_is_never_answered_keeps_no_other_waiting() {
    let mut town = town(&["pump", "town"], |town| town.stuck = town_only());
    town.sleep(seconds(61));
    let problem = town.status_of(1).problem;
    assert!(matches!(problem, Some(Problem::NoAnswer { what: Awaited::Open, .. })), "{problem:?}");
    let before = town.connects;
    town.sleep(seconds(24 * 3600));
    assert!(town.connects - before < 45, "{} connections", town.connects - before);
    town.set(0, "speed", 1);
    let mut receipt = town.receipt(0);
    town.sleep(seconds(5));
    assert_eq!(receipt.try_recv().unwrap().unwrap(), ());
    town.stuck.clear();
    town.sleep(seconds(2 * 3600));
    assert!(town.status_of(1).connected && town.status_of(1).problem.is_none());
}

/// The transport's acknowledgement is the receipt, each for its document.
#[test]
fn deliveries_are_receipts_of_the_document_that_they_carried() {
    let mut town = town(&["pump", "town"], |_| {});
    town.set(0, "speed", 1);
    town.sleep(seconds(10));
    town.is_down = true;
    town.set(1, "speed", 2);
    let mut receipts = [town.receipt(0), town.receipt(1)];
    town.sleep(seconds(10));
    assert_eq!((town.status_of(0).backlog_cells, town.status_of(1).backlog_cells), (0, 1));
    assert_eq!(receipts[0].try_recv().unwrap().unwrap(), ());
    assert!(receipts[1].try_recv().is_err(), "it has not arrived");
    town.is_down = false;
    town.sleep(seconds(60));
    assert_eq!(receipts[1].try_recv().unwrap().unwrap(), ());
    assert_eq!((town.status_of(0).backlog_cells, town.status_of(1).backlog_cells), (0, 0));
}

#[test]
fn flushing_ends_a_pause() {
    let mut town = town(&["pump", "town"], |town| town.is_down = true);
    town.set(1, "speed", 2);
    while town.engine.status(town.now()).next_attempt_ms.is_none_or(|ms| ms < 60_000) {
        town.sleep(seconds(1));
    }
    town.is_down = false;
    let before = town.connects;
    let (reply, mut flushed) = oneshot::channel();
    let now = town.now();
    town.engine.handle_command(now, Command::Flush { reply });
    town.sleep(seconds(2));
    assert!(flushed.try_recv().unwrap().is_ok());
    assert_eq!(town.connects, before + 1);
    assert_eq!(town.cloud_get("town", "speed"), Some(Scalar::I64(2)));
}

#[test]
fn both_directions_of_many_documents_share_the_connection() {
    let names: Vec<_> = (0..DOCUMENTS_MAX).map(|number| format!("document-{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut town = town(&names, |_| {});
    let moment = town.moment();
    for (document, name) in (0..).zip(&names) {
        town.set(document, "from/edge", i64::from(document));
        let write = Write::set(Path::new("from/cloud").unwrap(), i64::from(document));
        town.documents.get_mut(*name).unwrap().update(moment, &[write]).unwrap();
    }
    town.sleep(seconds(60));
    for (document, name) in (0..).zip(&names) {
        let replica = town.engine.replica(DocumentIndex(document)).unwrap();
        assert_eq!(town.cloud_get(name, "from/edge"), Some(Scalar::I64(document.into())));
        assert_eq!(replica.document().fingerprint(), town.documents[*name].document().fingerprint());
    }
    assert_eq!(town.connects, 1);
}
