//! The main job: a fleet of real processes that converges. `fleet --help` tells more.

use std::process::ExitCode;

fn main() -> ExitCode {
    examples::fleet::main()
}
