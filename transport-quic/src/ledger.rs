//! What the connections cost on the wire.
//!
//! A metered link bills IP packets. So every datagram is counted with the headers that carry it: 20 bytes of IPv4 or
//! 40 bytes of IPv6 (no options, no extension headers), and 8 bytes of UDP. What the bytes were for is told by
//! [`Cause`]; the causes add up to the total.

use std::net::{IpAddr, SocketAddr};
use std::ops::{AddAssign, Index, IndexMut};

use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Shares};

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
    header_bytes(peer) + udp_payload_bytes as u64
}

/// The bytes of the IP and UDP headers to or from this address.
pub(crate) fn header_bytes(peer: SocketAddr) -> u64 {
    match peer.ip().to_canonical() {
        IpAddr::V4(_) => IPV4_UDP_HEADER_BYTES,
        IpAddr::V6(_) => IPV6_UDP_HEADER_BYTES,
    }
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

impl Ledger {
    /// What was added since an earlier look at the same ledger.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self { sent: self.sent.since(&earlier.sent), received: self.received.since(&earlier.received) }
    }
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
    }
}

/// One direction, by cause.
///
/// Index it with a [`Cause`]. Unknown causes of a newer version are ignored when it is read, missing ones are zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the causes are documented at Cause")]
pub struct Traffic {
    pub acknowledgements: Count,
    pub cells: Count,
    pub control: Count,
    pub handshake: Count,
    pub path: Count,
    pub retransmissions: Count,
    pub unrouted: Count,
}

impl Traffic {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Count {
        let mut total = Count::default();
        for cause in Cause::ALL {
            total += self[cause];
        }
        total
    }

    /// Counts one datagram.
    pub(crate) fn count(&mut self, shares: &Shares) {
        for cause in Cause::ALL {
            self[cause].bytes += shares.bytes[cause as usize];
        }
        self[shares.dominating].packets += 1;
    }

    fn since(&self, earlier: &Self) -> Self {
        let mut added = Self::default();
        for cause in Cause::ALL {
            let (now, then) = (self[cause], earlier[cause]);
            added[cause] = Count {
                packets: now.packets.saturating_sub(then.packets),
                bytes: now.bytes.saturating_sub(then.bytes),
            };
        }
        added
    }
}

impl Index<Cause> for Traffic {
    type Output = Count;

    fn index(&self, cause: Cause) -> &Count {
        match cause {
            Cause::Acknowledgements => &self.acknowledgements,
            Cause::Cells => &self.cells,
            Cause::Control => &self.control,
            Cause::Handshake => &self.handshake,
            Cause::Path => &self.path,
            Cause::Retransmissions => &self.retransmissions,
            Cause::Unrouted => &self.unrouted,
        }
    }
}

impl IndexMut<Cause> for Traffic {
    fn index_mut(&mut self, cause: Cause) -> &mut Count {
        match cause {
            Cause::Acknowledgements => &mut self.acknowledgements,
            Cause::Cells => &mut self.cells,
            Cause::Control => &mut self.control,
            Cause::Handshake => &mut self.handshake,
            Cause::Path => &mut self.path,
            Cause::Retransmissions => &mut self.retransmissions,
            Cause::Unrouted => &mut self.unrouted,
        }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        for cause in Cause::ALL {
            self[cause] += other[cause];
        }
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
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
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
        ledger.sent.count(&Shares::all(Cause::Handshake, 1228));
        let before = ledger;
        ledger.sent.count(&Shares::all(Cause::Cells, 60));
        ledger.received.count(&Shares::all(Cause::Unrouted, 70));
        assert_eq!(ledger.total(), Count { packets: 3, bytes: 1358 });
        assert_eq!(ledger.bytes(), 1358);
        assert_eq!(ledger.sent.total(), Count { packets: 2, bytes: 1288 });
        let added = ledger.since(&before);
        assert_eq!((added.sent.handshake.bytes, added.bytes()), (0, 130));
        let mut sum = before;
        sum += added;
        assert_eq!(sum, ledger);
    }
}
