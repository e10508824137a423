//! Stores: who makes one and says so, what is refused, and whose socket it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value as Json, json};
use storage_redb::samples::refused;
use storage_redb::{Options, Role};

use crate::support::{Running, code, edge, stderr, stdout};

/// Commands that may make a store; `run` ends only if it does not start.
const MAKERS: [&[&str]; 3] = [&["key"], &["init"], &["run", "--document", "pump"]];
/// Commands that work on the store where no edge runs.
const USERS: [&[&str]; 5] = [
    &["get", "a"],
    &["set", "a", "1", "--document", "pump"],
    &["set", "a", "1", "--wait"],
    &["delete", "a"],
    &["ledger"],
];
/// Commands that need a running edge.
const ASKERS: [&[&str]; 4] = [&["watch"], &["status"], &["policy"], &["flush"]];

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

fn key(output: &Output) -> String {
    assert_eq!(code(output), 0, "{}", stderr(output));
    let key = stdout(output).trim().to_owned();
    assert_eq!(key.len(), 64, "{key}");
    key
}

#[test]
fn only_run_key_and_init_make_a_store() {
    let (_temporary, at) = directory();
    let store = at.join("pump");
    for (commands, expected) in [(&USERS[..], 6), (&ASKERS, 3)] {
        for command in commands {
            let output = edge(&store, command);
            assert_eq!(code(&output), expected, "{command:?}: {}", stderr(&output));
            let path = store.join("store.redb").display().to_string();
            let said = stderr(&output);
            assert!(said.contains(&path) && said.contains("edge init --store"), "{command:?}: {said}");
        }
    }
    // What a new store would be made for does not work, and only the last part of a directory is made.
    for (command, expected) in [
        (&["run"][..], 6),
        (&["run", "--document", "pump", "--line-tcp", "127.0.0.1:0=town"], 2),
        (&["run", "--document", ""], 2),
        (&["run", "--document", "pump", "--budget", "1"], 2),
    ] {
        let output = edge(&store, command);
        assert_eq!(code(&output), expected, "{command:?}: {}", stderr(&output));
    }
    for command in MAKERS {
        let output = edge(&at.join("no/where"), command);
        assert_eq!(code(&output), 6, "{command:?}: {}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("only the last part of a path is made"), "{command:?}: {said}");
    }
    assert_eq!(names(&at), Vec::<String>::new(), "nothing is left behind");
}

#[test]
fn who_makes_a_store_says_so_with_its_full_path() {
    let (_temporary, at) = directory();
    fs::create_dir(at.join("real")).unwrap();
    symlink("real", at.join("link")).unwrap();
    let run = |arguments: &[&str]| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
        // As people type it: relative, and through a link.
        command.args(arguments).current_dir(&at).output().unwrap()
    };
    let said = |output: &Output, name: &str, key: &str| {
        let expected =
            format!("created a new store at {}/real/{name}/store.redb with a new key", at.display());
        let told = stderr(output);
        assert!(told.contains(&expected) && told.contains(&format!("aggregator allow {key}")), "{told}");
    };
    let made = run(&["key", "--store", "link/one"]);
    said(&made, "one", &key(&made));
    let there = run(&["key", "--store", "link/one"]);
    assert_eq!((key(&there), stderr(&there).as_str()), (key(&made), ""));

    let made = run(&["init", "--store", "link/two", "--json"]);
    let told: Json = serde_json::from_str(&stdout(&made)).unwrap();
    let path = at.join("real/two/store.redb");
    assert_eq!((&told["created"], &told["store"]), (&json!(true), &json!(path)));
    said(&made, "two", told["key"].as_str().unwrap());
    let there: Json =
        serde_json::from_str(&stdout(&run(&["init", "--store", "link/two", "--json"]))).unwrap();
    assert_eq!((&there["created"], &there["key"]), (&json!(false), &told["key"]));
    let there = run(&["init", "--store", "link/two"]);
    let expected = format!("key {} store {} was there\n", told["key"].as_str().unwrap(), path.display());
    assert_eq!((stdout(&there), stderr(&there)), (expected, String::new()));

    // A running edge tells its key, and says at its start what it has made.
    let three = at.join("real/three");
    for is_new in [true, false] {
        let log = fs::File::create(at.join("log")).unwrap();
        let running = Running::start_with_log(&three, &["--document", "pump"], log);
        let told: Json = serde_json::from_str(&stdout(&edge(&three, &["init", "--json"]))).unwrap();
        assert_eq!(told["created"], false);
        drop(running);
        let log = fs::read_to_string(at.join("log")).unwrap();
        let expected = format!("created a new store at {} with", three.join("store.redb").display());
        assert_eq!(log.contains(&expected), is_new, "{log}");
        assert_eq!(key(&edge(&three, &["key"])), told["key"].as_str().unwrap());
    }
}

#[test]
fn what_is_no_store_is_refused_by_every_command_and_left_as_it_is() {
    let (_temporary, at) = directory();
    let file = at.join("store.redb");
    key(&edge(&at, &["key"]));
    assert_eq!(code(&edge(&at, &["set", "a", "1", "--document", "pump"])), 0);
    let intact = fs::read(&file).unwrap();
    for sample in refused(&intact) {
        fs::write(&file, &sample.content).unwrap();
        for command in MAKERS.iter().chain(&USERS) {
            let output = edge(&at, command);
            let said = format!("{}: {command:?}: {}", sample.name, stderr(&output));
            assert_eq!(code(&output), 6, "{said}");
            assert!(said.contains(sample.said) && said.contains(file.to_str().unwrap()), "{said}");
            assert!(fs::read(&file).unwrap() == sample.content, "{said}");
            assert_eq!(names(&at), ["store.redb"], "{said}");
        }
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    for command in MAKERS.iter().chain(&USERS) {
        let output = edge(&at, command);
        assert_eq!(code(&output), 6, "{command:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("it is a directory"), "{command:?}: {}", stderr(&output));
    }
    assert_eq!(names(&file), Vec::<String>::new());

    // A file in place of the directory, and a link into a disk that is not mounted.
    fs::remove_dir(&file).unwrap();
    symlink(at.join("mnt/store.redb"), &file).unwrap();
    fs::write(at.join("file"), "").unwrap();
    for command in MAKERS.iter().chain(&USERS) {
        let output = edge(&at, command);
        assert_eq!(code(&output), 6, "{command:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("mnt/store.redb, which does not exist"), "{}", stderr(&output));
        let output = edge(&at.join("file"), command);
        assert_eq!(code(&output), 6, "{command:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("Not a directory"), "{command:?}: {}", stderr(&output));
    }

    fs::remove_file(&file).unwrap();
    fs::write(&file, &intact).unwrap();
    assert_eq!(stdout(&edge(&at, &["get", "a"])), "1\n");
}

#[test]
fn a_store_of_another_program_is_refused_and_left_as_it_is() {
    let (_temporary, at) = directory();
    let file = at.join("store.redb");
    let role = Role { name: "aggregator", known_by: &[], after_damage: "" };
    Options::new().role(role).open(&file).unwrap().close().unwrap();
    let before = fs::read(&file).unwrap();
    for command in MAKERS.iter().chain(&USERS) {
        let output = edge(&at, command);
        let said = stderr(&output);
        assert_eq!(code(&output), 6, "{command:?}: {said}");
        let expected =
            format!("{} is a store of the program \"aggregator\", not of \"edge\"", file.display());
        assert!(said.contains(&expected), "{command:?}: {said}");
        assert!(fs::read(&file).unwrap() == before, "{command:?}");
    }
}

/// Whatever moment a kill hits: there is no store, or a whole one; and once a key was told, it stays.
#[test]
fn a_kill_while_a_store_is_made_leaves_none_or_a_whole_one() {
    let (mut killed, mut told) = (0, 0);
    for round in 0..60_u32 {
        let (_temporary, at) = directory();
        let store = at.join("pump");
        let mut child = spawn(&store, &["key"]);
        std::thread::sleep(std::time::Duration::from_micros(u64::from(round) * 300));
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        killed += u32::from(!output.status.success());
        let whole = store.join("store.redb").exists();
        let first = key(&edge(&store, &["key"]));
        if !output.stdout.is_empty() {
            assert_eq!(stdout(&output).trim(), first, "round {round}");
            assert!(whole, "round {round}");
            told += 1;
        }
        assert_eq!(names(&store), ["store.redb"], "round {round}");
        assert_eq!(key(&edge(&store, &["key"])), first, "round {round}");
    }
    println!("{killed} were killed, {told} had told their key");
    assert!(killed > 0);
}

#[test]
fn a_creation_that_never_finished_begins_anew() {
    let (_temporary, at) = directory();
    for leftover in [&b""[..], &[0; 9000], b"half"] {
        fs::write(at.join("store.redb.unfinished"), leftover).unwrap();
        let output = edge(&at, &["get", "a"]);
        assert_eq!(code(&output), 6, "{}", stderr(&output));
        let made = edge(&at, &["key"]);
        assert!(stderr(&made).contains("created a new store"), "{}", stderr(&made));
        assert_eq!(names(&at), ["store.redb"]);
        fs::remove_file(at.join("store.redb")).unwrap();
    }
}

#[test]
fn all_that_make_a_store_at_once_tell_the_same_key() {
    for _ in 0..5 {
        let (_temporary, at) = directory();
        let store = at.join("pump");
        let children: Vec<Child> = (0..6).map(|_| spawn(&store, &["key"])).collect();
        let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        let keys: Vec<_> = outputs.iter().map(key).collect();
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        let makers = outputs.iter().filter(|output| stderr(output).contains("created a new store")).count();
        assert_eq!((makers, names(&store)), (1, vec!["store.redb".to_owned()]));
    }
}

/// The command would act on the running edge's store, which is not the one at the path.
#[test]
fn a_store_that_was_replaced_under_a_running_edge_is_noticed() {
    let (_temporary, at) = directory();
    let (pump, other) = (at.join("pump"), at.join("other"));
    assert_eq!(code(&edge(&other, &["init"])), 0);
    let running = Running::start(&pump, &["--document", "pump"]);
    assert_eq!(code(&edge(&pump, &["set", "a", "1"])), 0);
    let file = pump.join("store.redb");
    fs::rename(&file, pump.join("moved.redb")).unwrap();
    for is_replaced in [false, true] {
        if is_replaced {
            fs::copy(other.join("store.redb"), &file).unwrap();
        }
        for command in MAKERS[..2].iter().chain(&USERS).chain(&ASKERS) {
            let output = edge(&pump, command);
            let said = stderr(&output);
            assert_eq!(code(&output), 6, "{command:?}: {said}");
            assert!(
                said.contains("stop the process first") && said.contains(file.to_str().unwrap()),
                "{said}"
            );
        }
        assert_eq!(file.exists(), is_replaced);
    }
    drop(running);
    fs::rename(pump.join("moved.redb"), &file).unwrap();
    assert_eq!(stdout(&edge(&pump, &["get", "a"])), "1\n");
}

/// The system limits the path of a socket to 107 bytes.
#[test]
fn a_long_directory_is_no_matter() {
    let (_temporary, at) = directory();
    let deep = at.join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    symlink(&deep, at.join("short")).unwrap();
    for store in [deep.join("pump"), at.join("short/pump")] {
        let running = Running::start(&store, &["--document", "pump"]);
        for path in [&deep.join("pump"), &at.join("short/pump")] {
            assert_eq!(code(&edge(path, &["set", "a", "1"])), 0);
            let status = edge(path, &["status"]);
            assert!(stdout(&status).contains("document      \"pump\", 1 cells"), "{}", stderr(&status));
        }
        drop(running);
    }
}

fn spawn(store: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
    command
        .args(arguments)
        .arg("--store")
        .arg(store)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}
