//! JSON in and out.
//!
//! | JSON | cells |
//! |---|---|
//! | null, bool, string | the scalar |
//! | number without fraction, -2^63 to 2^63 - 1 | an integer |
//! | number without fraction, 2^63 to 2^64 - 1 | a map with the only key `~u`: the 64 bits, as a negative integer |
//! | other number (`1.0`, `1e3`) | a float; `1.0` comes back as `1.0` |
//! | object | a map |
//! | array | a list |
//!
//! Lossless for everything that `serde_json::Value` holds and that fits the limits of paths and values. What a document
//! holds and JSON does not is refused: bytes, and floats that are not finite. Writing what was read changes nothing, but
//! that a key of somebody's own that is reserved (`@`, `~s`, `~u`) becomes escaped.

use alloc::string::ToString;

use serde_json::{Map, Number, Value as Json};

use super::elements::elements;
use super::error::{ReadError, ReadProblem, ReadStop, WriteError};
use super::key::Key;
use super::read::Reader;
use super::write;
use crate::causal::Stamp;
use crate::cell::{Path, Value};
use crate::document::{Document, Node};
use crate::storage::Storage;
use crate::time::Moment;

impl<S: Storage> Document<S> {
    /// What is at `prefix` and below as JSON, the whole document for `None` (an object, perhaps an empty one).
    ///
    /// `None` when nothing is there. O(cells below x depth x log cells).
    ///
    /// # Errors
    /// [`ReadProblem::NotJson`] at bytes and at floats that are not finite, [`ReadProblem::SameKey`] where two keys of
    /// paths are one of an object.
    ///
    /// ```
    /// use crdt_core::{Document, DocumentName, Heap, Limits, Moment, Path, ReplicaId};
    /// use serde_json::json;
    /// let name = DocumentName::new("pump-42")?;
    /// let mut document = Document::<Heap>::new(&name, ReplicaId::new(1), Limits::default());
    /// let settings = json!({"setpoint": 4.5, "alarms": ["dry-run", "leak"], "in/out": null});
    /// document.write_json(Moment::new(1), Path::new("pump/3")?, &settings)?;
    /// assert_eq!(document.to_json(Path::new("pump/3")?)?, Some(settings));
    /// assert_eq!(document.to_json(Path::new("pump/3/setpoint")?)?, Some(json!(4.5)));
    /// assert_eq!(document.to_json(Path::new("pump/4")?)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::result_large_err, reason = "the error owns its path, and there is no heap to put it on")]
    pub fn to_json<'p>(&self, prefix: impl Into<Option<Path<'p>>>) -> Result<Option<Json>, ReadError> {
        let prefix = prefix.into();
        let top = prefix.map_or("", Path::as_str);
        to_json(&Reader::locate(self, prefix)).map_err(|stop| stop.into_error(top))
    }

    /// Stores `json` at `path` (as the whole document for `None`), writing only what differs, as [`write`](Self::write)
    /// does. An object is a map: keys that it does not have are deleted. Read a text with
    /// [`parse_json`](crate::typed::parse_json), which refuses numbers that would become others.
    ///
    /// # Errors
    /// As [`write`](Self::write). Integers up to 2^64 - 1 are stored.
    #[expect(clippy::result_large_err, reason = "the error owns its path, and there is no heap to put it on")]
    pub fn write_json<'p>(
        &mut self,
        moment: Moment,
        path: impl Into<Option<Path<'p>>>,
        json: &Json,
    ) -> Result<Option<Stamp>, WriteError> {
        write::write(self, moment, path.into(), json, true)
    }
}

/// Recursion is bounded by the depth of paths.
fn to_json<'a, S: Storage>(reader: &Reader<'a, S>) -> Result<Option<Json>, ReadStop<'a>> {
    let document = reader.document;
    let below = |path| to_json(&Reader::at(document, path));
    Ok(Some(match reader.node() {
        None => return Ok(None),
        Some(Node::Value(value)) => scalar(value).map_err(|stop| stop.at(reader.prefix()))?,
        Some(Node::List) => {
            let path = reader.prefix().expect("the document is a map");
            elements(document, path).filter_map(|path| below(path).transpose()).collect::<Result<_, _>>()?
        }
        Some(Node::Map) => match (reader.wide_integer(), reader.inside_some()) {
            (Some(value), _) => value.into(),
            (None, Some(inside)) => return to_json(&inside),
            (None, None) => {
                let mut map = Map::new();
                for child in reader.entries() {
                    Reader::check_key(document, child)?;
                    if let Some(value) = below(child.path)? {
                        map.insert(Key::new(child.key).as_str().to_string(), value);
                    }
                }
                map.into()
            }
        },
    }))
}

fn scalar<'a>(value: Value<'_>) -> Result<Json, ReadStop<'a>> {
    Ok(match value {
        Value::Bool(value) => value.into(),
        Value::F64(float) if let Some(number) = Number::from_f64(float) => number.into(),
        Value::Bytes(_) | Value::F64(_) => {
            return Err(ReadStop::new(ReadProblem::NotJson { found: value.into() }));
        }
        Value::I64(value) => value.into(),
        Value::Null => Json::Null,
        Value::Str(value) => value.into(),
    })
}
