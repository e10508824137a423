//! The cells of a document as they stood at the last look: what a change by a device on a line is compared with.

use std::collections::BTreeMap;

use control::Scalar;
use crdt_core::{Content, Document, Heap, Stamp};

/// See the [module](self). As large as the document; only documents that are open on lines have one.
#[derive(Debug)]
pub(super) struct Standing {
    cells: BTreeMap<String, Stood>,
    /// The change of the document up to which this is true.
    seq: u64,
    /// How often cells had gone without a trace.
    drops: u64,
}

/// A cell as it stood.
#[derive(Clone, Debug)]
pub(super) struct Stood {
    /// Its value; `None` for nothing, and for what is no value.
    pub(super) value: Option<Scalar>,
    pub(super) stamp: Stamp,
    pub(super) seq: u64,
    /// A device on a line wrote it.
    pub(super) is_of_device: bool,
}

/// A cell that has changed.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) path: String,
    pub(super) before: Option<Stood>,
    pub(super) now: Stood,
}

impl Standing {
    /// All of a document as it is. O(cells).
    pub(super) fn of(document: &Document<Heap>, drops: u64) -> Self {
        let mut standing = Self { cells: BTreeMap::new(), seq: 0, drops };
        standing.follow(document, drops, 0, false);
        standing
    }

    /// Looks again; tells what has changed since the last time, in the order of the changes. Where cells went without a
    /// trace, which `drops` counts, or were forgotten up to the change `forgotten_at`, nothing is known of what stood
    /// before. O(changes), or O(cells).
    pub(super) fn follow(
        &mut self,
        document: &Document<Heap>,
        drops: u64,
        forgotten_at: u64,
        is_of_device: bool,
    ) -> Vec<Replaced> {
        let is_behind = std::mem::replace(&mut self.drops, drops) != drops || self.seq < forgotten_at;
        let outdated = if is_behind { std::mem::take(&mut self.cells) } else { BTreeMap::new() };
        let mut replaced = Vec::new();
        for cell in document.changes_since(if is_behind { 0 } else { self.seq }) {
            let value = match cell.content() {
                Content::Value(value) => Some(Scalar::from(value)),
                Content::List | Content::Map | Content::Tombstone => None,
            };
            let is_news = cell.seq > self.seq;
            let was_of_device =
                || outdated.get(cell.path).is_some_and(|old| old.stamp == cell.stamp && old.is_of_device);
            let is_of_device = if is_news { is_of_device } else { was_of_device() };
            let now = Stood { value, stamp: cell.stamp, seq: cell.seq, is_of_device };
            let before = self.cells.insert(cell.path.to_owned(), now.clone());
            if is_news {
                replaced.push(Replaced { path: cell.path.to_owned(), before, now });
            }
        }
        self.seq = document.seq();
        replaced
    }

    /// A cell as it stood.
    pub(super) fn at(&self, path: &str) -> Option<&Stood> {
        self.cells.get(path)
    }
}
