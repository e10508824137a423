//! Where a cell stands: UTF-8 keys joined by `/`.

use core::fmt;

use crate::limits::{PATH_DEPTH_MAX, PATH_LEN_MAX};

/// A checked path: 1 to 16 keys of UTF-8, none empty, joined by `/`, at most 255 bytes in all.
///
/// ```
/// use crdt_core::Path;
/// let path = Path::new("pump/3/setpoint")?;
/// assert!(Path::new("pump")?.contains(path));
/// assert!(Path::new("pump//setpoint").is_err());
/// # Ok::<(), crdt_core::PathError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path<'a>(&'a str);

/// A [`Path`] from a literal, or from another constant, that is checked when the program is compiled.
///
/// ```
/// use crdt_core::{Path, path};
/// const SETPOINT: Path<'static> = path!("pump/3/setpoint");
/// assert_eq!(SETPOINT.as_str(), "pump/3/setpoint");
/// ```
///
/// ```compile_fail
/// let none = crdt_core::path!("pump//setpoint");
/// ```
#[macro_export]
macro_rules! path {
    ($text:expr) => {
        const {
            match $crate::Path::new($text) {
                Ok(path) => path,
                Err(_) => panic!("this is no path: 1 to 16 keys joined by `/`, none empty, 255 bytes in all"),
            }
        }
    };
}

impl<'a> Path<'a> {
    /// Checks `text`. O(length).
    ///
    /// # Errors
    /// [`PathError`] names what is wrong and where the limit is.
    pub const fn new(text: &'a str) -> Result<Self, PathError> {
        let bytes = text.as_bytes();
        if bytes.len() > PATH_LEN_MAX {
            return Err(PathError::TooLong { len: bytes.len() });
        }
        let (mut i, mut keys, mut key_len) = (0, 1, 0);
        while i < bytes.len() {
            if bytes[i] == b'/' {
                if key_len == 0 {
                    return Err(PathError::EmptyKey { at: i });
                }
                keys += 1;
                key_len = 0;
            } else {
                key_len += 1;
            }
            i += 1;
        }
        if key_len == 0 {
            return Err(PathError::EmptyKey { at: bytes.len() });
        }
        if keys > PATH_DEPTH_MAX {
            return Err(PathError::TooDeep { keys });
        }
        Ok(Self(text))
    }

    /// The path as text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether `other` is this path or lies below it.
    pub fn contains(self, other: Path<'_>) -> bool {
        other.0 == self.0 || self.is_above(other)
    }

    /// Whether `other` lies below this path.
    pub fn is_above(self, other: Path<'_>) -> bool {
        other.0.len() > self.0.len()
            && other.0.as_bytes()[self.0.len()] == b'/'
            && other.0.as_bytes().starts_with(self.0.as_bytes())
    }

    /// The paths above this one, the topmost first.
    pub fn ancestors(self) -> impl Iterator<Item = Path<'a>> {
        let bytes = self.0.bytes().enumerate();
        bytes.filter(|(_, byte)| *byte == b'/').filter_map(move |(i, _)| self.0.get(..i).map(Path))
    }

    /// The path one key shorter, or `None` at the top.
    pub fn parent(self) -> Option<Path<'a>> {
        self.0.rsplit_once('/').map(|(above, _)| Path(above))
    }

    /// The last key.
    pub fn key(self) -> &'a str {
        self.0.rsplit_once('/').map_or(self.0, |(_, key)| key)
    }

    /// A path that was checked before, when it was stored.
    pub(crate) const fn from_checked(text: &'a str) -> Self {
        Self(text)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Why a text is not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// A key is empty: the path is empty, starts or ends with `/`, or has `//`.
    #[error("a path has no empty keys, but one ends at byte {at}")]
    EmptyKey {
        /// Where the empty key ends, in bytes.
        at: usize,
    },
    /// More keys than the limit.
    #[error("a path has at most {PATH_DEPTH_MAX} keys, this one has {keys}")]
    TooDeep {
        /// Keys counted.
        keys: usize,
    },
    /// More bytes than the limit.
    #[error("a path has at most {PATH_LEN_MAX} bytes, this one has {len}")]
    TooLong {
        /// Length in bytes.
        len: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_paths_are_named() {
        assert_eq!(Path::new(""), Err(PathError::EmptyKey { at: 0 }));
        assert_eq!(Path::new("/a"), Err(PathError::EmptyKey { at: 0 }));
        assert_eq!(Path::new("a/"), Err(PathError::EmptyKey { at: 2 }));
        assert_eq!(Path::new("a//b"), Err(PathError::EmptyKey { at: 2 }));
        let long = ["a"; 256];
        let mut text = heapless::String::<512>::new();
        long.iter().for_each(|k| text.push_str(k).expect("fits"));
        assert_eq!(Path::new(&text), Err(PathError::TooLong { len: 256 }));
        assert_eq!(
            Path::new("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"),
            Err(PathError::TooDeep { keys: 17 })
        );
        assert!(Path::new("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16").is_ok());
    }

    #[test]
    fn a_path_contains_itself_and_what_lies_below_but_not_its_neighbours() {
        let path = |text| Path::new(text).expect("valid");
        assert!(path("a").contains(path("a")) && path("a").contains(path("a/b/c")));
        assert!(
            !path("a").contains(path("ab"))
                && !path("a").contains(path("a-b"))
                && !path("a/b").contains(path("a"))
        );
        assert!(path("a/b/c").ancestors().eq([path("a"), path("a/b")]));
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!((path("a/b").key(), path("x").key(), path("x").parent()), ("b", "x", None));
    }
}
