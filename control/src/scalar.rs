//! Scalars as JSON, and as words on a command line.

use crdt_core::Value;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value as Json};

/// A scalar of a document, owned.
///
/// | document | JSON |
/// |---|---|
/// | null, bool, string | the same |
/// | integer | a number without fraction and exponent: `7` |
/// | float | a number with one: `7.0`, `1e30` |
/// | float that JSON cannot write | `{"float":"NaN"}`, `{"float":"inf"}`, `{"float":"-inf"}` (a NaN's payload is lost) |
/// | bytes | `{"bytes":"<base64 with padding>"}` |
///
/// ```
/// use control::Scalar;
/// assert_eq!(Scalar::from_argument("21.5")?, Scalar::F64(21.5));
/// assert_eq!(Scalar::from_argument("auto")?, Scalar::Str("auto".to_owned()));
/// assert_eq!(Scalar::from_argument("\"7\"")?, Scalar::Str("7".to_owned()));
/// # Ok::<(), control::ScalarError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Json", into = "Json")]
#[expect(missing_docs, reason = "the table documents each")]
pub enum Scalar {
    Bool(bool),
    Bytes(Vec<u8>),
    F64(f64),
    I64(i64),
    Null,
    Str(String),
}

/// A JSON value that is no scalar of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScalarError {
    /// The text in `{"bytes":...}` is not base64.
    #[error("{text:?} is not base64 with padding")]
    Base64 {
        /// The text.
        text: String,
        /// What is wrong with it.
        source: data_encoding::DecodeError,
    },
    /// An array or an object.
    #[error("{json} is no scalar; set its parts one by one, each at its own path")]
    NotScalar {
        /// The value, cut after some characters.
        json: String,
    },
    /// An integer beyond 64 bits with sign.
    #[error("{number} is beyond the largest integer, {}; write it as {number}.0 to store a float", i64::MAX)]
    TooLarge {
        /// The number.
        number: u64,
    },
}

impl Scalar {
    /// Reads a word of a command line: a JSON scalar if it is one (or `{"bytes":...}`), otherwise the text as it is.
    ///
    /// # Errors
    /// [`ScalarError::TooLarge`] and [`ScalarError::Base64`].
    pub fn from_argument(text: &str) -> Result<Self, ScalarError> {
        match serde_json::from_str::<Json>(text).map(Self::try_from) {
            Ok(Err(ScalarError::NotScalar { .. })) | Err(_) => Ok(Self::Str(text.to_owned())),
            Ok(scalar) => scalar,
        }
    }

    /// The same for the core, borrowed.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Bytes(value) => Value::Bytes(value),
            Self::F64(value) => Value::F64(*value),
            Self::I64(value) => Value::I64(*value),
            Self::Null => Value::Null,
            Self::Str(value) => Value::Str(value),
        }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident),+) => {$(
        impl From<$from> for Scalar {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )+};
}

from!(bool => Bool, i32 => I64, i64 => I64, f64 => F64, &str => Str, String => Str, Vec<u8> => Bytes);

impl From<Value<'_>> for Scalar {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(value),
            Value::Bytes(value) => Self::Bytes(value.to_owned()),
            Value::F64(value) => Self::F64(value),
            Value::I64(value) => Self::I64(value),
            Value::Null => Self::Null,
            Value::Str(value) => Self::Str(value.to_owned()),
        }
    }
}

impl From<Scalar> for Json {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Bool(value) => value.into(),
            Scalar::Bytes(value) => serde_json::json!({ "bytes": BASE64.encode(&value) }),
            Scalar::F64(value) => match Number::from_f64(value) {
                Some(number) => number.into(),
                None => serde_json::json!({ "float": value.to_string() }),
            },
            Scalar::I64(value) => value.into(),
            Scalar::Null => Json::Null,
            Scalar::Str(value) => value.into(),
        }
    }
}

impl TryFrom<Json> for Scalar {
    type Error = ScalarError;

    fn try_from(json: Json) -> Result<Self, ScalarError> {
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::String(value) => Self::Str(value),
            Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), ..) => Self::I64(value),
                (None, Some(number), _) => return Err(ScalarError::TooLarge { number }),
                (None, None, Some(value)) => Self::F64(value),
                (None, None, None) => return Err(not_scalar(&number.into())),
            },
            Json::Object(object) if object.len() == 1 => match object.iter().next() {
                Some((key, Json::String(text))) if key == "bytes" => Self::Bytes(
                    BASE64
                        .decode(text.as_bytes())
                        .map_err(|source| ScalarError::Base64 { text: shortened(text), source })?,
                ),
                Some((key, Json::String(text))) if key == "float" => match text.as_str() {
                    "NaN" => Self::F64(f64::NAN),
                    "inf" => Self::F64(f64::INFINITY),
                    "-inf" => Self::F64(f64::NEG_INFINITY),
                    _ => return Err(not_scalar(&object.into())),
                },
                _ => return Err(not_scalar(&object.into())),
            },
            other => return Err(not_scalar(&other)),
        })
    }
}

fn not_scalar(json: &Json) -> ScalarError {
    ScalarError::NotScalar { json: shortened(&json.to_string()) }
}

/// The start of a text that may be long, for a message.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Characters of a bad value that an error shows.
const SHOWN_CHARS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

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
            Scalar::F64(0.1 + 0.2),
            Scalar::F64(f64::INFINITY),
            Scalar::F64(f64::NEG_INFINITY),
            Scalar::F64(f64::NAN),
            Scalar::Str("a \"line\"\n\u{1f4a7}".to_owned()),
            Scalar::Bytes(vec![0, 255, 7]),
        ];
        for scalar in scalars {
            let text = serde_json::to_string(&scalar).unwrap();
            let back: Scalar = serde_json::from_str(&text).unwrap();
            assert_eq!(back.as_value(), scalar.as_value(), "{text}");
            assert_eq!(Scalar::from(scalar.as_value()).as_value(), scalar.as_value());
        }
    }

    #[test]
    fn a_number_is_an_integer_when_it_is_written_as_one() {
        for (text, scalar) in [
            ("7", Scalar::I64(7)),
            ("-7", Scalar::I64(-7)),
            ("7.0", Scalar::F64(7.0)),
            ("1e2", Scalar::F64(100.0)),
            ("true", Scalar::Bool(true)),
            ("null", Scalar::Null),
            ("\"true\"", Scalar::Str("true".into())),
            ("007", Scalar::Str("007".into())),
            ("", Scalar::Str(String::new())),
            ("[1]", Scalar::Str("[1]".into())),
            ("{\"bytes\":\"AQI=\"}", Scalar::Bytes(vec![1, 2])),
        ] {
            assert_eq!(Scalar::from_argument(text), Ok(scalar), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_stored_is_named() {
        let number = 1 << 63;
        assert_eq!(Scalar::from_argument("9223372036854775808"), Err(ScalarError::TooLarge { number }));
        let error = Scalar::from_argument("{\"bytes\":\"AQ\"}").unwrap_err();
        assert!(matches!(error, ScalarError::Base64 { .. }), "{error}");
        let error = serde_json::from_str::<Scalar>("{\"a\":[1,2]}").unwrap_err().to_string();
        assert!(error.contains("{\"a\":[1,2]} is no scalar"), "{error}");
        let error = Scalar::try_from(Json::from(vec![1; 500])).unwrap_err().to_string();
        assert!(error.len() < 200, "{error}");
    }
}
