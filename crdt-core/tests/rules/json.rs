//! JSON in and out: nothing is lost, and only what differs is written. A naive model is `serde_json::Value` itself.

use std::collections::BTreeMap;

use crdt_core::typed::{JsonTextError, ReadProblem, WriteProblem, parse_json};
use crdt_core::types::Counter;
use crdt_core::{
    Config, Content, CountingRng, Document, DocumentName, Heap, Limits, Moment, Path, PathError, Replica,
    ReplicaId, Role, UpdateError, Value, ValueError, Write,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn document() -> Document<Heap> {
    Document::new(&DocumentName::new("pump-42").unwrap(), ReplicaId::new(1), Limits::default())
}

fn path(text: &str) -> Path<'_> {
    Path::new(text).unwrap()
}

fn at(ms: u64) -> Moment {
    Moment::new(ms)
}

/// Writes, and tells how many cells that took.
fn write(document: &mut Document<Heap>, ms: u64, json: &Json) -> usize {
    let before = document.seq();
    let stamp = document.write_json(at(ms), path("j"), json).unwrap();
    assert_eq!(document.to_json(path("j")).unwrap().as_ref(), Some(json));
    document.check_invariants().unwrap();
    let cells: Vec<_> = document.changes_since(before).collect();
    assert!(cells.iter().all(|cell| Some(cell.stamp) == stamp));
    cells.len()
}

#[test]
fn everything_that_json_holds_comes_back() {
    for json in [
        json!(null),
        json!(true),
        json!(0),
        json!(1.0),
        json!(-0.0),
        json!(1e300),
        json!(0.1),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(i64::MAX as u64 + 1),
        json!(u64::MAX),
        json!(""),
        json!("text"),
        json!({}),
        json!([]),
        json!([[], {}, [[]], null]),
        json!({"": 1, "/": 2, "~": 3, "a/b~c": 4, "~u": 5, "@": 6, "=": 7, "~1": 8}),
        json!({"a": {"b": {"c": []}}, "list": [1, "1", 1.0, {"@": 1, "=": 2}, u64::MAX]}),
    ] {
        let mut document = document();
        assert!(write(&mut document, 1, &json) > 0, "{json}");
        assert_eq!(document.to_json(path("j")).unwrap().unwrap().to_string(), json.to_string());
        assert_eq!(write(&mut document, 2, &json), 0, "{json}");
        // The serde way reads the same.
        assert_eq!(document.read::<Json>(path("j")).unwrap(), json);
    }
}

#[test]
fn an_integer_becomes_no_float_and_a_float_no_integer() {
    let mut document = document();
    write(&mut document, 1, &json!({"a": 1, "b": 1.0}));
    assert_eq!(document.get(path("j/a")), Some(Value::I64(1)));
    assert_eq!(document.get(path("j/b")), Some(Value::F64(1.0)));
    assert_eq!(write(&mut document, 2, &json!({"a": 1.0, "b": 1.0})), 1);
    assert_eq!(document.to_json(path("j")).unwrap().unwrap().to_string(), r#"{"a":1.0,"b":1.0}"#);
}

#[test]
fn integers_above_the_range_of_a_cell_have_a_key_of_their_own() {
    let mut document = document();
    write(&mut document, 1, &json!({"n": u64::MAX}));
    assert_eq!(document.get(path("j/n/~u")), Some(Value::I64(-1)));
    assert_eq!(document.read::<BTreeMap<String, u64>>(path("j")).unwrap()["n"], u64::MAX);
    assert_eq!(write(&mut document, 2, &json!({"n": u64::MAX - 1})), 1);
    assert_eq!(write(&mut document, 3, &json!({"n": 5})), 1);
    assert_eq!(write(&mut document, 4, &json!({"n": u64::MAX})), 2, "a marker and the bits");
    assert_eq!(write(&mut document, 5, &json!({"n": {"u": 1}})), 2, "a marker and the entry");
    assert_eq!(write(&mut document, 6, &json!({"n": {}})), 1, "a marker ends what is below");
    // Without JSON's word for it, the serde way refuses what it cannot store as a number.
    let error = document.write(at(7), path("j"), &json!({"n": u64::MAX})).unwrap_err();
    assert_eq!((error.path(), error.problem()), ("j/n", &WriteProblem::Integer { value: u64::MAX.into() }));
}

/// Found by the model test: the integer is hidden by the key, as any scalar is, and goes with the next write above.
#[test]
fn a_key_written_below_a_large_integer_hides_it() {
    let mut document = document();
    write(&mut document, 1, &json!({"n": u64::MAX}));
    document.write_json(at(2), path("j/n/c"), &json!(null)).unwrap();
    assert_eq!(document.to_json(path("j")), Ok(Some(json!({"n": {"c": null}}))));
    assert_eq!(write(&mut document, 3, &json!({"n": {"c": null}})), 2, "a marker ends the integer");
    assert_eq!(write(&mut document, 4, &json!({"n": {"c": null}})), 0);
}

#[test]
fn an_edit_of_an_array_writes_what_was_edited() {
    let mut document = document();
    let mut ms = 0;
    let mut edit = |json: Json| {
        ms += 1;
        write(&mut document, ms, &json)
    };
    edit(json!(["a", "b", "c", "d", "e", "f", "g", "h"]));
    assert_eq!(edit(json!(["a", "b", "c", "D", "e", "f", "g", "h"])), 1, "changed in place");
    assert_eq!(edit(json!(["a", "b", "c", "e", "f", "g", "h"])), 1, "deleted");
    assert_eq!(edit(json!(["a", "x", "b", "c", "e", "f", "g", "h"])), 2, "inserted: position and content");
    assert_eq!(edit(json!(["0", "a", "x", "b", "c", "e", "f", "g", "h"])), 2, "inserted first");
    assert_eq!(edit(json!(["0", "a", "x", "b", "c", "e", "f", "g", "h", "i"])), 2, "appended");
    assert_eq!(edit(json!(["0", "a", "h", "i"])), 6, "six deleted");
    assert_eq!(edit(json!(["0", "a", "h", {"x": 1, "y": 2}])), 3, "a marker, and the fields");
    assert_eq!(edit(json!(["0", "a", "h", {"x": 1, "y": 3}])), 1, "a field of an element");
    assert_eq!(edit(json!([{"x": 1, "y": 3}])), 3, "three deleted");
    assert_eq!(edit(json!([])), 1, "the list itself stays");
}

#[test]
fn what_does_not_fit_names_the_limit_and_leaves_nothing() {
    let mut document = document();
    let mut error = |json: Json| {
        let error = document.write_json(at(1), path("j"), &json).unwrap_err();
        assert_eq!(document.cells().count(), 0);
        (error.path().to_owned(), error.problem().clone())
    };
    let long = |key: &str| json!({"ok": 1, "z": {key: 1}});
    assert_eq!(
        error(long(&"k".repeat(252))),
        ("j/z".into(), WriteProblem::Path(PathError::TooLong { len: 256 }))
    );
    assert_eq!(
        error(long(&"/".repeat(126))),
        ("j/z".into(), WriteProblem::Path(PathError::TooLong { len: 256 }))
    );
    let too_long = WriteProblem::Update(UpdateError::Value(ValueError { len: 4097 }));
    assert_eq!(error(json!({"text": "x".repeat(4097)})), ("j/text".into(), too_long));
    let deep = (0..16).fold(json!(1), |json, _| json!({"d": json}));
    assert_eq!(error(deep).1, WriteProblem::Path(PathError::TooDeep { keys: 17 }));
    let lists = (0..8).fold(json!(1), |json, _| json!([json]));
    assert_eq!(error(lists).1, WriteProblem::Path(PathError::TooDeep { keys: 17 }));
    let lists = (0..7).fold(json!(1), |json, _| json!([json]));
    assert!(document.write_json(at(1), path("j"), &lists).is_ok());
}

#[test]
fn what_json_cannot_hold_is_refused_with_its_path() {
    for (value, shown) in [
        (Value::Bytes(&[1, 2]), "bytes"),
        (Value::F64(f64::NAN), "the float NaN"),
        (Value::F64(f64::NEG_INFINITY), "the float -inf"),
    ] {
        let mut document = document();
        document.set(at(1), path("ok"), 1).unwrap();
        document.set(at(2), path("a/b"), value).unwrap();
        for prefix in [None, Some(path("a")), Some(path("a/b"))] {
            let error = document.to_json(prefix).unwrap_err();
            assert_eq!(error.path(), "a/b");
            assert_eq!(
                error.to_string(),
                format!("a/b: JSON cannot hold {shown}: read it with get, or with read and a type")
            );
        }
        assert_eq!(document.to_json(path("ok")), Ok(Some(json!(1))));
    }
    assert_eq!(document().to_json(path("elsewhere")), Ok(None));
    assert_eq!(document().to_json(None), Ok(Some(json!({}))));
}

#[test]
fn a_key_that_somebody_put_there_does_not_vanish() {
    for (raw, shown) in [
        ("@", "@"),
        ("=", "="),
        ("a~b", "a~b"),
        ("~u", "~u"),
        ("~s", "~s"),
        ("~@", "@"),
        ("~1", "/"),
        ("~", ""),
    ] {
        for above in ["m/", ""] {
            let mut document = document();
            let at_key = format!("{above}{raw}");
            document.set(at(1), path("m/x"), 1).unwrap();
            document.set(at(2), path(&at_key), 5).unwrap();
            let json = document.to_json(None).unwrap().unwrap();
            let expected = if above.is_empty() {
                json!({"m": {"x": 1}, shown: 5})
            } else {
                json!({"m": {"x": 1, shown: 5}})
            };
            assert_eq!(json, expected, "{at_key}");
            // Written over the document or into another one, it is the same to JSON.
            document.write_json(at(3), None, &json).unwrap();
            assert_eq!(document.to_json(None), Ok(Some(json.clone())));
            let mut other = self::document();
            other.write_json(at(1), None, &json).unwrap();
            assert_eq!(other.to_json(None), Ok(Some(json)));
        }
    }
}

#[test]
fn two_keys_of_paths_that_are_one_key_of_json_are_refused() {
    for (raw, escaped) in [("@", "~@"), ("=", "~="), ("a~b", "a~0b"), ("~u", "~0u")] {
        let mut document = document();
        let (raw, escaped) = (format!("m/{raw}"), format!("m/{escaped}"));
        document.set(at(1), path(&raw), 1).unwrap();
        document.set(at(2), path(&escaped), 2).unwrap();
        let error = document.to_json(None).unwrap_err();
        assert_eq!((error.path(), error.problem()), (raw.as_str(), &ReadProblem::SameKey));
        document.delete(at(3), path(&escaped)).unwrap();
        assert!(document.to_json(None).is_ok());
    }
}

/// The base of a counter stands at a key that maps escape.
#[test]
fn a_counter_counts_on_when_its_document_was_written_as_json() {
    let mut document = document();
    let counter = Counter::at(path("c")).unwrap();
    for (ms, amount) in [(1, 7), (3, 2)] {
        document.update(at(ms), &counter.add(&document, amount).unwrap().writes()).unwrap();
        document.update(at(ms + 1), &counter.reset(&document).unwrap().writes()).unwrap();
    }
    document.update(at(5), &counter.add(&document, 4).unwrap().writes()).unwrap();
    let mut json = document.to_json(None).unwrap().unwrap();
    assert_eq!(document.write_json(at(6), None, &json), Ok(None), "writing what was read changes nothing");
    json["other"] = json!(1);
    document.write_json(at(7), None, &json).unwrap();
    assert_eq!(counter.value(&document), Ok(4));
}

#[test]
fn a_null_inside_of_an_option_is_null_to_json_and_stays_one_to_the_type() {
    let mut document = document();
    let some = BTreeMap::from([("n", Some(None::<u8>))]);
    document.write(at(1), path("j"), &some).unwrap();
    let json = json!({"n": null});
    assert_eq!(document.to_json(path("j")), Ok(Some(json.clone())));
    assert_eq!(document.read::<Json>(path("j")).unwrap(), json);
    assert_eq!(document.write_json(at(2), path("j"), &json), Ok(None));
    assert_eq!(document.read::<BTreeMap<&str, Option<Option<u8>>>>(path("j")).unwrap(), some);
    document.write_json(at(3), path("j"), &json!({"n": 1})).unwrap();
    document.write_json(at(4), path("j"), &json).unwrap();
    assert_eq!(document.get(path("j/n")), Some(Value::Null));
}

#[test]
fn text_is_read_with_each_number_as_it_is_written() {
    let text = r#"{"a":[-9223372036854775808,18446744073709551615,7,7.0,-0.0],"b":{"-0":"-0 1e400 \" -0"},"c":5e-324}"#;
    let json: Json = parse_json(text).unwrap();
    let mut document = document();
    document.write_json(at(1), None, &json).unwrap();
    assert_eq!(document.to_json(None).unwrap().unwrap().to_string(), text);
    assert_eq!(parse_json::<Json>(" [ -0 , -0e0 ] ").unwrap().to_string(), "[0,-0.0]");

    let long = "1".repeat(400);
    for (number, reason) in [
        ("18446744073709551616", "outside of -9223372036854775808 to 18446744073709551615"),
        ("-9223372036854775809", "write .0 behind it to store the nearest float"),
        (long.as_str(), "1111..."),
        ("1e400", "the largest float"),
        ("-1e400", "the largest float"),
        ("1e-400", "the smallest float"),
        ("-0.001e-330", "the smallest float"),
    ] {
        for text in [number.to_owned(), format!("{{\"a\\\"\":[true,{number}]}}"), format!("[{number} ]")] {
            let error = parse_json::<Json>(&text).unwrap_err();
            assert!(matches!(error, JsonTextError::Number(_)), "{text}: {error}");
            assert!(error.to_string().contains(reason) && error.to_string().len() < 250, "{error}");
        }
    }
    for text in ["", "[1,", "01", "1.", "+1", "nan", "{\"a\":1}}", "[18446744073709551616"] {
        assert!(matches!(parse_json::<Json>(text), Err(JsonTextError::Syntax(_))), "{text}");
    }
    assert!(matches!(parse_json::<u8>("300"), Err(JsonTextError::Syntax(_))), "not of the type");
}

#[test]
fn a_replica_makes_durable_what_it_wrote_as_json() {
    let name = DocumentName::new("pump-42").unwrap();
    let mut replica = Replica::<Heap, _>::new(&name, Config::new(Role::Member), CountingRng::new(1));
    let mut buffer = [0; 512];
    while let Some(output) = replica.poll_output(at(1), &mut buffer) {
        if let crdt_core::Output::Persist = output {
            let token = replica.take_unsaved(|_| {});
            replica.handle_persisted(token);
        }
    }
    assert!(!replica.has_unsaved());
    replica.write_json(at(2), None, &json!({"a": 1})).unwrap();
    assert!(replica.has_unsaved());
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-c]", 1 => "[a/~@=u-]{0,3}", 1 => "\\PC{0,12}"]
}

fn any_json() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (0..4_i64).prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        Just(json!(1.0)),
        "\\PC{0,20}".prop_map(Json::from),
    ];
    scalar.prop_recursive(4, 40, 6, |inside| {
        prop_oneof![
            2 => prop::collection::btree_map(key(), inside.clone(), 0..6).prop_map(|map| map.into_iter().collect()),
            1 => prop::collection::vec(inside, 0..6).prop_map(Json::from),
        ]
    })
}

/// The same with some of it changed.
fn changed(json: Json, with: &[Json], choices: &mut impl Iterator<Item = usize>) -> Json {
    let mut choose = |n: usize| choices.next().unwrap_or(0) % n;
    match json {
        _ if choose(6) == 1 => with[choose(with.len())].clone(),
        Json::Array(mut array) => {
            let index = choose(array.len() + 1);
            match choose(4) {
                1 => array.insert(index, with[0].clone()),
                2 if index < array.len() => drop(array.remove(index)),
                _ => {}
            }
            array.into_iter().map(|json| changed(json, with, choices)).collect()
        }
        Json::Object(mut map) => {
            if choose(3) == 1 {
                map.insert("b".into(), with[0].clone());
            }
            map.into_iter().map(|(key, json)| (key, changed(json, with, choices))).collect()
        }
        scalar => scalar,
    }
}

/// Puts `json` where the keys of `path` say, as a naive reader of the rules would.
fn put(model: &mut Json, path: &str, json: &Json) {
    let mut place = model;
    for key in path.split('/') {
        if !place.is_object() {
            *place = json!({});
        }
        place = place.as_object_mut().unwrap().entry(key).or_insert(Json::Null);
    }
    *place = json.clone();
}

/// How many scalars and empty containers there are.
fn leaves(json: &Json) -> usize {
    match json {
        Json::Array(array) if !array.is_empty() => array.iter().map(leaves).sum(),
        Json::Object(map) if !map.is_empty() => map.values().map(leaves).sum(),
        _ => 1,
    }
}

proptest! {
    #[test]
    fn text_comes_back_as_it_was(json in any_json()) {
        let text = json.to_string();
        let read: Json = parse_json(&text).unwrap();
        prop_assert_eq!(read.to_string(), text.as_str());
        prop_assert_eq!(&read, &json);
        let mut document = document();
        document.write_json(at(1), path("j"), &read).unwrap();
        prop_assert_eq!(document.to_json(path("j")).unwrap().unwrap().to_string(), text);
    }

    /// Whatever keys somebody uses by hand: each value shows, or JSON says that it cannot.
    #[test]
    fn no_value_vanishes(
        writes in prop::collection::vec(
            (prop::collection::vec("[ab]|[~@=01us]{1,3}", 1..4), any::<Option<u8>>()),
            1..12,
        ),
    ) {
        let mut document = document();
        for (ms, (keys, value)) in writes.iter().enumerate() {
            let joined = keys.join("/");
            let write = match value {
                Some(value) => Write::set(path(&joined), i64::from(*value)),
                None => Write::map(path(&joined)),
            };
            document.update(at(ms as u64 + 1), &[write]).unwrap();
        }
        match document.to_json(None) {
            Ok(json) => {
                let json = json.unwrap();
                prop_assert_eq!(leaves(&json), document.iter(None).count());
                document.write_json(at(100), None, &json).unwrap();
                prop_assert_eq!(document.to_json(None), Ok(Some(json.clone())));
                prop_assert_eq!(document.write_json(at(101), None, &json), Ok(None));
                let mut other = self::document();
                other.write_json(at(1), None, &json).unwrap();
                prop_assert_eq!(other.to_json(None), Ok(Some(json)));
            }
            Err(error) => prop_assert_eq!(error.problem(), &ReadProblem::SameKey),
        }
    }

    #[test]
    fn any_json_comes_back(json in any_json()) {
        let mut document = document();
        document.write_json(at(1), path("j"), &json).unwrap();
        prop_assert_eq!(document.to_json(path("j")), Ok(Some(json.clone())));
        prop_assert_eq!(document.read::<Json>(path("j")).unwrap(), json.clone());
        prop_assert_eq!(document.write_json(at(2), path("j"), &json), Ok(None));
    }

    #[test]
    fn writing_over_writes_only_what_differs(
        first in any_json(),
        with in prop::collection::vec(any_json(), 1..4),
        choices in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let second = changed(first.clone(), &with, &mut choices.into_iter());
        let mut document = document();
        document.write_json(at(1), path("j"), &first).unwrap();
        let before: BTreeMap<String, String> = document
            .iter(None)
            .map(|cell| (cell.path.to_string(), format!("{:?}", cell.content)))
            .collect();
        let seq = document.seq();
        let stamp = match document.write_json(at(2), path("j"), &second) {
            Ok(stamp) => stamp,
            Err(error) => {
                let too_deep = matches!(error.problem(), WriteProblem::Path(PathError::TooDeep { keys: 17 }));
                prop_assert!(too_deep, "{}", error);
                prop_assert_eq!((document.seq(), document.to_json(path("j"))), (seq, Ok(Some(first))));
                return Ok(());
            }
        };
        prop_assert_eq!(document.to_json(path("j")), Ok(Some(second.clone())));
        prop_assert_eq!(document.check_invariants(), Ok(()));
        prop_assert_eq!(stamp.is_some(), first != second);
        for cell in document.changes_since(seq).map(|cell| cell.cell()) {
            prop_assert_eq!(Some(cell.stamp), stamp);
            // A marker is written again to end what was below it; a scalar never is.
            if let Content::Value(_) = cell.content {
                let same = before.get(cell.path.as_str()) == Some(&format!("{:?}", cell.content));
                prop_assert!(!same, "{:?} was there already", cell);
            }
        }
    }

    #[test]
    fn writes_anywhere_leave_what_the_model_has(
        writes in prop::collection::vec((prop::sample::select(vec!["a", "b", "a/b", "a/b/c", "b/a"]), any_json()), 1..8),
    ) {
        let mut document = document();
        let mut model = json!({});
        for (ms, (place, json)) in writes.iter().enumerate() {
            let through_a_list = Path::new(place).unwrap().ancestors().any(|above| {
                model.pointer(&format!("/{above}")).is_some_and(Json::is_array)
            });
            // A key below a list is an element to the document, and nothing to JSON.
            if through_a_list {
                continue;
            }
            put(&mut model, place, json);
            document.write_json(at(ms as u64 + 1), path(place), json).unwrap();
            prop_assert_eq!(document.to_json(None), Ok(Some(model.clone())));
            prop_assert_eq!(document.check_invariants(), Ok(()));
        }
        // An integer of its own key may still stand beside a key that was written below it: that is tidied up, once.
        document.write_json(at(100), None, &model).unwrap();
        prop_assert_eq!(document.to_json(None), Ok(Some(model.clone())));
        prop_assert_eq!(document.write_json(at(101), None, &model), Ok(None));
    }
}
