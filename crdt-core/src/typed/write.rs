//! Storing a value: what is put where, and what is left alone. The types of serde come in by `serializer`.
//!
//! A value is walked twice. The first pass reckons what would change and whether there is capacity; the second one writes it
//! under one stamp. Between the passes nothing has changed, so an error of the first leaves nothing behind. Nothing is
//! collected, so nothing is allocated: what a map no longer has is found by the sequence numbers of the cells that
//! its entries have.

mod keys;
mod seen;

use serde::Serialize;

use super::children::{first_live, node};
use super::error::{WriteError, WriteProblem, WriteStop};
use super::reserved::{SOME_KEY, WIDE_KEY, has_position};
use crate::causal::Stamp;
use crate::cell::{Content, Path, Scratch, Value};
use crate::document::{Document, Node, UpdateError};
use crate::limits::{PATH_LEN_MAX, TYPED_NESTING_MAX};
use crate::storage::{CellStore, Storage, Stored};
use crate::time::Moment;
use crate::types::list::POSITION_KEY;

/// Writes `value` at `path`, or as the whole document. `is_json`: integers above `i64::MAX` are stored, below a key of their
/// own, and what reads as null is null.
#[expect(clippy::result_large_err, reason = "the error owns its path, and there is no heap to put it on")]
pub(super) fn write<S: Storage, T: Serialize + ?Sized>(
    document: &mut Document<S>,
    moment: Moment,
    path: Option<Path<'_>>,
    value: &T,
    is_json: bool,
) -> Result<Option<Stamp>, WriteError> {
    loop {
        let mut writer = Writer::new(document, moment, path, is_json);
        let error = match writer.run(value) {
            Ok(stamp) => return Ok(stamp),
            Err(stop) => writer.error(stop),
        };
        // Only the first pass stops for want of capacity: nothing was written yet.
        match error.problem() {
            WriteProblem::Update(UpdateError::Capacity(lacking)) if document.make_room(*lacking) => {}
            _ => return Err(error),
        }
    }
}

/// Walks a value and a document together.
///
/// `path` is where the walk is; when it stops with an error, that is where.
pub(super) struct Writer<'d, S: Storage> {
    pub(super) document: &'d mut Document<S>,
    pass: Pass,
    moment: Moment,
    drawn: u64,
    is_json: bool,
    path: heapless::String<PATH_LEN_MAX>,
    /// Keys in `path`.
    keys: usize,
    /// Options and newtypes around this place.
    nesting: usize,
    /// First pass: what the document has here will have been cleared.
    void: bool,
    /// A `None` here is stored as null, because its absence would mean something else.
    none_is_null: bool,
    /// How many `Some` are around this place: what is stored as null or as nothing must not hide them.
    somes: usize,
    /// First pass: cells and bytes that the second one will add.
    cells: isize,
    bytes: isize,
    changed: bool,
    /// What the entries of the open maps and lists are known by: the sequence numbers of their first live cells, of the
    /// positions of elements, and in the first pass marked hashes of the paths of those that have none yet. No more than
    /// there will be live cells.
    pub(super) seen: S::Sequences,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Stops at the first difference.
    Compare,
    /// Reckons.
    Plan,
    /// Writes.
    Apply(Stamp),
}

/// A container being written.
#[derive(Debug)]
pub(super) struct Frame {
    place: Place,
    /// Keys that are not written are deleted.
    exact: bool,
    /// Something live was written.
    live: bool,
    /// First pass: live cells that are to be deleted.
    gone: usize,
    /// Where its sequence numbers begin.
    seen: usize,
}

/// Where to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    len: usize,
    keys: usize,
    void: bool,
}

impl<'d, S: Storage> Writer<'d, S> {
    fn new(document: &'d mut Document<S>, moment: Moment, path: Option<Path<'_>>, is_json: bool) -> Self {
        let text = path.map_or("", Path::as_str);
        Self {
            document,
            pass: Pass::Plan,
            moment,
            drawn: 0,
            is_json,
            path: text.try_into().expect("a path has at most 255 bytes"),
            keys: path.map_or(0, |path| path.ancestors().count() + 1),
            nesting: 0,
            void: false,
            none_is_null: false,
            somes: 0,
            cells: 0,
            bytes: 0,
            changed: false,
            seen: S::Sequences::default(),
        }
    }

    fn run<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<Option<Stamp>, WriteStop> {
        self.value(value, false)?;
        if !self.changed {
            return Ok(None);
        }
        self.document.check_room_for_own_id().map_err(UpdateError::from)?;
        let stamp = self.document.tick(self.moment)?;
        self.pass = Pass::Apply(stamp);
        self.value(value, false).map_err(|_| WriteProblem::Unstable)?;
        Ok(Some(stamp))
    }

    fn error(&self, stop: WriteStop) -> WriteError {
        match stop {
            WriteStop::Problem(problem) => WriteError::new(&self.path, problem),
            WriteStop::Differs => unreachable!("comparisons end inside of the walk"),
        }
    }

    // ---- scalars ----

    /// A scalar stands here.
    pub(super) fn scalar(&mut self, value: Value<'_>) -> Result<bool, WriteStop> {
        let content = Content::Value(value);
        content.check().map_err(UpdateError::from)?;
        self.require_path()?;
        let is_here = match self.node() {
            Some(Node::Map) => self.is_json && value == Value::Null && self.is_some_here(),
            node => node == Some(Node::Value(value)),
        };
        if !is_here {
            self.put(content)?;
        }
        Ok(true)
    }

    /// A null stands here, and as many `Some` around it as there are.
    pub(super) fn null(&mut self) -> Result<bool, WriteStop> {
        self.require_path()?;
        let place = self.place();
        for _ in 0..core::mem::take(&mut self.somes) {
            self.enter_only(SOME_KEY)?;
        }
        self.scalar(Value::Null)?;
        self.leave(place);
        Ok(true)
    }

    /// An integer that is too large for a cell stands here.
    pub(super) fn wide_integer(&mut self, value: u64) -> Result<bool, WriteStop> {
        if !self.is_json {
            return Err(WriteProblem::Integer { value: value.into() }.into());
        }
        self.require_path()?;
        let place = self.enter_only(WIDE_KEY)?;
        self.scalar(Value::I64(value.cast_signed()))?;
        self.leave(place);
        Ok(true)
    }

    /// Nothing stands here.
    pub(super) fn nothing(&mut self) -> Result<bool, WriteStop> {
        if self.none_is_null || self.somes > 0 {
            return self.null();
        }
        self.require_path()?;
        self.nothing_at_all()
    }

    /// Nothing stands here, not even null.
    pub(super) fn nothing_at_all(&mut self) -> Result<bool, WriteStop> {
        if !self.void && first_live(self.document, &self.path).is_some() {
            self.put(Content::Tombstone)?;
        }
        Ok(false)
    }

    // ---- containers ----

    /// A map or a struct stands here. In an `exact` one, keys that are not written are deleted.
    pub(super) fn begin_map(&mut self, exact: bool, is_empty: bool) -> Result<Frame, WriteStop> {
        let frame = Frame { place: self.place(), exact, live: false, gone: 0, seen: self.seen.len() };
        let in_the_way = match self.node() {
            Some(Node::Map) if self.path.is_empty() => false,
            Some(Node::Map) => {
                is_empty && self.has_live_below()
                    || self.has_reserved_at(SOME_KEY)
                    || self.has_reserved_at(WIDE_KEY)
            }
            Some(Node::List | Node::Value(_)) => true,
            None => false,
        };
        if in_the_way {
            self.clear(Content::Map)?;
        }
        Ok(frame)
    }

    /// An entry of the container: its value stands below the key that was entered since.
    pub(super) fn entry<T: Serialize + ?Sized>(
        &mut self,
        frame: &mut Frame,
        value: &T,
    ) -> Result<(), WriteStop> {
        let place = self.place();
        if !self.void && self.push_raw(POSITION_KEY).is_ok() {
            if has_position(self.document, &self.path) {
                // Somebody's position below a key would make a list of what is written as a map.
                self.put(Content::Tombstone)?;
            }
            self.leave(place);
        }
        // A field that is not there is None; an entry of a map that is not there is no entry.
        let live = self.value(value, frame.exact)?;
        frame.live |= live;
        if frame.exact {
            self.remember_entry()?;
        }
        if !live {
            frame.gone += self.live_cells_to_go();
        }
        self.back_to(frame);
        Ok(())
    }

    /// A field without a value.
    pub(super) fn skip(&mut self, frame: &mut Frame, key: &str) -> Result<(), WriteStop> {
        self.field_key(frame, key)?;
        self.entry(frame, &None::<()>)
    }

    pub(super) fn end_map(&mut self, frame: Frame) -> Result<bool, WriteStop> {
        let mut live = frame.live;
        if frame.exact {
            self.delete_unseen(frame.seen)?;
        } else if !live && !self.void {
            let left = self.document.cells.below(self.prefix()).filter(Stored::is_live).count();
            live = left > frame.gone;
        }
        let marked = self.path.is_empty() || self.is_marked(Content::Map);
        if !live && !marked {
            self.mark(Content::Map)?;
        }
        self.leave(frame.place);
        Ok(true)
    }

    /// Writes what stands at this place. `none_is_null`: a `None` must leave something behind.
    pub(super) fn value<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        none_is_null: bool,
    ) -> Result<bool, WriteStop> {
        (self.none_is_null, self.somes) = (none_is_null, 0);
        value.serialize(self)
    }

    /// Writes what stands inside of a `Some`.
    pub(super) fn some<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<bool, WriteStop> {
        self.somes += 1;
        self.nested(value)
    }

    /// Writes what stands inside of a newtype. serde takes only an option of its own for absent, not one inside of a newtype.
    pub(super) fn newtype<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<bool, WriteStop> {
        self.none_is_null = true;
        self.nested(value)
    }

    fn nested<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<bool, WriteStop> {
        if self.nesting == TYPED_NESTING_MAX {
            return Err(WriteProblem::Nesting.into());
        }
        self.nesting += 1;
        let live = value.serialize(&mut *self)?;
        self.nesting -= 1;
        Ok(live)
    }

    /// Whether what stands here is what `value` would leave here.
    pub(super) fn compare<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<bool, WriteStop> {
        let (pass, place, nesting, seen) =
            (core::mem::replace(&mut self.pass, Pass::Compare), self.place(), self.nesting, self.seen.len());
        let compared = self.value(value, true);
        if let Err(WriteStop::Problem(problem)) = compared {
            return Err(problem.into());
        }
        self.pass = pass;
        self.nesting = nesting;
        self.leave(place);
        self.forget(seen);
        Ok(compared.is_ok())
    }

    /// Goes back up.
    pub(super) fn leave(&mut self, place: Place) {
        self.path.truncate(place.len);
        self.keys = place.keys;
        self.void = place.void;
    }

    pub(super) fn place(&self) -> Place {
        Place { len: self.path.len(), keys: self.keys, void: self.void }
    }

    /// Where the walk is; not at the top of the document.
    pub(super) fn as_path(&self) -> Path<'_> {
        Path::from_checked(&self.path)
    }

    /// Only maps may be the whole document.
    pub(super) fn require_path(&self) -> Result<(), WriteStop> {
        if self.path.is_empty() { Err(WriteProblem::NoPath.into()) } else { Ok(()) }
    }

    /// First pass: whether the document will have nothing here, because it was cleared.
    pub(super) fn is_void(&self) -> bool {
        self.void
    }

    /// Different bits each time, for ids of elements.
    pub(super) fn next_random(&mut self) -> u64 {
        self.drawn += 1;
        self.document.salt.wrapping_add(self.drawn)
    }

    // ---- private ----

    fn prefix(&self) -> Option<&str> {
        (!self.path.is_empty()).then_some(self.path.as_str())
    }

    /// What stands here; the document itself is a map.
    fn node(&self) -> Option<Node<'_>> {
        match self.prefix() {
            None => Some(Node::Map),
            Some(_) if self.void => None,
            Some(path) => node(self.document, path),
        }
    }

    fn has_live_below(&self) -> bool {
        self.document.has_live_below(Path::from_checked(&self.path))
    }

    /// Whether the marker of a container stands here, seen or not.
    pub(super) fn is_marked(&self, marker: Content<'_>) -> bool {
        !self.void && self.document.cells.get(&self.path).is_some_and(|cell| cell.content() == marker)
    }

    /// Goes back to the container, whose place may have been cleared since it was entered.
    fn back_to(&mut self, frame: &Frame) {
        self.path.truncate(frame.place.len);
        self.keys = frame.place.keys;
    }

    /// First pass: live cells at this place, which was found to have no value.
    fn live_cells_to_go(&self) -> usize {
        if self.void || matches!(self.pass, Pass::Apply(_)) {
            return 0;
        }
        let here = self.document.cells.get(&self.path).into_iter();
        here.chain(self.document.cells.below(Some(&self.path))).filter(Stored::is_live).count()
    }

    /// Puts a marker here, which ends all that is below.
    pub(super) fn clear(&mut self, marker: Content<'_>) -> Result<(), WriteStop> {
        if self.path.is_empty() {
            let seen = self.seen.len();
            self.delete_unseen(seen)?;
        } else {
            self.put(marker)?;
        }
        // The second pass has done it and sees it.
        self.void = self.pass == Pass::Plan;
        Ok(())
    }

    /// Puts a cell here.
    fn put(&mut self, content: Content<'_>) -> Result<(), WriteStop> {
        self.put_reckoned(content, true)
    }

    /// Puts a marker here; what was below is gone already.
    pub(super) fn mark(&mut self, marker: Content<'_>) -> Result<(), WriteStop> {
        self.put_reckoned(marker, false)
    }

    fn put_reckoned(&mut self, content: Content<'_>, frees: bool) -> Result<(), WriteStop> {
        let (cells, bytes) = self.cost(content, frees);
        match self.pass {
            Pass::Compare => return Err(WriteStop::Differs),
            Pass::Plan => {
                self.cells += cells;
                self.bytes += bytes;
                self.changed = true;
                self.document.check_room_signed(self.cells, self.bytes).map_err(UpdateError::from)?;
            }
            Pass::Apply(stamp) => {
                // Room was found by the first pass. A value that is serialised in another way now must not overrun it.
                self.document.check_room_signed(cells, bytes).map_err(UpdateError::from)?;
                self.document.write_with(stamp, Path::from_checked(&self.path), content);
            }
        }
        Ok(())
    }

    /// Cells and bytes that a cell here adds, less what it `frees` below.
    fn cost(&self, content: Content<'_>, frees: bool) -> (isize, isize) {
        let mut scratch = Scratch::default();
        let payload = content.encode(&mut scratch).1.len() as isize;
        let here = if self.void { None } else { self.document.cells.get(&self.path) };
        let (mut cells, mut bytes) = match here {
            Some(here) => (0, payload - here.payload.len() as isize),
            None => (1, payload + self.path.len() as isize),
        };
        if frees && !self.void {
            for below in self.document.cells.below(Some(&self.path)) {
                cells -= 1;
                bytes -= (below.path.len() + below.payload.len()) as isize;
            }
        }
        (cells, bytes)
    }
}
