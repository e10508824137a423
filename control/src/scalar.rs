//! Scalars as JSON, and as words on a command line.

use std::fmt;

use crdt_core::Value;
use crdt_core::typed::{JsonTextError, NumberError, parse_json};
use data_encoding::BASE64;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

/// A scalar of a document, owned.
///
/// | document | JSON |
/// |---|---|
/// | null, bool, string | the same |
/// | integer | a number without fraction and exponent: `7` |
/// | float | a number with one: `7.0`, `1e30`; the nearest float if it has more digits than one holds |
/// | float that JSON cannot write | `{"float":"NaN"}`, `{"float":"inf"}`, `{"float":"-inf"}` (a NaN's payload is lost) |
/// | bytes | `{"bytes":"<base64 with padding>"}` |
///
/// ```
/// use control::Scalar;
/// assert_eq!(Scalar::from_argument("21.5")?, Scalar::F64(21.5));
/// assert_eq!(Scalar::from_argument("auto")?, Scalar::Str("auto".to_owned()));
/// assert_eq!(Scalar::from_argument("\"7\"")?, Scalar::Str("7".to_owned()));
/// assert!(Scalar::from_argument("[1,2]").is_err());
/// # Ok::<(), control::ScalarError>(())
/// ```
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(into = "Json")]
#[expect(missing_docs, reason = "the table documents each")]
pub enum Scalar {
    Bool(bool),
    Bytes(Vec<u8>),
    F64(f64),
    I64(i64),
    Null,
    Str(String),
}

/// What is no scalar of a document, or one that would not come back as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScalarError {
    /// The text in `{"bytes":...}` is not base64.
    #[error("{text:?} is not base64 with padding")]
    Base64 {
        /// The text, cut after some characters.
        text: String,
        /// What is wrong with it.
        source: data_encoding::DecodeError,
    },
    /// A key that an object has twice.
    #[error("the key {key:?} is there twice")]
    DuplicateKey {
        /// The key, cut after some characters.
        key: String,
    },
    /// A float that is none of those that JSON cannot write.
    #[error("{text:?} is none of \"NaN\", \"inf\" and \"-inf\"; any other float is a number")]
    Float {
        /// The text in `{"float":...}`, cut after some characters.
        text: String,
    },
    /// A word of a command line that others read as a float, and JSON does not.
    #[error(
        "{word} is no number in JSON: write {{\"float\":\"{float}\"}} to store the float, or \"{word}\" with the quotes to store text"
    )]
    FloatWord {
        /// The word.
        word: String,
        /// The float, as [`Scalar`] has it.
        float: &'static str,
    },
    /// An integer beyond 64 bits with sign.
    #[error("{}", too_large(.number))]
    Integer {
        /// The number, cut after some characters.
        number: String,
    },
    /// An array or an object.
    #[error("{}", compound(.json))]
    NotScalar {
        /// The value, cut after some characters.
        json: String,
    },
    /// A number that no float holds.
    #[error(transparent)]
    Number(NumberError),
    /// A string with half a character in it.
    #[error("{text} is no text: {reason}")]
    Text {
        /// The string as JSON, cut after some characters.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Scalar {
    /// Reads a word of a command line: a JSON scalar if it is JSON (or `{"bytes":...}`, `{"float":...}`), otherwise the text
    /// as it is.
    ///
    /// So `007`, `1e5kg`, `.5` and `{hello` are text. A number is written as JSON writes it.
    ///
    /// # Errors
    /// [`ScalarError`]: JSON that is no scalar, a number that would become another, and `NaN`, `inf` and their like, which
    /// could be meant either way.
    pub fn from_argument(text: &str) -> Result<Self, ScalarError> {
        if let Some(float) = float_word(text) {
            return Err(ScalarError::FloatWord { word: text.to_owned(), float });
        }
        if serde_json::from_str::<IgnoredAny>(text).is_err() {
            return Ok(Self::Str(text.to_owned()));
        }
        match parse_json::<Unchecked>(text) {
            // As it was typed, so that its text can be stored.
            Ok(Unchecked(Err(ScalarError::NotScalar { .. }))) => {
                Err(ScalarError::NotScalar { json: shortened(text) })
            }
            Ok(Unchecked(scalar)) => scalar,
            Err(JsonTextError::Number(error)) => Err(error.into()),
            // Too deep for a reader of JSON, or half a character.
            Err(error) if text.trim_start().starts_with('"') => {
                Err(ScalarError::Text { text: shortened(text), reason: error.to_string() })
            }
            Err(_) => Err(ScalarError::NotScalar { json: shortened(text) }),
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

    /// Numbers are as `serde_json` has read them: read text with [`parse_json`], which refuses what would be changed.
    fn try_from(json: Json) -> Result<Self, ScalarError> {
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::String(value) => Self::Str(value),
            Json::Number(number) => match (number.as_i64(), number.is_f64(), number.as_f64()) {
                (Some(value), ..) => Self::I64(value),
                (None, true, Some(value)) => Self::F64(value),
                _ => return Err(ScalarError::Integer { number: number.to_string() }),
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
                    _ => return Err(ScalarError::Float { text: shortened(text) }),
                },
                _ => return Err(not_scalar(&object.into())),
            },
            other => return Err(not_scalar(&other)),
        })
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Unchecked::deserialize(deserializer)?.0.map_err(de::Error::custom)
    }
}

impl From<NumberError> for ScalarError {
    fn from(error: NumberError) -> Self {
        match error {
            NumberError::Integer { number } => Self::Integer { number: shortened(&number) },
            error => Self::Number(error),
        }
    }
}

/// A scalar, or why what was read is none.
struct Unchecked(Result<Scalar, ScalarError>);

impl<'de> Deserialize<'de> for Unchecked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Unchecked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Unchecked, E> {
        Ok(Unchecked(Ok(Scalar::Bool(value))))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Unchecked, E> {
        Ok(Unchecked(Ok(Scalar::I64(value))))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Unchecked, E> {
        Ok(Unchecked(Scalar::try_from(Json::from(value))))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Unchecked, E> {
        Ok(Unchecked(Ok(Scalar::F64(value))))
    }

    fn visit_str<E>(self, value: &str) -> Result<Unchecked, E> {
        Ok(Unchecked(Ok(Scalar::Str(value.to_owned()))))
    }

    fn visit_unit<E>(self) -> Result<Unchecked, E> {
        Ok(Unchecked(Ok(Scalar::Null)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Unchecked, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element::<Json>()? {
            array.push(element);
        }
        Ok(Unchecked(Scalar::try_from(Json::Array(array))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unchecked, A::Error> {
        let (mut object, mut twice) = (Map::new(), None);
        while let Some((key, value)) = entries.next_entry::<String, Json>()? {
            if object.contains_key(&key) {
                twice = twice.or(Some(ScalarError::DuplicateKey { key: shortened(&key) }));
            }
            object.insert(key, value);
        }
        Ok(Unchecked(twice.map_or_else(|| Scalar::try_from(Json::Object(object)), Err)))
    }
}

fn not_scalar(json: &Json) -> ScalarError {
    ScalarError::NotScalar { json: shortened(&json.to_string()) }
}

/// What a word means that is a float to many programs, such as a shell script's, and no JSON.
fn float_word(word: &str) -> Option<&'static str> {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let is = |name: &str| unsigned.eq_ignore_ascii_case(name);
    if is("nan") {
        Some("NaN")
    } else if is("inf") || is("infinity") {
        Some(if word.starts_with('-') { "-inf" } else { "inf" })
    } else {
        None
    }
}

fn compound(json: &str) -> String {
    let parts = format!("{json} is no scalar: set its parts one by one, each at its own path");
    if json.ends_with(CUT) {
        format!("{parts}; or store it as text: write it as a JSON string")
    } else {
        format!("{parts}; or store it as text: write {}", Json::from(json))
    }
}

fn too_large(number: &str) -> String {
    let limits = format!("{number} is beyond the integers, which go from {} to {}", i64::MIN, i64::MAX);
    if number.ends_with(CUT) {
        format!("{limits}: write .0 behind it to store the nearest float, or quotes around it to store text")
    } else {
        format!(
            "{limits}: write it as {number}.0 to store the nearest float, or as \"{number}\" to store text"
        )
    }
}

/// The start of a text that may be long, for a message.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}{CUT}", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a value on a command line is, for the help of a command that sets one.
pub const SET_HELP: &str = "\
Values:
  7                       an integer, from -9223372036854775808 to 9223372036854775807; others are refused
  7.0, 1e3                a float: the nearest one, if there are more digits than it holds; 1e400 is refused
  true, false, null       as in JSON
  auto, 007, .5, {hello   what is not JSON is text as it is
  '\"7\"'                   text, in JSON's quotes, whatever it looks like
  '{\"bytes\":\"AQI=\"}'    bytes, in base64
  '{\"float\":\"NaN\"}'     NaN, inf, -inf; without this form these words are refused, since they might be text
An array or another object is refused: each of its parts has a path of its own.";

/// What stands in the place of what is not shown.
const CUT: &str = "...";
/// Characters of a bad value that an error shows.
const SHOWN_CHARS: usize = 60;
