//! What an application holds of one document: reads, writes, receipts and watches.

use std::collections::VecDeque;
use std::sync::Arc;

use control::{Change, Scalar};
use crdt_core::Stamp;
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot};

use crate::changes::Cursor;
use crate::driver::Request;
use crate::engine::{Basis, Command, DocumentCommand, DocumentIndex, Reply, Updated};
use crate::error::EdgeError;

/// A document of a running edge. Clones speak to the same one. See [`Edge::document`](crate::Edge::document).
#[derive(Clone, Debug)]
pub struct Document {
    requests: mpsc::Sender<Request>,
    name: Arc<str>,
    index: DocumentIndex,
}

/// A transaction being put together: all of it happens, or nothing.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing happens before it is given to update"]
pub struct Transaction {
    writes: Vec<(String, Option<Scalar>)>,
}

/// What a write left behind: it is on this device's disk. Ask it when the aggregator has it on its own.
#[derive(Clone, Debug)]
pub struct Receipt {
    document: Document,
    stamp: Option<Stamp>,
    /// What must be at the aggregator; everything that is in the document when it is asked without it.
    basis: Option<Basis>,
}

/// The changes at a path, as they come. See [`Document::watch`].
#[derive(Debug)]
pub struct Watch {
    document: Document,
    prefix: Option<String>,
    waiting: VecDeque<Change>,
    cursor: Option<Cursor>,
}

impl Document {
    pub(crate) fn new(requests: mpsc::Sender<Request>, name: Arc<str>, index: DocumentIndex) -> Self {
        Self { requests, name, index }
    }

    /// Puts a value at a path. Returns when it is on this device's disk; what happens at the same time, in any document,
    /// shares a commit.
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
        let Updated { stamp, basis } = self.ask(|reply| DocumentCommand::Update { writes, reply }).await?;
        Ok(Receipt { document: self.clone(), stamp, basis: Some(basis) })
    }

    /// The scalar at a path; `None` where nothing or a container stands. What it gives is on the disk.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn get(&self, path: &str) -> Result<Option<Scalar>, EdgeError> {
        self.ask(|reply| DocumentCommand::Get { path: path.to_owned(), reply }).await
    }

    /// What stands at a path and below it, as nested JSON objects; the whole document without a path.
    ///
    /// # Errors
    /// [`EdgeError`].
    pub async fn tree(&self, path: Option<&str>) -> Result<Option<Json>, EdgeError> {
        self.ask(|reply| DocumentCommand::Tree { path: path.map(str::to_owned), reply }).await
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
        Ok(Watch { document: self.clone(), prefix, waiting: VecDeque::new(), cursor: None })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The receipt of a write that another receipt told of, in this process; of everything that is in the document when it
    /// is asked without a stamp.
    pub(crate) fn receipt(&self, stamp: Option<Stamp>) -> Receipt {
        Receipt { document: self.clone(), stamp, basis: stamp.map(Basis::from) }
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> DocumentCommand) -> Result<T, EdgeError> {
        let document = self.index;
        ask(&self.requests, |reply| Command::Document { document, command: command(reply) }).await
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
    /// Resolves when the aggregator has the write on its disk, or knows of a newer one in its place. Where nothing was
    /// written, because it was so already, it waits for what makes it so: everything that the document held then. That may
    /// take as long as the device is offline; dropping the future gives up waiting, not the write. On the wire it costs
    /// nothing: the aggregator's transport acknowledges only what is durable.
    ///
    /// # Errors
    /// [`EdgeError`]; the write is on this device's disk in any case.
    pub async fn durable_at_aggregator(&self) -> Result<(), EdgeError> {
        let basis = self.basis.clone();
        self.document.ask(|reply| DocumentCommand::Receipt { basis, reply }).await
    }

    /// The stamp of the transaction; `None` when there was nothing to do.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    /// The name of the document that was written to.
    #[must_use]
    pub fn document(&self) -> &str {
        &self.document.name
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
            let changes =
                self.document.ask(|reply| DocumentCommand::Changes { prefix, after, reply }).await?;
            self.cursor = Some(changes.cursor);
            self.waiting = changes.changes.into();
        }
    }
}

/// Sends a command to the task of the edge, and waits for its answer.
pub(crate) async fn ask<T>(
    requests: &mpsc::Sender<Request>,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, EdgeError> {
    let (reply, answer) = oneshot::channel();
    requests.send(Request::Command(command(reply))).await.map_err(|_| EdgeError::Stopped)?;
    answer.await.map_err(|_| EdgeError::Stopped)?
}
