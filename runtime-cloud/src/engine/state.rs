//! The engine: what comes in, what goes out, and the one commit at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use control::{Delete, Get, Set, Watch};
use crdt_core::{
    Config, DocumentName, Heap, Path, Refusal, Replica, Role, Time, peek_handle, peek_open, write_refusal,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::json;
use storage_redb::Batch;
use transport_quic::{CloseCode, ConnectionId, Faults, Ledger, LinkEvent, PublicKey};

use super::hosted::{Context, DocumentRequest, Effect, Hosted, Input};
use super::output::{Output, Reply, RequestId};
use super::request::{Request, RequestError};
use super::router::{Queued, Router};
use crate::access::{Access, Grant};
use crate::limits::{
    DOCUMENT_LIMITS, DOCUMENTS_MAX, FRAME_BUFFER_BYTES, INPUT_BYTES_MAX, REQUESTS_MAX,
    SESSIONS_PER_CONNECTION_MAX, WATCHES_MAX,
};
use crate::status::{ConnectionStatus, CounterStatus, DeviceStatus, DocumentStatus, QueueStatus, Status};

/// The aggregator as a state machine. See the [module](super) for how it works.
///
/// The driver's loop: hand over everything that has come in, as long as [`accepts_input`](Self::accepts_input); then
/// take outputs with [`poll_output`](Self::poll_output) until there is none, and do them in order; then wait. Handing
/// over much before polling makes commits larger and fewer.
///
/// Every input has the wall clock's time. Cost of an input: a few look-ups; the work is done in `poll_output`.
pub struct Engine {
    key: PublicKey,
    started_at: Time,
    access: Access,
    router: Router,
    documents: BTreeMap<Arc<str>, Hosted>,
    /// Names of the documents in the store, and of those that will be there after the next commit.
    stored: BTreeSet<String>,
    /// Documents with something to do; each is here once.
    ready: VecDeque<Arc<str>>,
    outputs: VecDeque<Output>,
    /// What the next commit is made of.
    collecting: Collecting,
    /// What waits for the commit that is under way.
    under_way: Option<Waiting>,
    watches: BTreeMap<RequestId, Arc<str>>,
    /// Requests without an answer, watches aside.
    requests: usize,
    input_bytes: usize,
    random: ChaCha12Rng,
    buffer: Vec<u8>,
    counters: CounterStatus,
    ledger: Ledger,
    faults: Faults,
}

/// What an engine starts with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The aggregator's key, for the status.
    pub key: PublicKey,
    /// Who may come in.
    pub access: Access,
    /// The names of the documents in the store.
    pub documents: Vec<String>,
    /// What the transport lets one connection have under way, in bytes: `send_window_bytes` of its configuration.
    pub window_bytes: usize,
    /// Unpredictable, and another one at each start: ids of replicas come from it.
    pub seed: [u8; 32],
}

/// Why a frame belongs to no open document.
enum Unopened {
    /// The connection is to end.
    Connection(CloseCode, String),
    /// The device may not open this document; the connection is fine.
    Document {
        /// The device has asked for it in this frame.
        is_asked: bool,
    },
}

#[derive(Debug, Default)]
struct Collecting {
    batch: Batch<'static>,
    waiting: Waiting,
}

#[derive(Debug, Default)]
struct Waiting {
    documents: Vec<Arc<str>>,
    replies: Vec<(RequestId, Reply)>,
}

impl Engine {
    /// An engine with no connection and no document in memory.
    #[must_use]
    pub fn new(now: Time, setup: Setup) -> Self {
        Self {
            key: setup.key,
            started_at: now,
            access: setup.access,
            router: Router::new(setup.window_bytes),
            documents: BTreeMap::new(),
            stored: setup.documents.into_iter().collect(),
            ready: VecDeque::new(),
            outputs: VecDeque::new(),
            collecting: Collecting::default(),
            under_way: None,
            watches: BTreeMap::new(),
            requests: 0,
            input_bytes: 0,
            random: ChaCha12Rng::from_seed(setup.seed),
            buffer: vec![0; FRAME_BUFFER_BYTES],
            counters: CounterStatus::default(),
            ledger: Ledger::default(),
            faults: Faults::default(),
        }
    }

    /// Something happened on the link.
    pub fn handle_link(&mut self, now: Time, event: LinkEvent) {
        match event {
            LinkEvent::Connected { conn, peer, .. } => self.connected(now, conn, peer),
            LinkEvent::Message { conn, message } => self.handle_frame(now, conn, message),
            LinkEvent::Delivered { conn, id } => {
                for frame in self.router.delivered(now, conn, id) {
                    self.outputs.push_back(Output::Send { conn, frame });
                }
            }
            LinkEvent::Closed { conn, reason } => {
                if let Some(key) = self.drop_connection(conn) {
                    tracing::info!(%conn, %key, %reason, "device gone");
                    self.access.note_seen(key, now);
                }
            }
            // A kind of event that a later version of the transport knows.
            event => tracing::debug!(?event, "link"),
        }
    }

    /// Somebody asks something. The answer is a [`Output::Reply`] with this id; a watch has many.
    pub fn handle_request(&mut self, now: Time, id: RequestId, request: Request) {
        if self.requests >= REQUESTS_MAX {
            self.outputs.push_back(Output::Reply { request: id, reply: Reply::Failed(RequestError::Busy) });
            return;
        }
        self.requests += 1;
        if let Err(error) = self.serve_request(now, id, request) {
            self.reply(id, Reply::Failed(error));
        }
    }

    /// The listener of a watch has taken what [`Reply::Changes`] told.
    pub fn handle_watch_written(&mut self, id: RequestId) {
        let Some(name) = self.watches.get(&id).cloned() else { return };
        if let Some(hosted) = self.documents.get_mut(&name) {
            hosted.watch_written(id);
        }
        self.make_ready(&name);
    }

    /// The listener of a watch has gone.
    pub fn handle_watch_end(&mut self, id: RequestId) {
        if let Some(hosted) = self.watches.remove(&id).and_then(|name| self.documents.get_mut(&name)) {
            hosted.end_watch(id);
        }
    }

    /// A document was loaded, as [`Output::Load`] asked; `None` if the store has none of this name. An error is what
    /// is wrong with this document; if the store as a whole failed, drop the engine.
    pub fn handle_loaded(&mut self, name: &str, loaded: Result<Option<Replica<Heap, ChaCha12Rng>>, String>) {
        let Some((name, _)) = self.documents.get_key_value(name) else { return };
        let name = name.clone();
        match loaded {
            Ok(replica) => {
                let replica = replica.unwrap_or_else(|| new_replica(&name, &mut self.random));
                if let Some(hosted) = self.documents.get_mut(&name) {
                    hosted.loaded(replica);
                }
                self.make_ready(&name);
            }
            Err(detail) => self.give_up(&name, &detail),
        }
    }

    /// The batch of [`Output::Commit`] is durable.
    pub fn handle_committed(&mut self, now: Time) {
        let Some(done) = self.under_way.take() else { return };
        self.counters.commits += 1;
        self.counters.documents_committed += done.documents.len() as u64;
        for (id, reply) in done.replies {
            self.reply(id, reply);
        }
        for name in done.documents {
            self.run(now, &name, Hosted::committed);
            if self.documents.get(&name).is_some_and(Hosted::has_input) {
                self.make_ready(&name);
            }
        }
    }

    /// Looks after what is not urgent; every [`TICK`](crate::limits::TICK).
    pub fn handle_tick(&mut self, now: Time) {
        for conn in self.router.stalled(now) {
            tracing::warn!(%conn, "the device acknowledges nothing; its connection is forgotten");
            self.drop_connection(conn);
            self.outputs.push_back(Output::Abandon { conn });
        }
        let names: Vec<_> = self.documents.keys().cloned().collect();
        for name in names {
            self.push(&name, Input::Tick);
        }
    }

    /// The process is to end: what is not durable yet goes into a last commit, requests and watches end. Poll until
    /// [`is_settled`](Self::is_settled), and feed nothing more.
    pub fn begin_stop(&mut self) {
        let names: Vec<_> = self.documents.keys().cloned().collect();
        for name in names {
            if let Some(hosted) = self.documents.get_mut(&name) {
                for id in hosted.take_watches() {
                    self.watches.remove(&id);
                    let reply = Reply::Failed(RequestError::Stopping);
                    self.outputs.push_back(Output::Reply { request: id, reply });
                }
            }
            self.push(&name, Input::Save);
        }
        self.access.stage(&mut self.collecting.batch);
    }

    /// What the link has cost so far, and what it dropped, for the status.
    pub fn note_link(&mut self, ledger: Ledger, faults: Faults) {
        self.ledger = ledger;
        self.faults = faults;
    }

    /// The next thing to do, or `None` until the next input.
    pub fn poll_output(&mut self, now: Time) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if let Some(name) = self.ready.pop_front() {
                if let Some(hosted) = self.documents.get_mut(&name) {
                    hosted.is_ready = false;
                }
                self.run(now, &name, Hosted::step);
                continue;
            }
            if self.under_way.is_some() {
                return None;
            }
            if self.collecting.is_empty() {
                return None;
            }
            // When devices were last seen rides along: alone it is worth no commit before the end.
            self.access.stage(&mut self.collecting.batch);
            let Collecting { batch, waiting } = std::mem::take(&mut self.collecting);
            if batch.is_empty() {
                for (id, reply) in waiting.replies {
                    self.reply(id, reply);
                }
                continue;
            }
            self.under_way = Some(waiting);
            return Some(Output::Commit(batch));
        }
    }

    /// Whether there is capacity for more events of the link. When there is none, commits or loads are under way; read on
    /// when they are done.
    #[must_use]
    pub fn accepts_input(&self) -> bool {
        self.input_bytes < INPUT_BYTES_MAX
    }

    /// Whether all that came in is durable, answered and handed to the link.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.outputs.is_empty()
            && self.ready.is_empty()
            && self.under_way.is_none()
            && self.collecting.is_empty()
            && self.input_bytes == 0
    }

    /// How it is.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        let document = |(name, hosted): (&Arc<str>, &Hosted)| {
            let size = hosted.replica().map(|replica| replica.document().size());
            DocumentStatus {
                name: name.to_string(),
                cells: size.map_or(0, |size| size.cells),
                bytes: size.map_or(0, |size| size.bytes),
                sessions: hosted.sessions(),
                queued_bytes: hosted.inbox_bytes(),
                is_committing: hosted.is_committing(),
            }
        };
        let connections = self.router.connections().map(|(_, connection)| ConnectionStatus {
            key: connection.key,
            connected_ms: now.as_ms().saturating_sub(connection.since.as_ms()),
            documents: connection.handles.values().map(ToString::to_string).collect(),
            unacknowledged_bytes: connection.unsent_bytes(),
        });
        Status {
            key: self.key,
            uptime_ms: now.as_ms().saturating_sub(self.started_at.as_ms()),
            documents_stored: self.stored.len(),
            documents: self.documents.iter().map(document).collect(),
            devices_allowed: self.access.devices().len(),
            devices: connections.collect(),
            counters: self.counters,
            faults: self.faults,
            queues: QueueStatus {
                input_bytes: self.input_bytes,
                outbox_bytes: self.router.outbox_bytes(),
                requests: self.requests,
                watches: self.watches.len(),
            },
            bytes: self.ledger,
        }
    }

    /// The document's replica, if it is in memory.
    #[must_use]
    pub fn replica(&self, document: &str) -> Option<&Replica<Heap, ChaCha12Rng>> {
        self.documents.get(document)?.replica()
    }

    // ---- devices ----

    fn connected(&mut self, now: Time, conn: ConnectionId, key: PublicKey) {
        if self.access.device(key).is_none() {
            tracing::info!(%conn, %key, "unknown key refused");
            self.counters.access_denied += 1;
            let text = format!("key {key} is not allowed in here; to let it in: aggregator allow {key}");
            self.outputs.push_back(Output::Close { conn, code: CloseCode::AccessDenied, text });
            return;
        }
        tracing::info!(%conn, %key, "device here");
        self.access.note_seen(key, now);
        if let Some(older) = self.router.of_key(key) {
            // A device has one connection at a time. There is no timeout that would end the older one.
            self.drop_connection(older);
            self.outputs.push_back(Output::Abandon { conn: older });
        }
        self.router.connect(now, conn, key);
    }

    fn handle_frame(&mut self, now: Time, conn: ConnectionId, frame: Vec<u8>) {
        // Frames of a connection that was closed here may still come.
        let Some(connection) = self.router.get_mut(conn) else { return };
        let key = connection.key;
        let Some(handle) = peek_handle(&frame) else {
            let text = "a frame begins with the handle of its document; this one does not".to_owned();
            return self.close(conn, CloseCode::ProtocolError, text);
        };
        let known = connection.handles.get(&handle).cloned();
        self.counters.frames_received += 1;
        let opened = match known {
            Some(name) => Ok(name),
            None => self.open(conn, key, handle, &frame),
        };
        match opened {
            Ok(name) => self.push(&name, Input::Frame { conn, handle, key, frame }),
            Err(Unopened::Connection(code, text)) => self.close(conn, code, text),
            Err(Unopened::Document { is_asked }) => {
                if is_asked {
                    self.refuse(now, conn, handle);
                }
                // Nothing of it is taken, so nothing is waited for.
                self.outputs.push_back(Output::Release { conn, messages: 1 });
            }
        }
    }

    /// Tells a device that it may not open a document. Its others go on.
    fn refuse(&mut self, now: Time, conn: ConnectionId, handle: u16) {
        let Some(len) = write_refusal(handle, Refusal::Access, &mut self.buffer) else { return };
        let frame = self.buffer[..len].to_vec();
        self.send(now, conn, frame);
    }

    /// The first frame of a handle: names the document, which is looked up, or made.
    fn open(
        &mut self,
        conn: ConnectionId,
        key: PublicKey,
        handle: u16,
        frame: &[u8],
    ) -> Result<Arc<str>, Unopened> {
        let protocol_error = |text| Unopened::Connection(CloseCode::ProtocolError, text);
        let Some(connection) = self.router.get_mut(conn) else {
            return Err(protocol_error("the connection has ended".to_owned()));
        };
        let is_full = connection.handles.len() + connection.refused.len() >= SESSIONS_PER_CONNECTION_MAX;
        let is_refused = connection.refused.contains(&handle);
        let Some((_, name)) = peek_open(frame) else {
            if is_refused {
                // Sent before the device knew.
                return Err(Unopened::Document { is_asked: false });
            }
            let text = format!("handle {handle} was never opened on this connection; begin with Open");
            return Err(protocol_error(text));
        };
        if let Some((other, _)) = connection.handles.iter().find(|(_, opened)| opened.as_ref() == name) {
            let text = format!("document {name:?} is open on this connection with handle {other} already");
            return Err(protocol_error(text));
        }
        if is_full && !is_refused {
            let text =
                format!("{SESSIONS_PER_CONNECTION_MAX} documents are open on this connection, the limit");
            return Err(Unopened::Connection(CloseCode::Overloaded, text));
        }
        if !self.access.may_open(key, name) {
            connection.refused.insert(handle);
            self.counters.access_denied += 1;
            tracing::info!(%conn, "key {key} may not open document {name:?}; to let it: aggregator allow {key} --document {name:?}");
            return Err(Unopened::Document { is_asked: true });
        }
        connection.refused.remove(&handle);
        let overloaded = |error: RequestError| Unopened::Connection(CloseCode::Overloaded, error.to_string());
        let opened = self.host(name).map_err(overloaded)?;
        if let Some(connection) = self.router.get_mut(conn) {
            connection.handles.insert(handle, opened.clone());
        }
        Ok(opened)
    }

    fn close(&mut self, conn: ConnectionId, code: CloseCode, text: String) {
        match code {
            CloseCode::ProtocolError => self.counters.protocol_errors += 1,
            CloseCode::Overloaded => self.counters.overloads += 1,
            _ => {}
        }
        // Only what is open can be closed: several documents may want that of one connection.
        if let Some(key) = self.drop_connection(conn) {
            tracing::warn!(%conn, %key, %code, text, "connection closed");
            self.outputs.push_back(Output::Close { conn, code, text });
        }
    }

    /// Forgets a connection and its sessions; gives its key if it was known.
    fn drop_connection(&mut self, conn: ConnectionId) -> Option<PublicKey> {
        let connection = self.router.remove(conn)?;
        for name in connection.handles.values() {
            self.push(name, Input::Gone { conn });
        }
        Some(connection.key)
    }

    // ---- requests ----

    fn serve_request(&mut self, now: Time, id: RequestId, request: Request) -> Result<(), RequestError> {
        match request {
            Request::Allow { key, document } => {
                if let Some(name) = &document {
                    DocumentName::new(name)?;
                }
                let changed = self.access.allow(key, document.as_deref())?;
                self.reply_when_durable(id, changed);
            }
            Request::Revoke { key } => {
                let changed = self.access.revoke(key);
                if let Some(conn) = self.router.of_key(key) {
                    let text = format!("key {key} was revoked; to let it in again: aggregator allow {key}");
                    self.close(conn, CloseCode::AccessDenied, text);
                }
                let names: Vec<_> = self.documents.keys().cloned().collect();
                names.iter().for_each(|name| self.push(name, Input::Retire { key }));
                self.reply_when_durable(id, changed);
            }
            Request::List => {
                let devices: Vec<_> = self.device_status().collect();
                self.reply(id, Reply::Done(json!(devices)));
            }
            Request::Status => {
                let status = self.status(now);
                self.reply(id, Reply::Done(json!(status)));
            }
            Request::Get(Get { document, path }) => {
                check_path(path.as_deref())?;
                self.ask_stored(id, document, DocumentRequest::Get { path })?;
            }
            Request::Delete(Delete { document, path }) => {
                check_path(Some(&path))?;
                self.ask_stored(id, document, DocumentRequest::Delete { path })?;
            }
            Request::Set(Set { document, path, value }) => {
                check_path(Some(&path))?;
                let name = document.ok_or(RequestError::NoDocument)?;
                let name = self.host(DocumentName::new(&name)?.as_str())?;
                self.push(&name, Input::Request { id, request: DocumentRequest::Set { path, value } });
            }
            Request::Watch(Watch { document, path }) => {
                check_path(path.as_deref())?;
                if self.watches.len() >= WATCHES_MAX {
                    return Err(RequestError::TooManyWatches);
                }
                let name = self.ask_stored(id, document, DocumentRequest::Watch { path })?;
                self.watches.insert(id, name);
                self.requests -= 1;
            }
        }
        Ok(())
    }

    /// Passes a request on to a document that exists.
    fn ask_stored(
        &mut self,
        id: RequestId,
        document: Option<String>,
        request: DocumentRequest,
    ) -> Result<Arc<str>, RequestError> {
        let name = document.ok_or(RequestError::NoDocument)?;
        if !self.stored.contains(&name) && !self.documents.contains_key(name.as_str()) {
            return Err(RequestError::UnknownDocument { document: name });
        }
        let name = self.host(&name)?;
        self.push(&name, Input::Request { id, request });
        Ok(name)
    }

    fn reply(&mut self, request: RequestId, reply: Reply) {
        // A watch is not counted as waiting.
        if !matches!(reply, Reply::Changes(_)) && self.watches.remove(&request).is_none() {
            self.requests -= 1;
        }
        self.outputs.push_back(Output::Reply { request, reply });
    }

    fn reply_when_durable(&mut self, id: RequestId, changed: bool) {
        self.collecting.waiting.replies.push((id, Reply::Done(json!({ "changed": changed }))));
    }

    fn device_status(&self) -> impl Iterator<Item = DeviceStatus> {
        self.access.devices().map(|(key, device)| DeviceStatus {
            key,
            documents: match &device.grant {
                Grant::All => None,
                Grant::Documents(names) => Some(names.iter().cloned().collect()),
            },
            last_seen_ms: device.last_seen.map(Time::as_ms),
            is_connected: self.router.of_key(key).is_some(),
        })
    }

    // ---- documents ----

    /// Makes sure that a document is in memory, or on its way there.
    fn host(&mut self, name: &str) -> Result<Arc<str>, RequestError> {
        if let Some((name, _)) = self.documents.get_key_value(name) {
            return Ok(name.clone());
        }
        if !self.stored.contains(name) && self.stored.len() >= DOCUMENTS_MAX {
            return Err(RequestError::TooManyDocuments);
        }
        let shared: Arc<str> = name.into();
        let mut hosted = Hosted::loading(shared.clone());
        if self.stored.insert(name.to_owned()) {
            hosted.loaded(new_replica(name, &mut self.random));
        } else {
            self.outputs.push_back(Output::Load { document: name.to_owned() });
        }
        self.documents.insert(shared.clone(), hosted);
        Ok(shared)
    }

    /// A document cannot be loaded: whoever waits for it is told, and it may be tried again.
    fn give_up(&mut self, name: &Arc<str>, detail: &str) {
        let Some(hosted) = self.documents.remove(name) else { return };
        tracing::error!(document = %name, detail, "the document cannot be loaded");
        self.input_bytes -= hosted.inbox_bytes();
        for input in hosted.into_inbox() {
            match input {
                Input::Frame { conn, .. } => {
                    let text = format!("the aggregator cannot load document {name:?}; its log says why");
                    self.close(conn, CloseCode::Overloaded, text);
                }
                Input::Request { id, .. } => {
                    let error =
                        RequestError::Damaged { document: name.to_string(), detail: detail.to_owned() };
                    self.reply(id, Reply::Failed(error));
                }
                Input::Gone { .. } | Input::Retire { .. } | Input::Save | Input::Tick => {}
            }
        }
    }

    fn push(&mut self, name: &Arc<str>, input: Input) {
        let Some(hosted) = self.documents.get_mut(name) else { return };
        self.input_bytes += input.cost();
        hosted.push(input);
        self.make_ready(name);
    }

    fn make_ready(&mut self, name: &Arc<str>) {
        if let Some(hosted) = self.documents.get_mut(name)
            && !hosted.is_ready
        {
            hosted.is_ready = true;
            self.ready.push_back(name.clone());
        }
    }

    fn run(&mut self, now: Time, name: &Arc<str>, step: impl Fn(&mut Hosted, &mut Context<'_>) -> bool) {
        let Some(hosted) = self.documents.get_mut(name) else { return };
        let mut effects = Vec::new();
        let before = hosted.inbox_bytes();
        let mut context = Context {
            now,
            buffer: &mut self.buffer,
            batch: &mut self.collecting.batch,
            effects: &mut effects,
            counters: &mut self.counters,
        };
        if step(hosted, &mut context) {
            self.collecting.waiting.documents.push(name.clone());
        }
        self.input_bytes -= before - hosted.inbox_bytes();
        for effect in effects {
            match effect {
                Effect::Close { conn, code, text } => self.close(conn, code, text),
                Effect::Release { conn, frames } => {
                    self.outputs.push_back(Output::Release { conn, messages: frames });
                }
                Effect::Reply { id, reply: Reply::Changes(_) } if !self.watches.contains_key(&id) => {
                    // The listener went while its request still waited.
                    if let Some(hosted) = self.documents.get_mut(name) {
                        hosted.end_watch(id);
                    }
                }
                Effect::Reply { id, reply } => self.reply(id, reply),
                Effect::Frame { conn, frame } => self.send(now, conn, frame),
            }
        }
    }

    fn send(&mut self, now: Time, conn: ConnectionId, frame: Vec<u8>) {
        match self.router.queue(now, conn, frame) {
            Queued::Now(frame) => self.outputs.push_back(Output::Send { conn, frame }),
            Queued::Gone | Queued::Waits => {}
            Queued::TooMuch { waiting } => {
                let text = format!("{waiting} bytes wait for this device, too much; connect again");
                self.close(conn, CloseCode::Overloaded, text);
            }
        }
    }
}

impl Collecting {
    fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.waiting.replies.is_empty()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("key", &self.key)
            .field("documents", &self.documents.len())
            .field("connections", &self.router.connections().len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// How the aggregator keeps documents.
pub(crate) fn replica_config() -> Config {
    Config { limits: DOCUMENT_LIMITS, ..Config::new(Role::Aggregator) }
}

fn new_replica(name: &str, random: &mut ChaCha12Rng) -> Replica<Heap, ChaCha12Rng> {
    let name = DocumentName::new(name).expect("names are checked where they come in");
    Replica::new(&name, replica_config(), ChaCha12Rng::from_rng(random))
}

fn check_path(path: Option<&str>) -> Result<(), RequestError> {
    let Some(path) = path else { return Ok(()) };
    Path::new(path).map(drop).map_err(|source| RequestError::Path { path: path.to_owned(), source })
}
