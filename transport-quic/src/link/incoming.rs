//! What comes in from the socket: to which connection it belongs, or what else it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::{DatagramEvent, Incoming};

use super::{Link, RESPONSES_MAX, Response};
use crate::cause::{Cause, Shares};
use crate::connection::Connection;
use crate::event::ConnectionId;
use crate::faults::Fault;
use crate::hold::Arrival;
use crate::ledger::{header_bytes, ip_bytes};
use crate::roaming::Route;
use crate::witness::{Witness, WitnessedConfig};

impl Link {
    /// Takes a datagram that came in. Nothing in it can do more than end the connection that it proves to belong to.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.note_time(now);
        let bytes = ip_bytes(from, datagram.len());
        if datagram.len() > DATAGRAM_RECEIVED_LEN_MAX {
            self.faults.count(Fault::DatagramOversized);
            return self.count_received(None, bytes);
        }
        let mut response = Vec::new();
        // The marks of explicit congestion notification are left out: reporting them back costs 8 bytes a packet.
        let alias = self.alias(from);
        let is_limited = self.is_limited();
        let event = self.endpoint.handle(now, alias, None, None, BytesMut::from(datagram), &mut response);
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let id = self.by_handle.get(&handle).copied();
                let connection =
                    id.and_then(|id| self.connections.get_mut(&id)).filter(|it| it.accepts(from));
                let Some((id, connection)) = id.zip(connection) else {
                    self.faults.count(Fault::DatagramUnknown);
                    return self.count_received(None, bytes);
                };
                connection.set_now(now);
                let arrival = Arrival { from, event, ip_bytes: bytes, header_bytes: header_bytes(from) };
                if let Some(arrival) = connection.put_off(arrival, is_limited) {
                    self.receive_put_off(id);
                    self.receive(id, arrival);
                }
                self.settle(id);
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.accept(now, incoming, from, bytes),
            Some(DatagramEvent::Response(_)) => {
                self.faults.count(Fault::of_stray(datagram, self.cid_len));
                self.count_received(None, bytes);
                self.respond(from, response);
            }
            None => {
                self.faults.count(Fault::of_stray(datagram, self.cid_len));
                self.count_received(None, bytes);
            }
        }
    }

    /// Gives a connection a datagram, and counts it.
    fn receive(&mut self, id: ConnectionId, arrival: Arrival) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let shares = connection.receive(arrival);
        connection.ledger.received.count(&shares);
        self.ledger.received.count(&shares);
    }

    /// Gives a connection the datagrams that it put off.
    pub(super) fn receive_put_off(&mut self, id: ConnectionId) {
        while let Some(arrival) = self.connections.get_mut(&id).and_then(Connection::take_put_off) {
            self.receive(id, arrival);
        }
    }

    fn accept(&mut self, now: Instant, incoming: Incoming, from: SocketAddr, bytes: u64) {
        if self.handshakes >= self.config.handshakes_max as usize {
            self.faults.count(Fault::HandshakeIgnored);
            self.count_received(None, bytes);
            self.endpoint.ignore(incoming);
            return;
        }
        let mut response = Vec::new();
        if self.connections.len() >= self.config.connections_max as usize {
            self.faults.count(Fault::ConnectionRefused);
            self.count_received(None, bytes);
            let _ = self.endpoint.refuse(incoming, &mut response);
            self.respond(from, response);
            return;
        }
        let witness = Arc::new(Witness::default());
        let server = self.server.as_deref().cloned().map(|mut server| {
            let inner = server.crypto.clone();
            server.crypto = Arc::new(WitnessedConfig { inner, witness: witness.clone() });
            Arc::new(server)
        });
        match self.endpoint.accept(incoming, now, &mut response, server) {
            Ok(quic) => {
                let route = Route::roaming(from, bytes, witness);
                let id = self.insert(now, quic, route, None);
                self.handshakes += 1;
                self.count_received(Some(id), bytes);
                self.settle(id);
            }
            Err(error) => {
                tracing::debug!(%from, error = %error.cause, "handshake failed at its first packet");
                self.count_received(None, bytes);
                if error.response.is_some() {
                    self.faults.count(Fault::HandshakeRefused);
                    self.respond(from, response);
                } else {
                    self.faults.count(Fault::DatagramUnauthentic);
                }
            }
        }
    }

    fn respond(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        // A client has given nobody a token, so nobody would believe its reset: what comes late of a connection that it has
        // abandoned, or from a stranger, would only cost it as many bytes again.
        if self.server.is_none() {
            return;
        }
        // Whoever does not poll while strangers knock need not answer all of them.
        if self.responses.len() < RESPONSES_MAX {
            self.responses.push_back(Response { to, datagram, cause: Cause::Unrouted });
        }
    }

    /// Counts a first datagram of a connection, or one of none.
    fn count_received(&mut self, conn: Option<ConnectionId>, bytes: u64) {
        let shares = match conn.and_then(|id| self.connections.get_mut(&id)) {
            Some(connection) => {
                let shares = Shares::all(Cause::Handshake, bytes);
                connection.ledger.received.count(&shares);
                shares
            }
            None => Shares::all(Cause::Unrouted, bytes),
        };
        self.ledger.received.count(&shares);
    }
}

/// The longest datagram that is looked at, in bytes of UDP payload: what QUIC announces to take.
const DATAGRAM_RECEIVED_LEN_MAX: usize = 1472;
