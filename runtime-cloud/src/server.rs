//! The engine on a socket, a disk and a clock: one task, and one thread for the disk.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use control::{ErrorReply, Gone, Replies};
use crdt_core::{Moment, Time};
use storage_redb::StoreError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use transport_quic::{
    CloseCode, Config, ConnectionId, Driver, EventReceiver, Handle, HandleError, Link, MessageKind,
    PublicKey, SendError, WINDOW_BYTES_MIN,
};

use crate::disk::{Disk, Done};
use crate::engine::{Engine, Output, Reply, Request, RequestError, RequestId, Setup};
use crate::error::ServeError;
use crate::limits::{COMMIT_MAX, STOP_TIMEOUT, TICK};
use crate::place::{Opened, Place, ROLE};

/// What a server needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its store is; made if it is missing.
    pub place: Place,
    /// The UDP address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How the transport behaves. Whatever it says of receipts, a server acknowledges only what is durable.
    pub transport: Config,
}

/// A running aggregator: store open, port and control socket bound.
#[derive(Debug)]
pub struct Server {
    engine: Engine,
    disk: Disk,
    link: Handle,
    events: EventReceiver,
    asks: mpsc::Receiver<Ask>,
    answers: HashMap<RequestId, mpsc::Sender<Reply>>,
    control: JoinHandle<()>,
    stop_control: oneshot::Sender<()>,
}

/// What comes from the control socket.
#[derive(Debug)]
enum Ask {
    New { id: RequestId, request: Request, answer: mpsc::Sender<Reply> },
    WatchEnd { id: RequestId },
    WatchWritten { id: RequestId },
}

impl Server {
    /// Opens the store, the port and the control socket. From here on devices and people are let in, but get their
    /// answers from [`run`](Self::run).
    ///
    /// # Errors
    /// [`ServeError`] names the step that failed.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(options: Options) -> Result<Self, ServeError> {
        Self::start_on(options.place.open(true)?, options).await
    }

    /// Goes on with a store that is open, whose lock keeps a second server from the control socket.
    pub(crate) async fn start_on(opened: Opened, options: Options) -> Result<Self, ServeError> {
        let Options { place, listen, transport } = options;
        let control =
            control::Server::bind(&place.socket).await?.for_store(ROLE.name, opened.store.path())?;
        let key = opened.identity.public_key();
        let transport = Config { hold_max: Some(COMMIT_MAX), ..transport };
        let mut link = Link::server(opened.identity, transport, opened.reset_key, random_seed()?);
        link.classify_messages(kind_of);
        let (link, events) =
            Driver::bind(listen, link).map_err(|source| ServeError::Listen { address: listen, source })?;
        let setup = Setup {
            key,
            access: opened.access,
            documents: opened.documents,
            window_bytes: transport.send_window_bytes.max(WINDOW_BYTES_MIN) as usize,
            seed: random_seed()?,
        };
        let (ask_sender, asks) = mpsc::channel(ASKS_MAX);
        let (stop_control, stopped) = oneshot::channel();
        let next_id = Arc::new(AtomicU64::new(0));
        let serve = move |request, replies| {
            let id = RequestId(next_id.fetch_add(1, Ordering::Relaxed));
            serve_request(id, request, replies, ask_sender.clone())
        };
        let control = tokio::spawn(control.run(serve, async {
            // An error says that the server is gone: time to stop as well.
            let _ = stopped.await;
        }));
        Ok(Self {
            engine: Engine::new(now(), setup),
            disk: Disk::start(opened.store),
            link,
            events,
            asks,
            answers: HashMap::new(),
            control,
            stop_control,
        })
    }

    /// The key that devices must expect.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.link.public_key()
    }

    /// The UDP address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.link.local_addr()
    }

    /// Serves until `stop` resolves, then stops in order: what came in is committed, devices and people are told, the
    /// store is closed.
    ///
    /// # Errors
    /// [`ServeError::Store`] when the disk failed; nothing was acknowledged that is not on it.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let served = self.serve(stop).await;
        if served.is_ok() {
            self.settle().await;
        }
        let why = if served.is_ok() { "the aggregator is stopping" } else { "the aggregator failed" };
        self.link.shutdown(CloseCode::ShuttingDown.into(), format!("{why}; connect again later")).await;
        self.answers.clear();
        self.asks.close();
        // Fails if it has stopped already.
        let _ = self.stop_control.send(());
        if let Err(error) = self.control.await {
            tracing::error!(%error, "the control socket failed");
        }
        let closed = tokio::task::spawn_blocking(|| self.disk.close()).await;
        served?;
        Ok(closed.map_err(|_| StoreError::Stopped { cause: "closing it panicked".to_owned() })??)
    }

    async fn serve(&mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            self.work().await?;
            tokio::select! {
                event = self.events.recv(), if self.engine.accepts_input() => {
                    let Some(event) = event else {
                        return Err(ServeError::Link { address: self.local_addr() });
                    };
                    self.engine.handle_link(now(), event);
                    // What has come in meanwhile goes into the same commit.
                    for _ in 0..EVENTS_AT_ONCE {
                        if !self.engine.accepts_input() {
                            break;
                        }
                        let Some(event) = self.events.try_recv() else { break };
                        self.engine.handle_link(now(), event);
                    }
                }
                done = self.disk.done() => self.handle_done(done)?,
                Some(ask) = self.asks.recv() => self.handle_ask(ask).await,
                _ = tick.tick() => self.engine.handle_tick(now()),
                () = &mut stop => return Ok(()),
            }
        }
    }

    /// Commits what came in, within a bounded time.
    async fn settle(&mut self) {
        self.engine.begin_stop();
        let settle = async {
            loop {
                self.work().await?;
                if self.engine.is_settled() {
                    return Ok::<(), ServeError>(());
                }
                let done = self.disk.done().await;
                self.handle_done(done)?;
            }
        };
        match tokio::time::timeout(STOP_TIMEOUT, settle).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "the last commit failed; nothing of it was acknowledged");
            }
            Err(_) => {
                tracing::error!(timeout = ?STOP_TIMEOUT, "the last commit takes too long; it was not acknowledged");
            }
        }
    }

    /// Does what the engine wants.
    async fn work(&mut self) -> Result<(), ServeError> {
        while let Some(output) = self.engine.poll_output(now()) {
            match output {
                // The link tells of its end by the end of its events.
                Output::Abandon { conn } => {
                    let _ = self.link.abandon(conn, CloseCode::Replaced.into()).await;
                }
                Output::Close { conn, code, text } => {
                    let _ = self.link.close(conn, code.into(), text).await;
                }
                Output::Commit(batch) => self.disk.commit(batch),
                Output::Load { document } => {
                    self.disk.load(document, rng()?, moment());
                }
                Output::Release { conn, messages } => {
                    let _ = self.link.release(conn, messages).await;
                }
                Output::Reply { request, reply } => self.answer(request, reply),
                Output::Send { conn, frame } => self.send(conn, frame).await,
            }
        }
        Ok(())
    }

    async fn send(&self, conn: ConnectionId, frame: Vec<u8>) {
        match self.link.send(conn, frame).await {
            Ok(_) | Err(HandleError::Stopped | HandleError::Link(SendError::Closed { .. })) => {}
            Err(error) => {
                // The engine counts as the link does, so this is a bug. The session is of no more use.
                tracing::error!(%conn, %error, "a frame was not taken");
                let _ = self.link.close(conn, CloseCode::Overloaded.into(), "connect again").await;
            }
        }
    }

    fn answer(&mut self, request: RequestId, reply: Reply) {
        let is_last = !matches!(reply, Reply::Changes(_));
        let Some(answer) = self.answers.get(&request) else { return };
        // There is capacity: one answer, or one batch of changes at a time and then the end. An error says that the
        // listener is gone, and its end is on its way.
        let _ = answer.try_send(reply);
        if is_last {
            self.answers.remove(&request);
        }
    }

    async fn handle_ask(&mut self, ask: Ask) {
        match ask {
            Ask::New { id, request, answer } => {
                self.answers.insert(id, answer);
                if request == Request::Status
                    && let Ok(ledger) = self.link.ledger().await
                    && let Ok(faults) = self.link.faults().await
                {
                    self.engine.note_link(ledger, faults);
                }
                self.engine.handle_request(now(), id, request);
            }
            Ask::WatchEnd { id } => {
                self.answers.remove(&id);
                self.engine.handle_watch_end(id);
            }
            Ask::WatchWritten { id } => self.engine.handle_watch_written(id),
        }
    }

    fn handle_done(&mut self, done: Done) -> Result<(), ServeError> {
        match done {
            Done::Committed => self.engine.handle_committed(now()),
            Done::Loaded { document, loaded } => self.engine.handle_loaded(&document, *loaded),
            Done::Failed(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// One request of the control socket, from its line to its last answer.
async fn serve_request(
    id: RequestId,
    request: Request,
    mut replies: Replies,
    asks: mpsc::Sender<Ask>,
) -> Result<(), Gone> {
    let is_stream = matches!(request, Request::Watch(_));
    let (answer, mut answers) = mpsc::channel(ANSWERS_MAX);
    let stopping = |_| ErrorReply::from(&RequestError::Stopping);
    if let Err(error) = asks.send(Ask::New { id, request, answer }).await.map_err(stopping) {
        return replies.error(&error).await;
    }
    loop {
        let reply = tokio::select! {
            // What is said already is still told to a listener that goes.
            biased;
            reply = answers.recv() => reply,
            // Whoever asked one thing may close its sending side and still listen.
            () = replies.gone(), if is_stream => {
                // Fails if the server has stopped, and forgotten the watch anyway.
                let _ = asks.send(Ask::WatchEnd { id }).await;
                return Err(Gone);
            }
        };
        match reply {
            Some(Reply::Changes(changes)) => {
                for change in changes {
                    if replies.ok(&change).await.is_err() {
                        let _ = asks.send(Ask::WatchEnd { id }).await;
                        return Err(Gone);
                    }
                }
                let _ = asks.send(Ask::WatchWritten { id }).await;
            }
            Some(Reply::Done(answer)) => return replies.ok(&answer).await,
            Some(Reply::Failed(error)) => return replies.error(&ErrorReply::from(&error)).await,
            None => return replies.error(&ErrorReply::from(&RequestError::Stopping)).await,
        }
    }
}

/// The wall clock.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_clock_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What a message is for, in the ledger.
fn kind_of(frame: &[u8]) -> MessageKind {
    if crdt_core::peek_is_content(frame) { MessageKind::Cells } else { MessageKind::Control }
}

pub(crate) fn random_seed() -> Result<[u8; 32], ServeError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(ServeError::Random)?;
    Ok(seed)
}

/// The random numbers of a replica.
pub(crate) fn rng() -> Result<ChaCha12Rng, ServeError> {
    Ok(ChaCha12Rng::from_seed(random_seed()?))
}

/// This moment.
pub(crate) fn moment() -> Moment {
    Moment { now: Some(now()) }
}

/// Requests of the control socket that wait for the engine; more wait in their connections.
const ASKS_MAX: usize = 64;
/// Answers of one request that wait to be written: a batch of changes, and the end.
const ANSWERS_MAX: usize = 4;
/// Events taken before their commit begins.
const EVENTS_AT_ONCE: usize = 256;
