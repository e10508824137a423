//! Members come and go each by itself; the newest says whether one is there.

use std::collections::BTreeMap;

use crdt_core::types::Set;
use crdt_core::{Heap, Memory, PathError, Stamp, Write};
use proptest::prelude::*;

use super::{ORDERS, REPLICAS, Small, at, document, merge, merged, path, replicas};

const MEMBERS: [&str; 9] = ["", "%", "%2F", "/", "a", "a/b", "@", "dry-run", "\u{fc}ber"];

#[derive(Clone, Debug)]
enum Step {
    Insert { replica: usize, member: usize },
    Merge { from: usize, into: usize },
    Remove { replica: usize, member: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (replica, member) = (0..REPLICAS, 0..MEMBERS.len());
    prop_oneof![
        3 => (replica.clone(), member.clone()).prop_map(|(replica, member)| Step::Insert { replica, member }),
        2 => (replica.clone(), member).prop_map(|(replica, member)| Step::Remove { replica, member }),
        3 => (replica.clone(), replica).prop_map(|(from, into)| Step::Merge { from, into }),
    ]
}

/// Who spoke last about each member, and whether it is in.
type Model = BTreeMap<&'static str, (Stamp, bool)>;

fn join(model: &mut Model, other: &Model) {
    for (member, said) in other {
        let newest = model.get(member).map_or(*said, |here| *here.max(said));
        model.insert(member, newest);
    }
}

fn members(model: &Model) -> Vec<&'static str> {
    model.iter().filter(|(_, (_, is_in))| *is_in).map(|(member, _)| *member).collect()
}

fn play<S: Memory>(steps: &[Step]) {
    let alarms = Set::at(path("pump/alarms"));
    let (mut documents, mut models) = (replicas::<S>(), vec![Model::new(); REPLICAS]);
    for (now, step) in steps.iter().enumerate() {
        let touched = match *step {
            Step::Insert { replica, member } => {
                let plan = alarms.insert(MEMBERS[member]).unwrap();
                let stamp = documents[replica].update(at(now), &[plan.write()]).unwrap().unwrap();
                models[replica].insert(MEMBERS[member], (stamp, true));
                replica
            }
            Step::Remove { replica, member } => {
                let plan = alarms.remove(MEMBERS[member]).unwrap();
                if let Some(stamp) = documents[replica].update(at(now), &plan.writes()).unwrap() {
                    models[replica].insert(MEMBERS[member], (stamp, false));
                }
                replica
            }
            Step::Merge { from, into } if from != into => {
                merge(&mut documents, from, into);
                let known = models[from].clone();
                join(&mut models[into], &known);
                into
            }
            Step::Merge { .. } => continue,
        };
        let mut actual: Vec<_> = alarms.iter(&documents[touched]).collect();
        actual.sort();
        let expected = members(&models[touched]);
        assert!(
            actual.iter().map(|member| &**member).eq(expected.iter().copied()),
            "{actual:?} {expected:?}"
        );
        assert_eq!(alarms.len(&documents[touched]), expected.len());
        assert_eq!(alarms.is_empty(&documents[touched]), expected.is_empty());
        for member in MEMBERS {
            assert_eq!(
                alarms.contains(&documents[touched], member),
                expected.contains(&member),
                "{member:?}"
            );
        }
    }
    let mut all = Model::new();
    models.iter().for_each(|model| join(&mut all, model));
    for order in ORDERS {
        let document = merged(&documents, order);
        let mut actual: Vec<_> = alarms.iter(&document).collect();
        actual.sort();
        assert!(actual.iter().map(|member| &**member).eq(members(&all)), "{order:?}");
    }
}

proptest! {
    #[test]
    fn the_newest_word_about_a_member_counts(steps in proptest::collection::vec(step(), 0..40)) {
        play::<Heap>(&steps);
        play::<Small>(&steps);
    }

    #[test]
    fn any_string_that_fits_is_a_member_as_it_was_given(member in "\\PC{0,40}") {
        let set = Set::at(path("s"));
        let mut a = document::<Heap>(1);
        a.update(at(1), &set.insert(&member).unwrap().writes()).unwrap();
        prop_assert!(set.contains(&a, &member));
        let members: Vec<_> = set.iter(&a).map(|member| member.to_string()).collect();
        prop_assert_eq!(members, [member]);
    }
}

#[test]
fn keys_that_are_not_written_as_members_are_none() {
    let set = Set::at(path("s"));
    let mut a = document::<Heap>(1);
    for stray in ["s/%41", "s/%2f", "s/a/b", "s/%%"] {
        a.set(at(1), path(stray), true).unwrap();
    }
    a.set(at(1), path("s/no"), false).unwrap();
    a.update(at(1), &[Write::map(path("s/map"))]).unwrap();
    assert!(set.is_empty(&a));
}

#[test]
fn a_member_that_does_not_fit_says_how_long_its_path_would_be() {
    let set = Set::at(path("s"));
    let fits = "x".repeat(253);
    assert!(set.insert(&fits).is_ok());
    assert_eq!(set.insert(&format!("{fits}x")), Err(PathError::TooLong { len: 256 }));
    let slashes = "/".repeat(85);
    assert_eq!(set.insert(&slashes), Err(PathError::TooLong { len: 257 }));
    assert!(!set.contains(&document::<Heap>(1), &slashes));
}
