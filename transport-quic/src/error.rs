//! What can be wrong with a call. What can go wrong with a connection is a [`CloseReason`](crate::CloseReason).

use std::net::SocketAddr;

use crate::event::ConnectionId;

/// A connection could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A client link has one connection to an address at a time, because its packets carry no connection id.
    #[error("connection {conn} to {remote} is still open; close it first")]
    AlreadyConnected {
        /// The open connection.
        conn: ConnectionId,
        /// The address of both.
        remote: SocketAddr,
    },
    /// Nothing can be reached there: port 0, or an unspecified address.
    #[error("{remote} is no address of a server")]
    InvalidAddress {
        /// The address.
        remote: SocketAddr,
    },
    /// A server link has as many connections as its connection ids can name.
    #[error("no connection ids are left; close some connections first")]
    TooManyConnections,
}

/// A message was not taken. Nothing of it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection ended, or there never was one of this name.
    #[error("connection {conn} is closed")]
    Closed {
        /// The connection.
        conn: ConnectionId,
    },
    /// Too much waits for the peer's acknowledgement. Try again after a `Delivered` event of this connection.
    #[error("{queued} of {limit} bytes wait for acknowledgement; send again after the next delivery")]
    Full {
        /// Bytes that wait, 64 for each message included.
        queued: usize,
        /// The limit; see [`Config::send_window_bytes`](crate::Config::send_window_bytes).
        limit: usize,
    },
    /// The message is longer than [`MESSAGE_LEN_MAX`](crate::MESSAGE_LEN_MAX). Split it.
    #[error("a message of {len} bytes is longer than {limit}; split it")]
    TooLong {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
}
