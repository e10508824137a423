//! Scalars as JSON and as words of a command line: exact, or refused with what to write instead.

use control::{Change, Scalar, ScalarError};
use serde_json::{Value as Json, json};

fn error(word: &str) -> String {
    Scalar::from_argument(word).unwrap_err().to_string()
}

#[test]
fn every_scalar_survives_json() {
    let scalars = [
        Scalar::Null,
        Scalar::Bool(true),
        Scalar::I64(i64::MIN),
        Scalar::I64(i64::MAX),
        Scalar::F64(1.0),
        Scalar::F64(-0.0),
        Scalar::F64(f64::MIN_POSITIVE),
        Scalar::F64(f64::from_bits(1)),
        Scalar::F64(f64::MAX),
        Scalar::F64(0.1 + 0.2),
        Scalar::F64(1e16),
        Scalar::F64(f64::INFINITY),
        Scalar::F64(f64::NEG_INFINITY),
        Scalar::F64(f64::NAN),
        Scalar::Str("a \"line\"\n\u{1f4a7}".to_owned()),
        Scalar::Bytes(vec![0, 255, 7]),
        Scalar::Bytes(Vec::new()),
    ];
    for scalar in scalars {
        let text = serde_json::to_string(&scalar).unwrap();
        let back: Scalar = serde_json::from_str(&text).unwrap();
        assert_eq!(back.as_value(), scalar.as_value(), "{text}");
        // The word of a command line that `get` has printed, too.
        assert_eq!(Scalar::from_argument(&text).unwrap().as_value(), scalar.as_value(), "{text}");
        assert_eq!(Scalar::from(scalar.as_value()).as_value(), scalar.as_value());
    }
}

/// Bits of floats from all over the range, the same in each run.
fn floats() -> impl Iterator<Item = f64> {
    let mut bits = 1_u64;
    let next = move || {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(f64::from_bits(bits ^ bits >> 29))
    };
    std::iter::from_fn(next).filter(|float| float.is_finite())
}

#[test]
fn each_float_comes_back_bit_for_bit_through_any_number_of_readers() {
    for float in floats().take(50_000) {
        let text = serde_json::to_string(&Scalar::F64(float)).unwrap();
        let json: Json = serde_json::from_str(&text).unwrap();
        let again: Scalar = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!(again.as_value(), Scalar::F64(float).as_value(), "{text}");
        assert_eq!(Scalar::from_argument(&text).unwrap().as_value(), Scalar::F64(float).as_value(), "{text}");
    }
}

#[test]
fn a_number_is_an_integer_when_it_is_written_as_one() {
    for (text, scalar) in [
        ("7", Scalar::I64(7)),
        ("-7", Scalar::I64(-7)),
        ("-0", Scalar::I64(0)),
        ("7.0", Scalar::F64(7.0)),
        ("1e2", Scalar::F64(100.0)),
        ("9223372036854775807", Scalar::I64(i64::MAX)),
        ("-9223372036854775808", Scalar::I64(i64::MIN)),
        ("18446744073709551616.0", Scalar::F64(18_446_744_073_709_551_616.0)),
        ("0.1000000000000000055511151231257827", Scalar::F64(0.1)),
        ("0e999", Scalar::F64(0.0)),
        ("true", Scalar::Bool(true)),
        ("null", Scalar::Null),
        ("\"true\"", Scalar::Str("true".into())),
        ("\"99999999999999999999\"", Scalar::Str("99999999999999999999".into())),
        ("{\"bytes\":\"AQI=\"}", Scalar::Bytes(vec![1, 2])),
        ("{\"float\":\"-inf\"}", Scalar::F64(f64::NEG_INFINITY)),
    ] {
        assert_eq!(Scalar::from_argument(text).unwrap().as_value(), scalar.as_value(), "{text}");
    }
    let minus_zero = Scalar::from_argument("-0.0").unwrap();
    assert_eq!(minus_zero.as_value(), Scalar::F64(-0.0).as_value());
}

#[test]
fn what_is_no_json_is_text() {
    for word in [
        "",
        "auto",
        "007",
        "+5",
        ".5",
        "5.",
        "0x10",
        "1_000",
        "12abc",
        "1e5kg",
        "{hello",
        "[x",
        "{a:1}",
        "[1,2",
        "\"half",
        "tru",
        "null!",
        "nano",
        "-info",
        "{\"a\":1}}",
        "a,b",
    ] {
        assert_eq!(Scalar::from_argument(word), Ok(Scalar::Str(word.to_owned())));
    }
}

#[test]
fn an_integer_beyond_64_bits_is_refused_on_both_sides_and_at_any_length() {
    let long = "9".repeat(500);
    for word in [
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999",
        "-9223372036854775809",
        "-18446744073709551616",
        long.as_str(),
    ] {
        let error = error(word);
        let limits = "beyond the integers, which go from -9223372036854775808 to 9223372036854775807";
        assert!(error.contains(limits), "{error}");
        assert!(error.contains("to store the nearest float") && error.contains("to store text"), "{error}");
        assert!(error.len() < 300, "{error}");
        if word.len() < 40 {
            assert!(error.contains(&format!("write it as {word}.0 ")), "{error}");
            assert!(error.contains(&format!("as \"{word}\" ")), "{error}");
            // What it says is what helps.
            assert!(matches!(Scalar::from_argument(&format!("{word}.0")), Ok(Scalar::F64(_))));
        }
    }
}

#[test]
fn a_float_that_would_become_infinite_or_zero_is_refused() {
    for word in ["1e400", "-1e400", "1.8e308"] {
        assert!(error(word).contains("the largest float"), "{}", error(word));
    }
    for word in ["1e-400", "-1e-400", "0.0000001e-320"] {
        assert!(error(word).contains("nearer to 0"), "{}", error(word));
    }
    assert_eq!(Scalar::from_argument("4.9e-324"), Ok(Scalar::F64(f64::from_bits(1))));
}

#[test]
fn an_array_or_an_object_is_refused_with_the_way_to_store_its_text() {
    for word in ["{\"a\":1}", "[1,2]", "[]", "{}", " [1]", "{\"bytes\":1}", "{\"float\":2}"] {
        let error = error(word);
        assert!(error.contains("is no scalar: set its parts one by one, each at its own path"), "{error}");
        let way = serde_json::to_string(word).unwrap();
        assert!(error.ends_with(&format!("write {way}")), "{error}");
        assert_eq!(Scalar::from_argument(&way), Ok(Scalar::Str(word.to_owned())));
    }
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let long = json!(vec![1; 500]).to_string();
    for word in [deep, long] {
        let error = error(&word);
        assert!(error.contains("is no scalar") && error.len() < 300, "{error}");
    }
    let error = Scalar::try_from(json!({"a": [1, 2]})).unwrap_err().to_string();
    assert!(error.starts_with("{\"a\":[1,2]} is no scalar"), "{error}");
}

#[test]
fn the_forms_for_bytes_and_floats_have_one_key_once() {
    for word in [
        "{\"bytes\":\"AQI=\",\"float\":\"NaN\"}",
        "{\"bytes\":\"AQI=\",\"note\":1}",
        "{\"float\":\"NaN\",\"unit\":\"C\"}",
    ] {
        assert!(error(word).contains("is no scalar"), "{}", error(word));
    }
    for word in ["{\"bytes\":\"AQI=\",\"bytes\":\"AQM=\"}", "{\"float\":\"NaN\",\"float\":\"inf\"}"] {
        assert!(error(word).contains("is there twice"), "{}", error(word));
        assert!(serde_json::from_str::<Scalar>(word).is_err());
    }
    assert!(matches!(Scalar::from_argument("{\"bytes\":\"AQ\"}"), Err(ScalarError::Base64 { .. })));
    assert!(error("{\"float\":\"nan\"}").contains("none of \"NaN\", \"inf\" and \"-inf\""));
    assert!(error("{\"float\":\"1.5\"}").contains("any other float is a number"));
}

#[test]
fn words_that_others_read_as_floats_are_not_guessed() {
    for (word, float) in [
        ("NaN", "NaN"),
        ("nan", "NaN"),
        ("-nan", "NaN"),
        ("inf", "inf"),
        ("-inf", "-inf"),
        ("+Infinity", "inf"),
        ("-infinity", "-inf"),
    ] {
        let error = error(word);
        assert!(error.contains(&format!("write {{\"float\":\"{float}\"}}")), "{error}");
        assert!(error.contains(&format!("\"{word}\" with the quotes")), "{error}");
        let text = Scalar::from_argument(&format!("\"{word}\""));
        assert_eq!(text, Ok(Scalar::Str(word.to_owned())));
        assert!(Scalar::from_argument(&format!("{{\"float\":\"{float}\"}}")).is_ok());
    }
}

#[test]
fn half_a_character_is_no_text() {
    let error = error(r#""\ud800""#);
    assert!(error.contains("is no text"), "{error}");
}

#[test]
fn a_watch_tells_nothing_from_a_stored_null() {
    for (change, line) in [
        (Change::Snapshot { value: None }, r#"{"event":"snapshot"}"#),
        (Change::Snapshot { value: Some(Json::Null) }, r#"{"event":"snapshot","value":null}"#),
        (Change::Snapshot { value: Some(json!({})) }, r#"{"event":"snapshot","value":{}}"#),
        (Change::Set { path: "a".into(), value: Json::Null }, r#"{"event":"set","path":"a","value":null}"#),
        (Change::Delete { path: "a".into() }, r#"{"event":"delete","path":"a"}"#),
    ] {
        assert_eq!(serde_json::to_string(&change).unwrap(), line);
        assert_eq!(serde_json::from_str::<Change>(line).unwrap(), change);
    }
}
