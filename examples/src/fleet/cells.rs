//! A document as leaves, to be compared leaf by leaf.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// Path and value of each leaf. An empty container is a leaf.
pub(crate) type Cells = BTreeMap<String, Json>;

/// The leaves of a document that came as nested objects.
#[must_use]
pub(crate) fn leaves(tree: &Json) -> Cells {
    let mut cells = Cells::new();
    collect("", tree, &mut cells);
    cells
}

/// Paths whose values are not the same on both sides.
#[must_use]
pub(crate) fn differences<'a>(here: &'a Cells, there: &'a Cells) -> Vec<&'a str> {
    let missing = there.keys().filter(|path| !here.contains_key(*path));
    let other = here.iter().filter(|(path, value)| there.get(*path) != Some(value)).map(|(path, _)| path);
    other.chain(missing).map(String::as_str).collect()
}

fn collect(path: &str, tree: &Json, cells: &mut Cells) {
    match tree {
        Json::Object(below) if !below.is_empty() => {
            for (key, value) in below {
                let path = if path.is_empty() { key.clone() } else { format!("{path}/{key}") };
                collect(&path, value, cells);
            }
        }
        Json::Null if path.is_empty() => {}
        leaf => {
            cells.insert(path.to_owned(), leaf.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tree_has_leaves() {
        let cells = leaves(&json!({"weather": {"wind": 3.8, "hour": 1}, "status": {}, "note": null}));
        let expected = [
            ("note", json!(null)),
            ("status", json!({})),
            ("weather/hour", json!(1)),
            ("weather/wind", json!(3.8)),
        ];
        assert_eq!(cells, expected.map(|(path, value)| (path.to_owned(), value)).into());
        assert!(leaves(&Json::Null).is_empty());
    }

    #[test]
    fn every_difference_is_found() {
        let here = leaves(&json!({"same": 1, "other": 1, "here": 1}));
        let there = leaves(&json!({"same": 1, "other": 1.0, "there": 1}));
        assert_eq!(differences(&here, &there), ["here", "other", "there"]);
        assert_eq!(differences(&here, &here), [""; 0]);
    }
}
