//! Where an edge keeps its things: the store in a directory, the identity in it, and the control socket beside it.

use std::path::{Path, PathBuf};

use control::{Client, ConnectError};
use storage_redb::{Batch, Role, Store, StoreError, full_path};
use transport_quic::{Identity, PublicKey};

use crate::error::OpenError;

/// A store that is there now, whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Initialized {
    /// The key that the aggregator must let in.
    pub key: PublicKey,
    /// Whether it was made just now.
    pub created: bool,
}

/// Makes the store in a directory, with the device's key, if there is none; the directory too, if only the last part of its
/// path is missing.
///
/// # Errors
/// [`OpenError`]; [`StoreError::InUse`] while an edge runs, which tells its key itself.
pub fn init(directory: &Path) -> Result<Initialized, OpenError> {
    let store = open_store(directory, true)?;
    let initialized = Initialized { key: identity(&store)?.public_key(), created: store.is_new() };
    store.close()?;
    Ok(initialized)
}

/// The device's public key; the store with it is made if there is none yet. The same as [`init`].
///
/// # Errors
/// As [`init`].
pub fn public_key(directory: &Path) -> Result<PublicKey, OpenError> {
    Ok(init(directory)?.key)
}

/// The full path of the store in a directory.
#[must_use]
pub fn store_path(directory: &Path) -> PathBuf {
    full_path(&directory.join(STORE_FILE))
}

/// Where the control socket of a store in this directory is.
#[must_use]
pub fn socket_path(directory: &Path) -> PathBuf {
    full_path(directory).join(SOCKET_FILE)
}

/// Connects to the edge that runs on the store in a directory.
///
/// # Errors
/// [`ConnectError::NotRunning`] when there is none; [`ConnectError::OtherStore`] when the process that answers here has
/// another store.
pub async fn connect(directory: &Path) -> Result<Client, ConnectError> {
    Client::connect_to_store(&socket_path(directory), ROLE.name, &store_path(directory)).await
}

/// Opens the store; if `create`, makes it if it is missing, complete with its identity.
pub(crate) fn open_store(directory: &Path, create: bool) -> Result<Store, OpenError> {
    let mut options = storage_redb::Options::new().create(create).role(ROLE);
    if create {
        let identity = Identity::generate().map_err(OpenError::Random)?;
        let mut initial = Batch::new();
        initial.set(IDENTITY_SETTING, identity.to_bytes().to_vec());
        options = options.initial(initial);
    }
    let store = options.open(&directory.join(STORE_FILE)).map_err(|error| match error {
        StoreError::Missing { path } => OpenError::NoStore { path },
        error => error.into(),
    })?;
    if store.is_new() {
        let (path, key) = (store.path().display(), identity(&store)?.public_key());
        tracing::info!(%path, %key, "created a new store with a new key, which the aggregator must let in");
    }
    Ok(store)
}

/// The identity in the store.
pub(crate) fn identity(store: &Store) -> Result<Identity, OpenError> {
    let secret = store.setting(IDENTITY_SETTING)?.unwrap_or_default();
    let (path, len) = (store.path().to_owned(), secret.len());
    let secret = secret.as_slice().try_into().map_err(|_| OpenError::SecretKey { path, len })?;
    Ok(Identity::from_bytes(secret))
}

/// Whose store it is.
pub(crate) const ROLE: Role = Role {
    name: "edge",
    known_by: &[DOCUMENT_SETTING],
    after_damage: "restore it from a backup, or move it away and make a new one: what was synced comes back from the \
                   aggregator, edits that were not are lost, and the aggregator must let the new key in",
};
/// The setting with the name of the main document that was used last, UTF-8.
pub(crate) const DOCUMENT_SETTING: &str = "document";
/// The file of the store in its directory.
const STORE_FILE: &str = "store.redb";
/// The control socket in the same directory. An aggregator's store there has a socket of another name.
const SOCKET_FILE: &str = "control.sock";
/// The setting with the device's secret key, 32 bytes.
const IDENTITY_SETTING: &str = "identity";
