//! The one rule: the newest write wins, over everything it had in its place and below.

use super::Path;
use crate::causal::Stamp;

/// Whether a cell at `path` with `stamp` makes one at `other_path` with `other_stamp` void: it stands in the same
/// place or above it, and is newer.
///
/// A strict partial order, so the sets of cells that no other cell dominates form a join semilattice under "union,
/// then drop what is dominated".
pub fn dominates(path: Path<'_>, stamp: Stamp, other_path: Path<'_>, other_stamp: Stamp) -> bool {
    stamp > other_stamp && path.contains(other_path)
}
