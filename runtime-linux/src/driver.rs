//! The engine with a clock, a disk and a socket: one tokio task.

use rand_chacha::ChaCha12Rng;
use std::sync::Arc;
use std::time::Instant;

use crdt_core::{Heap, Limits, Replica};
use storage_redb::{Batch, Store, StoreError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use transport_quic::{CloseCode, LinkEvent};

use crate::addresses::ADDRESS_SETTING;
use crate::budget::Level;
use crate::clock::Now;
use crate::engine::{Command, DocumentIndex, Engine, Output, Reply};
use crate::error::EdgeError;
use crate::line::{LineEvent, Lines};
use crate::network::{Input, Network, NetworkEvent, sleep_until};
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
    Load { document: String, reply: Reply<Option<Box<Replica<Heap, ChaCha12Rng>>>> },
    /// Open it, as it stands there; `None` if there is none of this name.
    Open { document: String, reply: Reply<Option<DocumentIndex>> },
    /// Take it out of the store, with all that was not sent; tells what was in it.
    Remove { document: String, reply: Reply<Option<UnopenedDocument>> },
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
    /// The names of the open documents, for whoever holds the edge.
    pub(crate) documents: watch::Sender<Vec<Arc<str>>>,
    /// Of a document that is read without being open.
    pub(crate) limits: Limits,
}

/// What a request about the store means to the engine.
enum StoreChange {
    None,
    /// A document is to be opened, and who waits for it.
    Opened(Box<Replica<Heap, ChaCha12Rng>>, Reply<Option<DocumentIndex>>),
    /// A document is not there any more.
    Removed(String),
}

/// A commit on its way to the disk.
type Commit = JoinHandle<Result<(), StoreError>>;

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
                    self.handle_line_event(event);
                    self.handle_waiting().await;
                }
                Wake::Network(NetworkEvent::Counted) => self.update_ledger(),
                Wake::Network(NetworkEvent::Link(event)) => {
                    self.handle_link_event(event).await;
                    self.handle_waiting().await;
                }
                Wake::Network(NetworkEvent::LookedUp(found)) => {
                    let Some(network) = &mut self.network else { continue };
                    let input = network.handle_found(Instant::now(), found).await;
                    self.handle_input(input);
                }
                Wake::Network(NetworkEvent::Timeout) => {
                    let Some(network) = &mut self.network else { continue };
                    let input = network.handle_timeout(Instant::now()).await;
                    self.handle_input(input);
                }
                Wake::Request(request) => {
                    self.handle_request(request).await;
                    self.handle_waiting().await;
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
                        let input = network.connect(Instant::now(), attempt);
                        self.handle_input(input);
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

    fn commit(&mut self, mut batch: Batch<'static>) -> Commit {
        if let Some(address) = self.network.as_mut().and_then(Network::take_unsaved) {
            batch.set(ADDRESS_SETTING, address);
        }
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.commit(&batch))
    }

    /// Takes what waits too, so that it shares a commit.
    async fn handle_waiting(&mut self) {
        for _ in 0..INPUTS_AT_ONCE {
            let event = self.network.as_mut().and_then(|network| network.events.try_recv());
            let request = self.requests.try_recv().ok();
            let line = self.lines.try_next();
            if event.is_none() && request.is_none() && line.is_none() {
                return;
            }
            if let Some(event) = line {
                self.handle_line_event(event);
            }
            if event.is_some() {
                self.handle_link_event(event).await;
            }
            if request.is_some() {
                self.handle_request(request).await;
            }
        }
    }

    fn handle_line_event(&mut self, event: LineEvent) {
        self.engine.handle_line(Now::read(), event.line, event.input);
    }

    fn handle_input(&mut self, input: Input) {
        if let Some((attempt, input)) = input {
            self.engine.handle_link(Now::read(), attempt, input);
        }
    }

    async fn handle_link_event(&mut self, event: Option<LinkEvent>) {
        let Some(network) = &mut self.network else { return };
        let Some(event) = event else {
            // The link's task is gone, which it is not while its handle lives.
            tracing::error!("the link has stopped; the edge goes on without the aggregator");
            self.network = None;
            return;
        };
        let input = network.handle_event(Instant::now(), event).await;
        self.handle_input(input);
    }

    /// Tells the engine what the link has counted.
    fn update_ledger(&mut self) {
        if let Some(network) = &mut self.network {
            let ledger = *network.ledger.borrow_and_update();
            self.engine.note_traffic(Now::read(), ledger);
        }
    }

    async fn handle_request(&mut self, request: Option<Request>) {
        match request {
            Some(Request::Command(command)) => {
                self.update_ledger();
                self.engine.handle_command(Now::read(), command);
            }
            Some(Request::Stored(request)) => self.handle_stored_request(request).await,
            // All handles are gone: nobody can ask for anything any more.
            Some(Request::ShutDown) | None => self.engine.shut_down(),
        }
    }

    /// One at a time, and nothing else meanwhile: it is rare, and a document cannot be opened while it is removed.
    async fn handle_stored_request(&mut self, request: StoredRequest) {
        let store = self.store.clone();
        let (limits, aggregator) = (self.limits, self.network.as_ref().map(|network| network.aggregator.key));
        let open: Vec<String> = self.engine.document_names().map(|name| name.as_str().to_owned()).collect();
        let (mut rng, moment) = (self.engine.fork_rng(), self.engine.moment(Now::read()));
        let work = move || {
            let mut load = |document: &str| {
                let loaded = load_unopened(&store, document, limits, &mut rng, moment);
                let fail =
                    |source| EdgeError::Load { document: document.to_owned(), source: Arc::new(source) };
                loaded.map(|replica| replica.map(Box::new)).map_err(fail)
            };
            // Whoever does not wait any more needs no answer.
            match request {
                StoredRequest::List { reply } => {
                    let found = UnopenedDocument::all(
                        &store,
                        open.iter().map(String::as_str),
                        aggregator,
                        &mut rng,
                        moment,
                    );
                    drop(reply.send(found.map_err(|error| EdgeError::Store(Arc::new(error)))));
                    StoreChange::None
                }
                StoredRequest::Load { document, reply } => {
                    drop(reply.send(load(&document)));
                    StoreChange::None
                }
                StoredRequest::Open { document, reply } => match load(&document) {
                    Ok(Some(replica)) => StoreChange::Opened(replica, reply),
                    Ok(None) => {
                        drop(reply.send(Ok(None)));
                        StoreChange::None
                    }
                    Err(error) => {
                        drop(reply.send(Err(error)));
                        StoreChange::None
                    }
                },
                StoredRequest::Remove { document, reply } if open.contains(&document) => {
                    drop(reply.send(Err(EdgeError::Open { document })));
                    StoreChange::None
                }
                StoredRequest::Remove { document, reply } => {
                    let removed = UnopenedDocument::remove(&store, &document, aggregator, &mut rng, moment);
                    let is_removed = matches!(removed, Ok(Some(_)));
                    drop(reply.send(removed.map_err(|error| EdgeError::Store(Arc::new(error)))));
                    if is_removed { StoreChange::Removed(document) } else { StoreChange::None }
                }
            }
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(StoreChange::Opened(replica, reply)) => {
                self.engine.handle_command(Now::read(), Command::Open { replica, reply });
                let names = self.engine.document_names().map(|name| Arc::from(name.as_str()));
                self.documents.send_replace(names.collect());
            }
            Ok(StoreChange::Removed(document)) => self.engine.handle_removed(&document),
            Ok(StoreChange::None) => {}
            Err(error) => tracing::error!(%error, "a request about a stored document failed; this is a bug"),
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
        self.update_ledger();
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
    match network {
        Some(network) => network.next().await,
        None => std::future::pending().await,
    }
}

/// Rounds of inputs that share a commit at most.
const INPUTS_AT_ONCE: usize = 1024;
