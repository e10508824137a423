//! A set of strings.

use core::fmt;
use core::ops::Deref;

use super::path_buffer::{PathBuffer, keys_below};
use super::plan::{Plan, Planned, PlannedContent};
use crate::cell::{Kind, Path, PathError, Value};
use crate::document::Document;
use crate::limits::PATH_LEN_MAX;
use crate::storage::{CellStore, Storage};

/// A set of strings at a path: one cell a member, `<path>/<member>`, which holds `true`.
///
/// Of an insertion and a removal of one member at the same time the newer one wins, as everywhere. Different members do
/// not touch each other.
///
/// A member may be any string that fits into the path. In the key `/` is written as `%2F`, `%` as `%25`, and the empty
/// string as `%`, so that members are one key each. Keys that are not in this form, or do not hold `true`, are no
/// members.
///
/// ```
/// use crdt_core::capacity::{Bytes, Cells, Replicas};
/// use crdt_core::types::Set;
/// use crdt_core::{Document, DocumentName, Fixed, Limits, Moment, Path, ReplicaId};
///
/// // The topics a gateway forwards.
/// let name = DocumentName::new("gateway-1")?;
/// type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<4>>;
/// let mut document = Document::<Small>::new(&name, ReplicaId::new(1), Limits::default());
/// let topics = Set::at(Path::new("mqtt/topics")?);
/// let (pump, tank) = (topics.insert("site/1/pump")?, topics.insert("site/1/tank")?);
/// document.update(Moment::new(1_000), &[pump.write(), tank.write()])?;
/// document.update(Moment::new(2_000), &topics.remove("site/1/pump")?.writes())?;
/// assert!(topics.iter(&document).map(|topic| topic.to_string()).eq(["site/1/tank"]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set<'p> {
    path: Path<'p>,
}

impl<'p> Set<'p> {
    /// The set at `path`.
    pub const fn at(path: Path<'p>) -> Self {
        Self { path }
    }

    /// Where the set is.
    pub const fn path(self) -> Path<'p> {
        self.path
    }

    /// Plans to insert `member`. Inserting what is there is a new write: it wins again. O(length).
    ///
    /// # Errors
    /// [`PathError`] when the member, as it is written, does not fit below the set's path.
    pub fn insert(self, member: &str) -> Result<Plan<'static, 1>, PathError> {
        let content = PlannedContent::Value(Value::Bool(true));
        Ok(Plan::new([Planned { path: self.cell_of(member)?, content }]))
    }

    /// Plans to remove `member`. Removing what is not there writes nothing. O(length).
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn remove(self, member: &str) -> Result<Plan<'static, 1>, PathError> {
        Ok(Plan::new([Planned { path: self.cell_of(member)?, content: PlannedContent::Delete }]))
    }

    /// Whether `member` is in the set. O(log cells).
    pub fn contains<S: Storage>(self, document: &Document<S>, member: &str) -> bool {
        let cell = self.cell_of(member);
        cell.is_ok_and(|path| document.get(path.as_path()) == Some(Value::Bool(true)))
    }

    /// The members, in byte order of their keys. O(cells below).
    pub fn iter<'a, S: Storage>(self, document: &'a Document<S>) -> impl Iterator<Item = Member> + 'a
    where
        'p: 'a,
    {
        let cells = document.cells.below(Some(self.path.as_str()));
        cells
            .filter(move |cell| cell.kind == Kind::True && !document.has_live_below(cell.path()))
            .filter_map(move |cell| Member::from_key(keys_below(cell.path, self.path)))
    }

    /// How many members there are. O(cells below).
    pub fn len<S: Storage>(self, document: &Document<S>) -> usize {
        self.iter(document).count()
    }

    /// Whether there is no member. O(cells below).
    pub fn is_empty<S: Storage>(self, document: &Document<S>) -> bool {
        self.iter(document).next().is_none()
    }

    fn cell_of(self, member: &str) -> Result<PathBuffer, PathError> {
        let mut key = heapless::String::<PATH_LEN_MAX>::new();
        let mut fits = if member.is_empty() { key.push_str(EMPTY) } else { Ok(()) };
        for char in member.chars() {
            fits = fits.and_then(|()| match escape_of(char) {
                Some(escape) => key.push_str(escape),
                None => key.push(char),
            });
        }
        let escapes = member.chars().filter(|char| escape_of(*char).is_some()).count();
        let len = self.path.as_str().len() + 1 + member.len() + 2 * escapes;
        fits.map_err(|_| PathError::TooLong { len })?;
        PathBuffer::from(self.path).join(&key)
    }
}

/// A member of a [`Set`], as the application gave it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member(heapless::String<PATH_LEN_MAX>);

impl Member {
    /// Reads a key; `None` when it is not in the one form of a member.
    fn from_key(key: &str) -> Option<Self> {
        let mut text = heapless::String::new();
        if key == EMPTY {
            return Some(Self(text));
        }
        let mut rest = key;
        while let Some(char) = rest.chars().next() {
            let (char, len) = match char {
                '/' => return None,
                '%' if rest.starts_with("%2F") => ('/', ESCAPE_LEN),
                '%' if rest.starts_with("%25") => ('%', ESCAPE_LEN),
                '%' => return None,
                other => (other, other.len_utf8()),
            };
            text.push(char).ok()?;
            rest = &rest[len..];
        }
        Some(Self(text))
    }
}

impl Deref for Member {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// How a character is written that a key cannot hold, or that announces an escape.
const fn escape_of(char: char) -> Option<&'static str> {
    match char {
        '/' => Some("%2F"),
        '%' => Some("%25"),
        _ => None,
    }
}

/// Bytes of an escape.
const ESCAPE_LEN: usize = 3;
/// The key of the empty member: no escape looks like it.
const EMPTY: &str = "%";
