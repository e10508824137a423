//! What linking a system adds to a program: small probes in `benches/probes`, built for size, each against one with
//! nothing in it.
//!
//! | target | figure |
//! |---|---|
//! | `x86_64` | file size of the stripped executable, less that of the empty one |
//! | `thumbv7m` | all that the image puts into flash (vectors, code, constants, initial data), start-up and panic handler included |
//!
//! The probes have a target directory of their own, so that only the first run takes minutes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use object::{Object, ObjectSection, SectionFlags};

use crate::systems::GODWIT;
use crate::workload::Target;

/// The workload, as the tables call it.
pub const NAME: &str = "binary_size";
/// Target of executables, as tables and JSON lines call it.
pub const X86_64: &str = "x86_64";
/// Target of firmware, as tables and JSON lines call it.
pub const THUMBV7M: &str = "thumbv7m";

/// A probe of one system on one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// An executable for 64-bit Linux, of the system of this name.
    Executable(&'static str),
    /// Ours as firmware for a Cortex-M3, in fixed storage.
    Firmware,
}

impl Probe {
    /// That of a system on a target; only ours runs on a microcontroller.
    pub fn of(system: &'static str, target: &str) -> Option<Self> {
        match target {
            X86_64 => Some(Probe::Executable(system)),
            THUMBV7M if system == GODWIT.name => Some(Probe::Firmware),
            _ => None,
        }
    }

    /// What ours must reach on this target.
    pub fn limit(self) -> Target {
        match self {
            Probe::Executable(_) => Target::AtMost(128 * 1024),
            Probe::Firmware => Target::AtMost(68 * 1024),
        }
    }

    /// Builds it, if need be, and measures it. Cargo tells its progress on standard error.
    ///
    /// # Errors
    /// When cargo fails: most often the target is not installed or the registry cannot be reached.
    pub fn measure(self) -> anyhow::Result<u64> {
        match self {
            Probe::Executable(name) => {
                let package = format!("probe-{name}");
                let whole = file_len(&build(&package, &package, HOST)?)?;
                let empty = file_len(&build("probe-baseline", "probe-baseline", HOST)?)?;
                Ok(whole.saturating_sub(empty))
            }
            Probe::Firmware => flash_bytes(&build("probe-flash", "flash-document", CORTEX_M)?),
        }
    }
}

const HOST: &str = "x86_64-unknown-linux-gnu";
const CORTEX_M: &str = "thumbv7m-none-eabi";

fn build(package: &str, bin: &str, target: &str) -> anyhow::Result<PathBuf> {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| benches.join("../target"), PathBuf::from);
    // Cargo runs elsewhere.
    let directory = std::path::absolute(built.join("probes"))?;
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(benches.join("probes"))
        .args(["build", "--release", "--locked", "--package", package, "--bin", bin, "--target", target])
        .arg("--target-dir")
        .arg(&directory)
        // Sizes are those of the profile in `benches/probes`, whatever the caller likes for other programs.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stdout(Stdio::null())
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("{package} was not built for {target}: if the target is missing, `rustup target add {target}`");
    }
    Ok(directory.join(target).join("release").join(bin))
}

fn file_len(path: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?.len())
}

/// Sum of the sections that are loaded and not all zeros.
fn flash_bytes(path: &Path) -> anyhow::Result<u64> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let image = object::File::parse(&*bytes)?;
    let in_flash = |flags| match flags {
        SectionFlags::Elf { sh_flags, .. } => sh_flags.0 & object::elf::SHF_ALLOC.0 != 0,
        _ => false,
    };
    let sections = image.sections().filter(|s| in_flash(s.flags()) && s.file_range().is_some());
    Ok(sections.map(|section| section.size()).sum())
}
