//! Cells removed, changed and added behind the core's back, on either side: found, healed, and at which price.

use std::collections::BTreeMap;

use crate::common::{Image, Side, connect, disconnect, path, settle};
use crdt_core::capacity::{self, Bytes, Replicas};
use crdt_core::{
    CellRecord, Config, Content, CountingRng, Event, Fixed, Heap, Memory, Output, PeerError, Replica, Role,
    Stamp, Time, Value, Write,
};
use proptest::prelude::*;

type Small = Fixed<capacity::Cells<64>, Bytes<4096>, Replicas<8>>;

/// A device and an aggregator that have the same, and are not connected.
fn pair<S: Memory>(cells: usize) -> (Side<S>, Side<Heap>) {
    let (mut device, mut cloud) = (Side::<S>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    for n in 0..cells {
        device.now_ms += 1_000;
        device.set(&name(n), n as i64);
    }
    cloud.now_ms = device.now_ms;
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    (device, cloud)
}

fn name(n: usize) -> String {
    format!("plant/unit-{}/sensor-{n}", n % 7)
}

/// Content and stamp by path: what a disk holds.
type Cells = BTreeMap<String, (Stamp, Vec<u8>)>;

/// Changes what a side holds behind the core's back; its fingerprint fits again afterwards, as if by a bug.
fn damage<S: Memory>(side: &mut Side<S>, role: Role, change: impl FnOnce(&mut Cells)) {
    let mut image = Image::of(side);
    let old = side.replica.document().fingerprint().to_le_bytes();
    let mut cells: Cells = image
        .cells
        .iter()
        .map(|(at, record)| {
            (at.clone(), (CellRecord::decode(path(at), record).unwrap().stamp, record.clone()))
        })
        .collect();
    change(&mut cells);
    let load = |state: &[u8], side: &mut Side<S>| {
        let (moment, rng) = (side.moment(), side.rng());
        let cells = cells.iter().map(|(at, (_, record))| CellRecord::decode(path(at), record).unwrap());
        Replica::<S, _>::load(moment, Config::new(role), rng, state, cells)
    };
    let at = image.state.windows(8).rposition(|w| w == old).unwrap();
    let sum = sum_of(side, &cells);
    image.state[at..at + 8].copy_from_slice(&sum.to_le_bytes());
    side.replica = load(&image.state, side).unwrap();
    side.replica.document().check_invariants().unwrap();
}

/// The fingerprint of a document that came by these cells honestly.
fn sum_of<S: Memory>(like: &Side<S>, cells: &Cells) -> u64 {
    let mut sum = 0_u64;
    for (at, (stamp, record)) in cells {
        let content = CellRecord::decode(path(at), record).unwrap().content;
        let write = match content {
            Content::Tombstone => continue,
            Content::Value(value) => Write::set(path(at), value),
            Content::Map => Write::map(path(at)),
            Content::List => Write::list(path(at)),
        };
        // One cell alone: its part of the sum.
        let mut other = Replica::<Heap, _>::new(
            like.replica.name(),
            Config::new(Role::Member),
            CountingRng::new(stamp.replica.get()),
        );
        other.update(crdt_core::Moment::new(stamp.time.as_ms()), &[write]).unwrap();
        assert_eq!(other.document().cells().next().unwrap().stamp, *stamp);
        sum = sum.wrapping_add(other.document().fingerprint());
    }
    sum
}

/// The record of a cell as a disk would hold it.
fn record(at: &str, stamp: Stamp, content: Content<'_>) -> (Stamp, Vec<u8>) {
    let mut one = Replica::<Heap, _>::new(
        &crdt_core::DocumentName::new("w1").unwrap(),
        Config::new(Role::Member),
        CountingRng::new(stamp.replica.get()),
    );
    let before = crdt_core::Moment::new(stamp.time.as_ms() - 1);
    let moment = crdt_core::Moment::new(stamp.time.as_ms());
    match content {
        Content::Value(value) => one.update(moment, &[Write::set(path(at), value)]).unwrap(),
        Content::Map => one.update(moment, &[Write::map(path(at))]).unwrap(),
        Content::List => one.update(moment, &[Write::list(path(at))]).unwrap(),
        Content::Tombstone => {
            one.update(before, &[Write::set(path(at), 0)]).unwrap();
            one.update(moment, &[Write::delete(path(at))]).unwrap()
        }
    };
    let cell = one.document().changes_since(0).last().unwrap();
    let mut buffer = vec![0; CellRecord::LEN_MAX];
    let len = CellRecord::encode(&cell, &mut buffer).unwrap();
    (cell.stamp, buffer[..len].to_vec())
}

fn int(at: &str, stamp: Stamp, value: i64) -> (Stamp, Vec<u8>) {
    record(at, stamp, Content::Value(Value::I64(value)))
}

fn alarms<S: Memory>(side: &Side<S>) -> usize {
    side.events.iter().filter(|event| matches!(event, Event::Damaged { .. })).count()
}

/// One session; both are told, once. Gives the payload bytes of both directions.
fn heal<S: Memory>(device: &mut Side<S>, cloud: &mut Side<Heap>) -> usize {
    device.events.clear();
    cloud.events.clear();
    connect(device, cloud);
    let bytes = settle(device, cloud);
    disconnect(device, cloud);
    assert_eq!((alarms(device), alarms(cloud)), (1, 1), "both are told, once");
    assert_same(device, cloud);
    bytes
}

fn assert_same<S: Memory>(device: &mut Side<S>, cloud: &mut Side<Heap>) {
    let live = |cells: Vec<(String, Stamp, bool)>| cells.into_iter().filter(|c| c.2).collect::<Vec<_>>();
    let ours = device.replica.document().cells();
    let theirs = cloud.replica.document().cells();
    let ours = live(ours.map(|c| (c.path.to_string(), c.stamp, !c.content.is_tombstone())).collect());
    let theirs = live(theirs.map(|c| (c.path.to_string(), c.stamp, !c.content.is_tombstone())).collect());
    assert_eq!(ours, theirs);
    assert_eq!(device.replica.document().fingerprint(), cloud.replica.document().fingerprint());
    device.events.clear();
    cloud.events.clear();
    // The first flight of the first one carries what was not acknowledged.
    let [_, bytes] = [idle(device, cloud), idle(device, cloud)];
    assert_eq!((alarms(device), alarms(cloud)), (0, 0), "nothing is left to be found");
    assert!(bytes < 100, "an idle reconnect: {bytes} bytes");
}

/// Bytes of a reconnect that finds nothing.
fn idle<S: Memory>(device: &mut Side<S>, cloud: &mut Side<Heap>) -> usize {
    connect(device, cloud);
    let bytes = settle(device, cloud);
    disconnect(device, cloud);
    bytes
}

fn repair_cost(change: impl FnOnce(&mut Cells)) -> usize {
    let (mut device, mut cloud) = pair::<Heap>(1_000);
    let normal = idle(&mut device, &mut cloud);
    damage(&mut device, Role::Member, change);
    heal(&mut device, &mut cloud) - normal
}

#[test]
fn one_differing_cell_in_a_thousand_costs_at_most_300_bytes() {
    let at = name(500);
    let lost = repair_cost(|cells| drop(cells.remove(&at)));
    let changed = repair_cost(|cells| {
        let stamp = cells[&at].0;
        cells.insert(at.clone(), int(&at, stamp, 1 << 40));
    });
    let added = repair_cost(|cells| {
        let stamp = cells[&at].0;
        cells.insert("nobody/wrote/this".to_owned(), int("nobody/wrote/this", stamp, 7));
    });
    let costs = [lost, changed, added];
    // Salts decide in how many ranges few cells are left; the numbers of this test are the same each time.
    assert_eq!(costs, [152, 159, 157], "payload bytes of both directions beyond an idle reconnect");
}

#[test]
fn ten_differing_cells_cost_ten_times_less_than_all() {
    let bytes = repair_cost(|cells| (0..10).for_each(|n| drop(cells.remove(&name(97 * n)))));
    assert_eq!(bytes, 786, "payload bytes of both directions beyond an idle reconnect");
}

/// Everything is lacking on one side: no dearer than sending everything.
#[test]
fn an_empty_side_costs_about_a_full_sync() {
    let mut device = Side::<Heap>::new(1, Role::Member);
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    for n in 0..1_000 {
        device.now_ms += 1_000;
        device.set(&name(n), n as i64);
    }
    cloud.now_ms = device.now_ms;
    connect(&mut device, &mut cloud);
    let full = settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    let mut costs = Vec::new();
    for device_is_empty in [true, false] {
        let (mut device, mut cloud) = pair::<Heap>(1_000);
        match device_is_empty {
            true => damage(&mut device, Role::Member, Cells::clear),
            false => damage(&mut cloud, Role::Aggregator, Cells::clear),
        }
        costs.push(heal(&mut device, &mut cloud));
    }
    assert_eq!(
        (full, costs.as_slice()),
        (14_873, [15_879, 14_978].as_slice()),
        "payload bytes of both directions"
    );
    assert!(costs.iter().all(|bytes| bytes * 10 <= full * 12));
}

#[test]
fn repairs_are_counted() {
    let (mut device, mut cloud) = pair::<Heap>(100);
    assert_eq!(device.replica.repairs(), crdt_core::Repairs::default());
    damage(&mut device, Role::Member, |cells| drop(cells.remove(&name(5))));
    heal(&mut device, &mut cloud);
    let (ours, theirs) = (device.replica.repairs(), cloud.replica.repairs());
    assert_eq!((ours.sessions, ours.cells_taken), (1, 1));
    assert_eq!((theirs.sessions, theirs.cells_taken), (1, 0));
    assert!(ours.ranges_compared + theirs.ranges_compared >= 17, "{ours:?} {theirs:?}");
}

/// The larger one stays, whichever side has it.
#[test]
fn two_contents_under_one_stamp_become_one() {
    for value in [1 << 40, -1] {
        let (mut device, mut cloud) = pair::<Heap>(50);
        let at = name(3);
        damage(&mut device, Role::Member, |cells| {
            let stamp = cells[&at].0;
            cells.insert(at.clone(), int(&at, stamp, value));
        });
        heal(&mut device, &mut cloud);
        let after = device.replica.document().get(path(&at)).unwrap();
        let larger = Value::I64(if value > 0 { value } else { 3 });
        assert_eq!(after, larger);
        assert_eq!(device.replica.repairs().cells_taken + cloud.replica.repairs().cells_taken, 1);
    }
}

/// A map whose marker and fields were lost together comes back whole: nothing of it makes the rest void.
#[test]
fn a_lost_map_comes_back_with_its_fields() {
    let (mut device, mut cloud) = pair::<Heap>(40);
    let moment = device.moment();
    let writes = [
        Write::map(path("pump")),
        Write::set(path("pump/speed"), 3),
        Write::map(path("pump/valve")),
        Write::set(path("pump/valve/open"), true),
    ];
    device.replica.update(moment, &writes).unwrap();
    cloud.now_ms = device.now_ms;
    idle(&mut device, &mut cloud);
    idle(&mut device, &mut cloud);
    damage(&mut cloud, Role::Aggregator, |cells| cells.retain(|at, _| !at.starts_with("pump")));
    heal(&mut device, &mut cloud);
    assert_eq!(cloud.replica.document().get(path("pump/speed")), Some(Value::I64(3)));
    assert_eq!(cloud.replica.document().get(path("pump/valve/open")), Some(Value::Bool(true)));
    assert_eq!(cloud.replica.document(), device.replica.document());
}

/// Digests that look at names and stamps only do not find another content: the next session sounds the alarm again.
#[cfg(feature = "_weaken")]
#[test]
fn digests_that_ignore_the_content_are_noticed() {
    use crdt_core::weaken::{Rule, without};
    let (mut device, mut cloud) = pair::<Heap>(100);
    damage(&mut device, Role::Member, |cells| {
        let at = name(3);
        let stamp = cells[&at].0;
        cells.insert(at.clone(), int(&at, stamp, 1 << 40));
    });
    without(Some(Rule::RepairContent), || idle(&mut device, &mut cloud));
    assert_ne!(device.replica.document().fingerprint(), cloud.replica.document().fingerprint());
    heal(&mut device, &mut cloud);
}

/// Fewer slots, shorter frames, the same outcome.
#[test]
fn fixed_storage_repairs_too() {
    let (mut device, mut cloud) = pair::<Small>(60);
    device.frame_len = 256;
    damage(&mut device, Role::Member, |cells| {
        (0..20).for_each(|n| drop(cells.remove(&name(3 * n))));
    });
    heal(&mut device, &mut cloud);
    assert_eq!(device.replica.document().cells().count(), 60);
}

/// A session that is never closed compares now and then.
#[test]
fn a_long_session_compares_fingerprints_now_and_then() {
    let (mut device, mut cloud) = pair::<Heap>(10);
    // Both sides came by the same cells, but for one, without a session that could have told.
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    let normal = device.frames.clone();
    let mut longest = 0;
    for n in 0..70 {
        device.now_ms += 1_000;
        device.set("plant/mode", n);
        device.replica.request_acknowledgement();
        cloud.frames.clear();
        settle(&mut device, &mut cloud);
        longest = longest.max(cloud.frames.iter().map(Vec::len).max().unwrap_or(0));
    }
    assert!(!normal.is_empty());
    assert_eq!(longest, 3 + 4, "one acknowledgement had a digest");
    assert_eq!((alarms(&device), alarms(&cloud)), (0, 0));
}

/// Cells that a repair brings are claimed by nothing: whoever is connected compares again.
#[test]
fn what_a_repair_brought_reaches_whoever_else_is_connected() {
    let (mut device, mut cloud) = pair::<Heap>(20);
    let mut watcher = Side::<Heap>::new(3, Role::Member);
    watcher.now_ms = cloud.now_ms;
    idle(&mut watcher, &mut cloud);
    // Both lack the same, so that they agree.
    let lost = name(7);
    damage(&mut cloud, Role::Aggregator, |cells| drop(cells.remove(&lost)));
    damage(&mut watcher, Role::Member, |cells| drop(cells.remove(&lost)));
    connect(&mut watcher, &mut cloud);
    settle(&mut watcher, &mut cloud);
    let with_watcher = cloud.session.take().unwrap();
    assert_eq!((alarms(&watcher), alarms(&cloud)), (0, 0), "they agree");

    connect(&mut device, &mut cloud);
    let mut buffer = vec![0; 16_384];
    for _ in 0..30 {
        for frame in device.poll() {
            cloud.take(&frame).unwrap();
        }
        for frame in watcher.poll() {
            let moment = cloud.moment();
            cloud.replica.handle_frame(moment, with_watcher, &frame).unwrap();
        }
        let moment = cloud.moment();
        while let Some(output) = cloud.replica.poll_output(moment, &mut buffer) {
            match output {
                Output::Transmit { session, len } if session == with_watcher => {
                    watcher.take(&buffer[..len]).unwrap();
                }
                Output::Transmit { len, .. } => device.take(&buffer[..len]).unwrap(),
                Output::Persist => {
                    let token = cloud.replica.take_unsaved(|_| {});
                    cloud.replica.handle_persisted(token);
                }
                Output::Close { .. } | Output::Event(_) => {}
            }
        }
    }
    let sum = device.replica.document().fingerprint();
    assert_eq!(cloud.replica.document().fingerprint(), sum);
    assert_eq!(watcher.replica.document().fingerprint(), sum);
    assert!(watcher.replica.document().get(path(&lost)).is_some());
}

#[test]
fn a_repair_out_of_turn_is_the_peers_mistake() {
    let (mut device, mut cloud) = pair::<Heap>(10);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    assert!(matches!(cloud.take(&[0, 0x0f, 0, 0]), Err(PeerError::OutOfTurn { .. })));
    let (mut device, mut cloud) = pair::<Heap>(10);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    let begin = [0, 0x0f, 1, 1, 2, 3, 4, 1, 0x10, 0];
    cloud.take(&begin).unwrap();
    assert!(matches!(cloud.take(&begin), Err(PeerError::OutOfTurn { .. })), "once a session");
}

/// However often a peer asks, it is answered a bounded number of times.
#[test]
fn a_peer_cannot_ask_for_ever() {
    let (mut device, mut cloud) = pair::<Heap>(200);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    cloud.take(&[0, 0x0f, 1, 1, 2, 3, 4, 1, 0x10, 0]).unwrap();
    let mut ask = vec![0, 0x0f, 0, 16];
    for range in 0..16 {
        ask.extend([0x01, range << 4]);
        ask.extend([0xaa; 48]);
    }
    cloud.frames.clear();
    for _ in 0..1_000 {
        cloud.take(&ask).unwrap();
        cloud.poll();
    }
    let answered: usize = cloud.frames.iter().map(Vec::len).sum();
    assert!(answered < 100_000, "{answered} bytes");
}

/// What may become of a cell behind the core's back.
#[derive(Clone, Debug)]
enum Fault {
    Added(usize, i64),
    AddedBelow(usize, i64),
    Changed(usize, i64),
    Older(usize),
    Removed(usize),
    Tombstone(usize),
}

fn faults() -> impl Strategy<Value = Vec<(bool, Fault)>> {
    let cell = 0..60_usize;
    let fault = prop_oneof![
        (cell.clone(), -9..9_i64).prop_map(|(n, value)| Fault::Added(n, value)),
        (cell.clone(), -9..9_i64).prop_map(|(n, value)| Fault::AddedBelow(n, value)),
        (cell.clone(), any::<i64>()).prop_map(|(n, value)| Fault::Changed(n, value)),
        cell.clone().prop_map(Fault::Older),
        cell.clone().prop_map(Fault::Removed),
        cell.prop_map(Fault::Tombstone),
    ];
    prop::collection::vec((any::<bool>(), fault), 1..40)
}

/// Nothing that another cell dominates: a disk may lie, but not about its own order.
fn is_normal(cells: &Cells) -> bool {
    cells.iter().all(|(at, (stamp, _))| {
        path(at).ancestors().all(|above| cells.get(above.as_str()).is_none_or(|(above, _)| above <= stamp))
    })
}

fn apply(fault: &Fault, cells: &mut Cells) {
    let nth = |cells: &Cells, n: usize| cells.keys().nth(n % cells.len()).unwrap().clone();
    if cells.is_empty() {
        return;
    }
    let (at, cell) = match fault {
        Fault::Added(n, value) => {
            let at = format!("extra/{n}");
            let cell = int(&at, cells[&nth(cells, *n)].0, *value);
            (at, cell)
        }
        Fault::AddedBelow(n, value) => {
            let above = nth(cells, *n);
            let at = format!("{above}/below");
            let cell = int(&at, cells[&above].0, *value);
            (at, cell)
        }
        Fault::Changed(n, value) => {
            let at = nth(cells, *n);
            let cell = int(&at, cells[&at].0, *value);
            (at, cell)
        }
        Fault::Older(n) => {
            let at = nth(cells, *n);
            let stamp = cells[&at].0;
            let older = Stamp::new(Time::from_ms(stamp.time.as_ms() - 500).unwrap(), stamp.replica);
            let cell = int(&at, older, 4);
            (at, cell)
        }
        Fault::Removed(n) => {
            let at = nth(cells, *n);
            cells.remove(&at);
            return;
        }
        Fault::Tombstone(n) => {
            let at = nth(cells, *n);
            let cell = record(&at, cells[&at].0, Content::Tombstone);
            (at, cell)
        }
    };
    if path(&at).as_str().len() > 60 {
        return;
    }
    let before = cells.insert(at.clone(), cell);
    if !is_normal(cells) {
        match before {
            Some(before) => cells.insert(at, before),
            None => cells.remove(&at),
        };
    }
}

fn live(cells: &Cells) -> Vec<(&str, Stamp)> {
    let live = cells
        .iter()
        .filter(|(at, (_, record))| !CellRecord::decode(path(at), record).unwrap().content.is_tombstone());
    live.map(|(at, (stamp, _))| (at.as_str(), *stamp)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_damage_on_both_sides_heals_in_one_session(faults in faults(), count in 5..40_usize, short in any::<bool>()) {
        let (mut device, mut cloud) = pair::<Heap>(count);
        for n in 0..count / 3 {
            device.now_ms += 1_000;
            device.delete(&name(3 * n));
        }
        device.now_ms += 1_000;
        device.delete("plant/unit-1");
        connect(&mut device, &mut cloud);
        settle(&mut device, &mut cloud);
        disconnect(&mut device, &mut cloud);
        let mut held: [Cells; 2] = Default::default();
        damage(&mut device, Role::Member, |cells| {
            faults.iter().filter(|(here, _)| *here).for_each(|(_, fault)| apply(fault, cells));
            held[0].clone_from(cells);
        });
        damage(&mut cloud, Role::Aggregator, |cells| {
            faults.iter().filter(|(here, _)| !*here).for_each(|(_, fault)| apply(fault, cells));
            held[1].clone_from(cells);
        });
        cloud.now_ms = device.now_ms;
        if short {
            device.frame_len = 256;
        }
        connect(&mut device, &mut cloud);
        settle(&mut device, &mut cloud);
        disconnect(&mut device, &mut cloud);
        prop_assert!(device.frames.len() + cloud.frames.len() < 80);
        prop_assert!(alarms(&device) <= 1 && alarms(&cloud) <= 1);
        // What no cell of the other side stands above is still to be seen.
        for (side, other) in [(0, 1), (1, 0)] {
            for (at, stamp) in live(&held[side]) {
                let void = held[other].iter().any(|(above, (newer, _))| *newer > stamp && path(above).contains(path(at)));
                let node = device.replica.document().node(path(at));
                prop_assert!(void || node.is_some(), "{at} {stamp:?} is lost");
            }
        }
        assert_same(&mut device, &mut cloud);
    }
}

/// A frame of 8 bytes makes the other side look at all its cells. It does so as often as a repair can need it, and no more.
#[test]
fn a_peer_that_wants_without_end_is_served_as_often_as_a_repair_can_need() {
    let (mut device, mut cloud) = pair::<Heap>(1_000);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    // A repair begins, with a salt and nothing else; then a cell is wanted that does not exist, or a range, as by somebody
    // who has none of it.
    cloud.take(&[0, 0x0F, 1, 7, 7, 7, 7, 0]).unwrap();
    cloud.poll();
    for n in 0..1_000_u32 {
        let [a, b, ..] = n.to_le_bytes();
        let frame =
            if n % 2 == 0 { vec![0, 0x0F, 0, 1, 0x20, a, b, 9] } else { vec![0, 0x0F, 0, 1, 0x10, 0] };
        cloud.take(&frame).unwrap();
        cloud.poll();
    }
    let repairs = cloud.replica.repairs();
    assert_eq!((repairs.searches, repairs.ranges_compared), (576, 500));
    assert_eq!(repairs.searches_refused, 424);
    // It serves others, and this one, too.
    device.set("unit", 1);
    settle(&mut device, &mut cloud);
    assert_eq!(cloud.replica.document().get(path("unit")), Some(Value::I64(1)));
    disconnect(&mut device, &mut cloud);
    let mut changed = damaged_and_healed(&mut device, &mut cloud);
    assert!(changed.take().is_some(), "the next session repairs");
}

/// A value is changed on the device's disk, and a session heals it.
fn damaged_and_healed(device: &mut Side<Heap>, cloud: &mut Side<Heap>) -> Option<usize> {
    let at = name(3);
    damage(device, Role::Member, |cells| {
        let stamp = cells[&at].0;
        cells.insert(at.clone(), int(&at, stamp, -1));
    });
    let bytes = heal(device, cloud);
    (device.replica.document() == cloud.replica.document()).then_some(bytes)
}
