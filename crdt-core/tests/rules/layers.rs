//! The layers of the crate, as `lib.rs` tells them: each module uses only what stands before it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The modules in the order of the layers. Those of one line are one layer: its files may use each other.
const LAYERS: [&[&str]; 22] = [
    &["weaken"],
    &["limits"],
    &["id"],
    &["time"],
    &["rng"],
    &["error"],
    &["size"],
    &["list"],
    &["capacity"],
    &["varint"],
    &["causal"],
    &["cell"],
    &["write"],
    &["storage"],
    &["fingerprint"],
    &["overlapping", "document", "forgetting", "merging", "retiring", "transaction", "defaults"],
    &["types"],
    &["typed"],
    &["wire"],
    &["config"],
    &["sync"],
    &["replica"],
];

/// Folders in which the files have an order of their own, and no circle.
const WITHOUT_CIRCLE: [&str; 3] = ["causal", "cell", "wire"];

#[test]
fn each_layer_uses_only_what_stands_before_it() {
    let mut wrong = Vec::new();
    let mut seen = BTreeMap::new();
    for file in files(&source()) {
        let module = module_of(&file);
        if module == "lib" {
            continue;
        }
        let layer = layer_of(&module).unwrap_or_else(|| panic!("{module} has no place in the layers"));
        for used in uses(&file) {
            seen.entry(module.clone()).or_insert(0);
            match layer_of(&used) {
                Some(other) if other <= layer => {}
                Some(_) => wrong.push(format!("{} uses {used}", file.display())),
                None => panic!("{} uses {used}, which has no place in the layers", file.display()),
            }
        }
    }
    assert!(seen.len() >= 10, "the test has seen the sources: {seen:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_of_a_folder_are_no_circle() {
    for folder in WITHOUT_CIRCLE {
        let mut uses_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for file in files(&source().join(folder)) {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let siblings = code_of(&file).match_indices("super::").map(|(at, _)| at).collect::<Vec<_>>();
            let text = code_of(&file);
            let used = siblings.into_iter().map(|at| first_name(&text[at + "super::".len()..]));
            uses_of.entry(name).or_default().extend(used);
        }
        let names: Vec<_> = uses_of.keys().cloned().collect();
        let mut left = names.clone();
        while !left.is_empty() {
            // A file that uses none of those that are left comes next.
            let is_free =
                |name: &String| uses_of[name].iter().all(|used| used == name || !left.contains(used));
            let Some(next) = left.iter().position(is_free) else {
                panic!("a circle in {folder}: {left:?}");
            };
            left.remove(next);
        }
        assert!(names.len() > 2, "{folder}: {names:?}");
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The module of the crate's root that a file belongs to.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(source()).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The code of a file: no comments, and no tests, which may use everything.
fn code_of(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    let code = code.split("#[cfg(all(test, ").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules of the crate's root that a file names.
fn uses(file: &Path) -> Vec<String> {
    let code = code_of(file);
    // A macro for others names what they see.
    let starts = code.match_indices("crate::").map(|(at, _)| at).filter(|at| !code[..*at].ends_with('$'));
    let starts = starts.collect::<Vec<_>>();
    let names = starts.into_iter().map(|at| first_name(&code[at + "crate::".len()..]));
    // What the root exports again stands in some layer: it is to be named there.
    names
        .inspect(|name| assert!(name.starts_with(char::is_lowercase), "{}: {name}", file.display()))
        .collect()
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
