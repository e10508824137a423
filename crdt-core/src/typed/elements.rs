//! Sequences, as lists.
//!
//! The content of an element lies below its `=`, whatever it is. A sequence that is written over a list keeps what is equal:
//! each new element is looked for among the next old ones. If it is there, those in between are deleted; if not, it takes
//! the place of the next old one, or is inserted before it if the new sequence has more elements left than the old one.
//! So one element that is inserted, deleted or changed is one element that is written. This is a greedy common
//! subsequence: it may rewrite more than the longest one would when elements change their order.

use core::ops::Range;

use serde::Serialize;
use serde::ser;

use super::children::first_live;
use super::error::{WriteProblem, WriteStop};
use super::write::{self, Writer};
use crate::cell::{Content, Path, Value};
use crate::document::{Document, UpdateError};
use crate::error::CapacityError;
use crate::list::List;
use crate::storage::Storage;
use crate::types::ListError;
use crate::types::PathBuffer;
use crate::types::list::place::{self, Place};
use crate::types::list::{CONTENT_KEY, POSITION_KEY};

/// Where the contents of the elements of the list at `path` are, in order.
pub(super) fn elements<'a, S: Storage>(
    document: &'a Document<S>,
    path: &'a str,
) -> impl Iterator<Item = &'a str> + 'a {
    place::in_order(document, Path::from_checked(path)).map(move |element| {
        let content = element.content_path().ok();
        let borrow = |content: PathBuffer| {
            let path = content.as_path().as_str();
            first_live(document, path).map(|cell| &cell.path[..path.len()])
        };
        // An element without content of its own has fields.
        content.and_then(borrow).unwrap_or(element.path.as_str())
    })
}

/// The elements of a sequence, being written.
pub(super) struct Elements<'w, 'd, S: Storage> {
    writer: &'w mut Writer<'d, S>,
    list: write::Place,
    /// Where the enum stands whose variant this is.
    variant: Option<write::Place>,
    /// New elements still to come, if that is known.
    to_come: Option<usize>,
    /// Where the changes that placed the old elements begin in what the writer remembers.
    begin: usize,
    /// Where the next old element stands among these, and where they end.
    old: Range<usize>,
    /// The last element that was written, kept or deleted.
    last: Option<Place>,
    is_empty: bool,
}

impl<'w, 'd, S: Storage> Elements<'w, 'd, S> {
    pub(super) fn new(
        writer: &'w mut Writer<'d, S>,
        len: Option<usize>,
        variant: Option<write::Place>,
    ) -> Result<Self, WriteStop> {
        let list = writer.begin_list()?;
        let old = writer.remember_elements()?;
        let begin = old.start;
        Ok(Self { writer, list, variant, to_come: len, begin, old, last: None, is_empty: true })
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteStop> {
        self.is_empty = false;
        let to_come = self.to_come.unwrap_or(self.old.len());
        self.to_come = self.to_come.map(|to_come| to_come.saturating_sub(1));
        let surplus = self.old.len().saturating_sub(to_come);
        if let Some(skipped) = self.find(value, surplus + LOOK_AHEAD)? {
            for _ in 0..skipped {
                self.delete_next()?;
            }
            self.step();
            return Ok(());
        }
        match self.next(0) {
            Some(next) if self.old.len() >= to_come && self.writer.has_content(&next)? => {
                self.writer.write_content(&next, value)?;
                self.step();
                Ok(())
            }
            Some(_) if self.old.len() >= to_come => {
                self.delete_next()?;
                self.insert(value)
            }
            _ => self.insert(value),
        }
    }

    fn finish(mut self) -> Result<bool, WriteStop> {
        while !self.old.is_empty() {
            self.delete_next()?;
        }
        self.writer.forget(self.begin);
        self.writer.end_list(self.list, self.is_empty)?;
        if let Some(place) = self.variant {
            self.writer.leave(place);
        }
        Ok(true)
    }

    /// How many old elements stand before one that equals `value`, of at most `most` that are skipped.
    fn find<T: Serialize + ?Sized>(&mut self, value: &T, most: usize) -> Result<Option<usize>, WriteStop> {
        for skipped in 0..self.old.len().min(most.saturating_add(1)) {
            let Some(place) = self.next(skipped) else { break };
            if self.writer.content_equals(&place, value)? {
                return Ok(Some(skipped));
            }
        }
        Ok(None)
    }

    /// Inserts behind the last element. What stands too close behind it makes room.
    fn insert<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteStop> {
        loop {
            let next = self.next(0);
            if let Some(place) = self.writer.place_between(self.last.as_ref(), next.as_ref())? {
                self.writer.write_position(&place)?;
                self.writer.write_content(&place, value)?;
                self.last = Some(place);
                return Ok(());
            }
            if next.is_none() {
                return Err(WriteProblem::List(ListError::NoRoom).into());
            }
            self.writer.delete_element(next.as_ref())?;
            // The last one stays where it is: there is more room behind it now.
            self.old.next();
        }
    }

    fn delete_next(&mut self) -> Result<(), WriteStop> {
        let next = self.next(0);
        self.writer.delete_element(next.as_ref())?;
        self.last = next.or(self.last.take());
        self.old.next();
        Ok(())
    }

    /// Goes on behind the next old element.
    fn step(&mut self) {
        self.last = self.next(0);
        self.old.next();
    }

    /// The old element that stands behind `skipped` others that are left.
    fn next(&self, skipped: usize) -> Option<Place> {
        let index = self.old.clone().nth(skipped)?;
        self.writer.remembered_element(index)
    }
}

impl<S: Storage> Writer<'_, S> {
    /// A list stands here.
    fn begin_list(&mut self) -> Result<write::Place, WriteStop> {
        let place = self.place();
        self.require_path()?;
        if !self.is_list() {
            self.clear(Content::List)?;
        }
        Ok(place)
    }

    fn end_list(&mut self, list: write::Place, is_empty: bool) -> Result<(), WriteStop> {
        if is_empty && !self.is_marked(Content::List) && !self.is_void() {
            self.mark(Content::List)?;
        }
        self.leave(list);
        Ok(())
    }

    fn is_list(&self) -> bool {
        !self.is_void()
            && (self.is_marked(Content::List) || place::has_elements(self.document, self.as_path()))
    }

    /// Remembers the changes that placed the elements which stand here, in order: where the sequence numbers of entries of
    /// maps are remembered, too.
    fn remember_elements(&mut self) -> Result<Range<usize>, WriteStop> {
        let mut seen = core::mem::take(&mut self.seen);
        let (begin, limit) = (seen.len(), seen.capacity());
        let full = match self.is_void() {
            true => Ok(()),
            false => {
                place::changes_in_order(self.document, self.as_path()).try_for_each(|seq| seen.push(seq))
            }
        };
        let end = seen.len();
        self.seen = seen;
        full.map_err(|_| UpdateError::from(CapacityError::Cells { needed: limit + 1, limit }))?;
        Ok(begin..end)
    }

    fn remembered_element(&self, index: usize) -> Option<Place> {
        place::placed_by(self.document, self.as_path(), *self.seen.get(index)?)
    }

    fn place_between(
        &mut self,
        left: Option<&Place>,
        right: Option<&Place>,
    ) -> Result<Option<Place>, WriteStop> {
        let random = self.next_random();
        Ok(place::between(self.document, self.as_path(), random, left, right).map_err(WriteProblem::Path)?)
    }

    fn write_position(&mut self, element: &Place) -> Result<(), WriteStop> {
        let list = self.enter_element(element, POSITION_KEY)?;
        self.scalar(Value::Bytes(element.position.as_bytes()))?;
        self.leave(list);
        Ok(())
    }

    fn write_content<T: Serialize + ?Sized>(&mut self, element: &Place, value: &T) -> Result<(), WriteStop> {
        let list = self.enter_element(element, CONTENT_KEY)?;
        self.value(value, true)?;
        self.leave(list);
        Ok(())
    }

    /// Whether an element's content lies below its `=`, and not in fields.
    fn has_content(&mut self, element: &Place) -> Result<bool, WriteStop> {
        let list = self.enter_element(element, CONTENT_KEY)?;
        let has = first_live(self.document, self.as_path().as_str()).is_some();
        self.leave(list);
        Ok(has)
    }

    fn content_equals<T: Serialize + ?Sized>(
        &mut self,
        element: &Place,
        value: &T,
    ) -> Result<bool, WriteStop> {
        let list = self.enter_element(element, CONTENT_KEY)?;
        let equal = self.compare(value)?;
        self.leave(list);
        Ok(equal)
    }

    fn delete_element(&mut self, element: Option<&Place>) -> Result<(), WriteStop> {
        let Some(element) = element else { return Ok(()) };
        let list = self.place();
        self.push_raw(&element.id)?;
        self.nothing_at_all()?;
        self.leave(list);
        Ok(())
    }

    fn enter_element(&mut self, element: &Place, key: &str) -> Result<write::Place, WriteStop> {
        let list = self.place();
        self.push_raw(&element.id)?;
        self.push_raw(key)?;
        Ok(list)
    }
}

macro_rules! sequences {
    ($($trait:ident $method:ident),*) => {
        $(impl<S: Storage> ser::$trait for Elements<'_, '_, S> {
            type Ok = bool;
            type Error = WriteStop;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteStop> {
                self.element(value)
            }

            fn end(self) -> Result<bool, WriteStop> {
                self.finish()
            }
        })*
    };
}

sequences!(
    SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

/// Old elements that may be given up to find an equal one, beyond those that are too many.
const LOOK_AHEAD: usize = 4;
