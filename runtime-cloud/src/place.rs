//! Where an aggregator keeps its things, and the secrets that it keeps there.
//!
//! Settings in the store, beside those of [`access`](crate::access). A store has them from its first moment on:
//!
//! | name | value |
//! |---|---|
//! | `identity` | 32 bytes: the Ed25519 secret |
//! | `reset-key` | 32 bytes: with it a restarted server tells its devices that their connections are gone |

use std::path::{Path, PathBuf};

use control::{Client, ConnectError};
use storage_redb::{Batch, Options, Role, Store, StoreError, full_path};
use transport_quic::{Identity, PublicKey};

use crate::access::{Access, SETTING_PREFIX};
use crate::error::ServeError;

/// A store file, and the control socket next to it, which belongs to this store alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The store.
    pub store: PathBuf,
    /// The control socket of the process that serves it.
    pub socket: PathBuf,
}

/// What an aggregator knows before it loads a document.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) identity: Identity,
    pub(crate) reset_key: [u8; 32],
    pub(crate) access: Access,
    pub(crate) documents: Vec<String>,
}

/// A store that is there now, whoever made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Initialized {
    /// The key that devices must be given.
    pub key: PublicKey,
    /// Whether it was made just now.
    pub created: bool,
}

impl Place {
    /// A file that ends in `.redb` or exists, or a directory that has (or will have) the file `aggregator.redb` in it. The
    /// socket has the name of the file with `.sock` behind it.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let is_file = path.is_file() || (!path.is_dir() && path.extension().is_some_and(|end| end == "redb"));
        // One store has one socket, by whatever links one comes to it.
        let store = full_path(&if is_file { path.to_owned() } else { path.join(STORE_FILE) });
        let mut socket = store.clone().into_os_string();
        socket.push(SOCKET_END);
        Self { store, socket: socket.into() }
    }

    /// Makes the store, with its key, if there is none; its directory too, if only the last part of that is missing.
    ///
    /// # Errors
    /// [`ServeError`], also while a server has it open, which tells its key itself.
    pub fn init(&self) -> Result<Initialized, ServeError> {
        let opened = self.open(true)?;
        let initialized = Initialized { key: opened.identity.public_key(), created: opened.store.is_new() };
        opened.store.close()?;
        Ok(initialized)
    }

    /// Connects to the server that has this store.
    ///
    /// # Errors
    /// [`ConnectError::NotRunning`] when there is none; [`ConnectError::OtherStore`] when the one that answers here has
    /// another store.
    pub async fn connect(&self) -> Result<Client, ConnectError> {
        Client::connect_to_store(&self.socket, ROLE.name, &self.store).await
    }

    /// Opens the store; if `create`, makes it if it is missing.
    pub(crate) fn open(&self, create: bool) -> Result<Opened, ServeError> {
        let mut options = Options::new().create(create).cache(CACHE_BYTES).role(ROLE);
        if create {
            options = options.initial(new_secrets()?);
        }
        let store = options.open(&self.store).map_err(|error| match error {
            StoreError::Missing { path } => ServeError::NoStore { path },
            error => error.into(),
        })?;
        let identity = Identity::from_bytes(secret(&store, IDENTITY)?);
        let reset_key = secret(&store, RESET_KEY)?;
        let access = Access::load(&store.settings_with_prefix(SETTING_PREFIX)?)?;
        let documents = store.documents()?;
        if store.is_new() {
            let (path, key) = (store.path().display(), identity.public_key());
            tracing::info!(%path, %key, "created a new store with a new key, which devices must be given");
        }
        Ok(Opened { store, identity, reset_key, access, documents })
    }
}

fn new_secrets() -> Result<Batch<'static>, ServeError> {
    let mut batch = Batch::new();
    for name in [IDENTITY, RESET_KEY] {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(ServeError::Random)?;
        batch.set(name, secret.to_vec());
    }
    Ok(batch)
}

fn secret(store: &Store, name: &'static str) -> Result<[u8; 32], ServeError> {
    let stored = store.setting(name)?.unwrap_or_default();
    let (path, len) = (store.path().to_owned(), stored.len());
    stored.try_into().map_err(|_| ServeError::Secret { path, name, len, expected: 32 })
}

/// Whose store it is.
pub(crate) const ROLE: Role = Role {
    name: "aggregator",
    known_by: &[RESET_KEY],
    after_damage: "restore it from a backup, and devices bring back what they hold; a new store has a new key, which every \
                   device must be given, and lets nobody in at first",
};
/// The store's name in its directory.
const STORE_FILE: &str = "aggregator.redb";
/// What the control socket's name has behind the store's.
const SOCKET_END: &str = ".sock";
const IDENTITY: &str = "identity";
const RESET_KEY: &str = "reset-key";
/// Memory for pages of the store, in bytes.
const CACHE_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_file_or_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().canonicalize().unwrap();
        let at = |path: &str| Place::new(&directory.path().join(path)).store;
        assert_eq!(at(""), real.join("aggregator.redb"));
        assert_eq!(at("new"), real.join("new/aggregator.redb"));
        assert_eq!(at("new.redb"), real.join("new.redb"));
        std::fs::write(directory.path().join("odd"), "").unwrap();
        assert_eq!(at("odd"), real.join("odd"));
        std::os::unix::fs::symlink("odd", directory.path().join("link.redb")).unwrap();
        assert_eq!(Place::new(&directory.path().join("link.redb")).socket, real.join("odd.sock"));
    }

    #[test]
    fn secrets_are_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(&directory.path().join("store"));
        assert!(matches!(place.open(false), Err(ServeError::NoStore { .. })));
        let first = place.open(true).unwrap();
        let (key, reset_key) = (first.identity.public_key(), first.reset_key);
        assert_ne!(first.identity.to_bytes(), reset_key);
        drop(first);
        let second = place.open(false).unwrap();
        assert_eq!((second.identity.public_key(), second.reset_key), (key, reset_key));

        let mut batch = Batch::new();
        batch.set(IDENTITY, vec![1; 31]);
        second.store.commit(&batch).unwrap();
        drop(second);
        let Err(error) = place.open(true) else { panic!("a secret of 31 bytes was taken") };
        assert!(matches!(error, ServeError::Secret { name: "identity", len: 31, .. }), "{error:?}");
    }
}
