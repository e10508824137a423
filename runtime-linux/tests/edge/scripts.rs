//! The binary in the hands of scripts: exit codes, pipes, signals, logs.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Running, code, edge, stderr, stdout};

/// The table of the exit codes, which the aggregator has too.
#[test]
fn each_failure_has_its_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let nowhere = store.join("nowhere");
    for arguments in
        [&["get", "a"][..], &["set", "a", "1"], &["delete", "a"], &["ledger"], &["document", "list"]]
    {
        assert_eq!(code(&edge(&nowhere, arguments)), 6, "{arguments:?}");
    }
    assert_eq!(code(&edge(store, &["key"])), 0);
    assert_eq!(code(&edge(store, &["set", "a", "1", "--document", "pump"])), 0);
    let expected: [(i32, &[&[&str]]); 3] = [
        (
            2,
            &[
                &["set", "a//b", "1"],
                &["set", "a", &"x".repeat(5000)],
                &["get", "//"],
                &["delete", ""],
                &["fly"],
                &["set", "a"],
            ],
        ),
        (
            3,
            &[
                &["watch"],
                &["status"],
                &["policy"],
                &["flush"],
                &["document", "send", "x"],
                &["set", "a", "1", "--wait"],
            ],
        ),
        (
            4,
            &[
                &["get", "b"],
                &["get", "--document", "other"],
                &["set", "a", "1", "--document", "other"],
                &["document", "drop", "other"],
            ],
        ),
    ];
    for is_running in [false, true] {
        let _running = is_running.then(|| Running::start(store, &[]));
        for (exit, commands) in expected {
            for arguments in commands.iter().filter(|_| exit != 3 || !is_running) {
                let output = edge(store, arguments);
                assert_eq!(code(&output), exit, "{arguments:?}, running: {is_running}: {}", stderr(&output));
                assert!(!stderr(&output).is_empty() && stdout(&output).is_empty(), "{arguments:?}");
            }
        }
        // What the binary refuses, and what the socket refuses: the same code.
        assert_eq!(code(&edge(store, &["document", "drop", "pump"])), 7);
    }
    let _running = Running::start(store, &[]);
    assert_eq!(code(&edge(store, &["set", "a", "1", "--wait", "--timeout", "0.1"])), 5);
    assert_eq!(code(&edge(store, &["run"])), 6, "one process has the store");
}

const PRINTING: [&[&str]; 9] = [
    &["key"],
    &["get"],
    &["get", "--json"],
    &["status"],
    &["status", "--json"],
    &["policy"],
    &["ledger"],
    &["document", "list"],
    &["watch"],
];

/// `edge get | head -c1` and a full disk ended in a panic.
#[test]
fn a_closed_reader_and_a_full_disk_are_no_panic() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    assert_eq!(code(&edge(store, &["key"])), 0);
    assert_eq!(code(&edge(store, &["set", "a", &"long".repeat(1000), "--document", "pump"])), 0);
    let _running = Running::start(store, &[]);
    for arguments in PRINTING {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = spawn(store, arguments, full.into()).wait_with_output().unwrap();
        assert_eq!(code(&output), 1, "{arguments:?}: {}", stderr(&output));
        assert!(
            stderr(&output).contains("standard output cannot be written: No space left"),
            "{}",
            stderr(&output)
        );

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = spawn(store, arguments, writer.into()).wait_with_output().unwrap();
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{arguments:?}");
    }
}

/// It waited for the next change before it saw that nobody reads any more: for ever, in a quiet document.
#[test]
fn a_watch_ends_when_its_reader_does() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    assert_eq!(code(&edge(store, &["key"])), 0);
    assert_eq!(code(&edge(store, &["set", "a", "1", "--document", "pump"])), 0);
    let _running = Running::start(store, &[]);
    let mut watch = spawn(store, &["watch"], Stdio::piped());
    let mut first = [0];
    let mut reader = watch.stdout.take().unwrap();
    reader.read_exact(&mut first).unwrap();
    drop(reader);
    assert_eq!((code(&ended(watch)), first), (0, *b"{"));
}

#[test]
fn a_watch_ends_with_3_however_the_edge_ended() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    assert_eq!(code(&edge(store, &["key"])), 0);
    assert_eq!(code(&edge(store, &["set", "a", "1", "--document", "pump"])), 0);
    for signal in ["-TERM", "-INT", "-KILL"] {
        let running = Running::start(store, &[]);
        let mut watch = spawn(store, &["watch"], Stdio::piped());
        let mut line = String::new();
        BufReader::new(watch.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        kill(signal, &running.0);
        let output = ended(watch);
        assert_eq!(code(&output), 3, "{signal}: {}", stderr(&output));
        assert!(stderr(&output).contains("the edge has ended"), "{}", stderr(&output));
        drop(running);
    }
}

/// A closed terminal killed it, and the line that says that it is ready came before its socket was there.
#[test]
fn it_is_ready_when_it_says_so_and_a_hangup_does_not_end_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    for _ in 0..5 {
        let mut child = spawn(store, &["run", "--document", "pump"], Stdio::piped());
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        kill("-HUP", &child);
        UnixStream::connect(store.join("control.sock")).unwrap();
        assert_eq!(code(&edge(store, &["status"])), 0);
        assert!(child.try_wait().unwrap().is_none(), "it runs on");
        kill("-TERM", &child);
        let output = ended(child);
        assert_eq!(code(&output), 0);
        let log = stderr(&output);
        assert!(
            log.contains("SIGHUP is ignored") && !log.contains('\x1b'),
            "colours are for terminals: {log}"
        );
    }
}

/// With too few file descriptors the log got thirteen lines a second.
#[test]
fn too_few_file_descriptors_are_one_line_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let mut child = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 32; exec \"$0\" run --document pump --store \"$1\"",
            env!("CARGO_BIN_EXE_edge"),
        ])
        .arg(store)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let clients: Vec<_> = (0..40).map(|_| UnixStream::connect(store.join("control.sock")).unwrap()).collect();
    std::thread::sleep(Duration::from_secs(1));
    drop(clients);
    assert_eq!(code(&edge(store, &["status"])), 0, "it serves again");
    kill("-TERM", &child);
    let log = stderr(&ended(child));
    assert_eq!(log.matches("Too many open files").count(), 1, "{log}");
}

fn spawn(store: &Path, arguments: &[&str], stdout: Stdio) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
    command.args(arguments).arg("--store").arg(store).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap()
}

fn kill(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

/// Waits for its end, for at most ten seconds.
fn ended(mut child: Child) -> Output {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(10), "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}
