//! The local control socket of a running process: one JSON object per line, over a Unix socket of mode 0600.
//!
//! It is no network protocol: whoever can open the socket may do everything, and only the file system decides who
//! that is. What a request means is up to the process; the verbs that the edge and the aggregator share are in
//! [`Get`], [`Set`], [`Delete`] and [`Watch`].
//!
//! ```
//! use control::{Client, ErrorReply, Get, Scalar, Server};
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("control.sock");
//! let server = Server::bind(&path).await?;
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let running = tokio::spawn(server.run(
//!     |request: Get, mut replies| async move {
//!         match request.path.as_deref() {
//!             Some("pump/speed") => replies.ok(&Scalar::I64(1450)).await,
//!             _ => replies.error(&ErrorReply::new("not_found", "nothing is there")).await,
//!         }
//!     },
//!     async { drop(stopped.await) },
//! ));
//!
//! let mut client = Client::connect(&path).await?;
//! let request = Get { document: None, path: Some("pump/speed".to_owned()) };
//! assert_eq!(client.request(&request).await?, 1450);
//! drop(stop);
//! running.await?;
//! assert!(!path.exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # On the wire
//!
//! | who | line |
//! |---|---|
//! | client | a request: one JSON object, at most [`REQUEST_LEN_MAX`] bytes |
//! | server | `{"ok":...}`, or `{"error":{"code":"...","message":"..."}}` |
//!
//! A request with a field that its verb does not have, or with a number that neither an integer of 64 bits nor a float
//! holds, is refused with the code [`BAD_REQUEST`](code::BAD_REQUEST). Floats come back bit for bit.
//!
//! A request has one reply line, or a stream of them; which, its verb says. A stream lasts until either side closes.
//! Requests on one connection are answered one after the other. Scalars are written as [`Scalar`] says.
//!
//! A server that was told its store answers `{"verb":"owner"}` itself, with the program, the store's path and the number of
//! its file. By that a client knows that a socket is the one of the store that it means, whatever happened to the file.
//!
//! # Layers
//!
//! `limits`, `scalar` and `tree` (values as JSON), `request` and `reply` (what is said), `owner` (whose socket it is) <-
//! `line` (bounded lines), `address` (paths of sockets) <- `server`, `client`.

mod address;
mod client;
pub mod code;
pub mod command;
mod limits;
mod line;
mod log_limit;
mod owner;
mod reply;
mod request;
mod scalar;
mod server;
mod tree;

pub use client::{Client, ConnectError, RequestError};
pub use limits::{CONNECTIONS_MAX, REPLY_LEN_MAX, REQUEST_LEN_MAX, SOCKET_PATH_LEN_MAX};
pub use log_limit::LogLimit;
pub use reply::{ErrorReply, Reply};
pub use request::{Change, Delete, Get, Set, Watch, no_fields};
pub use scalar::{SET_HELP, Scalar, ScalarError};
pub use server::{BindError, Gone, Replies, Server};
pub use tree::{content_to_json, tree};
