//! A process from its start to its end: threads, log, signals.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::exit::{Exit, Failure};

/// What goes to the log unless `RUST_LOG` says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// A command that ends soon: errors.
    Command,
    /// A process that serves: what happens.
    Server,
}

/// Runs a command to its end: starts the log on standard error and the threads, reports a failure.
///
/// The log has colours only on a terminal, and none if `NO_COLOR` is set.
pub fn main(program: &str, level: LogLevel, command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let usual = match level {
        LogLevel::Command => "error",
        LogLevel::Server => "info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let wants_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    log.with_ansi(wants_colours && stderr().is_terminal()).init();
    let done = match Runtime::new() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(Failure::new(Exit::Failed, format!("no threads can be started: {error}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(program),
    }
}

/// Resolves at SIGTERM or SIGINT. From the call on neither kills the process, and SIGHUP, which a closed terminal or a
/// habit of administrators sends, does nothing.
///
/// # Errors
/// [`Exit::Failed`] if the system does not let the process listen.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| Failure::new(Exit::Failed, format!("signals cannot be listened to: {error}")))
    };
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => tracing::info!("SIGHUP is ignored; SIGTERM stops"),
            }
        }
        tracing::info!("stopping");
    })
}
