//! What an application does with a list.

use super::element_id::ElementId;
use super::insertion::Insertion;
use super::order::{self, Element, Group};
use super::position::{Lean, Mark, Position};
use super::{CONTENT_KEY, POSITION_KEY};
use crate::causal::Stamp;
use crate::cell::{Path, PathError, Value};
use crate::document::{Document, Node};
use crate::limits::{ELEMENT_ID_LEN, POSITION_LEN_MAX};
use crate::storage::{CellStore, Storage};
use crate::types::path_buffer::{PathBuffer, check_room};
use crate::types::plan::{Plan, Planned, PlannedContent};

/// A list at a path, for up to a few hundred elements.
///
/// | cell | holds |
/// |---|---|
/// | `<path>/<element id>/@` | the position: bytes, in whose order the elements stand |
/// | `<path>/<element id>/=` | the content, where it is one value (or a subtree of its own) |
/// | `<path>/<element id>/<field>` | a field, where the element is a map |
///
/// An element shows if it has a position and content. Moving writes `@` only, so an element that two replicas move at
/// the same time stands in one place, and one that is moved here and removed there stays removed.
///
/// An element id is 42 bits in 7 characters. One that the list holds already is not made again, so only ids made at the
/// same time in different places can be equal: two replicas that add 100 elements each while they do not hear of each
/// other have an equal pair with a chance of 1 in 440 million. The two elements are then one, with the newer `@` and
/// the newer `=`.
///
/// Without a heap the order is found by looking: each step of [`iter`](Self::iter) costs O(cells below), a whole walk
/// O(elements x cells).
///
/// ```
/// use crdt_core::capacity::{Bytes, Cells, Replicas};
/// use crdt_core::types::List;
/// use crdt_core::{Document, DocumentName, Fixed, Limits, Moment, Path, ReplicaId, Value};
///
/// // The irrigation program of a field: which valves open, in which order.
/// let name = DocumentName::new("field-7")?;
/// type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<4>>;
/// let mut document = Document::<Small>::new(&name, ReplicaId::new(1), Limits::default());
/// let program = List::at(Path::new("irrigation/program")?)?;
///
/// // The 64 bits are fresh random ones, as in a `Moment`.
/// let north = program.push(&document, 0x1d0c_55aa, "north")?;
/// document.update(Moment::new(1_000), &north.writes())?;
/// let south = program.push(&document, 0x77b3_0112, "south")?;
/// document.update(Moment::new(2_000), &south.writes())?;
///
/// let first = program.move_to(&document, south.id(), 0)?;
/// document.update(Moment::new(3_000), &first.writes())?;
/// let order: Vec<_> = program.iter(&document).map(|valve| valve.value).collect();
/// assert_eq!(order, [Some(Value::Str("south")), Some(Value::Str("north"))]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<'p> {
    path: Path<'p>,
}

impl<'p> List<'p> {
    /// The list at `path`.
    ///
    /// # Errors
    /// [`PathError`] when there is no capacity for an element's cells below `path`.
    pub fn at(path: Path<'p>) -> Result<Self, PathError> {
        check_room(path, "/".len() + ELEMENT_ID_LEN + "/@".len(), 2)?;
        Ok(Self { path })
    }

    /// Where the list is.
    pub fn path(self) -> Path<'p> {
        self.path
    }

    /// Plans a new last element with one value. O(cells below).
    ///
    /// `random` is 64 fresh random bits: the element's id comes from them.
    ///
    /// # Errors
    /// [`ListError::NoRoom`].
    pub fn push<'v, S: Storage>(
        self,
        document: &Document<S>,
        random: u64,
        value: impl Into<Value<'v>>,
    ) -> Result<Insertion<'p, 'v, 2>, ListError> {
        self.place_last(document, random)?.with_value(value)
    }

    /// Plans a new element with one value at `index`, before the one that is there now. O(index x cells below).
    ///
    /// # Errors
    /// [`ListError::Index`] when the list is shorter than `index`; [`ListError::NoRoom`].
    pub fn insert<'v, S: Storage>(
        self,
        document: &Document<S>,
        random: u64,
        index: usize,
        value: impl Into<Value<'v>>,
    ) -> Result<Insertion<'p, 'v, 2>, ListError> {
        self.place(document, random, index)?.with_value(value)
    }

    /// Plans a place at the end for an element that is a map. Its fields go below [`Insertion::path`], in the same
    /// transaction; without any the element does not show.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    ///
    /// # Example: a schedule of entries with two fields each
    /// ```
    /// use crdt_core::capacity::{Bytes, Cells, Replicas};
    /// use crdt_core::types::List;
    /// use crdt_core::{Document, DocumentName, Fixed, Limits, Moment, Path, ReplicaId, Value, Write};
    ///
    /// let name = DocumentName::new("field-7")?;
    /// type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<4>>;
    /// let mut document = Document::<Small>::new(&name, ReplicaId::new(1), Limits::default());
    /// let schedule = List::at(Path::new("schedule")?)?;
    ///
    /// let entry = schedule.place_last(&document, 0x1d0c_55aa)?;
    /// let (at, minutes) = (entry.path().join("at")?, entry.path().join("minutes")?);
    /// let [place] = entry.writes();
    /// let fields = [place, Write::set(at.as_path(), "05:30"), Write::set(minutes.as_path(), 20)];
    /// document.update(Moment::new(1_000), &fields)?;
    ///
    /// let first = schedule.get(&document, 0).expect("it was just added");
    /// assert_eq!(first.field(&document, "minutes"), Some(Value::I64(20)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn place_last<S: Storage>(
        self,
        document: &Document<S>,
        random: u64,
    ) -> Result<Insertion<'p, 'static, 1>, ListError> {
        let last = self.elements(document).max_by(Element::compare);
        self.new_element(document, random, Gap::new(last, None), None)
    }

    /// Plans a place at `index` for an element that is a map; see [`place_last`](Self::place_last).
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn place<S: Storage>(
        self,
        document: &Document<S>,
        random: u64,
        index: usize,
    ) -> Result<Insertion<'p, 'static, 1>, ListError> {
        let gap = self.gap_at(document, index, None)?;
        self.new_element(document, random, gap, None)
    }

    /// Plans the first place of a list that begins anew: the same transaction clears the path first, with
    /// [`Write::list`](crate::Write::list). What is there now is not looked at, so positions are as short as in a new
    /// list however often that is done. [`Insertion::then`] goes on. O(log cells).
    ///
    /// # Errors
    /// None in practice: an empty list has capacity.
    pub fn place_anew<S: Storage>(
        self,
        document: &Document<S>,
        random: u64,
    ) -> Result<Insertion<'p, 'static, 1>, ListError> {
        self.new_element(document, random, Gap::new(None, None), None)
    }

    /// Plans to move the element `id`, so that it stands at `index` then. Writes its position only.
    /// O(index x cells below).
    ///
    /// # Errors
    /// [`ListError::Index`], [`ListError::NoElement`], [`ListError::NoRoom`].
    pub fn move_to<S: Storage>(
        self,
        document: &Document<S>,
        id: &str,
        index: usize,
    ) -> Result<Plan<'static, 1>, ListError> {
        let element = self.find(document, id)?;
        let gap = self.gap_at(document, index, Some(id))?;
        let position = gap.position(Mark::of(document.replica_id()))?;
        Ok(Plan::new([place_at(element.path.into(), position)?]))
    }

    /// Plans to delete the element `id` with all its fields. O(cells below).
    ///
    /// # Errors
    /// [`ListError::NoElement`].
    pub fn remove<S: Storage>(self, document: &Document<S>, id: &str) -> Result<Plan<'static, 1>, ListError> {
        let element = self.find(document, id)?;
        Ok(Plan::new([Planned { path: element.path.into(), content: PlannedContent::Delete }]))
    }

    /// Plans to give the element `id` another value. O(cells below).
    ///
    /// # Errors
    /// [`ListError::NoElement`].
    pub fn set<'v, S: Storage>(
        self,
        document: &Document<S>,
        id: &str,
        value: impl Into<Value<'v>>,
    ) -> Result<Plan<'v, 1>, ListError> {
        self.set_below(document, id, CONTENT_KEY, value.into())
    }

    /// Plans to set the field at `keys` (one key, or several joined by `/`) of the element `id`. O(cells below).
    ///
    /// # Errors
    /// [`ListError::NoElement`], [`ListError::Path`]; [`ListError::Reserved`] for the keys `@` and `=`.
    pub fn set_field<'v, S: Storage>(
        self,
        document: &Document<S>,
        id: &str,
        keys: &str,
        value: impl Into<Value<'v>>,
    ) -> Result<Plan<'v, 1>, ListError> {
        if keys.split('/').next().is_some_and(|key| [POSITION_KEY, CONTENT_KEY].contains(&key)) {
            return Err(ListError::Reserved);
        }
        self.set_below(document, id, keys, value.into())
    }

    /// The elements in order. O(cells below) a step.
    pub fn iter<'a, S: Storage>(self, document: &'a Document<S>) -> impl Iterator<Item = Element<'a>> + 'a
    where
        'p: 'a,
    {
        let mut previous = None;
        core::iter::from_fn(move || {
            let next = order::next(document, self.path, previous)?;
            previous = Some(next);
            Some(next)
        })
    }

    /// The element at `index`. O(index x cells below).
    pub fn get<'a, S: Storage>(self, document: &'a Document<S>, index: usize) -> Option<Element<'a>>
    where
        'p: 'a,
    {
        self.iter(document).nth(index)
    }

    /// The element with that id. O(cells below).
    pub fn get_by_id<'a, S: Storage>(self, document: &'a Document<S>, id: &str) -> Option<Element<'a>>
    where
        'p: 'a,
    {
        self.elements(document).find(|element| element.id == id)
    }

    /// How many elements show. O(cells below).
    pub fn len<S: Storage>(self, document: &Document<S>) -> usize {
        self.elements(document).count()
    }

    /// Whether none shows. O(cells below).
    pub fn is_empty<S: Storage>(self, document: &Document<S>) -> bool {
        self.elements(document).next().is_none()
    }

    /// Whether there is a list here: one element shows, or the marker of an empty list stands here.
    pub fn exists<S: Storage>(self, document: &Document<S>) -> bool {
        document.node(self.path) == Some(Node::List) || !self.is_empty(document)
    }

    // ---- private ----

    fn elements<'a, S: Storage>(self, document: &'a Document<S>) -> impl Iterator<Item = Element<'a>> + 'a
    where
        'p: 'a,
    {
        order::groups(document, self.path).filter_map(Group::element)
    }

    fn find<'a, S: Storage>(self, document: &'a Document<S>, id: &str) -> Result<Element<'a>, ListError>
    where
        'p: 'a,
    {
        self.get_by_id(document, id).ok_or(ListError::NoElement)
    }

    fn set_below<'v, S: Storage>(
        self,
        document: &Document<S>,
        id: &str,
        keys: &str,
        value: Value<'v>,
    ) -> Result<Plan<'v, 1>, ListError> {
        let path = PathBuffer::from(self.find(document, id)?.path).join(keys)?;
        Ok(Plan::new([Planned { path, content: PlannedContent::Value(value) }]))
    }

    /// Between which elements `index` lies, when the one with the id `without` is taken out.
    fn gap_at<'a, S: Storage>(
        self,
        document: &'a Document<S>,
        index: usize,
        without: Option<&str>,
    ) -> Result<Gap, ListError>
    where
        'p: 'a,
    {
        let mut others = self.iter(document).filter(|element| Some(element.id) != without);
        let mut left = None;
        for len in 0..index {
            left = Some(others.next().ok_or(ListError::Index { index, len })?);
        }
        // Behind all that tie with the left neighbour: there is no position between equal ones.
        let right = others.find(|right| left.is_none_or(|left: Element<'_>| left.position < right.position));
        Ok(Gap::new(left, right))
    }

    pub(super) fn new_element<S: Storage>(
        self,
        document: &Document<S>,
        random: u64,
        gap: Gap,
        before: Option<ElementId>,
    ) -> Result<Insertion<'p, 'static, 1>, ListError> {
        let position = gap.position(Mark::of(document.replica_id()))?;
        let mut id = ElementId::new(random, Stamp::new(document.clock(), document.replica_id()), before);
        let mut path = PathBuffer::from(self.path).join(&id.key())?;
        while is_taken(document, path.as_path()) {
            id = id.next();
            path = PathBuffer::from(self.path).join(&id.key())?;
        }
        let plan = Plan::new([place_at(path, position.clone())?]);
        Ok(Insertion { list: self, id, position, right: gap.right, plan })
    }
}

/// Why an operation on a list was not planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The index lies behind the end.
    #[error("index {index} lies behind the end of a list of {len} elements")]
    Index {
        /// Index asked for.
        index: usize,
        /// Elements that stand there (without the one that is moved).
        len: usize,
    },
    /// No element with that id shows: it never was, or somebody removed it.
    #[error("no element with this id is in the list: it may have been removed elsewhere")]
    NoElement,
    /// The two neighbours stand too close.
    #[error(
        "no position of at most {POSITION_LEN_MAX} bytes is left between the neighbours: insert elsewhere, or let the \
         aggregator rebalance the list"
    )]
    NoRoom,
    /// The path of a field is not one.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The key is the list's own.
    #[error("the keys `@` (position) and `=` (content) of an element are reserved: name the field otherwise")]
    Reserved,
}

/// Two neighbours, between which a position is looked for.
pub(super) struct Gap {
    left: Option<Position>,
    right: Option<Position>,
    lean: Lean,
}

impl Gap {
    fn new(left: Option<Element<'_>>, right: Option<Element<'_>>) -> Self {
        let lean = match (&left, &right) {
            (None, None) => Lean::Middle,
            (None, Some(_)) => Lean::Right,
            (Some(_), None) => Lean::Left,
            (Some(left), Some(right)) if right.placed > left.placed => Lean::Right,
            (Some(_), Some(_)) => Lean::Left,
        };
        let position = |element: Element<'_>| Position::new(element.position);
        Self { left: left.and_then(position), right: right.and_then(position), lean }
    }

    /// Directly behind `left`, which is planned, and before what stood there.
    pub(super) const fn behind(left: Position, right: Option<Position>) -> Self {
        Self { left: Some(left), right, lean: Lean::Left }
    }

    fn position(&self, mark: Mark) -> Result<Position, ListError> {
        let left = self.left.as_ref().map(Position::as_bytes);
        let right = self.right.as_ref().map(Position::as_bytes);
        Position::between(left, right, self.lean, mark).ok_or(ListError::NoRoom)
    }
}

/// Whether there is, or was lately, something at `path` or below.
pub(super) fn is_taken<S: Storage>(document: &Document<S>, path: Path<'_>) -> bool {
    let cells = &document.cells;
    cells.get(path.as_str()).is_some() || cells.below(Some(path.as_str())).next().is_some()
}

fn place_at(element: PathBuffer, position: Position) -> Result<Planned<'static>, PathError> {
    Ok(Planned { path: element.join(POSITION_KEY)?, content: PlannedContent::Position(position) })
}
