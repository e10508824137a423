//! What becomes of concurrent edits of one list, case by case, and how a list is kept in shape.

use crdt_core::types::{List, ListError};
use crdt_core::{
    Content, Document, Heap, Memory, Moment, Node, Path, PathError, Value, Write,
    limits::{ELEMENT_ID_LEN, POSITION_LEN_MAX, POSITION_LEN_SHORT},
};

use super::{Small, at, document, path};

fn list() -> List<'static> {
    List::at(Path::new("program").unwrap()).unwrap()
}

fn push<S: Memory>(document: &mut Document<S>, ms: usize, value: &str) -> String {
    let plan = list().push(document, ms as u64, value).unwrap();
    document.update(at(ms), &plan.writes()).unwrap();
    plan.id().to_owned()
}

fn insert<S: Memory>(document: &mut Document<S>, ms: usize, index: usize, value: &str) {
    let plan = list().insert(document, ms as u64, index, value).unwrap();
    document.update(at(ms), &plan.writes()).unwrap();
}

fn values<S: Memory>(document: &Document<S>) -> Vec<&str> {
    let text = |value| match value {
        Some(Value::Str(text)) => text,
        other => panic!("only strings were put in: {other:?}"),
    };
    list().iter(document).map(|element| text(element.value)).collect()
}

fn both_ways<S: Memory>(a: &mut Document<S>, b: &mut Document<S>) {
    a.merge(b).unwrap();
    b.merge(a).unwrap();
    assert!(a == b);
}

/// Two copies with the same three elements.
fn pair() -> (Document<Small>, Document<Small>, Vec<String>) {
    let (mut a, mut b) = (document(1), document(2));
    let ids = ["x", "y", "z"].iter().enumerate().map(|(ms, value)| push(&mut a, ms + 1, value)).collect();
    b.merge(&a).unwrap();
    (a, b, ids)
}

#[test]
fn an_element_that_two_move_at_once_stands_in_one_place_the_newer() {
    let (mut a, mut b, ids) = pair();
    a.update(at(10), &list().move_to(&a, &ids[0], 2).unwrap().writes()).unwrap();
    b.update(at(11), &list().move_to(&b, &ids[0], 1).unwrap().writes()).unwrap();
    both_ways(&mut a, &mut b);
    assert_eq!(values(&a), ["y", "x", "z"]);
}

/// The way that suggests itself, to remove an element and to insert it elsewhere, doubles it.
#[test]
fn moving_by_removing_and_inserting_would_double_the_element() {
    let (mut a, mut b, ids) = pair();
    for (document, ms) in [(&mut a, 10), (&mut b, 20)] {
        document.update(at(ms), &list().remove(document, &ids[0]).unwrap().writes()).unwrap();
        insert(document, ms + 1, 2, "x");
    }
    both_ways(&mut a, &mut b);
    assert_eq!(values(&a), ["y", "z", "x", "x"]);
}

#[test]
fn an_element_that_is_removed_and_moved_at_once_stays_removed_whichever_is_newer() {
    for (removal, shift) in [(10, 11), (11, 10)] {
        let (mut a, mut b, ids) = pair();
        a.update(at(removal), &list().remove(&a, &ids[0]).unwrap().writes()).unwrap();
        b.update(at(shift), &list().move_to(&b, &ids[0], 2).unwrap().writes()).unwrap();
        both_ways(&mut a, &mut b);
        assert_eq!(values(&a), ["y", "z"]);
        assert_eq!(list().set(&a, &ids[0], "w"), Err(ListError::NoElement));
        assert_eq!(list().move_to(&a, &ids[0], 0), Err(ListError::NoElement));
    }
}

/// The same holds for an edit. Only who moves and edits it, both after the removal, brings it back.
#[test]
fn an_element_that_is_removed_and_edited_at_once_stays_removed() {
    let (mut a, mut b, ids) = pair();
    a.update(at(10), &list().remove(&a, &ids[0]).unwrap().writes()).unwrap();
    b.update(at(11), &list().set(&b, &ids[0], "w").unwrap().writes()).unwrap();
    let mut moved = document::<Small>(3);
    moved.merge(&b).unwrap();
    both_ways(&mut a, &mut b);
    assert_eq!(values(&a), ["y", "z"]);
    moved.update(at(12), &list().move_to(&moved, &ids[0], 2).unwrap().writes()).unwrap();
    a.merge(&moved).unwrap();
    assert_eq!(values(&a), ["y", "z", "w"]);
}

#[test]
fn runs_that_two_append_or_insert_at_once_do_not_interleave() {
    for index in 0..=3 {
        let (mut a, mut b, _) = pair();
        for i in 0..20 {
            insert(&mut a, 10 + 3 * i, index + i, "a");
            insert(&mut b, 11 + 2 * i, index + i, "b");
        }
        both_ways(&mut a, &mut b);
        let changes = values(&a).windows(2).filter(|pair| pair[0] != pair[1]).count();
        let (before, after) = (index, 3 - index);
        assert_eq!(
            changes,
            before.max(1) + after.max(1) - usize::from(before == 0) - usize::from(after == 0) + 1
        );
    }
}

/// Written backwards, each before the last one, two runs may mix; each keeps its own order, and nothing is lost.
#[test]
fn runs_that_two_write_backwards_keep_their_own_order() {
    let (mut a, mut b, _) = pair();
    let names: Vec<_> = (0..10).map(|i| (format!("a{i}"), format!("b{i}"))).collect();
    for (i, (ours, theirs)) in names.iter().enumerate() {
        insert(&mut a, 10 + i, 1, ours);
        insert(&mut b, 10 + i, 1, theirs);
    }
    both_ways(&mut a, &mut b);
    let of = |writer: &str| values(&a).into_iter().filter(|v| v.starts_with(writer)).collect::<Vec<_>>();
    assert!(of("a").iter().eq(names.iter().rev().map(|(ours, _)| ours)));
    assert!(of("b").iter().eq(names.iter().rev().map(|(_, theirs)| theirs)));
    assert_eq!(list().len(&a), 23);
}

#[test]
fn a_new_element_costs_two_short_cells() {
    let mut a = document::<Heap>(0x1234_5678_9abc_def0);
    let (mut longest, mut before) = (0, 0);
    for i in 0..300 {
        push(&mut a, i + 1, "");
        longest = longest.max(a.size().bytes - before);
        before = a.size().bytes;
    }
    let paths = 2 * ("program/".len() + ELEMENT_ID_LEN + "/@".len());
    assert_eq!(longest - paths, 5, "bytes of a position");
}

#[test]
fn a_list_that_is_written_anew_again_and_again_keeps_short_positions() {
    let mut a = document::<Small>(1);
    for round in 0..2_000 {
        let x = list().place_anew(&a, round as u64).unwrap().with_value("x").unwrap();
        let y = x.then(&a, round as u64, "y").unwrap();
        let ([px, vx], [py, vy]) = (x.writes(), y.writes());
        a.update(at(round), &[Write::list(list().path()), px, vx, py, vy]).unwrap();
        assert_eq!(values(&a), ["x", "y"]);
    }
    assert_eq!(position_lens(&a).iter().sum::<usize>(), 3 + 4);
}

/// The positions of the list, in the order of the ids.
fn position_lens<S: Memory>(document: &Document<S>) -> Vec<usize> {
    let len = |content| match content {
        Content::Value(Value::Bytes(digits)) => digits.len(),
        other => panic!("a position is bytes: {other:?}"),
    };
    document.cells().filter(|c| c.path.key() == "@").map(|c| len(c.content)).collect()
}

/// Between the last two, again and again, by turns: nothing makes positions longer faster.
fn crowd(document: &mut Document<Heap>) -> usize {
    let (mut low, mut count) = (1, 0);
    loop {
        let plan = list().insert(document, count as u64, low, "crowd");
        match plan {
            Ok(plan) => document.update(at(100 + count), &plan.writes()).unwrap(),
            Err(error) => {
                assert_eq!(error, ListError::NoRoom);
                return count;
            }
        };
        low += count % 2;
        count += 1;
    }
}

#[test]
fn a_crowded_place_is_refused_within_the_bound_and_a_rebalance_makes_room() {
    let mut a = document::<Heap>(1);
    push(&mut a, 1, "first");
    push(&mut a, 2, "last");
    let crowded = crowd(&mut a);
    assert!(crowded >= 90, "{crowded}");
    assert!(position_lens(&a).iter().max() == Some(&POSITION_LEN_MAX));
    // Elsewhere there is capacity still.
    push(&mut a, 1_000, "behind");
    let order: Vec<_> = list().iter(&a).map(|element| element.id.to_owned()).collect();

    let rebalance = list().rebalance(&a);
    let short = position_lens(&a).iter().filter(|len| **len <= POSITION_LEN_SHORT).count();
    assert_eq!(rebalance.writes().len(), order.len() - short, "short ones are not touched");
    a.update(at(2_000), &rebalance.writes()).unwrap();
    assert!(list().iter(&a).map(|element| element.id).eq(order.iter().map(String::as_str)));
    assert!(position_lens(&a).iter().all(|len| *len <= 16), "{:?}", position_lens(&a));
    assert!(list().rebalance(&a).is_empty(), "once is enough");
    let again = crowd(&mut a);
    assert!(again >= 60, "{again}");
}

#[test]
fn a_rebalance_clears_what_a_removal_left() {
    let (mut a, mut b, ids) = pair();
    assert!(list().rebalance(&a).is_empty());
    a.update(at(10), &list().remove(&a, &ids[0]).unwrap().writes()).unwrap();
    b.update(at(11), &list().move_to(&b, &ids[0], 2).unwrap().writes()).unwrap();
    both_ways(&mut a, &mut b);
    assert!(a.iter(None).any(|cell| cell.path.as_str().contains(&ids[0])), "a position without content");
    a.update(at(12), &list().rebalance(&a).writes()).unwrap();
    assert!(!a.iter(None).any(|cell| cell.path.as_str().contains(&ids[0])));
    assert_eq!(values(&a), ["y", "z"]);
}

#[test]
fn elements_may_be_maps_values_and_lists_of_their_own() {
    let mut a = document::<Small>(1);
    let place = list().place_last(&a, 1).unwrap();
    let [position] = place.writes();
    a.update(at(1), &[position]).unwrap();
    assert!(list().is_empty(&a), "a place without content does not show");
    let name = place.path().join("name").unwrap();
    a.set(at(2), name.as_path(), "north").unwrap();
    let valve = list().get(&a, 0).unwrap();
    assert_eq!((valve.value, valve.field(&a, "name")), (None, Some(Value::Str("north"))));

    let plan = list().set_field(&a, place.id(), "limits/flow", 2.5).unwrap();
    a.update(at(3), &plan.writes()).unwrap();
    let valve = list().get(&a, 0).unwrap();
    assert_eq!(valve.field(&a, "limits/flow"), Some(Value::F64(2.5)));
    for reserved in ["@", "=", "=/x", "@/x"] {
        assert_eq!(list().set_field(&a, place.id(), reserved, 1), Err(ListError::Reserved));
    }
    let no_key = list().set_field(&a, place.id(), "", 1);
    assert_eq!(no_key, Err(ListError::Path(PathError::EmptyKey { at: 16 })));

    let nested = list().get(&a, 0).unwrap().content_path().unwrap();
    a.update(at(4), &[Write::list(nested.as_path())]).unwrap();
    let inner = List::at(nested.as_path()).unwrap();
    assert!(inner.exists(&a) && inner.is_empty(&a) && !List::at(path("none")).unwrap().exists(&a));
    a.update(at(5), &inner.push(&a, 2, 7).unwrap().writes()).unwrap();
    assert_eq!(inner.get(&a, 0).unwrap().value, Some(Value::I64(7)));
    assert_eq!(list().len(&a), 1);
    assert_eq!(a.node(nested.as_path()), Some(Node::List));
}

/// Random numbers that are none must not give two elements one id.
#[test]
fn ids_differ_even_if_the_random_bits_do_not() {
    let (mut a, mut b) = (document::<Small>(1), document::<Small>(2));
    for i in 0..10 {
        let (ours, theirs) = (list().push(&a, 0, "a").unwrap(), list().push(&b, 0, "b").unwrap());
        let second = ours.then(&a, 0, "a").unwrap();
        a.update(Moment::new(i), &[ours.writes(), second.writes()].concat()).unwrap();
        b.update(Moment::new(i), &theirs.writes()).unwrap();
    }
    both_ways(&mut a, &mut b);
    assert_eq!(list().len(&a), 30);
}

/// Nothing that a peer can write makes a reader fail.
#[test]
fn malformed_positions_do_not_show() {
    let (mut a, _, ids) = pair();
    let long = [1; POSITION_LEN_MAX + 1];
    for digits in [&[][..], &[1, 0], &long] {
        let position = format!("program/{}/@", ids[1]);
        a.set(at(10), path(&position), digits).unwrap();
        assert_eq!(values(&a), ["x", "z"]);
    }
    a.set(at(11), path("program/stray"), 1).unwrap();
    a.set(at(11), path("program/@"), 1).unwrap();
    insert(&mut a, 12, 1, "w");
    assert_eq!(values(&a), ["x", "w", "z"]);
}

/// Two positions can be equal: two replicas may share a mark. The ids decide, and what is inserted stands behind both.
#[test]
fn ties_are_broken_by_id_and_a_rebalance_ends_them() {
    let (mut a, mut b, ids) = pair();
    let positions: Vec<_> = ids[..2].iter().map(|id| format!("program/{id}/@")).collect();
    let tie: Vec<_> = positions.iter().map(|at| Write::set(path(at), [9_u8].as_slice())).collect();
    a.update(at(10), &tie).unwrap();
    insert(&mut a, 11, 1, "w");
    let mut tied = [(&ids[0], "x"), (&ids[1], "y")];
    tied.sort();
    assert_eq!(values(&a), [tied[0].1, tied[1].1, "w", "z"]);
    let order: Vec<String> = values(&a).iter().map(|v| (*v).to_owned()).collect();
    a.update(at(12), &list().rebalance(&a).writes()).unwrap();
    assert_eq!(values(&a), order);
    insert(&mut a, 13, 1, "v");
    assert_eq!(values(&a), [tied[0].1, "v", tied[1].1, "w", "z"]);
    both_ways(&mut a, &mut b);
}

#[test]
fn a_path_without_room_for_an_element_is_refused_at_once() {
    let long = "x".repeat(246);
    assert_eq!(List::at(path(&long)), Err(PathError::TooLong { len: 256 }));
    assert!(List::at(path(&long[1..])).is_ok());
    assert!(List::at(path("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15")).is_err());
}
