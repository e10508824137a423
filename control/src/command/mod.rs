//! What the command lines of the edge and of the aggregator share, so that a script can treat both alike: exit codes,
//! output, the log and signals.
//!
//! | exit code | meaning |
//! |---:|---|
//! | 0 | done |
//! | 1 | failed for another reason than those below; standard error has it |
//! | 2 | bad input: the command line, a path, a value or a name cannot be taken |
//! | 3 | not running: the command needs a running process, or that process has ended |
//! | 4 | not found: nothing stands at the path, or the document or the key is unknown |
//! | 5 | timeout: what was waited for did not come in time |
//! | 6 | store: it is missing, damaged, of a newer version, or in use by another process |
//! | 7 | refused by a limit or a right |

mod exit;
mod output;
mod process;

pub use exit::{Exit, Failure};
pub use output::{follow, notice, print, print_text};
pub use process::{LogLevel, main, stop_signal};
