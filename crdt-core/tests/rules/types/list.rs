//! A list is the same everywhere; what one replica does to it is what it would do to a `Vec`.

use std::collections::BTreeMap;

use crdt_core::types::{List, ListError};
use crdt_core::{Document, Heap, Memory, Stamp, Value};
use proptest::prelude::*;

use super::{ORDERS, REPLICAS, Small, at, merge, merged, path, replicas};

#[derive(Clone, Debug)]
enum Step {
    Insert { replica: usize, index: usize },
    Merge { from: usize, into: usize },
    Move { replica: usize, from: usize, to: usize },
    Push { replica: usize, count: usize },
    Remove { replica: usize, index: usize },
    Set { replica: usize, index: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (replica, index) = (0..REPLICAS, 0..12_usize);
    prop_oneof![
        4 => (replica.clone(), index.clone()).prop_map(|(replica, index)| Step::Insert { replica, index }),
        2 => (replica.clone(), 1..4_usize).prop_map(|(replica, count)| Step::Push { replica, count }),
        3 => (replica.clone(), index.clone(), index.clone())
            .prop_map(|(replica, from, to)| Step::Move { replica, from, to }),
        2 => (replica.clone(), index.clone()).prop_map(|(replica, index)| Step::Remove { replica, index }),
        1 => (replica.clone(), index).prop_map(|(replica, index)| Step::Set { replica, index }),
        4 => (replica.clone(), replica).prop_map(|(from, into)| Step::Merge { from, into }),
    ]
}

/// The newest stamps about one element. It shows when its position and its content are newer than its removal.
#[derive(Clone, Debug, Default)]
struct Known {
    content: Option<(Stamp, i64)>,
    placed: Option<Stamp>,
    removed: Option<Stamp>,
}

/// Element id to what is known of it: which elements show, without a word about their order.
type Model = BTreeMap<String, Known>;

fn join(model: &mut Model, other: &Model) {
    for (id, known) in other {
        let here = model.entry(id.clone()).or_default();
        here.content = here.content.max(known.content);
        here.placed = here.placed.max(known.placed);
        here.removed = here.removed.max(known.removed);
    }
}

fn showing(model: &Model) -> BTreeMap<String, i64> {
    let shows = |known: &Known| {
        let (stamp, value) = known.content?;
        (Some(stamp) > known.removed && known.placed > known.removed).then_some(value)
    };
    model.iter().filter_map(|(id, known)| Some((id.clone(), shows(known)?))).collect()
}

fn order<S: Memory>(list: List<'_>, document: &Document<S>) -> Vec<(String, i64)> {
    let element = |value| match value {
        Some(Value::I64(number)) => number,
        other => panic!("only integers were put in: {other:?}"),
    };
    list.iter(document).map(|e| (e.id.to_owned(), element(e.value))).collect()
}

fn play<S: Memory>(steps: &[Step]) -> Vec<(String, i64)> {
    let list = List::at(path("program")).unwrap();
    let (mut documents, mut models) = (replicas::<S>(), vec![Model::new(); REPLICAS]);
    for (now, step) in steps.iter().enumerate() {
        let value = now as i64;
        let (touched, expected) = match *step {
            Step::Insert { replica, index } => {
                let mut vec = order(list, &documents[replica]);
                let document = &mut documents[replica];
                match list.insert(document, now as u64, index, value) {
                    Ok(plan) => {
                        let stamp = document.update(at(now), &plan.writes()).unwrap();
                        note_insert(&mut models[replica], plan.id(), stamp, value);
                        vec.insert(index, (plan.id().to_owned(), value));
                    }
                    Err(error) => {
                        assert_eq!(error, ListError::Index { index, len: vec.len() });
                        assert!(index > vec.len());
                    }
                }
                (replica, Some(vec))
            }
            Step::Push { replica, count } => {
                let mut vec = order(list, &documents[replica]);
                let document = &mut documents[replica];
                let mut plans = vec![list.push(document, now as u64, value).unwrap()];
                for _ in 1..count {
                    plans.push(plans.last().unwrap().then(document, now as u64, value).unwrap());
                }
                let writes: Vec<_> = plans.iter().flat_map(|plan| plan.writes()).collect();
                let stamp = document.update(at(now), &writes).unwrap();
                for plan in &plans {
                    note_insert(&mut models[replica], plan.id(), stamp, value);
                    vec.push((plan.id().to_owned(), value));
                }
                (replica, Some(vec))
            }
            Step::Move { replica, from, to } => {
                let mut vec = order(list, &documents[replica]);
                let document = &mut documents[replica];
                if from >= vec.len() {
                    continue;
                }
                let element = vec.remove(from);
                match list.move_to(document, &element.0, to) {
                    Ok(plan) => {
                        let stamp = document.update(at(now), &[plan.write()]).unwrap();
                        models[replica].get_mut(&element.0).unwrap().placed = stamp;
                        vec.insert(to, element);
                    }
                    Err(error) => {
                        assert_eq!(error, ListError::Index { index: to, len: vec.len() });
                        vec.insert(from, element);
                    }
                }
                (replica, Some(vec))
            }
            Step::Remove { replica, index } => {
                let mut vec = order(list, &documents[replica]);
                let document = &mut documents[replica];
                if index >= vec.len() {
                    continue;
                }
                let (id, _) = vec.remove(index);
                let plan = list.remove(document, &id).unwrap();
                models[replica].get_mut(&id).unwrap().removed =
                    document.update(at(now), &plan.writes()).unwrap();
                assert_eq!(list.remove(document, &id), Err(ListError::NoElement));
                (replica, Some(vec))
            }
            Step::Set { replica, index } => {
                let mut vec = order(list, &documents[replica]);
                let document = &mut documents[replica];
                let Some((id, old)) = vec.get_mut(index) else { continue };
                let plan = list.set(document, id, value).unwrap();
                let stamp = document.update(at(now), &plan.writes()).unwrap().unwrap();
                models[replica].get_mut(id).unwrap().content = Some((stamp, value));
                *old = value;
                (replica, Some(vec))
            }
            Step::Merge { from, into } if from != into => {
                merge(&mut documents, from, into);
                let known = models[from].clone();
                join(&mut models[into], &known);
                (into, None)
            }
            Step::Merge { .. } => continue,
        };
        let document = &documents[touched];
        document.check_invariants().unwrap();
        let actual = order(list, document);
        if let Some(expected) = expected {
            assert_eq!(actual, expected, "after step {now}: {step:?}");
        }
        check(list, document, &actual, &showing(&models[touched]));
    }
    let mut all = Model::new();
    models.iter().for_each(|model| join(&mut all, model));
    let everywhere = order(list, &merged(&documents, ORDERS[0]));
    for orders in ORDERS {
        assert_eq!(order(list, &merged(&documents, orders)), everywhere, "{orders:?}");
    }
    check(list, &merged(&documents, ORDERS[0]), &everywhere, &showing(&all));
    everywhere
}

fn note_insert(model: &mut Model, id: &str, stamp: Option<Stamp>, value: i64) {
    let known = Known { content: stamp.map(|stamp| (stamp, value)), placed: stamp, removed: None };
    assert!(model.insert(id.to_owned(), known).is_none(), "an id is used once");
}

/// No element is lost or there twice, and the ways to read agree.
fn check<S: Memory>(
    list: List<'_>,
    document: &Document<S>,
    actual: &[(String, i64)],
    expected: &BTreeMap<String, i64>,
) {
    assert_eq!(actual.len(), expected.len(), "none is lost, none is there twice: {actual:?} {expected:?}");
    assert_eq!(&actual.iter().cloned().collect::<BTreeMap<_, _>>(), expected);
    assert_eq!((list.len(document), list.is_empty(document)), (actual.len(), actual.is_empty()));
    for (index, (id, value)) in actual.iter().enumerate() {
        let element = list.get(document, index).unwrap();
        assert_eq!((element.id, element.value), (id.as_str(), Some(Value::I64(*value))));
        assert_eq!(list.get_by_id(document, id), Some(element));
    }
    assert_eq!(list.get(document, actual.len()), None);
}

proptest! {
    #[test]
    fn a_list_is_the_same_everywhere_and_a_vec_to_each_writer(
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        prop_assert_eq!(play::<Heap>(&steps), play::<Small>(&steps));
    }
}
