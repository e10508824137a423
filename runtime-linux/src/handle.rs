//! What an application holds of a running edge.

use std::path::Path;
use std::sync::Arc;

use control::Scalar;
use crdt_core::{Config, DocumentName, Heap, Moment, Replica, Role};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::Value as Json;
use storage_redb::{Batch, Store, StoreError, load};
use tokio::sync::{mpsc, oneshot, watch};
use transport_quic::{Identity, Link, PublicKey};

use crate::addresses::{ADDRESS_SETTING, Addresses};
use crate::billing::{Billing, Day};
use crate::books::Books;
use crate::budget::{Budget, Level, Plan};
use crate::clock::Now;
use crate::document::{Document, Receipt, Transaction, Watch, ask};
use crate::driver::{Driver, Ended, Request, StoredRequest};
use crate::engine::{BUDGET_SETTING, Command, DOCUMENTS_MAX, DocumentIndex, Engine, LineParts, Parts, Reply};
use crate::error::{EdgeError, OpenError};
use crate::line::{LineOptions, Lines};
use crate::network::Network;
use crate::options::Options;
use crate::place::{DOCUMENT_SETTING, identity, open_store};
use crate::policy::{DocumentPolicy, Policy, Priority, Rule, Terms};
use crate::report::LedgerReport;
use crate::status::Status;
use crate::unopened::UnopenedDocument;
use crate::zone::Zone;

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
    /// By their numbers; the main one is the first. Only ever longer.
    documents: watch::Receiver<Vec<Arc<str>>>,
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
        let Opened {
            store,
            identity,
            replicas,
            lines: line_parts,
            books,
            budget,
            policy,
            unopened,
            options,
            addresses,
        } = opened;
        for warning in unopened.iter().filter_map(UnopenedDocument::warning) {
            tracing::warn!("{warning}: see edge document send and edge document drop");
        }
        let public_key = identity.public_key();
        let (store_path, is_store_new) = (Arc::from(store.path()), store.is_new());
        let network = match &options.aggregator {
            Some(aggregator) => {
                let mut link = Link::client(identity, options.transport, link_seed);
                // Until the engine has leased something.
                link.set_limit(budget.is_some().then_some(0));
                Some(Network::start(link, aggregator.clone(), addresses).map_err(OpenError::Socket)?)
            }
            None => None,
        };
        let documents: Vec<Arc<str>> =
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
            unopened,
        };
        let engine = Engine::new(Now::read(), parts);
        let line_random = ChaCha12Rng::from_seed(random()?);
        let lines = Lines::start(&options.lines, line_random);
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let (ended_sender, ended) = watch::channel(None);
        let (level_sender, level) = watch::channel(Level::Everything);
        let main = Document::new(requests.clone(), documents[0].clone(), DocumentIndex(0));
        let (documents_sender, documents) = watch::channel(documents);
        let driver = Driver {
            engine,
            store: Arc::new(store),
            network,
            lines,
            requests: receiver,
            ended: ended_sender,
            level: level_sender,
            documents: documents_sender,
            limits: options.limits,
        };
        tokio::spawn(driver.run());
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
        let place = self.documents.borrow().iter().position(|document| document.as_ref() == name);
        let Some(index) = place.and_then(|place| u16::try_from(place).ok()) else {
            return Err(self.unknown(name));
        };
        Ok(Document::new(self.requests.clone(), name.into(), DocumentIndex(index)))
    }

    /// Opens a document that is in the store, until this edge stops; the next start opens those that it names. It is synced
    /// from now on, on the connection that there is. One that is open already is given as it is. Cost: `[cells]`.
    ///
    /// # Errors
    /// [`EdgeError::UnknownDocument`] when the store has none of this name, [`EdgeError::TooManyDocuments`],
    /// [`EdgeError::Load`].
    pub async fn open_document(&self, name: &str) -> Result<Document, EdgeError> {
        if let Ok(document) = self.document(name) {
            return Ok(document);
        }
        let document = name.to_owned();
        let opened = self.ask_stored(|reply| StoredRequest::Open { document, reply }).await?;
        let index = opened.ok_or_else(|| self.unknown(name))?;
        Ok(Document::new(self.requests.clone(), name.into(), index))
    }

    /// The documents of the store that are not open. Cost: `[cells]` of all of them.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn unopened_documents(&self) -> Result<Vec<UnopenedDocument>, EdgeError> {
        self.ask_stored(|reply| StoredRequest::List { reply }).await
    }

    /// What stands at a path and below it in a document of the store that is not open, as nested JSON objects. It is not
    /// synced for that. Cost: `[cells]`.
    ///
    /// # Errors
    /// [`EdgeError::UnknownDocument`] when the store has none of this name, [`EdgeError::Load`].
    pub async fn unopened_tree(&self, name: &str, path: Option<&str>) -> Result<Option<Json>, EdgeError> {
        let path = path.map(|path| {
            crdt_core::Path::new(path).map_err(|source| EdgeError::Path { path: path.to_owned(), source })
        });
        let path = path.transpose()?;
        let replica = self.load_stored(name).await?;
        Ok(control::tree(path, replica.document().iter(path)))
    }

    /// Takes a document that is not open out of the store, with all that was not sent; tells what was in it.
    ///
    /// # Errors
    /// [`EdgeError::Open`], [`EdgeError::UnknownDocument`] when the store has none of this name.
    pub async fn remove_document(&self, name: &str) -> Result<UnopenedDocument, EdgeError> {
        let document = name.to_owned();
        let removed = self.ask_stored(|reply| StoredRequest::Remove { document, reply }).await?;
        removed.map_or_else(|| Err(self.unknown(name)), Ok)
    }

    async fn load_stored(&self, name: &str) -> Result<Replica<Heap, ChaCha12Rng>, EdgeError> {
        let document = name.to_owned();
        let loaded = self.ask_stored(|reply| StoredRequest::Load { document, reply }).await?;
        loaded.map(|replica| *replica).ok_or_else(|| self.unknown(name))
    }

    async fn ask_stored<T>(&self, request: impl FnOnce(Reply<T>) -> StoredRequest) -> Result<T, EdgeError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(Request::Stored(request(reply))).await;
        sent.map_err(|_| EdgeError::Stopped)?;
        answer.await.map_err(|_| EdgeError::Stopped)?
    }

    /// Changes when one more document is open.
    pub(crate) fn watch_document_names(&self) -> watch::Receiver<Vec<Arc<str>>> {
        self.documents.clone()
    }

    fn unknown(&self, name: &str) -> EdgeError {
        let known: Vec<_> = self.document_names().iter().map(|name| format!("{name:?}")).collect();
        EdgeError::UnknownDocument { name: name.chars().take(80).collect(), known: known.join(", ") }
    }

    /// The document that was named first.
    #[must_use]
    pub fn main_document(&self) -> &Document {
        &self.main
    }

    /// The names of its open documents, the main one first.
    #[must_use]
    pub fn document_names(&self) -> Vec<Arc<str>> {
        self.documents.borrow().clone()
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
    Ok(Books::load(&store, saved_billing(&store)?)?.report())
}

/// What is on the disk.
struct Opened {
    store: Store,
    identity: Identity,
    replicas: Vec<Replica<Heap, ChaCha12Rng>>,
    lines: Vec<LineParts>,
    books: Books,
    budget: Option<Budget>,
    policy: Policy,
    unopened: Vec<UnopenedDocument>,
    options: Options,
    addresses: Addresses,
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
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut replicas = Vec::new();
        for (index, name) in names.iter().enumerate() {
            // Devices take from this copy what no aggregator has verified.
            let is_on_line = lines.iter().any(|line| line.documents.contains(&index));
            let role = if is_on_line { Role::Mesh } else { Role::Member };
            let config = Config { limits: options.limits, ..Config::new(role) };
            let moment = Moment { now: Now::read().wall };
            let replica = load(&store, name.as_str(), config, ChaCha12Rng::from_rng(&mut rng), moment)?;
            let new = || Replica::new(name, config, ChaCha12Rng::from_rng(&mut rng));
            replicas.push(replica.unwrap_or_else(new));
        }
        if !names.iter().map(DocumentName::as_str).eq(&remembered) {
            remember(&store, &names)?;
        }
        let mut books = Books::load(&store, billing(&store, &options)?)?;
        let today = today(&books);
        books.follow(today);
        let budget = options.plan.clone().map(|plan| budget(&store, plan, &books, today)).transpose()?;
        let open = names.iter().map(DocumentName::as_str);
        let aggregator = options.aggregator.as_ref().map(|aggregator| aggregator.key);
        let moment = Moment { now: Now::read().wall };
        // Without an aggregator nothing is sent, so nothing is unsent.
        let unopened = match aggregator {
            Some(_) => UnopenedDocument::all(&store, open, aggregator, &mut rng, moment)?,
            None => Vec::new(),
        };
        let addresses = addresses(&store, &options)?;
        Ok(Self { store, identity, replicas, lines, books, budget, policy, unopened, options, addresses })
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

/// The addresses of the aggregator, with the one that worked in a former process.
fn addresses(store: &Store, options: &Options) -> Result<Addresses, StoreError> {
    let saved = store.setting(ADDRESS_SETTING)?;
    let saved = options.aggregator.as_ref().zip(saved);
    let worked = saved.and_then(|(aggregator, setting)| Addresses::saved(&aggregator.address, &setting));
    // Just before the transport would repeat its first packet.
    let patience = options.transport.handshake_repetition().mul_f64(5.0 / 6.0);
    Ok(Addresses::new(patience, worked))
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

/// When days and billing periods begin. Only who uses the link says it anew.
fn billing(store: &Store, options: &Options) -> Result<Billing, StoreError> {
    let saved = saved_billing(store)?;
    let wanted = match &options.plan {
        Some(plan) => plan.billing().clone(),
        None => Billing::new(options.reset_day, options.zone.clone()),
    };
    if options.aggregator.is_none() || wanted == saved {
        return Ok(saved);
    }
    let mut batch = Batch::new();
    batch.set(RESET_DAY_SETTING, vec![wanted.reset_day()]);
    batch.set(ZONE_SETTING, wanted.zone().name().as_bytes());
    store.commit(&batch)?;
    Ok(wanted)
}

/// When days and billing periods begin for who used the link last.
fn saved_billing(store: &Store) -> Result<Billing, StoreError> {
    let reset_day = store.setting(RESET_DAY_SETTING)?.and_then(|day| day.first().copied()).unwrap_or(1);
    let zone = store.setting(ZONE_SETTING)?.map(|name| String::from_utf8_lossy(&name).parse::<Zone>());
    let zone = zone.transpose().unwrap_or_else(|error| {
        tracing::warn!(%error, "the zone of the ledger is not known any more; UTC counts instead");
        None
    });
    Ok(Billing::new(reset_day, zone.unwrap_or_default()))
}

/// The day by the system's clock, or the last one that is known.
fn today(books: &Books) -> Day {
    let known = || books.newest_day().unwrap_or_default();
    Now::read().wall.map_or_else(known, |now| books.billing().day(now.as_ms()))
}

/// The budget as a former process left it, and what the ledger says beside: that one may have had no budget.
fn budget(store: &Store, plan: Plan, books: &Books, today: Day) -> Result<Budget, StoreError> {
    let period = plan.billing().period_start(today);
    let saved = store.setting(BUDGET_SETTING)?;
    let mut budget = match saved.as_deref().map(serde_json::from_slice) {
        Some(Ok(spent)) => Budget::resume(plan, spent, today, books),
        Some(Err(error)) => {
            tracing::error!(%error, "what was spent of the budget cannot be read; the ledger's figures count instead");
            Budget::new(plan, today, 0, 0)
        }
        None => Budget::new(plan, today, 0, 0),
    };
    // In another period, as after a clock was set back, the ledger's figures are not about this one.
    if budget.spent().period == period {
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
/// The setting with the name of the zone in which days and billing periods begin, UTF-8; UTC without it.
const ZONE_SETTING: &str = "ledger/zone";
/// Requests that wait; more wait in their callers.
const REQUESTS_MAX: usize = 1024;
