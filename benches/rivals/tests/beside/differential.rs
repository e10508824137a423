//! Random histories of maps and counters, played on Automerge and on the core: where the two mean the same, they must end
//! with the same; where they do not, each must do what `docs/semantics.md` says of it.

use std::collections::{BTreeMap, BTreeSet};

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, Value as AutomergeValue};
use crdt_core::types::Counter;
use crdt_core::{Document, DocumentName, Heap, Limits, Moment, Path, ReplicaId, Value};
use proptest::prelude::*;

const REPLICAS: usize = 3;
const KEYS: usize = 5;
const COUNTERS: usize = 2;
const START_MS: u64 = 1_770_000_000_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Add { replica: usize, counter: usize, amount: i64 },
    Delete { replica: usize, key: usize },
    Merge { into: usize, from: usize },
    Set { replica: usize, key: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let replica = 0..REPLICAS;
    prop_oneof![
        2 => (replica.clone(), 0..COUNTERS, -5_i64..10)
            .prop_map(|(replica, counter, amount)| Step::Add { replica, counter, amount }),
        2 => (replica.clone(), 0..KEYS).prop_map(|(replica, key)| Step::Delete { replica, key }),
        3 => (replica.clone(), replica.clone()).prop_map(|(into, from)| Step::Merge { into, from }),
        4 => (replica, 0..KEYS).prop_map(|(replica, key)| Step::Set { replica, key }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn both_end_with_the_same_where_they_mean_the_same(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for (n, step) in steps.iter().enumerate() {
            world.play(n as u64 + 1, *step);
        }
        world.merge_all();
        let (ours, theirs) = (world.ours(), world.theirs());
        let mut agreed = BTreeSet::new();
        for key in 0..KEYS {
            let last = world.history.last_writes(key);
            let newest = last.last().and_then(|op| op.value);
            // Ours: the newest write, whatever else was written meanwhile.
            prop_assert_eq!(ours.keys.get(&key).copied(), newest, "key {} in ours", key);
            // Theirs: a write that no other had seen; a deletion only when there is nothing else.
            let kept: Vec<i64> = last.iter().filter_map(|op| op.value).collect();
            match theirs.keys.get(&key) {
                Some(value) => prop_assert!(kept.contains(value), "key {} in theirs", key),
                None => prop_assert!(kept.is_empty(), "key {} in theirs", key),
            }
            if last.len() <= 1 {
                agreed.insert(key);
            }
        }
        let only = |keys: &BTreeMap<usize, i64>| -> BTreeMap<usize, i64> {
            keys.iter().filter(|(key, _)| agreed.contains(key)).map(|(key, value)| (*key, *value)).collect()
        };
        prop_assert_eq!(only(&ours.keys), only(&theirs.keys));
        prop_assert_eq!(ours.counters, theirs.counters);
        prop_assert_eq!(ours.counters, world.history.sums);
    }
}

/// What a document shows.
#[derive(Debug)]
struct Shown {
    keys: BTreeMap<usize, i64>,
    counters: [i64; COUNTERS],
}

/// The same replicas twice.
struct World {
    ours: Vec<Document<Heap>>,
    theirs: Vec<AutoCommit>,
    map: ObjId,
    history: History,
}

impl World {
    /// Automerge wants containers and counters to have one origin: replica 0 makes them, and all start from there.
    fn new() -> Self {
        let mut first = automerge_of(0);
        let map = first.put_object(ROOT, "map", ObjType::Map).unwrap();
        for counter in 0..COUNTERS {
            first.put(ROOT, format!("c{counter}"), ScalarValue::counter(0)).unwrap();
        }
        first.commit();
        let others: Vec<AutoCommit> = (1..REPLICAS).map(|n| first.fork().with_actor(actor(n))).collect();
        let theirs = std::iter::once(first).chain(others).collect();
        Self { ours: (0..REPLICAS).map(document_of).collect(), theirs, map, history: History::default() }
    }

    fn play(&mut self, n: u64, step: Step) {
        match step {
            Step::Add { replica, counter, amount } => {
                let path = format!("c{counter}");
                let counter_at = Counter::at(Path::new(&path).unwrap()).unwrap();
                let plan = counter_at.add(&self.ours[replica], amount).unwrap();
                self.ours[replica].update(at(n), &plan.writes()).unwrap();
                self.theirs[replica].increment(ROOT, path, amount).unwrap();
                self.history.sums[counter] += amount;
            }
            Step::Delete { replica, key } => {
                let path = format!("map/k{key}");
                let path = Path::new(&path).unwrap();
                // Deleting what is not there writes nothing, and after a conflict it may be there in one of them only.
                let here = self.ours[replica].get(path).is_some();
                let there = self.theirs[replica].get(&self.map, format!("k{key}")).unwrap().is_some();
                if here && there {
                    self.ours[replica].delete(at(n), path).unwrap();
                    self.theirs[replica].delete(&self.map, format!("k{key}")).unwrap();
                    self.history.write(replica, key, None);
                }
            }
            Step::Merge { into, from } => self.merge(into, from),
            Step::Set { replica, key } => {
                // No value twice: to Automerge, writing what is there already is no write.
                let value = n as i64;
                let path = format!("map/k{key}");
                self.ours[replica].set(at(n), Path::new(&path).unwrap(), value).unwrap();
                self.theirs[replica].put(&self.map, format!("k{key}"), value).unwrap();
                self.history.write(replica, key, Some(value));
            }
        }
    }

    fn merge(&mut self, into: usize, from: usize) {
        if into == from {
            return;
        }
        let [a, b] = self.ours.get_disjoint_mut([into, from]).unwrap();
        a.merge(b).unwrap();
        a.check_invariants().unwrap();
        let [a, b] = self.theirs.get_disjoint_mut([into, from]).unwrap();
        a.merge(b).unwrap();
        self.history.merge(into, from);
    }

    fn merge_all(&mut self) {
        for from in 1..REPLICAS {
            self.merge(0, from);
        }
        for into in 1..REPLICAS {
            self.merge(into, 0);
        }
        assert!(self.ours.iter().all(|document| document == &self.ours[0]), "ours converge");
        let heads = self.theirs[0].get_heads();
        assert!(self.theirs.iter_mut().all(|document| document.get_heads() == heads), "theirs converge");
    }

    fn ours(&self) -> Shown {
        let document = &self.ours[0];
        let keys = (0..KEYS).filter_map(|key| {
            let path = format!("map/k{key}");
            match document.get(Path::new(&path).unwrap())? {
                Value::I64(number) => Some((key, number)),
                other => panic!("{other:?}"),
            }
        });
        let counters = std::array::from_fn(|n| value_of(document, &format!("c{n}")));
        Shown { keys: keys.collect(), counters }
    }

    fn theirs(&self) -> Shown {
        let document = &self.theirs[0];
        let keys = (0..KEYS).filter_map(|key| {
            let (value, _) = document.get(&self.map, format!("k{key}")).unwrap()?;
            Some((key, value.as_i64().unwrap()))
        });
        let counters = std::array::from_fn(|n| automerge_counter(document, &format!("c{n}")).unwrap());
        Shown { keys: keys.collect(), counters }
    }
}

/// Who wrote what knowing of what.
#[derive(Default)]
struct History {
    operations: Vec<Operation>,
    /// Operations that each replica has seen, as a bit each.
    seen: [BTreeSet<usize>; REPLICAS],
    sums: [i64; COUNTERS],
}

struct Operation {
    key: usize,
    /// `None`: a deletion.
    value: Option<i64>,
    knew: BTreeSet<usize>,
}

impl History {
    fn write(&mut self, replica: usize, key: usize, value: Option<i64>) {
        let knew = self.seen[replica].clone();
        self.seen[replica].insert(self.operations.len());
        self.operations.push(Operation { key, value, knew });
    }

    fn merge(&mut self, into: usize, from: usize) {
        let seen = self.seen[from].clone();
        self.seen[into].extend(seen);
    }

    /// The operations on `key` that no other operation on it knew of, in the order of time.
    fn last_writes(&self, key: usize) -> Vec<&Operation> {
        let of_key = || self.operations.iter().enumerate().filter(|(_, op)| op.key == key);
        of_key()
            .filter(|(n, _)| !of_key().any(|(_, later)| later.knew.contains(n)))
            .map(|(_, op)| op)
            .collect()
    }
}

// ---- where they do not agree: one test a row of the table in docs/semantics.md ----

#[test]
fn concurrent_writes_ours_by_clock_theirs_by_operations_counted() {
    let (mut busy, mut calm) = (document_of(0), document_of(1));
    for n in 0..5 {
        busy.set(at(n), path("other"), n as i64).unwrap();
    }
    busy.set(at(10), path("key"), "earlier").unwrap();
    calm.set(at(20), path("key"), "later").unwrap();
    busy.merge(&calm).unwrap();
    assert_eq!(busy.get(path("key")), Some(Value::Str("later")));

    let (mut busy, mut calm) = (automerge_of(0), automerge_of(1));
    for n in 0..5 {
        busy.put(ROOT, "other", n).unwrap();
    }
    busy.put(ROOT, "key", "earlier").unwrap();
    calm.put(ROOT, "key", "later").unwrap();
    busy.merge(&mut calm).unwrap();
    assert_eq!(text(&busy, &ROOT, "key").as_deref(), Some("earlier"));
    assert_eq!(busy.get_all(ROOT, "key").unwrap().len(), 2, "and keeps the other as a conflict");
}

#[test]
fn a_delete_ours_wins_when_newer_theirs_loses_to_any_concurrent_write() {
    let mut a = document_of(0);
    a.set(at(1), path("key"), "old").unwrap();
    let mut b = document_of(1);
    b.merge(&a).unwrap();
    a.set(at(2), path("key"), "new").unwrap();
    b.delete(at(3), path("key")).unwrap();
    a.merge(&b).unwrap();
    assert_eq!(a.get(path("key")), None);

    let mut a = automerge_of(0);
    a.put(ROOT, "key", "old").unwrap();
    let mut b = a.fork().with_actor(actor(1));
    a.put(ROOT, "key", "new").unwrap();
    b.delete(ROOT, "key").unwrap();
    a.merge(&mut b).unwrap();
    assert_eq!(text(&a, &ROOT, "key").as_deref(), Some("new"));
}

#[test]
fn a_write_below_a_concurrent_delete_ours_survives_when_newer_theirs_is_gone() {
    let mut a = document_of(0);
    a.set(at(1), path("map/key"), "old").unwrap();
    let mut b = document_of(1);
    b.merge(&a).unwrap();
    a.delete(at(2), path("map")).unwrap();
    b.set(at(3), path("map/key"), "new").unwrap();
    a.merge(&b).unwrap();
    assert_eq!(a.get(path("map/key")), Some(Value::Str("new")));

    let mut a = automerge_of(0);
    let map = a.put_object(ROOT, "map", ObjType::Map).unwrap();
    a.put(&map, "key", "old").unwrap();
    let mut b = a.fork().with_actor(actor(1));
    a.delete(ROOT, "map").unwrap();
    b.put(&map, "key", "new").unwrap();
    a.merge(&mut b).unwrap();
    assert!(a.get(ROOT, "map").unwrap().is_none());
}

#[test]
fn a_map_made_twice_ours_is_one_theirs_is_two_of_which_one_shows() {
    let (mut a, mut b) = (document_of(0), document_of(1));
    a.set(at(1), path("map/a"), 1).unwrap();
    b.set(at(2), path("map/b"), 2).unwrap();
    a.merge(&b).unwrap();
    assert_eq!((a.get(path("map/a")), a.get(path("map/b"))), (Some(Value::I64(1)), Some(Value::I64(2))));

    let (mut a, mut b) = (automerge_of(0), automerge_of(1));
    for (document, key) in [(&mut a, "a"), (&mut b, "b")] {
        let map = document.put_object(ROOT, "map", ObjType::Map).unwrap();
        document.put(&map, key, 1).unwrap();
    }
    a.merge(&mut b).unwrap();
    let (_, map) = a.get(ROOT, "map").unwrap().unwrap();
    assert_eq!(a.keys(&map).count(), 1);
}

#[test]
fn writing_what_is_there_ours_is_a_write_theirs_is_none() {
    let mut a = document_of(0);
    a.set(at(1), path("key"), "x").unwrap();
    let mut b = document_of(1);
    b.merge(&a).unwrap();
    b.set(at(2), path("key"), "y").unwrap();
    a.set(at(3), path("key"), "x").unwrap();
    a.merge(&b).unwrap();
    assert_eq!(a.get(path("key")), Some(Value::Str("x")));

    let mut a = automerge_of(0);
    a.put(ROOT, "key", "x").unwrap();
    let mut b = a.fork().with_actor(actor(1));
    b.put(ROOT, "key", "y").unwrap();
    a.put(ROOT, "key", "x").unwrap();
    a.merge(&mut b).unwrap();
    assert_eq!(text(&a, &ROOT, "key").as_deref(), Some("y"));
}

#[test]
fn a_counter_made_twice_ours_counts_both_theirs_shows_one() {
    let (mut a, mut b) = (document_of(0), document_of(1));
    add(&mut a, 1, 3);
    add(&mut b, 2, 4);
    a.merge(&b).unwrap();
    assert_eq!(value_of(&a, "c"), 7);

    let (mut a, mut b) = (automerge_of(0), automerge_of(1));
    for (document, amount) in [(&mut a, 3), (&mut b, 4)] {
        document.put(ROOT, "c", ScalarValue::counter(0)).unwrap();
        document.increment(ROOT, "c", amount).unwrap();
    }
    a.merge(&mut b).unwrap();
    let shown = automerge_counter(&a, "c").unwrap();
    assert!([3, 4].contains(&shown), "{shown}");
}

#[test]
fn a_deleted_counter_ours_comes_back_with_the_total_of_who_adds_later_theirs_is_gone() {
    let mut a = document_of(0);
    add(&mut a, 1, 3);
    let mut b = document_of(1);
    b.merge(&a).unwrap();
    add(&mut b, 2, 4);
    a.delete(at(3), path("c")).unwrap();
    add(&mut b, 4, 1);
    a.merge(&b).unwrap();
    assert_eq!(value_of(&a, "c"), 5, "b's total; a's 3 are deleted");

    let mut a = automerge_of(0);
    a.put(ROOT, "c", ScalarValue::counter(0)).unwrap();
    a.increment(ROOT, "c", 3).unwrap();
    let mut b = a.fork().with_actor(actor(1));
    b.increment(ROOT, "c", 4).unwrap();
    a.delete(ROOT, "c").unwrap();
    b.increment(ROOT, "c", 1).unwrap();
    a.merge(&mut b).unwrap();
    assert_eq!(automerge_counter(&a, "c"), None);
}

#[test]
fn a_counter_set_to_nothing_ours_has_a_reset_theirs_a_new_counter() {
    let mut a = document_of(0);
    add(&mut a, 1, 3);
    let mut b = document_of(1);
    b.merge(&a).unwrap();
    let reset = Counter::at(path("c")).unwrap().reset(&a).unwrap();
    a.update(at(2), &reset.writes()).unwrap();
    add(&mut b, 2, 4);
    a.merge(&b).unwrap();
    assert_eq!(value_of(&a, "c"), 4);

    let mut a = automerge_of(0);
    a.put(ROOT, "c", ScalarValue::counter(0)).unwrap();
    a.increment(ROOT, "c", 3).unwrap();
    let mut b = a.fork().with_actor(actor(1));
    a.put(ROOT, "c", ScalarValue::counter(0)).unwrap();
    b.increment(ROOT, "c", 4).unwrap();
    a.merge(&mut b).unwrap();
    assert_eq!(automerge_counter(&a, "c"), Some(0), "the 4 went to the counter that was replaced");
}

fn document_of(replica: usize) -> Document<Heap> {
    let name = DocumentName::new("differential").unwrap();
    Document::new(&name, ReplicaId::new(replica as u64 + 1), Limits::default())
}

fn automerge_of(replica: usize) -> AutoCommit {
    AutoCommit::new().with_actor(actor(replica))
}

fn actor(replica: usize) -> ActorId {
    ActorId::from([replica as u8 + 1; 16])
}

fn at(n: u64) -> Moment {
    Moment::new(START_MS + n)
}

fn path(text: &str) -> Path<'_> {
    Path::new(text).unwrap()
}

fn add(document: &mut Document<Heap>, n: u64, amount: i64) {
    let plan = Counter::at(path("c")).unwrap().add(document, amount).unwrap();
    document.update(at(n), &plan.writes()).unwrap();
}

fn value_of(document: &Document<Heap>, counter: &str) -> i64 {
    Counter::at(path(counter)).unwrap().value(document).unwrap()
}

fn automerge_counter(document: &AutoCommit, key: &str) -> Option<i64> {
    match document.get(ROOT, key).unwrap()?.0 {
        AutomergeValue::Scalar(scalar) => scalar.as_i64(),
        AutomergeValue::Object(_) => None,
    }
}

fn text(document: &AutoCommit, map: &ObjId, key: &str) -> Option<String> {
    document.get(map, key).unwrap().and_then(|(value, _)| value.as_str().map(str::to_owned))
}
