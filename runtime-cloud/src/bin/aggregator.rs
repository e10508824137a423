//! The aggregator's command; see `aggregator --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime_cloud::cli::main()
}
