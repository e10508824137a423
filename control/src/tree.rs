//! Cells as nested JSON.

use crdt_core::{Cell, Content, Path};
use serde_json::{Map, Value as Json};

use crate::scalar::Scalar;

/// What [`Document::iter`](crdt_core::Document::iter) gives for `prefix`, as nested objects; a scalar when one stands
/// at the prefix itself. `None` when there is nothing. Cost: `[cells x depth]`.
///
/// ```
/// use crdt_core::{Document, DocumentName, Heap, Limits, Moment, Path, ReplicaId};
/// let name = DocumentName::new("site")?;
/// let mut document = Document::<Heap>::new(&name, ReplicaId::new(1), Limits::default());
/// document.set(Moment::new(1), Path::new("pump/3/speed")?, 1450)?;
/// document.set(Moment::new(2), Path::new("pump/3/mode")?, "auto")?;
/// let pump = Path::new("pump")?;
/// let json = control::tree(Some(pump), document.iter(Some(pump))).unwrap();
/// assert_eq!(json.to_string(), r#"{"3":{"mode":"auto","speed":1450}}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn tree<'a>(prefix: Option<Path<'_>>, cells: impl Iterator<Item = Cell<'a>>) -> Option<Json> {
    let mut root: Option<Json> = None;
    for cell in cells {
        let Some(value) = content_to_json(&cell.content) else { continue };
        let path = cell.path.as_str();
        let below = match prefix {
            None => path,
            Some(prefix) => path.strip_prefix(prefix.as_str()).unwrap_or(path).trim_start_matches('/'),
        };
        if below.is_empty() {
            root = Some(value);
            continue;
        }
        let mut place = root.get_or_insert_with(|| Json::Object(Map::new()));
        for key in below.split('/') {
            if !place.is_object() {
                *place = Json::Object(Map::new());
            }
            // Indexing an object makes room for a new key.
            place = &mut place[key];
        }
        *place = value;
    }
    root
}

/// A content as JSON: `{}` and `[]` for the markers of empty containers, `None` for a tombstone.
pub fn content_to_json(content: &Content<'_>) -> Option<Json> {
    match content {
        Content::List => Some(Json::Array(Vec::new())),
        Content::Map => Some(Json::Object(Map::new())),
        Content::Tombstone => None,
        Content::Value(value) => Some(Scalar::from(*value).into()),
    }
}

#[cfg(test)]
mod tests {
    use crdt_core::{Document, DocumentName, Heap, Limits, Moment, ReplicaId, Write};

    use super::*;

    #[test]
    fn a_document_reads_as_nested_objects() {
        fn path(text: &str) -> Path<'_> {
            Path::new(text).unwrap()
        }
        let name = DocumentName::new("site").unwrap();
        let mut document = Document::<Heap>::new(&name, ReplicaId::new(1), Limits::default());
        let shown = |document: &Document<Heap>, at: Option<&str>| {
            let at = at.map(path);
            tree(at, document.iter(at)).map(|json| json.to_string())
        };
        assert_eq!(shown(&document, None), None);
        let writes = [
            Write::set(path("a/b/c"), 1),
            Write::set(path("a/bb"), 2.5),
            Write::map(path("m")),
            Write::list(path("l")),
            Write::set(path("gone"), true),
        ];
        document.update(Moment::new(1), &writes).unwrap();
        document.delete(Moment::new(2), path("gone")).unwrap();
        assert_eq!(shown(&document, None).unwrap(), r#"{"a":{"b":{"c":1},"bb":2.5},"l":[],"m":{}}"#);
        assert_eq!(shown(&document, Some("a/b")).unwrap(), r#"{"c":1}"#);
        assert_eq!(shown(&document, Some("a/b/c")).unwrap(), "1");
        assert_eq!(shown(&document, Some("m")).unwrap(), "{}");
        assert_eq!(shown(&document, Some("gone")), None);
    }
}
