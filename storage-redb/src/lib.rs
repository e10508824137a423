//! Durable documents in one [redb] file: cells and metadata of any number of documents in one atomic commit.
//!
//! The store knows nothing of what it holds: metadata and records are bytes, names and paths are strings; [`stage`] and
//! [`load`] put a replica of the core in and take it out. It caches no documents: the engine above owns the live
//! document and commits what changed.
//!
//! ```
//! use storage_redb::{Batch, Store};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("store.redb");
//! let store = Store::open(&path)?;
//!
//! // One commit: two documents and a setting, all of it or nothing.
//! let mut batch = Batch::new();
//! batch.document("site/7", b"vector 1").put("pump/speed", b"1450").put("pump/on", b"true");
//! batch.document("site/8", b"vector 1").put("valve", b"open");
//! batch.set("identity", b"secret key");
//! store.commit(&batch)?; // on the disk from here on
//!
//! let mut batch = Batch::new();
//! batch.document("site/7", b"vector 2").put("pump/speed", b"0").remove("pump/on");
//! store.commit(&batch)?;
//! drop(store);
//!
//! let store = Store::open_existing(&path)?;
//! let site = store.load("site/7")?.expect("it was committed");
//! assert_eq!(site.meta, b"vector 2");
//! assert_eq!(site.cells, [("pump/speed".to_owned(), b"0".to_vec())]);
//! assert_eq!(store.documents()?, ["site/7", "site/8"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds
//!
//! - A batch is on the disk when [`Store::commit`] returns `Ok`. After a power cut the store holds the last batch that
//!   was acknowledged, or the one in flight, whole.
//! - What is read is what was written, or an error says what is damaged. Each record has a checksum, each set of
//!   records a seal that shows when one is missing. The layout is in the docs of [`record`]. One exception: after a stop
//!   that was not in order, one bit of redb's header (bit 0 of byte 9) says which of its two newest commits counts, and
//!   if it flips before the next start, the last commit is undone, whole.
//! - After a failure of the disk the store stops and says so; opening it again shows what is on the disk.
//! - A store is created whole, under another name, and gets its name when it is durable. What is found under its name is
//!   never taken for a new store, however empty it is.
//! - One process at a time; a file that is refused, such as one of a newer format or of another program, is left as it is.
//!
//! # Layers
//!
//! `record` (bytes) <- `read` (one snapshot), `write` (one transaction per batch), `role` (whose store it is) <- `store`
//! (stopping) <- `creation` (names), `options` (opening) <- `documents` (replicas of the core). Below redb, `blocks` watches
//! that the disk gives back what redb has seen, and `trial` keeps the file as it is until it is accepted.
//!
//! # Features
//!
//! `faults`, for tests: the module of the same name, an in-memory disk with power cuts, failures and lying syncs; and
//! `samples`, files that must be refused.

mod batch;
mod blocks;
mod creation;
mod documents;
mod error;
#[cfg(any(test, feature = "faults"))]
pub mod faults;
mod limits;
mod options;
mod read;
pub mod record;
mod role;
#[cfg(any(test, feature = "faults"))]
pub mod samples;
mod store;
#[cfg(test)]
mod tests;
mod trial;
mod write;

pub use batch::{Batch, DocumentCommit};
pub use creation::full_path;
pub use documents::{LoadError, load, stage};
pub use error::{Place, StoreError};
pub use limits::{NAME_LEN_MAX, RECORD_LEN_MAX};
pub use options::Options;
pub use read::LoadedDocument;
pub use record::FORMAT_VERSION;
pub use redb::StorageBackend;
pub use role::Role;
pub use store::Store;
