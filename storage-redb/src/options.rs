use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{BackendError, Builder, DatabaseError, StorageBackend};

use crate::blocks::Watched;
use crate::error::{Place, StoreError};
use crate::store::{Store, guard};

/// How to open a store.
///
/// # What is checked, and what it costs
///
/// Every open verifies the checksum of every page, the root record, all metadata and all settings; every load checks
/// the cells it reads. Measured on a 2-core x86-64 virtual machine with the file in the page cache (2026-11-22,
/// documents of ten 24-byte cells and 120 bytes of metadata):
///
/// | documents | file | open | open after a kill | not verified, for comparison |
/// |---|---|---|---|---|
/// | 100 | 0.7 MB | 1.1 ms | | 0.3 ms |
/// | 10,000 | 10 MB | 19 ms | 24 ms | 7 ms |
/// | 210,000 | 172 MB | 0.76 s | 0.47 s | 0.16 s |
/// | 1,210,000 | 1.4 GB | 2.9 s | 2.8 s | 0.8 s |
///
/// redb could trust a file that was closed in order. It does not here: a start after a kill costs as much anyway, and
/// redb panics over damaged pages that it trusted, at times during a panic, which ends the process.
#[derive(Clone, Debug)]
pub struct Options {
    create: bool,
    cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// Creates a missing store, uses up to 16 MiB of memory as cache.
    pub const fn new() -> Self {
        Self { create: true, cache_bytes: 16 << 20 }
    }

    /// Whether a missing or empty file becomes a new store (the default) or is an error.
    #[must_use]
    pub const fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Memory for cached pages, bytes.
    #[must_use]
    pub const fn cache(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Opens the store in a file.
    ///
    /// A new file has mode 0600; its directory must exist and is synced, so that the name is durable as well. An empty
    /// file, and one of zeros only, is what a creation that was cut short leaves behind, and is as good as none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`], [`StoreError::Permission`], [`StoreError::InUse`], [`StoreError::NotAStore`],
    /// [`StoreError::NewerFormat`], [`StoreError::Damaged`], [`StoreError::Full`] or [`StoreError::Io`]. No error
    /// changes a record in the file.
    pub fn open(&self, path: &Path) -> Result<Store, StoreError> {
        match path.metadata() {
            Ok(metadata) if !metadata.is_file() => {
                let reason = if metadata.is_dir() { "it is a directory" } else { "it is not a regular file" };
                return Err(StoreError::NotAStore { path: path.to_owned(), reason: reason.to_owned() });
            }
            Ok(metadata) => {
                let mode = metadata.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    let (path, mode) = (path.display(), format!("{mode:o}"));
                    tracing::warn!(%path, %mode, "others may access the store, which can hold keys; use mode 600");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(access(path, error)),
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(self.create)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| access(path, error))?;
        let backend = FileBackend::new(file).map_err(|error| opening(path, error))?;
        let store = self.open_at(backend, path)?;
        // Not only for a new file: the process that created it may have been killed before it came here.
        sync_directory(path)?;
        Ok(store)
    }

    /// Opens the store on any disk, such as one in memory that fails on purpose. An empty disk becomes a new store.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_backend(&self, backend: impl StorageBackend) -> Result<Store, StoreError> {
        self.open_at(backend, Path::new("(storage backend)"))
    }

    fn open_at(&self, backend: impl StorageBackend, path: &Path) -> Result<Store, StoreError> {
        guard("opening", || {
            self.inspect(&backend, path)?;
            let (backend, switch) = Watched::new(backend);
            let database = Builder::new()
                .set_cache_size(self.cache_bytes)
                .set_check_integrity_on_open(true)
                .create_with_backend(backend)
                .map_err(|error| opening(path, error))?;
            Store::adopt(database, switch, path)
        })
    }

    /// Looks at the file before redb does: refuses what is no store, and empties what is left of a creation that was
    /// cut short, which redb would refuse for ever.
    fn inspect(&self, backend: &impl StorageBackend, path: &Path) -> Result<(), StoreError> {
        // Another process may be creating the file: only under the lock is an unfinished one a leftover.
        let locked = match backend.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
            Ok(true) => true,
            Ok(false) => return Err(StoreError::InUse { path: path.to_owned() }),
            Err(BackendError::Unsupported) => false,
            Err(error) => return Err(StoreError::io("locking", error.into())),
        };
        let inspected = self.inspect_locked(backend, path);
        if locked {
            backend
                .unlock_range(Bound::Unbounded, Bound::Unbounded)
                .map_err(|error| StoreError::io("unlocking", error.into()))?;
        }
        inspected
    }

    fn inspect_locked(&self, backend: &impl StorageBackend, path: &Path) -> Result<(), StoreError> {
        let len = backend.len().map_err(reading)?;
        if len == 0 {
            return if self.create { Ok(()) } else { Err(StoreError::Missing { path: path.to_owned() }) };
        }
        let mut magic = [0; MAGIC.len()];
        if len >= magic.len() as u64 {
            backend.read(0, &mut magic).map_err(reading)?;
            if magic == MAGIC {
                return Ok(());
            }
        }
        if self.create && is_unfinished(backend, len)? {
            tracing::info!(path = %path.display(), "the store was never finished; creating it again");
            return backend.set_len(0).map_err(|error| StoreError::io("creating", error));
        }
        let reason = format!("it starts with {magic:02x?}, a store starts with {MAGIC:02x?}");
        Err(StoreError::NotAStore { path: path.to_owned(), reason })
    }
}

/// How every redb file starts.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";

/// Bytes of redb's header, all it writes before the file becomes a database.
const HEADER_LEN: u64 = 320;

/// Whether a creation was cut short: redb writes its header, without and then with [`MAGIC`], and nothing else before
/// that is synced. So such a file holds some bytes of the magic number, and zeros behind the header.
fn is_unfinished(backend: &impl StorageBackend, len: u64) -> Result<bool, StoreError> {
    let mut magic = [0; MAGIC.len()];
    let magic_len = magic.len().min(usize::try_from(len).unwrap_or(usize::MAX));
    backend.read(0, &mut magic[..magic_len]).map_err(reading)?;
    if magic.iter().zip(MAGIC).any(|(&byte, expected)| byte != 0 && byte != expected) {
        return Ok(false);
    }
    let mut at = HEADER_LEN;
    let mut block = [0; 4096];
    while at < len {
        let size = block.len().min(usize::try_from(len - at).unwrap_or(usize::MAX));
        backend.read(at, &mut block[..size]).map_err(reading)?;
        if block[..size].iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at += size as u64;
    }
    Ok(true)
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| StoreError::io("syncing the directory of the store", error))
}

pub(crate) fn access(path: &Path, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::Missing { path: path.to_owned() },
        io::ErrorKind::PermissionDenied => StoreError::Permission { path: path.to_owned(), source: error },
        _ => StoreError::io("opening", error),
    }
}

fn opening(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::InUse { path: path.to_owned() }
        }
        DatabaseError::UpgradeRequired(version) => StoreError::damaged(
            Place::Store,
            format!("it has version {version} of the redb file format, which this crate never wrote"),
        ),
        error => StoreError::engine("opening", error),
    }
}

fn reading(error: io::Error) -> StoreError {
    StoreError::io("reading", error)
}
