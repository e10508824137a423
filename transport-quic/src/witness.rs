//! What a server learns about the packets of one connection: which of them are authentic and the newest, and what
//! they acknowledge.
//!
//! QUIC keeps this to itself. But it decrypts with keys that come from the TLS session, so a session that hands out
//! wrapped keys sees every packet that could be decrypted, with its number and content, and nothing that was forged.
//! A replay has a number that was there before. The wrappers change no byte.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use bytes::BytesMut;
use quinn_proto::crypto::{
    CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, ServerConfig, Session,
    UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError};

use crate::cause::Frames;
use crate::faults::Fault;

/// What was seen on one connection. Its two holders, the session and the link, are never at work at the same time;
/// the atomics only make it `Sync`, as QUIC wants its keys.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// Rank of the newest authentic packet: its space in the two highest bits, then its number.
    newest: AtomicU64,
    /// Whether there was a newer one since it was last asked.
    is_fresh: AtomicBool,
    /// One more than the highest number among the packets of the peer's acknowledgements in fresh packets.
    acknowledged: AtomicU64,
    /// The number after that of the last packet sealed.
    next_number: AtomicU64,
    /// Packets that could be decrypted.
    opened: AtomicU64,
    /// Those of them that came after a later one of their space, or again.
    late: AtomicU64,
    /// One more than the highest number of each space.
    ends: [AtomicU64; 3],
}

impl Witness {
    /// What came of all packets so far.
    pub(crate) fn total(&self) -> Opened {
        Opened { packets: self.opened.load(Relaxed), late: self.late.load(Relaxed) }
    }

    /// Whether an authentic packet, newer than all before it, came since the last call.
    pub(crate) fn take_fresh(&self) -> bool {
        self.is_fresh.swap(false, Relaxed)
    }

    /// The number of the next packet to leave in the established connection.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number.load(Relaxed)
    }

    /// Whether a fresh packet acknowledged a packet with this number or a later one.
    pub(crate) fn is_acknowledged_since(&self, number: u64) -> bool {
        self.acknowledged.load(Relaxed) > number
    }

    fn sealed(&self, space: Space, number: u64) {
        if space == Space::Data {
            self.next_number.fetch_max(number + 1, Relaxed);
        }
    }

    fn opened(&self, space: Space, number: u64, payload: &[u8]) {
        self.opened.fetch_add(1, Relaxed);
        if self.ends[space as usize].fetch_max(number.saturating_add(1), Relaxed) > number {
            self.late.fetch_add(1, Relaxed);
        }
        let rank = ((space as u64) << 62) | number;
        if rank <= self.newest.load(Relaxed) {
            return;
        }
        self.newest.store(rank, Relaxed);
        self.is_fresh.store(true, Relaxed);
        if space == Space::Data
            && let Some(number) = largest_acknowledged(payload)
        {
            self.acknowledged.fetch_max(number.saturating_add(1), Relaxed);
        }
    }
}

/// Packets that could be decrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Opened {
    packets: u64,
    late: u64,
}

impl Opened {
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { packets: self.packets - earlier.packets, late: self.late - earlier.late }
    }

    /// What was wrong with a datagram that had these packets, and in which QUIC found these frames.
    pub(crate) fn fault(self, frames: &Frames) -> Option<Fault> {
        match self {
            // Without a witness there are frames or none.
            Self { packets: 0, .. } => frames.is_empty().then_some(Fault::DatagramUnauthentic),
            // QUIC does not look into a packet that it has had.
            _ if frames.is_empty() => Some(Fault::DatagramReplayed),
            Self { packets, late } => (packets == late).then_some(Fault::DatagramReordered),
        }
    }
}

/// QUIC's packet number spaces, in the order in which a connection goes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Space {
    Initial = 0,
    Handshake = 1,
    Data = 2,
}

/// The largest packet number of the acknowledgement at the start of a packet (RFC 9000, section 19.3). Our peers
/// write nothing before it but padding and pings; of others an acknowledgement may be overlooked, which does no harm.
fn largest_acknowledged(payload: &[u8]) -> Option<u64> {
    let start = payload.iter().position(|&byte| byte != PADDING && byte != PING)?;
    let (kind, rest) = payload[start..].split_first()?;
    matches!(*kind, ACK | ACK_ECN).then(|| varint(rest)).flatten()
}

/// A variable-length integer (RFC 9000, section 16).
fn varint(bytes: &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    let len = 1 << (first >> 6);
    let rest = bytes.get(1..len)?;
    Some(rest.iter().fold(u64::from(first & 0x3f), |value, &byte| (value << 8) | u64::from(byte)))
}

/// The TLS configuration for one connection of a server, with its witness.
pub(crate) struct WitnessedConfig {
    pub(crate) inner: Arc<dyn ServerConfig>,
    pub(crate) witness: Arc<Witness>,
}

impl ServerConfig for WitnessedConfig {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.inner.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.inner.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(self: Arc<Self>, version: u32, params: &TransportParameters) -> Box<dyn Session> {
        let inner = self.inner.clone().start_session(version, params);
        Box::new(WitnessedSession { inner, witness: self.witness.clone(), next: Space::Handshake })
    }
}

struct WitnessedSession {
    inner: Box<dyn Session>,
    witness: Arc<Witness>,
    /// What the next keys of the handshake are for.
    next: Space,
}

impl WitnessedSession {
    fn wrap(&self, space: Space, keys: KeyPair<Box<dyn PacketKey>>) -> KeyPair<Box<dyn PacketKey>> {
        let wrap = |inner| -> Box<dyn PacketKey> {
            Box::new(WitnessedKey { inner, witness: self.witness.clone(), space })
        };
        KeyPair { local: wrap(keys.local), remote: wrap(keys.remote) }
    }
}

impl Session for WitnessedSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        let keys = self.inner.initial_keys(dst_cid, side);
        Keys { header: keys.header, packet: self.wrap(Space::Initial, keys.packet) }
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        // Early packets can be replayed, so they say nothing about where the peer is.
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.inner.read_handshake(buf)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let keys = self.inner.write_handshake(buf)?;
        let space = std::mem::replace(&mut self.next, Space::Data);
        Some(Keys { header: keys.header, packet: self.wrap(space, keys.packet) })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.inner.next_1rtt_keys()?;
        Some(self.wrap(Space::Data, keys))
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}

struct WitnessedKey {
    inner: Box<dyn PacketKey>,
    witness: Arc<Witness>,
    space: Space,
}

impl PacketKey for WitnessedKey {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        self.witness.sealed(self.space, packet);
        self.inner.encrypt(packet, buf, header_len);
    }

    fn decrypt(&self, packet: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        self.inner.decrypt(packet, header, payload)?;
        self.witness.opened(self.space, packet, payload);
        Ok(())
    }

    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.inner.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.inner.integrity_limit()
    }
}

/// Frame types (RFC 9000, section 12.4).
const PADDING: u8 = 0x00;
const PING: u8 = 0x01;
const ACK: u8 = 0x02;
const ACK_ECN: u8 = 0x03;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_is_found_at_the_start() {
        assert_eq!(largest_acknowledged(&[ACK, 0x25, 0, 0, 0]), Some(0x25));
        assert_eq!(largest_acknowledged(&[PADDING, PING, ACK_ECN, 0x7b, 0xbd, 0, 0]), Some(15_293));
        assert_eq!(largest_acknowledged(&[0x08, ACK, 5]), None, "that is in a stream");
        for damaged in [&[][..], &[PADDING], &[ACK], &[ACK, 0x40], &[ACK, 0xc0, 1, 2, 3, 4, 5, 6]] {
            assert_eq!(largest_acknowledged(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn only_what_is_newer_is_fresh() {
        let witness = Witness::default();
        let see = |space, number| {
            witness.opened(space, number, &[]);
            witness.take_fresh()
        };
        assert!(see(Space::Initial, 1) && see(Space::Handshake, 0) && see(Space::Data, 0));
        assert!(!see(Space::Data, 0) && !see(Space::Handshake, 7) && !see(Space::Initial, 9));
        assert!(see(Space::Data, 5) && !see(Space::Data, 4) && see(Space::Data, 6));
    }

    #[test]
    fn an_old_packet_acknowledges_nothing() {
        let witness = Witness::default();
        witness.opened(Space::Data, 5, &[ACK, 7, 0, 0, 0]);
        assert!(witness.is_acknowledged_since(7) && !witness.is_acknowledged_since(8));
        witness.opened(Space::Data, 4, &[ACK, 9, 0, 0, 0]);
        assert!(!witness.is_acknowledged_since(8));
    }
}
