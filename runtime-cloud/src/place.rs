//! Where an aggregator keeps its things, and the secrets that it keeps there.
//!
//! Settings in the store, beside those of [`access`](crate::access):
//!
//! | name | value |
//! |---|---|
//! | `identity` | 32 bytes: the Ed25519 secret |
//! | `reset-key` | 32 bytes: with it a restarted server tells its devices that their connections are gone |

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use storage_redb::{Batch, Options, Store, StoreError};
use transport_quic::Identity;

use crate::access::{Access, SETTING_PREFIX};
use crate::error::ServeError;

/// A store file, and the control socket next to it.
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

impl Place {
    /// A file that ends in `.redb`, or a directory that has (or will have) the file `aggregator.redb` in it.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let is_file = path.is_file() || (!path.is_dir() && path.extension().is_some_and(|end| end == "redb"));
        let store = if is_file { path.to_owned() } else { path.join(STORE_FILE) };
        let socket = store.with_file_name(SOCKET_FILE);
        Self { store, socket }
    }

    /// Opens the store; if `create`, makes what is missing: directory, file, identity and reset key.
    pub(crate) fn open(&self, create: bool) -> Result<Opened, ServeError> {
        let fail = |source| ServeError::Store { path: self.store.clone(), source };
        if create && let Some(directory) = self.store.parent().filter(|path| !path.as_os_str().is_empty()) {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|source| ServeError::Directory { path: directory.to_owned(), source })?;
        }
        let store = Options::new().create(create).cache(CACHE_BYTES).open(&self.store).map_err(fail)?;
        let [identity, reset_key] = secrets(&store, fail)?;
        let access = Access::load(&store.settings_with_prefix(SETTING_PREFIX).map_err(fail)?)?;
        let documents = store.documents().map_err(fail)?;
        Ok(Opened { store, identity: Identity::from_bytes(identity), reset_key, access, documents })
    }
}

/// The secrets in the store, made if they are missing.
fn secrets(store: &Store, fail: impl Fn(StoreError) -> ServeError) -> Result<[[u8; 32]; 2], ServeError> {
    let mut batch = Batch::new();
    let mut secrets = [[0; 32]; 2];
    for (secret, name) in secrets.iter_mut().zip([IDENTITY, RESET_KEY]) {
        match store.setting(name).map_err(&fail)? {
            Some(stored) => {
                let len = stored.len();
                *secret = stored.try_into().map_err(|_| ServeError::Secret { name, len, expected: 32 })?;
            }
            None => {
                getrandom::fill(secret).map_err(ServeError::Random)?;
                batch.set(name, secret.to_vec());
            }
        }
    }
    if !batch.is_empty() {
        store.commit(&batch).map_err(fail)?;
    }
    Ok(secrets)
}

/// The store's name in its directory.
const STORE_FILE: &str = "aggregator.redb";
/// The control socket's name, next to the store.
const SOCKET_FILE: &str = "control.sock";
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
        let at = |path: &Path| Place::new(path).store;
        assert_eq!(at(directory.path()), directory.path().join("aggregator.redb"));
        assert_eq!(at(&directory.path().join("new")), directory.path().join("new/aggregator.redb"));
        assert_eq!(at(&directory.path().join("new.redb")), directory.path().join("new.redb"));
        std::fs::write(directory.path().join("odd"), "").unwrap();
        assert_eq!(at(&directory.path().join("odd")), directory.path().join("odd"));
        assert_eq!(Place::new(directory.path()).socket, directory.path().join("control.sock"));
    }

    #[test]
    fn secrets_are_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(&directory.path().join("deep/store"));
        assert!(matches!(
            place.open(false),
            Err(ServeError::Store { source: StoreError::Missing { .. }, .. })
        ));
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
