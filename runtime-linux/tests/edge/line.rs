//! A microcontroller behind the edge: a replica without heap and the link of `transport-serial`, over a line that is bad.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crdt_core::capacity::{Bytes, Cells, Peers, Replicas};
use crdt_core::{
    Config, Connect, CountingRng, DocumentName, Event, Fixed, Moment, Output, Path as CellPath, PeerId,
    Refusal, Replica, Role, SessionId, Write,
};
use serde_json::{Value as Json, json};
use transport_serial::{FRAME_LEN_MAX, Input, Link, SendError, Timing};

use crate::support::{Aggregator, Running, code, edge, stderr, stdout, until};

#[tokio::test(flavor = "multi_thread")]
async fn device_edge_and_cloud_converge_over_a_bad_line_and_a_kill() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let (port, key) = (free_port(), aggregator.key.to_string());
    let line = format!("127.0.0.1:{port}");
    let alone = ["--document", "pump", "--line-tcp", &line];
    let online = [&alone[..], &["--aggregator", &aggregator.address, "--key", &key]].concat();

    // All three write while nobody is connected.
    aggregator.set("cloud/setpoint", 7).await;
    let device = Device::start(port, "pump");
    device.set("device/level", 1);
    let mut running = Running::start(store, &alone);
    assert_eq!(code(&edge(store, &["set", "edge/mode", "auto"])), 0);
    until("the device's write at the edge", async || get(store, "device/level") == json!(1)).await;
    until("the edge's write at the device", async || device.has("edge/mode")).await;
    until("a receipt of the edge's disk", async || device.is_acknowledged()).await;
    assert_eq!(aggregator.tree().await, json!({"cloud": {"setpoint": 7}}), "the edge is offline");

    // The edge is killed: what it has acknowledged is there, and goes on from there.
    drop(running);
    device.set("device/level", 2);
    running = Running::start(store, &online);
    let all = json!({"cloud": {"setpoint": 7}, "edge": {"mode": "auto"}, "device": {"level": 2}});
    until("convergence at the aggregator", async || aggregator.tree().await == all).await;
    until("the cloud's write at the device", async || device.tree() == all).await;

    // Every hundredth byte is wrong, and the line is cut now and then.
    device.damage(100);
    for round in 3..23 {
        device.set("device/level", round);
        aggregator.set("cloud/setpoint", round * 10).await;
        if round % 7 == 0 {
            device.cut();
        }
        if round == 12 {
            drop(running);
            running = Running::start(store, &online);
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(code(&edge(store, &["set", "edge/mode", "manual"])), 0);
    device.damage(0);
    let all = json!({"cloud": {"setpoint": 220}, "edge": {"mode": "manual"}, "device": {"level": 22}});
    until("convergence at the aggregator", async || aggregator.tree().await == all).await;
    until("convergence at the device", async || device.tree() == all).await;
    until("convergence at the edge", async || get(store, "device/level") == json!(22)).await;
    assert!(device.dropped() > 0, "the line was bad");
    let status: Json = serde_json::from_str(&stdout(&edge(store, &["status", "--json"]))).unwrap();
    assert_eq!(status["lines"][0]["open"], true, "{status}");
    assert_eq!(status["lines"][0]["documents"], json!(["pump"]));
    assert!(status["lines"][0]["frames_received"].as_u64() > Some(0), "{status}");
    drop(running);
}

/// Whoever has the wire may open what the line is for, and is told so where it asks for something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_serves_its_documents_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let socket = store.join("line.sock");
    let argument = format!("{}=pump", socket.display());
    let unknown = edge(store, &["run", "--document", "town", "--line-unix", &argument]);
    assert_eq!(code(&unknown), 2, "{}", stderr(&unknown));
    assert!(stderr(&unknown).contains("which this edge does not have"), "{}", stderr(&unknown));
    let bad = edge(store, &["run", "--document", "town", "--serial", "/dev/ttyUSB0:fast"]);
    assert_eq!(code(&bad), 2, "{}", stderr(&bad));

    let running =
        Running::start(store, &["--document", "town", "--document", "pump", "--line-unix", &argument]);
    let stranger = Device::start_on(Port::Unix(socket.clone()), "town");
    stranger.set("from/outside", 1);
    until("the refusal", async || stranger.is_refused()).await;
    let status = stdout(&edge(store, &["status"]));
    assert!(status.contains("asks for the document \"town\"; this line serves pump"), "{status}");
    assert_eq!(code(&edge(store, &["get", "from", "--document", "town"])), 4, "nothing of it is here");
    drop(stranger);
    let pump = Device::start_on(Port::Unix(socket), "pump");
    pump.set("level", 5);
    let level = || stdout(&edge(store, &["get", "level", "--document", "pump"]));
    until("the device's write", async || level() == "5\n").await;
    drop(running);
}

/// A port that is not there yet is tried again, and the status says what is wrong with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_serial_port_that_is_missing_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let port = store.join("ttyNONE");
    let _running = Running::start(store, &["--document", "pump", "--serial", port.to_str().unwrap()]);
    until("the problem", async || {
        let status: Json = serde_json::from_str(&stdout(&edge(store, &["status", "--json"]))).unwrap();
        status["lines"][0]["problem"].as_str().is_some_and(|problem| problem.contains("No such file"))
    })
    .await;
    assert_eq!(code(&edge(store, &["set", "a", "1"])), 0, "the edge works without it");
}

fn get(store: &Path, path: &str) -> Json {
    serde_json::from_str(&stdout(&edge(store, &["get", path]))).unwrap_or_default()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

type Pump = Replica<Fixed<Cells<32>, Bytes<1024>, Replicas<8>, Peers<1>>, CountingRng>;

/// A device that runs in a thread until it is dropped. It has no clock.
struct Device {
    asks: std::sync::mpsc::Sender<Ask>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

type Ask = Box<dyn FnOnce(&mut Life) + Send>;

#[derive(Default)]
struct Shared {
    /// One byte of so many is damaged; none at 0.
    damage: AtomicU32,
    cut: AtomicBool,
    stop: AtomicBool,
}

#[derive(Clone)]
enum Port {
    Tcp(u16),
    Unix(std::path::PathBuf),
}

trait Wire: Read + std::io::Write {}

impl<T: Read + std::io::Write> Wire for T {}

impl Port {
    fn connect(&self) -> Option<Box<dyn Wire>> {
        match self {
            Self::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).ok()?;
                stream.set_read_timeout(Some(PAUSE)).unwrap();
                Some(Box::new(stream))
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).ok()?;
                stream.set_read_timeout(Some(PAUSE)).unwrap();
                Some(Box::new(stream))
            }
        }
    }
}

impl Device {
    fn start(port: u16, document: &str) -> Self {
        Self::start_on(Port::Tcp(port), document)
    }

    fn start_on(port: Port, document: &str) -> Self {
        let (asks, asked) = std::sync::mpsc::channel::<Ask>();
        let shared = Arc::new(Shared::default());
        let (name, of_thread) = (DocumentName::new(document).unwrap(), shared.clone());
        let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
            let mut life = Life::new(&name);
            while !of_thread.stop.load(Ordering::Relaxed) {
                asked.try_iter().for_each(|ask| ask(&mut life));
                life.work(&port, &of_thread);
            }
        });
        Self { asks, shared, thread: Some(thread.unwrap()) }
    }

    fn ask<T: Send + 'static>(&self, ask: impl FnOnce(&mut Life) -> T + Send + 'static) -> T {
        let (reply, answer) = std::sync::mpsc::channel();
        self.asks.send(Box::new(move |life| reply.send(ask(life)).unwrap())).unwrap();
        answer.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    fn set(&self, path: &'static str, value: i64) {
        self.ask(move |life| {
            let moment = Moment::UNKNOWN;
            life.replica.update(moment, &[Write::set(CellPath::new(path).unwrap(), value)]).unwrap();
            life.replica.request_acknowledgement();
        });
    }

    fn has(&self, path: &'static str) -> bool {
        self.ask(move |life| life.replica.document().get(CellPath::new(path).unwrap()).is_some())
    }

    fn tree(&self) -> Json {
        self.ask(|life| control::tree(None, life.replica.document().iter(None)).unwrap_or_default())
    }

    fn is_acknowledged(&self) -> bool {
        self.ask(|life| {
            let own = life.replica.document().version_vector().time_of(life.replica.id());
            life.replica.acknowledged_through(GATEWAY) >= own
        })
    }

    fn is_refused(&self) -> bool {
        self.ask(|life| life.refused == Some(Refusal::Access))
    }

    fn dropped(&self) -> u32 {
        self.ask(|life| life.link.counters().damaged + life.link.counters().repeated)
    }

    fn damage(&self, one_in: u32) {
        self.shared.damage.store(one_in, Ordering::Relaxed);
    }

    fn cut(&self) {
        self.shared.cut.store(true, Ordering::Relaxed);
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the device has panicked");
    }
}

/// What the firmware does, in a loop.
struct Life {
    replica: Pump,
    link: Link<1, 0>,
    session: Option<SessionId>,
    wire: Option<Box<dyn Wire>>,
    refused: Option<Refusal>,
    random: u64,
    started: Instant,
}

impl Life {
    fn new(name: &DocumentName) -> Self {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).unwrap();
        let random = u64::from_le_bytes(seed);
        let config = Config { frame_len_max: FRAME_LEN_MAX, ..Config::new(Role::Member) };
        let mut link = Link::initiator(Timing { repeat_ms: 50, repeats_max: 5 }, random as u32);
        link.begin();
        Self {
            replica: Pump::new(name, config, CountingRng::new(random)),
            link,
            session: None,
            wire: None,
            refused: None,
            random,
            started: Instant::now(),
        }
    }

    fn random(&mut self) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random
    }

    fn work(&mut self, port: &Port, shared: &Shared) {
        if shared.cut.swap(false, Ordering::Relaxed) {
            self.wire = None;
        }
        if self.wire.is_none() {
            self.wire = port.connect();
            if self.wire.is_none() {
                std::thread::sleep(PAUSE);
            }
        }
        let mut buffer = [0; 256];
        let read = self.wire.as_mut().map(|wire| wire.read(&mut buffer));
        let len = match read {
            Some(Ok(0)) => {
                self.wire = None;
                0
            }
            Some(Ok(len)) => len,
            Some(Err(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
            Some(Err(_)) => {
                self.wire = None;
                0
            }
            None => 0,
        };
        self.damage(shared, &mut buffer[..len]);
        let mut bytes = &buffer[..len];
        loop {
            let moment = Moment::UNKNOWN;
            match self.link.receive(&mut bytes) {
                Some(Input::Begun) => {
                    self.session.take().into_iter().for_each(|session| self.replica.disconnect(session));
                    let connect = Connect::initiator(GATEWAY, Role::Aggregator, 0);
                    self.session = Some(self.replica.connect(connect).unwrap());
                }
                Some(Input::Frame(frame)) => {
                    if let Some(session) = self.session {
                        self.replica.handle_frame(moment, session, frame).ok();
                    }
                }
                Some(Input::Over(_)) => {
                    self.session.take().into_iter().for_each(|session| self.replica.disconnect(session));
                    self.link.begin();
                }
                None => break,
            }
        }
        let mut frame = [0; FRAME_LEN_MAX];
        while self.link.has_capacity() || self.replica.has_unsaved() {
            let moment = Moment::UNKNOWN;
            let Some(output) = self.replica.poll_output(moment, &mut frame) else { break };
            match output {
                // Its memory is its disk: it lives as long as the test.
                Output::Persist => {
                    let token = self.replica.take_unsaved(|_| {});
                    self.replica.handle_persisted(token);
                }
                Output::Transmit { len, .. } => match self.link.send(&frame[..len]) {
                    Ok(()) | Err(SendError::Closed) => {}
                    Err(error) => panic!("{error}"),
                },
                Output::Close { session } if self.session == Some(session) => {
                    self.session = None;
                    self.link.begin();
                }
                Output::Event(Event::Refused { reason, .. }) => self.refused = Some(reason),
                Output::Close { .. } | Output::Event(_) => {}
            }
        }
        let now_ms = self.started.elapsed().as_millis() as u32;
        while let Some(line) = self.link.poll_line(now_ms) {
            let mut line = line.to_vec();
            self.damage(shared, &mut line);
            if let Some(wire) = &mut self.wire
                && wire.write_all(&line).is_err()
            {
                self.wire = None;
            }
        }
    }

    fn damage(&mut self, shared: &Shared, bytes: &mut [u8]) {
        let one_in = shared.damage.load(Ordering::Relaxed);
        for byte in bytes.iter_mut().filter(|_| one_in > 0) {
            let random = self.random() >> 32;
            if random.is_multiple_of(u64::from(one_in)) {
                *byte ^= 1 << (random >> 8 & 7);
            }
        }
    }
}

const GATEWAY: PeerId = PeerId([1; 32]);
const PAUSE: Duration = Duration::from_millis(3);
