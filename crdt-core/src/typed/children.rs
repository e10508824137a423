//! The keys below a path that have something live.

use crate::cell::Path;
use crate::document::{Document, Node};
use crate::storage::{CellStore, Storage, Stored};
use crate::types::list::place;

/// A key below a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child<'a> {
    /// Where it stands, borrowed from a stored path.
    pub(super) path: &'a str,
    /// The last key of `path`.
    pub(super) key: &'a str,
    /// Sequence number of the first live cell there or below: no other key has the same.
    pub(super) seq: u64,
}

/// The keys below `prefix` (of the document for `None`) that have something live, each once.
///
/// `a` and `a/x` may have `a-b` between them: a key is given with its first live cell, and only there.
/// O(cells below x log cells).
pub(super) fn children<'a, S: Storage>(
    document: &'a Document<S>,
    prefix: Option<&'a str>,
) -> impl Iterator<Item = Child<'a>> + 'a {
    let start = prefix.map_or(0, |prefix| prefix.len() + 1);
    let mut last = "";
    document.cells.below(prefix).filter(Stored::is_live).filter_map(move |cell| {
        let end = cell.path[start..].find('/').map_or(cell.path.len(), |len| start + len);
        let path = &cell.path[..end];
        if path == last || first_live(document, path).is_none_or(|first| first.seq != cell.seq) {
            return None;
        }
        last = path;
        Some(Child { path, key: &path[start..], seq: cell.seq })
    })
}

/// What stands at `path`. Elements make a list, with or without the marker of one.
pub(super) fn node<'a, S: Storage>(document: &'a Document<S>, path: &str) -> Option<Node<'a>> {
    let path = Path::from_checked(path);
    match document.node(path) {
        Some(Node::Map) if place::has_elements(document, path) => Some(Node::List),
        node => node,
    }
}

/// The first live cell at `path` or below.
pub(super) fn first_live<'a, S: Storage>(document: &'a Document<S>, path: &str) -> Option<Stored<'a>> {
    document
        .cells
        .get(path)
        .filter(Stored::is_live)
        .or_else(|| document.cells.below(Some(path)).find(Stored::is_live))
}
