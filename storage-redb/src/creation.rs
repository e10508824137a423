//! How a store comes to be: whole, under another name, and only then under its own.
//!
//! | step | after a power cut here |
//! |---|---|
//! | the directory is made, if only its last part is missing | no store |
//! | the store is written to `NAME.unfinished`, under redb's lock, and synced | that file, in any state |
//! | the file gets the name `NAME` too, which fails if there is one | either name, or both: one file, complete |
//! | the name `NAME.unfinished` is taken away | either, or both |
//! | the directory is synced, then the one above it | `NAME` |
//!
//! So what has the name of a store is complete from its first moment, and whatever else is found there later is damage and
//! never a beginning. A `NAME.unfinished` without a `NAME` proves that the creation never finished and that nobody was told
//! of a key in it: it is removed, and all begins anew. It is removed and not written over, because a second name of the same
//! file can be a store that somebody moved.
//!
//! A process takes a `NAME.unfinished` away, or gives it its name, only while it holds the lock of that very file. So of two
//! that create a store at the same time one wins, and no file is taken from under a process that fills it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use crate::error::StoreError;
use crate::options::opening;

/// A path as the system sees it: absolute, and without links and dots as far as it exists.
#[must_use]
pub fn full_path(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => full_path(parent).join(name),
        _ => absolute,
    }
}

/// Creates the store `path`, a full path: `fill` writes all of it and gives it back open, which holds its lock. `None` when
/// another process was faster.
///
/// What is there already stays as it is. A creation that fails leaves nothing behind.
pub(crate) fn create<S>(
    path: &Path,
    fill: impl FnOnce(FileBackend) -> Result<S, StoreError>,
) -> Result<Option<S>, StoreError> {
    let directory = directory_of(path);
    let is_made = make_directory(directory)?;
    let created = create_in(path, fill).and_then(|created| {
        if created.is_some() {
            sync_directory(directory)?;
            // Who made the directory may have been killed before it came here. Not everybody may read the one above.
            let synced = directory.parent().map_or(Ok(()), sync_directory);
            if is_made {
                synced?;
            }
        }
        Ok(created)
    });
    if is_made && created.is_err() {
        // Fails if somebody has put something into it, and then it is theirs.
        let _ = fs::remove_dir(directory);
    }
    created
}

fn create_in<S>(
    path: &Path,
    fill: impl FnOnce(FileBackend) -> Result<S, StoreError>,
) -> Result<Option<S>, StoreError> {
    let new = unfinished(path);
    remove_leftover(&new)?;
    let file = match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&new) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => return Err(access(error)),
    };
    // Held, so that no other file can get this one's number before the name has been looked at.
    let held = file.try_clone().map_err(|error| StoreError::io("creating", error))?;
    let named = FileBackend::new(file).map_err(opening).and_then(fill).and_then(|store| {
        let is_ours = give_name(&new, path, &held, |new, path| fs::hard_link(new, path))?;
        Ok(is_ours.then_some(store))
    });
    if !matches!(named, Ok(Some(_))) {
        drop(held);
        // Under its lock, as if somebody else had left it behind. What cannot be removed, the next creation removes.
        let _ = remove_leftover(&new);
    }
    named
}

/// Gives a complete store its name. Whether it has it: not if there is such a file already, or if `new` is not this one
/// any more. Held under its lock.
pub(crate) fn give_name(
    new: &Path,
    path: &Path,
    held: &File,
    link: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> Result<bool, StoreError> {
    if !is_at(held, new) {
        return Ok(false);
    }
    match link(new, path) {
        Ok(()) => {
            if let Err(error) = fs::remove_file(new) {
                tracing::warn!(path = %new.display(), %error, "the second name of the new store was not removed");
            }
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // A file system without second names, such as FAT. A renaming would replace a store; but every process that makes
        // one holds the lock of `new` here.
        Err(_) if exists(path)? => Ok(false),
        Err(_) => fs::rename(new, path).map(|()| true).map_err(|error| StoreError::io("naming", error)),
    }
}

/// Takes away what a creation left behind, if no process is at it.
fn remove_leftover(new: &Path) -> Result<(), StoreError> {
    let file = match OpenOptions::new().read(true).write(true).open(new) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io(REMOVING, error)),
    };
    let held = file.try_clone().map_err(|error| StoreError::io(REMOVING, error))?;
    let backend = FileBackend::new(file).map_err(opening)?;
    let is_locked = lock(&backend)?;
    let removed = if is_at(&held, new) { fs::remove_file(new) } else { Ok(()) };
    if is_locked {
        unlock(&backend)?;
    }
    removed.map_err(|error| StoreError::io(REMOVING, error))
}

/// After a store was opened, whose lock is held: takes away what its creation, or another one, left behind.
pub(crate) fn tidy(path: &Path, held: &File) {
    let new = unfinished(path);
    let removed = if is_at(held, &new) {
        fs::remove_file(&new).map_err(|error| StoreError::io(REMOVING, error))
    } else {
        remove_leftover(&new)
    };
    // Nothing is wrong with the store; and one that is in use belongs to a process that will find that out itself.
    if let Err(error) = removed {
        tracing::debug!(path = %new.display(), %error, "what is left of a creation stays");
    }
}

/// Whether a process is creating this store now.
pub(crate) fn is_under_way(path: &Path) -> bool {
    let file = OpenOptions::new().read(true).write(true).open(unfinished(path));
    // Asked and not taken: a creation is not to fail because somebody looks.
    file.ok().and_then(|file| FileBackend::new(file).ok()).is_some_and(|backend| {
        matches!(backend.query_lock_range(Bound::Unbounded, Bound::Unbounded), Ok(true))
    })
}

/// Whether a path leads to something, a link to nothing included.
pub(crate) fn exists(path: &Path) -> Result<bool, StoreError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) if source.kind() == io::ErrorKind::NotADirectory => {
            Err(StoreError::Directory { path: directory_of(path).to_owned(), source })
        }
        Err(error) => Err(access(error)),
    }
}

/// Makes the directory of a store if it is missing, but none above it. Whether it was made.
fn make_directory(directory: &Path) -> Result<bool, StoreError> {
    if directory.is_dir() {
        return Ok(false);
    }
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => Ok(true),
        // Somebody else was faster.
        Err(_) if directory.is_dir() => Ok(false),
        Err(source) => Err(StoreError::Directory { path: directory.to_owned(), source }),
    }
}

/// The name of a store that is not complete.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    path.with_file_name(name)
}

/// Whether a path leads to this very file.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(file), Ok(found)) => (file.dev(), file.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// Takes the lock of the whole file; `false` where the file system has no locks.
pub(crate) fn lock(backend: &impl StorageBackend) -> Result<bool, StoreError> {
    match backend.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
        Ok(true) => Ok(true),
        Ok(false) => Err(StoreError::in_use()),
        Err(BackendError::Unsupported) => Ok(false),
        Err(error) => Err(StoreError::io("locking", error.into())),
    }
}

pub(crate) fn unlock(backend: &impl StorageBackend) -> Result<(), StoreError> {
    let unlocked = backend.unlock_range(Bound::Unbounded, Bound::Unbounded);
    unlocked.map_err(|error| StoreError::io("unlocking", error.into()))
}

pub(crate) fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| StoreError::io("syncing the directory of", error))
}

/// The directory of a full path.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

pub(crate) fn access(error: io::Error) -> StoreError {
    let path = PathBuf::new();
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::Missing { path },
        io::ErrorKind::PermissionDenied => StoreError::Permission { path, source: error },
        _ => StoreError::io("opening", error),
    }
}

const REMOVING: &str = "removing what is left of a creation of";
