//! What the README quotes is what is built.

use std::fs;
use std::path::Path;

#[test]
fn the_readme_shows_the_device_that_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(root.join("firmware/src/device.rs")).unwrap();
    let (_, rest) = source.split_once("// README: from here\n").unwrap();
    let (quoted, _) = rest.split_once("// README: to here\n").unwrap();
    assert!(quoted.lines().count() <= 30, "it is short: {}", quoted.lines().count());
    let readme = fs::read_to_string(root.join("../README.md")).unwrap();
    assert!(readme.contains(&format!("```rust\n{quoted}```\n")), "README.md is to quote this:\n{quoted}");
}
