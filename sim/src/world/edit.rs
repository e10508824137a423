//! What an application writes in a simulation: owned, so that it can wait for its time.

use crdt_core::{Path, PathError, Value, Write};

/// One write of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    path: String,
    /// `None` deletes.
    value: Option<Scalar>,
}

impl Edit {
    /// A scalar at `path`.
    ///
    /// # Errors
    /// [`PathError`] when `path` is none.
    pub fn set(path: &str, value: impl Into<Scalar>) -> Result<Self, PathError> {
        Path::new(path).map(|_| Self { path: path.into(), value: Some(value.into()) })
    }

    /// Nothing at `path` and below any more.
    ///
    /// # Errors
    /// [`PathError`] when `path` is none.
    pub fn delete(path: &str) -> Result<Self, PathError> {
        Path::new(path).map(|_| Self { path: path.into(), value: None })
    }

    /// Where.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it deletes.
    #[must_use]
    pub fn is_delete(&self) -> bool {
        self.value.is_none()
    }

    pub(super) fn write(&self) -> Write<'_> {
        let path = Path::new(&self.path).expect("the path was checked when the edit was made");
        match &self.value {
            Some(value) => Write::set(path, value.value()),
            None => Write::delete(path),
        }
    }
}

/// A scalar that owns its bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A float.
    F64(f64),
    /// An integer.
    I64(i64),
    /// UTF-8, at most 4096 bytes.
    Str(String),
}

impl Scalar {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::F64(value) => Value::F64(*value),
            Self::I64(value) => Value::I64(*value),
            Self::Str(value) => Value::Str(value),
        }
    }
}

impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Scalar {
    fn from(value: f64) -> Self {
        Self::F64(value)
    }
}

impl From<i64> for Scalar {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}

impl From<&str> for Scalar {
    fn from(value: &str) -> Self {
        Self::Str(value.into())
    }
}
