//! Watches: what changed in a document, told as far as the listener keeps up.

use std::collections::BTreeSet;

use control::{Change, content_to_json, tree};
use crdt_core::{Cell, Content, Document, Heap, Node, Path};
use serde_json::Value as Json;

/// One watch. What to tell is computed from the document when it is told, so a slow listener costs no memory.
#[derive(Debug)]
pub(super) struct Watch {
    path: Option<String>,
    /// Changes up to here are told; `None`: nothing is, a snapshot comes first.
    told: Option<u64>,
    /// The listener has not taken what was told last.
    is_writing: bool,
}

impl Watch {
    /// Of everything, or of a path that was checked.
    pub(super) fn new(path: Option<String>) -> Self {
        Self { path, told: None, is_writing: false }
    }

    /// The listener has taken what was told.
    pub(super) fn written(&mut self) {
        self.is_writing = false;
    }

    /// Changes cannot be told one by one.
    pub(super) fn start_over(&mut self) {
        self.told = None;
    }

    /// What to tell now; empty when there is nothing or the listener is busy. Cost: `[changes]`, or `[cells]` for a
    /// snapshot.
    pub(super) fn changes(&mut self, document: &Document<Heap>) -> Vec<Change> {
        if self.is_writing || self.told == Some(document.seq()) {
            return Vec::new();
        }
        let prefix = self.path.as_deref().and_then(|path| Path::new(path).ok());
        let changes = match self.told {
            Some(told) => one_by_one(document, prefix, told),
            None => None,
        };
        let changes = changes.unwrap_or_else(|| {
            let value = tree(prefix, document.iter(prefix));
            vec![Change::Snapshot { value }]
        });
        self.told = Some(document.seq());
        self.is_writing = !changes.is_empty();
        changes
    }
}

/// The changes after `told`, containers before what is in them. `None` when only a snapshot tells it all.
fn one_by_one(document: &Document<Heap>, prefix: Option<Path<'_>>, told: u64) -> Option<Vec<Change>> {
    let mut changed = BTreeSet::new();
    for cell in document.changes_since(told) {
        match prefix {
            // Something above the prefix was replaced: what is left below it is not a change of its own.
            Some(prefix) if cell.path().is_above(prefix) => return None,
            Some(prefix) if !prefix.contains(cell.path()) => {}
            _ => {
                changed.insert(cell.path);
            }
        }
        if changed.len() > CHANGES_MAX {
            return None;
        }
    }
    let mut changes = Vec::with_capacity(changed.len());
    for path in &changed {
        let at = Path::new(path).expect("a stored path was checked");
        // A newer cell below an older one survives it; the word for the older one would say that it is gone.
        if document.iter(Some(at)).any(|cell| cell.path != at && !changed.contains(cell.path.as_str())) {
            return None;
        }
        changes.push(change(document, at));
    }
    Some(changes)
}

fn change(document: &Document<Heap>, at: Path<'_>) -> Change {
    let path = at.as_str().to_owned();
    let content = match document.node(at) {
        None => Content::Tombstone,
        Some(Node::List) => Content::List,
        Some(Node::Map) => Content::Map,
        Some(Node::Value(value)) => Content::Value(value),
    };
    match content_to_json(&content) {
        Some(value) => Change::Set { path, value },
        None => Change::Delete { path },
    }
}

/// What stands at `path` and below it; `None` when there is nothing.
pub(super) fn read(document: &Document<Heap>, path: Option<Path<'_>>) -> Option<Json> {
    tree(path, document.iter(path).map(|cell: Cell<'_>| cell))
}

/// Changes that are told one by one; more are told as a snapshot.
const CHANGES_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use crdt_core::{DocumentName, Limits, Moment, ReplicaId, Write};
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> Path<'_> {
        Path::new(text).unwrap()
    }

    fn document() -> Document<Heap> {
        Document::new(&DocumentName::new("d").unwrap(), ReplicaId::new(1), Limits::default())
    }

    fn set(at: &str, value: Json) -> Change {
        Change::Set { path: at.into(), value }
    }

    #[test]
    fn a_watch_tells_a_snapshot_and_then_each_change() {
        let mut document = document();
        let mut watch = Watch::new(Some("pump".into()));
        assert_eq!(watch.changes(&document), [Change::Snapshot { value: None }]);
        document.set(Moment::new(1), path("pump/on"), true).unwrap();
        assert_eq!(watch.changes(&document), [], "the listener is busy");
        watch.written();
        assert_eq!(watch.changes(&document), [set("pump/on", json!(true))]);
        watch.written();
        document.set(Moment::new(2), path("valve"), 1).unwrap();
        assert_eq!(watch.changes(&document), []);
        document.delete(Moment::new(3), path("pump/on")).unwrap();
        assert_eq!(watch.changes(&document), [Change::Delete { path: "pump/on".into() }]);
        watch.written();
        assert_eq!(watch.changes(&document), []);
    }

    #[test]
    fn containers_come_before_what_is_in_them() {
        let mut document = document();
        document.set(Moment::new(1), path("pump"), 1).unwrap();
        let mut watch = Watch::new(None);
        assert_eq!(watch.changes(&document), [Change::Snapshot { value: Some(json!({"pump": 1})) }]);
        watch.written();
        document.set(Moment::new(2), path("pump/on"), true).unwrap();
        assert_eq!(watch.changes(&document), [set("pump", json!({})), set("pump/on", json!(true))]);
    }

    #[test]
    fn what_survives_an_older_write_above_it_is_not_told_away() {
        let (mut here, mut there) = (document(), document());
        there = {
            drop(there);
            Document::new(&DocumentName::new("d").unwrap(), ReplicaId::new(2), Limits::default())
        };
        there.set(Moment::new(5), path("pump"), "old").unwrap();
        here.update(Moment::new(10), &[Write::set(path("pump/on"), true)]).unwrap();
        let mut watch = Watch::new(None);
        watch.changes(&here);
        watch.written();
        here.merge(&there).unwrap();
        assert_eq!(watch.changes(&here), [Change::Snapshot { value: Some(json!({"pump": {"on": true}})) }]);
    }

    #[test]
    fn a_change_above_the_watched_path_is_a_snapshot() {
        let mut document = document();
        document.set(Moment::new(1), path("a/b/c"), 1).unwrap();
        let mut watch = Watch::new(Some("a/b".into()));
        assert_eq!(watch.changes(&document), [Change::Snapshot { value: Some(json!({"c": 1})) }]);
        watch.written();
        document.delete(Moment::new(2), path("a")).unwrap();
        assert_eq!(watch.changes(&document), [Change::Snapshot { value: None }]);
    }
}
