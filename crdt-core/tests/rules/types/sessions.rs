//! The types where they are used: replicas edit while sessions carry what they wrote, in parts, over connections that
//! are cut. When all is healed, each type reads the same everywhere, and as a naive model of what was asked for says.

use std::collections::{BTreeMap, BTreeSet};

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::types::{Counter, List, ListError, Record, Set};
use crdt_core::{Content, Document, Fixed, Heap, Memory, Stamp, Value, Write};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::fleet::Fleet;
use super::path;
use crate::common::Side;

/// Buffer for the longest history here.
type Small = Fixed<Cells<512>, Bytes<16384>, Replicas<8>>;

/// Who acts: a device by its number, or the aggregator.
const CLOUD: usize = 2;
const REPLICAS: usize = CLOUD + 1;

#[derive(Clone, Debug)]
enum Step {
    Act { by: usize, act: Act },
    Connect { device: usize },
    Cut { device: usize },
    Exchange { device: usize, up: usize, down: usize },
}

/// What an application does.
#[derive(Clone, Debug)]
enum Act {
    Add(i64),
    /// Makes the position of an element as long as years of edits would.
    Age(usize),
    Clear,
    Join(usize),
    Leave(usize),
    Move(usize, usize),
    Place(usize),
    Rebalance,
    Reset,
    Save(u32),
    Set(usize),
    Take(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let device = 0..CLOUD;
    prop_oneof![
        6 => (0..REPLICAS, act()).prop_map(|(by, act)| Step::Act { by, act }),
        1 => device.clone().prop_map(|device| Step::Connect { device }),
        1 => device.clone().prop_map(|device| Step::Cut { device }),
        5 => (device, 0..4_usize, 0..4_usize).prop_map(|(device, up, down)| Step::Exchange { device, up, down }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let (index, member) = (0..8_usize, 0..MEMBERS.len());
    prop_oneof![
        4 => (-5_i64..20).prop_map(Act::Add),
        1 => index.clone().prop_map(Act::Age),
        1 => Just(Act::Clear),
        3 => member.clone().prop_map(Act::Join),
        2 => member.prop_map(Act::Leave),
        3 => (index.clone(), index.clone()).prop_map(|(from, to)| Act::Move(from, to)),
        4 => index.clone().prop_map(Act::Place),
        2 => Just(Act::Rebalance),
        2 => Just(Act::Reset),
        2 => any::<u32>().prop_map(Act::Save),
        1 => index.clone().prop_map(Act::Set),
        2 => index.prop_map(Act::Take),
    ]
}

/// What was asked for, by whom and when. It knows stamps and who had seen what, and nothing of how the types work.
#[derive(Default)]
struct Model {
    additions: Vec<(usize, Stamp, i64)>,
    /// The newest reset, and of each replica the last addition that its writer had seen.
    reset: Option<(Stamp, [Option<Stamp>; REPLICAS])>,
    members: BTreeMap<&'static str, (Stamp, bool)>,
    cleared: Option<Stamp>,
    elements: BTreeMap<String, Known>,
    saved: Option<(Stamp, Fix)>,
    /// How often a rebalance had something to do.
    rebalances: usize,
}

/// The newest stamps about one element. It shows when its place and its content are newer than its removal.
#[derive(Clone, Debug, Default)]
struct Known {
    content: Option<(Stamp, i64)>,
    placed: Option<Stamp>,
    removed: Option<Stamp>,
}

impl Model {
    fn count(&self) -> i64 {
        let seen = |by: usize, stamp| self.reset.is_some_and(|(_, seen)| Some(stamp) <= seen[by]);
        self.additions.iter().filter(|(by, stamp, _)| !seen(*by, *stamp)).map(|(_, _, amount)| amount).sum()
    }

    fn members(&self) -> BTreeSet<String> {
        let is_in = |(stamp, is_in): &(Stamp, bool)| *is_in && Some(*stamp) > self.cleared;
        self.members.iter().filter(|(_, said)| is_in(said)).map(|(member, _)| (*member).to_owned()).collect()
    }

    fn elements(&self) -> BTreeMap<String, i64> {
        let shows = |known: &Known| {
            let (stamp, value) = known.content?;
            (Some(stamp) > known.removed && known.placed > known.removed).then_some(value)
        };
        self.elements.iter().filter_map(|(id, known)| Some((id.clone(), shows(known)?))).collect()
    }
}

/// Two fields that make sense together only.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Fix {
    number: u32,
    twice: u64,
}

/// An application does one thing. The model hears what was asked for and under which stamp.
fn perform<S: Memory>(side: &mut Side<S>, by: usize, act: &Act, model: &mut Model) {
    let (starts, alarms, program) = (starts(), alarms(), program());
    match *act {
        Act::Add(amount) => {
            let before = starts.value(side.replica.document()).unwrap();
            let plan = starts.add(side.replica.document(), amount).unwrap();
            let stamp = commit(side, &plan.writes()).unwrap();
            model.additions.push((by, stamp, amount));
            assert_eq!(starts.value(side.replica.document()), Ok(before + amount));
        }
        Act::Reset => {
            let seen = seen_totals(side.replica.document());
            let plan = starts.reset(side.replica.document()).unwrap();
            let stamp = commit(side, &plan.writes()).unwrap();
            model.reset = model.reset.max(Some((stamp, seen)));
            assert_eq!(starts.value(side.replica.document()), Ok(0));
        }
        Act::Join(member) | Act::Leave(member) => {
            let joins = matches!(act, Act::Join(_));
            let plan = if joins { alarms.insert(MEMBERS[member]) } else { alarms.remove(MEMBERS[member]) };
            let stamp = commit(side, &plan.unwrap().writes());
            assert!(!joins || stamp.is_some(), "inserting what is there is a new write");
            if let Some(stamp) = stamp {
                let newest = model.members.entry(MEMBERS[member]).or_insert((stamp, joins));
                *newest = (*newest).max((stamp, joins));
            }
            assert_eq!(alarms.contains(side.replica.document(), MEMBERS[member]), joins);
        }
        Act::Clear => {
            model.cleared = model.cleared.max(commit(side, &[Write::delete(alarms.path())]));
            assert!(alarms.is_empty(side.replica.document()));
        }
        Act::Save(number) => {
            let fix = Fix { number, twice: 2 * u64::from(number) };
            let mut buffer = [0; 16];
            let stamp = commit(side, &[position().encode(&fix, &mut buffer).unwrap()]).unwrap();
            if model.saved.is_none_or(|(newest, _)| newest < stamp) {
                model.saved = Some((stamp, fix));
            }
        }
        Act::Place(index) => {
            let len = program.len(side.replica.document());
            let value = side.number();
            let plan = program.insert(side.replica.document(), value as u64, index.min(len), value).unwrap();
            let stamp = commit(side, &plan.writes());
            let known = Known { content: stamp.map(|s| (s, value)), placed: stamp, removed: None };
            assert!(model.elements.insert(plan.id().to_owned(), known).is_none(), "an id is used once");
        }
        Act::Age(index) => {
            let Some(id) = id_at(side, index) else { return };
            let at = format!("program/{id}/@");
            let Some(Value::Bytes(short)) = side.replica.document().get(path(&at)) else {
                panic!("an element that shows has a position")
            };
            if short.len() <= 12 {
                let long = [short, &[1; 24]].concat();
                note_placed(model, &id, commit(side, &[Write::set(path(&at), long.as_slice())]));
            }
        }
        Act::Move(from, to) => {
            let Some(id) = id_at(side, from) else { return };
            match program.move_to(side.replica.document(), &id, to) {
                Ok(plan) => {
                    note_placed(model, &id, commit(side, &plan.writes()));
                    assert_eq!(id_at(side, to), Some(id), "it stands there now");
                }
                Err(error) => assert!(matches!(error, ListError::Index { .. }), "{error}"),
            }
        }
        Act::Set(index) => {
            let Some(id) = id_at(side, index) else { return };
            let value = -side.number();
            let plan = program.set(side.replica.document(), &id, value).unwrap();
            let content = commit(side, &plan.writes()).map(|stamp| (stamp, value));
            let known = model.elements.get_mut(&id).unwrap();
            known.content = known.content.max(content);
        }
        Act::Take(index) => {
            let Some(id) = id_at(side, index) else { return };
            let plan = program.remove(side.replica.document(), &id).unwrap();
            let removed = commit(side, &plan.writes());
            let known = model.elements.get_mut(&id).unwrap();
            known.removed = known.removed.max(removed);
        }
        // For the aggregator only.
        Act::Rebalance if by != CLOUD => {}
        Act::Rebalance => rebalance(side, model),
    }
}

/// Which elements it places anew, and of which it clears the remains, stands in the cells of its transaction.
fn rebalance<S: Memory>(side: &mut Side<S>, model: &mut Model) {
    let before = order(side.replica.document());
    let plan = program().rebalance(side.replica.document());
    let stamp = commit(side, &plan.writes());
    assert_eq!(order(side.replica.document()), before, "a rebalance moves nothing");
    let written = side.replica.document().cells().filter(|cell| Some(cell.stamp) == stamp);
    for cell in written.collect::<Vec<_>>() {
        let id = cell.path.as_str().split('/').nth(1).unwrap();
        match cell.content {
            Content::Tombstone => {
                let known = model.elements.get_mut(id).unwrap();
                assert!(known.removed.is_some(), "{id}: what has not come whole is no remains");
                known.removed = stamp;
            }
            _ => note_placed(model, id, stamp),
        }
        model.rebalances += 1;
    }
}

fn commit<S: Memory>(side: &mut Side<S>, writes: &[Write<'_>]) -> Option<Stamp> {
    let moment = side.moment();
    side.replica.update(moment, writes).unwrap()
}

fn note_placed(model: &mut Model, id: &str, placed: Option<Stamp>) {
    let known = model.elements.get_mut(id).unwrap();
    known.placed = known.placed.max(placed);
}

fn id_at<S: Memory>(side: &Side<S>, index: usize) -> Option<String> {
    program().get(side.replica.document(), index).map(|element| element.id.to_owned())
}

/// The stamp of the last addition of each replica that has come here.
fn seen_totals<S: Memory>(document: &Document<S>) -> [Option<Stamp>; REPLICAS] {
    [1, 2, 9].map(|key: u64| {
        let total = format!("pump/starts/{:016x}", 0x1111_1111_1111_1111 * key);
        document.cells().find(|cell| cell.path.as_str() == total).map(|cell| cell.stamp)
    })
}

fn order<S: Memory>(document: &Document<S>) -> Vec<(String, i64)> {
    let number = |value| match value {
        Some(Value::I64(number)) => number,
        other => panic!("only integers were put in: {other:?}"),
    };
    program().iter(document).map(|e| (e.id.to_owned(), number(e.value))).collect()
}

fn check<S: Memory>(document: &Document<S>, model: &Model, everywhere: &[(String, i64)]) {
    assert_eq!(starts().value(document), Ok(model.count()), "no addition is lost, none counts twice");
    let members: BTreeSet<String> = alarms().iter(document).map(|member| member.to_string()).collect();
    assert_eq!(members, model.members(), "the newest word about a member counts");
    let order = order(document);
    assert_eq!(order, everywhere, "the same order everywhere");
    assert_eq!(order.len(), model.elements().len(), "none is lost, none is there twice");
    assert_eq!(order.into_iter().collect::<BTreeMap<_, _>>(), model.elements());
    assert_eq!(position().read(document).unwrap(), model.saved.map(|(_, fix)| fix), "the newest, whole");
}

fn play<S: Memory>(steps: &[Step]) -> usize {
    let (mut fleet, mut model) = (Fleet::<S>::new(), Model::default());
    for step in steps {
        fleet.wait(1);
        match step {
            Step::Act { by: CLOUD, act } => perform(&mut fleet.cloud, CLOUD, act, &mut model),
            Step::Act { by, act } => perform(&mut fleet.devices[*by], *by, act, &mut model),
            Step::Connect { device } => fleet.connect(*device),
            Step::Cut { device } => fleet.cut(*device),
            Step::Exchange { device, up, down } => {
                fleet.exchange(*device, *up, *down);
            }
        }
    }
    fleet.heal();
    fleet.check_converged();
    let everywhere = order(fleet.cloud.replica.document());
    check(fleet.cloud.replica.document(), &model, &everywhere);
    fleet.devices.iter().for_each(|side| check(side.replica.document(), &model, &everywhere));
    model.rebalances
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn after_any_sessions_every_type_reads_the_same_and_as_its_model_says(
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        play::<Heap>(&steps);
        play::<Small>(&steps);
    }
}

/// The aggregator's rebalance and a device's move of the same element cross on the way.
#[test]
fn a_rebalance_that_crosses_edits_loses_no_element() {
    let act = |by, act| Step::Act { by, act };
    let exchange = |device| Step::Exchange { device, up: 9, down: 9 };
    let mut steps = vec![Step::Connect { device: 0 }, Step::Connect { device: 1 }];
    steps.extend((0..6).map(|at| act(at % CLOUD, Act::Place(at))));
    steps.extend([0, 1, 0, 1, 0, 1].map(exchange));
    steps.extend([act(0, Act::Age(2)), exchange(0), act(1, Act::Move(2, 0)), act(0, Act::Take(1))]);
    steps.extend([act(CLOUD, Act::Rebalance), Step::Cut { device: 1 }, act(1, Act::Place(3))]);
    assert!(play::<Heap>(&steps) > 0, "there was something to rebalance");
    assert!(play::<Small>(&steps) > 0, "there was something to rebalance");
}

/// The cells of an element may come in two frames: what a batch has brought so far is not what a removal left.
#[test]
fn a_rebalance_amid_a_batch_takes_nothing_for_remains() {
    for elements in 1..30 {
        let mut steps = vec![Step::Connect { device: 0 }, Step::Exchange { device: 0, up: 9, down: 9 }];
        steps.extend((0..elements).map(|at| Step::Act { by: 0, act: Act::Place(at) }));
        for _ in 0..elements {
            steps.push(Step::Exchange { device: 0, up: 1, down: 0 });
            steps.push(Step::Act { by: CLOUD, act: Act::Rebalance });
        }
        play::<Heap>(&steps);
    }
}

fn starts() -> Counter<'static> {
    Counter::at(path("pump/starts")).unwrap()
}

fn alarms() -> Set<'static> {
    Set::at(path("pump/alarms"))
}

fn program() -> List<'static> {
    List::at(path("program")).unwrap()
}

fn position() -> Record<'static, Fix> {
    Record::at(path("position"))
}

const MEMBERS: [&str; 4] = ["", "a/b", "dry-run", "leak"];
