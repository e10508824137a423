//! Why a command failed, and what its caller is told.

use std::process::ExitCode;

use super::output::notice;
use crate::client::{ConnectError, RequestError};
use crate::code;
use crate::reply::ErrorReply;
use crate::server::BindError;

/// How a command ended; its number is the exit code. The table is in the [module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// A path, a value, a name or an option cannot be taken. `clap` ends with the same code.
    BadInput = 2,
    /// None of the others.
    Failed = 1,
    /// Nothing stands at the path, or the document or the key is unknown.
    NotFound = 4,
    /// No process is running, or it has ended.
    NotRunning = 3,
    /// A limit or a right forbids it.
    Refused = 7,
    /// The store cannot be used.
    Store = 6,
    /// What was waited for did not come in time.
    Timeout = 5,
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub enum Failure {
    /// It failed.
    Failed {
        /// The exit code.
        exit: Exit,
        /// For people: what happened, to what, and the next step.
        message: String,
    },
    /// Nobody reads its output any more, as in `edge get | head -c1`. That is no error of the command.
    ReaderGone,
}

impl Exit {
    /// The exit code for the [code] of an error reply, of either program.
    #[must_use]
    pub fn of_reply(code: &str) -> Self {
        match code {
            code::BAD_NAME | code::BAD_PATH | code::BAD_REQUEST | code::BAD_VALUE => Self::BadInput,
            code::NOT_FOUND | code::UNKNOWN_DOCUMENT => Self::NotFound,
            code::STOPPING => Self::NotRunning,
            code::BUSY | code::FULL | code::REFUSED | code::TOO_MANY => Self::Refused,
            code::DAMAGED | code::STORE_FAILED => Self::Store,
            _ => Self::Failed,
        }
    }
}

impl Failure {
    /// A failure with a text of its own.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self::Failed { exit, message: message.into() }
    }

    /// A failure with the text of an error and of all its causes.
    #[must_use]
    pub fn of(exit: Exit, error: &dyn std::error::Error) -> Self {
        Self::new(exit, ErrorReply::with_sources("", error).message)
    }

    /// Writes the message to standard error, and gives the exit code.
    pub(super) fn report(&self, program: &str) -> ExitCode {
        match self {
            Self::Failed { exit, message } => {
                notice(program, message);
                ExitCode::from(*exit as u8)
            }
            Self::ReaderGone => ExitCode::SUCCESS,
        }
    }
}

impl From<ErrorReply> for Failure {
    fn from(reply: ErrorReply) -> Self {
        Self::new(Exit::of_reply(&reply.code), reply.message)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let exit = match error {
            ConnectError::NotRunning { .. } => Exit::NotRunning,
            ConnectError::OtherStore { .. } => Exit::Store,
            _ => Exit::Failed,
        };
        Self::of(exit, &error)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let exit = match error {
            RequestError::Refused(reply) => return reply.into(),
            RequestError::Closed | RequestError::Io(_) => Exit::NotRunning,
            RequestError::RequestTooLong { .. } | RequestError::Unwritable(_) => Exit::BadInput,
            RequestError::ReplyTooLong => Exit::Refused,
            RequestError::NotAReply(_) => Exit::Failed,
        };
        Self::of(exit, &error)
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        Self::of(Exit::Failed, &error)
    }
}
