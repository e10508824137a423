//! What a server says.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// One line from the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It was not done.
    Error(ErrorReply),
    /// It was done, and this is the answer.
    Ok(Json),
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ErrorReply {
    /// For programs: one of the [codes](crate::code).
    pub code: String,
    /// For people: what is wrong, with the value, the limit and the next step.
    pub message: String,
}

impl ErrorReply {
    /// An error of this code. An error of another type goes in as text: `ErrorReply::new(code::FULL, error)`.
    pub fn new(code: &str, message: impl std::fmt::Display) -> Self {
        Self { code: code.to_owned(), message: message.to_string() }
    }

    /// The same, with the sources of the error after it, so that no cause is lost.
    pub fn with_sources(code: &str, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self { code: code.to_owned(), message }
    }
}
