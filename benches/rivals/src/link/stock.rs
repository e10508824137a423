//! quinn's core as it comes: `TransportConfig::default()`, `EndpointConfig::new`, rustls with `ring`, and self-signed
//! certificates as quinn's book shows them (chapter "Certificates", with rcgen), here for both sides, because both sides
//! of ours prove who they are.
//!
//! A message is a finished unidirectional stream, as with ours. The default idle timeout of 30 s ends a silent connection;
//! the device then connects anew when it has something to say. Certificates are of Ed25519, so that lengths repeat.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use benches::link::{Transport, TransportEvent};
use bytes::BytesMut;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event,
    ServerConfig, StreamEvent, StreamId,
};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig as TlsClient, ServerConfig as TlsServer};

use super::certificate::{SelfSigned, provider};

/// An endpoint with its connections, of which the newest counts.
pub struct Stock {
    endpoint: Endpoint,
    client: Option<ClientConfig>,
    connections: HashMap<ConnectionHandle, Connection>,
    current: Option<ConnectionHandle>,
    /// Streams of the peer on the current connection that are not complete or not in turn, by their index.
    incoming: BTreeMap<u64, Incoming>,
    next: u64,
    events: VecDeque<TransportEvent>,
    responses: Vec<(SocketAddr, Vec<u8>)>,
}

#[derive(Default)]
struct Incoming {
    bytes: Vec<u8>,
    is_complete: bool,
}

impl Stock {
    /// A device and an aggregator that trust each other's certificates.
    pub fn pair() -> (Self, Self) {
        let (device, cloud) = (SelfSigned::ed25519("device", 1), SelfSigned::ed25519("localhost", 2));
        let device_crypto = TlsClient::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3")
            .with_root_certificates(cloud.as_root())
            .with_client_auth_cert(device.chain(), device.key())
            .expect("a key with its certificate");
        let verifier = WebPkiClientVerifier::builder_with_provider(device.as_root().into(), provider())
            .build()
            .expect("a root certificate");
        let cloud_crypto = TlsServer::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_single_cert(cloud.chain(), cloud.key())
            .expect("a key with its certificate");
        let client = QuicClientConfig::try_from(device_crypto).expect("TLS 1.3 is on");
        let server = QuicServerConfig::try_from(cloud_crypto).expect("TLS 1.3 is on");
        let server = Arc::new(ServerConfig::with_crypto(Arc::new(server)));
        (Self::new(Some(ClientConfig::new(Arc::new(client))), None, 6), Self::new(None, Some(server), 7))
    }

    fn new(client: Option<ClientConfig>, server: Option<Arc<ServerConfig>>, seed: u8) -> Self {
        let mut config = EndpointConfig::default();
        config.rng_seed(Some([seed; 32]));
        Self {
            endpoint: Endpoint::new(Arc::new(config), server, true, None),
            client,
            connections: HashMap::new(),
            current: None,
            incoming: BTreeMap::new(),
            next: 0,
            events: VecDeque::new(),
            responses: Vec::new(),
        }
    }

    fn take(&mut self, handle: ConnectionHandle, connection: Connection) {
        self.connections.insert(handle, connection);
        self.current = Some(handle);
        self.incoming.clear();
        self.next = 0;
    }

    /// After anything happened to a connection.
    fn settle(&mut self, handle: ConnectionHandle) {
        let is_current = self.current == Some(handle);
        let Some(connection) = self.connections.get_mut(&handle) else { return };
        let mut is_drained = false;
        while let Some(event) = connection.poll_endpoint_events() {
            is_drained |= event.is_drained();
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            match event {
                Event::Connected if is_current => self.events.push_back(TransportEvent::Connected),
                Event::ConnectionLost { .. } if is_current => {
                    self.current = None;
                    self.events.push_back(TransportEvent::Closed);
                }
                Event::Stream(StreamEvent::Finished { .. }) if is_current => {
                    self.events.push_back(TransportEvent::Delivered);
                }
                _ => {}
            }
        }
        if is_current {
            self.read(handle);
        }
        if is_drained {
            self.connections.remove(&handle);
        }
    }

    fn read(&mut self, handle: ConnectionHandle) {
        let Some(connection) = self.connections.get_mut(&handle) else { return };
        while let Some(stream) = connection.streams().accept(Dir::Uni) {
            self.incoming.insert(stream.index(), Incoming::default());
        }
        let peer = !connection.side();
        for (index, incoming) in self.incoming.iter_mut().filter(|(_, incoming)| !incoming.is_complete) {
            let mut stream = connection.recv_stream(StreamId::new(peer, Dir::Uni, *index));
            let Ok(mut chunks) = stream.read(true) else { continue };
            while let Ok(chunk) = chunks.next(usize::MAX) {
                match chunk {
                    Some(chunk) => incoming.bytes.extend_from_slice(&chunk.bytes),
                    None => {
                        incoming.is_complete = true;
                        break;
                    }
                }
            }
            // Whoever drives this polls for transmits after every event.
            let _ = chunks.finalize();
        }
        while self.incoming.get(&self.next).is_some_and(|incoming| incoming.is_complete) {
            let message = self.incoming.remove(&self.next).map(|incoming| incoming.bytes).unwrap_or_default();
            self.events.push_back(TransportEvent::Message(message));
            self.next += 1;
        }
    }
}

impl Transport for Stock {
    fn connect(&mut self, now: Instant, remote: SocketAddr) {
        let Some(client) = self.client.clone() else { return };
        let (handle, connection) =
            self.endpoint.connect(now, client, remote, "localhost").expect("an address that can be reached");
        self.take(handle, connection);
    }

    fn send(&mut self, _now: Instant, message: &[u8]) {
        let Some(handle) = self.current else { return };
        let Some(connection) = self.connections.get_mut(&handle) else { return };
        let stream = connection.streams().open(Dir::Uni).expect("few messages are under way at once");
        let mut stream = connection.send_stream(stream);
        let written = stream.write(message).expect("a stream that was just opened");
        assert_eq!(written, message.len(), "the send window holds the frames of a small document");
        stream.finish().expect("a stream that was just opened");
    }

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let mut response = Vec::new();
        match self.endpoint.handle(now, from, None, None, BytesMut::from(datagram), &mut response) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(connection) = self.connections.get_mut(&handle) {
                    connection.handle_event(event);
                }
                self.settle(handle);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                if let Ok((handle, connection)) = self.endpoint.accept(incoming, now, &mut response, None) {
                    self.take(handle, connection);
                    self.settle(handle);
                }
            }
            Some(DatagramEvent::Response(_)) => self.responses.push((from, response)),
            None => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let due = |connection: &mut Connection| connection.poll_timeout().is_some_and(|at| at <= now);
        let handles: Vec<_> =
            self.connections.iter_mut().filter_map(|(&handle, c)| due(c).then_some(handle)).collect();
        for handle in handles {
            if let Some(connection) = self.connections.get_mut(&handle) {
                connection.handle_timeout(now);
            }
            self.settle(handle);
        }
    }

    fn poll_event(&mut self) -> Option<TransportEvent> {
        self.events.pop_front()
    }

    fn poll_transmit(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<SocketAddr> {
        buffer.clear();
        if let Some((to, response)) = self.responses.pop() {
            buffer.extend_from_slice(&response);
            return Some(to);
        }
        let mut handles: Vec<_> = self.connections.keys().copied().collect();
        handles.sort_unstable();
        for handle in handles {
            let transmit = self.connections.get_mut(&handle)?.poll_transmit(now, 1, buffer);
            self.settle(handle);
            if let Some(transmit) = transmit {
                return Some(transmit.destination);
            }
        }
        None
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.connections.values_mut().filter_map(Connection::poll_timeout).min()
    }

    fn acknowledges_durable_only(&self) -> bool {
        false
    }
}
