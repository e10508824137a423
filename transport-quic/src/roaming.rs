//! Where the peer of a connection is, and how much may be sent there before it has shown that it is.
//!
//! QUIC proves a new address with padded packets in both directions, 3.7 kB each time, and a device behind a NAT has
//! a new one every few minutes. So a server does it as WireGuard does (Donenfeld, "WireGuard: Next Generation Kernel
//! Network Tunnel", section 2.1): it answers to where the newest authentic packet came from. QUIC itself is given one
//! constant address for all connections of a server and never knows that anybody moved.
//!
//! What an observer can do with that, who sees packets and may send from any address, but has no key:
//! - A forged or damaged packet is not authentic, and a replay is not the newest: they move nothing.
//! - A copy that overtakes the original moves the connection to the copy's source, until the next packet of the peer.
//! - There it gets little: [`AMPLIFICATION_MAX`] times the bytes that came from there, until the peer acknowledges a
//!   packet that was sent there. Whoever only sends copies cannot bring the peer to do that.
//!
//! The keys of a handshake's very first packets can be computed by whoever sees them. So an observer can disturb a
//! handshake, with any QUIC, and here also draw it to itself within the same limit; the peer's first packet with keys of
//! its own ends that.
//!
//! A peer could acknowledge what it never received, and so let the server send to somebody else what it would send to
//! this peer. That takes a peer with an allowed key, which can be revoked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ledger::ip_bytes;
use crate::witness::{Opened, Witness};

/// The way to one peer.
#[derive(Debug)]
pub(crate) struct Route {
    address: SocketAddr,
    /// Of the way to a peer that may move; none where it may not.
    witness: Option<Arc<Witness>>,
    /// Of an address that the peer has not proved.
    trial: Option<Trial>,
    /// The last address that it has proved.
    home: Option<SocketAddr>,
    /// The last trial that was given up: it goes on where it ended if the peer speaks from there again.
    given_up: Option<(SocketAddr, Trial)>,
    /// A datagram that may not be sent yet.
    held: Option<Vec<u8>>,
    /// When the trial is given up because it keeps something from being sent.
    blocked_until: Option<Instant>,
}

/// An address that is used but not proved, and its account in IP bytes.
#[derive(Debug, Clone, Copy)]
struct Trial {
    received: u64,
    sent: u64,
    /// Bytes of messages that QUIC was given since.
    given: u64,
    /// Packets from this number on were sent here and nowhere else.
    first_number: u64,
    /// Whether the connection began here: then the end of the handshake proves it.
    is_first: bool,
    /// Whether the peer was asked for an acknowledgement.
    is_asked: bool,
}

impl Route {
    /// To a peer that was called by this side: it stays where it was called.
    pub(crate) fn fixed(address: SocketAddr) -> Self {
        Self {
            address,
            witness: None,
            trial: None,
            home: Some(address),
            given_up: None,
            held: None,
            blocked_until: None,
        }
    }

    /// To a peer that called from this address, with a datagram of this many IP bytes.
    pub(crate) fn roaming(address: SocketAddr, bytes: u64, witness: Arc<Witness>) -> Self {
        // What came with the first packet came from here too, and must not vouch for the source of the next datagram.
        witness.take_fresh();
        let trial =
            Trial { received: bytes, sent: 0, given: 0, first_number: 0, is_first: true, is_asked: false };
        Self { witness: Some(witness), trial: Some(trial), home: None, ..Self::fixed(address) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether a datagram from there may belong to the connection.
    pub(crate) fn accepts(&self, from: SocketAddr) -> bool {
        self.witness.is_some() || from == self.address
    }

    /// The packets that were decrypted so far, if that is known.
    pub(crate) fn opened(&self) -> Option<Opened> {
        Some(self.witness.as_ref()?.total())
    }

    /// QUIC has handled a datagram of the connection. Follows its source if there was something authentic and newest
    /// in it.
    pub(crate) fn received(&mut self, from: SocketAddr, bytes: u64) {
        let Some(witness) = self.witness.clone() else { return };
        let is_fresh = witness.take_fresh();
        if is_fresh && from != self.address {
            self.follow(from, witness.next_number());
        }
        if let Some(trial) = &mut self.trial
            && from == self.address
        {
            trial.received += bytes;
            if is_fresh && witness.is_acknowledged_since(trial.first_number) {
                self.prove();
            }
        }
    }

    /// The handshake is complete. Its end answers what was sent to where it began.
    pub(crate) fn established(&mut self) {
        if self.trial.is_some_and(|trial| trial.is_first) {
            self.prove();
        }
    }

    /// Bytes of messages that QUIC may be given now, or none if that does not matter. More would make datagrams that
    /// may not be sent, with acknowledgements in them that should be.
    pub(crate) fn capacity(&self) -> Option<usize> {
        let trial = self.trial?;
        let capacity = (AMPLIFICATION_MAX * trial.received).saturating_sub(trial.sent + trial.given);
        Some(usize::try_from(capacity).unwrap_or(usize::MAX).saturating_sub(PACKET_OVERHEAD))
    }

    /// Notes that QUIC was given messages of this many bytes.
    pub(crate) fn gave(&mut self, bytes: usize) {
        if let Some(trial) = &mut self.trial {
            trial.given += bytes as u64;
        }
    }

    /// Messages wait for a proof of the address. Whether the peer is to be asked for an acknowledgement; once.
    pub(crate) fn wants_proof(&mut self, now: Instant) -> bool {
        let Some(trial) = &mut self.trial else { return false };
        self.blocked_until.get_or_insert(now + TRIAL_MAX);
        !std::mem::replace(&mut trial.is_asked, true)
    }

    /// The datagram that waits, if there is one.
    pub(crate) fn take_held(&mut self) -> Option<Vec<u8>> {
        self.held.take()
    }

    /// Whether this datagram may be sent now. If not, it is taken out of the buffer and waits.
    pub(crate) fn admit(&mut self, now: Instant, datagram: &mut Vec<u8>) -> bool {
        let Some(trial) = &mut self.trial else { return true };
        let sent = trial.sent + ip_bytes(self.address, datagram.len());
        if sent > AMPLIFICATION_MAX * trial.received {
            self.held = Some(std::mem::take(datagram));
            self.blocked_until.get_or_insert(now + TRIAL_MAX);
            return false;
        }
        trial.sent = sent;
        self.blocked_until = None;
        true
    }

    /// When [`Route::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.blocked_until
    }

    /// An address that is not proved for long, and in the way, is given up for the last one that was.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.blocked_until.is_none_or(|until| now < until) {
            return;
        }
        self.blocked_until = None;
        if let Some(home) = self.home {
            self.given_up = self.trial.take().map(|trial| (self.address, trial));
            self.address = home;
        }
    }

    fn follow(&mut self, from: SocketAddr, first_number: u64) {
        tracing::debug!(before = %self.address, now = %from, "the peer has a new address");
        let earlier = self.given_up.take().filter(|(address, _)| *address == from);
        let (received, sent) = earlier.map_or((0, 0), |(_, trial)| (trial.received, trial.sent));
        let trial = Trial { received, sent, given: 0, first_number, is_first: false, is_asked: false };
        self.trial = (self.home != Some(from)).then_some(trial);
        self.address = from;
        self.blocked_until = None;
    }

    fn prove(&mut self) {
        self.trial = None;
        self.given_up = None;
        self.home = Some(self.address);
        self.blocked_until = None;
    }
}

/// Most bytes sent to an address that is not proved, for each byte that came from there.
const AMPLIFICATION_MAX: u64 = 3;
/// Most bytes of a packet beside one small message: IPv6 and UDP headers, QUIC's header and tag, an acknowledgement.
const PACKET_OVERHEAD: usize = 120;
/// How long an address may be in the way without being proved.
const TRIAL_MAX: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn route(bytes: u64) -> Route {
        Route::roaming(([192, 0, 2, 1], 1).into(), bytes, Arc::default())
    }

    #[test]
    fn what_may_not_be_sent_waits() {
        let now = Instant::now();
        let mut route = route(100);
        assert!(route.admit(now, &mut vec![1; 200 - 28]));
        let mut datagram = vec![2; 101 - 28];
        assert!(!route.admit(now, &mut datagram) && datagram.is_empty());
        route.received(route.address(), 1);
        let mut datagram = route.take_held().unwrap();
        assert!(route.admit(now, &mut datagram));
        assert_eq!(datagram, [2; 101 - 28]);
    }

    #[test]
    fn the_end_of_the_handshake_proves_where_it_began_only() {
        let mut moved = route(100);
        moved.follow(([192, 0, 2, 2], 2).into(), 0);
        moved.established();
        assert!(moved.trial.is_some());
        let mut stayed = route(100);
        stayed.established();
        assert!(stayed.trial.is_none() && stayed.capacity().is_none());
    }

    #[test]
    fn an_address_that_is_not_in_the_way_any_more_is_not_given_up() {
        let now = Instant::now();
        let mut route = route(100);
        route.established();
        let other = ([192, 0, 2, 2], 2).into();
        route.follow(other, 7);
        route.received(other, 50);
        assert!(!route.admit(now, &mut vec![0; 200]));
        assert_eq!(route.poll_timeout(), Some(now + TRIAL_MAX));
        route.received(other, 50);
        let mut datagram = route.take_held().unwrap();
        assert!(route.admit(now, &mut datagram));
        assert_eq!(route.poll_timeout(), None);
        route.handle_timeout(now + TRIAL_MAX);
        assert_eq!(route.address(), other);
    }

    #[test]
    fn an_address_that_is_in_the_way_is_given_up_and_its_account_is_kept() {
        let now = Instant::now();
        let mut route = route(100);
        route.established();
        let (home, other) = (route.address(), ([192, 0, 2, 2], 2).into());
        route.follow(other, 7);
        route.received(other, 50);
        assert!(route.admit(now, &mut vec![0; 100]) && !route.admit(now, &mut vec![0; 100]));
        route.handle_timeout(now + TRIAL_MAX);
        assert_eq!((route.address(), route.poll_timeout()), (home, None));
        route.follow(other, 9);
        let trial = route.trial.unwrap();
        assert_eq!((trial.received, trial.sent, trial.first_number), (50, 128, 9));
    }
}
