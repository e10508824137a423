//! Every value of many types comes back as it was written, over whatever stood there before, or is refused at writing.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crdt_core::capacity::{self, Cells, Replicas};
use crdt_core::typed::{Found, ReadProblem, WriteProblem};
use crdt_core::{
    Content, Document, DocumentName, Fixed, Heap, Limits, Moment, Path, PathError, ReplicaId, UpdateError,
    Value, Write,
};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

fn document() -> Document<Heap> {
    Document::new(&DocumentName::new("pump-42").unwrap(), ReplicaId::new(1), Limits::default())
}

fn path(text: &str) -> Path<'_> {
    Path::new(text).unwrap()
}

fn at(ms: u64) -> Moment {
    Moment::new(ms)
}

fn cells(document: &Document<Heap>) -> Vec<String> {
    document.cells().map(|cell| format!("{cell:?}")).collect()
}

/// Writes, and reads it back; or gives why it was refused, with nothing changed.
fn exact<T>(document: &mut Document<Heap>, ms: u64, value: &T) -> Result<(), WriteProblem>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let before = cells(document);
    if let Err(error) = document.write(at(ms), path("v"), value) {
        assert_eq!(cells(document), before, "{error}");
        return Err(error.problem().clone());
    }
    document.check_invariants().unwrap();
    match document.read::<T>(path("v")) {
        Ok(read) => assert_eq!(&read, value, "{:#?}", cells(document)),
        Err(error) => panic!("{value:?}: {error}: {:#?}", cells(document)),
    }
    assert_eq!(document.write(at(ms + 1), path("v"), value), Ok(None), "{value:?}: nothing differs any more");
    Ok(())
}

/// The same in a fresh document, and then each over the one before.
fn all_exact<T: Serialize + DeserializeOwned + PartialEq + Debug>(values: &[T]) {
    let mut used = document();
    for (n, value) in values.iter().enumerate() {
        assert_eq!(exact(&mut document(), 1, value), Ok(()), "{value:?}");
        assert_eq!(exact(&mut used, 10 * n as u64 + 10, value), Ok(()), "{value:?}");
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Empty {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NoElements();

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wrapper<T>(T);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent<T>(T);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    #[serde(rename = "~s")]
    Unit,
    #[serde(rename = "@")]
    One(Option<Option<()>>),
    #[serde(rename = "a/b~")]
    Two(Option<u8>, Wrapper<Option<()>>),
    #[serde(rename = "")]
    Fields {
        maybe: Option<Option<bool>>,
        nothing: (),
    },
    NoFields {},
    NoElements(),
}

/// Equal when the bits are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Bits<T>(T);

impl PartialEq for Bits<f64> {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl PartialEq for Bits<f32> {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(|bytes| Bytes(bytes.to_vec()))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    maybe: Option<Option<Option<u8>>>,
    unit: Option<()>,
    unit_struct: Option<Option<Unit>>,
    wrapped: Wrapper<Option<u8>>,
    wrapped_maybe: Option<Wrapper<Option<Wrapper<()>>>>,
    transparent: Transparent<Option<Option<bool>>>,
    empty: Option<Empty>,
    no_elements: Option<NoElements>,
    list: Vec<Option<Option<()>>>,
    map: BTreeMap<String, Option<Option<i64>>>,
    by_char: BTreeMap<char, Option<char>>,
    by_wide: BTreeMap<i128, ()>,
    choice: Option<Choice>,
    choices: Vec<Choice>,
    result: Result<Option<Option<u8>>, ()>,
    narrow: Bits<f32>,
    float: Bits<f64>,
    #[serde(rename = "=")]
    bytes: Option<Bytes>,
    #[serde(rename = "@")]
    large: u64,
    #[serde(rename = "in/out")]
    larger: Option<i128>,
    #[serde(rename = "~u")]
    negative: Option<i64>,
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-c]", 2 => "[a/~@=us-]{0,3}", 1 => "\\PC{0,12}"]
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        Just(Choice::Unit),
        any::<Option<Option<()>>>().prop_map(Choice::One),
        any::<(Option<u8>, Option<()>)>().prop_map(|(a, b)| Choice::Two(a, Wrapper(b))),
        any::<Option<Option<bool>>>().prop_map(|maybe| Choice::Fields { maybe, nothing: () }),
        Just(Choice::NoFields {}),
        Just(Choice::NoElements()),
    ]
}

fn everything() -> impl Strategy<Value = Everything> {
    let maps = (
        prop::collection::btree_map(key(), any::<Option<Option<i64>>>(), 0..5),
        prop::collection::btree_map(any::<char>(), any::<Option<char>>(), 0..4),
        prop::collection::btree_map(any::<i128>(), Just(()), 0..3),
    );
    let lists = (
        prop::collection::vec(any::<Option<Option<()>>>(), 0..5),
        prop::option::of(choice()),
        prop::collection::vec(choice(), 0..4),
        any::<Result<Option<Option<u8>>, ()>>(),
    );
    let options = any::<(
        Option<Option<Option<u8>>>,
        Option<()>,
        Option<Option<()>>,
        Option<u8>,
        Option<Option<()>>,
        Option<Option<bool>>,
        Option<()>,
        Option<()>,
    )>();
    let numbers = (
        any::<u32>(),
        any::<u64>(),
        prop_oneof![9 => 0..=i64::MAX as u64, 1 => any::<u64>()],
        prop::option::of(prop_oneof![9 => any::<i64>().prop_map(i128::from), 1 => any::<i128>()]),
        any::<Option<i64>>(),
    );
    (maps, lists, options, numbers, prop::option::of(prop::collection::vec(any::<u8>(), 0..6))).prop_map(
        |((map, by_char, by_wide), (list, choice, choices, result), options, numbers, bytes)| {
            let (maybe, unit, unit_struct, wrapped, wrapped_maybe, transparent, empty, no_elements) = options;
            let (narrow, float, large, larger, negative) = numbers;
            let (narrow, float) = (f32::from_bits(narrow), f64::from_bits(float));
            Everything {
                maybe,
                unit,
                unit_struct: unit_struct.map(|inside| inside.map(|()| Unit)),
                wrapped: Wrapper(wrapped),
                wrapped_maybe: wrapped_maybe.map(|inside| Wrapper(inside.map(Wrapper))),
                transparent: Transparent(transparent),
                empty: empty.map(|()| Empty {}),
                no_elements: no_elements.map(|()| NoElements()),
                list,
                map,
                by_char,
                by_wide,
                choice,
                choices,
                result,
                // Whether a NaN of 32 bits keeps its payload on the way to 64 and back, the processor decides.
                narrow: Bits(if narrow.is_nan() { f32::NAN } else { narrow }),
                float: Bits(float),
                bytes: bytes.map(Bytes),
                large,
                larger,
                negative,
            }
        },
    )
}

/// A document in which somebody has used the keys of typed access for something else.
fn hostile() -> impl Strategy<Value = Document<Heap>> {
    let keys = vec![
        "@", "=", "~u", "~s", "~", "~@", "~=", "~0u", "a", "b", "map", "list", "choice", "maybe", "unit",
        "wrapped", "result", "Ok", "in~1out", "large",
    ];
    let key = prop::sample::select(keys);
    prop::collection::vec((prop::collection::vec(key, 0..5), 0..9_u8, -3..3_i64), 0..24).prop_map(|writes| {
        let mut document = document();
        for (ms, (keys, kind, number)) in writes.iter().enumerate() {
            let joined = [&["v"][..], keys].concat().join("/");
            let place = path(&joined);
            let write = match kind {
                0 => Write::map(place),
                1 => Write::list(place),
                2 => Write::delete(place),
                3 | 4 => Write::set(place, Value::Null),
                5 => Write::set(place, [1_u8, 2].as_slice()),
                6 => Write::set(place, "~s"),
                _ => Write::set(place, *number),
            };
            document.update(at(ms as u64 + 1), &[write]).unwrap();
        }
        document
    })
}

proptest! {
    #[test]
    fn a_value_comes_back_over_whatever_stood_there(mut document in hostile(), value in everything()) {
        let value = Everything { large: 1, larger: None, ..value };
        let _ = document.read::<Everything>(path("v"));
        let _ = document.read::<Option<Option<BTreeMap<String, Choice>>>>(path("v"));
        let _ = document.to_json(None);
        exact(&mut document, 100, &value).unwrap();
        let mut again = document;
        exact(&mut again, 110, &value.map).unwrap();
        exact(&mut again, 120, &Some(Some(value.list.clone()))).unwrap();
        exact(&mut again, 130, &value).unwrap();
    }

    #[test]
    fn every_value_comes_back_or_is_refused(values in prop::collection::vec(everything(), 1..5)) {
        let mut used = document();
        for (n, value) in values.iter().enumerate() {
            let too_large = value.large > i64::MAX as u64
                || value.larger.is_some_and(|larger| i64::try_from(larger).is_err());
            for (document, ms) in [(&mut document(), 1), (&mut used, 10 * n as u64 + 10)] {
                match exact(document, ms, value) {
                    Ok(()) => prop_assert!(!too_large),
                    Err(problem) => {
                        prop_assert!(too_large, "{problem}");
                        prop_assert!(matches!(problem, WriteProblem::Integer { .. }), "{}", problem);
                    }
                }
            }
        }
    }

    #[test]
    fn a_value_comes_back_over_one_of_another_type(before in everything(), maps in any::<[Option<Option<u8>>; 3]>()) {
        let before = Everything { large: 1, larger: None, ..before };
        let mut document = document();
        exact(&mut document, 1, &before).unwrap();
        exact(&mut document, 10, &maps).unwrap();
        exact(&mut document, 20, &BTreeMap::from([("a".to_owned(), maps)])).unwrap();
        exact(&mut document, 30, &maps[0]).unwrap();
        exact(&mut document, 40, &before).unwrap();
    }
}

#[test]
fn each_depth_of_some_and_none_is_told_apart() {
    all_exact::<Option<Option<Option<u8>>>>(&[
        None,
        Some(None),
        Some(Some(None)),
        Some(Some(Some(7))),
        Some(None),
        Some(Some(Some(8))),
        Some(Some(None)),
        None,
    ]);
    all_exact::<Option<()>>(&[Some(()), None, Some(())]);
    all_exact::<Option<Unit>>(&[Some(Unit), None]);
    all_exact::<Wrapper<Option<Wrapper<Option<()>>>>>(&[
        Wrapper(None),
        Wrapper(Some(Wrapper(None))),
        Wrapper(Some(Wrapper(Some(())))),
    ]);
    all_exact::<Vec<Option<Option<()>>>>(&[vec![None, Some(None), Some(Some(()))], vec![Some(None), None]]);
    all_exact::<Option<serde_json::Value>>(&[
        None,
        Some(serde_json::Value::Null),
        Some(7.into()),
        Some(serde_json::Value::Null),
    ]);
    type Maps = BTreeMap<String, Option<Option<u8>>>;
    let map = |values: &[(&str, Option<Option<u8>>)]| -> Maps {
        values.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
    };
    all_exact::<Option<Maps>>(&[
        None,
        Some(map(&[])),
        Some(map(&[("a", None)])),
        Some(map(&[("a", Some(None))])),
        Some(map(&[("~s", None)])),
        Some(map(&[("~s", Some(None)), ("a", None)])),
        Some(map(&[])),
        None,
    ]);
}

/// A type whose nested option is new reads what was stored before, and the other way round.
#[test]
fn what_an_ordinary_option_has_stored_is_stored_as_it_was() {
    let mut document = document();
    document.write(at(1), path("v"), &Some(7)).unwrap();
    assert_eq!(document.get(path("v")), Some(Value::I64(7)));
    assert_eq!(document.read::<Option<Option<i32>>>(path("v")).unwrap(), Some(Some(7)));
    document.write(at(2), path("v"), &None::<i32>).unwrap();
    assert_eq!(document.node(path("v")), None);
    // A null that somebody has set is None, as it is for an option of a number.
    document.set(at(3), path("v"), Value::Null).unwrap();
    assert_eq!(document.read::<Option<Option<i32>>>(path("v")).unwrap(), None);
    assert_eq!(document.read::<Option<i32>>(path("v")).unwrap(), None);
    document.write(at(4), path("v"), &Some(None::<i32>)).unwrap();
    assert_eq!(document.get(path("v/~s")), Some(Value::Null));
    // A type without the outer option cannot say it, and is told so.
    assert_eq!(read::<Option<i32>>(&document), Err("v/~s: expected i32, found null".to_owned()));
}

#[test]
fn nothing_cannot_be_the_whole_document() {
    let mut document = document();
    document.set(at(1), path("a"), 1).unwrap();
    for refused in [
        document.write(at(2), None, &None::<Empty>),
        document.write(at(2), None, &Some(None::<Empty>)),
        document.write(at(2), None, &()),
        document.write(at(2), None, &Wrapper(None::<u8>)),
    ] {
        assert_eq!(refused.unwrap_err().problem(), &WriteProblem::NoPath);
    }
    assert_eq!(document.get(path("a")), Some(Value::I64(1)));
    let some = Some(BTreeMap::from([("b".to_owned(), 2)]));
    document.write(at(3), None, &some).unwrap();
    assert_eq!(document.read::<Option<BTreeMap<String, i32>>>(None).unwrap(), some);
}

/// Keys that are different values and the same text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
enum Label {
    Number(u8),
    Text(String),
}

#[derive(Serialize)]
struct Flat {
    speed: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, u8>,
}

#[test]
fn two_keys_that_are_the_same_text_are_refused_and_nothing_is_written() {
    let labels = |text: &str| BTreeMap::from([(Label::Number(1), 10), (Label::Text(text.into()), 20)]);
    let flat = |key: &str| Flat { speed: 1, rest: BTreeMap::from([(key.to_owned(), 2)]) };
    let same = |document: &mut Document<Heap>, ms| {
        let before = cells(document);
        for error in [
            document.write(at(ms), path("v"), &labels("1")).unwrap_err(),
            document.write(at(ms), path("v"), &flat("speed")).unwrap_err(),
            document.write(at(ms), path("v"), &Wrapper(Some(labels("1")))).unwrap_err(),
        ] {
            assert_eq!((error.path(), error.problem()), ("v", &WriteProblem::SameKey));
        }
        let list = document.write(at(ms), path("v"), &[labels("2"), labels("1")]).unwrap_err();
        assert_eq!(list.problem(), &WriteProblem::SameKey);
        assert_eq!(cells(document), before);
    };
    let mut document = document();
    same(&mut document, 1);
    // Over a value of each kind: a map with these keys, a scalar, a list.
    document.write(at(2), path("v"), &labels("2")).unwrap();
    same(&mut document, 3);
    document.write(at(4), path("v"), &flat("ramp")).unwrap();
    same(&mut document, 5);
    document.write(at(6), path("v"), &7).unwrap();
    same(&mut document, 8);
    document.write(at(9), path("v"), &[labels("2")]).unwrap();
    same(&mut document, 10);
}

/// What tells equal keys from different ones takes no more room than the entries themselves.
#[test]
fn a_map_that_just_fits_is_still_written() {
    let mut small = Document::<Fixed<Cells<4>, capacity::Bytes<128>, Replicas<2>>>::new(
        &DocumentName::new("d").unwrap(),
        ReplicaId::new(1),
        Limits::default(),
    );
    let four = |n| BTreeMap::from([("a", n), ("b", n), ("c", n), ("d", n)]);
    for n in 0..3 {
        small.write(at(n + 1), path("s"), &four(n as i64)).unwrap();
        assert_eq!(small.read::<BTreeMap<&str, i64>>(path("s")).unwrap(), four(n as i64));
    }
}

#[test]
fn an_entry_that_is_none_is_an_entry() {
    let map = BTreeMap::from([("a".to_owned(), Some(1)), ("b".to_owned(), None)]);
    all_exact(&[map.clone(), BTreeMap::from([("b".to_owned(), None)]), BTreeMap::new(), map]);
}

fn read<'a, T: Deserialize<'a>>(document: &'a Document<Heap>) -> Result<T, String> {
    document.read(path("v")).map_err(|error| error.to_string())
}

#[test]
fn a_number_that_a_float_cannot_hold_is_refused_by_the_reader() {
    let mut document = document();
    let mut stored = |ms, value: Value<'_>| -> (Result<f64, String>, Result<f32, String>) {
        document.set(at(ms), path("v"), value).unwrap();
        (read(&document), read(&document))
    };
    let refused =
        |kind: &str, found: &str| Err(format!("v: expected {kind}, found {found}, which it cannot hold"));
    assert_eq!(stored(1, Value::I64(7)), (Ok(7.0), Ok(7.0)));
    let integer = (1 << 24) + 1;
    let shown = format!("the integer {integer}");
    assert_eq!(stored(2, Value::I64(integer)), (Ok(integer as f64), refused("f32", &shown).map(|()| 0.0)));
    for integer in [(1 << 53) + 1, i64::MAX, i64::MIN + 1] {
        let shown = format!("the integer {integer}");
        let both = (refused("f64", &shown).map(|()| 0.0), refused("f32", &shown).map(|()| 0.0));
        assert_eq!(stored(3, Value::I64(integer)), both);
    }
    assert_eq!(stored(4, Value::I64(i64::MIN)), (Ok(i64::MIN as f64), Ok(i64::MIN as f32)));
    assert_eq!(stored(5, Value::F64(0.1)), (Ok(0.1), Ok(0.1)), "the nearest one");
    for float in [1e300, -1e300, 1e-300] {
        let shown = format!("the float {float:?}");
        assert_eq!(stored(6, Value::F64(float)), (Ok(float), refused("f32", &shown).map(|()| 0.0)));
    }
    assert_eq!(stored(7, Value::F64(f64::INFINITY)), (Ok(f64::INFINITY), Ok(f32::INFINITY)));
    assert!(stored(8, Value::F64(f64::NAN)).1.is_ok_and(f32::is_nan));
    assert_eq!(stored(9, Value::F64(-0.0)).1.map(f32::to_bits), Ok((-0.0_f32).to_bits()));
    let (wide, narrow) = stored(10, Value::Str("1"));
    assert_eq!(wide, Err("v: expected f64, found a string".to_owned()));
    assert_eq!(narrow, Err("v: expected f32, found a string".to_owned()));

    document.write_json(at(11), path("v"), &u64::MAX.into()).unwrap();
    let error = document.read::<f64>(path("v")).unwrap_err();
    let found = Found::LargeInteger(u64::MAX);
    assert!(matches!(error.problem(), ReadProblem::OutOfRange { found: of, .. } if *of == found), "{error}");
    document.write_json(at(12), path("v"), &(1_u64 << 63).into()).unwrap();
    assert_eq!(read(&document), Ok(9_223_372_036_854_775_808.0));
}

#[test]
fn keys_that_somebody_put_there_are_read_and_written_where_they_stand() {
    let mut document = document();
    let put = ["m/=", "m/a~b", "m/~~", "m/x"].map(|at| Write::set(path(at), 1));
    document.update(at(1), &put).unwrap();
    type Map = BTreeMap<String, i32>;
    let mut map: Map = document.read(path("m")).unwrap();
    assert_eq!(map, ["=", "a~b", "~~", "x"].map(|key| (key.to_owned(), 1)).into());
    assert_eq!(document.write(at(2), path("m"), &map), Ok(None));
    map.insert("=".into(), 2);
    map.remove("a~b");
    let seq = document.seq();
    document.write(at(3), path("m"), &map).unwrap();
    assert_eq!(document.changes_since(seq).count(), 2, "a value and a tombstone");
    assert_eq!(document.get(path("m/=")), Some(Value::I64(2)));
    assert_eq!(document.read::<Map>(path("m")).unwrap(), map);

    // Reserved keys that are not used as such are shown, and written in their escaped form.
    let put = ["@", "~s", "~u"].map(|key| format!("r/{key}"));
    document.update(at(4), &put.each_ref().map(|at| Write::set(path(at), 5))).unwrap();
    let reserved: Map = ["@", "~s", "~u"].map(|key| (key.to_owned(), 5)).into();
    assert_eq!(document.read::<Map>(path("r")).unwrap(), reserved);
    document.write(at(5), path("r"), &reserved).unwrap();
    assert_eq!(document.read::<Map>(path("r")).unwrap(), reserved);
    assert_eq!(document.get(path("r/~@")), Some(Value::I64(5)));
    assert_eq!(document.get(path("r/@")), None);
}

#[test]
fn two_keys_of_paths_that_are_one_key_of_a_map_are_told() {
    for (raw, escaped) in [("=", "~="), ("@", "~@"), ("a~b", "a~0b"), ("~u", "~0u"), ("~s", "~0s")] {
        let mut document = document();
        let (raw, escaped) = (format!("m/{raw}"), format!("m/{escaped}"));
        document.update(at(1), &[Write::set(path(&raw), 1), Write::set(path(&escaped), 2)]).unwrap();
        let error = document.read::<BTreeMap<String, i32>>(path("m")).unwrap_err();
        assert_eq!((error.path(), error.problem()), (raw.as_str(), &ReadProblem::SameKey));
        // A type that does not ask for them reads on.
        assert_eq!(document.read::<Empty>(path("m")).unwrap(), Empty {});
        let map = BTreeMap::from([("k".to_owned(), 3)]);
        document.write(at(2), path("m"), &map).unwrap();
        assert_eq!(document.read::<BTreeMap<String, i32>>(path("m")).unwrap(), map);
    }
}

/// An element's place in its list is not one of its fields: they are read without it and written beside it.
#[test]
fn an_element_that_is_written_as_a_map_keeps_its_place() {
    let mut document = document();
    let list = crdt_core::types::List::at(path("l")).unwrap();
    for ms in 1..3 {
        let entry = list.place_last(&document, ms).unwrap();
        let name = entry.path().join("name").unwrap();
        let [place] = entry.writes();
        document.update(at(ms), &[place, Write::set(name.as_path(), "first")]).unwrap();
    }
    type Map = BTreeMap<String, String>;
    let element = list.iter(&document).next().unwrap().path.as_str().to_owned();
    let mut map: Map = document.read(path(&element)).unwrap();
    assert_eq!(map, BTreeMap::from([("name".to_owned(), "first".to_owned())]));
    map.insert("room".into(), "7".into());
    document.write(at(5), path(&element), &map).unwrap();
    assert_eq!(document.read::<Vec<Map>>(path("l")).unwrap()[0], map);
    assert_eq!(list.len(&document), 2);

    // An enum in the fields of an element is read without the place, too, however new that is.
    let id = element.rsplit_once('/').unwrap().1.to_owned();
    document.delete(at(6), path(&format!("{element}/name"))).unwrap();
    document.delete(at(6), path(&format!("{element}/room"))).unwrap();
    let choice = format!("{element}/NoFields");
    document.update(at(7), &[Write::map(path(&choice))]).unwrap();
    let moved = list.move_to(&document, &id, 1);
    assert!(moved.is_ok() || document.get(path(&element)).is_none(), "it shows as long as it has content");
    assert_eq!(document.read::<Choice>(path(&element)).unwrap(), Choice::NoFields {});
}

#[test]
fn what_does_not_fit_for_its_some_is_refused() {
    let mut document = document();
    let deep = path("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16");
    let error = document.write(at(1), deep, &Some(None::<u8>)).unwrap_err();
    assert_eq!(error.problem(), &WriteProblem::Path(PathError::TooDeep { keys: 17 }));
    assert_eq!(document.write(at(2), deep, &None::<Option<u8>>), Ok(None));
    let long = "x".repeat(5_000);
    let error = document.write(at(3), path("v"), &Some(Some(long))).unwrap_err();
    assert!(matches!(error.problem(), WriteProblem::Update(UpdateError::Value(_))), "{error}");
    assert_eq!(document.cells().filter(|cell| !matches!(cell.content, Content::Tombstone)).count(), 0);
}
