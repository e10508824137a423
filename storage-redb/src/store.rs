use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::OnceLock;

use redb::{Database, TableDefinition};

use crate::batch::Batch;
use crate::blocks::Switch;
use crate::error::{Place, Site, StoreError};
use crate::limits::{NAME_LEN_MAX, check_len};
use crate::options::Options;
use crate::read::{LoadedDocument, Snapshot};
use crate::role::{self, ROLE_SETTING};
use crate::write;

/// The one table; see [`record`](crate::record) for what lies in it.
pub(crate) const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("godwit");

/// Documents and settings in one file.
///
/// All methods take `&self` and may be called from several threads; commits run one after the other. Dropping the
/// store closes it; [`close`](Self::close) does too and tells whether that worked.
#[derive(Debug)]
pub struct Store {
    /// `None` once closed.
    database: Option<Database>,
    site: Site,
    is_new: bool,
    /// Keeps redb from the file once the store has stopped.
    switch: Switch,
    /// Set by the first failure that leaves open what is on disk; never cleared.
    stopped: OnceLock<String>,
}

impl Store {
    /// Opens a store, and creates it (mode 0600) when there is no file.
    ///
    /// Same as `Options::new().open(path)`; see there for the cost and the errors.
    ///
    /// # Errors
    ///
    /// As [`Options::open`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Options::new().open(path)
    }

    /// Opens a store that exists.
    ///
    /// # Errors
    ///
    /// As [`Options::open`], and [`StoreError::Missing`] when there is no file.
    pub fn open_existing(path: &Path) -> Result<Self, StoreError> {
        Options::new().create(false).open(path)
    }

    /// Where it is: absolute, and without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.site.path
    }

    /// Whether it was created by opening it.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Writes a batch: when this returns `Ok`, all of it is on the disk and survives a power cut; until then none of
    /// it can be read. Many documents in one batch cost little more than one: this is the group commit.
    ///
    /// Cost: two syncs of the file, and a few 4 kB pages for a small batch.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLong`] and [`StoreError::Damaged`] leave the store as it was, and usable. After a failure of
    /// the disk ([`StoreError::Full`], [`StoreError::Io`]) it is open whether the batch is on the disk, so the store
    /// stops: this and all later calls fail, with [`StoreError::Stopped`], until it is opened again.
    pub fn commit(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        write::check_limits(batch)?;
        self.run("writing", |database| write::commit(database, batch))
    }

    /// Removes a document with its cells, in a commit of its own. Whether there was one.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn remove_document(&self, name: &str) -> Result<bool, StoreError> {
        check_len("document name", name.len(), NAME_LEN_MAX)?;
        let exists = self.run("reading", |database| Ok(Snapshot::of(database)?.document(name)?.is_some()))?;
        let mut batch = Batch::new();
        batch.remove_document(name);
        self.commit(&batch)?;
        Ok(exists)
    }

    /// Loads a document, all of it from one commit. `None` when there is none of this name.
    ///
    /// Cost: time and memory `[cells]`. Nothing stays open afterwards.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] when a record is not what was written, or one is missing; never a part of a document.
    pub fn load(&self, name: &str) -> Result<Option<LoadedDocument>, StoreError> {
        self.run("reading", |database| Snapshot::of(database)?.load(name))
    }

    /// The names of all documents, in byte order. Cost: `[documents]`, metadata included.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] as for [`load`](Self::load).
    pub fn documents(&self) -> Result<Vec<String>, StoreError> {
        self.run("reading", |database| Snapshot::of(database)?.documents())
    }

    /// One setting. `None` when there is none of this name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] as for [`load`](Self::load).
    pub fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.run("reading", |database| Snapshot::of(database)?.setting(name))
    }

    /// Name and value of the settings whose name starts with `prefix`, in byte order of the names.
    ///
    /// Cost: `[all settings]`, because only all of them together show that none is missing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] as for [`load`](Self::load).
    pub fn settings_with_prefix(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut settings = self.run("reading", |database| Snapshot::of(database)?.settings())?;
        settings.retain(|(name, _)| name.starts_with(prefix));
        Ok(settings)
    }

    /// Reads every record and checks that none is damaged, missing or left over. Cost: one pass over the whole store.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] with the first damage found.
    pub fn verify(&self) -> Result<(), StoreError> {
        self.run("verifying", |database| Snapshot::of(database)?.verify())
    }

    /// Closes the store and marks the file as closed in order, which makes the next start fast.
    ///
    /// # Errors
    ///
    /// What the disk said. Everything committed is on the disk in any case.
    pub fn close(mut self) -> Result<(), StoreError> {
        let Some(database) = self.database.take() else { return Ok(()) };
        close(database).map_err(|error| error.at(&self.site))
    }

    /// Takes over the open database of a store that exists, if it is one.
    pub(crate) fn adopt(database: Database, switch: Switch, site: &Site) -> Result<Self, StoreError> {
        let store = Self::around(database, switch, site, false);
        let is_marked = store.run("opening", |database| {
            write::check_table(database)?;
            let snapshot = Snapshot::of(database)?;
            snapshot.verify_index()?;
            site.role.map_or(Ok(true), |role| role::is_marked(&snapshot, &role))
        })?;
        if let Some(role) = site.role.filter(|_| !is_marked) {
            let mut mark = Batch::new();
            mark.set(ROLE_SETTING, role.name.as_bytes());
            store.commit(&mark)?;
        }
        Ok(store)
    }

    /// Makes a database without any table a store, with its mark and what it is to hold, in one commit.
    pub(crate) fn create(
        database: Database,
        switch: Switch,
        site: &Site,
        initial: &Batch<'static>,
    ) -> Result<Self, StoreError> {
        let mut batch = initial.clone();
        if let Some(role) = site.role {
            batch.set(ROLE_SETTING, role.name.as_bytes());
        }
        write::check_limits(&batch)?;
        let store = Self::around(database, switch, site, true);
        store.run("creating", |database| write::create(database, &batch))?;
        Ok(store)
    }

    fn around(database: Database, switch: Switch, site: &Site, is_new: bool) -> Self {
        Self { database: Some(database), site: site.clone(), is_new, switch, stopped: OnceLock::new() }
    }

    /// Where it lies and whose it is.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// Runs an operation, and stops the store when it leaves open what is on disk or in redb's memory.
    fn run<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(cause) = self.stopped.get() {
            return Err(StoreError::Stopped { cause: cause.clone() });
        }
        let Some(database) = &self.database else {
            return Err(StoreError::Stopped { cause: "the store was closed".to_owned() });
        };
        let result = guard(operation, || work(database)).map_err(|error| error.at(&self.site));
        if let Err(error) = &result
            && is_fatal(error)
        {
            let cause = error.to_string();
            tracing::error!(%cause, operation, "the store stops");
            self.switch.turn_off();
            // A second failure changes nothing: the first one is the cause.
            let _ = self.stopped.set(cause);
        }
        result
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let Some(database) = self.database.take() else { return };
        if let Err(error) = close(database).map_err(|error| error.at(&self.site)) {
            tracing::warn!(%error, "the store was not closed in order; the next start checks it");
        }
    }
}

fn close(database: Database) -> Result<(), StoreError> {
    guard("closing", || database.close().map_err(|error| StoreError::engine("closing", error)))
}

/// Turns a panic of redb into an error: the last line of defence.
///
/// The first ones are that redb verifies every page when it opens a file, and that pages it reads again must not have
/// changed (see [`blocks`](crate::blocks)). But redb does not promise that these suffice, some of its checks are
/// assertions, and whether a file will trip one cannot be seen beforehand.
pub(crate) fn guard<T>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Unwind safe because the store stops after a panic: nothing looks at what it left behind.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|message| (*message).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(StoreError::damaged(Place::Store, format!("redb panicked while {operation}: {message}")))
    })
}

/// Whether an error leaves open what is on disk, or what redb holds in memory.
fn is_fatal(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Damaged { place: Place::Store, .. }
            | StoreError::Full { .. }
            | StoreError::Io { .. }
            | StoreError::Stopped { .. }
    )
}
