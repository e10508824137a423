//! Merging is a join: commutative, associative, idempotent, monotone. States come from random histories, so they are
//! reachable. One set of laws, run for both storages, and against a naive model.

use std::collections::BTreeMap;

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{
    Content, Document, DocumentName, Fixed, Heap, Limits, Memory, Moment, Path, ReplicaId, Stamp, Value,
    Write, dominates,
};
use proptest::prelude::*;

type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<8>>;

const PATHS: [&str; 9] = ["a", "a/x", "a/x/1", "a/y", "a-b", "ab", "b", "b/z", "c"];
const REPLICAS: usize = 3;

/// What happens in a history, by whom.
#[derive(Clone, Debug)]
enum Step {
    Delete { replica: usize, path: usize },
    Marker { replica: usize, path: usize, list: bool },
    Merge { from: usize, into: usize },
    Set { replica: usize, path: usize, value: i64 },
    Transaction { replica: usize, writes: Vec<(usize, Option<i64>)> },
}

fn step() -> impl Strategy<Value = Step> {
    let (replica, path) = (0..REPLICAS, 0..PATHS.len());
    prop_oneof![
        4 => (replica.clone(), path.clone(), any::<i64>()).prop_map(|(replica, path, value)| Step::Set { replica, path, value }),
        2 => (replica.clone(), path.clone()).prop_map(|(replica, path)| Step::Delete { replica, path }),
        1 => (replica.clone(), path.clone(), any::<bool>()).prop_map(|(replica, path, list)| Step::Marker { replica, path, list }),
        1 => (replica.clone(), proptest::collection::vec((path, proptest::option::of(any::<i64>())), 1..4))
            .prop_map(|(replica, writes)| Step::Transaction { replica, writes }),
        3 => (replica.clone(), replica).prop_map(|(from, into)| Step::Merge { from, into }),
    ]
}

fn path(index: usize) -> Path<'static> {
    Path::new(PATHS[index]).unwrap()
}

/// The rule, as simple as it can be said: keep every cell ever seen; live is what no other dominates.
#[derive(Clone, Default)]
struct Naive {
    seen: BTreeMap<(&'static str, Stamp), String>,
}

impl Naive {
    fn note<S: Memory>(&mut self, document: &Document<S>) {
        for cell in document.cells() {
            let at = PATHS.iter().find(|p| **p == cell.path.as_str()).unwrap();
            let content = format!("{:?}", cell.content);
            let before = self.seen.insert((at, cell.stamp), content.clone());
            assert!(before.is_none_or(|before| before == content), "a cell's content never changes");
        }
    }

    fn undominated(&self) -> Vec<(&'static str, Stamp, String)> {
        let alive = |at: &str, stamp: Stamp| {
            let at = Path::new(at).unwrap();
            !self.seen.keys().any(|(p, s)| dominates(Path::new(p).unwrap(), *s, at, stamp))
        };
        let cells = self.seen.iter().filter(|((at, stamp), _)| alive(at, *stamp));
        cells.map(|((at, stamp), content)| (*at, *stamp, content.clone())).collect()
    }
}

fn cells<S: Memory>(document: &Document<S>) -> Vec<(String, Stamp, String)> {
    document.cells().map(|c| (c.path.as_str().to_owned(), c.stamp, format!("{:?}", c.content))).collect()
}

/// Plays a history; after each step the invariants hold and each document is what the naive model says.
fn play<S: Memory>(steps: &[Step]) -> Vec<Document<S>> {
    let name = DocumentName::new("laws").unwrap();
    let mut documents: Vec<Document<S>> = (0..REPLICAS)
        .map(|r| Document::new(&name, ReplicaId::new(r as u64 + 1), Limits::default()))
        .collect();
    let mut naive = vec![Naive::default(); REPLICAS];
    for (now, step) in steps.iter().enumerate() {
        let moment = Moment::new(now as u64);
        let touched = match step {
            Step::Set { replica, path: at, value } => {
                documents[*replica].set(moment, path(*at), *value).unwrap();
                *replica
            }
            Step::Delete { replica, path: at } => {
                documents[*replica].delete(moment, path(*at)).unwrap();
                *replica
            }
            Step::Marker { replica, path: at, list } => {
                let write = if *list { Write::list(path(*at)) } else { Write::map(path(*at)) };
                documents[*replica].update(moment, &[write]).unwrap();
                *replica
            }
            Step::Transaction { replica, writes } => {
                let writes: Vec<Write<'_>> = writes
                    .iter()
                    .map(|(at, value)| {
                        value.map_or(Write::delete(path(*at)), |value| Write::set(path(*at), value))
                    })
                    .collect();
                documents[*replica].update(moment, &writes).unwrap();
                *replica
            }
            Step::Merge { from, into } if from != into => {
                let [from_document, into_document] = documents.get_disjoint_mut([*from, *into]).unwrap();
                into_document.merge(from_document).unwrap();
                let more = naive[*from].seen.clone();
                naive[*into].seen.extend(more);
                *into
            }
            Step::Merge { .. } => continue,
        };
        documents[touched].check_invariants().unwrap();
        naive[touched].note(&documents[touched]);
        let expected: Vec<_> = naive[touched]
            .undominated()
            .into_iter()
            .map(|(at, stamp, content)| (at.to_owned(), stamp, content))
            .collect();
        let mut actual = cells(&documents[touched]);
        actual.sort();
        assert_eq!(actual, expected, "after step {now}: {step:?}");
    }
    documents
}

fn merged<S: Memory>(order: [usize; REPLICAS], documents: &[Document<S>]) -> Document<S> {
    let name = DocumentName::new("laws").unwrap();
    let mut all = Document::<S>::new(&name, ReplicaId::new(99), Limits::default());
    for index in order {
        all.merge(&documents[index]).unwrap();
        all.check_invariants().unwrap();
    }
    all
}

fn laws<S: Memory>(steps: &[Step]) -> Document<S> {
    let documents = play::<S>(steps);
    let all = merged([0, 1, 2], &documents);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let other = merged(order, &documents);
        assert_eq!(all, other, "commutative and associative: {order:?}");
        assert_eq!(all.version_vector(), other.version_vector());
        assert_eq!(all.fingerprint(), other.fingerprint());
    }
    // Associative the other way round: (1 and 2) first, then into 0.
    let name = DocumentName::new("laws").unwrap();
    let mut right = Document::<S>::new(&name, ReplicaId::new(99), Limits::default());
    right.merge(&documents[1]).unwrap();
    right.merge(&documents[2]).unwrap();
    let mut left = Document::<S>::new(&name, ReplicaId::new(98), Limits::default());
    left.merge(&documents[0]).unwrap();
    left.merge(&right).unwrap();
    assert_eq!(all, left);
    // Idempotent, and monotone: merging what is below changes nothing.
    let (before, seq) = (cells(&all), all.seq());
    let mut again = merged([0, 1, 2], &documents);
    again.merge(&all).unwrap();
    for document in &documents {
        again.merge(document).unwrap();
    }
    assert_eq!((cells(&again), again.seq()), (before, seq));
    for document in &documents {
        assert!(all.version_vector().dominates(document.version_vector()));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn merging_is_a_join_in_both_storages_alike(steps in proptest::collection::vec(step(), 0..40)) {
        let heap = laws::<Heap>(&steps);
        let fixed = laws::<Small>(&steps);
        prop_assert_eq!(&heap, &fixed);
        prop_assert_eq!(heap.fingerprint(), fixed.fingerprint());
        prop_assert_eq!(heap.size(), fixed.size());
        let order = |d: Vec<String>| d;
        prop_assert_eq!(
            order(heap.changes_since(0).map(|c| c.path.to_owned()).collect()),
            order(fixed.changes_since(0).map(|c| c.path.to_owned()).collect())
        );
    }

    #[test]
    fn reading_agrees_with_the_cells(steps in proptest::collection::vec(step(), 0..40)) {
        for document in play::<Heap>(&steps) {
            let live: Vec<_> = document.cells().filter(|c| !c.content.is_tombstone()).collect();
            for at in 0..PATHS.len() {
                let below = live.iter().any(|c| path(at).is_above(c.path));
                let here = live.iter().find(|c| c.path == path(at)).map(|c| c.content);
                let expected = match here {
                    Some(Content::Value(value)) if !below => Some(value),
                    _ => None,
                };
                prop_assert_eq!(document.get(path(at)), expected);
                prop_assert_eq!(document.node(path(at)).is_some(), here.is_some() || below);
            }
            let visible: Vec<_> = document.iter(None).map(|c| c.path).collect();
            let expected: Vec<_> =
                live.iter().filter(|c| !live.iter().any(|d| c.path.is_above(d.path))).map(|c| c.path).collect();
            prop_assert_eq!(visible, expected);
        }
    }

    #[test]
    fn a_transaction_that_does_not_fit_changes_nothing(
        steps in proptest::collection::vec(step(), 0..30),
        writes in proptest::collection::vec((0..PATHS.len(), proptest::option::of("[a-z]{0,40}")), 1..6),
    ) {
        type Tiny = Fixed<Cells<6>, Bytes<60>, Replicas<8>>;
        let name = DocumentName::new("laws").unwrap();
        let mut document = Document::<Tiny>::new(&name, ReplicaId::new(1), Limits::default());
        for step in steps {
            if let Step::Set { path: at, value, .. } = step {
                document.set(Moment::new(0), path(at), value % 100).ok();
                document.check_invariants().unwrap();
            }
        }
        let before = (cells(&document), document.version_vector().clone(), document.clock());
        let list: Vec<Write<'_>> = writes
            .iter()
            .map(|(at, value)| value.as_ref().map_or(Write::delete(path(*at)), |v| Write::set(path(*at), Value::Str(v))))
            .collect();
        let result = document.update(Moment::new(5), &list);
        document.check_invariants().unwrap();
        let size = document.size();
        prop_assert!(size.cells <= 6 && size.bytes <= 60, "{size:?}");
        if result.is_err() {
            prop_assert_eq!(before, (cells(&document), document.version_vector().clone(), document.clock()));
        }
    }
}
