//! Where cells live: on a fixed amount of memory, or on the heap up to a cap. One code path serves both.

mod fixed;
#[cfg(feature = "alloc")]
mod heap;
#[cfg(feature = "alloc")]
mod order;
mod sort;

pub use fixed::{Fixed, FixedCells};
#[cfg(feature = "alloc")]
pub use heap::{Heap, HeapCells};
pub(crate) use sort::{sort, sort_by};

use crate::causal::{KnowledgeMemory, Stamp};
use crate::cell::{Cell, Content, Kind, Path};
use crate::list::List;
use crate::write::Pending;

/// The memory of a document: [`Fixed`] or [`Heap`]. A [`Replica`](crate::Replica) wants more: [`Memory`](crate::Memory).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no storage of a document",
    note = "without a heap it is `Fixed<Cells<32>, Bytes<1024>, Replicas<4>>`, in this order, and perhaps `Peers<1>` behind"
)]
pub trait Storage: KnowledgeMemory {
    /// Cells by path and by the order in which they changed here.
    type Cells: CellStore;
    /// Sequence numbers of some of the cells.
    type Sequences: List<u64>;
    /// Writes of a transaction that is put together.
    type Pending<'w>: Pending<'w>;
}

/// A cell as it is kept, with its place in the order of local changes.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Checked when it was stored.
    pub path: &'a str,
    /// Which transaction wrote it.
    pub stamp: Stamp,
    /// How to read the payload.
    pub kind: Kind,
    /// See [`Kind`].
    pub payload: &'a [u8],
    /// Grows with each change of the document; unique to this version of this cell, in this process.
    pub seq: u64,
}

impl<'a> Stored<'a> {
    /// The path.
    pub fn path(&self) -> Path<'a> {
        Path::from_checked(self.path)
    }

    /// The content. O(1), O(length) for strings.
    pub fn content(&self) -> Content<'a> {
        Content::of(self.kind, self.payload).expect("contents are checked before they are stored")
    }

    /// The cell.
    pub fn cell(&self) -> Cell<'a> {
        Cell { path: self.path(), stamp: self.stamp, content: self.content() }
    }

    /// Whether it says that something is here.
    pub fn is_live(&self) -> bool {
        self.kind != Kind::Tombstone
    }
}

/// A set of cells, at most one a path. It knows nothing of precedence.
pub trait CellStore: Default {
    /// Where in the order of paths one is, or belongs. It holds as long as nothing before it is put or removed.
    type Place: Copy;

    /// Adds a cell at the [place](Self::find) of its path, or replaces the one that is there. The caller has made sure that
    /// there is capacity.
    fn put(&mut self, place: Self::Place, cell: Stored<'_>);
    /// Removes the cells strictly below `path` (all cells for `None`) that `unwanted` says yes to.
    fn remove_below(&mut self, path: Option<&str>, unwanted: &mut dyn FnMut(Stored<'_>) -> bool);
    /// Gives the cell at `place`, if there is one, another stamp and sequence number.
    fn restamp(&mut self, place: Self::Place, stamp: Stamp, seq: u64);
    /// Gives each cell strictly below `path` (all cells for `None`) the stamp and sequence number that `stamp` returns for it.
    fn restamp_below(&mut self, path: Option<&str>, stamp: impl FnMut(Stored<'_>) -> Option<(Stamp, u64)>);
    /// From now on it is kept which paths are removed, until [`clear_removed`](Self::clear_removed). Without that nobody asks.
    fn keep_removed(&mut self);
    /// Forgets which paths were removed: they are on disk.
    fn clear_removed(&mut self);

    /// The place of `path`: finding it is most of what a cell costs.
    fn find(&self, path: &str) -> Self::Place;
    /// The cell at `place`.
    fn at(&self, place: Self::Place) -> Option<Stored<'_>>;
    /// Whether it is plain that no cells are below `path`, which has that place: its neighbour does not even begin like it.
    fn is_leaf(&self, place: Self::Place, path: &str) -> bool;
    /// The cell at `path`.
    fn get(&self, path: &str) -> Option<Stored<'_>> {
        self.at(self.find(path))
    }
    /// Cells strictly below `path` (all for `None`), in byte order of their paths.
    fn below<'a>(&'a self, path: Option<&str>) -> impl Iterator<Item = Stored<'a>> + 'a;
    /// Cells with a sequence number above `seq`, in the order of these.
    fn since(&self, seq: u64) -> impl Iterator<Item = Stored<'_>> + '_;
    /// Paths removed (not replaced) since the last [`clear_removed`](Self::clear_removed), or `None` when
    /// the storage never keeps that.
    fn removed(&self) -> Option<impl Iterator<Item = &str> + '_>;
    /// Whether anything was removed since then.
    fn has_removed(&self) -> bool;
    /// Cells held.
    fn count(&self) -> usize;
    /// Bytes of paths and payloads held.
    fn bytes(&self) -> usize;
    /// Most cells and most bytes.
    fn capacity(&self) -> (usize, usize);
}

/// Where `path` sorts against the run of paths that begin with `above` and a `/`: before, in it, or after.
pub(crate) fn compare_with_below(path: &[u8], above: &str) -> core::cmp::Ordering {
    let head = &path[..path.len().min(above.len())];
    head.cmp(above.as_bytes()).then_with(|| match path.get(above.len()) {
        None => core::cmp::Ordering::Less,
        Some(byte) => byte.cmp(&b'/'),
    })
}
