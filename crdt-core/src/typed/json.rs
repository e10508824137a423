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
//! holds and JSON does not is given in the nearest form: bytes as an array of numbers, floats that are not finite as null.

use alloc::string::ToString;

use serde_json::{Map, Number, Value as Json};

use super::elements::elements;
use super::error::WriteError;
use super::key::Key;
use super::read::Reader;
use super::write;
use crate::causal::Stamp;
use crate::cell::{Path, Value};
use crate::document::{Document, Node};
use crate::replica::Replica;
use crate::storage::Storage;
use crate::time::Moment;

impl<S: Storage> Document<S> {
    /// What is at `prefix` and below as JSON, the whole document for `None` (an object, perhaps an empty one).
    ///
    /// `None` when nothing is there. O(cells below x depth x log cells).
    ///
    /// ```
    /// use crdt_core::{Document, DocumentName, Heap, Limits, Moment, Path, ReplicaId};
    /// use serde_json::json;
    /// let name = DocumentName::new("pump-42")?;
    /// let mut document = Document::<Heap>::new(&name, ReplicaId::new(1), Limits::default());
    /// let settings = json!({"setpoint": 4.5, "alarms": ["dry-run", "leak"], "in/out": null});
    /// document.write_json(Moment::new(1, 1), Path::new("pump/3")?, &settings)?;
    /// assert_eq!(document.to_json(Path::new("pump/3")?), Some(settings));
    /// assert_eq!(document.to_json(Path::new("pump/3/setpoint")?), Some(json!(4.5)));
    /// assert_eq!(document.to_json(Path::new("pump/4")?), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_json<'p>(&self, prefix: impl Into<Option<Path<'p>>>) -> Option<Json> {
        to_json(&Reader::locate(self, prefix.into()))
    }

    /// Stores `json` at `path` (as the whole document for `None`), writing only what differs, as [`write`](Self::write)
    /// does. An object is a map: keys that it does not have are deleted.
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

impl<S: Storage> Replica<S> {
    /// Stores `json` at `path`. See [`Document::write_json`].
    ///
    /// # Errors
    /// As [`Document::write_json`].
    #[expect(clippy::result_large_err, reason = "the error owns its path, and there is no heap to put it on")]
    pub fn write_json<'p>(
        &mut self,
        moment: Moment,
        path: impl Into<Option<Path<'p>>>,
        json: &Json,
    ) -> Result<Option<Stamp>, WriteError> {
        let before = self.document.seq();
        let written = self.document.write_json(self.corrected(moment), path, json);
        self.unsaved |= self.document.seq() != before;
        self.note_forgotten();
        written
    }
}

/// Recursion is bounded by the depth of paths.
fn to_json<S: Storage>(reader: &Reader<'_, S>) -> Option<Json> {
    Some(match reader.node()? {
        Node::Value(value) => scalar(value),
        Node::List => {
            let path = reader.prefix().expect("the document is a map");
            elements(reader.document, path)
                .filter_map(|path| to_json(&Reader::at(reader.document, path)))
                .collect()
        }
        Node::Map => match reader.wide_integer() {
            Some(value) => value.into(),
            None => {
                let entry = |child: super::children::Child<'_>| {
                    let value = to_json(&Reader::at(reader.document, child.path))?;
                    Some((Key::new(child.key).as_str().to_string(), value))
                };
                Json::Object(reader.entries().filter_map(entry).collect::<Map<_, _>>())
            }
        },
    })
}

fn scalar(value: Value<'_>) -> Json {
    match value {
        Value::Bool(value) => value.into(),
        Value::Bytes(value) => value.into(),
        Value::F64(value) => Number::from_f64(value).map_or(Json::Null, Json::Number),
        Value::I64(value) => value.into(),
        Value::Null => Json::Null,
        Value::Str(value) => value.into(),
    }
}
