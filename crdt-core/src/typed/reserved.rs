//! Keys that typed access uses for itself. No key of a map is escaped to one of them.
//!
//! | key | only key below | stands for |
//! |---|---|---|
//! | `~u` | a map, and a negative integer there | an integer above `i64::MAX`, with the same 64 bits |
//! | `~s` | a map, and null or another `~s` there | `Some` of what is there: `Some(None)`, `Some(())` |
//! | `@` | an element of a list, and a position there | the element's place, which is no part of its content |
//!
//! With anything else there they are keys like any other. Where somebody has put something beside `~u` or `~s`, this hides
//! them, as it hides a scalar.

use super::children::{Child, children, node};
use crate::cell::{Path, Value};
use crate::document::{Document, Node};
use crate::storage::Storage;
use crate::types::list::{POSITION_KEY, place};

pub(super) const WIDE_KEY: &str = "~u";
pub(super) const SOME_KEY: &str = "~s";

/// Whether the last key of a path is used as this table says, and is not one of a map's.
pub(super) fn is_reserved<'a, S: Storage>(document: &'a Document<S>, path: &'a str) -> bool {
    match path.rsplit_once('/') {
        Some((_, WIDE_KEY)) => wide_integer(document, path).is_some(),
        Some((_, SOME_KEY)) => is_some(document, path),
        Some((_, POSITION_KEY)) => is_placed(document, path),
        // The whole document is a map and nothing else.
        _ => false,
    }
}

/// The integer above `i64::MAX` that stands at a path with [`WIDE_KEY`].
pub(super) fn wide_integer<S: Storage>(document: &Document<S>, path: &str) -> Option<u64> {
    match document.get(Path::from_checked(path))? {
        Value::I64(value) if value < 0 => Some(value.cast_unsigned()),
        _ => None,
    }
}

/// Whether a path with [`SOME_KEY`] stands for `Some`. It descends no deeper than paths do.
pub(super) fn is_some<'a, S: Storage>(document: &'a Document<S>, mut path: &'a str) -> bool {
    loop {
        match node(document, path) {
            Some(Node::Value(Value::Null)) => return true,
            Some(Node::Map) => match only_child(document, path) {
                Some(child) if child.key == SOME_KEY => path = child.path,
                _ => return false,
            },
            _ => return false,
        }
    }
}

/// Whether a position stands at a path, as the list type puts it there.
pub(super) fn has_position<S: Storage>(document: &Document<S>, path: &str) -> bool {
    document.get(Path::from_checked(path)).is_some_and(place::is_position)
}

/// Whether a path with [`POSITION_KEY`] is the place of an element in a list.
fn is_placed<S: Storage>(document: &Document<S>, path: &str) -> bool {
    let list = Path::from_checked(path).parent().and_then(Path::parent);
    has_position(document, path) && list.is_some_and(|list| node(document, list.as_str()) == Some(Node::List))
}

/// The key below `prefix`, if there is one and no other.
pub(super) fn only_child<'a, S: Storage>(document: &'a Document<S>, prefix: &'a str) -> Option<Child<'a>> {
    let mut here = children(document, Some(prefix));
    here.next().filter(|_| here.next().is_none())
}
