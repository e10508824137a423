//! What an application holds of a running edge.

use std::path::Path;
use std::sync::Arc;

use control::Scalar;
use crdt_core::{Config, DocumentName, Heap, Moment, Replica, ReplicaId, Role};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value as Json;
use storage_redb::{Batch, Store, StoreError, load};
use tokio::sync::{mpsc, watch};
use transport_quic::{Identity, Link, PublicKey};

use crate::books::Books;
use crate::budget::{Budget, Level, Plan};
use crate::calendar::Day;
use crate::clock::Now;
use crate::document::{Document, Receipt, Transaction, Watch, ask};
use crate::driver::{Driver, Ended, Network, Request};
use crate::engine::{BUDGET_SETTING, Command, DOCUMENTS_MAX, DocumentIndex, Engine, LineParts, Parts};
use crate::error::{EdgeError, OpenError};
use crate::line::{LineOptions, Lines};
use crate::options::Options;
use crate::place::{DOCUMENT_SETTING, identity, open_store};
use crate::policy::{DocumentPolicy, Policy, Priority, Rule, Terms};
use crate::report::LedgerReport;
use crate::status::Status;

/// A running edge. Clones, and their [`Document`]s, speak to the same one; when all are dropped it shuts down in order.
///
/// What is said of a document here is said of the main one, which is all that most devices have.
#[derive(Clone, Debug)]
pub struct Edge {
    requests: mpsc::Sender<Request>,
    ended: watch::Receiver<Ended>,
    level: watch::Receiver<Level>,
    public_key: PublicKey,
    store: Arc<Path>,
    is_store_new: bool,
    /// By their numbers; the main one is the first.
    documents: Arc<[Arc<str>]>,
    main: Document,
}

impl Edge {
    /// Opens the store in a directory, or makes it, with an identity and its documents, and starts a task of the current
    /// tokio runtime that syncs it. Returns once the documents can be used, which needs no connection. A new store is
    /// logged, and [`is_store_new`](Self::is_store_new) tells.
    ///
    /// # Errors
    /// [`OpenError`]. Nothing in an existing store has changed then, and no store was made because of options that make no
    /// sense.
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
        let Opened { store, identity, replicas, lines: line_parts, books, budget, policy, options } = opened;
        let public_key = identity.public_key();
        let (store_path, is_store_new) = (Arc::from(store.path()), store.is_new());
        let network = match &options.aggregator {
            Some(aggregator) => {
                let mut link = Link::client(identity, options.transport, link_seed);
                // Until the engine has leased something.
                link.set_limit(budget.is_some().then_some(0));
                Some(Network::start(link, aggregator.clone()).map_err(OpenError::Socket)?)
            }
            None => None,
        };
        let documents: Arc<[Arc<str>]> =
            replicas.iter().map(|replica| Arc::from(replica.name().as_str())).collect();
        let parts = Parts {
            replicas,
            lines: line_parts,
            public_key,
            aggregator: options.aggregator,
            timing: options.timing,
            seed: random()?,
            books,
            budget,
            policy,
        };
        let engine = Engine::new(Now::read(), parts);
        let line_random = ChaCha12Rng::from_seed(random()?);
        let lines = Lines::start(&options.lines, line_random);
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let (ended_sender, ended) = watch::channel(None);
        let (level_sender, level) = watch::channel(Level::Everything);
        let driver = Driver {
            engine,
            store: Arc::new(store),
            network,
            lines,
            requests: receiver,
            ended: ended_sender,
            level: level_sender,
        };
        tokio::spawn(driver.run());
        let main = Document::new(requests.clone(), documents[0].clone(), DocumentIndex(0));
        Ok(Self { requests, ended, level, public_key, store: store_path, is_store_new, documents, main })
    }

    /// Puts a value at a path. Returns when it is on this device's disk; what happens at the same time shares a commit.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn set(&self, path: &str, value: impl Into<Scalar>) -> Result<Receipt, EdgeError> {
        self.main.set(path, value).await
    }

    /// Deletes what is at a path and below. Returns when that is on this device's disk. Deleting what is not there
    /// writes nothing.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn delete(&self, path: &str) -> Result<Receipt, EdgeError> {
        self.main.delete(path).await
    }

    /// Makes a transaction: all writes, under one stamp. Returns when it is on this device's disk.
    ///
    /// # Errors
    /// [`EdgeError`]; nothing of it has changed anything then.
    pub async fn update(&self, transaction: Transaction) -> Result<Receipt, EdgeError> {
        self.main.update(transaction).await
    }

    /// The scalar at a path; `None` where nothing or a container stands. What it gives is on the disk.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn get(&self, path: &str) -> Result<Option<Scalar>, EdgeError> {
        self.main.get(path).await
    }

    /// What stands at a path and below it, as nested JSON objects; the whole document without a path.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn tree(&self, path: Option<&str>) -> Result<Option<Json>, EdgeError> {
        self.main.tree(path).await
    }

    /// The changes at a path and below it (everywhere without one), whoever makes them. It begins with a
    /// [`Change::Snapshot`](crate::Change::Snapshot), and there is another one whenever changes cannot be told one by one.
    ///
    /// It takes no memory while nobody reads it: whoever is slow is told the newest values only.
    ///
    /// # Errors
    /// [`EdgeError::Path`]; the edge may have stopped too, which the watch will tell.
    pub fn watch(&self, prefix: Option<&str>) -> Result<Watch, EdgeError> {
        self.main.watch(prefix)
    }

    /// A document of this edge, by its name.
    ///
    /// # Errors
    /// [`EdgeError::UnknownDocument`], which tells those that there are.
    pub fn document(&self, name: &str) -> Result<Document, EdgeError> {
        let place = self.documents.iter().position(|document| document.as_ref() == name);
        let Some(index) = place.and_then(|place| u16::try_from(place).ok()) else {
            let known: Vec<_> = self.document_names().map(|name| format!("{name:?}")).collect();
            let name = name.chars().take(80).collect();
            return Err(EdgeError::UnknownDocument { name, known: known.join(", ") });
        };
        Ok(Document::new(self.requests.clone(), name.into(), DocumentIndex(index)))
    }

    /// The document that was named first.
    #[must_use]
    pub fn main_document(&self) -> &Document {
        &self.main
    }

    /// The names of its documents, the main one first.
    pub fn document_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.documents.iter().map(AsRef::as_ref)
    }

    /// Sends at once whatever waits in any document, and ends a pause between attempts to connect, unless there is one
    /// because the aggregator or the budget said no. Returns when the link has as much as it takes; without a
    /// connection at once. It says nothing of what arrives: a [`Receipt`] does.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn flush(&self) -> Result<(), EdgeError> {
        ask(&self.requests, |reply| Command::Flush { reply }).await
    }

    /// How it is, and why it does not sync if it does not. Cost: `[cells]`.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn status(&self) -> Result<Status, EdgeError> {
        ask(&self.requests, |reply| Command::Status { reply }).await
    }

    /// When changes are sent: the rules that hold in each document, and where they come from.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn policy(&self) -> Result<Vec<DocumentPolicy>, EdgeError> {
        ask(&self.requests, |reply| Command::Policy { reply }).await
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

    /// The store's file, its full path.
    #[must_use]
    pub fn store_path(&self) -> &Path {
        &self.store
    }

    /// Whether the store was made by opening this edge, with a new key that no aggregator knows.
    #[must_use]
    pub fn is_store_new(&self) -> bool {
        self.is_store_new
    }

    /// The device's public key: what the aggregator must let in.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }
}

/// What the link of a store that no edge has open cost. A running edge tells it itself ([`Edge::ledger`]).
///
/// # Errors
/// [`OpenError`]; [`StoreError::InUse`] while an edge runs.
pub fn ledger(directory: &Path) -> Result<LedgerReport, OpenError> {
    let store = open_store(directory, false)?;
    Ok(Books::load(&store, saved_reset_day(&store)?)?.report())
}

/// What is on the disk.
struct Opened {
    store: Store,
    identity: Identity,
    replicas: Vec<Replica<Heap>>,
    lines: Vec<LineParts>,
    books: Books,
    budget: Option<Budget>,
    policy: Policy,
    options: Options,
}

impl Opened {
    fn open(options: Options, seed: [u8; 32]) -> Result<Self, OpenError> {
        let named = checked_names(&options.documents)?;
        let policy = policy(&options)?;
        if !named.is_empty() {
            // Before a store is made for nothing.
            line_parts(&options.lines, &named)?;
        }
        let store = open_store(&options.directory, options.create && !named.is_empty())?;
        let remembered = remembered_names(&store)?;
        let names = if named.is_empty() { checked_names(&remembered)? } else { named };
        if names.is_empty() {
            return Err(OpenError::NoDocument { path: options.directory });
        }
        let identity = identity(&store)?;
        let lines = line_parts(&options.lines, &names)?;
        let mut random = ChaCha12Rng::from_seed(seed);
        let mut replicas = Vec::new();
        for (index, name) in names.iter().enumerate() {
            // Devices take from this copy what no aggregator has verified.
            let is_on_line = lines.iter().any(|line| line.documents.contains(&index));
            let role = if is_on_line { Role::Mesh } else { Role::Member };
            let config = Config { limits: options.limits, ..Config::new(role) };
            let moment = Moment { now: Now::read().wall, random: random.next_u64() };
            let id = ReplicaId::new(random.next_u64());
            let replica = load(&store, name.as_str(), config, moment)?;
            replicas.push(replica.unwrap_or_else(|| Replica::new(name, id, config)));
        }
        if !names.iter().map(DocumentName::as_str).eq(&remembered) {
            remember(&store, &names)?;
        }
        let reset_day = reset_day(&store, &options)?;
        let books = Books::load(&store, reset_day)?;
        let budget = options.plan.map(|plan| budget(&store, plan, &books)).transpose()?;
        Ok(Self { store, identity, replicas, lines, books, budget, policy, options })
    }
}

/// The rules that hold where the documents say nothing else.
fn policy(options: &Options) -> Result<Policy, OpenError> {
    let shown = |path: &str| path.chars().take(80).collect();
    let urgent = options.urgent.iter().map(|prefix| {
        crdt_core::Path::new(prefix).map_err(|source| OpenError::Urgent { path: shown(prefix), source })?;
        let terms = Terms { priority: Priority::Urgent, ..Terms::default() };
        Ok(Rule { prefix: prefix.clone(), terms })
    });
    let rules: Result<Vec<_>, OpenError> = urgent.chain(options.rules.iter().cloned().map(Ok)).collect();
    let path = crdt_core::Path::new(&options.policy_path)
        .map_err(|source| OpenError::PolicyPath { path: shown(&options.policy_path), source })?;
    Policy::new(rules?, path).map_err(|prefix| OpenError::TwoRules { prefix })
}

/// The lines with the documents that each serves: the main one where none is named.
fn line_parts(lines: &[LineOptions], names: &[DocumentName]) -> Result<Vec<LineParts>, OpenError> {
    let parts = |line: &LineOptions| {
        let index = |document: &String| {
            let unknown =
                || OpenError::LineDocument { line: line.port.to_string(), document: document.clone() };
            names.iter().position(|name| name.as_str() == document).ok_or_else(unknown)
        };
        let mut documents = line.documents.iter().map(index).collect::<Result<Vec<_>, _>>()?;
        if documents.is_empty() {
            documents.push(0);
        }
        Ok(LineParts { name: line.port.to_string(), peer: line.port.peer(), documents })
    };
    lines.iter().map(parts).collect()
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

/// The names without those that come twice.
fn checked_names(names: &[String]) -> Result<Vec<DocumentName>, OpenError> {
    let mut checked: Vec<DocumentName> = Vec::new();
    for name in names {
        let name = DocumentName::new(name)
            .map_err(|source| OpenError::Name { name: name.chars().take(80).collect(), source })?;
        if !checked.contains(&name) {
            checked.push(name);
        }
    }
    if checked.len() > DOCUMENTS_MAX {
        return Err(OpenError::TooManyDocuments { documents: checked.len(), limit: DOCUMENTS_MAX });
    }
    Ok(checked)
}

/// The documents that were used last, the main one first.
fn remembered_names(store: &Store) -> Result<Vec<String>, StoreError> {
    let main = store.setting(DOCUMENT_SETTING)?.map(|name| String::from_utf8_lossy(&name).into_owned());
    let others = store.setting(OTHER_DOCUMENTS_SETTING)?;
    let others: Vec<String> =
        others.and_then(|names| serde_json::from_slice(&names).ok()).unwrap_or_default();
    Ok(main.into_iter().chain(others).collect())
}

fn remember(store: &Store, names: &[DocumentName]) -> Result<(), StoreError> {
    let Some((main, others)) = names.split_first() else { return Ok(()) };
    let others: Vec<_> = others.iter().map(DocumentName::as_str).collect();
    let mut batch = Batch::new();
    batch.set(DOCUMENT_SETTING, main.as_str().as_bytes());
    batch.set(OTHER_DOCUMENTS_SETTING, serde_json::to_vec(&others).expect("texts are JSON"));
    store.commit(&batch)
}

fn random() -> Result<[u8; 32], OpenError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(OpenError::Random)?;
    Ok(bytes)
}

/// The setting with the names of the documents beside it: a JSON array.
const OTHER_DOCUMENTS_SETTING: &str = "document/others";
/// The setting with the day on which the ledger's billing periods begin, one byte.
const RESET_DAY_SETTING: &str = "ledger/reset-day";
/// Requests that wait; more wait in their callers.
const REQUESTS_MAX: usize = 1024;
