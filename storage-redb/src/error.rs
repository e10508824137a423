use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::role::Role;

/// Why the store could not do what was asked.
///
/// The variants say what to do next: [`Damaged`](Self::Damaged), [`Full`](Self::Full), [`Io`](Self::Io) and
/// [`Stopped`](Self::Stopped) are the disk's fault, the others the caller's or the installation's. Paths are full: absolute,
/// and without links.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A record or the file is not what was written.
    #[error("{}: {place} is damaged: {detail}; {advice}", .path.display())]
    Damaged {
        /// The store file.
        path: PathBuf,
        /// What is damaged.
        place: Place,
        /// What is wrong with it.
        detail: String,
        /// What to do, which depends on the store's [`Role`].
        advice: &'static str,
    },
    /// The directory of the store is missing and cannot be made, or is none.
    #[error(
        "the directory {} cannot be used or made; only the last part of a path is made: check the path and its owner",
        .path.display()
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk has no space left. The store has stopped if this came from a commit.
    #[error(
        "no space left on the disk while {operation} {}; free some space and open the store again",
        .path.display()
    )]
    Full {
        /// The store file.
        path: PathBuf,
        /// What the store was doing.
        operation: &'static str,
        /// What the disk said.
        source: io::Error,
    },
    /// Another process, or another `Store` of this one, has the file open.
    #[error("{} is open in another process; one process at a time: stop the other one, or talk to it", .path.display())]
    InUse {
        /// The store file.
        path: PathBuf,
    },
    /// The disk failed. The store has stopped if this came from a commit.
    #[error("the disk failed while {operation} {}; check the disk and open the store again", .path.display())]
    Io {
        /// The store file.
        path: PathBuf,
        /// What the store was doing.
        operation: &'static str,
        /// What the disk said.
        source: io::Error,
    },
    /// There is no store file, and none was to be created.
    #[error("{} does not exist; check the path, or create a store there", .path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// The file was written by a newer version of this crate. No record in it was changed.
    #[error(
        "the store {} has format {found}, this program reads up to {supported}; install a newer version",
        .path.display()
    )]
    NewerFormat {
        /// The store file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
    /// The path leads to something that is not a store (any more). Nothing in it was changed.
    #[error(
        "{} is not a store: {reason}; check the path, and if a store was there, it is damaged: {advice}",
        .path.display()
    )]
    NotAStore {
        /// The path that was opened.
        path: PathBuf,
        /// What it is instead.
        reason: String,
        /// What to do about a damaged store, which depends on its [`Role`].
        advice: &'static str,
    },
    /// The store belongs to another program. Nothing in it was changed.
    #[error(
        "{} is a store of the program {found:?}, not of {wanted:?}: use {found:?} for it, or give {wanted:?} another path",
        .path.display()
    )]
    OtherRole {
        /// The store file.
        path: PathBuf,
        /// Whose store it is, by its mark.
        found: String,
        /// Whose store it should be.
        wanted: &'static str,
    },
    /// The operating system refuses access.
    #[error("no permission to read and write {}; start as the user that owns it, or change its owner", .path.display())]
    Permission {
        /// The store file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// An earlier failure left open what is on disk, so the store does nothing any more. Opening it again finds out.
    #[error("the store stopped after a failure ({cause}); open it again to see what is on disk")]
    Stopped {
        /// The failure.
        cause: String,
    },
    /// A name, path or record is longer than the store takes. Nothing of the batch was written.
    #[error("{what} has {len} bytes, the limit is {max}; nothing of the batch was written")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length, bytes.
        len: usize,
        /// The longest allowed, bytes.
        max: usize,
    },
    /// The store has no mark of its role, and nothing in it tells whose it is. Nothing in it was changed.
    #[error(
        "{} has no mark that says that it is a store of the program {wanted:?}, and nothing in it shows that; check the path",
        .path.display()
    )]
    Unmarked {
        /// The store file.
        path: PathBuf,
        /// Whose store it should be.
        wanted: &'static str,
    },
}

/// Where a store lies and whose it is: what every error tells.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) path: PathBuf,
    pub(crate) role: Option<Role>,
}

impl Site {
    /// What to do about damage.
    pub(crate) fn advice(&self) -> &'static str {
        self.role.map_or("restore it from a backup", |role| role.after_damage)
    }
}

/// What in a store is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// One cell of a document.
    Cell {
        /// The document's name.
        document: String,
        /// The cell's path.
        path: String,
    },
    /// The cells of a document as a whole: some are missing, or older than the rest.
    Cells {
        /// The document's name.
        document: String,
    },
    /// A document's metadata.
    Meta {
        /// The document's name.
        document: String,
    },
    /// A setting.
    Setting {
        /// The setting's name.
        name: String,
    },
    /// The file as a whole.
    Store,
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cell { document, path } => write!(f, "cell {path:?} of document {document:?}"),
            Self::Cells { document } => write!(f, "the set of cells of document {document:?}"),
            Self::Meta { document } => write!(f, "the metadata of document {document:?}"),
            Self::Setting { name } => write!(f, "setting {name:?}"),
            Self::Store => f.write_str("the store file"),
        }
    }
}

impl StoreError {
    pub(crate) fn damaged(place: Place, detail: impl Into<String>) -> Self {
        Self::Damaged { path: PathBuf::new(), place, detail: detail.into(), advice: "" }
    }

    pub(crate) fn not_a_store(reason: impl Into<String>) -> Self {
        Self::NotAStore { path: PathBuf::new(), reason: reason.into(), advice: "" }
    }

    pub(crate) fn in_use() -> Self {
        Self::InUse { path: PathBuf::new() }
    }

    pub(crate) fn io(operation: &'static str, source: io::Error) -> Self {
        let path = PathBuf::new();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, operation, source }
            }
            // What the watch on the blocks reports.
            io::ErrorKind::InvalidData => Self::damaged(Place::Store, format!("{source}, while {operation}")),
            _ => Self::Io { path, operation, source },
        }
    }

    /// An error of redb, met while doing `operation`.
    pub(crate) fn engine(operation: &'static str, error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::Io(source) => Self::io(operation, source),
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
                Self::Stopped { cause: format!("the disk failed before {operation}") }
            }
            other => Self::damaged(Place::Store, format!("{other}, while {operation}")),
        }
    }

    /// The same with the store's path and the advice of its role, which the code that met the error does not know.
    pub(crate) fn at(mut self, site: &Site) -> Self {
        match &mut self {
            Self::Damaged { path, advice, .. } | Self::NotAStore { path, advice, .. } => {
                path.clone_from(&site.path);
                *advice = site.advice();
            }
            Self::Full { path, .. }
            | Self::InUse { path }
            | Self::Io { path, .. }
            | Self::Missing { path }
            | Self::NewerFormat { path, .. }
            | Self::OtherRole { path, .. }
            | Self::Permission { path, .. }
            | Self::Unmarked { path, .. } => path.clone_from(&site.path),
            Self::Directory { .. } | Self::Stopped { .. } | Self::TooLong { .. } => {}
        }
        self
    }
}
