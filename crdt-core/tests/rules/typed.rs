//! Structs of an application, stored and read back.

use std::collections::BTreeMap;

use crdt_core::capacity::{self, Cells, Replicas};
use crdt_core::limits::TYPED_NESTING_MAX;
use crdt_core::typed::{Found, ReadProblem, WriteProblem};
use crdt_core::{
    CapacityError, Content, Document, DocumentName, Fixed, Heap, Limits, Memory, Moment, Path, PathError,
    ReplicaId, UpdateError, Value, ValueError, Write,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn document<S: Memory>(replica: u64) -> Document<S> {
    Document::new(&DocumentName::new("pump-42").unwrap(), ReplicaId::new(replica), Limits::default())
}

fn path(text: &str) -> Path<'_> {
    Path::new(text).unwrap()
}

fn at(ms: u64) -> Moment {
    Moment::new(ms)
}

/// The paths of what was written since `seq`.
fn written(document: &Document<Heap>, seq: u64) -> Vec<String> {
    let mut paths: Vec<_> = document.changes_since(seq).map(|cell| cell.path.to_owned()).collect();
    paths.sort();
    paths
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Station {
    name: String,
    letter: char,
    enabled: bool,
    gain: f32,
    limits: [i8; 2],
    wide: (u8, i16, u16, i32, u32, i64, u64),
    note: Option<String>,
    secret: Bytes,
    unit: (),
    id: Id,
    pumps: BTreeMap<String, Pump>,
    by_number: BTreeMap<i32, bool>,
    history: Vec<Mode>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Id(u32);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pump {
    setpoint: f64,
    mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_starts: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Mode {
    Auto,
    Fixed(u16),
    Manual { speed: u16, until: Option<String> },
    Ramp(u16, u16),
    Maybe(Option<u8>),
}

#[derive(Clone, Debug, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(|bytes| Bytes(bytes.to_vec()))
    }
}

fn station() -> Station {
    let pump = |mode| Pump { setpoint: 4.5, mode, max_starts: Some(6) };
    Station {
        name: "north".into(),
        letter: 'ß',
        enabled: true,
        gain: 0.1,
        limits: [i8::MIN, i8::MAX],
        wide: (u8::MAX, i16::MIN, u16::MAX, i32::MIN, u32::MAX, i64::MIN, i64::MAX as u64),
        note: None,
        secret: Bytes(vec![0, 255, 7]),
        unit: (),
        id: Id(7),
        pumps: BTreeMap::from([
            ("a/b".into(), pump(Mode::Auto)),
            ("".into(), pump(Mode::Fixed(3))),
            ("~".into(), pump(Mode::Manual { speed: 900, until: None })),
            ("@".into(), pump(Mode::Ramp(1, 2))),
            ("=".into(), pump(Mode::Maybe(None))),
        ]),
        by_number: BTreeMap::from([(-1, true), (20, false)]),
        history: vec![
            Mode::Auto,
            Mode::Auto,
            Mode::Manual { speed: 1, until: Some("noon".into()) },
            Mode::Fixed(0),
        ],
    }
}

#[test]
fn what_is_written_is_read_back_and_writing_it_again_writes_nothing() {
    let mut document = document::<Heap>(1);
    let station = station();
    let stamp = document.write(at(1), path("station/1"), &station).unwrap().unwrap();
    assert_eq!(document.read::<Station>(path("station/1")).unwrap(), station);
    assert!(document.cells().all(|cell| cell.stamp == stamp), "one transaction");
    document.check_invariants().unwrap();
    let (seq, vv) = (document.seq(), document.version_vector().time_of(ReplicaId::new(1)));
    assert_eq!(document.write(at(2), path("station/1"), &station), Ok(None));
    assert_eq!((document.seq(), document.version_vector().time_of(ReplicaId::new(1))), (seq, vv));

    // The whole document is a struct too.
    let mut whole = self::document::<Heap>(1);
    whole.write(at(1), None, &station).unwrap().unwrap();
    assert_eq!(whole.read::<Station>(None).unwrap(), station);
    assert_eq!(whole.get(path("name")), Some(Value::Str("north")));
}

#[test]
fn only_what_changed_is_written() {
    let mut document = document::<Heap>(1);
    let mut station = station();
    document.write(at(1), path("s"), &station).unwrap();
    let mut write = |station: &Station, ms| {
        let seq = document.seq();
        document.write(at(ms), path("s"), station).unwrap();
        document.check_invariants().unwrap();
        assert_eq!(&document.read::<Station>(path("s")).unwrap(), station);
        written(&document, seq)
    };
    station.pumps.get_mut("~").unwrap().mode = Mode::Manual { speed: 901, until: None };
    assert_eq!(write(&station, 2), ["s/pumps/~0/mode/Manual/speed"]);
    station.note = Some("check the seal".into());
    assert_eq!(write(&station, 3), ["s/note"]);
    station.note = None;
    station.pumps.get_mut("").unwrap().max_starts = None;
    assert_eq!(write(&station, 4), ["s/note", "s/pumps/~/max_starts"], "two tombstones");
    station.pumps.remove("a/b");
    assert_eq!(write(&station, 5), ["s/pumps/a~1b"], "one tombstone for the whole entry");
    station.by_number.clear();
    assert_eq!(write(&station, 6), ["s/by_number"], "an empty map is a marker");
    station.history.remove(1);
    assert_eq!(write(&station, 7).len(), 1, "an element is one tombstone");
    station.history.insert(0, Mode::Fixed(9));
    assert_eq!(write(&station, 8).len(), 3, "a position, an enum's marker and its value");
}

#[test]
fn the_fields_of_a_newer_program_survive_the_write_of_an_older_one() {
    #[derive(Serialize, Deserialize)]
    struct New {
        speed: u16,
        ramp: Option<u16>,
    }
    #[derive(Serialize, Deserialize)]
    struct Old {
        speed: u16,
        /// Unknown to newer programs.
        #[serde(default)]
        colour: String,
    }
    let mut document = document::<Heap>(1);
    document.write(at(1), path("p"), &New { speed: 1, ramp: Some(30) }).unwrap();
    let old: Old = document.read(path("p")).unwrap();
    assert_eq!((old.speed, old.colour.as_str()), (1, ""));
    document.write(at(2), path("p"), &Old { speed: 2, colour: "red".into() }).unwrap();
    let new: New = document.read(path("p")).unwrap();
    assert_eq!((new.speed, new.ramp), (2, Some(30)));

    // A map is closed: what it does not have is gone.
    document.write(at(3), path("p"), &BTreeMap::from([("speed", 3)])).unwrap();
    assert_eq!(document.read::<BTreeMap<&str, u8>>(path("p")).unwrap(), BTreeMap::from([("speed", 3)]));
}

#[test]
fn nothing_and_an_empty_struct_are_told_apart() {
    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Options {
        a: Option<u8>,
        b: Option<u8>,
    }
    let mut document = document::<Heap>(1);
    let mut write = |value: Option<Options>, ms, expected: &[Content<'_>]| {
        document.write(at(ms), path("o"), &value).unwrap();
        assert_eq!(document.read::<Option<Options>>(path("o")).unwrap(), value);
        let contents: Vec<_> = document.iter(Some(path("o"))).map(|cell| cell.content).collect();
        assert_eq!(contents, expected);
        document.check_invariants().unwrap();
    };
    write(None, 1, &[]);
    write(Some(Options::default()), 2, &[Content::Map]);
    write(Some(Options { a: Some(1), b: None }), 3, &[Value::I64(1).into()]);
    write(Some(Options::default()), 4, &[Content::Map]);
    write(None, 5, &[]);
    write(Some(Options { a: Some(1), b: Some(2) }), 6, &[Value::I64(1).into(), Value::I64(2).into()]);
    write(Some(Options::default()), 7, &[Content::Map]);
}

#[test]
fn another_variant_leaves_nothing_of_the_one_before() {
    let mut document = document::<Heap>(1);
    let modes = [
        Mode::Auto,
        Mode::Manual { speed: 5, until: Some("noon".into()) },
        Mode::Fixed(7),
        Mode::Ramp(1, 2),
        Mode::Maybe(Some(1)),
        Mode::Maybe(None),
        Mode::Manual { speed: 6, until: None },
        Mode::Auto,
    ];
    for (ms, mode) in modes.iter().enumerate() {
        document.write(at(ms as u64 + 1), path("mode"), mode).unwrap();
        assert_eq!(&document.read::<Mode>(path("mode")).unwrap(), mode);
        assert_eq!(document.write(at(100), path("mode"), mode), Ok(None), "{mode:?}");
        document.check_invariants().unwrap();
    }
    assert_eq!(document.iter(None).count(), 1);
}

#[test]
fn of_two_concurrent_variants_the_newer_one_is_read() {
    let (mut here, mut there) = (document::<Heap>(1), document::<Heap>(2));
    here.write(at(1), path("mode"), &Mode::Fixed(1)).unwrap();
    there.merge(&here).unwrap();
    here.write(at(10), path("mode"), &Mode::Manual { speed: 5, until: None }).unwrap();
    there.write(at(11), path("mode"), &Mode::Ramp(1, 2)).unwrap();
    here.merge(&there).unwrap();
    there.merge(&here).unwrap();
    assert_eq!(here.read::<Mode>(path("mode")).unwrap(), Mode::Ramp(1, 2));
    assert!(here == there);

    // A newer write to a variant that somebody has left does not bring it back.
    here.write(at(20), path("mode"), &Mode::Fixed(3)).unwrap();
    there.merge(&here).unwrap();
    here.write(at(30), path("mode"), &Mode::Manual { speed: 8, until: None }).unwrap();
    there.write(at(31), path("mode"), &Mode::Fixed(4)).unwrap();
    here.merge(&there).unwrap();
    assert_eq!(here.iter(None).count(), 2, "both variants have something");
    assert_eq!(here.read::<Mode>(path("mode")).unwrap(), Mode::Manual { speed: 8, until: None });
    here.write(at(40), path("mode"), &Mode::Manual { speed: 8, until: None }).unwrap();
    assert_eq!(here.iter(None).count(), 1, "the next write tidies up");
}

fn read_error<T: for<'a> Deserialize<'a>>(writes: &[Write<'_>]) -> (String, ReadProblem, String) {
    let mut document = document::<Heap>(1);
    document.update(at(1), writes).unwrap();
    let error = document.read::<T>(path("s")).err().expect("it must not be read");
    (error.path().to_owned(), error.problem().clone(), error.to_string())
}

#[test]
fn a_read_error_says_where_and_what() {
    let pump = [Write::set(path("s/p/setpoint"), 1.0), Write::set(path("s/p/mode"), "Auto")];
    let with = |write: Write<'static>| [&pump[..], &[write]].concat();
    type Pumps = BTreeMap<String, Pump>;

    let (place, problem, text) = read_error::<Pumps>(&pump[..1]);
    assert_eq!((place.as_str(), problem), ("s/p/mode", ReadProblem::Missing));
    assert_eq!(text, "s/p/mode: nothing is stored here, and the type needs a value");

    let (place, problem, text) = read_error::<Pumps>(&with(Write::set(path("s/p/max_starts"), 300)));
    assert_eq!(place, "s/p/max_starts");
    assert!(matches!(problem, ReadProblem::OutOfRange { found: Found::Integer(300), .. }));
    assert_eq!(text, "s/p/max_starts: expected u8, found the integer 300, which it cannot hold");

    let (_, problem, text) = read_error::<Pumps>(&with(Write::set(path("s/p/max_starts"), "six")));
    assert!(matches!(problem, ReadProblem::WrongType { found: Found::String, .. }));
    assert_eq!(text, "s/p/max_starts: expected u8, found a string");

    let (place, problem, _) = read_error::<Pumps>(&with(Write::set(path("s/p/mode"), "Turbo")));
    assert_eq!(place, "s/p/mode");
    assert!(matches!(problem, ReadProblem::UnknownVariant { variant, .. } if variant == "Turbo"));

    let (place, _, text) = read_error::<Pumps>(&with(Write::set(path("s/p/mode/Manual/speed"), true)));
    assert_eq!(
        (place.as_str(), text.as_str()),
        ("s/p/mode/Manual/speed", "s/p/mode/Manual/speed: expected u16, found true")
    );

    let (_, _, text) = read_error::<Pumps>(&with(Write::set(path("s/p/mode"), 3)));
    assert_eq!(text, "s/p/mode: expected an enum, found the integer 3");

    let (_, problem, text) = read_error::<Pump>(&[Write::set(path("s"), 1.5)]);
    assert!(matches!(problem, ReadProblem::WrongType { found: Found::Float(_), .. }));
    assert_eq!(text, "s: expected struct Pump, found the float 1.5");

    let (place, _, text) = read_error::<Vec<u8>>(&pump);
    assert_eq!((place.as_str(), text.as_str()), ("s", "s: expected a sequence, found a map"));

    let (_, problem, text) = read_error::<Pump>(&[Write::set(path("elsewhere"), 1)]);
    assert_eq!(
        (problem, text.as_str()),
        (ReadProblem::Missing, "s: nothing is stored here, and the type needs a value")
    );

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Strict {
        a: u8,
    }
    let (place, problem, _) = read_error::<Strict>(&[Write::set(path("s/a"), 1), Write::set(path("s/b"), 1)]);
    assert_eq!((place.as_str(), problem), ("s/b", ReadProblem::UnknownField { fields: &["a"] }));

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Odd {
        #[serde(rename = "in/out")]
        field: std::net::Ipv4Addr,
    }
    let (place, ..) = read_error::<Odd>(&[Write::map(path("s"))]);
    assert_eq!(place, "s/in~1out");
    let (place, problem, _) = read_error::<Odd>(&[Write::set(path("s/in~1out"), "1.2.3")]);
    assert_eq!(place, "s/in~1out");
    assert!(matches!(problem, ReadProblem::Custom(_)), "{problem:?}");

    let mut document = document::<Heap>(1);
    document.write(at(1), path("s"), &[1, 2, 3]).unwrap();
    let error = document.read::<[u8; 4]>(path("s")).unwrap_err();
    assert!(matches!(error.problem(), ReadProblem::Length { found: 3, .. }), "{error}");
    assert_eq!(error.path(), "s");
}

#[test]
fn a_write_that_does_not_fit_leaves_nothing() {
    let mut small = document::<Fixed<Cells<4>, capacity::Bytes<128>, Replicas<2>>>(1);
    small.write(at(1), path("s"), &BTreeMap::from([("a", 1), ("b", 2)])).unwrap();
    let before = small.cells().map(|cell| format!("{cell:?}")).collect::<Vec<_>>();
    let mut check = |value: &BTreeMap<&str, Option<String>>| {
        let error = small.write(at(2), path("s"), value).unwrap_err();
        let after: Vec<_> = small.cells().map(|cell| format!("{cell:?}")).collect();
        assert_eq!(before, after);
        small.check_invariants().unwrap();
        (error.path().to_owned(), error.problem().clone())
    };
    let number = || Some("7".to_owned());
    let many =
        BTreeMap::from([("a", number()), ("b", number()), ("c", number()), ("d", number()), ("e", number())]);
    let full = CapacityError::Cells { needed: 5, limit: 4 };
    assert_eq!(check(&many), ("s/e".into(), WriteProblem::Update(UpdateError::Capacity(full))));
    let (place, problem) = check(&BTreeMap::from([("a", number()), ("b", Some("x".repeat(200)))]));
    assert_eq!(place, "s/b");
    assert!(matches!(
        problem,
        WriteProblem::Update(UpdateError::Capacity(CapacityError::Bytes { limit: 128, .. }))
    ));
    let (place, problem) = check(&BTreeMap::from([("a", number()), ("b", Some("x".repeat(4097)))]));
    assert_eq!(
        (place.as_str(), problem),
        ("s/b", WriteProblem::Update(UpdateError::Value(ValueError { len: 4097 })))
    );
    // What just fits is written: the capacity of what goes is used again only after it has gone.
    let exact = BTreeMap::from([("a", 5), ("b", 6), ("c", 7), ("d", 8)]);
    small.write(at(3), path("s"), &exact).unwrap();
    assert_eq!(small.read::<BTreeMap<&str, i32>>(path("s")).unwrap(), exact);
}

#[test]
fn what_cannot_be_stored_names_the_limit() {
    fn error<T: Serialize>(value: T) -> (String, WriteProblem) {
        let mut document = document::<Heap>(1);
        let error = document.write(at(1), path("s"), &value).unwrap_err();
        assert_eq!(document.cells().count(), 0);
        (error.path().to_owned(), error.problem().clone())
    }
    let above = i128::from(u64::MAX);
    assert_eq!(error([u64::MAX]).1, WriteProblem::Integer { value: above });
    assert_eq!(
        error(BTreeMap::from([("n", u128::MAX)])),
        ("s/n".into(), WriteProblem::Integer { value: i128::MAX })
    );
    assert_eq!(error(BTreeMap::from([(vec![1], 1)])), ("s".into(), WriteProblem::Key));
    let long = "x/".repeat(100);
    assert_eq!(
        error(BTreeMap::from([(long, 1)])),
        ("s".into(), WriteProblem::Path(PathError::TooLong { len: 302 }))
    );

    /// Goes down a key at each level.
    #[derive(Serialize)]
    struct Down {
        d: Option<Box<Down>>,
    }
    let deep = |levels| (1..levels).fold(Down { d: None }, |down, _| Down { d: Some(Box::new(down)) });
    assert_eq!(error(deep(17)).1, WriteProblem::Path(PathError::TooDeep { keys: 17 }));
    let mut fits = document::<Heap>(1);
    assert!(fits.write(at(1), path("s"), &deep(15)).is_ok());

    /// Goes down without a key.
    #[derive(Serialize, Deserialize, Debug)]
    struct Around(Option<Box<Around>>);
    let around = (0..TYPED_NESTING_MAX).fold(Around(None), |inside, _| Around(Some(Box::new(inside))));
    assert_eq!(error(around).1, WriteProblem::Nesting);
    fits.set(at(2), path("around"), 1).unwrap();
    assert_eq!(*fits.read::<Around>(path("around")).unwrap_err().problem(), ReadProblem::Nesting);

    let mut document = document::<Heap>(1);
    for error in
        [document.write(at(1), None, &1).unwrap_err(), document.write(at(1), None, &[1]).unwrap_err()]
    {
        assert_eq!((error.path(), error.problem()), ("", &WriteProblem::NoPath));
        assert_eq!(
            error.to_string(),
            "the document: the whole document is a map: give a path, or a struct or a map"
        );
    }
}

#[test]
fn a_value_that_is_serialised_differently_each_time_is_told_and_breaks_nothing() {
    struct Growing(std::cell::Cell<usize>);

    impl Serialize for Growing {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.set(self.0.get() + 4);
            serializer.collect_map((0..self.0.get()).map(|i| (i, i)))
        }
    }
    let mut document = document::<Fixed<Cells<6>, capacity::Bytes<256>, Replicas<2>>>(1);
    let error = document.write(at(1), path("s"), &Growing(std::cell::Cell::new(0))).unwrap_err();
    assert_eq!(*error.problem(), WriteProblem::Unstable);
    document.check_invariants().unwrap();
    assert_eq!(document.read::<BTreeMap<usize, usize>>(path("s")).unwrap().len(), 6);
}

#[test]
fn an_error_of_the_type_itself_is_passed_on() {
    struct Broken;

    impl Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("the sensor is not calibrated"))
        }
    }
    let mut document = document::<Heap>(1);
    let error = document.write(at(1), path("s"), &BTreeMap::from([("a", Broken)])).unwrap_err();
    assert_eq!(error.to_string(), "s/a: the sensor is not calibrated");
}

#[test]
fn a_list_of_the_list_type_is_a_sequence() {
    let mut document = document::<Heap>(1);
    let list = crdt_core::types::List::at(path("servers")).unwrap();
    for (ms, name) in ["b", "a"].into_iter().enumerate() {
        let push = list.push(&document, ms as u64, name).unwrap();
        document.update(at(ms as u64), &push.writes()).unwrap();
    }
    assert_eq!(document.read::<Vec<String>>(path("servers")).unwrap(), ["b", "a"]);
    let seq = document.seq();
    document.write(at(5), path("servers"), &["b", "x", "a"]).unwrap();
    assert_eq!(written(&document, seq).len(), 2, "a position and a value");
    assert!(
        list.iter(&document)
            .map(|element| element.value)
            .eq(["b", "x", "a"].map(|name| Some(Value::Str(name))))
    );

    // Elements that are maps of the application's own.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Entry {
        at: String,
        minutes: u8,
    }
    let schedule = crdt_core::types::List::at(path("schedule")).unwrap();
    let entry = schedule.place_last(&document, 7).unwrap();
    let (time, minutes) = (entry.path().join("at").unwrap(), entry.path().join("minutes").unwrap());
    let [place] = entry.writes();
    let fields = [place, Write::set(time.as_path(), "05:30"), Write::set(minutes.as_path(), 20)];
    document.update(at(6), &fields).unwrap();
    let entry = |minutes| Entry { at: "05:30".into(), minutes };
    assert_eq!(document.read::<Vec<Entry>>(path("schedule")).unwrap(), [entry(20)]);
    document.write(at(7), path("schedule"), &[entry(20), entry(25)]).unwrap();
    assert_eq!(document.read::<Vec<Entry>>(path("schedule")).unwrap(), [entry(20), entry(25)]);
    document.check_invariants().unwrap();
}

/// A document that no program of ours would write.
fn hostile() -> impl Strategy<Value = Document<Heap>> {
    let key = prop::sample::select(vec![
        "a", "b", "@", "=", "~u", "~s", "~", "a-b", "Manual", "pumps", "mode", "name",
    ]);
    let content = prop_oneof![any::<i64>().prop_map(|n| (0, n)), (1..8_u8).prop_map(|kind| (kind, 5)),];
    prop::collection::vec((prop::collection::vec(key, 1..6), content), 0..20).prop_map(|writes| {
        let mut document = document::<Heap>(1);
        for (ms, (keys, (kind, number))) in writes.iter().enumerate() {
            let joined = keys.join("/");
            let path = path(&joined);
            let write = match kind {
                0 => Write::set(path, *number),
                1 => Write::set(path, "Manual"),
                2 => Write::set(path, [1_u8, 2].as_slice()),
                3 => Write::set(path, f64::NAN),
                4 => Write::set(path, Value::Null),
                5 => Write::map(path),
                6 => Write::list(path),
                _ => Write::delete(path),
            };
            document.update(at(ms as u64 + 1), &[write]).unwrap();
        }
        document
    })
}

proptest! {
    #[test]
    fn no_document_is_too_odd_to_be_read_or_written_over(mut document in hostile()) {
        let _ = document.read::<Station>(None);
        let _ = document.read::<Vec<Mode>>(path("a"));
        let _ = document.read::<BTreeMap<String, BTreeMap<String, Option<Mode>>>>(None);
        let station = station();
        for place in ["a", "b/a", "Manual"] {
            document.write(at(100), path(place), &station).unwrap();
            document.check_invariants().unwrap();
            prop_assert_eq!(document.read::<Station>(path(place)).unwrap(), station.clone());
            prop_assert_eq!(document.write(at(101), path(place), &station), Ok(None));
        }
        document.write(at(102), None, &station).unwrap();
        prop_assert_eq!(document.read::<Station>(None).unwrap(), station);
    }

    #[test]
    fn what_fits_is_written_and_what_does_not_leaves_nothing(
        values in prop::collection::vec(
            prop::collection::btree_map("[a-c]", prop::collection::btree_map("[a-c]", any::<Option<i8>>(), 0..4), 0..4),
            1..12,
        ),
    ) {
        let mut small = document::<Fixed<Cells<9>, capacity::Bytes<96>, Replicas<2>>>(1);
        let mut large = document::<Heap>(1);
        for (ms, value) in values.iter().enumerate() {
            let before = small.seq();
            let held: BTreeMap<String, BTreeMap<String, Option<i8>>> = small.read(None).unwrap();
            match small.write(at(ms as u64 + 1), None, value) {
                Ok(_) => {
                    large.write(at(ms as u64 + 1), None, value).unwrap();
                    prop_assert_eq!(small.read::<BTreeMap<String, BTreeMap<String, Option<i8>>>>(None).unwrap(),
                        large.read::<BTreeMap<String, BTreeMap<String, Option<i8>>>>(None).unwrap());
                }
                Err(error) => {
                    prop_assert!(matches!(error.problem(), WriteProblem::Update(UpdateError::Capacity(_))), "{}", error);
                    prop_assert_eq!(small.seq(), before);
                    prop_assert_eq!(small.read::<BTreeMap<String, BTreeMap<String, Option<i8>>>>(None).unwrap(), held);
                }
            }
            prop_assert_eq!(small.check_invariants(), Ok(()));
        }
    }
}

/// Found by random documents: a position that somebody had put below a key made the map around it look like a list, once the
/// key had a value.
#[test]
fn a_position_below_the_key_of_a_map_goes_when_the_map_is_written() {
    let mut document = document::<Heap>(1);
    document.update(at(1), &[Write::set(path("a/pumps/~/@"), [1_u8, 2].as_slice())]).unwrap();
    document.write(at(2), path("a"), &station()).unwrap();
    assert_eq!(document.read::<Station>(path("a")).unwrap(), station());
    assert_eq!(document.write(at(3), path("a"), &station()), Ok(None));
    document.check_invariants().unwrap();
}
