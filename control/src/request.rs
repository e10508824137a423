//! The requests that the edge and the aggregator share. Each server makes an enum of those that it serves. It refuses fields
//! that it does not know: a misspelt one would be left out without a word.
//!
//! ```
//! #[derive(serde::Deserialize)]
//! #[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
//! enum Request {
//!     Get(control::Get),
//!     Set(control::Set),
//!     #[serde(deserialize_with = "control::no_fields")]
//!     Status,
//! }
//! let line = r#"{"verb":"set","path":"pump/speed","value":1450}"#;
//! let Request::Set(set) = serde_json::from_str(line)? else { panic!() };
//! assert_eq!((set.path.as_str(), set.value), ("pump/speed", control::Scalar::I64(1450)));
//! let error = serde_json::from_str::<Request>(r#"{"verb":"status","of":"pump"}"#).err().expect("it has no such field");
//! assert!(error.to_string().contains("unknown field `of`, there are no fields"));
//! # Ok::<(), serde_json::Error>(())
//! ```

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;

use crate::scalar::Scalar;

/// Reads what stands at a path and below it; the answer is a value, or nested objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Get {
    /// Which document; the main one, or the only one, needs no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Where; the whole document without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Puts a value at a path. The answer comes when it is on the disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Which document; the main one, or the only one, needs no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Where.
    pub path: String,
    /// What.
    pub value: Scalar,
}

/// Deletes what stands at a path and below it. The answer comes when that is on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// Which document; the main one, or the only one, needs no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Where.
    pub path: String,
}

/// Tells every change at a path and below it, until one side closes. The answers are a stream of [`Change`]s, of
/// which the first is a [`Change::Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Which document; the main one, or the only one, needs no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Where; the whole document without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// One line of a [`Watch`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Change {
    /// What stood at the path and below it is gone.
    Delete {
        /// Where.
        path: String,
    },
    /// This stands at the path now, and nothing else below it that is not told later. A value told before for a place
    /// above it is hidden.
    Set {
        /// Where.
        path: String,
        /// A scalar; `{}` or `[]` for an empty container.
        value: Json,
    },
    /// All of it, as for [`Get`]: at the start, and again when changes were left out because they came too fast or
    /// cannot be told one by one. What was told before is void.
    Snapshot {
        /// `None`, and no such field in JSON, when there is nothing; `null` when a null is stored.
        #[serde(default, deserialize_with = "something", skip_serializing_if = "Option::is_none")]
        value: Option<Json>,
    },
}

/// Reads a variant that has no fields, and refuses those that are there: for the `deserialize_with` of verbs in an enum of
/// requests. serde's `deny_unknown_fields` does not look at these.
///
/// # Errors
/// That of the deserializer; it names the field.
pub fn no_fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct NoFields {}

    NoFields::deserialize(deserializer).map(|NoFields {}| ())
}

/// A value that is there, be it null.
fn something<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}
