//! No addition is lost or counted twice; a reset takes away what its writer had seen, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crdt_core::types::{Counter, CounterError};
use crdt_core::{Document, Heap, Memory, ReplicaId, Stamp, Value, Write};
use proptest::prelude::*;

use super::{ORDERS, REPLICAS, Small, at, document, merge, merged, path, replicas};

#[derive(Clone, Debug)]
enum Step {
    Add { replica: usize, amount: i64 },
    Merge { from: usize, into: usize },
    Reset { replica: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let replica = 0..REPLICAS;
    prop_oneof![
        4 => (replica.clone(), -5_i64..20).prop_map(|(replica, amount)| Step::Add { replica, amount }),
        3 => (replica.clone(), replica.clone()).prop_map(|(from, into)| Step::Merge { from, into }),
        1 => replica.prop_map(|replica| Step::Reset { replica }),
    ]
}

/// Every addition by itself, and what the newest reset had seen of them.
#[derive(Clone, Default)]
struct Model {
    additions: BTreeMap<usize, i64>,
    reset: Option<(Stamp, BTreeSet<usize>)>,
}

impl Model {
    fn join(&mut self, other: &Model) {
        self.additions.extend(&other.additions);
        self.reset = self.reset.take().max(other.reset.clone());
    }

    fn value(&self) -> i64 {
        let seen = |id| self.reset.as_ref().is_some_and(|(_, seen)| seen.contains(id));
        self.additions.iter().filter(|(id, _)| !seen(id)).map(|(_, amount)| amount).sum()
    }
}

fn play<S: Memory>(steps: &[Step]) {
    let starts = Counter::at(path("pump/starts")).unwrap();
    let (mut documents, mut models) = (replicas::<S>(), vec![Model::default(); REPLICAS]);
    for (now, step) in steps.iter().enumerate() {
        let touched = match *step {
            Step::Add { replica, amount } => {
                let plan = starts.add(&documents[replica], amount).unwrap();
                documents[replica].update(at(now), &plan.writes()).unwrap();
                models[replica].additions.insert(now, amount);
                replica
            }
            Step::Reset { replica } => {
                let plan = starts.reset(&documents[replica]).unwrap();
                let stamp = documents[replica].update(at(now), &[plan.write()]).unwrap().unwrap();
                models[replica].reset = Some((stamp, models[replica].additions.keys().copied().collect()));
                replica
            }
            Step::Merge { from, into } if from != into => {
                merge(&mut documents, from, into);
                let known = models[from].clone();
                models[into].join(&known);
                into
            }
            Step::Merge { .. } => continue,
        };
        assert_eq!(starts.value(&documents[touched]), Ok(models[touched].value()), "after step {now}");
    }
    let mut all = Model::default();
    models.iter().for_each(|model| all.join(model));
    for order in ORDERS {
        assert_eq!(starts.value(&merged(&documents, order)), Ok(all.value()), "{order:?}");
    }
}

proptest! {
    #[test]
    fn the_value_is_the_sum_of_all_additions_that_the_newest_reset_had_not_seen(
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        play::<Heap>(&steps);
        play::<Small>(&steps);
    }
}

/// One replica counts to 7, the other sees that and resets while the first counts on.
fn reset_against_addition(reset: impl Fn(&Counter<'_>, &mut Document<Heap>)) -> i64 {
    let starts = Counter::at(path("starts")).unwrap();
    let (mut a, mut b) = (document::<Heap>(1), document::<Heap>(2));
    a.update(at(1), &starts.add(&a, 7).unwrap().writes()).unwrap();
    b.merge(&a).unwrap();
    a.update(at(2), &starts.add(&a, 1).unwrap().writes()).unwrap();
    reset(&starts, &mut b);
    a.merge(&b).unwrap();
    starts.value(&a).unwrap()
}

/// The way that suggests itself, to write 0 into every total, loses the addition. The model notices that.
#[test]
fn a_reset_keeps_a_concurrent_addition_and_writing_zeros_would_not() {
    let base = reset_against_addition(|starts, b| {
        b.update(at(3), &starts.reset(b).unwrap().writes()).unwrap();
    });
    assert_eq!(base, 1);
    let zeros = reset_against_addition(|starts, b| {
        let totals: Vec<_> = b.iter(Some(starts.path())).map(|cell| cell.path.as_str().to_owned()).collect();
        let writes: Vec<_> = totals.iter().map(|total| Write::set(path(total), 0)).collect();
        b.update(at(3), &writes).unwrap();
    });
    assert_eq!(zeros, 0, "the addition is lost");
}

/// A delete is no reset: it goes by the one rule.
#[test]
fn deleting_a_counter_clears_it_except_for_totals_that_are_written_later() {
    let starts = Counter::at(path("starts")).unwrap();
    let (mut a, mut b) = (document::<Heap>(1), document::<Heap>(2));
    a.update(at(1), &starts.add(&a, 7).unwrap().writes()).unwrap();
    b.merge(&a).unwrap();
    b.update(at(2), &starts.add(&b, 3).unwrap().writes()).unwrap();
    b.update(at(3), &[Write::delete(starts.path())]).unwrap();
    assert_eq!(starts.value(&b), Ok(0));
    // Not having heard of the delete, the first one counts on, later: its whole total is a newer cell.
    a.update(at(4), &starts.add(&a, 1).unwrap().writes()).unwrap();
    a.merge(&b).unwrap();
    assert_eq!(starts.value(&a), Ok(8), "7 + 1 are back, the other's 3 are gone");
    // Who has heard of it starts at 0; a concurrent addition with an older stamp is cleared.
    let mut c = document::<Heap>(3);
    c.update(at(2), &starts.add(&c, 5).unwrap().writes()).unwrap();
    b.update(at(5), &starts.add(&b, 2).unwrap().writes()).unwrap();
    b.merge(&c).unwrap();
    assert_eq!(starts.value(&b), Ok(2));
}

#[test]
fn beyond_64_bits_there_is_an_error_and_not_a_wrong_number() {
    let starts = Counter::at(path("starts")).unwrap();
    let (mut a, mut b) = (document::<Heap>(1), document::<Heap>(2));
    a.update(at(1), &starts.add(&a, i64::MAX).unwrap().writes()).unwrap();
    assert_eq!(starts.value(&a), Ok(i64::MAX));
    assert_eq!(starts.add(&a, 1).unwrap_err(), CounterError::Overflow);
    b.update(at(1), &starts.add(&b, 1).unwrap().writes()).unwrap();
    b.merge(&a).unwrap();
    assert_eq!(starts.value(&b), Err(CounterError::Overflow));
    assert_eq!(starts.reset(&b).unwrap_err(), CounterError::Overflow);
    // A negative total brings it back into range.
    b.update(at(2), &starts.add(&b, -2).unwrap().writes()).unwrap();
    assert_eq!(starts.value(&b), Ok(i64::MAX - 1));
}

#[test]
fn what_is_no_total_counts_nothing() {
    let starts = Counter::at(path("starts")).unwrap();
    let mut a = document::<Small>(0xab);
    a.update(at(1), &starts.add(&a, 2).unwrap().writes()).unwrap();
    for stray in ["starts/note", "starts/00000000000000AB", "starts/00000000000000cd/x"] {
        a.set(at(2), path(stray), 100).unwrap();
    }
    a.set(at(2), path("starts/00000000000000ef"), "100").unwrap();
    assert_eq!(starts.value(&a), Ok(2));
    assert_eq!(a.get(path("starts/00000000000000ab")), Some(Value::I64(2)));
    assert_eq!(ReplicaId::new(0xab).to_string(), "00000000000000ab");
}

#[test]
fn a_path_without_room_for_a_total_is_refused_at_once() {
    let long = "x".repeat(239);
    assert!(Counter::at(path(&long)).is_err() && Counter::at(path(&long[1..])).is_ok());
    assert!(Counter::at(path("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16")).is_err());
}
