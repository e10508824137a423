//! What an application holds of a running edge.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use control::{Change, Scalar};
use crdt_core::{Config, DocumentName, Heap, Moment, Replica, ReplicaId, Role, Stamp};
use serde_json::Value as Json;
use storage_redb::{Batch, Store, StoreError, load};
use tokio::sync::{mpsc, oneshot, watch};
use transport_quic::{Identity, Link, PublicKey};

use crate::books::Books;
use crate::budget::{Budget, Level, Plan};
use crate::calendar::Day;
use crate::changes::Cursor;
use crate::clock::Now;
use crate::driver::{Driver, Ended, Network, Request};
use crate::engine::{BUDGET_SETTING, Command, Engine, Parts, Reply};
use crate::error::{EdgeError, OpenError};
use crate::options::Options;
use crate::report::LedgerReport;
use crate::status::Status;

/// A running edge. Clones speak to the same one; when all are dropped it shuts down in order.
#[derive(Clone, Debug)]
pub struct Edge {
    requests: mpsc::Sender<Request>,
    ended: watch::Receiver<Ended>,
    level: watch::Receiver<Level>,
    public_key: PublicKey,
    document: Arc<str>,
}

/// A transaction being put together: all of it happens, or nothing.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing happens before Edge::update"]
pub struct Transaction {
    writes: Vec<(String, Option<Scalar>)>,
}

/// What a write left behind: it is on this device's disk. Ask it when the aggregator has it on its own.
#[derive(Clone, Debug)]
pub struct Receipt {
    requests: mpsc::Sender<Request>,
    stamp: Option<Stamp>,
}

/// The changes at a path, as they come. See [`Edge::watch`].
#[derive(Debug)]
pub struct Watch {
    requests: mpsc::Sender<Request>,
    prefix: Option<String>,
    waiting: VecDeque<Change>,
    cursor: Option<Cursor>,
}

impl Edge {
    /// Opens the store in a directory, or makes it, with an identity and a document, and starts a task of the current
    /// tokio runtime that syncs it. Returns once the document can be used, which needs no connection.
    ///
    /// # Errors
    /// [`OpenError`]. Nothing in an existing store has changed then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let seed = random()?;
        let link_seed = random()?;
        let opening = tokio::task::spawn_blocking(move || Opened::open(options, seed));
        let opened = match opening.await {
            Ok(opened) => opened?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let Opened { store, identity, replica, books, budget, options } = opened;
        let public_key = identity.public_key();
        let network = match &options.aggregator {
            Some(aggregator) => {
                let mut link = Link::client(identity, options.transport, link_seed);
                // Until the engine has leased something.
                link.set_limit(budget.is_some().then_some(0));
                Some(Network::start(link, aggregator.clone()).map_err(OpenError::Socket)?)
            }
            None => None,
        };
        let document = replica.name().as_str().into();
        let parts = Parts {
            replica,
            public_key,
            aggregator: options.aggregator,
            timing: options.timing,
            seed: random()?,
            books,
            budget,
            urgent: options.urgent,
        };
        let engine = Engine::new(Now::read(), parts);
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let (ended_sender, ended) = watch::channel(None);
        let (level_sender, level) = watch::channel(Level::Everything);
        let driver = Driver {
            engine,
            store: Arc::new(store),
            network,
            requests: receiver,
            ended: ended_sender,
            level: level_sender,
        };
        tokio::spawn(driver.run());
        Ok(Self { requests, ended, level, public_key, document })
    }

    /// Puts a value at a path. Returns when it is on this device's disk; what happens at the same time shares a commit.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn set(&self, path: &str, value: impl Into<Scalar>) -> Result<Receipt, EdgeError> {
        self.update(Transaction::new().set(path, value)).await
    }

    /// Deletes what is at a path and below. Returns when that is on this device's disk. Deleting what is not there
    /// writes nothing.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn delete(&self, path: &str) -> Result<Receipt, EdgeError> {
        self.update(Transaction::new().delete(path)).await
    }

    /// Makes a transaction: all writes, under one stamp. Returns when it is on this device's disk.
    ///
    /// # Errors
    /// [`EdgeError`]; nothing of it has changed anything then.
    pub async fn update(&self, transaction: Transaction) -> Result<Receipt, EdgeError> {
        let writes = transaction.writes;
        let stamp = ask(&self.requests, |reply| Command::Update { writes, reply }).await?;
        Ok(Receipt { requests: self.requests.clone(), stamp })
    }

    /// The scalar at a path; `None` where nothing or a container stands. What it gives is on the disk.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn get(&self, path: &str) -> Result<Option<Scalar>, EdgeError> {
        ask(&self.requests, |reply| Command::Get { path: path.to_owned(), reply }).await
    }

    /// What stands at a path and below it, as nested JSON objects; the whole document without a path.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn tree(&self, path: Option<&str>) -> Result<Option<Json>, EdgeError> {
        ask(&self.requests, |reply| Command::Tree { path: path.map(str::to_owned), reply }).await
    }

    /// The changes at a path and below it (everywhere without one), whoever makes them. It begins with a
    /// [`Change::Snapshot`], and there is another one whenever changes cannot be told one by one.
    ///
    /// It takes no memory while nobody reads it: whoever is slow is told the newest values only.
    ///
    /// # Errors
    /// [`EdgeError::Path`]; the edge may have stopped too, which the watch will tell.
    pub fn watch(&self, prefix: Option<&str>) -> Result<Watch, EdgeError> {
        if let Some(path) = prefix {
            crdt_core::Path::new(path).map_err(|source| EdgeError::Path { path: path.to_owned(), source })?;
        }
        let prefix = prefix.map(str::to_owned);
        Ok(Watch { requests: self.requests.clone(), prefix, waiting: VecDeque::new(), cursor: None })
    }

    /// How it is, and why it does not sync if it does not. Cost: `[cells]`.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn status(&self) -> Result<Status, EdgeError> {
        ask(&self.requests, |reply| Command::Status { reply }).await
    }

    /// What the link cost, by day and by billing period, by cause; up to 92 days and 36 periods.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn ledger(&self) -> Result<LedgerReport, EdgeError> {
        ask(&self.requests, |reply| Command::Ledger { reply }).await
    }

    /// What the budget allows, as it changes; [`Level::Everything`] without a budget.
    #[must_use]
    pub fn budget_level(&self) -> watch::Receiver<Level> {
        self.level.clone()
    }

    /// Finishes what was asked before, closes connection and store, and returns when the device can be switched off.
    ///
    /// # Errors
    /// [`EdgeError::Store`] when the store had failed.
    pub async fn shut_down(&self) -> Result<(), EdgeError> {
        // An error says that it has stopped before.
        let _ = self.requests.send(Request::ShutDown).await;
        self.ended().await
    }

    /// Resolves when the edge has stopped: after [`shut_down`](Self::shut_down), or because its store failed.
    ///
    /// # Errors
    /// [`EdgeError::Store`] when the store failed.
    pub async fn ended(&self) -> Result<(), EdgeError> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            Err(_) => Err(EdgeError::Stopped),
        }
    }

    /// The receipt of a write that another receipt told of, in this process.
    pub(crate) fn receipt(&self, stamp: Option<Stamp>) -> Receipt {
        Receipt { requests: self.requests.clone(), stamp }
    }

    /// The device's public key: what the aggregator must let in.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// The document's name.
    #[must_use]
    pub fn document(&self) -> &str {
        &self.document
    }
}

impl Transaction {
    /// An empty transaction.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a write: a value at a path, in place of what is there and below.
    pub fn set(mut self, path: &str, value: impl Into<Scalar>) -> Self {
        self.writes.push((path.to_owned(), Some(value.into())));
        self
    }

    /// Adds a write: nothing at a path and below.
    pub fn delete(mut self, path: &str) -> Self {
        self.writes.push((path.to_owned(), None));
        self
    }
}

impl Receipt {
    /// Resolves when the aggregator has the write on its disk, or knows of a newer one in its place. That may take as
    /// long as the device is offline; dropping the future gives up waiting, not the write. It costs an acknowledgement
    /// on the wire, which several receipts share.
    ///
    /// # Errors
    /// [`EdgeError`]; the write is on this device's disk in any case.
    pub async fn durable_at_aggregator(&self) -> Result<(), EdgeError> {
        let Some(stamp) = self.stamp else { return Ok(()) };
        ask(&self.requests, |reply| Command::Receipt { stamp, reply }).await
    }

    /// The stamp of the transaction; `None` when there was nothing to do.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }
}

impl Watch {
    /// The next change. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// [`EdgeError`] when the edge has stopped.
    pub async fn next(&mut self) -> Result<Change, EdgeError> {
        loop {
            if let Some(change) = self.waiting.pop_front() {
                return Ok(change);
            }
            let (prefix, after) = (self.prefix.clone(), self.cursor);
            let changes = ask(&self.requests, |reply| Command::Changes { prefix, after, reply }).await?;
            self.cursor = Some(changes.cursor);
            self.waiting = changes.changes.into();
        }
    }
}

/// The device's public key; the identity, and the store around it, are made if there are none yet.
///
/// # Errors
/// [`OpenError`]; [`StoreError::InUse`] while an edge runs, which tells its key itself.
pub fn public_key(directory: &Path) -> Result<PublicKey, OpenError> {
    let store = open_store(directory, true)?;
    Ok(identity(&store)?.public_key())
}

/// What the link of a store that no edge has open cost. A running edge tells it itself ([`Edge::ledger`]).
///
/// # Errors
/// [`OpenError`]; [`StoreError::InUse`] while an edge runs.
pub fn ledger(directory: &Path) -> Result<LedgerReport, OpenError> {
    let store = open_store(directory, false)?;
    Ok(Books::load(&store, saved_reset_day(&store)?)?.report())
}

/// Where the control socket of a store in this directory is.
#[must_use]
pub fn socket_path(directory: &Path) -> PathBuf {
    directory.join("control.sock")
}

async fn ask<T>(
    requests: &mpsc::Sender<Request>,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, EdgeError> {
    let (reply, answer) = oneshot::channel();
    requests.send(Request::Command(command(reply))).await.map_err(|_| EdgeError::Stopped)?;
    answer.await.map_err(|_| EdgeError::Stopped)?
}

/// What is on the disk.
struct Opened {
    store: Store,
    identity: Identity,
    replica: Replica<Heap>,
    books: Books,
    budget: Option<Budget>,
    options: Options,
}

impl Opened {
    fn open(options: Options, seed: [u8; 32]) -> Result<Self, OpenError> {
        if let Some(name) = &options.document {
            checked_name(name)?;
        }
        let store = open_store(&options.directory, options.create)?;
        let remembered = store.setting(DOCUMENT_SETTING)?;
        let remembered = remembered.map(|name| String::from_utf8_lossy(&name).into_owned());
        let name = match options.document.clone().or_else(|| remembered.clone()) {
            Some(name) => checked_name(&name)?,
            None => return Err(OpenError::NoDocument { path: options.directory }),
        };
        let identity = identity(&store)?;
        if remembered.as_deref() != Some(name.as_str()) {
            let mut batch = Batch::new();
            batch.set(DOCUMENT_SETTING, name.as_str().as_bytes());
            store.commit(&batch)?;
        }
        let config = Config { limits: options.limits, ..Config::new(Role::Member) };
        let [first, second, ..] = halves(&seed);
        let moment = Moment { now: Now::read().wall, random: first };
        let replica = load(&store, name.as_str(), config, moment)?
            .unwrap_or_else(|| Replica::new(&name, ReplicaId::new(second), config));
        for prefix in &options.urgent {
            crdt_core::Path::new(prefix)
                .map_err(|source| OpenError::Urgent { path: prefix.chars().take(80).collect(), source })?;
        }
        let reset_day = reset_day(&store, &options)?;
        let books = Books::load(&store, reset_day)?;
        let budget = options.plan.map(|plan| budget(&store, plan, &books)).transpose()?;
        Ok(Self { store, identity, replica, books, budget, options })
    }
}

/// The day on which billing periods begin. Only who uses the link says it anew.
fn reset_day(store: &Store, options: &Options) -> Result<u8, StoreError> {
    let saved = saved_reset_day(store)?;
    let wanted = options.plan.map_or(options.reset_day, |plan| plan.reset_day());
    if options.aggregator.is_none() || wanted == saved {
        return Ok(saved);
    }
    let mut batch = Batch::new();
    batch.set(RESET_DAY_SETTING, vec![wanted]);
    store.commit(&batch)?;
    Ok(wanted)
}

fn saved_reset_day(store: &Store) -> Result<u8, StoreError> {
    Ok(store.setting(RESET_DAY_SETTING)?.and_then(|day| day.first().copied()).unwrap_or(1))
}

/// The budget as a former process left it, and what the ledger says beside: that one may have had no budget.
fn budget(store: &Store, plan: Plan, books: &Books) -> Result<Budget, StoreError> {
    let known = books.newest_day().unwrap_or_default();
    let today = Now::read().wall.map_or(known, Day::of);
    let saved = store.setting(BUDGET_SETTING)?;
    let mut budget = match saved.as_deref().map(serde_json::from_slice) {
        Some(Ok(spent)) => Budget::resume(plan, spent),
        Some(Err(error)) => {
            tracing::error!(%error, "what was spent of the budget cannot be read; the ledger's figures count instead");
            Budget::new(plan, today, 0, 0)
        }
        None => Budget::new(plan, today, 0, 0),
    };
    budget.advance(today);
    // In another period, as after a clock was set back, the ledger's figures are not about this one.
    if budget.spent().period == today.period_start(plan.reset_day()) {
        budget.raise(books.period_bytes(today), books.day_bytes(today));
    }
    Ok(budget)
}

fn open_store(directory: &Path, create: bool) -> Result<Store, OpenError> {
    if create {
        match fs::DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(OpenError::Directory { path: directory.to_owned(), source: error });
            }
            _ => {}
        }
    }
    let options = storage_redb::Options::new().create(create);
    options.open(&directory.join(STORE_FILE)).map_err(|error| match error {
        StoreError::Missing { .. } => OpenError::NoStore { path: directory.to_owned() },
        error => error.into(),
    })
}

/// The identity in the store, made at the first start.
fn identity(store: &Store) -> Result<Identity, OpenError> {
    if let Some(secret) = store.setting(IDENTITY_SETTING)? {
        let secret = secret.as_slice().try_into().map_err(|_| OpenError::SecretKey { len: secret.len() })?;
        return Ok(Identity::from_bytes(secret));
    }
    let identity = Identity::generate().map_err(OpenError::Random)?;
    let mut batch = Batch::new();
    batch.set(IDENTITY_SETTING, identity.to_bytes().to_vec());
    store.commit(&batch)?;
    Ok(identity)
}

fn checked_name(name: &str) -> Result<DocumentName, OpenError> {
    DocumentName::new(name)
        .map_err(|source| OpenError::Name { name: name.chars().take(80).collect(), source })
}

fn random() -> Result<[u8; 32], OpenError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(OpenError::Random)?;
    Ok(bytes)
}

/// The seed as numbers.
fn halves(seed: &[u8; 32]) -> [u64; 4] {
    std::array::from_fn(|i| {
        u64::from_le_bytes(seed[8 * i..8 * (i + 1)].try_into().expect("8 bytes are 8 bytes"))
    })
}

/// The file of the store in its directory.
const STORE_FILE: &str = "store.redb";
/// The setting with the device's secret key, 32 bytes.
const IDENTITY_SETTING: &str = "identity";
/// The setting with the name of the document that was used last, UTF-8.
const DOCUMENT_SETTING: &str = "document";
/// The setting with the day on which the ledger's billing periods begin, one byte.
const RESET_DAY_SETTING: &str = "ledger/reset-day";
/// Requests that wait; more wait in their callers.
const REQUESTS_MAX: usize = 1024;
