//! Why a run did not come to its end.

use std::io;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use crdt_core::UpdateError;

/// The run failed. The emulator was ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FirmwareError {
    /// Both ends say that they are done, and have not the same.
    #[error("the copies differ: fingerprint {device:016x} on the device, {host:016x} here")]
    Diverged {
        /// On the device.
        device: u64,
        /// Here.
        host: u64,
    },
    /// The emulator ended when it should not have.
    #[error("the firmware ended early ({status}){}", said(.log))]
    Ended {
        /// How.
        status: ExitStatus,
        /// What it said.
        log: Vec<String>,
    },
    /// The report lacks a figure.
    #[error("the firmware did not report {name}: was it built from the same sources?")]
    Figure {
        /// Which.
        name: &'static str,
    },
    /// There is no firmware.
    #[error("there is no firmware at {}: `just firmware` builds it", path.display())]
    NoFirmware {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is no emulator.
    #[error("{} is not installed: on Debian, `apt install --no-install-recommends qemu-system-arm`", program.display())]
    NoQemu {
        /// What was looked for.
        program: PathBuf,
    },
    /// The emulator could not be started, or spoken with.
    #[error("{} cannot be run: {source}", program.display())]
    Qemu {
        /// Which.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something did not happen in time.
    #[error("waited {} s for {what}: it did not converge{}", after.as_secs(), said(.log))]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        after: Duration,
        /// What the firmware said.
        log: Vec<String>,
    },
    /// The firmware did not notice what was done to it.
    #[error("the firmware did not count {what}")]
    Unnoticed {
        /// What.
        what: &'static str,
    },
    /// An own edit was not possible.
    #[error("an edit here: {0}")]
    Update(#[from] UpdateError),
}

impl FirmwareError {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Diverged { .. } | Self::Ended { .. } | Self::Timeout { .. } | Self::Unnoticed { .. } => 1,
            Self::Figure { .. } | Self::NoFirmware { .. } | Self::Qemu { .. } | Self::Update(_) => 2,
            Self::NoQemu { .. } => 3,
        })
    }
}

fn said(log: &[String]) -> String {
    match log {
        [] => "; the firmware said nothing".to_owned(),
        lines => format!("; the firmware said:\n  {}", lines.join("\n  ")),
    }
}
