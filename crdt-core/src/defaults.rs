//! Defaults: values that are read where the document has nothing.
//!
//! They are a table in the program and never part of a document: no frame, no record and no JSON contains
//! them. So they have no stamp, and any value that was ever set takes precedence.

use core::fmt;

use crate::causal::Stamp;
use crate::cell::{Cell, Content, Path, PathError, Value, ValueError};
use crate::document::{Document, Node};
use crate::storage::{Storage, compare_with_below};

/// A table of scalars that are read where a document has nothing.
///
/// If a device [sets](Document::set) its defaults when it first starts, their stamps are newer than what an
/// operator has prepared for it, and they win when it first syncs. If they are read over the document
/// instead, anything that was ever set takes precedence:
///
/// ```
/// use crdt_core::capacity::{Bytes, Cells, Replicas};
/// use crdt_core::{Defaults, Document, DocumentName, Fixed, Limits, Moment, ReplicaId, Value, path};
///
/// // In flash, checked when the program is compiled.
/// const DEFAULTS: Defaults = Defaults::new(&[
///     ("pump/3/mode", Value::Str("auto")),
///     ("pump/3/setpoint", Value::F64(4.5)),
/// ]);
///
/// let name = DocumentName::new("pump-42")?;
/// type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<4>>;
/// let mut device = Document::<Small>::new(&name, ReplicaId::new(1), Limits::default());
/// let mut cloud = Document::<Small>::new(&name, ReplicaId::new(2), Limits::default());
///
/// // The operator prepares the device before it has ever been connected.
/// cloud.set(Moment::new(1_000), path!("pump/3/setpoint"), 6.0)?;
/// // The device starts later, and uses its default until it syncs.
/// assert_eq!(DEFAULTS.over(&device).get(path!("pump/3/setpoint")), Some(Value::F64(4.5)));
///
/// device.merge(&cloud)?;
/// cloud.merge(&device)?;
/// assert_eq!(DEFAULTS.over(&device).get(path!("pump/3/setpoint")), Some(Value::F64(6.0)));
/// assert_eq!(DEFAULTS.over(&device).get(path!("pump/3/mode")), Some(Value::Str("auto")));
/// assert_eq!(cloud.get(path!("pump/3/mode")), None, "a default stays where it is");
///
/// // A deleted value is as never set: every replica reads the default, with or without the tombstone.
/// device.delete(Moment::new(2_000), path!("pump/3/setpoint"))?;
/// assert_eq!(DEFAULTS.over(&device).get(path!("pump/3/setpoint")), Some(Value::F64(4.5)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Defaults<'a> {
    /// Ascending by path; none is below another.
    entries: &'a [(&'a str, Value<'a>)],
}

impl<'a> Defaults<'a> {
    /// The table of `entries`: paths with their values, in the byte order of the paths. For constants: an
    /// invalid table does not compile. O(n x depth x log n).
    ///
    /// # Panics
    /// If [`try_new`](Self::try_new) returns an error.
    ///
    /// ```compile_fail
    /// use crdt_core::{Defaults, Value};
    /// const NOT_IN_ORDER: Defaults = Defaults::new(&[("speed", Value::I64(1)), ("mode", Value::Str("auto"))]);
    /// println!("{NOT_IN_ORDER:?}");
    /// ```
    pub const fn new(entries: &'a [(&'a str, Value<'a>)]) -> Self {
        match Self::try_new(entries) {
            Ok(defaults) => defaults,
            Err(DefaultsError::Path { .. }) => {
                panic!("a default has no path: 1 to 16 keys joined by `/`, none empty, 255 bytes in all")
            }
            Err(DefaultsError::Value { .. }) => {
                panic!("a default is too long: a value has at most 4096 bytes")
            }
            Err(DefaultsError::Order { .. }) => {
                panic!("the defaults are not in the byte order of their paths, or two have the same one")
            }
            Err(DefaultsError::Below { .. }) => {
                panic!("a default lies below another one, which is a scalar: nothing can be below it")
            }
        }
    }

    /// As [`new`](Self::new), for tables that are made at run time.
    ///
    /// # Errors
    /// [`DefaultsError`] names the first invalid entry.
    pub const fn try_new(entries: &'a [(&'a str, Value<'a>)]) -> Result<Self, DefaultsError> {
        let mut index = 0;
        while index < entries.len() {
            let (path, value) = entries[index];
            if let Err(error) = Path::new(path) {
                return Err(DefaultsError::Path { index, error });
            }
            if let Err(error) = Content::Value(value).check() {
                return Err(DefaultsError::Value { index, error });
            }
            if index > 0 && !is_before(entries[index - 1].0.as_bytes(), path.as_bytes()) {
                return Err(DefaultsError::Order { index });
            }
            if has_one_above(entries, index) {
                return Err(DefaultsError::Below { index });
            }
            index += 1;
        }
        Ok(Self { entries })
    }

    /// The document with these defaults where it has nothing.
    pub const fn over<S: Storage>(self, document: &'a Document<S>) -> WithDefaults<'a, S> {
        WithDefaults { defaults: self, document }
    }

    /// The entries, in the byte order of their paths.
    pub fn iter(self) -> impl Iterator<Item = (Path<'a>, Value<'a>)> + 'a {
        self.entries.iter().map(|(path, value)| (Path::from_checked(path), *value))
    }

    /// The scalar at `path`. O(log entries).
    pub fn get(self, path: Path<'_>) -> Option<Value<'a>> {
        self.at(path).map(|(_, value)| *value)
    }

    /// The entry at `path`.
    pub(crate) fn at(self, path: Path<'_>) -> Option<&'a (&'a str, Value<'a>)> {
        let found = self.entries.binary_search_by(|(other, _)| (*other).cmp(path.as_str()));
        found.ok().and_then(|index| self.entries.get(index))
    }

    /// The entries strictly below `path` (all for `None`).
    pub(crate) fn below(self, path: Option<&str>) -> impl Iterator<Item = (Path<'a>, Value<'a>)> + 'a {
        let run = match path {
            None => self.entries,
            Some(path) => {
                let compare = |entry: &(&str, Value<'_>)| compare_with_below(entry.0.as_bytes(), path);
                let rest = &self.entries[self.entries.partition_point(|entry| compare(entry).is_lt())..];
                &rest[..rest.partition_point(|entry| compare(entry).is_eq())]
            }
        };
        Defaults { entries: run }.iter()
    }
}

/// Why a table of defaults is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DefaultsError {
    /// Its path lies below that of another entry, which is a scalar.
    #[error("entry {index} lies below another one, which is a scalar: nothing can be below it")]
    Below {
        /// Which entry, from 0.
        index: usize,
    },
    /// Its path does not come after that of the entry before it.
    #[error(
        "the path of entry {index} does not come behind the one before, in byte order: sort them, each once"
    )]
    Order {
        /// Which entry, from 0.
        index: usize,
    },
    /// Its path is not valid.
    #[error("the path of entry {index}: {error}")]
    Path {
        /// Which entry, from 0.
        index: usize,
        /// What is wrong with it.
        error: PathError,
    },
    /// Its value is too long.
    #[error("the value of entry {index}: {error}")]
    Value {
        /// Which entry, from 0.
        index: usize,
        /// What is wrong with it.
        error: ValueError,
    },
}

/// A read-only view of a document, with [`Defaults`] where it has nothing.
///
/// A default is visible if the document has no live cell at its path or below, and no scalar or list above
/// it. A map is filled key by key, whether it has a marker or not. See "Defaults" in `docs/semantics.md`.
pub struct WithDefaults<'a, S: Storage> {
    pub(crate) defaults: Defaults<'a>,
    pub(crate) document: &'a Document<S>,
}

/// One scalar or empty container of a document with its defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading<'a> {
    /// The path.
    pub path: Path<'a>,
    /// The content; never a tombstone.
    pub content: Content<'a>,
    /// The stamp of its transaction; `None` for a default.
    pub stamp: Option<Stamp>,
}

impl<'a, S: Storage> WithDefaults<'a, S> {
    /// The scalar at `path`: the document's, or the default where it has nothing. O(depth x log cells + log entries).
    pub fn get(&self, path: Path<'_>) -> Option<Value<'a>> {
        match self.node(path)? {
            Node::Value(value) => Some(value),
            Node::List | Node::Map => None,
        }
    }

    /// What is at `path`: the result of [`Document::node`], or else the default. A path above visible
    /// defaults is a map.
    pub fn node(&self, path: Path<'_>) -> Option<Node<'a>> {
        let stored = self.document.node(path);
        if stored.is_some() || self.is_closed_above(path) {
            return stored;
        }
        match self.defaults.get(path) {
            Some(value) => Some(Node::Value(value)),
            None => self.defaults.below(Some(path.as_str())).next().map(|_| Node::Map),
        }
    }

    /// Whether the scalar at `path` is a default: [`get`](Self::get) returns one, and nobody has set it.
    pub fn is_default(&self, path: Path<'_>) -> bool {
        self.document.node(path).is_none() && self.get(path).is_some()
    }

    /// What is visible at `prefix` and below (everything for `None`), in byte order of the paths: scalars,
    /// defaults among them, and the markers of empty containers. O(cells below + entries below x depth x log
    /// cells).
    ///
    /// ```
    /// # use crdt_core::{Defaults, Document, DocumentName, Heap, Limits, Moment, ReplicaId, Value, path};
    /// const DEFAULTS: Defaults = Defaults::new(&[("pump/mode", Value::Str("auto")), ("pump/setpoint", Value::F64(4.5))]);
    /// # let mut document = Document::<Heap>::new(&DocumentName::new("pump")?, ReplicaId::new(7), Limits::default());
    /// document.set(Moment::new(1), path!("pump/setpoint"), 6.0)?;
    /// for reading in DEFAULTS.over(&document).iter(Some(path!("pump"))) {
    ///     let origin = if reading.stamp.is_some() { "set" } else { "default" };
    ///     println!("{} {:?} ({origin})", reading.path, reading.content);
    /// }
    /// # assert_eq!(DEFAULTS.over(&document).iter(None).count(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self, prefix: Option<Path<'a>>) -> impl Iterator<Item = Reading<'a>> + 'a {
        let here = *self;
        let top = prefix.and_then(|path| Some((path, here.defaults.get(path)?)));
        let defaults = top.into_iter().chain(here.defaults.below(prefix.map(Path::as_str)));
        let mut defaults = defaults
            .filter(move |(path, _)| here.document.node(*path).is_none() && !here.is_closed_above(*path))
            .map(|(path, value)| Reading { path, content: Content::Value(value), stamp: None })
            .peekable();
        let mut stored = self
            .document
            .iter(prefix)
            .filter(move |cell| !here.is_filled(cell))
            .map(|Cell { path, stamp, content }| Reading { path, content, stamp: Some(stamp) })
            .peekable();
        core::iter::from_fn(move || match (stored.peek(), defaults.peek()) {
            (Some(stored), Some(default)) if default.path < stored.path => defaults.next(),
            (None, _) => defaults.next(),
            (Some(_), _) => stored.next(),
        })
    }

    /// The document alone.
    pub fn document(&self) -> &'a Document<S> {
        self.document
    }

    /// Whether something above `path` has no keys that could be filled.
    pub(crate) fn is_closed_above(&self, path: Path<'_>) -> bool {
        path.ancestors().any(|above| matches!(self.document.node(above), Some(Node::List | Node::Value(_))))
    }

    /// Whether `cell` is the marker of a map that would be empty without defaults.
    fn is_filled(&self, cell: &Cell<'_>) -> bool {
        cell.content == Content::Map
            && self.defaults.below(Some(cell.path.as_str())).next().is_some()
            && !self.is_closed_above(cell.path)
    }
}

/// By hand: derived implementations would require the same of `S`.
impl<S: Storage> Clone for WithDefaults<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Storage> Copy for WithDefaults<'_, S> {}

impl<S: Storage> fmt::Debug for WithDefaults<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithDefaults")
            .field("defaults", &self.defaults)
            .field("document", self.document)
            .finish()
    }
}

/// Whether `a` comes before `b` in byte order.
const fn is_before(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return a[at] < b[at];
        }
        at += 1;
    }
    a.len() < b.len()
}

/// Whether the path of an entry lies below that of another. The entries before it must be in order. A binary
/// search for each key, because the compiler limits the steps of a constant.
const fn has_one_above(entries: &[(&str, Value<'_>)], index: usize) -> bool {
    let path = entries[index].0.as_bytes();
    let mut at = 0;
    while at < path.len() {
        if path[at] == b'/' {
            let (above, _) = path.split_at(at);
            let (mut low, mut high) = (0, index);
            while low < high {
                let middle = low + (high - low) / 2;
                let other = entries[middle].0.as_bytes();
                if is_before(other, above) {
                    low = middle + 1;
                } else if is_before(above, other) {
                    high = middle;
                } else {
                    return true;
                }
            }
        }
        at += 1;
    }
    false
}
