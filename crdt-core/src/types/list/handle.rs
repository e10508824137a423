//! What an application does with a list.

use core::fmt;
use core::ops::Deref;

use super::order::{self, Element, Group};
use super::position::{Lean, Mark, Position};
use super::{CONTENT_KEY, POSITION_KEY};
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
/// An element shows if it has a position and content. Moving writes `@` only, so an element that two replicas move at the
/// same time stands in one place, and one that is moved here and removed there stays removed.
///
/// Without a heap the order is found by looking: each step of [`iter`](Self::iter) costs O(cells below), a whole walk
/// O(elements x cells).
///
/// ```
/// use crdt_core::types::List;
/// use crdt_core::{Document, DocumentName, Fixed, Limits, Moment, Path, ReplicaId, Value};
///
/// // The irrigation program of a field: which valves open, in which order.
/// let name = DocumentName::new("field-7")?;
/// let mut document = Document::<Fixed<32, 1024, 4>>::new(&name, ReplicaId::new(1), Limits::default());
/// let program = List::at(Path::new("irrigation/program")?)?;
///
/// // The 64 bits are fresh random ones, as in a `Moment`.
/// let north = program.push(&document, 0x1d0c_55aa, "north")?;
/// document.update(Moment::new(1_000, 0), &north.writes())?;
/// let south = program.push(&document, 0x77b3_0112, "south")?;
/// document.update(Moment::new(2_000, 0), &south.writes())?;
///
/// let first = program.move_to(&document, south.id(), 0)?;
/// document.update(Moment::new(3_000, 0), &first.writes())?;
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
    /// [`PathError`] when there is no room for an element's cells below `path`.
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
    /// `random` is 64 fresh random bits: the element's id comes from them (see [`ElementId`]).
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
    /// use crdt_core::types::List;
    /// use crdt_core::{Document, DocumentName, Fixed, Limits, Moment, Path, ReplicaId, Value, Write};
    ///
    /// let name = DocumentName::new("field-7")?;
    /// let mut document = Document::<Fixed<32, 1024, 4>>::new(&name, ReplicaId::new(1), Limits::default());
    /// let schedule = List::at(Path::new("schedule")?)?;
    ///
    /// let entry = schedule.place_last(&document, 0x1d0c_55aa)?;
    /// let (at, minutes) = (entry.path().join("at")?, entry.path().join("minutes")?);
    /// let [place] = entry.writes();
    /// let fields = [place, Write::set(at.as_path(), "05:30"), Write::set(minutes.as_path(), 20)];
    /// document.update(Moment::new(1_000, 0), &fields)?;
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
        self.new_element(document, random, Gap::new(last, None))
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
        self.new_element(document, random, gap)
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

    fn new_element<S: Storage>(
        self,
        document: &Document<S>,
        random: u64,
        gap: Gap,
    ) -> Result<Insertion<'p, 'static, 1>, ListError> {
        let position = gap.position(Mark::of(document.replica_id()))?;
        let id = self.fresh_id(document, random, None);
        let path = PathBuffer::from(self.path).join(&id)?;
        let plan = Plan::new([place_at(path.clone(), position.clone())?]);
        Ok(Insertion { list: self, id, path, position, right: gap.right, plan })
    }

    /// An id that no cell of the list has yet. The replica and its clock are mixed in, in case `random` is not.
    fn fresh_id<S: Storage>(
        self,
        document: &Document<S>,
        random: u64,
        planned: Option<&ElementId>,
    ) -> ElementId {
        let is_taken = |id: &ElementId| {
            let held = PathBuffer::from(self.path).join(id).is_ok_and(|path| {
                let path = path.as_path().as_str();
                document.cells.get(path).is_some() || document.cells.below(Some(path)).next().is_some()
            });
            held || planned == Some(id)
        };
        let mut bits = mix(random ^ mix(document.replica_id().get() ^ mix(document.clock().as_ms())));
        let mut id = ElementId::from_bits(bits);
        while is_taken(&id) {
            bits = mix(bits);
            id = ElementId::from_bits(bits);
        }
        id
    }
}

impl<'a> Element<'a> {
    /// The field at `keys` (one key, or several joined by `/`), if it is a scalar.
    pub fn field<'d, S: Storage>(&self, document: &'d Document<S>, keys: &str) -> Option<Value<'d>> {
        let path = PathBuffer::from(self.path).join(keys).ok()?;
        document.get(path.as_path())
    }

    /// Where its content lies when that is not fields but one value, or a list or map of its own.
    ///
    /// # Errors
    /// [`PathError`] when there is no room for it below the element.
    pub fn content_path(&self) -> Result<PathBuffer, PathError> {
        PathBuffer::from(self.path).join(CONTENT_KEY)
    }
}

/// The id of an element: 7 characters of the URL-safe base 64 alphabet, 42 bits.
///
/// An id that the list holds already is not used again. So only ids that are made at the same time in different places can be
/// equal: two replicas that add 100 elements each while they do not hear of each other have an equal pair with a chance
/// of 1 in 440 million. The two elements would then be one: the newer `@` and the newer `=`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ElementId(heapless::String<ELEMENT_ID_LEN>);

impl ElementId {
    fn from_bits(bits: u64) -> Self {
        let digit = |at: usize| char::from(ID_ALPHABET[(bits >> (6 * at)) as usize % ID_ALPHABET.len()]);
        Self((0..ELEMENT_ID_LEN).map(digit).collect())
    }

    /// The id as a key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for ElementId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ElementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A new element, planned: its place, and with `N` = 2 its value.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a plan changes nothing until its writes are given to `update`"]
pub struct Insertion<'p, 'v, const N: usize> {
    list: List<'p>,
    id: ElementId,
    path: PathBuffer,
    position: Position,
    right: Option<Position>,
    plan: Plan<'v, N>,
}

impl<'p, 'v, const N: usize> Insertion<'p, 'v, N> {
    /// Plans one more element with one value directly behind this one, to be committed in the same transaction.
    ///
    /// # Errors
    /// [`ListError::NoRoom`].
    ///
    /// # Example: three elements in one transaction
    /// ```
    /// use crdt_core::types::List;
    /// use crdt_core::{Document, DocumentName, Heap, Limits, Moment, Path, ReplicaId};
    ///
    /// let name = DocumentName::new("gateway-1")?;
    /// let mut document = Document::<Heap>::new(&name, ReplicaId::new(1), Limits::default());
    /// let servers = List::at(Path::new("ntp/servers")?)?;
    /// let a = servers.push(&document, 0x1d0c_55aa, "0.pool.ntp.org")?;
    /// let b = a.then(&document, 0x77b3_0112, "1.pool.ntp.org")?;
    /// let c = b.then(&document, 0x0c6f_9e21, "2.pool.ntp.org")?;
    /// document.update(Moment::new(1_000, 0), &[a.writes(), b.writes(), c.writes()].concat())?;
    /// assert!(servers.iter(&document).map(|e| e.id).eq([a.id(), b.id(), c.id()]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn then<'w, S: Storage>(
        &self,
        document: &Document<S>,
        random: u64,
        value: impl Into<Value<'w>>,
    ) -> Result<Insertion<'p, 'w, 2>, ListError> {
        self.then_place(document, random)?.with_value(value)
    }

    /// Plans one more place directly behind this one, for an element that is a map.
    ///
    /// # Errors
    /// [`ListError::NoRoom`].
    pub fn then_place<S: Storage>(
        &self,
        document: &Document<S>,
        random: u64,
    ) -> Result<Insertion<'p, 'static, 1>, ListError> {
        let gap = Gap { left: Some(self.position.clone()), right: self.right.clone(), lean: Lean::Left };
        let position = gap.position(Mark::of(document.replica_id()))?;
        let id = self.list.fresh_id(document, random, Some(&self.id));
        let path = PathBuffer::from(self.list.path).join(&id)?;
        let plan = Plan::new([place_at(path.clone(), position.clone())?]);
        Ok(Insertion { list: self.list, id, path, position, right: gap.right, plan })
    }

    /// The id that the element will have.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its fields belong: the list's path and the id.
    pub fn path(&self) -> PathBuffer {
        self.path.clone()
    }

    /// The writes, for a transaction.
    pub fn writes(&self) -> [crate::document::Write<'_>; N] {
        self.plan.writes()
    }
}

impl<'p> Insertion<'p, 'static, 1> {
    /// The same element with one value as its content.
    ///
    /// # Errors
    /// [`ListError::Path`] when there is no room for it below the element.
    pub fn with_value<'v>(self, value: impl Into<Value<'v>>) -> Result<Insertion<'p, 'v, 2>, ListError> {
        let Self { list, id, path, position, right, .. } = self;
        let content = path.clone().join(CONTENT_KEY)?;
        let plan = Plan::new([
            place_at(path.clone(), position.clone())?,
            Planned { path: content, content: PlannedContent::Value(value.into()) },
        ]);
        Ok(Insertion { list, id, path, position, right, plan })
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
struct Gap {
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

    fn position(&self, mark: Mark) -> Result<Position, ListError> {
        let left = self.left.as_ref().map(Position::as_bytes);
        let right = self.right.as_ref().map(Position::as_bytes);
        Position::between(left, right, self.lean, mark).ok_or(ListError::NoRoom)
    }
}

fn place_at(element: PathBuffer, position: Position) -> Result<Planned<'static>, PathError> {
    Ok(Planned { path: element.join(POSITION_KEY)?, content: PlannedContent::Position(position) })
}

/// Spreads every bit of the input over all of the output: the finalizer of SplitMix64 (G. Steele et al., "Fast
/// Splittable Pseudorandom Number Generators", 2014, section 4), after its own increment.
pub(super) const fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

const ID_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
