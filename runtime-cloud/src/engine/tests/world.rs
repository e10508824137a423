//! An engine, its disk, and devices on a perfect network. The test decides when a commit is done.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::BTreeMap;

use crdt_core::{
    Config, Connect, CountingRng, DocumentName, Heap, Moment, Output as Work, Path, PeerId, Replica,
    ReplicaId, Role, SessionId, Time, Value, Write, peek_handle,
};
use storage_redb::{Batch, Store};
use tempfile::TempDir;
use transport_quic::{CloseCode, CloseReason, ConnectionId, Identity, Link, LinkEvent, MessageId, PublicKey};

use super::super::{Engine, Output, Reply, Request, RequestId, Setup};
use crate::access::{Access, SETTING_PREFIX};

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) now_ms: u64,
    link: Link,
    next_port: u16,
    directory: TempDir,
    store: Option<Store>,
    /// A commit that the engine waits for.
    pub(super) committing: Option<Batch<'static>>,
    /// Documents that the engine wants loaded.
    pub(super) loading: Vec<String>,
    pub(super) devices: BTreeMap<ConnectionId, Device>,
    pub(super) closed: Vec<(ConnectionId, CloseCode, String)>,
    pub(super) abandoned: Vec<ConnectionId>,
    /// Frames of other documents than the device's first one.
    pub(super) others: Vec<(ConnectionId, u16)>,
    pub(super) replies: Vec<(RequestId, Reply)>,
    /// Messages that came on each connection, and how many of them the transport may acknowledge.
    pub(super) came: BTreeMap<ConnectionId, u64>,
    pub(super) released: BTreeMap<ConnectionId, u64>,
    /// Whether messages are reported as delivered.
    pub(super) delivers: bool,
    pub(super) commits: u64,
    random: u64,
}

/// One connection of a device.
pub(super) struct Device {
    pub(super) replica: Replica<Heap, CountingRng>,
    session: SessionId,
    /// Frames that came.
    pub(super) received: u64,
}

pub(super) fn key(number: u8) -> PublicKey {
    PublicKey([number; 32])
}

pub(super) fn path(text: &str) -> Path<'_> {
    Path::new(text).unwrap()
}

const CLOUD: PeerId = PeerId([255; 32]);

impl World {
    pub(super) fn new() -> Self {
        Self::with_window(1 << 20)
    }

    /// With a transport that lets this many bytes of a connection be under way.
    pub(super) fn with_window(window_bytes: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let mut access = Access::default();
        for number in 1..=9 {
            access.allow(key(number), None).unwrap();
        }
        let link = Link::client(Identity::from_bytes([1; 32]), transport_quic::Config::cat_m1(), [1; 32]);
        Self {
            engine: engine(access, Vec::new(), window_bytes),
            now_ms: START_MS,
            link,
            next_port: 1,
            directory,
            store: Some(store),
            committing: None,
            loading: Vec::new(),
            devices: BTreeMap::new(),
            closed: Vec::new(),
            abandoned: Vec::new(),
            others: Vec::new(),
            replies: Vec::new(),
            came: BTreeMap::new(),
            released: BTreeMap::new(),
            delivers: true,
            commits: 0,
            random: 0,
        }
    }

    pub(super) fn now(&self) -> Time {
        Time::from_clock_ms(self.now_ms)
    }

    /// The process dies and starts again: what was not committed is gone, and so are the connections.
    pub(super) fn restart(&mut self) {
        self.store = None;
        let store = Store::open_existing(&self.directory.path().join("store")).unwrap();
        let access = Access::load(&store.settings_with_prefix(SETTING_PREFIX).unwrap()).unwrap();
        self.engine = engine(access, store.documents().unwrap(), 1 << 20);
        self.store = Some(store);
        self.committing = None;
        self.loading.clear();
        self.devices.clear();
    }

    /// A fresh connection id.
    pub(super) fn conn(&mut self) -> ConnectionId {
        self.next_port += 1;
        let address = ([127, 0, 0, 1], self.next_port).into();
        let expected = Identity::from_bytes([2; 32]).public_key();
        self.link.connect(std::time::Instant::now(), address, expected).unwrap()
    }

    /// A device connects, with a new replica of a document.
    pub(super) fn connect(&mut self, number: u8, document: &str) -> ConnectionId {
        self.random += 1;
        let id = ReplicaId::new(u64::from(number) << 32 | self.random);
        let replica = Replica::new(
            &DocumentName::new(document).unwrap(),
            Config::new(Role::Member),
            CountingRng::new(id.get()),
        );
        self.connect_with(number, replica)
    }

    pub(super) fn connect_with(
        &mut self,
        number: u8,
        mut replica: Replica<Heap, CountingRng>,
    ) -> ConnectionId {
        let conn = self.conn();
        let connect = Connect::initiator(CLOUD, Role::Aggregator, 0);
        let session = replica.connect(connect).unwrap();
        self.devices.insert(conn, Device { replica, session, received: 0 });
        let connected = LinkEvent::Connected { conn, peer: key(number), initiated: false };
        self.engine.handle_link(self.now(), connected);
        conn
    }

    pub(super) fn message(&mut self, conn: ConnectionId, message: &[u8]) {
        *self.came.entry(conn).or_default() += 1;
        self.engine.handle_link(self.now(), LinkEvent::Message { conn, message: message.to_vec() });
    }

    pub(super) fn gone(&mut self, conn: ConnectionId) -> Option<Device> {
        self.engine.handle_link(self.now(), LinkEvent::Closed { conn, reason: CloseReason::Reset });
        self.devices.remove(&conn)
    }

    pub(super) fn set<'a>(&mut self, conn: ConnectionId, at: &'a str, value: impl Into<Value<'a>>) -> Time {
        let moment = self.moment();
        let device = self.devices.get_mut(&conn).unwrap();
        device.replica.update(moment, &[Write::set(path(at), value)]).unwrap().unwrap().time
    }

    pub(super) fn get(&self, conn: ConnectionId, at: &str) -> Option<Value<'_>> {
        self.devices[&conn].replica.document().get(path(at))
    }

    /// The device asks what is durable.
    pub(super) fn ask(&mut self, conn: ConnectionId) {
        self.devices.get_mut(&conn).unwrap().replica.request_acknowledgement();
    }

    /// What the device knows to be durable.
    pub(super) fn acknowledged(&self, conn: ConnectionId) -> Time {
        self.devices[&conn].replica.acknowledged_through(CLOUD)
    }

    pub(super) fn request(&mut self, id: u64, request: Request) {
        self.engine.handle_request(self.now(), RequestId(id), request);
    }

    /// The reply to a request, if there is one; taken.
    pub(super) fn reply(&mut self, id: u64) -> Option<Reply> {
        let at = self.replies.iter().position(|(request, _)| request.0 == id)?;
        Some(self.replies.remove(at).1)
    }

    /// Everything happens that can without the disk.
    pub(super) fn run(&mut self) {
        loop {
            let mut is_idle = true;
            let conns: Vec<_> = self.devices.keys().copied().collect();
            for conn in conns {
                is_idle &= !self.run_device(conn);
            }
            while let Some(output) = self.engine.poll_output(self.now()) {
                is_idle = false;
                self.carry(output);
            }
            if is_idle {
                return;
            }
        }
    }

    /// The commit that is under way is done.
    pub(super) fn commit(&mut self) {
        let batch = self.committing.take().expect("a commit is under way");
        self.store.as_ref().unwrap().commit(&batch).unwrap();
        self.commits += 1;
        self.engine.handle_committed(self.now());
    }

    /// What the engine wants loaded is loaded.
    pub(super) fn load(&mut self) {
        for document in std::mem::take(&mut self.loading) {
            let (store, moment) = (self.store.as_ref().unwrap(), Moment::new(self.now_ms));
            self.random += 1;
            let rng = ChaCha12Rng::seed_from_u64(self.random);
            let loaded = crate::disk::load(store, &document, rng, moment).unwrap();
            self.engine.handle_loaded(&document, loaded);
        }
    }

    /// Everything happens, with a disk that is always fast.
    pub(super) fn settle(&mut self) {
        loop {
            self.run();
            match (self.committing.is_some(), self.loading.is_empty()) {
                (true, _) => self.commit(),
                (false, false) => self.load(),
                (false, true) => return,
            }
        }
    }

    fn run_device(&mut self, conn: ConnectionId) -> bool {
        let mut buffer = vec![0; 16 << 10];
        let mut is_busy = false;
        loop {
            let moment = self.moment();
            let Some(device) = self.devices.get_mut(&conn) else { return is_busy };
            let Some(work) = device.replica.poll_output(moment, &mut buffer) else { return is_busy };
            is_busy = true;
            match work {
                Work::Persist => {
                    let token = device.replica.take_unsaved(|_| {});
                    device.replica.handle_persisted(token);
                }
                Work::Transmit { len, .. } => self.message(conn, &buffer[..len]),
                Work::Event(_) | Work::Close { .. } => {}
            }
        }
    }

    fn carry(&mut self, output: Output) {
        match output {
            Output::Abandon { conn } => self.abandoned.push(conn),
            Output::Close { conn, code, text } => {
                self.devices.remove(&conn);
                self.closed.push((conn, code, text));
            }
            Output::Commit(batch) => {
                assert!(self.committing.replace(batch).is_none(), "one commit at a time");
            }
            Output::Load { document } => self.loading.push(document),
            Output::Release { conn, messages } => *self.released.entry(conn).or_default() += messages,
            Output::Reply { request, reply } => self.replies.push((request, reply)),
            Output::Send { conn, frame } => {
                let moment = self.moment();
                let (now, delivers) = (self.now(), self.delivers);
                let Some(device) = self.devices.get_mut(&conn) else { return };
                let id = MessageId(device.received);
                device.received += 1;
                if let Some(handle) = peek_handle(&frame).filter(|handle| *handle != 0) {
                    self.others.push((conn, handle));
                    self.engine.handle_link(now, LinkEvent::Delivered { conn, id });
                    return;
                }
                device.replica.handle_frame(moment, device.session, &frame).unwrap();
                if delivers {
                    self.engine.handle_link(now, LinkEvent::Delivered { conn, id });
                }
            }
        }
    }

    fn moment(&self) -> Moment {
        Moment::new(self.now_ms)
    }
}

fn engine(access: Access, documents: Vec<String>, window_bytes: usize) -> Engine {
    let setup = Setup { key: key(255), access, documents, window_bytes, seed: [7; 32] };
    Engine::new(Time::from_clock_ms(START_MS), setup)
}

const START_MS: u64 = 1_770_000_000_000;
