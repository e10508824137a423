//! What the connections cost on the wire.
//!
//! A metered link bills IP packets. So every datagram is counted with the headers that carry it: 20 bytes of IPv4 or
//! 40 bytes of IPv6 (no options, no extension headers), and 8 bytes of UDP.

use std::net::{IpAddr, SocketAddr};
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Bytes of an IPv4 and a UDP header.
pub const IPV4_UDP_HEADER_BYTES: u64 = 20 + 8;
/// Bytes of an IPv6 and a UDP header.
pub const IPV6_UDP_HEADER_BYTES: u64 = 40 + 8;

/// The IP bytes of a datagram with this many bytes of UDP payload, to or from this address. An IPv4 address mapped
/// into IPv6 is on the wire what it is: IPv4.
///
/// ```
/// let peer = "192.0.2.1:4433".parse().unwrap();
/// assert_eq!(transport_quic::ip_bytes(peer, 100), 128);
/// ```
#[must_use]
pub fn ip_bytes(peer: SocketAddr, udp_payload_bytes: usize) -> u64 {
    let header = match peer.ip().to_canonical() {
        IpAddr::V4(_) => IPV4_UDP_HEADER_BYTES,
        IpAddr::V6(_) => IPV6_UDP_HEADER_BYTES,
    };
    header + udp_payload_bytes as u64
}

/// Datagrams and their IP bytes, both directions, of one connection or of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// What this side gave to its socket. A datagram counts even where the system then failed to send it.
    pub sent: Traffic,
    /// What came in from the socket.
    pub received: Traffic,
}

impl Ledger {
    /// IP bytes in both directions.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.total().bytes
    }

    /// Both directions together.
    #[must_use]
    pub fn total(&self) -> Count {
        let mut total = self.sent.total();
        total += self.received.total();
        total
    }
}

/// One direction, by the state of the connection at that moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Before this side reported the connection as connected.
    pub handshake: Count,
    /// From then on, until the connection is forgotten.
    pub established: Count,
    /// Of no connection: damaged or unknown datagrams, refusals, stateless resets.
    pub unrouted: Count,
}

impl Traffic {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Count {
        let mut total = self.handshake;
        total += self.established;
        total += self.unrouted;
        total
    }

    pub(crate) fn count(&mut self, phase: Phase, bytes: u64) {
        let count = match phase {
            Phase::Handshake => &mut self.handshake,
            Phase::Established => &mut self.established,
            Phase::Unrouted => &mut self.unrouted,
        };
        *count += Count { packets: 1, bytes };
    }
}

/// A number of datagrams and their IP bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Datagrams.
    pub packets: u64,
    /// Their bytes, IP and UDP headers included.
    pub bytes: u64,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// What a datagram is counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Established,
    Handshake,
    Unrouted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_on_the_wire() {
        assert_eq!(ip_bytes("192.0.2.1:1".parse().unwrap(), 0), 28);
        assert_eq!(ip_bytes("[2001:db8::1]:1".parse().unwrap(), 1200), 1248);
        assert_eq!(ip_bytes("[::ffff:192.0.2.1]:1".parse().unwrap(), 10), 38);
    }

    #[test]
    fn a_total_is_the_sum_of_its_parts() {
        let mut ledger = Ledger::default();
        ledger.sent.count(Phase::Handshake, 1228);
        ledger.sent.count(Phase::Established, 60);
        ledger.received.count(Phase::Unrouted, 70);
        assert_eq!(ledger.total(), Count { packets: 3, bytes: 1358 });
        assert_eq!(ledger.bytes(), 1358);
        assert_eq!(ledger.sent.total(), Count { packets: 2, bytes: 1288 });
    }
}
