//! Why an aggregator does not start, or stops.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use control::BindError;
use storage_redb::StoreError;

use crate::access::AccessError;

/// An aggregator cannot start, or had to stop. What was acknowledged is on the disk in any case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The access settings make no sense.
    #[error("reading who may come in")]
    Access(#[from] AccessError),
    /// The control socket cannot be opened.
    #[error("opening the control socket")]
    Control(#[from] BindError),
    /// The link has stopped by itself.
    #[error("the UDP socket on {address} has stopped; start the aggregator again")]
    Link {
        /// Its address.
        address: SocketAddr,
    },
    /// The UDP port cannot be opened.
    #[error("listening on UDP {address}; is another aggregator running there? choose a port with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no store, and none was to be made.
    #[error(
        "the store {} does not exist; check the path, or make a store there: aggregator init --store {}",
        .path.display(), .path.display()
    )]
    NoStore {
        /// Its file.
        path: PathBuf,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// A secret in the store is none.
    #[error(
        "setting {name:?} in the store {} has {len} bytes instead of {expected}; restore the store from a backup",
        .path.display()
    )]
    Secret {
        /// The store's file.
        path: PathBuf,
        /// Which.
        name: &'static str,
        /// Its length, in bytes.
        len: usize,
        /// What it should be, in bytes.
        expected: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
