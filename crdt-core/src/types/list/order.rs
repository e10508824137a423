//! The elements of a list, first as the cells lie, then in the order of their positions.

use core::cmp::Ordering;
use core::iter::Peekable;

use super::position::is_position;
use super::{CONTENT_KEY, POSITION_KEY};
use crate::causal::Stamp;
use crate::cell::{Content, Path, PathError, Value};
use crate::document::Document;
use crate::storage::{CellStore, Storage, Stored};
use crate::types::path_buffer::{PathBuffer, keys_below};

/// An element that shows: it has a position and content.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element<'a> {
    /// Its key below the list's path.
    pub id: &'a str,
    /// Where its fields lie: the list's path and the id.
    pub path: Path<'a>,
    /// Its content, where that is one value and not fields.
    pub value: Option<Value<'a>>,
    pub(super) position: &'a [u8],
    /// Which transaction placed it here.
    pub(super) placed: Stamp,
    /// The change of the document by which it was placed.
    pub(super) placed_seq: u64,
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
    /// [`PathError`] when there is no capacity for it below the element.
    pub fn content_path(&self) -> Result<PathBuffer, PathError> {
        PathBuffer::from(self.path).join(CONTENT_KEY)
    }

    /// Order in the list: by position, ties by id.
    pub(super) fn compare(&self, other: &Element<'_>) -> Ordering {
        (self.position, self.id).cmp(&(other.position, other.id))
    }
}

/// All live cells of one element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'a> {
    /// The list's path and the element's id.
    pub(super) path: Path<'a>,
    /// The digits of the position, which are well formed, the stamp, and the change that put them here.
    position: Option<(&'a [u8], Stamp, u64)>,
    value: Option<Value<'a>>,
    has_content: bool,
    /// The value is hidden by cells below it.
    is_hidden: bool,
    /// No cell of it is of a transaction that has not come whole.
    pub(super) is_covered: bool,
}

impl<'a> Group<'a> {
    pub(super) fn element(self) -> Option<Element<'a>> {
        let (position, placed, placed_seq) = self.position?;
        let value = if self.is_hidden { None } else { self.value };
        self.has_content.then_some(Element {
            id: self.path.key(),
            path: self.path,
            value,
            position,
            placed,
            placed_seq,
        })
    }
}

/// The elements of the list at `list` in the order of their ids, those that do not show too. One pass: O(cells below).
pub(super) fn groups<'a, S: Storage>(
    document: &'a Document<S>,
    list: Path<'a>,
) -> impl Iterator<Item = Group<'a>> + 'a {
    let mut cells = document
        .cells
        .below(Some(list.as_str()))
        .filter(move |cell| cell.is_live() && keys_below(cell.path, list).contains('/'))
        .peekable();
    core::iter::from_fn(move || next_group(document, list, &mut cells))
}

/// The element behind `previous` in the order of the list. O(cells below).
pub(super) fn next<'a, S: Storage>(
    document: &'a Document<S>,
    list: Path<'a>,
    previous: Option<Element<'_>>,
) -> Option<Element<'a>> {
    groups(document, list)
        .filter_map(Group::element)
        .filter(|element| previous.is_none_or(|previous| element.compare(&previous).is_gt()))
        .min_by(Element::compare)
}

/// Cells with one beginning lie side by side, so an element's cells are a run.
fn next_group<'a, S: Storage>(
    document: &Document<S>,
    list: Path<'a>,
    cells: &mut Peekable<impl Iterator<Item = Stored<'a>>>,
) -> Option<Group<'a>> {
    let first = cells.peek()?.path;
    let id_len = keys_below(first, list).find('/')?;
    let path = Path::from_checked(&first[..list.as_str().len() + 1 + id_len]);
    let mut group =
        Group { path, position: None, value: None, has_content: false, is_hidden: false, is_covered: true };
    while let Some(cell) = cells.next_if(|cell| path.is_above(cell.path())) {
        group.is_covered &= document.knowledge.vv().covers(cell.stamp);
        let keys = keys_below(cell.path, path);
        if keys == POSITION_KEY {
            if let Content::Value(Value::Bytes(digits)) = cell.content()
                && is_position(digits)
            {
                group.position = Some((digits, cell.stamp, cell.seq));
            }
            continue;
        }
        group.has_content = true;
        if keys == CONTENT_KEY {
            group.value = cell.content().value();
        } else if keys.split('/').next() == Some(CONTENT_KEY) {
            group.is_hidden = true;
        }
    }
    Some(group)
}
