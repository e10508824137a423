//! A path that is put together key by key, on a fixed buffer.

use core::fmt;

use crate::cell::{Path, PathError};
use crate::limits::{PATH_DEPTH_MAX, PATH_LEN_MAX};

/// An owned path of at most 255 bytes; no heap.
///
/// ```
/// use crdt_core::{Path, types::PathBuffer};
/// let setpoint = PathBuffer::from(Path::new("pump/3")?).join("setpoint")?;
/// assert_eq!(setpoint.as_path(), Path::new("pump/3/setpoint")?);
/// # Ok::<(), crdt_core::PathError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PathBuffer(heapless::String<PATH_LEN_MAX>);

impl PathBuffer {
    /// The path below this one that `keys` names: one key, or several joined by `/`. O(length).
    ///
    /// # Errors
    /// [`PathError`] when a key is empty, or the whole path is too long or too deep.
    pub fn join(mut self, keys: &str) -> Result<Self, PathError> {
        let above = self.0.len();
        Path::new(keys).map_err(|error| match error {
            PathError::EmptyKey { at } => PathError::EmptyKey { at: above + 1 + at },
            error => error,
        })?;
        check_room(self.as_path(), 1 + keys.len(), 1 + keys.matches('/').count())?;
        let pushed = self.0.push('/').and_then(|()| self.0.push_str(keys));
        pushed.expect("the length was checked");
        Ok(self)
    }

    /// The path.
    pub fn as_path(&self) -> Path<'_> {
        Path::from_checked(&self.0)
    }
}

impl From<Path<'_>> for PathBuffer {
    fn from(path: Path<'_>) -> Self {
        Self(heapless::String::try_from(path.as_str()).expect("a path has at most 255 bytes"))
    }
}

impl fmt::Debug for PathBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_path().fmt(f)
    }
}

/// Whether `more_bytes` (with the separator) and `more_keys` fit below `path`.
pub(super) fn check_room(path: Path<'_>, more_bytes: usize, more_keys: usize) -> Result<(), PathError> {
    let len = path.as_str().len() + more_bytes;
    if len > PATH_LEN_MAX {
        return Err(PathError::TooLong { len });
    }
    let keys = path.ancestors().count() + 1 + more_keys;
    if keys > PATH_DEPTH_MAX { Err(PathError::TooDeep { keys }) } else { Ok(()) }
}

/// The keys of `path` below `above`; `path` lies below it.
pub(super) fn keys_below<'a>(path: &'a str, above: Path<'_>) -> &'a str {
    &path[above.as_str().len() + 1..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_below_a_path_is_named() {
        let base = || PathBuffer::from(Path::new("a/b").expect("valid"));
        assert_eq!(base().join("c/d").map(|p| p.as_path().as_str().len()), Ok(7));
        assert_eq!(base().join(""), Err(PathError::EmptyKey { at: 4 }));
        assert_eq!(base().join("c//d"), Err(PathError::EmptyKey { at: 6 }));
        let long = core::str::from_utf8(&[b'x'; 252]).expect("ASCII");
        assert_eq!(base().join(long), Err(PathError::TooLong { len: 256 }));
        assert!(base().join(&long[1..]).is_ok());
        assert_eq!(
            base().join("3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"),
            Err(PathError::TooDeep { keys: 17 })
        );
        assert!(base().join("3/4/5/6/7/8/9/10/11/12/13/14/15/16").is_ok());
    }
}
