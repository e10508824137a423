//! What typed access needs of a list: its elements in order, and a place for one more.

use super::element_id::ElementId;
use super::handle::is_taken;
use super::order::{self, Element};
use super::position::{self, Lean, Mark, Position};
use crate::causal::Stamp;
use crate::cell::{Path, PathError, Value};
use crate::document::Document;
use crate::storage::{CellStore, Storage};
use crate::types::path_buffer::{PathBuffer, keys_below};

/// Where an element stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its key below the list's path.
    pub(crate) id: heapless::String<{ crate::limits::PATH_LEN_MAX }>,
    pub(crate) position: Position,
}

/// The elements of the list at `list`, in order. O(cells below + n log n); without a heap each step is O(cells below).
pub(crate) fn in_order<'a, S: Storage>(
    document: &'a Document<S>,
    list: Path<'a>,
) -> impl Iterator<Item = Element<'a>> + 'a {
    #[cfg(feature = "alloc")]
    {
        let mut elements: alloc::vec::Vec<_> =
            order::groups(document, list).filter_map(order::Group::element).collect();
        elements.sort_unstable_by(Element::compare);
        elements.into_iter()
    }
    #[cfg(not(feature = "alloc"))]
    {
        let mut last = None;
        core::iter::from_fn(move || {
            last = order::next(document, list, last);
            last
        })
    }
}

/// Whether a value is a position of an element.
pub(crate) fn is_position(value: Value<'_>) -> bool {
    matches!(value, Value::Bytes(digits) if position::is_position(digits))
}

/// Whether an element shows. O(cells below).
pub(crate) fn has_elements<S: Storage>(document: &Document<S>, list: Path<'_>) -> bool {
    order::groups(document, list).any(|group| group.element().is_some())
}

/// The changes that placed the elements of the list at `list`, in the order of the elements; [`placed_by`] gives each place.
/// As [`in_order`].
pub(crate) fn changes_in_order<'a, S: Storage>(
    document: &'a Document<S>,
    list: Path<'a>,
) -> impl Iterator<Item = u64> + 'a {
    in_order(document, list).map(|element| element.placed_seq)
}

/// Where an element of the list at `list` stands that was placed by the change `seq`. O(log cells).
pub(crate) fn placed_by<S: Storage>(document: &Document<S>, list: Path<'_>, seq: u64) -> Option<Place> {
    let cell = document.cells.since(seq.checked_sub(1)?).next().filter(|cell| cell.seq == seq)?;
    let id = keys_below(cell.path, list).split('/').next()?;
    let Value::Bytes(digits) = cell.content().value()? else { return None };
    Some(Place { id: id.try_into().ok()?, position: Position::new(digits)? })
}

/// A place for a new element between two others, or `None` when no position in between has capacity.
///
/// # Errors
/// [`PathError`] when there is no capacity for an element below `list`.
pub(crate) fn between<S: Storage>(
    document: &Document<S>,
    list: Path<'_>,
    random: u64,
    left: Option<&Place>,
    right: Option<&Place>,
) -> Result<Option<Place>, PathError> {
    let digits = |place: Option<&Place>| place.map(|place| place.position.clone());
    let (left, right) = (digits(left), digits(right));
    let lean = if left.is_none() && right.is_some() { Lean::Right } else { Lean::Left };
    let position = Position::between(
        left.as_ref().map(Position::as_bytes),
        right.as_ref().map(Position::as_bytes),
        lean,
        Mark::of(document.replica_id()),
    );
    let Some(position) = position else { return Ok(None) };
    let mut id = ElementId::new(random, Stamp::new(document.clock(), document.replica_id()), None);
    loop {
        let key = id.key();
        let path = PathBuffer::from(list).join(&key)?;
        if !is_taken(document, path.as_path()) {
            let id = key.as_str().try_into().expect("an id is shorter than a path");
            return Ok(Some(Place { id, position }));
        }
        id = id.next();
    }
}
