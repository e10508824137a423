//! What the two ends of a world need of a transport.

use std::net::SocketAddr;
use std::time::Instant;

/// One end of a connection that carries messages, without a clock or a socket. The newest connection is the one that
/// counts; messages of older ones are not reported.
pub trait Transport {
    /// Starts a connection.
    fn connect(&mut self, now: Instant, remote: SocketAddr);
    /// Sends a message on the open connection.
    fn send(&mut self, now: Instant, message: &[u8]);
    /// Takes a datagram.
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]);
    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant);
    /// What happened.
    fn poll_event(&mut self) -> Option<TransportEvent>;
    /// Writes the next datagram to send over `buffer`; where to.
    fn poll_transmit(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<SocketAddr>;
    /// When something is due.
    fn poll_timeout(&mut self) -> Option<Instant>;
    /// Whether its driver transmits nothing, acknowledgements included, while something received is not durable. Then a
    /// delivered message is a durable one, and the acknowledgement is the receipt.
    fn acknowledges_durable_only(&self) -> bool;
}

/// What a transport reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportEvent {
    /// The connection is gone.
    Closed,
    /// The handshake is complete.
    Connected,
    /// The peer's transport has acknowledged one more message.
    Delivered,
    /// A message of the peer.
    Message(Vec<u8>),
}
