//! The engine with a clock, a disk and a socket: one tokio task.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crdt_core::{Heap, Limits, Replica};
use storage_redb::{Batch, Store, StoreError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use transport_quic::{
    CloseCode, ConnectionId, Driver as LinkDriver, EventReceiver, Handle as LinkHandle, Ledger, Link,
    LinkEvent,
};

use crate::budget::Level;
use crate::clock::Now;
use crate::connection::Attempt;
use crate::engine::{Command, Engine, LinkInput, Output, Reply};
use crate::error::EdgeError;
use crate::frames::kind_of;
use crate::line::{LineEvent, Lines};
use crate::options::Aggregator;
use crate::status::Problem;
use crate::unopened::{UnopenedDocument, load_unopened};

/// How the task ended: `None` while it runs, then whether the store failed.
pub(crate) type Ended = Option<Result<(), EdgeError>>;

/// What the task is asked beside commands.
pub(crate) enum Request {
    Command(Command),
    ShutDown,
    Stored(StoredRequest),
}

/// Something of a document that may be in the store alone.
pub(crate) enum StoredRequest {
    /// All that are not open.
    List { reply: Reply<Vec<UnopenedDocument>> },
    /// As it stands there; `None` if there is none of this name.
    Load { document: String, reply: Reply<Option<Box<Replica<Heap>>>> },
    /// Take it out of the store, with all that was not sent; tells what was in it.
    Remove { document: String, reply: Reply<Option<UnopenedDocument>> },
}

/// The link to the aggregator; there is none without an aggregator.
pub(crate) struct Network {
    handle: LinkHandle,
    events: EventReceiver,
    ledger: watch::Receiver<Ledger>,
    aggregator: Aggregator,
    /// The address being looked up, which takes long when there is no network: nothing else waits for it.
    lookup: Option<(Attempt, JoinHandle<io::Result<Vec<SocketAddr>>>)>,
    by_attempt: HashMap<Attempt, ConnectionId>,
    by_connection: HashMap<ConnectionId, Attempt>,
}

impl Network {
    /// Takes a free port. The device's side of a connection has no fixed address, so IPv6 or IPv4 is taken as it comes.
    pub(crate) fn start(mut link: Link, aggregator: Aggregator) -> io::Result<Self> {
        let any = |ip: std::net::IpAddr| SocketAddr::new(ip, 0);
        // One link cannot be tried twice, so the address is tried with a socket first.
        let has_ipv6 = std::net::UdpSocket::bind(any(Ipv6Addr::UNSPECIFIED.into())).is_ok();
        let local =
            if has_ipv6 { any(Ipv6Addr::UNSPECIFIED.into()) } else { any(Ipv4Addr::UNSPECIFIED.into()) };
        link.classify_messages(kind_of);
        let (handle, events) = LinkDriver::bind(local, link)?;
        let (by_attempt, by_connection) = (HashMap::new(), HashMap::new());
        let ledger = handle.watch_ledger();
        Ok(Self { handle, events, ledger, aggregator, lookup: None, by_attempt, by_connection })
    }

    /// Looks the aggregator's address up; [`NetworkEvent::LookedUp`] follows.
    fn look_up(&mut self, attempt: Attempt) {
        let address = self.aggregator.address.clone();
        let lookup = async move { Ok(tokio::net::lookup_host(address).await?.collect()) };
        self.lookup = Some((attempt, tokio::spawn(lookup)));
    }

    /// Starts a connection, or tells at once why there will be none.
    async fn connect(&mut self, attempt: Attempt, found: io::Result<Vec<SocketAddr>>) -> Result<(), Problem> {
        let Aggregator { address, key } = &self.aggregator;
        let fail = |detail: String| Problem::Address { address: address.clone(), detail };
        let found = found.map_err(|error| fail(error.to_string()))?;
        let remote = *found.first().ok_or_else(|| fail("the name has no address".to_owned()))?;
        let connection = self.handle.connect(remote, *key).await.map_err(|error| fail(error.to_string()))?;
        self.by_attempt.insert(attempt, connection);
        self.by_connection.insert(connection, attempt);
        Ok(())
    }

    /// What an event means to the engine.
    fn translate(&mut self, event: LinkEvent) -> Option<(Attempt, LinkInput)> {
        let connection = event.conn();
        let attempt = *self.by_connection.get(&connection)?;
        let input = match event {
            LinkEvent::Closed { reason, .. } => {
                self.by_connection.remove(&connection);
                self.by_attempt.remove(&attempt);
                reason.into()
            }
            LinkEvent::Connected { .. } => LinkInput::Connected,
            LinkEvent::Delivered { id, .. } => LinkInput::Delivered(id.0),
            LinkEvent::Message { message, .. } => LinkInput::Message(message),
            _ => return None,
        };
        Some((attempt, input))
    }

    async fn send(&self, attempt: Attempt, frames: Vec<Vec<u8>>) {
        let Some(&connection) = self.by_attempt.get(&attempt) else { return };
        if let Err(error) = self.handle.send_all(connection, frames).await {
            // The end of a connection comes as an event too. The engine sends no more than there is room for; if that
            // went wrong nevertheless, the connection must end, because what follows would lack this message.
            tracing::debug!(%error, "a message was not sent");
            let _ =
                self.handle.close(connection, CloseCode::ProtocolError.into(), "a message was lost").await;
        }
    }

    async fn disconnect(&mut self, attempt: Attempt, code: CloseCode, reason: String) {
        if self.lookup.as_ref().is_some_and(|(of, _)| *of == attempt) {
            self.lookup = None;
        }
        if let Some(&connection) = self.by_attempt.get(&attempt) {
            // An error says that the link has stopped.
            let _ = self.handle.close(connection, code.into(), reason).await;
        }
    }
}

/// The task that owns everything.
pub(crate) struct Driver {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<Store>,
    pub(crate) network: Option<Network>,
    pub(crate) lines: Lines,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) ended: watch::Sender<Ended>,
    pub(crate) level: watch::Sender<Level>,
    /// Of a document that is read without being open.
    pub(crate) limits: Limits,
}

/// A commit on its way to the disk.
type Commit = JoinHandle<Result<(), StoreError>>;

/// What comes from the network.
enum NetworkEvent {
    Counted,
    Link(Option<LinkEvent>),
    LookedUp(Attempt, io::Result<Vec<SocketAddr>>),
}

/// Why the task goes on.
enum Wake {
    Committed(Result<(), Arc<StoreError>>),
    Line(LineEvent),
    Network(NetworkEvent),
    Request(Option<Request>),
    Timeout,
}

impl Driver {
    pub(crate) async fn run(mut self) {
        let mut commit: Option<Commit> = None;
        loop {
            if self.act(&mut commit).await {
                break;
            }
            match self.wait(&mut commit).await {
                Wake::Committed(result) => self.engine.handle_committed(result),
                Wake::Line(event) => {
                    self.take_line_event(event);
                    self.take_waiting().await;
                }
                Wake::Network(NetworkEvent::Counted) => self.take_ledger(),
                Wake::Network(NetworkEvent::Link(event)) => {
                    self.take_link_event(event);
                    self.take_waiting().await;
                }
                Wake::Network(NetworkEvent::LookedUp(attempt, found)) => {
                    let Some(network) = &mut self.network else { continue };
                    if let Err(problem) = network.connect(attempt, found).await {
                        self.engine.handle_link(Now::read(), attempt, LinkInput::Closed(problem));
                    }
                }
                Wake::Request(request) => {
                    self.take_request(request).await;
                    self.take_waiting().await;
                }
                Wake::Timeout => {}
            }
        }
        self.end().await;
    }

    /// Does what the engine wants. True when it has stopped.
    async fn act(&mut self, commit: &mut Option<Commit>) -> bool {
        while let Some(output) = self.engine.poll_output(Now::read()) {
            match output {
                Output::Commit(batch) => *commit = Some(self.commit(batch)),
                Output::Connect(attempt) => {
                    if let Some(network) = &mut self.network {
                        network.look_up(attempt);
                    }
                }
                Output::Disconnect { attempt, code, reason } => {
                    if let Some(network) = &mut self.network {
                        network.disconnect(attempt, code, reason).await;
                    }
                }
                Output::EndLine { line, connection } => self.lines.end(line, connection),
                Output::Level(level) => drop(self.level.send_replace(level)),
                Output::Limit(limit_bytes) => {
                    if let Some(network) = &self.network {
                        // An error says that the link has stopped.
                        let _ = network.handle.set_limit(Some(limit_bytes)).await;
                    }
                }
                Output::Send { attempt, frames } => {
                    if let Some(network) = &self.network {
                        network.send(attempt, frames).await;
                    }
                }
                Output::SendOnLine { line, connection, frame } => self.lines.send(line, connection, frame),
                Output::Stopped => return true,
            }
        }
        false
    }

    /// Waits for the end of a commit alone while one is under way: inputs stay in their queues.
    async fn wait(&mut self, commit: &mut Option<Commit>) -> Wake {
        if let Some(running) = commit {
            let result = running.await.unwrap_or_else(|error| {
                Err(StoreError::Stopped { cause: format!("the commit did not end: {error}") })
            });
            *commit = None;
            return Wake::Committed(result.map_err(Arc::new));
        }
        let timeout = self.engine.poll_timeout();
        tokio::select! {
            request = self.requests.recv() => Wake::Request(request),
            event = next_event(self.network.as_mut()) => Wake::Network(event),
            event = self.lines.next() => Wake::Line(event),
            () = sleep_until(timeout) => Wake::Timeout,
        }
    }

    fn commit(&self, batch: Batch<'static>) -> Commit {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.commit(&batch))
    }

    /// Takes what waits too, so that it shares a commit.
    async fn take_waiting(&mut self) {
        for _ in 0..INPUTS_AT_ONCE {
            let event = self.network.as_mut().and_then(|network| network.events.try_recv());
            let request = self.requests.try_recv().ok();
            let line = self.lines.try_next();
            if event.is_none() && request.is_none() && line.is_none() {
                return;
            }
            if let Some(event) = line {
                self.take_line_event(event);
            }
            if event.is_some() {
                self.take_link_event(event);
            }
            if request.is_some() {
                self.take_request(request).await;
            }
        }
    }

    fn take_line_event(&mut self, event: LineEvent) {
        self.engine.handle_line(Now::read(), event.line, event.input);
    }

    fn take_link_event(&mut self, event: Option<LinkEvent>) {
        let Some(network) = &mut self.network else { return };
        let Some(event) = event else {
            // The link's task is gone, which it is not while its handle lives.
            tracing::error!("the link has stopped; the edge goes on without the aggregator");
            self.network = None;
            return;
        };
        if let Some((attempt, input)) = network.translate(event) {
            self.engine.handle_link(Now::read(), attempt, input);
        }
    }

    /// Tells the engine what the link has counted.
    fn take_ledger(&mut self) {
        if let Some(network) = &mut self.network {
            let ledger = *network.ledger.borrow_and_update();
            self.engine.note_traffic(Now::read(), ledger);
        }
    }

    async fn take_request(&mut self, request: Option<Request>) {
        match request {
            Some(Request::Command(command)) => {
                self.take_ledger();
                self.engine.handle_command(Now::read(), command);
            }
            Some(Request::Stored(request)) => self.take_stored_request(request).await,
            // All handles are gone: nobody can ask for anything any more.
            Some(Request::ShutDown) | None => self.engine.shut_down(),
        }
    }

    /// One at a time, and nothing else meanwhile: it is rare, and a document cannot be opened while it is removed.
    async fn take_stored_request(&mut self, request: StoredRequest) {
        let store = self.store.clone();
        let (limits, aggregator) = (self.limits, self.network.as_ref().map(|network| network.aggregator.key));
        let open: Vec<String> = self.engine.document_names().map(|name| name.as_str().to_owned()).collect();
        let moment = self.engine.moment(Now::read());
        let work = move || match request {
            // Whoever does not wait any more needs no answer.
            StoredRequest::List { reply } => {
                let found =
                    UnopenedDocument::all(&store, open.iter().map(String::as_str), aggregator, moment);
                drop(reply.send(found.map_err(|error| EdgeError::Store(Arc::new(error)))));
                None
            }
            StoredRequest::Load { document, reply } => {
                let loaded = load_unopened(&store, &document, limits, moment);
                let fail = |source| EdgeError::Load { document, source: Arc::new(source) };
                drop(reply.send(loaded.map(|replica| replica.map(Box::new)).map_err(fail)));
                None
            }
            StoredRequest::Remove { document, reply } if open.contains(&document) => {
                drop(reply.send(Err(EdgeError::Open { document })));
                None
            }
            StoredRequest::Remove { document, reply } => {
                let removed = UnopenedDocument::remove(&store, &document, aggregator, moment);
                let is_removed = matches!(removed, Ok(Some(_)));
                drop(reply.send(removed.map_err(|error| EdgeError::Store(Arc::new(error)))));
                is_removed.then_some(document)
            }
        };
        if let Ok(Some(removed)) = tokio::task::spawn_blocking(work).await {
            self.engine.handle_removed(&removed);
        }
    }

    async fn end(mut self) {
        self.requests.close();
        let failure = self.engine.failure();
        while let Ok(request) = self.requests.try_recv() {
            match request {
                Request::Command(command) => command.fail(failure.clone().unwrap_or(EdgeError::Stopped)),
                // Its caller learns of the end by the end of the channel.
                Request::ShutDown | Request::Stored(_) => {}
            }
        }
        if let Some(network) = &self.network {
            network.handle.shutdown(CloseCode::ShuttingDown.into(), "the device shuts down").await;
        }
        self.take_ledger();
        if failure.is_none() {
            let batch = self.engine.close_books();
            let result = self.commit(batch).await;
            if !matches!(result, Ok(Ok(()))) {
                tracing::warn!(?result, "the last entries of the ledger were not saved");
            }
        }
        // The engine goes first: whoever still waits for a receipt learns that none will come.
        drop(self.engine);
        let store = self.store;
        let closed = tokio::task::spawn_blocking(move || Arc::into_inner(store).map_or(Ok(()), Store::close));
        if let Ok(Err(error)) = closed.await {
            tracing::warn!(%error, "the store was not closed in order; the next start checks it");
        }
        self.ended.send_replace(Some(failure.map_or(Ok(()), Err)));
    }
}

/// Nothing is lost if the future is dropped.
async fn next_event(network: Option<&mut Network>) -> NetworkEvent {
    let Some(network) = network else { return std::future::pending().await };
    let lookup = async {
        let Some((attempt, running)) = &mut network.lookup else { return std::future::pending().await };
        let found = running.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        (*attempt, found)
    };
    tokio::select! {
        event = network.events.recv() => NetworkEvent::Link(event),
        // An error says that the link has stopped, which its events tell.
        Ok(()) = network.ledger.changed() => NetworkEvent::Counted,
        (attempt, found) = lookup => {
            network.lookup = None;
            NetworkEvent::LookedUp(attempt, found)
        }
    }
}

async fn sleep_until(timeout: Option<std::time::Instant>) {
    match timeout {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Rounds of inputs that share a commit at most.
const INPUTS_AT_ONCE: usize = 1024;
