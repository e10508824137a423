use std::fmt::{self, Debug, Formatter};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, StorageBackend};

use crate::batch::Batch;
use crate::blocks::Watched;
use crate::creation;
use crate::error::{Place, Site, StoreError};
use crate::role::Role;
use crate::store::{Store, guard};
use crate::trial::Trial;

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
#[derive(Clone)]
pub struct Options {
    create: bool,
    cache_bytes: usize,
    role: Option<Role>,
    initial: Batch<'static>,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// Creates a missing store, uses up to 16 MiB of memory as cache, neither asks for a role nor gives one.
    pub const fn new() -> Self {
        Self { create: true, cache_bytes: 16 << 20, role: None, initial: Batch::new() }
    }

    /// Whether a store is created where there is no file (the default), or that is an error. A file that is there is
    /// never taken for a new store, whatever it holds.
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

    /// Whose store it is: a new one is marked so, and one that belongs to another program is an error.
    #[must_use]
    pub const fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// What a new store holds from its first moment on, such as the keys of whoever creates it.
    #[must_use]
    pub fn initial(mut self, initial: Batch<'static>) -> Self {
        self.initial = initial;
        self
    }

    /// Opens the store in a file.
    ///
    /// A new file has mode 0600, and is durable under its name when this returns, with all that it is to hold. Its
    /// directory is made (mode 0700) if only the last part of its path is missing. [`Store::is_new`] tells whether it was
    /// created. While it is, and if its creation is cut short, its name ends in `.unfinished`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`], [`StoreError::Directory`], [`StoreError::Permission`], [`StoreError::InUse`],
    /// [`StoreError::NotAStore`], [`StoreError::OtherRole`], [`StoreError::Unmarked`], [`StoreError::NewerFormat`],
    /// [`StoreError::Damaged`], [`StoreError::Full`] or [`StoreError::Io`]. A file that is refused is left as it is, byte
    /// for byte, and a creation that fails leaves nothing behind.
    pub fn open(&self, path: &Path) -> Result<Store, StoreError> {
        let site = Site { path: creation::full_path(path), role: self.role };
        self.open_or_create(&site).map_err(|error| error.at(&site))
    }

    /// Opens the store on any disk, such as one in memory that fails on purpose. An empty disk becomes a new store; there
    /// is no name that would tell a creation that was cut short from a damaged store, so it is none that survives that.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_backend(&self, backend: impl StorageBackend) -> Result<Store, StoreError> {
        let site = Site { path: PathBuf::from("(storage backend)"), role: self.role };
        let opened = match backend.len() {
            Ok(0) if self.create => self.create_on(backend, &site),
            _ => self.open_on(backend, &site),
        };
        opened.map_err(|error| error.at(&site))
    }

    fn open_or_create(&self, site: &Site) -> Result<Store, StoreError> {
        let path = &site.path;
        for _ in 0..ATTEMPTS {
            if creation::exists(path)? {
                return self.open_file(site);
            }
            if !self.create {
                let path = path.clone();
                let is_under_way = creation::is_under_way(&path);
                return Err(if is_under_way { StoreError::in_use() } else { StoreError::Missing { path } });
            }
            let created = creation::create(path, |backend| self.create_on(backend, site))?;
            if let Some(store) = created {
                return Ok(store);
            }
        }
        Err(StoreError::in_use())
    }

    fn open_file(&self, site: &Site) -> Result<Store, StoreError> {
        let path = &site.path;
        match path.metadata() {
            Ok(metadata) if !metadata.is_file() => {
                let reason = if metadata.is_dir() { "it is a directory" } else { "it is not a regular file" };
                return Err(StoreError::not_a_store(reason));
            }
            Ok(metadata) => {
                let mode = metadata.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    let (path, mode) = (path.display(), format!("{mode:o}"));
                    tracing::warn!(%path, %mode, "others may access the store, which can hold keys; use mode 600");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
                let target = path.read_link().unwrap_or_default();
                let reason = format!("it is a link to {}, which does not exist", target.display());
                return Err(StoreError::not_a_store(reason));
            }
            Err(error) => return Err(creation::access(error)),
        }
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(creation::access)?;
        let held = file.try_clone().map_err(|error| StoreError::io("opening", error))?;
        let store = self.open_on(FileBackend::new(file).map_err(opening)?, site)?;
        // The process that created it may have been killed before it came here.
        creation::sync_directory(creation::directory_of(path))?;
        creation::tidy(path, &held);
        Ok(store)
    }

    fn open_on(&self, backend: impl StorageBackend, site: &Site) -> Result<Store, StoreError> {
        guard("opening", || {
            inspect(&backend)?;
            let trial = Trial::new(backend);
            let (backend, switch) = Watched::new(trial.clone());
            let store = Store::adopt(self.database(backend)?, switch, site)?;
            trial.end().map_err(|error| StoreError::io("opening", error))?;
            Ok(store)
        })
    }

    /// Makes a store on an empty disk.
    fn create_on(&self, backend: impl StorageBackend, site: &Site) -> Result<Store, StoreError> {
        guard("creating", || {
            let (backend, switch) = Watched::new(backend);
            Store::create(self.database(backend)?, switch, site, &self.initial)
        })
    }

    fn database(&self, backend: impl StorageBackend) -> Result<Database, StoreError> {
        Builder::new()
            .set_cache_size(self.cache_bytes)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
            .map_err(opening)
    }
}

impl Debug for Options {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // Without what a new store is to hold, which is keys.
        f.debug_struct("Options")
            .field("create", &self.create)
            .field("cache_bytes", &self.cache_bytes)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Refuses what does not start like a store, before redb looks at it.
fn inspect(backend: &impl StorageBackend) -> Result<(), StoreError> {
    let is_locked = creation::lock(backend)?;
    let inspected = inspect_locked(backend);
    if is_locked {
        creation::unlock(backend)?;
    }
    inspected
}

fn inspect_locked(backend: &impl StorageBackend) -> Result<(), StoreError> {
    let len = backend.len().map_err(reading)?;
    if len == 0 {
        return Err(StoreError::not_a_store("it is empty"));
    }
    let mut magic = [0; MAGIC.len()];
    let magic_len = magic.len().min(usize::try_from(len).unwrap_or(usize::MAX));
    let magic = &mut magic[..magic_len];
    backend.read(0, magic).map_err(reading)?;
    if magic == MAGIC {
        return Ok(());
    }
    if is_zero(backend, len)? {
        return Err(StoreError::not_a_store(format!("all of its {len} bytes are zero")));
    }
    Err(StoreError::not_a_store(format!("it starts with {magic:02x?}, a store starts with {MAGIC:02x?}")))
}

/// How every redb file starts.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";

fn is_zero(backend: &impl StorageBackend, len: u64) -> Result<bool, StoreError> {
    let mut block = [0; 4096];
    let mut at = 0;
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

pub(crate) fn opening(error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => StoreError::in_use(),
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

/// How often a store is looked for and created, if other processes do the same and remove it at the same moment.
const ATTEMPTS: u32 = 16;
