//! Ours, used as the runtimes use it.

use std::net::SocketAddr;
use std::time::Instant;

use sim::link_profiles;
use transport_quic::{Config, ConnectionId, Identity, Link, LinkEvent, PublicKey};

use super::{Transport, TransportEvent};

/// A [`transport_quic::Link`] with one connection.
#[derive(Debug)]
pub struct Ours {
    link: Link,
    server: PublicKey,
    conn: Option<ConnectionId>,
}

impl Ours {
    /// A device, with the settings for its link.
    pub fn device(link: link_profiles::Link) -> Self {
        Self::new(Link::client(Identity::from_bytes([1; 32]), config(link), [3; 32]))
    }

    /// An aggregator.
    pub fn cloud(link: link_profiles::Link) -> Self {
        Self::new(Link::server(cloud_identity(), config(link), [4; 32], [5; 32]))
    }

    /// What the link's own ledger says: IP bytes, both ways.
    pub fn ledger_bytes(&self) -> u64 {
        self.link.ledger().bytes()
    }

    fn new(link: Link) -> Self {
        Self { link, server: cloud_identity().public_key(), conn: None }
    }
}

impl Transport for Ours {
    fn connect(&mut self, now: Instant, remote: SocketAddr) {
        self.conn = self.link.connect(now, remote, self.server).ok();
    }

    fn send(&mut self, now: Instant, message: &[u8]) {
        let Some(conn) = self.conn else { return };
        self.link.send(now, conn, message).expect("an open connection takes the frames of a small document");
    }

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.link.handle_datagram(now, from, datagram);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.link.handle_timeout(now);
    }

    fn poll_event(&mut self) -> Option<TransportEvent> {
        while let Some(event) = self.link.poll_event() {
            let conn = event.conn();
            if let LinkEvent::Connected { .. } = event {
                self.conn = Some(conn);
            }
            if self.conn != Some(conn) {
                continue;
            }
            match event {
                LinkEvent::Closed { .. } => {
                    self.conn = None;
                    return Some(TransportEvent::Closed);
                }
                LinkEvent::Connected { .. } => return Some(TransportEvent::Connected),
                LinkEvent::Delivered { .. } => return Some(TransportEvent::Delivered),
                LinkEvent::Message { message, .. } => return Some(TransportEvent::Message(message)),
                _ => {}
            }
        }
        None
    }

    fn poll_transmit(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<SocketAddr> {
        self.link.poll_transmit(now, buffer).map(|transmit| transmit.to)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.link.poll_timeout()
    }

    fn acknowledges_durable_only(&self) -> bool {
        true
    }
}

fn config(link: link_profiles::Link) -> Config {
    match link {
        link_profiles::Link::NbIot => Config::nb_iot(),
        _ => Config::cat_m1(),
    }
}

fn cloud_identity() -> Identity {
    Identity::from_bytes([2; 32])
}
