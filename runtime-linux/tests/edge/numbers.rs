//! What a person or a program stores comes back as it was, or is refused with the reason: values, nulls, fields of requests.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::{Aggregator, Running, code, edge, stderr, stdout, until};
use control::{Change, Client, Set};
use crdt_core::Path as CellPath;
use runtime_linux::{Edge, EdgeRequest, Options, Scalar, socket_path};
use serde_json::{Value as Json, json};

/// Floats at the ends of the range, and bits from all over it, the same in each run.
fn floats(count: usize) -> Vec<f64> {
    let mut bits = 7_u64;
    let drawn = std::iter::from_fn(move || {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(f64::from_bits(bits ^ bits >> 31))
    });
    let ends = [0.0, -0.0, 7.0, 1e16, f64::MAX, f64::MIN, f64::MIN_POSITIVE, f64::from_bits(1), 0.1 + 0.2];
    ends.into_iter().chain(drawn.filter(|float| float.is_finite())).take(count).collect()
}

/// `edge watch`, line by line; killed when dropped.
struct Watching {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn of(store: &Path, path: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
        command.args(["watch", path, "--store"]).arg(store).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_float_and_integer_comes_back_bit_for_bit_by_every_door() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let arguments = ["--aggregator", &aggregator.address, "--key", &key, "--document", "pump"];
    let running = Running::start(store, &arguments);
    let mut watch = Client::connect(&socket_path(store)).await.unwrap();
    watch
        .send(&EdgeRequest::Watch(control::Watch { document: None, path: Some("n".to_owned()) }))
        .await
        .unwrap();
    assert_eq!(watch.next().await.unwrap(), Some(json!({"event": "snapshot"})));

    let integers = [i64::MIN, i64::MIN + 1, -1, 0, (1 << 53) + 1, i64::MAX - 1, i64::MAX].map(Scalar::I64);
    let values: Vec<Scalar> = integers.into_iter().chain(floats(200).into_iter().map(Scalar::F64)).collect();
    let mut client = Client::connect(&socket_path(store)).await.unwrap();
    for (n, value) in values.iter().enumerate() {
        let path = format!("n/{n}");
        // Some by a line of JSON, some by the command line.
        if n % 20 == 0 {
            let word = Json::from(value.clone()).to_string();
            let set = edge(store, &["set", &path, &word]);
            assert_eq!(code(&set), 0, "{}", stderr(&set));
            assert_eq!(stdout(&edge(store, &["get", &path])).trim(), word);
        } else {
            let set = Set { document: None, path: path.clone(), value: value.clone() };
            client.request(&EdgeRequest::Set(set)).await.unwrap();
        }
        let get = control::Get { document: None, path: Some(path.clone()) };
        let got: Scalar =
            serde_json::from_value(client.request(&EdgeRequest::Get(get)).await.unwrap()).unwrap();
        assert_eq!(got.as_value(), value.as_value(), "{path}");
        let told: Change = serde_json::from_value(watch.next().await.unwrap().unwrap()).unwrap();
        let Change::Set { path: told_path, value: told } = told else { panic!("{told:?}") };
        assert_eq!(told_path, path);
        assert_eq!(Scalar::try_from(told).unwrap().as_value(), value.as_value(), "{path}");
    }

    let last = format!("n/{}", values.len() - 1);
    until("the last value", async || {
        let last = last.clone();
        aggregator
            .ask("pump", move |replica| replica.document().get(CellPath::new(&last).unwrap()).is_some())
            .await
    })
    .await;
    let expected = values.clone();
    aggregator
        .ask("pump", move |replica| {
            for (n, value) in expected.iter().enumerate() {
                let path = format!("n/{n}");
                let got = replica.document().get(CellPath::new(&path).unwrap());
                assert_eq!(got, Some(value.as_value()), "{path}");
            }
        })
        .await;
    drop(running);

    let opened = Edge::open(Options::new(store)).await.unwrap();
    for (n, value) in values.iter().enumerate() {
        let got = opened.get(&format!("n/{n}")).await.unwrap().unwrap();
        assert_eq!(got.as_value(), value.as_value(), "n/{n}");
    }
    opened.shut_down().await.unwrap();
}

#[test]
fn a_value_that_would_change_is_refused_and_the_old_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    assert_eq!(code(&edge(store, &["key"])), 0);
    assert_eq!(code(&edge(store, &["set", "a", "old", "--document", "pump"])), 0);
    for is_running in [false, true] {
        let _running = is_running.then(|| Running::start(store, &[]));
        for (word, reason) in [
            ("9223372036854775808", "write it as 9223372036854775808.0"),
            ("18446744073709551616", "write it as 18446744073709551616.0"),
            ("-9223372036854775809", "from -9223372036854775808 to 9223372036854775807"),
            ("1e400", "the largest float"),
            ("-1e-400", "the smallest float"),
            ("{\"a\":1}", "set its parts one by one"),
            ("[1,2]", "write \"[1,2]\""),
            ("{\"bytes\":\"AA==\",\"bytes\":\"AQ==\"}", "is there twice"),
            ("NaN", "write {\"float\":\"NaN\"}"),
            ("-inf", "write {\"float\":\"-inf\"}"),
        ] {
            let set = edge(store, &["set", "a", word]);
            assert_eq!((code(&set), stdout(&set).as_str()), (2, ""), "{word}: {}", stderr(&set));
            assert!(stderr(&set).contains(reason), "{word}: {}", stderr(&set));
            assert_eq!(stdout(&edge(store, &["get", "a"])), "\"old\"\n", "{word}");
        }
        for (word, shown) in [
            ("{hello", "\"{hello\""),
            ("1e5kg", "\"1e5kg\""),
            ("\"[1,2]\"", "\"[1,2]\""),
            ("18446744073709551616.0", "1.8446744073709552e+19"),
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("7.0", "7.0"),
            ("{\"float\":\"NaN\"}", "{\"float\":\"NaN\"}"),
            ("old", "\"old\""),
        ] {
            let set = edge(store, &["set", "a", word]);
            assert_eq!(code(&set), 0, "{word}: {}", stderr(&set));
            assert_eq!(stdout(&edge(store, &["get", "a"])).trim(), shown);
        }
    }
}

#[test]
fn a_watch_tells_a_stored_null_from_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let _running = Running::start(store, &["--document", "pump"]);
    let mut watch = Watching::of(store, "a");
    assert_eq!(watch.next(), r#"{"event":"snapshot"}"#);
    for (command, line) in [
        (&["set", "a", "null"][..], r#"{"event":"set","path":"a","value":null}"#),
        (&["delete", "a"], r#"{"event":"delete","path":"a"}"#),
        (&["set", "a/b", "null"], r#"{"event":"set","path":"a/b","value":null}"#),
        (&["set", "a", "null"], r#"{"event":"set","path":"a","value":null}"#),
    ] {
        assert_eq!(code(&edge(store, command)), 0);
        assert_eq!(watch.next(), line);
    }
    assert_eq!(Watching::of(store, "a").next(), r#"{"event":"snapshot","value":null}"#);
    assert_eq!(stdout(&edge(store, &["get", "a"])), "null\n");
    assert_eq!(code(&edge(store, &["delete", "a"])), 0);
    assert_eq!(Watching::of(store, "a").next(), r#"{"event":"snapshot"}"#);
    assert_eq!(code(&edge(store, &["get", "a"])), 4);
}

/// Says a line to the socket and gives the answer.
fn say(store: &Path, line: &str) -> Json {
    let mut stream = UnixStream::connect(socket_path(store)).unwrap();
    writeln!(stream, "{line}").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn a_request_with_a_field_that_its_verb_does_not_have_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let _running = Running::start(store, &["--document", "pump", "--document", "town"]);
    for (request, known) in [
        (r#""verb":"delete","path":"a""#, "`document` or `path`"),
        (r#""verb":"flush""#, "there are no fields"),
        (r#""verb":"get","path":"a""#, "`document` or `path`"),
        (r#""verb":"ledger""#, "there are no fields"),
        (r#""verb":"policy""#, "there are no fields"),
        (r#""verb":"receipt","document":"pump""#, "`document`, `time_ms`, `replica`, `at_aggregator`"),
        (r#""verb":"set","path":"a","value":1"#, "`document`, `path`, `value`"),
        (r#""verb":"status""#, "there are no fields"),
        (r#""verb":"watch","path":"a""#, "`document` or `path`"),
    ] {
        let answer = say(store, &format!(r#"{{{request},"docment":"town"}}"#));
        assert_eq!(answer["error"]["code"], "bad_request", "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("`docment`") && message.contains(known), "{message}");
    }
    assert_eq!(code(&edge(store, &["get"])), 4, "nothing was written");
}

#[test]
fn a_receipt_that_is_half_told_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let _running = Running::start(store, &["--document", "pump"]);
    for stamp in [
        r#""time_ms":5"#,
        r#""replica":"00000000000000ff""#,
        r#""time_ms":5,"replica":"xyz""#,
        r#""time_ms":9223372036854775807,"replica":"00000000000000ff""#,
    ] {
        let answer = say(store, &format!(r#"{{"verb":"receipt","document":"pump",{stamp}}}"#));
        assert_eq!(answer["error"]["code"], "bad_request", "{answer}");
        assert!(answer.to_string().contains("time_ms and replica"), "{answer}");
    }
}

#[test]
fn a_budget_is_the_number_that_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = "00".repeat(32);
    for (written, bytes) in
        [("4.35MB/month", 4_350_000), ("2.01MB", 2_010_000), ("9007199254740993B", 9_007_199_254_740_993_i64)]
    {
        let link = ["--document", "pump", "--aggregator", "127.0.0.1:9", "--key", &key];
        let _running = Running::start(store, &[&link[..], &["--budget", written]].concat());
        let status: Json = serde_json::from_str(&stdout(&edge(store, &["status", "--json"]))).unwrap();
        assert_eq!(status["budget"]["cap_bytes"], bytes, "{written}");
    }
    for written in ["99999999999999999999GB", "18446744073709551616B", "1.2.3MB", ".", "1e400"] {
        let run = edge(store, &["run", "--budget", written]);
        assert_eq!(code(&run), 2, "{written}: {}", stderr(&run));
    }
}
