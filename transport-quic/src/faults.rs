//! What came in that was not in order.
//!
//! All of it is harmless, most of it is the network's doing, and none of it is logged: a flood must not fill a log too.
//! It is counted, so that somebody can see that it happens.

use serde::{Deserialize, Serialize};

/// How often what happened, since the link began. A datagram counts once at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// Connections that a full server refused; see [`Config::connections_max`](crate::Config::connections_max).
    pub connections_refused: u64,
    /// Datagrams that are no packet of QUIC, or a first packet that is too short. Nothing answers them.
    pub datagrams_malformed: u64,
    /// Datagrams longer than 1,472 bytes. They are not looked at.
    pub datagrams_oversized: u64,
    /// Datagrams that arrived after a later one of the same connection. Networks do that, and nothing is lost by it.
    pub datagrams_reordered: u64,
    /// Datagrams of which every packet had come before. Networks repeat, and so do observers.
    pub datagrams_replayed: u64,
    /// Datagrams for a connection in which nothing could be decrypted: damaged, cut or forged ones. Those of a
    /// handshake that is over are among them, because its keys are gone; at a client replayed ones, too.
    pub datagrams_unauthentic: u64,
    /// Datagrams for a connection that is not here. Long ones are answered with a reset, which is shorter.
    pub datagrams_unknown: u64,
    /// Datagrams of an unknown version of QUIC. Those of 1,200 bytes and more are told the known one.
    pub datagrams_unversioned: u64,
    /// First packets beyond [`Config::handshakes_max`](crate::Config::handshakes_max). Nothing answers them.
    pub handshakes_ignored: u64,
    /// Handshakes that took too long. Of spoofed first packets there is one each.
    pub handshakes_overdue: u64,
    /// Handshakes that failed: a key without its secret, no key, the wrong one, or no protocol in common.
    pub handshakes_refused: u64,
    /// Messages that the peer gave up half-way, or of which it did not want the rest. The connection ended.
    pub messages_broken: u64,
    /// Messages that were too long. The connection ended.
    pub messages_oversized: u64,
}

impl Faults {
    pub(crate) fn count(&mut self, fault: Fault) {
        let counter = match fault {
            Fault::ConnectionRefused => &mut self.connections_refused,
            Fault::DatagramMalformed => &mut self.datagrams_malformed,
            Fault::DatagramOversized => &mut self.datagrams_oversized,
            Fault::DatagramReordered => &mut self.datagrams_reordered,
            Fault::DatagramReplayed => &mut self.datagrams_replayed,
            Fault::DatagramUnauthentic => &mut self.datagrams_unauthentic,
            Fault::DatagramUnknown => &mut self.datagrams_unknown,
            Fault::DatagramUnversioned => &mut self.datagrams_unversioned,
            Fault::HandshakeIgnored => &mut self.handshakes_ignored,
            Fault::HandshakeOverdue => &mut self.handshakes_overdue,
            Fault::HandshakeRefused => &mut self.handshakes_refused,
            Fault::MessageBroken => &mut self.messages_broken,
            Fault::MessageOversized => &mut self.messages_oversized,
        };
        *counter = counter.saturating_add(1);
    }
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    ConnectionRefused,
    DatagramMalformed,
    DatagramOversized,
    DatagramReordered,
    DatagramReplayed,
    DatagramUnauthentic,
    DatagramUnknown,
    DatagramUnversioned,
    HandshakeIgnored,
    HandshakeOverdue,
    HandshakeRefused,
    MessageBroken,
    MessageOversized,
}

impl Fault {
    /// Of a datagram that QUIC neither gave to a connection nor took for the begin of one.
    pub(crate) fn of_stray(datagram: &[u8], connection_id_len: usize) -> Self {
        let Some(&first) = datagram.first() else { return Self::DatagramMalformed };
        if first & LONG_HEADER != 0 {
            let is_versioned = datagram.get(1..5).is_some_and(|version| version == QUIC_V1);
            return if is_versioned || datagram.len() < LONG_HEADER_LEN_MIN {
                Self::DatagramMalformed
            } else {
                Self::DatagramUnversioned
            };
        }
        let is_packet = first & FIXED_BIT != 0 && datagram.len() > 1 + connection_id_len + SEAL_LEN;
        if is_packet { Self::DatagramUnknown } else { Self::DatagramMalformed }
    }
}

/// Bits of a packet's first byte (RFC 9000, section 17).
const LONG_HEADER: u8 = 0x80;
const FIXED_BIT: u8 = 0x40;
/// First byte, version, and the lengths of two connection ids.
const LONG_HEADER_LEN_MIN: usize = 1 + 4 + 2;
const QUIC_V1: [u8; 4] = [0, 0, 0, 1];
/// Bytes of a packet's seal.
const SEAL_LEN: usize = 16;
