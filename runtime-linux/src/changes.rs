//! What a watcher is told: the document's own order of changes, cut to a prefix.
//!
//! Nothing is queued for a watcher. It names the last change that it knows, and gets what is different now: values
//! that were overwritten meanwhile are not told, so a slow watcher costs no memory and catches up at once.

use control::{Change, content_to_json, tree};
use crdt_core::{Document, Heap, Path};

/// Some changes, and where to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// Each says how things stand now, in an order in which they can be applied one after the other.
    pub changes: Vec<Change>,
    /// Where to go on.
    pub cursor: Cursor,
}

/// What a watcher knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last change of the document.
    pub(crate) seq: u64,
    /// How often cells had gone without a trace.
    pub(crate) drops: u64,
}

impl Changes {
    /// All of it. Cost: `[cells]`.
    pub(crate) fn snapshot(document: &Document<Heap>, prefix: Option<Path<'_>>, drops: u64) -> Self {
        let value = tree(prefix, document.iter(prefix));
        Self { changes: vec![Change::Snapshot { value }], cursor: Cursor { seq: document.seq(), drops } }
    }

    /// What changed at `prefix` and below after change `after`; a part of it when it is much. Cost: `[changes]`, and
    /// `[cells]` below those that changed.
    pub(crate) fn since(document: &Document<Heap>, prefix: Option<Path<'_>>, after: Cursor) -> Self {
        let mut changes = Vec::new();
        for cell in document.changes_since(after.seq) {
            match prefix {
                Some(prefix) if cell.path().is_above(prefix) => {
                    return Self::snapshot(document, Some(prefix), after.drops);
                }
                Some(prefix) if !prefix.contains(cell.path()) => continue,
                _ => restate(document, resurfaced(document, prefix, cell.path()), &mut changes),
            }
            if changes.len() >= CHANGES_AT_ONCE {
                return Self { changes, cursor: Cursor { seq: cell.seq, ..after } };
            }
        }
        Self { changes, cursor: Cursor { seq: document.seq(), ..after } }
    }
}

/// A place above `path` that can be seen again because nothing is left below it, or `path` itself.
fn resurfaced<'a>(document: &Document<Heap>, prefix: Option<Path<'_>>, path: Path<'a>) -> Path<'a> {
    let is_watched = |above: &Path<'_>| prefix.is_none_or(|prefix| prefix.contains(*above));
    let is_visible =
        |above: &Path<'_>| document.iter(Some(*above)).next().is_some_and(|cell| cell.path == *above);
    path.ancestors().filter(is_watched).find(is_visible).unwrap_or(path)
}

/// How things stand at `path`, and below it: a change there may have cleared what was below, and left what is newer.
fn restate(document: &Document<Heap>, path: Path<'_>, changes: &mut Vec<Change>) {
    let mut cells = document.iter(Some(path)).peekable();
    if cells.peek().is_none_or(|cell| cell.path != path) {
        changes.push(Change::Delete { path: path.as_str().to_owned() });
    }
    for cell in cells {
        if let Some(value) = content_to_json(&cell.content) {
            changes.push(Change::Set { path: cell.path.as_str().to_owned(), value });
        }
    }
}

/// Changes told in one go, where a single one does not bring more.
const CHANGES_AT_ONCE: usize = 256;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crdt_core::{DocumentName, Limits, Moment, ReplicaId, Write};
    use serde_json::json;

    use super::*;

    const START: Cursor = Cursor { seq: 0, drops: 0 };

    fn since(document: &Document<Heap>, prefix: Option<Path<'_>>, after: Cursor) -> Changes {
        Changes::since(document, prefix, after)
    }

    fn path(text: &str) -> Path<'_> {
        Path::new(text).unwrap()
    }

    fn document() -> Document<Heap> {
        Document::new(&DocumentName::new("site").unwrap(), ReplicaId::new(1), Limits::default())
    }

    fn set(path: &str, value: serde_json::Value) -> Change {
        Change::Set { path: path.to_owned(), value }
    }

    #[test]
    fn a_watcher_is_told_what_lies_in_its_part() {
        let mut document = document();
        let at = |ms| Moment::new(ms);
        document.set(at(1), path("a/x"), 1).unwrap();
        document.set(at(2), path("b"), 2).unwrap();
        let changes = since(&document, None, START);
        assert_eq!(changes.changes, [set("a/x", json!(1)), set("b", json!(2))]);
        assert_eq!(since(&document, Some(path("a")), START).changes, [set("a/x", json!(1))]);
        assert_eq!(since(&document, None, changes.cursor).changes, []);

        document.delete(at(3), path("a")).unwrap();
        let deleted = [Change::Delete { path: "a".to_owned() }];
        assert_eq!(since(&document, Some(path("a")), changes.cursor).changes, deleted);
        // Something above the watched part changed: it is told anew.
        let gone = [Change::Snapshot { value: None }];
        assert_eq!(since(&document, Some(path("a/x")), changes.cursor).changes, gone);
    }

    /// Applying what is told, however it is cut, gives the document.
    #[test]
    fn what_is_told_adds_up_to_the_document() {
        let mut document = document();
        let paths = ["a", "a/b", "a/b/c", "a/b/d", "a/e", "f", "f/g"];
        let (mut told, mut cursor) = (BTreeMap::new(), START);
        let mut random = 1_u64;
        for ms in 1..2_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = path(paths[(random >> 33) as usize % paths.len()]);
            let write = match (random >> 60) % 5 {
                0 => Write::delete(at),
                1 => Write::map(at),
                _ => Write::set(at, ms as i64),
            };
            document.update(Moment::new(ms), &[write]).unwrap();
            if !(random >> 50).is_multiple_of(3) {
                continue;
            }
            let changes = since(&document, None, cursor);
            cursor = changes.cursor;
            for change in changes.changes {
                let (Change::Set { path, .. } | Change::Delete { path }) = &change else {
                    panic!("{change:?}")
                };
                let below = format!("{path}/");
                told.retain(|other: &String, _| other != path && !other.starts_with(&below));
                if let Change::Set { path, value } = change {
                    // What lies below hides what was told above.
                    told.retain(|other, _| !path.starts_with(&format!("{other}/")));
                    told.insert(path, value);
                }
            }
            let real = document
                .iter(None)
                .map(|cell| (cell.path.as_str().to_owned(), content_to_json(&cell.content).unwrap()));
            assert!(told.iter().map(|(p, v)| (p.clone(), v.clone())).eq(real), "after {ms}: {told:?}");
        }
    }
}
