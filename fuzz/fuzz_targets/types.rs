//! Every type and typed access, on heap and fixed storage side by side: both must plan, refuse and read the same.
//!
//! All handles work on the same few paths, so they also meet what another type left there.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::types::{Counter, List, Record, Set};
use crdt_core::{Document, DocumentName, Fixed, Heap, Limits, Moment, Path, ReplicaId, Storage, Time, Write};
use godwit_fuzz::{AnyValue, path};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};

const CELLS: usize = 32;
const BYTES: usize = 1536;

type Small = Fixed<Cells<CELLS>, Bytes<BYTES>, Replicas<4>>;

#[derive(Arbitrary, Debug)]
enum Step {
    Act { second: bool, at: u8, act: Act },
    Forget { second: bool },
    Merge { into_second: bool },
}

/// What an application does at a path.
#[derive(Arbitrary, Debug)]
enum Act {
    CounterAdd(i64),
    CounterReset,
    Delete,
    ListField { index: u8, keys: String, value: AnyValue },
    ListInsert { index: u8, value: AnyValue },
    ListMove { from: u8, to: u8 },
    ListPushTwo(AnyValue, AnyValue),
    ListRebalance,
    ListRemove { index: u8 },
    ListSet { index: u8, value: AnyValue },
    Raw { below: String, value: AnyValue },
    Record(Shape),
    SetInsert(String),
    SetRemove(String),
    Typed(Shape),
}

/// What an application stores as cells, or as a record.
#[derive(Arbitrary, Debug, Serialize, Deserialize)]
struct Shape {
    flag: bool,
    level: Option<i64>,
    mode: Mode,
    name: String,
    ratio: f64,
    table: BTreeMap<String, u32>,
    tags: Vec<String>,
}

#[derive(Arbitrary, Debug, Serialize, Deserialize)]
enum Mode {
    Auto(i8),
    Manual { speed: u16, note: Option<String> },
    Off,
    Pair(bool, Option<char>),
}

/// One copy in both storages, with the same limits.
struct Copy {
    heap: Document<Heap>,
    fixed: Document<Small>,
}

fuzz_target!(|steps: Vec<Step>| {
    let name = DocumentName::new("fuzz").expect("a name");
    let limits = Limits { cells: CELLS, bytes: BYTES };
    let mut copies = [1, 2].map(|id| Copy {
        heap: Document::new(&name, ReplicaId::new(id), limits),
        fixed: Document::new(&name, ReplicaId::new(id), limits),
    });
    for (now, step) in steps.iter().take(32).enumerate() {
        let now = now as u64 + 1;
        match step {
            Step::Act { second, at, act } => {
                let copy = &mut copies[usize::from(*second)];
                let heap = perform(&mut copy.heap, now, path(*at), act);
                assert_eq!(heap, perform(&mut copy.fixed, now, path(*at), act));
                assert_eq!(read(&copy.heap, path(*at)), read(&copy.fixed, path(*at)));
            }
            Step::Forget { second } => {
                let copy = &mut copies[usize::from(*second)];
                let forgotten = copy.heap.forget_tombstones(|_| true);
                assert_eq!(forgotten, copy.fixed.forget_tombstones(|_| true));
            }
            Step::Merge { into_second } => {
                let [first, second] = &mut copies;
                let (from, into) = if *into_second { (first, second) } else { (second, first) };
                let vector = entries(&into.heap);
                let merged = into.heap.merge(&from.heap);
                assert_eq!(merged, into.fixed.merge(&from.fixed));
                // Cells that fit are here then, and count as not yet known.
                assert!(merged.is_ok() || entries(&into.heap) == vector);
            }
        }
        copies.iter().for_each(check);
    }
    // As text: a float that JSON cannot hold may be one that does not equal itself.
    let json =
        |copy: &Copy| [format!("{:?}", copy.heap.to_json(None)), format!("{:?}", copy.fixed.to_json(None))];
    copies.iter().map(json).for_each(|[heap, fixed]| assert_eq!(heap, fixed));
});

/// Both storages hold the same, within their limits.
fn check(copy: &Copy) {
    copy.heap.check_invariants().expect("invariants");
    copy.fixed.check_invariants().expect("invariants");
    assert!(copy.heap == copy.fixed);
    assert_eq!(copy.heap.fingerprint(), copy.fixed.fingerprint());
    assert_eq!(entries(&copy.heap), entries(&copy.fixed));
    assert_eq!(copy.heap.size(), copy.fixed.size());
    let size = copy.fixed.size();
    assert!(size.cells <= CELLS && size.bytes <= BYTES, "{size:?}");
}

/// Plans and commits. Gives what came of it, for comparison.
fn perform<S: Storage>(document: &mut Document<S>, now: u64, at: Path<'_>, act: &Act) -> String {
    match act {
        Act::CounterAdd(amount) => {
            let plan = Counter::at(at).map(|counter| counter.add(document, *amount));
            let Ok(Ok(plan)) = &plan else { return format!("{plan:?}") };
            commit(document, now, &plan.writes())
        }
        Act::CounterReset => {
            let plan = Counter::at(at).map(|counter| counter.reset(document));
            let Ok(Ok(plan)) = &plan else { return format!("{plan:?}") };
            let done = commit(document, now, &plan.writes());
            let value = Counter::at(at).map(|counter| counter.value(document));
            assert!(!done.starts_with("Ok") || value == Ok(Ok(0)), "{value:?}");
            done
        }
        Act::Delete => {
            let done = commit(document, now, &[Write::delete(at)]);
            assert!(!done.starts_with("Ok") || document.node(at).is_none());
            done
        }
        Act::Raw { below, value } => {
            let text = format!("{at}/{below}");
            let Ok(below) = Path::new(&text) else { return text };
            commit(document, now, &[Write::set(below, value.value())])
        }
        Act::Record(shape) => {
            let (record, mut buffer) = (Record::<Shape>::at(at), [0; 512]);
            match record.encode(shape, &mut buffer) {
                Ok(write) => {
                    let done = commit(document, now, &[write]);
                    if done.starts_with("Ok") {
                        let read = record.read(document).expect("it was just written").expect("it is there");
                        assert_eq!(format!("{read:?}"), format!("{shape:?}"));
                    }
                    done
                }
                Err(error) => format!("{error}"),
            }
        }
        Act::SetInsert(member) | Act::SetRemove(member) => {
            let set = Set::at(at);
            let inserts = matches!(act, Act::SetInsert(_));
            match if inserts { set.insert(member) } else { set.remove(member) } {
                Ok(plan) => {
                    let done = commit(document, now, &plan.writes());
                    assert!(!done.starts_with("Ok") || set.contains(document, member) == inserts);
                    done
                }
                Err(error) => format!("{error}"),
            }
        }
        Act::Typed(shape) => {
            let before = image(document);
            let written = document.write(Moment::new(now), at, shape);
            match &written {
                Ok(_) => {
                    let read = document.read::<Shape>(at).expect("it was just written");
                    assert_eq!(format!("{read:?}"), format!("{shape:?}"));
                    let again = document.write(Moment::new(now), at, shape);
                    assert_eq!(again, Ok(None), "nothing differs any more");
                }
                Err(_) => assert_eq!(image(document), before, "nothing is half applied"),
            }
            format!("{written:?}")
        }
        _ => match List::at(at) {
            Ok(list) => edit_list(document, now, list, act),
            Err(error) => format!("{error}"),
        },
    }
}

fn edit_list<S: Storage>(document: &mut Document<S>, now: u64, list: List<'_>, act: &Act) -> String {
    let len = list.len(document);
    let index = |index: u8| usize::from(index) % (len + 2);
    let id = |index: u8| list.get(document, usize::from(index)).map_or("none".into(), |e| e.id.to_owned());
    match act {
        Act::ListInsert { index: at, value } => {
            let plan = list.insert(document, now, index(*at), value.value());
            let Ok(plan) = &plan else { return format!("{plan:?}") };
            let (id, done) = (plan.id().to_owned(), commit(document, now, &plan.writes()));
            let stands = list.get(document, index(*at)).is_some_and(|element| element.id == id);
            assert!(!done.starts_with("Ok") || stands, "{id} is not at {}", index(*at));
            done
        }
        Act::ListPushTwo(first, second) => {
            let first = list.push(document, now, first.value());
            let second = first.as_ref().map(|first| first.then(document, now, second.value()));
            let (Ok(first), Ok(Ok(second))) = (&first, &second) else {
                return format!("{first:?} {second:?}");
            };
            let writes = [first.writes(), second.writes()].concat();
            let done = commit(document, now, &writes);
            assert!(!done.starts_with("Ok") || list.len(document) == len + 2);
            done
        }
        Act::ListMove { from, to } => {
            let id = id(*from);
            let plan = list.move_to(document, &id, index(*to));
            let Ok(plan) = &plan else { return format!("{plan:?}") };
            let done = commit(document, now, &plan.writes());
            let stands = list.get(document, index(*to)).is_some_and(|element| element.id == id);
            assert!(!done.starts_with("Ok") || stands, "{id} is not at {}", index(*to));
            done
        }
        Act::ListRemove { index } => {
            let plan = list.remove(document, &id(*index));
            let Ok(plan) = &plan else { return format!("{plan:?}") };
            let done = commit(document, now, &plan.writes());
            assert!(!done.starts_with("Ok") || list.len(document) == len - 1);
            done
        }
        Act::ListSet { index, value } => {
            let plan = list.set(document, &id(*index), value.value());
            let Ok(plan) = &plan else { return format!("{plan:?}") };
            commit(document, now, &plan.writes())
        }
        Act::ListField { index, keys, value } => {
            let plan = list.set_field(document, &id(*index), keys, value.value());
            let Ok(plan) = &plan else { return format!("{plan:?}") };
            commit(document, now, &plan.writes())
        }
        Act::ListRebalance => {
            let ids =
                |document: &Document<S>| list.iter(document).map(|e| e.id.to_owned()).collect::<Vec<_>>();
            let before = ids(document);
            let done = commit(document, now, &list.rebalance(document).writes());
            assert_eq!(ids(document), before, "a rebalance moves nothing");
            done
        }
        _ => unreachable!("the other steps are not a list's"),
    }
}

/// Makes the transaction. When it is refused, everything that can be read is as it was.
fn commit<S: Storage>(document: &mut Document<S>, now: u64, writes: &[Write<'_>]) -> String {
    let before = image(document);
    let result = document.update(Moment::new(now), writes);
    assert!(result.is_ok() || image(document) == before, "nothing is half applied");
    format!("{result:?}")
}

/// What a refused transaction must leave as it is. Tombstones may have been forgotten to make room.
fn image<S: Storage>(document: &Document<S>) -> (Vec<String>, u64, Vec<(ReplicaId, Time)>, Time) {
    let live = document.cells().filter(|cell| !cell.content.is_tombstone());
    let cells: Vec<String> = live.map(|cell| format!("{cell:?}")).collect();
    (cells, document.fingerprint(), entries(document), document.clock())
}

fn entries<S: Storage>(document: &Document<S>) -> Vec<(ReplicaId, Time)> {
    document.version_vector().iter().map(|e| (e.replica, e.time)).collect::<Vec<_>>()
}

/// All ways to read what is at a path.
fn read<S: Storage>(document: &Document<S>, at: Path<'_>) -> String {
    let counter = Counter::at(at).map(|counter| counter.value(document));
    let set: Vec<String> = Set::at(at).iter(document).map(|member| member.to_string()).collect();
    set.iter().for_each(|member| assert!(Set::at(at).contains(document, member), "{member:?}"));
    let list = List::at(at).map(|list| {
        let elements: Vec<_> = list.iter(document).collect();
        assert_eq!(elements.len(), list.len(document));
        format!("{elements:?}")
    });
    let record = Record::<Shape>::at(at).read(document);
    let typed = document.read::<Option<Shape>>(at);
    let json = document.to_json(at);
    format!("{counter:?} {set:?} {list:?} {record:?} {typed:?} {json:?}")
}
