//! Why a run did not come to its end.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use control::{ConnectError, RequestError};

/// The fleet could not be run. Every process was ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FleetError {
    /// The aggregator's control socket cannot be opened.
    #[error("the aggregator's control socket: {0}")]
    Connect(#[from] ConnectError),
    /// There is no place for the stores.
    #[error("no temporary directory can be made: {0}")]
    Directory(io::Error),
    /// A process ended that should not have.
    #[error("{name} ended early ({}){}", how(.status), tail(.stderr_tail))]
    Ended {
        /// Which.
        name: String,
        /// How.
        status: io::Result<ExitStatus>,
        /// The last lines of its standard error.
        stderr_tail: String,
    },
    /// The run was interrupted.
    #[error("interrupted; every process was ended")]
    Interrupted,
    /// The aggregator did not do what it was asked to.
    #[error("the aggregator: {0}")]
    Request(#[from] RequestError),
    /// Signals cannot be listened for.
    #[error("no signals can be listened for: {0}")]
    Signals(io::Error),
    /// A process cannot be started.
    #[error("{name} cannot be started: {source}")]
    Start {
        /// Which.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something did not happen in time.
    #[error("waited {} s for {what}: is the machine busy? with --keep the logs of all processes stay", after.as_secs())]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        after: Duration,
    },
}

impl FleetError {
    pub(crate) fn start(name: &str, source: io::Error) -> Self {
        Self::Start { name: name.to_owned(), source }
    }
}

fn how(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() {
        return " without a word".to_owned();
    }
    format!("; its last words:\n  {}", stderr.replace('\n', "\n  "))
}
