//! Stores: who makes one and says so, what is refused, and whose socket it is.

#![expect(clippy::unwrap_used, reason = "a test says by its panic what went wrong")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value as Json, json};
use storage_redb::samples::refused;
use storage_redb::{Batch, Options, Role};

use crate::process::{Aggregator, command, done, failed};

const KEY: &str = "abababababababababababababababababababababababababababababababab";

/// Commands that may make a store; `serve` ends only if it does not start.
const MAKERS: [&[&str]; 3] = [&["serve", "--listen", "127.0.0.1:0"], &["init"], &["key"]];
/// Commands that work on the store where no aggregator runs.
const USERS: [&[&str]; 7] = [
    &["allow", KEY],
    &["allow", KEY, "--document", "site"],
    &["revoke", KEY],
    &["list"],
    &["get", "site"],
    &["set", "site", "a", "1"],
    &["delete", "site", "a"],
];
/// Commands that need a running aggregator.
const ASKERS: [&[&str]; 2] = [&["watch", "site"], &["status"]];

/// A directory by its full path.
fn directory() -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().canonicalize().unwrap();
    (temporary, path)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn only_serve_key_and_init_make_a_store() {
    let (_temporary, at) = directory();
    for (name, file) in [("cloud", "cloud/aggregator.redb"), ("a.redb", "a.redb"), ("no/where", "no/where/")]
    {
        let store = at.join(name);
        for (commands, code) in [(&USERS[..], 6), (&ASKERS, 3)] {
            for command in commands {
                let said = failed(&store, command, code);
                let path = at.join(file).display().to_string();
                assert!(
                    said.contains(&path) && said.contains("aggregator init --store"),
                    "{command:?}: {said}"
                );
            }
        }
    }
    for command in MAKERS {
        let said = failed(&at.join("no/where"), command, 6);
        assert!(said.contains("only the last part of a path is made"), "{command:?}: {said}");
    }
    assert_eq!(names(&at), Vec::<String>::new(), "nothing is left behind");
}

#[test]
fn who_makes_a_store_says_so_with_its_full_path() {
    let (_temporary, at) = directory();
    fs::create_dir(at.join("real")).unwrap();
    symlink("real", at.join("link")).unwrap();
    // As people type it: relative, and through a link.
    let run = |arguments: &[&str]| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aggregator"));
        let output = command.args(arguments).current_dir(&at).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output
    };
    let text = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned();
    let said = |output: &Output, path: &str, key: &str| {
        let expected = format!("created a new store at {}/real/{path} with a new key", at.display());
        let told = stderr(output);
        assert!(told.contains(&expected) && told.contains(key), "{told}");
    };
    let made = run(&["key", "--store", "link/one"]);
    said(&made, "one/aggregator.redb", &text(&made));
    let there = run(&["key", "--store", "link/one"]);
    assert_eq!((text(&there), stderr(&there)), (text(&made), String::new()));

    let made = run(&["init", "--store", "link/two.redb", "--json"]);
    let told: Json = serde_json::from_str(&text(&made)).unwrap();
    let path = at.join("real/two.redb");
    assert_eq!((&told["created"], &told["store"]), (&json!(true), &json!(path)));
    said(&made, "two.redb", told["key"].as_str().unwrap());
    let there: Json =
        serde_json::from_str(&text(&run(&["init", "--store", "link/two.redb", "--json"]))).unwrap();
    assert_eq!((&there["created"], &there["key"]), (&json!(false), &told["key"]));
    let there = run(&["init", "--store", "link/two.redb"]);
    let expected = format!("key {} store {} was there", told["key"].as_str().unwrap(), path.display());
    assert_eq!((text(&there), stderr(&there)), (expected, String::new()));

    // A running aggregator tells its key, and says at its start what it has made.
    let three = at.join("real/three");
    for is_new in [true, false] {
        let log = at.join("log");
        let aggregator = Aggregator::start_with_log(&three, fs::File::create(&log).unwrap());
        let told: Json = serde_json::from_str(&done(&three, &["init", "--json"])).unwrap();
        assert_eq!((&told["created"], &told["key"]), (&json!(false), &json!(aggregator.key)));
        assert_eq!(done(&three, &["key"]), aggregator.key.to_string());
        aggregator.kill();
        let log = fs::read_to_string(log).unwrap();
        let expected = format!("created a new store at {} with", three.join("aggregator.redb").display());
        assert_eq!(log.contains(&expected), is_new, "{log}");
    }
}

#[test]
fn what_is_no_store_is_refused_by_every_command_and_left_as_it_is() {
    let (_temporary, at) = directory();
    let file = at.join("aggregator.redb");
    done(&at, &["init"]);
    done(&at, &["set", "site", "a", "1"]);
    let intact = fs::read(&file).unwrap();
    for sample in refused(&intact) {
        fs::write(&file, &sample.content).unwrap();
        for command in MAKERS.iter().chain(&USERS) {
            let said = format!("{}: {command:?}: {}", sample.name, failed(&at, command, 6));
            assert!(said.contains(sample.said) && said.contains(file.to_str().unwrap()), "{said}");
            // Here is where the documents would come from.
            assert!(!said.contains("from the aggregator"), "{said}");
            let is_newer = said.contains("install a newer version");
            assert!(is_newer || said.contains("restore it from a backup"), "{said}");
            assert!(fs::read(&file).unwrap() == sample.content, "{said}");
            assert_eq!(names(&at), ["aggregator.redb"], "{said}");
        }
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    for command in MAKERS.iter().chain(&USERS) {
        let said = failed(&at, command, 6);
        assert!(said.contains("it is a directory"), "{command:?}: {said}");
    }
    assert_eq!(names(&file), Vec::<String>::new());

    // A link into a disk that is not mounted.
    fs::remove_dir(&file).unwrap();
    symlink(at.join("mnt/aggregator.redb"), &file).unwrap();
    for command in MAKERS.iter().chain(&USERS) {
        let said = failed(&at, command, 6);
        assert!(said.contains("mnt/aggregator.redb, which does not exist"), "{command:?}: {said}");
    }

    fs::remove_file(&file).unwrap();
    fs::write(&file, &intact).unwrap();
    assert_eq!(done(&at, &["get", "site", "a"]), "1");
}

#[test]
fn a_store_of_another_program_is_refused_and_left_as_it_is() {
    let (_temporary, at) = directory();
    let file = at.join("store.redb");
    let role = Role { name: "edge", known_by: &[], after_damage: "" };
    Options::new().role(role).open(&file).unwrap().close().unwrap();
    let before = fs::read(&file).unwrap();
    for command in MAKERS.iter().chain(&USERS) {
        let said = failed(&file, command, 6);
        let expected =
            format!("{} is a store of the program \"edge\", not of \"aggregator\"", file.display());
        assert!(said.contains(&expected), "{command:?}: {said}");
        assert!(fs::read(&file).unwrap() == before, "{command:?}");
    }
}

#[test]
fn stores_in_one_directory_have_a_socket_each() {
    let (_temporary, at) = directory();
    symlink("a.redb", at.join("link.redb")).unwrap();
    let (a, b) = (at.join("a.redb"), at.join("b.redb"));
    let first = Aggregator::start(&a);
    done(&b, &["init"]);
    // Only the first one runs: what is for the other one is done on its store.
    done(&a, &["set", "site", "name", "first"]);
    done(&b, &["set", "site", "name", "second"]);
    failed(&b, &["status"], 3);
    let second = Aggregator::start(&b);
    let third = Aggregator::start(&at);
    assert_ne!(first.key, second.key);
    assert_eq!(done(&a, &["get", "site", "name"]), "\"first\"");
    assert_eq!(done(&b, &["get", "site", "name"]), "\"second\"");
    assert!(failed(&at, &["get", "site"], 4).contains("there is no document"));
    for (store, key) in
        [(&a, first.key), (&b, second.key), (&at, third.key), (&at.join("link.redb"), first.key)]
    {
        assert_eq!(done(store, &["key"]), key.to_string());
    }
    first.kill();
    assert_eq!(done(&at.join("link.redb"), &["get", "site", "name"]), "\"first\"");
    assert_eq!(done(&b, &["get", "site", "name"]), "\"second\"");
}

/// The command would act on the running aggregator's store, which is not the one at the path.
#[test]
fn a_store_that_was_replaced_under_a_running_aggregator_is_noticed() {
    let (_temporary, at) = directory();
    let (file, moved, other) = (at.join("a.redb"), at.join("moved.redb"), at.join("other.redb"));
    done(&other, &["init"]);
    let aggregator = Aggregator::start(&file);
    done(&file, &["set", "site", "a", "1"]);
    fs::rename(&file, &moved).unwrap();
    for is_replaced in [false, true] {
        if is_replaced {
            fs::copy(&other, &file).unwrap();
        }
        for command in MAKERS[1..].iter().chain(&USERS).chain(&ASKERS) {
            let said = failed(&file, command, 6);
            assert!(
                said.contains("stop the process first") && said.contains(file.to_str().unwrap()),
                "{said}"
            );
        }
        assert_eq!(file.exists(), is_replaced);
    }
    aggregator.kill();
    assert_eq!(done(&moved, &["get", "site", "a"]), "1");
    assert!(failed(&file, &["get", "site", "a"], 4).contains("there is no document"));
}

#[test]
fn all_that_make_a_store_at_once_tell_the_same_key() {
    let (_temporary, at) = directory();
    let spawn = |_| {
        let mut command = command(&at.join("cloud"), &["key"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..6).map(spawn).collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert!(outputs.iter().all(|output| output.status.success()), "{outputs:?}");
    assert!(outputs.iter().all(|output| output.stdout == outputs[0].stdout), "{outputs:?}");
    let makers = outputs.iter().filter(|output| stderr(output).contains("created a new store")).count();
    assert_eq!((makers, names(&at.join("cloud"))), (1, vec!["aggregator.redb".to_owned()]));
}

/// A server that has just been started is making the store, and then has it open before its socket answers.
#[test]
fn a_command_waits_for_a_server_that_is_starting() {
    let (_temporary, at) = directory();
    let (file, unfinished) = (at.join("aggregator.redb"), at.join("aggregator.redb.unfinished"));
    let role = Role { name: "aggregator", known_by: &[], after_damage: "" };
    let mut initial = Batch::new();
    initial.set("identity", vec![1; 32]).set("reset-key", vec![2; 32]);
    let store = Options::new().role(role).initial(initial).open(&unfinished).unwrap();
    let mut allow = command(&at, &["allow", KEY]);
    let allow = allow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(250));
    fs::hard_link(&unfinished, &file).unwrap();
    fs::remove_file(&unfinished).unwrap();
    std::thread::sleep(Duration::from_millis(250));
    drop(store);
    let allowed = allow.wait_with_output().unwrap();
    assert!(allowed.status.success(), "{allowed:?}");
    assert!(done(&at, &["list"]).contains(KEY));
}

/// The system limits the path of a socket to 107 bytes.
#[test]
fn a_long_directory_is_no_matter() {
    let (_temporary, at) = directory();
    let deep = at.join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    symlink(&deep, at.join("short")).unwrap();
    let aggregator = Aggregator::start(&at.join("short/cloud"));
    for store in [deep.join("cloud"), at.join("short/cloud"), deep.join("cloud/aggregator.redb")] {
        assert_eq!(done(&store, &["key"]), aggregator.key.to_string());
        done(&store, &["status"]);
    }
    // The name of a store counts. It was made all the same, and that is told.
    let said = failed(&at.join(format!("{}.redb", "n".repeat(90))), MAKERS[0], 1);
    assert!(said.contains("at most 107 bytes") && said.contains("use a shorter name"), "{said}");
    assert!(said.contains("created a new store"), "{said}");
}
