//! Paths of sockets, which the system limits to [`SOCKET_PATH_LEN_MAX`] bytes while directories can be much deeper.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::limits::SOCKET_PATH_LEN_MAX;

/// A path by which the system takes a socket: the path itself, or for a long one the way through its open directory.
pub(crate) struct Address {
    path: PathBuf,
    /// Open for as long as the path is used.
    _directory: Option<File>,
}

impl Address {
    /// `None` if the name of the socket alone is too long.
    ///
    /// # Errors
    /// The directory of a long path cannot be opened.
    pub(crate) fn of(path: &Path) -> io::Result<Option<Self>> {
        if path.as_os_str().len() <= SOCKET_PATH_LEN_MAX {
            return Ok(Some(Self { path: path.to_owned(), _directory: None }));
        }
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
        if name.len() > NAME_LEN_MAX {
            return Ok(None);
        }
        let directory = File::open(directory)?;
        let path = PathBuf::from(format!("{OPEN_FILES}{}", directory.as_raw_fd())).join(name);
        Ok(Some(Self { path, _directory: Some(directory) }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Where Linux shows what a process has open, by number.
const OPEN_FILES: &str = "/proc/self/fd/";
/// The longest name of a socket in a long directory: what is left beside [`OPEN_FILES`], a number and a slash.
const NAME_LEN_MAX: usize = SOCKET_PATH_LEN_MAX - OPEN_FILES.len() - 11;
