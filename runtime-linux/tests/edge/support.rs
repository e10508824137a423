//! A small aggregator for tests, and the real `edge` as a process.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crdt_core::{
    Config as ReplicaConfig, Connect, CountingRng, DocumentName, Heap, Moment, Output as ReplicaOutput,
    Path as CellPath, PeerId, Refusal, Replica, Role, SessionId, Write, peek_handle, peek_open,
    write_refusal,
};
use tokio::sync::{mpsc, oneshot};
use transport_quic::{CloseCode, Config, ConnectionId, Driver, Handle, Identity, Link, LinkEvent, PublicKey};

/// Documents in memory, on a real socket. It acknowledges what it was sent, as if memory were a disk.
pub(crate) struct Aggregator {
    pub(crate) address: String,
    pub(crate) key: PublicKey,
    asks: mpsc::Sender<(String, Ask)>,
}

type Ask = Box<dyn FnOnce(&mut Replica<Heap, CountingRng>) + Send>;

/// What it holds, and whom it speaks to.
struct Memory {
    documents: HashMap<String, Replica<Heap, CountingRng>>,
    sessions: HashMap<(ConnectionId, u16), (String, SessionId)>,
}

impl Aggregator {
    /// Starts one on a free port; the keys in `denied` are turned away.
    pub(crate) async fn start(document: &str, denied: HashSet<PublicKey>) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, &[document], denied).await
    }

    /// Starts one that lets everybody open these documents, and no others.
    pub(crate) async fn start_with(documents: &[&str]) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, documents, HashSet::new()).await
    }

    /// Starts one at an address of this host.
    pub(crate) async fn start_at(
        ip: impl Into<IpAddr>,
        documents: &[&str],
        denied: HashSet<PublicKey>,
    ) -> Self {
        let identity = Identity::generate().unwrap();
        let key = identity.public_key();
        let link = Link::server(identity, Config::cat_m1(), [1; 32], random_seed());
        let local = SocketAddr::new(ip.into(), 0);
        let (handle, mut events) = Driver::bind(local, link).unwrap();
        let address = handle.local_addr().to_string();
        let host = |name: &&str| {
            let config = ReplicaConfig::new(Role::Aggregator);
            let replica = Replica::new(&DocumentName::new(name).unwrap(), config, CountingRng::new(random()));
            ((*name).to_owned(), replica)
        };
        let mut memory = Memory { documents: documents.iter().map(host).collect(), sessions: HashMap::new() };
        let (asks, mut asked) = mpsc::channel::<(String, Ask)>(16);
        tokio::spawn(async move {
            let mut peers: HashMap<ConnectionId, PublicKey> = HashMap::new();
            loop {
                tokio::select! {
                    ask = asked.recv() => match ask {
                        Some((document, ask)) => ask(memory.documents.get_mut(&document).unwrap()),
                        None => return handle.shutdown(CloseCode::ShuttingDown.into(), "the test is over").await,
                    },
                    Some(event) = events.recv() => match event {
                        LinkEvent::Connected { conn, peer, .. } if denied.contains(&peer) => {
                            handle.close(conn, CloseCode::AccessDenied.into(), "this key is not enrolled").await.unwrap();
                        }
                        LinkEvent::Connected { conn, peer, .. } => drop(peers.insert(conn, peer)),
                        LinkEvent::Message { conn, message } => {
                            // Who was turned away may have sent something before it knew.
                            let Some(peer) = peers.get(&conn) else { continue };
                            memory.take(&handle, conn, PeerId(peer.0), &message).await;
                        }
                        LinkEvent::Closed { conn, .. } => memory.forget(conn),
                        _ => {}
                    },
                }
                memory.transmit(&handle).await;
            }
        });
        Self { address, key, asks }
    }

    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        document: &str,
        ask: impl FnOnce(&mut Replica<Heap, CountingRng>) -> T + Send + 'static,
    ) -> T {
        let (reply, answer) = oneshot::channel();
        let ask: Ask = Box::new(move |replica| assert!(reply.send(ask(replica)).is_ok()));
        assert!(self.asks.send((document.to_owned(), ask)).await.is_ok(), "the aggregator runs");
        answer.await.unwrap()
    }

    pub(crate) async fn set(&self, path: &'static str, value: i64) {
        self.ask("pump", move |replica| {
            replica.update(moment(), &[Write::set(CellPath::new(path).unwrap(), value)]).unwrap();
        })
        .await;
    }

    /// The document "pump" as JSON.
    pub(crate) async fn tree(&self) -> serde_json::Value {
        self.tree_of("pump").await
    }

    pub(crate) async fn tree_of(&self, document: &str) -> serde_json::Value {
        let tree =
            |replica: &mut Replica<Heap, CountingRng>| control::tree(None, replica.document().iter(None));
        self.ask(document, tree).await.unwrap_or_default()
    }
}

impl Memory {
    async fn take(&mut self, handle: &Handle, conn: ConnectionId, peer: PeerId, frame: &[u8]) {
        let number = peek_handle(frame).unwrap();
        if let Some((_, name)) = peek_open(frame) {
            let Some(replica) = self.documents.get_mut(name) else {
                let mut buffer = [0; 64];
                let len = write_refusal(number, Refusal::Access, &mut buffer).unwrap();
                let _ = handle.send(conn, buffer[..len].to_vec()).await;
                return;
            };
            let connect = Connect::responder(peer, Role::Member, number);
            let session = replica.connect(connect).unwrap();
            self.sessions.insert((conn, number), (name.to_owned(), session));
        }
        if let Some((name, session)) = self.sessions.get(&(conn, number)) {
            let replica = self.documents.get_mut(name).unwrap();
            replica.handle_frame(moment(), *session, frame).unwrap();
        }
    }

    fn forget(&mut self, conn: ConnectionId) {
        for (_, (name, session)) in self.sessions.extract_if(|(of, _), _| *of == conn) {
            self.documents.get_mut(&name).unwrap().disconnect(session);
        }
    }

    async fn transmit(&mut self, handle: &Handle) {
        let mut buffer = vec![0; 1200];
        for (name, replica) in &mut self.documents {
            while let Some(output) = replica.poll_output(moment(), &mut buffer) {
                match output {
                    ReplicaOutput::Persist => {
                        let token = replica.take_unsaved(|_| {});
                        replica.handle_persisted(token);
                    }
                    ReplicaOutput::Transmit { session, len } => {
                        let of = |carried: &&(String, SessionId)| carried.0 == *name && carried.1 == session;
                        let carrier = self.sessions.iter().find(|(_, carried)| of(carried));
                        let (conn, _) = carrier.unwrap().0;
                        // A connection that has just ended takes no more.
                        let _ = handle.send(*conn, buffer[..len].to_vec()).await;
                    }
                    ReplicaOutput::Event(_) | ReplicaOutput::Close { .. } => {}
                }
            }
        }
    }
}

pub(crate) fn moment() -> Moment {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Moment::new(since.as_millis() as u64)
}

fn random() -> u64 {
    u64::from_le_bytes(random_seed()[..8].try_into().unwrap())
}

fn random_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).unwrap();
    seed
}

/// Waits until `is_so`, for at most ten seconds.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < Duration::from_secs(10), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Runs the real binary to its end.
pub(crate) fn edge(store: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
    command.args(arguments).arg("--store").arg(store).output().unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// `edge run`; killed when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(store: &Path, arguments: &[&str]) -> Self {
        Self::start_with_log(store, arguments, Stdio::null())
    }

    pub(crate) fn start_with_log(store: &Path, arguments: &[&str], log: impl Into<Stdio>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
        command.arg("run").args(arguments).arg("--store").arg(store);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let running = Self(child);
        let start = Instant::now();
        while code(&edge(store, &["status"])) != 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "edge run did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
