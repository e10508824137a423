//! The aggregator as a child process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use transport_quic::PublicKey;

/// A running `aggregator serve`; killed when dropped.
pub(crate) struct Aggregator {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    pub(crate) key: PublicKey,
    pub(crate) address: SocketAddr,
}

impl Aggregator {
    /// Starts one and waits until it says that it listens.
    pub(crate) fn start(store: &Path) -> Self {
        Self::start_at(store, "127.0.0.1:0")
    }

    pub(crate) fn start_at(store: &Path, listen: &str) -> Self {
        Self::start_logging(store, listen, Stdio::null())
    }

    pub(crate) fn start_with_log(store: &Path, log: impl Into<Stdio>) -> Self {
        Self::start_logging(store, "127.0.0.1:0", log.into())
    }

    fn start_logging(store: &Path, listen: &str, log: Stdio) -> Self {
        let mut child = command(store, &["serve", "--json", "--listen", listen])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let said: Json = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let text = |name: &str| said[name].as_str().expect("a text").to_owned();
        let (key, address) =
            (text("key").parse().expect("a key"), text("address").parse().expect("an address"));
        Self { child, _stdout: stdout, key, address }
    }

    /// SIGKILL: nothing is written any more, nobody is told.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started here");
    }

    /// SIGTERM: an orderly stop. Gives the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill is there").success());
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait().expect("it was started here") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the aggregator does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Aggregator {
    fn drop(&mut self) {
        // Fails if it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
pub(crate) fn run(store: &Path, arguments: &[&str]) -> Output {
    command(store, arguments).output().expect("the binary starts")
}

/// Runs a command that must succeed; gives what it printed.
pub(crate) fn done(store: &Path, arguments: &[&str]) -> String {
    let output = run(store, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

/// Runs a command that must fail with this exit code; gives what it said.
pub(crate) fn failed(store: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(store, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// The status of the running aggregator.
pub(crate) fn status(store: &Path) -> Json {
    serde_json::from_str(&done(store, &["status", "--json"])).expect("JSON")
}

/// A command that goes on, line by line.
pub(crate) struct Lines {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Lines {
    pub(crate) fn of(store: &Path, arguments: &[&str]) -> Self {
        let mut child = command(store, arguments).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, stdout }
    }

    pub(crate) fn next(&mut self) -> Json {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Waits for the end; gives the exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("text");
        self.child.wait().expect("it was started here").code()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a command, with its standard error kept.
pub(crate) fn spawn(store: &Path, arguments: &[&str], stdout: Stdio) -> Child {
    command(store, arguments).stdout(stdout).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

pub(crate) fn command(store: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aggregator"));
    command.arg("--store").arg(store).args(arguments);
    command
}
