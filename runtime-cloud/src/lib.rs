//! The aggregator: every document of a fleet in one place, durable before it is acknowledged, and passed on.
//!
//! It is not a cluster and not a database server: one process, one file, one UDP port. People and programs of the same
//! machine talk to it over a control socket; devices talk to it with [`crdt_core`]'s sessions over [`transport_quic`].
//!
//! ```
//! use runtime_cloud::{Offline, Options, Place, Server, engine::Request};
//! use transport_quic::{Config, Identity};
//!
//! # let directory = tempfile::tempdir()?;
//! let place = Place::new(directory.path());
//!
//! // A device is let in; while no server runs, the store is opened for it, and made if there is none.
//! let device = Identity::generate()?.public_key();
//! let mut offline = Offline::open(&place, true)?;
//! let answer = offline.request(Request::Allow { key: device, document: Some("site-7".into()) })??;
//! assert_eq!(answer["changed"], true);
//! offline.close()?;
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let listen = "127.0.0.1:0".parse()?;
//! let server = Server::start(Options { place: place.clone(), listen, transport: Config::cat_m1() }).await?;
//! println!("devices connect to {} and expect {}", server.local_addr(), server.public_key());
//!
//! // Serves until the future resolves. Here somebody asks one thing and that was it.
//! server.run(async {
//!     let mut client = place.connect().await.expect("it runs");
//!     let devices = client.request(&Request::List).await.expect("it answers");
//!     assert_eq!(devices[0]["documents"][0], "site-7");
//! }).await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The binary `aggregator` is this library with a command line; see [`cli`] for its exit codes.
//!
//! # What holds
//!
//! - **Durable first.** A frame leaves only when everything that it tells is on the disk: acknowledgements, and the
//!   changes for the other devices. An answer to `set` and `allow` comes when it is on the disk.
//! - **One commit at a time, for all documents.** What changes while a commit is under way goes into the next one.
//! - **Access.** A key that nobody allowed is refused before it can say anything, and told which command lets it in. A
//!   device opens the documents that it was allowed, no others. It has one connection at a time: a newer one takes the
//!   place of the older.
//! - **One bad peer costs one connection.** What makes no sense closes the connection that it came on, with a text that
//!   says why. Documents and the other devices go on.
//! - **Everything that waits is bounded**, see [`limits`]. Input beyond its bound stays in the network. A device that
//!   does not take what is sent to it is disconnected; it gets what it lacks when it connects again.
//! - **A failing disk ends the process**, with the reason. Nothing that was not committed has been acknowledged.
//!
//! # The loop
//!
//! [`engine::Engine`] is a state machine without socket, disk and clock; its documentation tells the loop. [`Server`] is
//! that loop in one tokio task, with the store in a thread of its own.
//!
//! # Layers
//!
//! `limits`, `access`, `status` (data) <- `engine` (router, documents, commits) <- `place`, `disk` (the store) <-
//! `server`, `offline` <- `cli`.
//!
//! # Not yet
//!
//! - Documents stay in memory from their first use to the end of the process.
//! - A revoked device is retired from the documents in memory. In the others, tombstones are kept for it, which costs
//!   space and nothing else.
//! - The transport acknowledges a message before it is durable; a receipt that counts is the session's own.
//!
//! Minimum supported Rust version: 1.95.

pub mod access;
pub mod cli;
mod disk;
pub mod engine;
mod error;
pub mod limits;
mod offline;
mod place;
mod report;
mod server;
pub mod status;

pub use error::ServeError;
pub use offline::Offline;
pub use place::{Initialized, Place};
pub use server::{Options, Server};
