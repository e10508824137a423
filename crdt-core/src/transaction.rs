//! A transaction that collects its writes one by one, and reads them.
//!
//! Nothing is written before the commit, which is one [`Document::update`]. A read computes what the commit
//! will leave at a path. The stamp of the transaction is newer than everything here, so the order of the
//! writes decides, and no stamp has to be compared.

use core::fmt;

use crate::causal::Stamp;
use crate::cell::{Content, Path, Value};
use crate::document::{Document, Node, UpdateError};
use crate::storage::{CellStore, Storage, Stored};
use crate::time::Moment;
use crate::write::{Pending, Write};

/// Writes that will be made together, and that are read as if they had been made.
///
/// For code whose next write depends on what it has written: a parser of commands, a form, a migration. If
/// all writes are known at once, [`Document::update`] takes them as a slice and needs no memory for them.
///
/// Each write is checked when it is added. A refused one leaves the transaction unchanged and usable. A
/// dropped transaction changes nothing. It borrows paths and values (`'w`) until the commit. It has capacity
/// for as many writes as [`Fixed`](crate::Fixed) has cells, or for
/// [`TRANSACTION_WRITES_MAX`](crate::limits::TRANSACTION_WRITES_MAX) on the heap.
///
/// ```
/// use crdt_core::capacity::{Bytes, Cells, Replicas};
/// use crdt_core::types::Counter;
/// use crdt_core::{Config, CountingRng, DocumentName, Fixed, Moment, Replica, Role, Value, path};
///
/// let name = DocumentName::new("pump-42")?;
/// type Pump = Replica<Fixed<Cells<32>, Bytes<1024>, Replicas<4>>, CountingRng>;
/// let mut pump = Pump::new(&name, Config::new(Role::Member), CountingRng::new(0x1234));
///
/// let mut transaction = pump.transaction();
/// transaction.set(path!("pump/3/mode"), "auto")?.set(path!("pump/3/setpoint"), 4.5)?;
/// assert_eq!(transaction.get(path!("pump/3/setpoint")), Some(Value::F64(4.5)));
/// transaction.delete(path!("pump/3"))?.set(path!("pump/3/mode"), "off")?;
/// assert_eq!(transaction.get(path!("pump/3/setpoint")), None);
///
/// // The plan of a type is a write, too.
/// let stops = Counter::at(path!("pump/3/stops"))?.add(transaction.document(), 1)?;
/// transaction.write(stops.write())?;
///
/// let stamp = transaction.commit(Moment::new(1_770_000_000_000))?;
/// assert_eq!(pump.document().stamp_of(path!("pump/3/mode")), stamp);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a transaction changes nothing until it is committed"]
pub struct Transaction<'t, 'w, T: Transact> {
    target: &'t mut T,
    writes: <T::Storage as Storage>::Pending<'w>,
}

/// The target of a [`Transaction`]: a [`Document`] or a [`Replica`](crate::Replica).
pub trait Transact: Sealed {
    /// The memory of the document.
    type Storage: Storage;

    /// The document as it is.
    fn document(&self) -> &Document<Self::Storage>;

    /// Makes all writes in one transaction. See [`Document::update`].
    ///
    /// # Errors
    /// As [`Document::update`].
    fn update(&mut self, moment: Moment, writes: &[Write<'_>]) -> Result<Option<Stamp>, UpdateError>;
}

/// Seals [`Transact`]: another implementation might not commit what it reads.
pub trait Sealed {}

impl<S: Storage> Document<S> {
    /// Begins a transaction that reads its own writes; its [`commit`](Transaction::commit) is one [`update`](Self::update).
    pub fn transaction<'w>(&mut self) -> Transaction<'_, 'w, Self> {
        Transaction::new(self)
    }
}

impl<S: Storage> Sealed for Document<S> {}

impl<S: Storage> Transact for Document<S> {
    type Storage = S;

    fn document(&self) -> &Document<S> {
        self
    }

    fn update(&mut self, moment: Moment, writes: &[Write<'_>]) -> Result<Option<Stamp>, UpdateError> {
        Document::update(self, moment, writes)
    }
}

impl<'t, 'w, T: Transact> Transaction<'t, 'w, T> {
    pub(crate) fn new(target: &'t mut T) -> Self {
        Self { target, writes: Default::default() }
    }

    /// Puts a scalar at `path`, and removes what was there and below. O(1).
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all).
    pub fn set(&mut self, path: Path<'w>, value: impl Into<Value<'w>>) -> Result<&mut Self, UpdateError> {
        self.write(Write::set(path, value))
    }

    /// Puts an empty map at `path`, and removes what was there and below. O(1).
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all).
    pub fn map(&mut self, path: Path<'w>) -> Result<&mut Self, UpdateError> {
        self.write(Write::map(path))
    }

    /// Puts an empty list at `path`, and removes what was there and below. O(1).
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all).
    pub fn list(&mut self, path: Path<'w>) -> Result<&mut Self, UpdateError> {
        self.write(Write::list(path))
    }

    /// Deletes what is at `path` and below, including writes of this transaction. O(1).
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all).
    pub fn delete(&mut self, path: Path<'w>) -> Result<&mut Self, UpdateError> {
        self.write(Write::delete(path))
    }

    /// Adds a write, for example that of a [`Plan`](crate::types::Plan). O(1); for an addition to a counter,
    /// O(writes + log cells).
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all).
    pub fn write(&mut self, write: Write<'w>) -> Result<&mut Self, UpdateError> {
        self.write_all(&[write])
    }

    /// Adds several writes, in order: all or none of them. For plans with more than one.
    ///
    /// # Errors
    /// [`CapacityError::Writes`](crate::CapacityError::Writes) if there is no capacity for them,
    /// [`UpdateError::Value`] if a value is too long, [`UpdateError::Overflow`] if a counter would overflow
    /// 64 bits. The transaction is unchanged then. The commit checks the capacity of the document.
    pub fn write_all(&mut self, writes: &[Write<'w>]) -> Result<&mut Self, UpdateError> {
        let before = self.writes.as_slice().len();
        match writes.iter().try_for_each(|write| self.take(*write)) {
            Ok(()) => Ok(self),
            Err(error) => {
                self.writes.truncate(before);
                Err(error)
            }
        }
    }

    /// The scalar that will be at `path` after the commit; `None` if there will be nothing, or a container.
    ///
    /// O(writes + log cells); if something lies below `path`, O(writes x (writes + cells below)).
    pub fn get(&self, path: Path<'_>) -> Option<Value<'_>> {
        match self.node(path)? {
            Node::Value(value) => Some(value),
            Node::List | Node::Map => None,
        }
    }

    /// What will be at `path` after the commit, as [`Document::node`] will return it. Costs as
    /// [`get`](Self::get).
    ///
    /// If the total of a counter would overflow, the commit will be refused, and the result is unspecified.
    pub fn node(&self, path: Path<'_>) -> Option<Node<'_>> {
        node(self.document(), self.writes(), path)
    }

    /// The document as it is, without the writes of this transaction. Plans are computed from it.
    pub fn document(&self) -> &Document<T::Storage> {
        self.target.document()
    }

    /// The writes so far, in order.
    pub fn writes(&self) -> &[Write<'w>] {
        self.writes.as_slice()
    }

    /// Makes the writes, in order, and returns their stamp; `None` if there was nothing to do. See
    /// [`Document::update`].
    ///
    /// # Errors
    /// As [`Document::update`]; nothing was written then.
    pub fn commit(self, moment: Moment) -> Result<Option<Stamp>, UpdateError> {
        self.target.update(moment, self.writes.as_slice())
    }

    fn take(&mut self, write: Write<'w>) -> Result<(), UpdateError> {
        write.content.check()?;
        self.writes.push(write).map_err(UpdateError::Capacity)?;
        match write.amount() {
            Some(_) => self.document().check_additions_at(write.path, self.writes()),
            None => Ok(()),
        }
    }
}

impl<T: Transact> fmt::Debug for Transaction<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("document", self.document())
            .field("writes", &self.writes())
            .finish()
    }
}

/// What will be at `path` after `writes`.
fn node<'a, S: Storage>(
    document: &'a Document<S>,
    writes: &'a [Write<'_>],
    path: Path<'_>,
) -> Option<Node<'a>> {
    let last = writes.iter().rposition(|write| write.path.contains(path));
    // Of the later writes, only those below `path` count. The last removes earlier ones, and what is stored
    // below.
    let later = &writes[last.map_or(0, |last| last + 1)..];
    let mut later_below = later.iter().enumerate().filter(|(_, write)| path.is_above(write.path));
    let stored_below = || {
        let cells = document.cells.below(Some(path.as_str()));
        cells.filter(|cell| last.is_none() && cell.is_live())
    };
    let here = match last {
        None => document.cells.get(path.as_str()).as_ref().map(Stored::content),
        Some(last) if writes[last].path == path => match writes[last].amount() {
            Some(_) => Some(Value::I64(total(document, &writes[..=last], path)).into()),
            None => Some(writes[last].content),
        },
        Some(_) => None,
    };
    match here {
        Some(Content::List) => Some(Node::List),
        Some(Content::Map) => Some(Node::Map),
        // A scalar that was hidden once stays a map: it does not return when what hides it is deleted.
        Some(Content::Value(value)) => {
            let is_hidden = later_below.any(|(_, write)| !write.content.is_tombstone())
                || stored_below().next().is_some();
            Some(if is_hidden { Node::Map } else { Node::Value(value) })
        }
        Some(Content::Tombstone) | None => {
            let stays = |index: usize, below: Path<'_>| {
                !later[index..].iter().any(|write| write.path.contains(below))
            };
            let is_map = later_below
                .any(|(index, write)| !write.content.is_tombstone() && stays(index + 1, write.path))
                || stored_below().any(|cell| stays(0, cell.path()));
            is_map.then_some(Node::Map)
        }
    }
}

/// The total of a counter's cell after `writes`, the last of which adds to it. It is the sum since the last other write.
fn total<S: Storage>(document: &Document<S>, writes: &[Write<'_>], path: Path<'_>) -> i64 {
    writes.iter().fold(document.total_at(path), |total, write| match (write.amount(), write.content) {
        (Some(amount), _) if write.path == path => total.saturating_add(amount),
        (None, Content::Value(Value::I64(number))) if write.path == path => number,
        (_, content)
            if write.path.contains(path) || (path.is_above(write.path) && !content.is_tombstone()) =>
        {
            0
        }
        _ => total,
    })
}
