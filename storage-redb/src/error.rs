use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the store could not do what was asked.
///
/// The variants say what to do next: [`Damaged`](Self::Damaged), [`Full`](Self::Full), [`Io`](Self::Io) and
/// [`Stopped`](Self::Stopped) are the disk's fault, the others the caller's or the installation's.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A record or the file is not what was written.
    #[error(
        "{place} is damaged: {detail}; move the store file away and start again, the documents sync again from the \
         aggregator (settings such as keys come from a backup)"
    )]
    Damaged {
        /// What is damaged.
        place: Place,
        /// What is wrong with it.
        detail: String,
    },
    /// The disk has no space left. The store has stopped if this came from a commit.
    #[error("no space left on the disk while {operation}; free some space and open the store again")]
    Full {
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
    #[error("the disk failed while {operation}; check the disk and open the store again")]
    Io {
        /// What the store was doing.
        operation: &'static str,
        /// What the disk said.
        source: io::Error,
    },
    /// There is no store file, or no directory to create it in.
    #[error("{} does not exist; check the path, or create its directory", .path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// The file was written by a newer version of this crate. No record in it was changed.
    #[error("the store has format {found}, this program reads up to {supported}; install a newer version")]
    NewerFormat {
        /// The version in the file.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
    /// The path leads to something that never was a store. Nothing in it was changed.
    #[error("{} is not a store: {reason}; check the path", .path.display())]
    NotAStore {
        /// The path that was opened.
        path: PathBuf,
        /// What it is instead.
        reason: String,
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
        Self::Damaged { place, detail: detail.into() }
    }

    pub(crate) fn io(operation: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { operation, source },
            // What the watch on the blocks reports.
            io::ErrorKind::InvalidData => Self::damaged(Place::Store, format!("{source}, while {operation}")),
            _ => Self::Io { operation, source },
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
}
