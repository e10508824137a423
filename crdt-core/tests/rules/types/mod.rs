//! The types built from cells: laws over reachable histories of several replicas, models, and the cases that the
//! documentation tells. Everything runs in both storages.

mod counter;
mod fleet;
mod list;
mod list_cases;
mod record;
mod sessions;
mod set;

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{Document, DocumentName, Fixed, Limits, Memory, Moment, Path, ReplicaId};

/// Buffer for the longest history here.
type Small = Fixed<Cells<512>, Bytes<16384>, Replicas<8>>;

const REPLICAS: usize = 3;

/// All orders in which three copies can be merged.
const ORDERS: [[usize; REPLICAS]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

fn path(text: &str) -> Path<'_> {
    Path::new(text).unwrap()
}

fn document<S: Memory>(replica: u64) -> Document<S> {
    Document::new(&DocumentName::new("types").unwrap(), ReplicaId::new(replica), Limits::default())
}

fn replicas<S: Memory>() -> Vec<Document<S>> {
    (1..=REPLICAS as u64).map(document).collect()
}

fn at(ms: usize) -> Moment {
    Moment::new(ms as u64)
}

/// Merges one copy into another. The models do the same with what they know.
fn merge<S: Memory>(documents: &mut [Document<S>], from: usize, into: usize) {
    let [from, into] = documents.get_disjoint_mut([from, into]).unwrap();
    into.merge(from).unwrap();
    into.check_invariants().unwrap();
}

/// The copies merged into a fresh one, in that order.
fn merged<S: Memory>(documents: &[Document<S>], order: [usize; REPLICAS]) -> Document<S> {
    let mut all = document(99);
    order.iter().for_each(|index| all.merge(&documents[*index]).unwrap());
    all
}
