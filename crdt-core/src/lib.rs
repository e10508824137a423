//! A document that many replicas edit and that always converges.
//!
//! It is not a database, not a network stack and not a text editor's buffer: it holds state (configuration, status,
//! commands) as cells, merges it from any side, and says what to send. Files, sockets and clocks are the driver's.
//!
//! ```
//! use crdt_core::capacity::{Bytes, Cells, Replicas};
//! use crdt_core::{Config, CountingRng, Fixed, DocumentName, Moment, Output, Path, Replica, Role, Value, Write};
//!
//! // 32 cells, 1 KiB of paths and values, 4 replicas: no heap.
//! let name = DocumentName::new("pump-42")?;
//! type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<4>>;
//! let rng = CountingRng::new(0x1234); // A device gives its hardware's random numbers.
//! let mut replica = Replica::<Small, _>::new(&name, Config::new(Role::Member), rng);
//! let now = Moment::new(1_770_000_000_000);
//! replica.update(now, &[
//!     Write::set(Path::new("pump/3/setpoint")?, 4.5),
//!     Write::set(Path::new("pump/3/mode")?, "auto"),
//! ])?;
//! assert_eq!(replica.document().get(Path::new("pump/3/mode")?), Some(Value::Str("auto")));
//!
//! // What changed goes to the disk in one atomic step. Nothing is sent before.
//! let (mut frame, mut records) = ([0; 256], 0);
//! while let Some(output) = replica.poll_output(now, &mut frame) {
//!     if output == Output::Persist {
//!         let token = replica.take_unsaved(|_record| records += 1); // Here a driver writes to its disk.
//!         replica.handle_persisted(token);
//!     }
//! }
//! assert_eq!(records, 3, "two cells, and the state");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The loop that a driver writes
//!
//! Feed [`Replica::handle_frame`], [`Replica::connect`] and [`Replica::disconnect`] from the transport, and
//! [`Replica::update`] from the application. After each, call [`Replica::poll_output`] until it gives nothing, and do what
//! it says: make durable, send, tell, close. An example stands at [`Replica`].
//!
//! # Layers
//!
//! Each uses only what stands before it: ids, time, limits and lists; [`Stamp`] and [`VersionVector`]; [`Path`], [`Content`]
//! and the rule of precedence; [`Write`]; [`Storage`]; [`Document`], a [`Transaction`] on it and [`Defaults`] under it;
//! [`types`] built from cells and [`typed`] access; the wire format; sessions and their [`Memory`]; [`Replica`].
//! `tests/rules/layers.rs` keeps it so.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | none | [`Fixed`] storage: no allocation anywhere |
//! | `alloc` (default) | `Heap` storage |
//! | `std` | `alloc`, and JSON: `Document::to_json` and `Document::write_json` |
//!
//! Structs of the application are read and written with each of them: see [`typed`].
//!
//! Minimum supported Rust version: 1.95.

#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", feature = "_weaken", test))]
extern crate std;

pub mod capacity;
mod causal;
mod cell;
mod config;
mod defaults;
mod document;
mod error;
mod fingerprint;
mod forgetting;
mod id;
pub mod limits;
mod list;
mod merging;
mod overlapping;
mod replica;
mod retiring;
mod rng;
mod size;
mod storage;
mod sync;
mod time;
mod transaction;
pub mod typed;
pub mod types;
mod varint;
#[cfg(feature = "_weaken")]
#[doc(hidden)]
pub mod weaken;
#[cfg(not(feature = "_weaken"))]
mod weaken;
mod wire;
mod write;

pub use causal::{KnowledgeMemory, Retired, Rise, Stamp, VectorEntry, VersionVector};
pub use cell::{Cell, Content, Kind, Path, PathError, Value, ValueError, dominates};
pub use config::{Config, Role};
pub use defaults::{Defaults, DefaultsError, Reading, WithDefaults};
pub use document::{Document, Node, UpdateError};
pub use error::CapacityError;
pub use id::{DocumentName, NameError, PeerId, ReplicaId};
pub use merging::MergeError;
pub use rand_core;
pub use replica::{
    CellRecord, Connect, Output, PersistToken, Replica, RestoreError, Side, StateRecord, Unsaved,
};
pub use rng::CountingRng;
pub use size::{Limits, Size};
pub use storage::{CellStore, Fixed, FixedCells, Storage, Stored};
#[cfg(feature = "alloc")]
pub use storage::{Heap, HeapCells};
pub use sync::{Conflict, ConflictSide, Event, Memory, PeerError, Repairs, SessionId};
pub use time::{Moment, Time};
pub use transaction::{Transact, Transaction};
pub use wire::{DecodeError, Refusal, Resource, peek_handle, peek_is_content, peek_open, write_refusal};
#[cfg(feature = "alloc")]
pub use write::PendingHeap;
pub use write::{Pending, PendingFixed, Write};
