//! The gateway of the microcontroller demonstration. `firmware_host --help` tells more; `just firmware` runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    examples::firmware::main()
}
