//! From the command line to the exit code.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::error::FleetError;
use super::options::{Command, Options, Role};
use super::report::Summary;
use super::supervisor::Fleet;
use super::{aggregator, edge, relays};

/// Is what the command line says: the fleet, or a part of it.
#[must_use]
pub fn main() -> ExitCode {
    let command = Command::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).init();
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(&error),
        };
    let result: Result<(), Box<dyn Error>> = match command.into_role() {
        Ok(Role::Aggregator(role)) => runtime.block_on(aggregator::run(role)).map_err(Into::into),
        Ok(Role::Edge(role)) => runtime.block_on(edge::run(role)).map_err(Into::into),
        Ok(Role::Relay(role)) => runtime.block_on(relays::run(role)).map_err(Into::into),
        Err(options) => return supervise(&runtime, &options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.as_ref()),
    }
}

fn supervise(runtime: &tokio::runtime::Runtime, options: &Options) -> ExitCode {
    let summary = match runtime.block_on(run(options)) {
        Ok(summary) => summary,
        Err(FleetError::Interrupted) => {
            fail(&FleetError::Interrupted);
            return ExitCode::from(EXIT_INTERRUPTED);
        }
        Err(error) => return fail(&error),
    };
    let text = if options.json {
        serde_json::to_string(&summary).expect("a summary is plain data")
    } else {
        summary.to_string()
    };
    // Whoever does not read it to its end still gets the exit code.
    writeln!(io::stdout(), "{text}").ok();
    if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a fleet in a directory of its own, and leaves neither processes nor files.
async fn run(options: &Options) -> Result<Summary, FleetError> {
    let mut directory = tempfile::Builder::new().prefix("fleet-").tempdir().map_err(FleetError::Directory)?;
    if options.keep {
        directory.disable_cleanup(true);
        eprintln!("everything stays in {}", directory.path().display());
    }
    let mut hangup = signal(SignalKind::hangup()).map_err(FleetError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(FleetError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(FleetError::Signals)?;
    let mut fleet = Fleet::new(options, directory.path());
    let outcome = tokio::select! {
        outcome = fleet.live() => outcome,
        _ = hangup.recv() => Err(FleetError::Interrupted),
        _ = interrupt.recv() => Err(FleetError::Interrupted),
        _ = terminate.recv() => Err(FleetError::Interrupted),
    };
    fleet.clear_display();
    fleet.stop().await;
    drop(fleet);
    if let Err(error) = directory.close() {
        tracing::warn!(%error, "the temporary directory could not be removed");
    }
    outcome
}

fn fail(error: &dyn Error) -> ExitCode {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Some messages tell their source themselves.
        let text = cause.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = cause.source();
    }
    eprintln!("error: {message}");
    ExitCode::from(EXIT_FAILED)
}

/// A process waits more than it works.
const THREADS: usize = 2;
const EXIT_FAILED: u8 = 2;
/// As a shell shows an interrupt.
const EXIT_INTERRUPTED: u8 = 130;
