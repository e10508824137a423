//! How much a [`Fixed`](crate::Fixed) document holds: each capacity by its name, in one order.
//!
//! They stand in a module of their own because a `Bytes` or a `Cells` at the root of a crate would say too little of itself.
//!
//! ```
//! use crdt_core::Fixed;
//! use crdt_core::capacity::{Bytes, Cells, Peers, Replicas};
//!
//! /// 48 cells, 2 KiB of paths and values, 4 replicas that ever wrote, 1 peer.
//! type Pump = Fixed<Cells<48>, Bytes<2048>, Replicas<4>, Peers<1>>;
//! ```
//!
//! Another order is no storage, and the compiler says so:
//!
//! ```compile_fail,E0277
//! use crdt_core::capacity::{Bytes, Cells, Replicas};
//! use crdt_core::{Document, Fixed};
//! fn read(document: &Document<Fixed<Bytes<2048>, Cells<48>, Replicas<4>>>) {}
//! ```
//!
//! A document without capacity for a cell, a byte or its own id cannot work, and does not compile:
//!
//! ```compile_fail,E0080
//! use crdt_core::capacity::{Bytes, Cells, Replicas};
//! use crdt_core::{Document, DocumentName, Fixed, Limits, ReplicaId};
//! let name = DocumentName::new("pump-42").unwrap();
//! type None = Fixed<Cells<48>, Bytes<2048>, Replicas<0>>;
//! let document = Document::<None>::new(&name, ReplicaId::new(1), Limits::default());
//! ```

/// `N` cells, tombstones included; at least 1. A cell takes 40 bytes of memory beside its path and value. On the stack it
/// takes 16 while an update is checked, and 32 (48 where addresses have 64 bits) while a [`Transaction`](crate::Transaction)
/// is put together.
#[derive(Debug)]
pub enum Cells<const N: usize> {}

/// `N` bytes of paths and encoded values; 1 to 4,294,967,295.
#[derive(Debug)]
pub enum Bytes<const N: usize> {}

/// `N` replicas that ever wrote to the document and have not [retired](crate::Replica::forget_stable); at least 1, the own
/// one. A replica takes 16 bytes in each of the version vectors: two of the document, and some of each peer and session.
#[derive(Debug)]
pub enum Replicas<const N: usize> {}

/// `N` peers that are remembered, and as many sessions that are open. None is enough for a [`Document`](crate::Document)
/// that is merged by hand; a [`Replica`](crate::Replica) without any refuses to connect.
#[derive(Debug)]
pub enum Peers<const N: usize> {}
