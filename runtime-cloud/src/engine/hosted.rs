//! One document: its replica, its sessions, and what waits while it is loaded or committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use control::Scalar;
use crdt_core::{
    Connect, Event, Heap, Moment, Output as Work, Path, PeerError, PeerId, PersistToken, Refusal, Replica,
    Role, SessionId, Time, Write,
};
use rand_chacha::ChaCha12Rng;
use serde_json::json;
use storage_redb::{Batch, stage};
use transport_quic::{CloseCode, ConnectionId, PublicKey};

use super::events::log_conflict;
use super::output::{Reply, RequestId};
use super::request::RequestError;
use super::watch::{self, Watch};
use crate::limits::{INPUT_OVERHEAD_BYTES, TOMBSTONES_UNASKED_MAX};
use crate::status::CounterStatus;

/// A document in memory.
pub(super) struct Hosted {
    name: Arc<str>,
    state: State,
    inbox: VecDeque<Input>,
    inbox_bytes: usize,
    sessions: BTreeMap<(ConnectionId, u16), SessionId>,
    /// The same, the other way round.
    carriers: BTreeMap<SessionId, (ConnectionId, u16)>,
    /// Sessions whose peers broke the protocol, with what they are told.
    faults: BTreeMap<SessionId, (CloseCode, String)>,
    /// Frames of each connection that were taken and may not be durable yet.
    taken: BTreeMap<ConnectionId, u64>,
    /// Answers that may tell of a change that is not durable yet.
    unanswered: Vec<(RequestId, Reply)>,
    watches: BTreeMap<RequestId, Watch>,
    /// Whether it is in the queue of documents that have something to do.
    pub(super) is_ready: bool,
    /// A peer told what it has, since tombstones were looked at.
    wants_forget: bool,
    /// A frame came since tombstones were looked at.
    is_touched: bool,
    /// Tombstones when the peers were last asked what they have.
    asked_at_tombstones: usize,
    dropped_events: u64,
}

enum State {
    Live(Box<Replica<Heap, ChaCha12Rng>>),
    /// What changed is in a batch; nothing else happens until that is committed.
    Committing(Box<Replica<Heap, ChaCha12Rng>>, PersistToken),
    Loading,
}

/// What waits for a document.
#[derive(Debug)]
pub(super) enum Input {
    /// A frame of a session; the first one of a handle opens it.
    Frame { conn: ConnectionId, handle: u16, key: PublicKey, frame: Vec<u8> },
    /// A connection that carried sessions is gone.
    Gone { conn: ConnectionId },
    /// Somebody asks.
    Request { id: RequestId, request: DocumentRequest },
    /// This device is no member any more.
    Retire { key: PublicKey },
    /// The process ends: what is known of the peers is to be kept.
    Save,
    /// Time to look after tombstones.
    Tick,
}

/// A request about one document, with a path that was checked.
#[derive(Debug)]
pub(super) enum DocumentRequest {
    Delete { path: String },
    Get { path: Option<String> },
    Set { path: String, value: Scalar },
    Watch { path: Option<String> },
}

/// What a step wants done outside of the document.
#[derive(Debug)]
pub(super) enum Effect {
    Close { conn: ConnectionId, code: CloseCode, text: String },
    Frame { conn: ConnectionId, frame: Vec<u8> },
    Release { conn: ConnectionId, frames: u64 },
    Reply { id: RequestId, reply: Reply },
}

/// What a step needs from outside of the document.
pub(super) struct Context<'a> {
    pub(super) now: Time,
    /// Buffer for a frame.
    pub(super) buffer: &'a mut [u8],
    pub(super) batch: &'a mut Batch<'static>,
    pub(super) effects: &'a mut Vec<Effect>,
    pub(super) counters: &'a mut CounterStatus,
}

impl Hosted {
    /// A document that is being loaded.
    pub(super) fn loading(name: Arc<str>) -> Self {
        Self {
            name,
            state: State::Loading,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            sessions: BTreeMap::new(),
            carriers: BTreeMap::new(),
            faults: BTreeMap::new(),
            taken: BTreeMap::new(),
            unanswered: Vec::new(),
            watches: BTreeMap::new(),
            is_ready: false,
            wants_forget: false,
            is_touched: false,
            asked_at_tombstones: 0,
            dropped_events: 0,
        }
    }

    /// It is there.
    pub(super) fn loaded(&mut self, replica: Replica<Heap, ChaCha12Rng>) {
        self.state = State::Live(Box::new(replica));
    }

    /// It will not be there: gives what waited.
    pub(super) fn into_inbox(self) -> VecDeque<Input> {
        self.inbox
    }

    /// Queues an input. The caller minds the bounds.
    pub(super) fn push(&mut self, input: Input) {
        self.inbox_bytes += input.cost();
        self.inbox.push_back(input);
    }

    /// Takes what waits, as far as it may now. Whether the batch has a part of this document in it now.
    pub(super) fn step(&mut self, context: &mut Context<'_>) -> bool {
        let State::Live(_) = self.state else { return false };
        self.inbox_bytes = 0;
        for input in std::mem::take(&mut self.inbox) {
            self.take(input, context);
        }
        let is_staged = self.poll(context);
        if !is_staged {
            release(std::mem::take(&mut self.taken), context);
        }
        is_staged
    }

    /// The batch is committed: what waited for that leaves, before anything new is taken.
    pub(super) fn committed(&mut self, context: &mut Context<'_>) -> bool {
        self.state = match std::mem::replace(&mut self.state, State::Loading) {
            State::Committing(mut replica, token) => {
                replica.handle_persisted(token);
                State::Live(replica)
            }
            state => state,
        };
        let durable = std::mem::take(&mut self.taken);
        let is_staged = self.poll(context);
        // What there is to say about them goes first.
        release(durable, context);
        is_staged
    }

    /// The watch is over.
    pub(super) fn end_watch(&mut self, id: RequestId) {
        self.watches.remove(&id);
    }

    /// The listener has taken what it was told.
    pub(super) fn watch_written(&mut self, id: RequestId) {
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.written();
        }
    }

    /// Ends every watch; gives their requests.
    pub(super) fn take_watches(&mut self) -> impl Iterator<Item = RequestId> + use<> {
        std::mem::take(&mut self.watches).into_keys()
    }

    /// The replica, unless it is being loaded.
    pub(super) fn replica(&self) -> Option<&Replica<Heap, ChaCha12Rng>> {
        match &self.state {
            State::Live(replica) | State::Committing(replica, _) => Some(replica),
            State::Loading => None,
        }
    }

    pub(super) fn is_committing(&self) -> bool {
        matches!(self.state, State::Committing(..))
    }

    /// Whether something waits that a step would take.
    pub(super) fn has_input(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Bytes of input that wait.
    pub(super) fn inbox_bytes(&self) -> usize {
        self.inbox_bytes
    }

    /// Open sessions.
    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    fn take(&mut self, input: Input, context: &mut Context<'_>) {
        match input {
            Input::Frame { conn, handle, key, frame } => {
                self.handle_frame(conn, handle, key, &frame, context);
            }
            Input::Gone { conn } => self.drop_sessions(conn),
            Input::Request { id, request } => self.handle_request(id, request, context),
            Input::Retire { key } => {
                self.with_replica(|replica| replica.deactivate(PeerId(key.0))).unwrap_or(());
            }
            Input::Save => self.with_replica(Replica::request_persist).unwrap_or(()),
            Input::Tick => self.look_after_tombstones(context),
        }
    }

    fn handle_frame(
        &mut self,
        conn: ConnectionId,
        handle: u16,
        key: PublicKey,
        frame: &[u8],
        context: &mut Context<'_>,
    ) {
        self.is_touched = true;
        *self.taken.entry(conn).or_default() += 1;
        let moment = context.moment();
        let State::Live(replica) = &mut self.state else { return };
        let session = match self.sessions.get(&(conn, handle)) {
            Some(&session) => session,
            None => {
                let peer = PeerId(key.0);
                let connect = Connect::responder(peer, Role::Member, handle);
                match replica.connect(connect) {
                    Ok(session) => {
                        self.sessions.insert((conn, handle), session);
                        self.carriers.insert(session, (conn, handle));
                        session
                    }
                    Err(error) => {
                        let text = format!("document {:?}: {error}", self.name);
                        context.effects.push(Effect::Close { conn, code: CloseCode::Overloaded, text });
                        return;
                    }
                }
            }
        };
        match replica.handle_frame(moment, session, frame) {
            Ok(()) => {}
            // It is closing already; what still comes in does not count.
            Err(PeerError::UnknownSession) => {}
            Err(error) => {
                let code = match error {
                    PeerError::Refused(Refusal::Access) => CloseCode::AccessDenied,
                    // It comes again, under an id of its own.
                    PeerError::Refused(Refusal::Fenced) => CloseCode::Normal,
                    PeerError::Refused(Refusal::Capacity { .. }) => CloseCode::Overloaded,
                    _ => CloseCode::ProtocolError,
                };
                let text = format!("document {:?}: {error}", self.name);
                self.faults.insert(session, (code, text));
            }
        }
    }

    fn handle_request(&mut self, id: RequestId, request: DocumentRequest, context: &mut Context<'_>) {
        let moment = context.moment();
        let State::Live(replica) = &mut self.state else { return };
        let reply = match request {
            DocumentRequest::Watch { path } => {
                self.watches.insert(id, Watch::new(path));
                return;
            }
            DocumentRequest::Get { path } => {
                let at = path.as_deref().and_then(|path| Path::new(path).ok());
                match watch::read(replica.document(), at) {
                    Some(value) => Reply::Done(value),
                    None => Reply::Failed(RequestError::NotFound {
                        document: self.name.to_string(),
                        path: path.unwrap_or_default(),
                    }),
                }
            }
            DocumentRequest::Delete { path } => write(&self.name, replica, moment, &path, None),
            DocumentRequest::Set { path, value } => write(&self.name, replica, moment, &path, Some(&value)),
        };
        self.unanswered.push((id, reply));
    }

    fn drop_sessions(&mut self, conn: ConnectionId) {
        let range = (conn, 0)..=(conn, u16::MAX);
        let gone: Vec<_> =
            self.sessions.range(range).map(|(&carrier, &session)| (carrier, session)).collect();
        for (carrier, session) in gone {
            self.sessions.remove(&carrier);
            self.carriers.remove(&session);
            self.faults.remove(&session);
            self.with_replica(|replica| replica.disconnect(session));
        }
    }

    /// Forgets tombstones that every member has, and retires ids that nobody uses. To know what they have, they are asked, but seldom: it costs them
    /// bytes, and each of them says it for nothing when it connects.
    fn look_after_tombstones(&mut self, context: &mut Context<'_>) {
        if !std::mem::take(&mut self.is_touched) && !self.wants_forget {
            return;
        }
        let State::Live(replica) = &mut self.state else { return };
        let count = |replica: &Replica<Heap, ChaCha12Rng>| {
            replica.document().cells().filter(|c| c.content.is_tombstone()).count()
        };
        let before = count(replica);
        let is_due = std::mem::take(&mut self.wants_forget) || replica.has_given_up_ids();
        if before > TOMBSTONES_UNASKED_MAX || is_due {
            let forgotten = replica.forget_stable(context.moment());
            tracing::debug!(document = %self.name, before, forgotten, "tombstones");
            let left = before - forgotten;
            self.asked_at_tombstones = self.asked_at_tombstones.min(left);
            if left > TOMBSTONES_UNASKED_MAX.max(2 * self.asked_at_tombstones) {
                self.asked_at_tombstones = left;
                replica.request_acknowledgement();
            }
        }
    }

    /// Does what the replica wants, until it wants nothing more.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        let State::Live(replica) = &mut self.state else { return false };
        let mut token = None;
        let mut is_forked = false;
        loop {
            let moment = context.moment();
            let Some(output) = replica.poll_output(moment, context.buffer) else { break };
            match output {
                Work::Persist => token = Some(stage(context.batch, replica)),
                Work::Transmit { session, len } => {
                    if let Some(&(conn, _)) = self.carriers.get(&session) {
                        context.counters.frames_sent += 1;
                        let frame = context.buffer[..len].to_vec();
                        context.effects.push(Effect::Frame { conn, frame });
                    }
                }
                Work::Event(event) => {
                    is_forked |= matches!(event, Event::Forked { .. });
                    self.wants_forget |= matches!(event, Event::Acknowledged { .. });
                    if matches!(event, Event::Dropped { .. }) {
                        self.watches.values_mut().for_each(Watch::start_over);
                    }
                    context.counters.note(&self.name, &event);
                    if matches!(event, Event::Conflicts { .. }) {
                        while let Some(conflict) = replica.take_conflict() {
                            log_conflict(&self.name, &conflict);
                        }
                    }
                }
                Work::Close { session } => {
                    let Some(carrier) = self.carriers.remove(&session) else { continue };
                    self.sessions.remove(&carrier);
                    let (code, text) =
                        self.faults.remove(&session).unwrap_or_else(|| why_closed(&self.name, is_forked));
                    context.effects.push(Effect::Close { conn: carrier.0, code, text });
                }
            }
        }
        if replica.dropped_events() > self.dropped_events {
            // One of them may have said that everything is to be read again.
            self.dropped_events = replica.dropped_events();
            self.watches.values_mut().for_each(Watch::start_over);
        }
        if let Some(token) = token {
            let State::Live(replica) = std::mem::replace(&mut self.state, State::Loading) else {
                return false;
            };
            self.state = State::Committing(replica, token);
            return true;
        }
        let document = replica.document();
        for (id, reply) in self.unanswered.drain(..) {
            context.effects.push(Effect::Reply { id, reply });
        }
        for (&id, watch) in &mut self.watches {
            let changes = watch.changes(document);
            if !changes.is_empty() {
                context.effects.push(Effect::Reply { id, reply: Reply::Changes(changes) });
            }
        }
        false
    }

    fn with_replica<T>(&mut self, act: impl FnOnce(&mut Replica<Heap, ChaCha12Rng>) -> T) -> Option<T> {
        match &mut self.state {
            State::Live(replica) | State::Committing(replica, _) => Some(act(replica)),
            State::Loading => None,
        }
    }
}

impl Input {
    /// What it counts while it waits, in bytes.
    pub(super) fn cost(&self) -> usize {
        let len = match self {
            Self::Frame { frame, .. } => frame.len(),
            Self::Request { request: DocumentRequest::Set { value: Scalar::Str(text), .. }, .. } => {
                text.len()
            }
            Self::Request { request: DocumentRequest::Set { value: Scalar::Bytes(bytes), .. }, .. } => {
                bytes.len()
            }
            _ => 0,
        };
        len + INPUT_OVERHEAD_BYTES
    }
}

impl Context<'_> {
    fn moment(&self) -> Moment {
        Moment { now: Some(self.now) }
    }
}

/// These frames are durable, or changed nothing: the transport may acknowledge them.
fn release(frames: BTreeMap<ConnectionId, u64>, context: &mut Context<'_>) {
    context.effects.extend(frames.into_iter().map(|(conn, frames)| Effect::Release { conn, frames }));
}

fn write(
    name: &str,
    replica: &mut Replica<Heap, ChaCha12Rng>,
    moment: Moment,
    path: &str,
    value: Option<&Scalar>,
) -> Reply {
    let at = match Path::new(path) {
        Ok(at) => at,
        Err(source) => return Reply::Failed(RequestError::Path { path: path.to_owned(), source }),
    };
    let write = match value {
        Some(value) => Write::set(at, value.as_value()),
        None => Write::delete(at),
    };
    match replica.update(moment, &[write]) {
        Ok(stamp) => Reply::Done(json!({ "changed": stamp.is_some() })),
        Err(source) => Reply::Failed(RequestError::Update { document: name.to_owned(), source }),
    }
}

/// Why a session ends that did nothing wrong.
fn why_closed(name: &str, is_forked: bool) -> (CloseCode, String) {
    if is_forked {
        let text = format!(
            "the aggregator's copy of document {name:?} was an old one and starts anew; connect again"
        );
        return (CloseCode::ShuttingDown, text);
    }
    (CloseCode::Replaced, format!("a newer session of this device has document {name:?}"))
}
