//! The processes of the fleet: started, told what to do, listened to, and never left behind.
//!
//! A process is a child that reads orders on its standard input and writes reports on its standard output, see
//! [`protocol`](super::protocol); its standard error goes to a file. It ends when its input ends: that is how it is
//! stopped, and what happens when the supervisor is killed. What has not ended is killed with the supervisor's runtime.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};

/// A process that takes orders of type `O`.
#[derive(Debug)]
pub(crate) struct Process<O> {
    stdin: ChildStdin,
    kill: Option<oneshot::Sender<()>>,
    orders: PhantomData<fn(O)>,
}

/// What happened to a process.
#[derive(Debug)]
pub(crate) enum Happening<R> {
    /// It is gone.
    Ended {
        /// How.
        status: io::Result<ExitStatus>,
        /// The last lines of its standard error.
        stderr_tail: String,
    },
    /// It said something.
    Report(R),
}

impl<O: Serialize> Process<O> {
    /// Starts this program again with these arguments. What happens goes to `happenings`, as `wrap` wraps it; the standard
    /// error is added to the file `log`.
    ///
    /// # Errors
    /// The system starts no process, or the file cannot be written.
    pub(crate) fn start<R: DeserializeOwned + Send + 'static, H: Send + 'static>(
        arguments: impl IntoIterator<Item = OsString>,
        log: &Path,
        happenings: mpsc::Sender<H>,
        wrap: impl Fn(Happening<R>) -> H + Send + 'static,
    ) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(OpenOptions::new().create(true).append(true).open(log)?)
            // A key that interrupts the supervisor is not for its children: they are stopped in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take().expect("it was asked for");
        let stdout = child.stdout.take().expect("it was asked for");
        let (kill, killed) = oneshot::channel();
        tokio::spawn(attend(child, BufReader::new(stdout).lines(), log.to_owned(), killed, happenings, wrap));
        Ok(Self { stdin, kill: Some(kill), orders: PhantomData })
    }

    /// Gives an order. A process that is gone does not get it; that it is gone is told by its [`Happening::Ended`].
    pub(crate) async fn order(&mut self, order: &O) {
        let mut line = serde_json::to_vec(order).expect("an order is plain data");
        line.push(b'\n');
        if let Err(error) = self.stdin.write_all(&line).await {
            tracing::debug!(%error, "a process takes no orders any more");
        }
    }

    /// Ends it at once, in the middle of whatever it does (SIGKILL).
    pub(crate) fn kill(&mut self) {
        if let Some(kill) = self.kill.take() {
            // Nobody listens when it is gone already.
            kill.send(()).ok();
        }
    }
}

/// Waits for what a process says until it is gone.
async fn attend<R: DeserializeOwned, H>(
    mut child: Child,
    mut stdout: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
    mut killed: oneshot::Receiver<()>,
    happenings: mpsc::Sender<H>,
    wrap: impl Fn(Happening<R>) -> H,
) {
    let mut may_be_killed = true;
    loop {
        let line = tokio::select! {
            line = stdout.next_line() => line,
            order = &mut killed, if may_be_killed => {
                may_be_killed = false;
                // Without an order, the process was dropped; its input has ended, which is enough.
                if order.is_ok() && let Err(error) = child.start_kill() {
                    tracing::debug!(%error, "a process was gone before it was killed");
                }
                continue;
            }
        };
        let Ok(Some(line)) = line else { break };
        match serde_json::from_str(&line) {
            // When nobody listens any more, the fleet is being stopped.
            Ok(report) => drop(happenings.send(wrap(Happening::Report(report))).await),
            Err(error) => tracing::warn!(%error, line, "a process said something else than a report"),
        }
    }
    let status = child.wait().await;
    let stderr_tail = tail(&log).unwrap_or_default();
    drop(happenings.send(wrap(Happening::Ended { status, stderr_tail })).await);
}

/// The last lines of a file.
fn tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}

/// What is kept of a standard error for the message when its process dies.
const TAIL_BYTES: u64 = 4_096;
const TAIL_LINES: usize = 12;

/// The other end: what a process itself does with its orders and reports.
pub(crate) mod role {
    use std::io::{self, BufRead, Write};
    use std::thread;

    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use tokio::sync::mpsc;

    /// The orders that come in.
    #[derive(Debug)]
    pub(crate) struct Orders(mpsc::Receiver<io::Result<String>>);

    impl Orders {
        /// From the standard input, which a thread reads until it ends.
        #[must_use]
        pub(crate) fn from_stdin() -> Self {
            let (sender, receiver) = mpsc::channel(ORDERS_MAX);
            thread::spawn(move || {
                for line in io::stdin().lock().lines() {
                    if sender.blocking_send(line).is_err() {
                        return;
                    }
                }
            });
            Self(receiver)
        }

        /// The next order; `None` when the supervisor is gone or wants an end. Nothing is lost if the future is dropped.
        ///
        /// # Errors
        /// The input cannot be read, or holds something else than orders.
        pub(crate) async fn next<O: DeserializeOwned>(&mut self) -> io::Result<Option<O>> {
            match self.0.recv().await {
                Some(line) => Ok(Some(serde_json::from_str(&line?)?)),
                None => Ok(None),
            }
        }
    }

    /// Reports to the supervisor. It has happened for the outside once this returns: the system holds the line even if
    /// this process is killed.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub(crate) fn report(report: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(report)?;
        line.push(b'\n');
        // One write for the line, because a process may be killed between two.
        let mut stdout = io::stdout().lock();
        stdout.write_all(&line)?;
        stdout.flush()
    }

    /// Orders that wait.
    const ORDERS_MAX: usize = 64;
}
