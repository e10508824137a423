//! What a person or a program stores comes back as it was, or is refused with the reason: values, nulls, fields of requests.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use control::{Change, Client, Get, Scalar, Set, Watch};
use runtime_cloud::engine::Request;
use serde_json::{Value as Json, json};

use crate::device::Device;
use crate::process::{Aggregator, Lines, done, failed};

/// Floats at the ends of the range, and bits from all over it, the same in each run.
fn floats(count: usize) -> Vec<f64> {
    let mut bits = 11_u64;
    let drawn = std::iter::from_fn(move || {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(f64::from_bits(bits ^ bits >> 31))
    });
    let ends = [0.0, -0.0, 7.0, 1e16, f64::MAX, f64::MIN, f64::MIN_POSITIVE, f64::from_bits(1), 0.1 + 0.2];
    ends.into_iter().chain(drawn.filter(|float| float.is_finite())).take(count).collect()
}

#[tokio::test]
async fn each_float_and_integer_comes_back_bit_for_bit_by_every_door() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let mut device = Device::new(1, "site");
    done(store, &["init"]);
    done(store, &["allow", &device.key().to_string()]);
    // Before a server runs, by the same command.
    done(store, &["set", "site", "first", "0.30000000000000004"]);
    assert_eq!(done(store, &["get", "site", "first"]), "0.30000000000000004");

    let aggregator = Aggregator::start(store);
    device.connect(&aggregator).await;
    let socket = store.join("aggregator.redb.sock");
    let document = Some("site".to_owned());
    let mut watch = Client::connect(&socket).await.unwrap();
    let numbers = Watch { document: document.clone(), path: Some("n".to_owned()) };
    watch.send(&Request::Watch(numbers)).await.unwrap();
    assert_eq!(watch.next().await.unwrap(), Some(json!({"event": "snapshot"})));

    let integers = [i64::MIN, i64::MIN + 1, -1, 0, (1 << 53) + 1, i64::MAX - 1, i64::MAX].map(Scalar::I64);
    let values: Vec<Scalar> = integers.into_iter().chain(floats(200).into_iter().map(Scalar::F64)).collect();
    let mut client = Client::connect(&socket).await.unwrap();
    for (n, value) in values.iter().enumerate() {
        let path = format!("n/{n}");
        // Some by a line of JSON, some by the command line.
        if n % 20 == 0 {
            let word = Json::from(value.clone()).to_string();
            done(store, &["set", "site", &path, &word]);
            assert_eq!(done(store, &["get", "site", &path]), word);
        } else {
            let set = Set { document: document.clone(), path: path.clone(), value: value.clone() };
            client.request(&Request::Set(set)).await.unwrap();
        }
        let get = Get { document: document.clone(), path: Some(path.clone()) };
        let got = client.request(&Request::Get(get)).await.unwrap();
        assert_eq!(Scalar::try_from(got).unwrap().as_value(), value.as_value(), "{path}");
        let told: Change = serde_json::from_value(watch.next().await.unwrap().unwrap()).unwrap();
        let Change::Set { path: told_path, value: told } = told else { panic!("{told:?}") };
        assert_eq!(told_path, path);
        assert_eq!(Scalar::try_from(told).unwrap().as_value(), value.as_value(), "{path}");
    }
    let last = values.len() - 1;
    device.until("the last value", |device| device.get(&format!("n/{last}")).is_some()).await;
    for (n, value) in values.iter().enumerate() {
        assert_eq!(device.get(&format!("n/{n}")), Some(value.as_value()), "n/{n}");
    }
}

#[test]
fn a_value_that_would_change_is_refused_and_the_old_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    done(store, &["init"]);
    done(store, &["set", "site", "a", "old"]);
    for is_running in [false, true] {
        let _running = is_running.then(|| Aggregator::start(store));
        for (word, reason) in [
            ("9223372036854775808", "write it as 9223372036854775808.0"),
            ("18446744073709551616", "write it as 18446744073709551616.0"),
            ("-9223372036854775809", "from -9223372036854775808 to 9223372036854775807"),
            ("1e400", "the largest float"),
            ("-1e-400", "the smallest float"),
            ("{\"a\":1}", "set its parts one by one"),
            ("[1,2]", "write \"[1,2]\""),
            ("{\"bytes\":\"AA==\",\"bytes\":\"AQ==\"}", "is there twice"),
            ("{\"bytes\":\"AA\"}", "is not base64"),
            ("inf", "write {\"float\":\"inf\"}"),
        ] {
            let said = failed(store, &["set", "site", "a", word], 2);
            assert!(said.contains(reason), "{word}: {said}");
            assert_eq!(done(store, &["get", "site", "a"]), "\"old\"", "{word}");
        }
        for (word, shown) in [
            ("{hello", "\"{hello\""),
            ("\"[1,2]\"", "\"[1,2]\""),
            ("-0.0", "-0.0"),
            ("7.0", "7.0"),
            ("null", "null"),
            ("old", "\"old\""),
        ] {
            done(store, &["set", "site", "a", word]);
            assert_eq!(done(store, &["get", "site", "a"]), shown);
        }
    }
}

#[test]
fn a_watch_tells_a_stored_null_from_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let _running = Aggregator::start(store);
    done(store, &["set", "site", "other", "1"]);
    let mut watch = Lines::of(store, &["watch", "site", "a"]);
    assert_eq!(watch.next(), json!({"event": "snapshot"}));
    done(store, &["set", "site", "a", "null"]);
    assert_eq!(watch.next(), json!({"event": "set", "path": "a", "value": null}));
    assert_eq!(Lines::of(store, &["watch", "site", "a"]).next(), json!({"event": "snapshot", "value": null}));
    done(store, &["delete", "site", "a"]);
    assert_eq!(watch.next(), json!({"event": "delete", "path": "a"}));
    failed(store, &["get", "site", "a"], 4);
}

/// Says a line to the socket and gives the answer.
fn say(store: &Path, line: &str) -> Json {
    let mut stream = UnixStream::connect(store.join("aggregator.redb.sock")).expect("it runs");
    writeln!(stream, "{line}").expect("it listens");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer");
    serde_json::from_str(&answer).expect("JSON")
}

#[test]
fn a_request_with_a_field_that_its_verb_does_not_have_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let running = Aggregator::start(store);
    let key = running.key;
    for (request, known) in [
        (format!(r#""verb":"allow","key":"{key}""#), "`key` or `document`"),
        (r#""verb":"delete","document":"site","path":"a""#.to_owned(), "`document` or `path`"),
        (r#""verb":"get","document":"site""#.to_owned(), "`document` or `path`"),
        (r#""verb":"list""#.to_owned(), "there are no fields"),
        (format!(r#""verb":"revoke","key":"{key}""#), "expected `key`"),
        (r#""verb":"set","document":"site","path":"a","value":1"#.to_owned(), "`document`, `path`, `value`"),
        (r#""verb":"status""#.to_owned(), "there are no fields"),
        (r#""verb":"watch","document":"site""#.to_owned(), "`document` or `path`"),
    ] {
        let answer = say(store, &format!(r#"{{{request},"docment":"town"}}"#));
        assert_eq!(answer["error"]["code"], "bad_request", "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("`docment`") && message.contains(known), "{message}");
    }
    let status = say(store, r#"{"verb":"status"}"#);
    assert_eq!(status["ok"]["documents_stored"], 0, "nothing was written: {status}");
    assert_eq!(say(store, r#"{"verb":"list"}"#), json!({"ok": []}), "nobody was let in");
}
