//! What any of the probes has besides its document: arguments in, bytes out, an error path.

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = Vec::new();
    for argument in std::env::args() {
        out.extend_from_slice(argument.as_bytes());
    }
    std::io::stdout().write_all(&out)?;
    Ok(())
}
