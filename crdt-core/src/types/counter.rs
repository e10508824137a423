//! A counter that counts every increment once, whoever makes it, and can be reset.

use super::path_buffer::{PathBuffer, check_room, keys_below};
use super::plan::{Plan, Planned, PlannedContent};
use crate::cell::{Path, PathError, Value};
use crate::document::Document;
use crate::id::ReplicaId;
use crate::storage::{CellStore, Storage, Stored};

/// A counter at a path.
///
/// | cell | holds | written by |
/// |---|---|---|
/// | `<path>/<replica id, 16 hex digits>` | running total of this replica's additions | that replica alone |
/// | `<path>/=` | base: what is subtracted from the sum of the totals | who resets it; the newest wins |
///
/// The value is the sum less the base. As nobody else writes a replica's total, concurrent additions never overwrite
/// each other. A reset writes the sum that it sees as the base: what it has not seen is not in the base, and counts on.
///
/// Cells below the path that are neither, or not integers, count nothing.
///
/// ```
/// use crdt_core::capacity::{Bytes, Cells, Replicas};
/// use crdt_core::types::Counter;
/// use crdt_core::{Document, DocumentName, Fixed, Limits, Moment, Path, ReplicaId};
///
/// // Starts of a pump, counted by its two controllers, reset by the service technician.
/// let name = DocumentName::new("pump-42")?;
/// type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<4>>;
/// let mut a = Document::<Small>::new(&name, ReplicaId::new(0xa), Limits::default());
/// let mut b = Document::<Small>::new(&name, ReplicaId::new(0xb), Limits::default());
/// let starts = Counter::at(Path::new("pump/3/starts")?)?;
/// a.update(Moment::new(1_000), &starts.add(&a, 7)?.writes())?;
/// b.merge(&a)?;
///
/// a.update(Moment::new(2_000), &starts.reset(&a)?.writes())?;
/// b.update(Moment::new(2_000), &starts.add(&b, 1)?.writes())?; // at the same time
/// a.merge(&b)?;
/// assert_eq!(starts.value(&a)?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter<'p> {
    path: Path<'p>,
}

impl<'p> Counter<'p> {
    /// The counter at `path`.
    ///
    /// # Errors
    /// [`PathError`] when there is no capacity for its cells below `path`.
    pub fn at(path: Path<'p>) -> Result<Self, PathError> {
        check_room(path, "/".len() + KEY_LEN, 1)?;
        Ok(Self { path })
    }

    /// Where the counter is.
    pub fn path(self) -> Path<'p> {
        self.path
    }

    /// Plans to add `amount`, which may be negative. O(log cells).
    ///
    /// The amount is added when the plan is committed: several in one transaction all count.
    ///
    /// # Errors
    /// [`CounterError::Overflow`] when the own total does not fit in 64 bits.
    pub fn add<S: Storage>(
        self,
        document: &Document<S>,
        amount: i64,
    ) -> Result<Plan<'static, 1>, CounterError> {
        let path = self.cell_of(own_counter_key(document))?;
        let own = document.get(path.as_path()).and_then(integer).unwrap_or(0);
        own.checked_add(amount).ok_or(CounterError::Overflow)?;
        Ok(Plan::new([Planned { path, content: PlannedContent::Add(amount) }]))
    }

    /// Plans to bring the value to 0, as far as additions are known here. O(cells below).
    ///
    /// # Errors
    /// [`CounterError::Overflow`] when the sum of the totals does not fit in 64 bits.
    pub fn reset<S: Storage>(self, document: &Document<S>) -> Result<Plan<'static, 1>, CounterError> {
        let base = i64::try_from(self.sum(document)).map_err(|_| CounterError::Overflow)?;
        let path = PathBuffer::from(self.path).join(BASE_KEY)?;
        Ok(Plan::new([Planned { path, content: PlannedContent::Value(Value::I64(base)) }]))
    }

    /// The value; 0 where nothing was counted yet. O(cells below).
    ///
    /// # Errors
    /// [`CounterError::Overflow`] when the value does not fit in 64 bits.
    pub fn value<S: Storage>(self, document: &Document<S>) -> Result<i64, CounterError> {
        let base = PathBuffer::from(self.path).join(BASE_KEY)?;
        let base = document.get(base.as_path()).and_then(integer).unwrap_or(0);
        i64::try_from(self.sum(document) - i128::from(base)).map_err(|_| CounterError::Overflow)
    }

    // ---- private ----

    /// The sum of all totals. At most 2^64 ids of 64 bits each: it fits.
    fn sum<S: Storage>(self, document: &Document<S>) -> i128 {
        let cells = document.cells.below(Some(self.path.as_str()));
        let totals = cells.filter(|cell| is_replica_key(keys_below(cell.path, self.path)));
        totals.filter_map(|cell| total_of(&cell)).map(i128::from).sum()
    }

    fn cell_of(self, replica: ReplicaId) -> Result<PathBuffer, PathError> {
        let digits = replica.digits();
        PathBuffer::from(self.path).join(core::str::from_utf8(&digits).expect("digits are text"))
    }
}

/// Why a counter cannot be read or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CounterError {
    /// A total or the value is beyond 64 bits.
    #[error("the counter goes beyond {} to {}: delete it to start over", i64::MIN, i64::MAX)]
    Overflow,
    /// The path leaves no capacity for the counter's cells.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Whose total this copy adds to. Nobody else may ever write it: a copy that may be an old one has a spare id for that.
pub(crate) fn own_counter_key<S: Storage>(document: &Document<S>) -> ReplicaId {
    document.spare.unwrap_or(document.replica)
}

/// Whether `path` is that of a counter's total that belongs to `replica`.
pub(crate) fn is_total_of(path: &str, replica: ReplicaId) -> bool {
    let parts = path.as_bytes().split_last_chunk();
    parts.is_some_and(|(above, key)| above.ends_with(b"/") && *key == replica.digits())
}

/// What a total's cell holds; `None` when it is no integer.
pub(crate) fn total_of(cell: &Stored<'_>) -> Option<i64> {
    cell.content().value().and_then(integer)
}

pub(crate) fn integer(value: Value<'_>) -> Option<i64> {
    match value {
        Value::I64(number) => Some(number),
        _ => None,
    }
}

/// Whether `key` is a replica id in the one form that is written.
fn is_replica_key(key: &str) -> bool {
    key.len() == KEY_LEN && key.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// Length of a replica id in hex.
const KEY_LEN: usize = 16;
/// The key of the base.
const BASE_KEY: &str = "=";
