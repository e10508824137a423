//! Defaults: read where the document has nothing, and nowhere else.

use std::collections::BTreeMap;

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{
    Content, Defaults, DefaultsError, Document, DocumentName, Fixed, Heap, Limits, Moment, Node, Path,
    PathError, ReplicaId, Role, Storage, Value, ValueError, Write, path,
};
use proptest::prelude::*;
use serde::Deserialize;

use super::common::{Side, connect, path as at, settle};

type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<4>>;

const DEFAULTS: Defaults = Defaults::new(&[
    ("pump/3/limits/high", Value::F64(9.0)),
    ("pump/3/limits/low", Value::F64(1.0)),
    ("pump/3/mode/Manual/ramp", Value::Bool(true)),
    ("pump/3/mode/Manual/speed", Value::I64(900)),
    ("pump/3/setpoint", Value::F64(4.5)),
]);
const SETPOINT: Path<'static> = path!("pump/3/setpoint");

fn document<S: Storage>(id: u64) -> Document<S> {
    Document::new(&DocumentName::new("pump").unwrap(), ReplicaId::new(id), Limits::default())
}

/// The device ships with 4.5; the operator sets 6.0 before it was ever connected.
fn prepared(device_sets_its_default: bool) -> (Side<Small>, Side<Heap>) {
    let (mut device, mut cloud) =
        (Side::<Small>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    cloud.set("pump/3/setpoint", 6.0);
    (device.now_ms, cloud.now_ms) = (device.now_ms + 60_000, cloud.now_ms + 60_000);
    if device_sets_its_default {
        device.set("pump/3/setpoint", 4.5);
    }
    assert_eq!(DEFAULTS.over(device.replica.document()).get(SETPOINT), Some(Value::F64(4.5)));
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    (device, cloud)
}

#[test]
fn what_an_operator_set_before_the_device_first_synced_stands() {
    let (device, cloud) = prepared(false);
    let shown = DEFAULTS.over(device.replica.document());
    assert_eq!(shown.get(SETPOINT), Some(Value::F64(6.0)));
    assert!(!shown.is_default(SETPOINT) && shown.is_default(path!("pump/3/limits/low")));
    // Nothing of the table has left the program, or gone into what it stores.
    assert_eq!(cloud.replica.document().cells().count(), 1);
    assert_eq!(device.replica.document().cells().count(), 1);
    // For comparison: set at the first start, the default is newer than the operator's value.
    let (device, cloud) = prepared(true);
    assert_eq!(device.replica.document().get(SETPOINT), Some(Value::F64(4.5)));
    assert_eq!(cloud.replica.document().get(SETPOINT), Some(Value::F64(4.5)));
}

#[test]
fn a_deleted_value_is_the_default_again_whether_its_tombstone_is_held_or_not() {
    let mut document = document::<Small>(1);
    document.set(Moment::new(1), SETPOINT, 6.0).unwrap();
    document.delete(Moment::new(2), path!("pump")).unwrap();
    assert_eq!(document.cells().count(), 1, "the tombstone");
    assert_eq!(DEFAULTS.over(&document).get(SETPOINT), Some(Value::F64(4.5)));
    assert_eq!(document.forget_tombstones(|_| true), 1);
    assert_eq!(DEFAULTS.over(&document).get(SETPOINT), Some(Value::F64(4.5)));
    // Nothing, said explicitly.
    document.set(Moment::new(3), SETPOINT, Value::Null).unwrap();
    assert_eq!(DEFAULTS.over(&document).get(SETPOINT), Some(Value::Null));
    assert_eq!(DEFAULTS.over(&document).read::<Option<f64>>(SETPOINT).unwrap(), None);
}

#[test]
fn scalars_and_lists_are_whole_and_maps_are_filled() {
    let shown = |write: Write<'static>, at: &str| {
        let mut document = document::<Small>(1);
        document.update(Moment::new(1), &[write]).unwrap();
        DEFAULTS.over(&document).get(super::common::path(at)).is_some()
    };
    let limits = path!("pump/3/limits");
    assert!(!shown(Write::set(limits, "none"), "pump/3/limits/low"));
    assert!(!shown(Write::list(limits), "pump/3/limits/low"));
    assert!(!shown(Write::set(path!("pump"), 1), "pump/3/limits/low"));
    assert!(!shown(Write::set(path!("pump/3/setpoint/day"), 1), "pump/3/setpoint"));
    assert!(shown(Write::map(limits), "pump/3/limits/low"));
    assert!(shown(Write::set(path!("pump/3/limits/low"), 2), "pump/3/limits/high"));
}

#[derive(Debug, Deserialize, PartialEq)]
struct Pump {
    setpoint: f32,
    mode: Mode,
    limits: Option<BTreeMap<String, f64>>,
    name: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
enum Mode {
    #[serde(rename = "auto")]
    Auto,
    Manual {
        speed: u16,
        ramp: bool,
    },
    Timed(Vec<u8>),
}

fn a_struct_is_filled<S: Storage>() {
    let mut document = document::<S>(1);
    let read = |document: &Document<S>| DEFAULTS.over(document).read::<Pump>(path!("pump/3")).unwrap();
    let pump = |mode, setpoint, low| Pump {
        setpoint,
        mode,
        limits: Some(BTreeMap::from([("high".into(), 9.0), ("low".into(), low)])),
        name: None,
    };
    let manual = |speed, ramp| Mode::Manual { speed, ramp };
    assert_eq!(read(&document), pump(manual(900, true), 4.5, 1.0));
    document.set(Moment::new(1), path!("pump/3/limits/low"), 2).unwrap();
    document.set(Moment::new(2), path!("pump/3/mode/Manual/speed"), 7).unwrap();
    assert_eq!(read(&document), pump(manual(7, true), 4.5, 2.0));
    document.set(Moment::new(3), path!("pump/3/mode"), "auto").unwrap();
    document.set(Moment::new(4), SETPOINT, 6.0).unwrap();
    assert_eq!(read(&document), pump(Mode::Auto, 6.0, 2.0));
    document.write(Moment::new(5), path!("pump/3/mode"), &BTreeMap::from([("Timed", [1, 2])])).unwrap();
    assert_eq!(read(&document), pump(Mode::Timed(vec![1, 2]), 6.0, 2.0), "the newest variant, not a default");
    assert_eq!(DEFAULTS.over(&document).read::<f64>(SETPOINT).unwrap(), 6.0);
    // The whole document.
    #[derive(Deserialize)]
    struct Whole {
        pump: BTreeMap<u8, Pump>,
    }
    assert_eq!(DEFAULTS.over(&document).read::<Whole>(None).unwrap().pump[&3], read(&document));
    // What does not fit is named by its path, also in the table.
    let error = DEFAULTS.over(&document).read::<BTreeMap<String, u8>>(path!("pump/3/limits")).unwrap_err();
    assert_eq!(error.to_string(), "pump/3/limits/high: expected u8, found the float 9.0");
    let error = DEFAULTS.over(&document).read::<u8>(path!("pump/4")).unwrap_err();
    assert_eq!(error.to_string(), "pump/4: nothing is stored here, and the type needs a value");
    document.set(Moment::new(6), path!("pump"), 1).unwrap();
    assert_eq!(DEFAULTS.over(&document).read::<Option<Pump>>(path!("pump/3")).unwrap(), None);
}

#[test]
fn a_struct_is_read_with_its_defaults() {
    a_struct_is_filled::<Heap>();
    a_struct_is_filled::<Small>();
}

#[test]
fn a_table_that_is_none_says_which_entry() {
    let long = "x".repeat(4097);
    let error = |entries: &[(&str, Value<'_>)]| Defaults::try_new(entries).map(|_| ()).unwrap_err();
    let (one, text) = (Value::I64(1), Value::Str(&long));
    assert_eq!(
        error(&[("a", one), ("b/", one)]),
        DefaultsError::Path { index: 1, error: PathError::EmptyKey { at: 2 } }
    );
    assert_eq!(error(&[("a", text)]), DefaultsError::Value { index: 0, error: ValueError { len: 4097 } });
    assert_eq!(error(&[("a", one), ("c", one), ("b", one)]), DefaultsError::Order { index: 2 });
    assert_eq!(error(&[("a", one), ("a", one)]), DefaultsError::Order { index: 1 });
    assert_eq!(error(&[("a", one), ("a-b", one), ("a/b/c", one)]), DefaultsError::Below { index: 2 });
    assert!(Defaults::try_new(&[]).is_ok());
    assert!(Defaults::try_new(&[("a/b", one), ("a/bc/d", one)]).is_ok());
}

const PATHS: [&str; 12] =
    ["a", "a-b", "a/x", "a/x/1", "a/x/1/2", "a/x/2", "a/y", "a/y/~1", "ab", "b", "b/z", "c"];

#[derive(Clone, Debug)]
enum Act {
    Delete,
    Forget,
    List,
    Map,
    Set(i64),
}

fn act() -> impl Strategy<Value = (usize, Act)> {
    let act = prop_oneof![
        4 => (0..9_i64).prop_map(Act::Set),
        2 => Just(Act::Delete),
        1 => Just(Act::Map),
        1 => Just(Act::List),
        1 => Just(Act::Forget),
    ];
    (0..PATHS.len(), act)
}

/// The rule as it is told: a default shows where nothing is, if only maps are above it.
fn shows<S: Storage>(document: &Document<S>, path: Path<'_>) -> bool {
    let closes = |above| matches!(document.node(above), Some(Node::List | Node::Value(_)));
    document.node(path).is_none() && !path.ancestors().any(closes)
}

fn reads_as_one_document<S: Storage>(acts: &[(usize, Act)], chosen: &[bool]) {
    let mut document = document::<S>(1);
    for (ms, (path, act)) in (1..).zip(acts) {
        let path = at(PATHS[*path]);
        let write = match act {
            Act::Delete => Write::delete(path),
            Act::Forget => {
                document.forget_tombstones(|_| true);
                continue;
            }
            Act::List => Write::list(path),
            Act::Map => Write::map(path),
            Act::Set(value) => Write::set(path, *value),
        };
        document.update(Moment::new(ms), &[write]).unwrap();
    }
    let mut entries: Vec<(&str, Value<'_>)> = Vec::new();
    for (path, _) in PATHS.iter().zip(chosen).filter(|(_, chosen)| **chosen) {
        if !entries.iter().any(|(above, _)| at(above).is_above(at(path))) {
            entries.push((path, Value::Str(path)));
        }
    }
    let defaults = Defaults::try_new(&entries).unwrap();
    let shown = defaults.over(&document);

    // What is shown, set in an empty document, reads the same. Lists that are not empty are not shown by themselves.
    let mut flat = self::document::<S>(2);
    let lists = document.cells().filter(|cell| document.node(cell.path) == Some(Node::List));
    for (ms, list) in (1..).zip(lists) {
        flat.update(Moment::new(ms), &[Write::list(list.path)]).unwrap();
    }
    let mut visible = Vec::new();
    for (ms, reading) in (100..).zip(shown.iter(None)) {
        match reading.stamp {
            Some(stamp) => assert_eq!(document.stamp_of(reading.path), Some(stamp)),
            None => visible.push(reading.path),
        }
        let write = match reading.content {
            Content::List => Write::list(reading.path),
            Content::Map => Write::map(reading.path),
            Content::Value(value) => Write::set(reading.path, value),
            Content::Tombstone => panic!("a tombstone is shown"),
        };
        flat.update(Moment::new(ms), &[write]).unwrap();
    }
    let expected: Vec<_> =
        defaults.iter().map(|(path, _)| path).filter(|path| shows(&document, *path)).collect();
    assert_eq!(visible, expected);
    for path in PATHS.map(at) {
        assert_eq!(shown.node(path), flat.node(path), "{path}");
        assert_eq!(shown.get(path), flat.get(path), "{path}");
        assert_eq!(shown.is_default(path), visible.contains(&path), "{path}");
        let paths = |path| {
            (
                shown.iter(path).map(|r| r.path.to_string()).collect::<Vec<_>>(),
                flat.iter(path).map(|c| c.path.to_string()).collect::<Vec<_>>(),
            )
        };
        let (here, there) = paths(Some(path));
        assert_eq!(here, there, "{path}");
        let read = shown.read::<Option<serde_json::Value>>(path).unwrap();
        assert_eq!(read, flat.read::<Option<serde_json::Value>>(path).unwrap(), "{path}");
    }
    assert_eq!(shown.read::<serde_json::Value>(None).unwrap(), flat.read::<serde_json::Value>(None).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_document_with_defaults_reads_as_one_that_has_them(
        acts in prop::collection::vec(act(), 0..16),
        chosen in prop::collection::vec(any::<bool>(), PATHS.len()),
    ) {
        reads_as_one_document::<Heap>(&acts, &chosen);
        reads_as_one_document::<Small>(&acts, &chosen);
    }
}
