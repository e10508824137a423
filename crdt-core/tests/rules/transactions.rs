//! A transaction that is put together reads as the document will read after the commit.

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::types::{Counter, Plan};
use crdt_core::{
    CapacityError, Config, CountingRng, Document, DocumentName, Fixed, Heap, Limits, Memory, Moment, Output,
    Path, Replica, ReplicaId, Role, Storage, UpdateError, Value, ValueError, Write, path,
};
use proptest::prelude::*;

type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<4>>;
/// Refuses some of the transactions.
type Tiny = Fixed<Cells<6>, Bytes<90>, Replicas<4>>;

/// Counters at `a` and `a/x` have their cells among them, of replica 1.
const PATHS: [&str; 13] = [
    "a",
    "a/0000000000000001",
    "a/0000000000000001/x",
    "a-b",
    "a/x",
    "a/x/0000000000000001",
    "a/x/1",
    "a/x/1/2",
    "a/y",
    "ab",
    "b",
    "b/z",
    "c",
];
const COUNTERS: [&str; 2] = ["a", "a/x"];

#[derive(Clone, Copy, Debug)]
enum Act {
    Add { counter: usize, amount: i64 },
    Delete { path: usize },
    List { path: usize },
    Map { path: usize },
    Set { path: usize, value: Option<i64> },
}

#[derive(Clone, Debug)]
enum Step {
    Act { second: bool, act: Act },
    Forget { second: bool },
    Merge { into_second: bool },
}

fn act() -> impl Strategy<Value = Act> {
    let path = 0..PATHS.len();
    // Near to what 64 bits hold, too.
    let amount = prop_oneof![8 => -5..5_i64, 1 => Just(i64::MAX - 1), 1 => Just(i64::MIN)];
    prop_oneof![
        4 => (path.clone(), proptest::option::of(-9..9_i64)).prop_map(|(path, value)| Act::Set { path, value }),
        3 => path.clone().prop_map(|path| Act::Delete { path }),
        1 => path.clone().prop_map(|path| Act::Map { path }),
        1 => path.prop_map(|path| Act::List { path }),
        2 => (0..COUNTERS.len(), amount).prop_map(|(counter, amount)| Act::Add { counter, amount }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), act()).prop_map(|(second, act)| Step::Act { second, act }),
        2 => any::<bool>().prop_map(|into_second| Step::Merge { into_second }),
        1 => any::<bool>().prop_map(|second| Step::Forget { second }),
    ]
}

fn at(index: usize) -> Path<'static> {
    Path::new(PATHS[index]).unwrap()
}

/// A write, or the plan that it is made of.
enum Made {
    Plan(Box<Plan<'static, 1>>),
    Write(Write<'static>),
}

impl Made {
    /// `None` where the plan is refused.
    fn of<S: Storage>(document: &Document<S>, act: Act) -> Option<Self> {
        Some(Made::Write(match act {
            Act::Add { counter, amount } => {
                let counter = Counter::at(Path::new(COUNTERS[counter]).unwrap()).unwrap();
                return Some(Made::Plan(Box::new(counter.add(document, amount).ok()?)));
            }
            Act::Delete { path } => Write::delete(at(path)),
            Act::List { path } => Write::list(at(path)),
            Act::Map { path } => Write::map(at(path)),
            Act::Set { path, value: Some(value) } => Write::set(at(path), value),
            Act::Set { path, value: None } => Write::set(at(path), "text"),
        }))
    }

    fn write(&self) -> Write<'_> {
        match self {
            Made::Plan(plan) => plan.write(),
            Made::Write(write) => *write,
        }
    }
}

fn document<S: Storage>(id: u64) -> Document<S> {
    let name = DocumentName::new("transactions").unwrap();
    Document::new(&name, ReplicaId::new(id), Limits::default())
}

/// A document with a history of conflicts: hidden scalars, markers, and tombstones that are held or forgotten.
fn play<S: Storage>(steps: &[Step]) -> Document<S> {
    let [mut one, mut two] = [1, 2].map(document::<S>);
    for (ms, step) in (0..).zip(steps) {
        match *step {
            Step::Act { second, act } => {
                // The clock of the second one is behind.
                let (document, ms) = if second { (&mut two, ms / 2) } else { (&mut one, ms) };
                if let Some(made) = Made::of(document, act) {
                    document.update(Moment::new(ms), &[made.write()]).ok();
                }
            }
            Step::Forget { second } => {
                (if second { &mut two } else { &mut one }).forget_tombstones(|_| true);
            }
            Step::Merge { into_second: true } => two.merge(&one).unwrap_or_default(),
            Step::Merge { into_second: false } => one.merge(&two).unwrap_or_default(),
        }
    }
    one
}

/// All that can be asked of a document, as text.
fn readings(node: impl Fn(Path<'_>) -> String) -> Vec<String> {
    let above_and_below = ["a/x/1/2/3", "a/z", "d", "d/e"];
    PATHS
        .iter()
        .chain(&above_and_below)
        .map(|path| format!("{path}: {}", node(Path::new(path).unwrap())))
        .collect()
}

/// All but the tombstones: a transaction that is refused may have forgotten some.
fn live<S: Storage>(document: &Document<S>) -> Vec<String> {
    document.cells().filter(|cell| !cell.content.is_tombstone()).map(|cell| format!("{cell:?}")).collect()
}

/// Whether it was committed.
fn reads_its_own_writes<S: Storage>(steps: &[Step], acts: &[Act]) -> bool {
    let mut document = play::<S>(steps);
    let before = live(&document);
    let made: Vec<_> = acts.iter().filter_map(|act| Made::of(&document, *act)).collect();
    let mut transaction = document.transaction();
    for made in &made {
        // What is refused leaves the transaction as it was.
        let so_far = transaction.writes().len();
        let taken = transaction.write(made.write()).is_ok();
        assert_eq!(transaction.writes().len(), so_far + usize::from(taken));
    }
    let expected = readings(|path| format!("{:?} {:?}", transaction.node(path), transaction.get(path)));
    let committed = transaction.commit(Moment::new(1_000));
    document.check_invariants().unwrap();
    if committed.is_err() {
        assert_eq!(live(&document), before);
        return false;
    }
    let found = readings(|path| format!("{:?} {:?}", document.node(path), document.get(path)));
    assert_eq!(found, expected);
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_transaction_reads_what_the_document_will(
        steps in prop::collection::vec(step(), 0..24),
        acts in prop::collection::vec(act(), 0..12),
    ) {
        let heap = reads_its_own_writes::<Heap>(&steps, &acts);
        let fixed = reads_its_own_writes::<Small>(&steps, &acts);
        prop_assert_eq!(heap, fixed, "both have capacity for all paths");
        reads_its_own_writes::<Tiny>(&steps, &acts);
    }
}

#[test]
fn what_is_dropped_changes_nothing() {
    let mut document = document::<Small>(1);
    document.set(Moment::new(1), path!("mode"), "auto").unwrap();
    let before = (live(&document), document.seq(), document.fingerprint(), document.clock());
    let mut transaction = document.transaction();
    transaction.set(path!("mode"), "off").unwrap().delete(path!("mode")).unwrap();
    assert_eq!(transaction.get(path!("mode")), None);
    drop(transaction);
    assert_eq!((live(&document), document.seq(), document.fingerprint(), document.clock()), before);
}

#[test]
fn a_full_transaction_says_so_and_stays_usable() {
    let mut document = document::<Fixed<Cells<3>, Bytes<64>, Replicas<2>>>(1);
    let mut transaction = document.transaction();
    transaction.set(path!("a"), 1).unwrap().set(path!("b"), 2).unwrap();
    let full = UpdateError::Capacity(CapacityError::Writes { needed: 4, limit: 3 });
    let two = [Write::set(path!("c"), 3), Write::set(path!("d"), 4)];
    assert_eq!(transaction.write_all(&two).unwrap_err(), full);
    assert_eq!(transaction.get(path!("c")), None, "all or none");
    transaction.set(path!("c"), 3).unwrap();
    assert_eq!(transaction.delete(path!("a")).unwrap_err(), full);
    assert!(transaction.commit(Moment::new(1)).unwrap().is_some());
    assert_eq!(document.get(path!("c")), Some(Value::I64(3)));
}

#[test]
fn what_is_refused_is_refused_at_once() {
    let mut document = document::<Heap>(1);
    let starts = Counter::at(path!("starts")).unwrap();
    let (most, one) = (starts.add(&document, i64::MAX).unwrap(), starts.add(&document, 1).unwrap());
    let mut transaction = document.transaction();
    let long = "x".repeat(4097);
    assert_eq!(
        transaction.set(path!("a"), &*long).unwrap_err(),
        UpdateError::Value(ValueError { len: 4097 })
    );
    transaction.write(most.write()).unwrap();
    assert_eq!(transaction.write(one.write()).unwrap_err(), UpdateError::Overflow);
    transaction.commit(Moment::new(1)).unwrap();
    assert_eq!(starts.value(&document), Ok(i64::MAX));
}

/// A commit on a replica is an update of the replica: it asks to be made durable, and its stamp is what `update` gives.
#[test]
fn a_replica_commits_as_it_updates() {
    fn replica<S: Memory>() -> Replica<S, CountingRng> {
        let name = DocumentName::new("pump").unwrap();
        Replica::new(&name, Config::new(Role::Member), CountingRng::new(1))
    }
    fn same<S: Memory>() {
        let (mut updated, mut committed) = (replica::<S>(), replica::<S>());
        for replica in [&mut updated, &mut committed] {
            let output = replica.poll_output(Moment::new(0), &mut [0; 256]);
            assert_eq!(output, Some(Output::Persist), "a new replica is saved first");
            let token = replica.take_unsaved(|_| {});
            replica.handle_persisted(token);
        }
        let writes = [Write::set(path!("a"), 1), Write::set(path!("a/b"), 2)];
        let stamp = updated.update(Moment::new(7), &writes).unwrap();
        let mut transaction = committed.transaction();
        transaction.write_all(&writes).unwrap();
        assert_eq!(transaction.document().get(path!("a")), None);
        assert_eq!(transaction.commit(Moment::new(7)), Ok(stamp));
        assert!(committed.document() == updated.document());
        assert!(committed.has_unsaved());
        // Nothing to do is no transaction, and nothing to save.
        let mut nothing = replica::<S>();
        let mut transaction = nothing.transaction();
        transaction.delete(path!("a")).unwrap();
        assert_eq!(transaction.commit(Moment::new(8)), Ok(None));
    }
    same::<Heap>();
    same::<Small>();
}
