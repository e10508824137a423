//! Standard output: a full disk is an error with a message, a closed reader is the end of the command, neither is a panic.

use std::io::{self, Write};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value as Json;
use tokio::sync::oneshot;

use super::exit::{Exit, Failure};
use crate::client::Client;

/// Writes a line to standard output.
///
/// # Errors
/// [`Failure::ReaderGone`] if nobody reads it; [`Exit::Failed`] if it cannot be written.
pub fn print(line: impl std::fmt::Display) -> Result<(), Failure> {
    print_text(format_args!("{line}\n"))
}

/// Writes a text that has its own line feeds to standard output.
///
/// # Errors
/// As for [`print()`].
pub fn print_text(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(failure)
}

/// Writes a line to standard error. If that is closed or full, the exit code tells what can still be told.
pub fn notice(program: &str, message: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{program}: {message}");
}

/// Prints the replies of a stream, one JSON object a line, until the process ends or nobody reads them any more. A closed
/// reader is noticed at once, not when the next reply comes.
///
/// # Errors
/// [`Exit::NotRunning`] however the process ended: a stream has no other end of its own. [`Failure::ReaderGone`]; the code
/// of the reply if the request was refused at its beginning.
pub async fn follow(client: &mut Client, program: &str) -> Result<(), Failure> {
    let closed = reader_closed();
    tokio::pin!(closed);
    let mut is_begun = false;
    loop {
        let reply: Result<Option<Json>, _> = tokio::select! {
            reply = client.next() => reply,
            () = &mut closed => return Err(Failure::ReaderGone),
        };
        match reply {
            Ok(Some(reply)) => print(reply)?,
            Ok(None) => return Err(ended(program, "it closed the connection")),
            Err(error) if is_begun => return Err(ended(program, &error.to_string())),
            Err(error) => return Err(error.into()),
        }
        is_begun = true;
    }
}

fn ended(program: &str, why: &str) -> Failure {
    Failure::new(Exit::NotRunning, format!("the {program} has ended ({why}); watch again once it runs"))
}

fn failure(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::new(Exit::Failed, format!("standard output cannot be written: {error}")),
    }
}

/// Resolves when the reader of standard output has gone. Never resolves for what has no reader, such as a file.
async fn reader_closed() {
    let (gone, is_gone) = oneshot::channel();
    // The thread waits as long as the process lives; nothing waits for it.
    let watching = thread::Builder::new().name("reader".to_owned()).spawn(move || {
        // No event is asked for: the system tells errors and hang-ups in any case.
        if poll(&mut [PollFd::new(&io::stdout(), PollFlags::empty())], None).is_ok() {
            // An error says that nobody waits for it any more.
            let _ = gone.send(());
        }
    });
    if watching.is_err() || is_gone.await.is_err() {
        std::future::pending::<()>().await;
    }
}
