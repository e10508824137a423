//! The binary in the hands of scripts: exit codes, pipes, signals, logs. The edge has the same tests.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::process::{done, run, spawn};

/// The table of the exit codes, which the edge has too.
#[test]
fn each_failure_has_its_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    for arguments in [&["get", "site", "a"][..], &["list"], &["delete", "site", "a"]] {
        assert_eq!(code(&run(&store.join("nowhere"), arguments)), 6, "{arguments:?}");
    }
    drop(Server::start(store));
    let key = "ab".repeat(32);
    let long = "n".repeat(65);
    let expected: [(i32, &[&[&str]]); 3] = [
        (
            2,
            &[
                &["set", "site", "a//b", "1"],
                &["set", "site", "a", &"x".repeat(5000)],
                &["set", &long, "a", "1"],
                &["get", "site", "//"],
                &["allow", "abc"],
                &["fly"],
                &["set", "site"],
            ],
        ),
        (3, &[&["watch", "site"], &["status"]]),
        (4, &[&["get", "site", "b"], &["get", "sit"], &["delete", "sit", "a"], &["revoke", &key]]),
    ];
    for is_running in [false, true] {
        let _server = is_running.then(|| Server::start(store));
        done(store, &["set", "site", "a", "1"]);
        for (exit, commands) in expected {
            for arguments in commands.iter().filter(|_| exit != 3 || !is_running) {
                let output = run(store, arguments);
                assert_eq!(code(&output), exit, "{arguments:?}, running: {is_running}: {output:?}");
                assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
            }
        }
    }
    let _server = Server::start(store);
    assert_eq!(code(&run(store, &["watch", "sit"])), 4);
    assert_eq!(code(&run(store, &["serve", "--listen", "127.0.0.1:0"])), 6, "one process has the store");
    // A limit: one device, one document more than it may be granted.
    for n in 0..=1_000 {
        let output = run(store, &["allow", &key, "--document", &format!("d{n}")]);
        match code(&output) {
            0 => {}
            exit => return assert_eq!(exit, 7, "{output:?}"),
        }
    }
    panic!("there is no limit");
}

const PRINTING: [&[&str]; 7] = [
    &["get", "site"],
    &["get", "site", "--json"],
    &["list"],
    &["list", "--json"],
    &["status"],
    &["status", "--json"],
    &["watch", "site"],
];

#[test]
fn a_closed_reader_and_a_full_disk_are_no_panic() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let _server = Server::start(store);
    done(store, &["set", "site", "a", &"long".repeat(1000)]);
    for arguments in PRINTING {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = spawn(store, arguments, full.into()).wait_with_output().unwrap();
        assert_eq!(code(&output), 1, "{arguments:?}: {output:?}");
        assert!(stderr(&output).contains("standard output cannot be written: No space left"), "{output:?}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = spawn(store, arguments, writer.into()).wait_with_output().unwrap();
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{arguments:?}");
    }
}

#[test]
fn a_watch_ends_when_its_reader_does() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let _server = Server::start(store);
    done(store, &["set", "site", "a", "1"]);
    let mut watch = spawn(store, &["watch", "site"], Stdio::piped());
    let mut first = [0];
    let mut reader = watch.stdout.take().unwrap();
    reader.read_exact(&mut first).unwrap();
    drop(reader);
    assert_eq!((code(&ended(watch)), first), (0, *b"{"));
}

/// It ended with 1 when the server had time to say that it stops, and with 3 when it had not.
#[test]
fn a_watch_ends_with_3_however_the_aggregator_ended() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    for signal in ["-TERM", "-INT", "-KILL"] {
        let server = Server::start(store);
        done(store, &["set", "site", "a", "1"]);
        let mut watch = spawn(store, &["watch", "site"], Stdio::piped());
        let mut line = String::new();
        BufReader::new(watch.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        kill(signal, &server.0);
        let output = ended(watch);
        assert_eq!(code(&output), 3, "{signal}: {output:?}");
        assert!(stderr(&output).contains("the aggregator has ended"), "{output:?}");
        drop(server);
    }
}

#[test]
fn it_is_ready_when_it_says_so_and_a_hangup_does_not_end_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    for _ in 0..5 {
        let mut child = spawn(store, &["serve", "--listen", "127.0.0.1:0"], Stdio::piped());
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("it is piped")).read_line(&mut line).expect("a line");
        kill("-HUP", &child);
        UnixStream::connect(store.join("aggregator.redb.sock")).unwrap();
        done(store, &["status"]);
        assert!(child.try_wait().expect("it was started here").is_none(), "it runs on");
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

#[test]
fn too_few_file_descriptors_are_one_line_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let mut child = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 32; exec \"$0\" serve --listen 127.0.0.1:0 --store \"$1\"",
            env!("CARGO_BIN_EXE_aggregator"),
        ])
        .arg(store)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("it is piped")).read_line(&mut line).expect("a line");
    let clients: Vec<_> =
        (0..40).map(|_| UnixStream::connect(store.join("aggregator.redb.sock")).unwrap()).collect();
    std::thread::sleep(Duration::from_secs(1));
    drop(clients);
    done(store, &["status"]);
    kill("-TERM", &child);
    let log = stderr(&ended(child));
    assert_eq!(log.matches("Too many open files").count(), 1, "{log}");
}

/// `aggregator serve`, ready; killed when dropped.
struct Server(Child);

impl Server {
    fn start(store: &Path) -> Self {
        let mut child = spawn(store, &["serve", "--listen", "127.0.0.1:0"], Stdio::piped());
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("it is piped")).read_line(&mut line).expect("a line");
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn kill(signal: &str, child: &Child) {
    assert!(
        Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .expect("kill is there")
            .success()
    );
}

/// Waits for its end, for at most ten seconds.
fn ended(mut child: Child) -> Output {
    let start = Instant::now();
    while child.try_wait().expect("it was started here").is_none() {
        assert!(start.elapsed() < Duration::from_secs(10), "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("it was started here")
}
