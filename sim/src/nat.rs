//! A carrier's NAT between a device and the Internet: mappings that time out, and what comes in unasked.
//!
//! Each device has one mapping, of its address to a public one, for all that it talks to (endpoint-independent mapping,
//! RFC 4787, REQ-1). It is made by what the device sends and kept alive by that alone; what comes in does not refresh it.
//! When it has timed out, what arrives for it is dropped before it reaches the radio, at no cost to the device, and the
//! next packet that the device sends gets a new one: a new port, or a new address altogether. The device is not told.
//!
//! How long mappings live: RFC 4787 asks for at least 2 minutes of silence, and recommends 5 (REQ-5). Measurements find
//! less than that at many of the carriers in Richter, Wohlfart, Vallina-Rodriguez, Allman, Bush,
//! Feldmann, Kreibich, Weaver, Paxson, "A Multi-perspective Analysis of Carrier-Grade NAT Deployment" (IMC 2016, on
//! timeouts), and at many home gateways in Hatonen, Nyrhinen, Eggert, Strowes, Sarolahti, Kojo, "An Experimental Study of
//! Home Gateway Characteristics" (IMC 2010). So [`NatProfile::CARRIER`] is planned with one minute (our choice).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::SimTime;

/// How a carrier translates addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatProfile {
    /// How long a mapping, and each permission in it, lives after the last packet that the device sent, in milliseconds.
    pub timeout_ms: u64,
    /// What a mapping that is made again looks like.
    pub renewal: Renewal,
    /// Who may send to a device.
    pub filtering: Filtering,
}

impl NatProfile {
    /// What a device on a cellular link should be planned with: one minute, then a new port, and nothing unasked.
    pub const CARRIER: Self =
        Self { timeout_ms: 60_000, renewal: Renewal::NewPort, filtering: Filtering::AddressAndPort };
}

/// What a mapping that is made again looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Renewal {
    /// Another address of the carrier's pool. On IPv6, another port.
    NewAddress,
    /// Another port of the same address.
    NewPort,
}

/// Whose packets a NAT lets in (RFC 4787, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filtering {
    /// Those of addresses that the device has sent to.
    Address,
    /// Those of addresses and ports that the device has sent to.
    AddressAndPort,
    /// Everyone's, while there is a mapping (endpoint-independent filtering).
    Nobody,
}

/// The state of one device at its NAT. Constant time for each packet, and memory for each peer of the last minutes.
#[derive(Clone, Debug)]
pub struct Nat {
    profile: NatProfile,
    /// `None` before the first packet.
    mapped_until: Option<SimTime>,
    /// To whom the device has sent, and until when they may answer.
    peers: Vec<(SocketAddr, SimTime)>,
    renewals: u64,
}

impl Nat {
    /// A NAT that has not seen the device yet.
    #[must_use]
    pub const fn new(profile: NatProfile) -> Self {
        Self { profile, mapped_until: None, peers: Vec::new(), renewals: 0 }
    }

    /// The device sends to `to`. Tells how its mapping has to be made again, if it has.
    #[must_use]
    pub fn outbound(&mut self, now: SimTime, to: SocketAddr) -> Option<Renewal> {
        let is_stale = self.mapped_until.is_some_and(|until| until <= now);
        let until = now + Duration::from_millis(self.profile.timeout_ms);
        self.mapped_until = Some(until);
        self.peers.retain(|(peer, until)| *peer != to && now < *until);
        self.peers.push((to, until));
        self.renewals += u64::from(is_stale);
        is_stale.then_some(self.profile.renewal)
    }

    /// Whether a packet from `from` gets to the device.
    #[must_use]
    pub fn admits(&self, now: SimTime, from: SocketAddr) -> bool {
        let mut live = self.peers.iter().filter(|(_, until)| now < *until).map(|(peer, _)| *peer);
        match self.profile.filtering {
            Filtering::Address => live.any(|peer| peer.ip() == from.ip()),
            Filtering::AddressAndPort => live.any(|peer| peer == from),
            Filtering::Nobody => self.mapped_until.is_some_and(|until| now < until),
        }
    }

    /// How often the mapping was made again.
    #[must_use]
    pub const fn renewals(&self) -> u64 {
        self.renewals
    }
}

/// The `number`th address of the pool that carriers' NATs draw from here: 198.18.0.0/15, which is for benchmarks (RFC
/// 2544). `None` for IPv6, which has no pool.
#[must_use]
pub(crate) fn pool_address(old: SocketAddr, number: u32) -> Option<SocketAddr> {
    let pooled = IpAddr::from((POOL_FIRST + number % POOL_LEN).to_be_bytes());
    old.is_ipv4().then(|| SocketAddr::new(pooled, old.port()))
}

const POOL_FIRST: u32 = u32::from_be_bytes([198, 18, 0, 1]);
const POOL_LEN: u32 = (1 << 17) - 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], port))
    }

    fn t(seconds: u64) -> SimTime {
        SimTime::from_secs(seconds)
    }

    #[test]
    fn a_mapping_lives_while_the_device_sends() {
        let mut nat = Nat::new(NatProfile::CARRIER);
        assert!(!nat.admits(t(0), addr(1, 443)), "nobody was asked yet");
        assert_eq!(nat.outbound(t(0), addr(1, 443)), None, "the first one is no renewal");
        assert!(nat.admits(t(59), addr(1, 443)));
        assert_eq!(nat.outbound(t(59), addr(1, 443)), None);
        assert!(nat.admits(t(118), addr(1, 443)), "what was sent kept it alive");
        assert!(!nat.admits(t(119), addr(1, 443)));
        assert_eq!(nat.outbound(t(119), addr(1, 443)), Some(Renewal::NewPort));
        assert!(nat.admits(t(120), addr(1, 443)));
        assert_eq!(nat.renewals(), 1);
    }

    #[test]
    fn what_comes_in_keeps_nothing_alive() {
        let mut nat = Nat::new(NatProfile::CARRIER);
        assert_eq!(nat.outbound(t(0), addr(1, 443)), None);
        assert!((1..60).all(|second| nat.admits(t(second), addr(1, 443))));
        assert!(!nat.admits(t(60), addr(1, 443)));
    }

    #[test]
    fn filtering_is_by_address_by_port_or_not_at_all() {
        let admitted = |filtering| {
            let mut nat = Nat::new(NatProfile { filtering, ..NatProfile::CARRIER });
            assert_eq!(nat.outbound(t(0), addr(1, 443)), None);
            [addr(1, 443), addr(1, 444), addr(2, 443)].map(|from| nat.admits(t(1), from))
        };
        assert_eq!(admitted(Filtering::AddressAndPort), [true, false, false]);
        assert_eq!(admitted(Filtering::Address), [true, true, false]);
        assert_eq!(admitted(Filtering::Nobody), [true, true, true]);
    }

    #[test]
    fn each_peer_has_a_permission_of_its_own() {
        let mut nat = Nat::new(NatProfile::CARRIER);
        assert_eq!(nat.outbound(t(0), addr(1, 443)), None);
        assert_eq!(nat.outbound(t(50), addr(2, 443)), None);
        assert!(!nat.admits(t(70), addr(1, 443)));
        assert!(nat.admits(t(70), addr(2, 443)));
        assert_eq!(nat.outbound(t(71), addr(2, 443)), None);
        assert_eq!(nat.peers.len(), 1, "what has ended is forgotten");
    }
}
