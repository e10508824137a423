//! What can be wrong with a typed write or read, and where.

use core::fmt::{self, Write as _};

use serde::de::{Expected, Unexpected};

use super::key::escape;
use crate::cell::PathError;
use crate::document::UpdateError;
use crate::limits::{ERROR_TEXT_LEN_MAX, PATH_LEN_MAX};
use crate::types::ListError;

/// A short text of an error; what does not fit is cut off.
pub type ErrorText = heapless::String<ERROR_TEXT_LEN_MAX>;

/// A path as an error keeps it: empty for the whole document.
type PathText = heapless::String<PATH_LEN_MAX>;

/// Why a value was not written. Nothing has changed, except with [`WriteProblem::Unstable`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", shown(path))]
pub struct WriteError {
    path: PathText,
    problem: WriteProblem,
}

impl WriteError {
    pub(super) fn new(path: &str, problem: WriteProblem) -> Self {
        Self { path: cut(path), problem }
    }

    /// Where in the document; empty for the whole of it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong there.
    pub fn problem(&self) -> &WriteProblem {
        &self.problem
    }
}

/// What kept a value from being written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteProblem {
    /// The value's `Serialize` says so.
    #[error("{0}")]
    Custom(ErrorText),
    /// An integer outside of what a cell holds.
    #[error("a cell holds integers from -2^63 to 2^63 - 1, not {value}: store it as a string or as bytes")]
    Integer {
        /// The integer; the nearest 128-bit one if it is larger.
        value: i128,
    },
    /// The key of a map is not a string, a character, an integer, a bool or a unit variant.
    #[error("a key of a map must be a string, a character, an integer, a bool or a unit variant")]
    Key,
    /// No capacity for an element between its neighbours in a list.
    #[error(transparent)]
    List(#[from] ListError),
    /// Options and newtypes around one value, deeper than the limit.
    #[error("a value has at most {} options and newtypes around it", crate::limits::TYPED_NESTING_MAX)]
    Nesting,
    /// A scalar, a list or nothing was given for the whole document, which is a map.
    #[error("the whole document is a map: give a path, or a struct or a map")]
    NoPath,
    /// A key does not fit below this path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Two entries of a map have one key, as text.
    #[error("two entries of this map have the same key as text, and one of them would be lost: rename one")]
    SameKey,
    /// The value was serialised differently the second time, when it was written: part of it is in the document.
    #[error("the value changed while it was written, part of it is in the document: write it again")]
    Unstable,
    /// A limit of the replica or of a value.
    #[error(transparent)]
    Update(#[from] UpdateError),
}

/// Why a value was not read: what was found does not fit the type.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {problem}", shown(path))]
pub struct ReadError {
    path: PathText,
    problem: ReadProblem,
}

impl ReadError {
    /// Where in the document; empty for the whole of it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What does not fit there.
    pub fn problem(&self) -> &ReadProblem {
        &self.problem
    }
}

/// What kept a value from being read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadProblem {
    /// The type's `Deserialize` says so.
    #[error("{0}")]
    Custom(ErrorText),
    /// A list of another length than the type has.
    #[error("expected {expected}, found a list of {found}")]
    Length {
        /// What the type wants.
        expected: ErrorText,
        /// Elements there are.
        found: usize,
    },
    /// Nothing is stored here, and the type needs a value.
    #[error("nothing is stored here, and the type needs a value")]
    Missing,
    /// Options and newtypes around one value, deeper than the limit.
    #[error("a value has at most {} options and newtypes around it", crate::limits::TYPED_NESTING_MAX)]
    Nesting,
    /// JSON has no form for it.
    #[error("JSON cannot hold {found}: read it with get, or with read and a type")]
    NotJson {
        /// What is stored.
        found: Found,
    },
    /// The right type, but a value that it cannot take.
    #[error("expected {expected}, found {found}, which it cannot hold")]
    OutOfRange {
        /// What the type wants.
        expected: ErrorText,
        /// What is stored.
        found: Found,
    },
    /// This key of a path and another one are the same key of a map.
    #[error(
        "this key stands here, and once more in its escaped form: they are one key of a map, delete one of them"
    )]
    SameKey,
    /// A field that the type does not have and refuses.
    #[error("the type has no such field and takes no others, only {fields:?}")]
    UnknownField {
        /// The fields it has.
        fields: &'static [&'static str],
    },
    /// A variant that the type does not have.
    #[error("the type has no variant {variant:?}, only {variants:?}")]
    UnknownVariant {
        /// What is stored.
        variant: ErrorText,
        /// The variants it has.
        variants: &'static [&'static str],
    },
    /// Another type of value.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What the type wants.
        expected: ErrorText,
        /// What is stored.
        found: Found,
    },
}

/// What is stored where something else was expected.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Found {
    /// True or false.
    Bool(bool),
    /// Bytes.
    Bytes,
    /// A float.
    Float(f64),
    /// An integer.
    Integer(i64),
    /// An integer above `i64::MAX`.
    LargeInteger(u64),
    /// A list.
    List,
    /// A map.
    Map,
    /// An explicit null.
    Null,
    /// Something that only the type's own `Deserialize` has a word for.
    Other,
    /// A string.
    String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Bool(value) => write!(f, "{value}"),
            Found::Bytes => f.write_str("bytes"),
            Found::Float(value) => write!(f, "the float {value:?}"),
            Found::Integer(value) => write!(f, "the integer {value}"),
            Found::LargeInteger(value) => write!(f, "the integer {value}"),
            Found::List => f.write_str("a list"),
            Found::Map => f.write_str("a map"),
            Found::Null => f.write_str("null"),
            Found::Other => f.write_str("something else"),
            Found::String => f.write_str("a string"),
        }
    }
}

impl From<Unexpected<'_>> for Found {
    fn from(unexpected: Unexpected<'_>) -> Self {
        match unexpected {
            Unexpected::Bool(value) => Found::Bool(value),
            Unexpected::Bytes(_) => Found::Bytes,
            Unexpected::Float(value) => Found::Float(value),
            Unexpected::Signed(value) => Found::Integer(value),
            Unexpected::Unsigned(value) => {
                i64::try_from(value).map_or(Found::LargeInteger(value), Found::Integer)
            }
            Unexpected::Seq => Found::List,
            Unexpected::Map | Unexpected::NewtypeVariant | Unexpected::StructVariant => Found::Map,
            Unexpected::Option | Unexpected::Unit => Found::Null,
            Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::UnitVariant => Found::String,
            _ => Found::Other,
        }
    }
}

/// A write that stops: an error, or the difference that a comparison was looking for. Small, because every level of the
/// value hands it up; where it happened is known to the writer.
#[derive(Clone, Debug)]
pub(super) enum WriteStop {
    Differs,
    Problem(WriteProblem),
}

impl<E: Into<WriteProblem>> From<E> for WriteStop {
    fn from(problem: E) -> Self {
        WriteStop::Problem(problem.into())
    }
}

impl fmt::Display for WriteStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteStop::Differs => f.write_str("the stored value differs"),
            WriteStop::Problem(problem) => problem.fmt(f),
        }
    }
}

impl core::error::Error for WriteStop {}

impl serde::ser::Error for WriteStop {
    fn custom<T: fmt::Display>(message: T) -> Self {
        WriteStop::Problem(WriteProblem::Custom(shorten(message)))
    }
}

/// A read that stops, with its place borrowed from the document until the error leaves.
#[derive(Clone, Debug)]
pub(super) struct ReadStop<'a> {
    /// The innermost place that is known.
    path: Option<&'a str>,
    /// A field below it.
    field: Option<&'static str>,
    problem: ReadProblem,
}

impl<'a> ReadStop<'a> {
    pub(super) fn new(problem: ReadProblem) -> Self {
        Self { path: None, field: None, problem }
    }

    /// Says where, unless somebody further in has.
    pub(super) fn at(mut self, path: Option<&'a str>) -> Self {
        self.path = self.path.or(path);
        self
    }

    /// The error that leaves; `top` is where the read began.
    pub(super) fn into_error(self, top: &str) -> ReadError {
        let mut path: PathText = cut(self.path.unwrap_or(top));
        if let Some(field) = self.field {
            let separator = if path.is_empty() { "" } else { "/" };
            let mut below = path.clone();
            // A field that does not fit below its path cannot be stored there either: the path alone says enough.
            if below.push_str(separator).is_ok() && escape(field, &mut below).is_ok() {
                path = below;
            }
        }
        ReadError { path, problem: self.problem }
    }
}

impl fmt::Display for ReadStop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl core::error::Error for ReadStop<'_> {}

impl serde::de::Error for ReadStop<'_> {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(ReadProblem::Custom(shorten(message)))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(ReadProblem::WrongType { expected: shorten(expected), found: found.into() })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(ReadProblem::OutOfRange { expected: shorten(expected), found: found.into() })
    }

    fn invalid_length(found: usize, expected: &dyn Expected) -> Self {
        Self::new(ReadProblem::Length { expected: shorten(expected), found })
    }

    fn unknown_variant(variant: &str, variants: &'static [&'static str]) -> Self {
        Self::new(ReadProblem::UnknownVariant { variant: cut(variant), variants })
    }

    fn unknown_field(_: &str, fields: &'static [&'static str]) -> Self {
        Self::new(ReadProblem::UnknownField { fields })
    }

    fn missing_field(field: &'static str) -> Self {
        Self { field: Some(field), ..Self::new(ReadProblem::Missing) }
    }
}

/// As much of `text` as fits, cut between characters.
fn cut<const N: usize>(text: &str) -> heapless::String<N> {
    let mut short = heapless::String::new();
    for char in text.chars() {
        if short.push(char).is_err() {
            break;
        }
    }
    short
}

fn shorten(message: impl fmt::Display) -> ErrorText {
    struct Cutting(ErrorText);

    impl fmt::Write for Cutting {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.chars().try_for_each(|char| self.0.push(char).map_err(|_| fmt::Error))
        }
    }

    let mut text = Cutting(ErrorText::new());
    // Cut off where it is full.
    let _ = write!(text, "{message}");
    text.0
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "the document" } else { path }
}
