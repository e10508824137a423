//! What a connection and its first message would cost if sessions were resumed: why links do not do it.
//!
//! This is QUIC with the settings of a link and TLS with tickets, over a pipe with the rates and mean delays of the
//! simulator's link profiles. Bytes are IP bytes of both directions; times run from the first packet.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event,
    RandomConnectionIdGenerator, ServerConfig, StreamEvent, TransportConfig,
};
use ring::{hkdf, hmac};
use rustls::NamedGroup;
use rustls::client::{
    AlwaysResolvesClientRawPublicKeys, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::ServerName;
use rustls::server::{AlwaysResolvesServerRawPublicKeys, ServerSessionMemoryCache};
use transport_quic::{Config, PROTOCOL};

use crate::pipe::{client_identity, server_identity, server_link};
use crate::stranger::{AnyKey, certified_key};

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// As links do it: no tickets.
    Cold,
    /// Without a ticket, and one comes for the next time.
    ColdWithTicket,
    /// With a ticket; the message waits for the handshake.
    Resumed,
    /// With a ticket; the message rides on the first packet.
    Early,
}

impl Begin {
    fn has_ticket(self) -> bool {
        matches!(self, Self::Resumed | Self::Early)
    }
}

/// What was measured: bytes of all, time until the server has the message, and until the client knows that.
#[derive(Debug, PartialEq, Eq)]
struct Figure {
    bytes: u64,
    arrived_ms: u128,
    delivered_ms: u128,
}

struct Profile {
    up_bps: u64,
    down_bps: u64,
    up: Duration,
    down: Duration,
    initial_rtt: Duration,
}

const CAT_M1: Profile = Profile {
    up_bps: 93_000,
    down_bps: 75_000,
    up: Duration::from_millis(120),
    down: Duration::from_millis(80),
    initial_rtt: Duration::from_secs(3),
};

const NB_IOT: Profile = Profile {
    up_bps: 16_000,
    down_bps: 20_000,
    up: Duration::from_millis(1_350),
    down: Duration::from_millis(900),
    initial_rtt: Duration::from_secs(10),
};

/// Nothing is saved: with raw public keys a whole handshake fits into datagrams that QUIC pads to 1,200 bytes anyway. Early
/// data arrives a round trip sooner, but QUIC acknowledges it only after a question, so that its receipt comes later than
/// without it, and costs more.
#[test]
fn resumption_saves_no_byte() {
    let figure = |bytes, arrived_ms, delivered_ms| Figure { bytes, arrived_ms, delivered_ms };
    assert_eq!(measure(Begin::Cold, &CAT_M1), figure(3_791, 662, 747));
    assert_eq!(measure(Begin::ColdWithTicket, &CAT_M1), figure(3_884, 662, 757));
    assert_eq!(measure(Begin::Resumed, &CAT_M1), figure(3_884, 662, 757));
    assert_eq!(measure(Begin::Early, &CAT_M1), figure(4_094, 225, 1_545));
    assert_eq!(measure(Begin::Cold, &NB_IOT), figure(3_791, 5_319, 6_240));
    assert_eq!(measure(Begin::ColdWithTicket, &NB_IOT), figure(3_884, 5_319, 6_277));
    assert_eq!(measure(Begin::Resumed, &NB_IOT), figure(3_884, 5_319, 6_277));
    assert_eq!(measure(Begin::Early, &NB_IOT), figure(4_094, 1_964, 12_390));
}

/// A session that nobody can resume cannot bring a revoked key back: each connection proves its key anew, and is reported
/// with it.
#[test]
fn a_server_gives_no_tickets_not_even_to_who_asks() {
    for gives in [true, false] {
        let store = Arc::new(Tickets::default());
        let mut pair = Pair::new(server_config(Begin::ColdWithTicket, &CAT_M1));
        let mut link = server_link(Config::cat_m1(), 9);
        let mut now = Instant::now();
        let client = client_config_with(Resumption::store(store.clone()), true, &CAT_M1);
        pair.client.connection = Some(pair.client.endpoint.connect(now, client, SERVER, "peer").unwrap());
        let mut events = Vec::new();
        let mut buffer = Vec::new();
        for _ in 0..200 {
            now += Duration::from_millis(20);
            events.extend(pair.client.speak(now).into_iter().map(|event| format!("{event:?}")));
            for datagram in pair.client.transmit(now) {
                if gives {
                    pair.server.receive(now, CLIENT, &datagram);
                } else {
                    link.handle_datagram(now, CLIENT, &datagram);
                }
            }
            let _ = pair.server.speak(now);
            for datagram in pair.server.transmit(now) {
                pair.client.receive(now, SERVER, &datagram);
            }
            link.handle_timeout(now);
            let _ = link.poll_event();
            while link.poll_transmit(now, &mut buffer).is_some() {
                pair.client.receive(now, SERVER, &buffer);
            }
        }
        assert!(events.iter().any(|event| event == "Connected"), "{events:?}");
        assert_eq!(
            store.given.load(Relaxed),
            usize::from(gives),
            "the other server shows that a ticket would be seen"
        );
    }
}

/// Sets a connection up and sends 16 bytes, after another connection where a ticket is needed.
fn measure(begin: Begin, profile: &Profile) -> Figure {
    let (client, server) = (client_config(begin, profile), server_config(begin, profile));
    let mut now = Instant::now();
    let mut pair = Pair::new(server);
    if begin.has_ticket() {
        pair.exchange(&mut now, client.clone(), profile, Begin::ColdWithTicket);
        pair.client.connection = None;
        pair.server.connection = None;
    }
    pair.exchange(&mut now, client, profile, begin)
}

struct Pair {
    client: End,
    server: End,
}

struct End {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    /// When the line is free for the next packet.
    free: Instant,
}

impl Pair {
    fn new(server: ServerConfig) -> Self {
        let end = |cid_len: usize, server: Option<Arc<ServerConfig>>, seed| {
            let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &[7; 64])));
            config
                .cid_generator(move || Box::new(RandomConnectionIdGenerator::new(cid_len)))
                .rng_seed(Some([seed; 32]));
            End {
                endpoint: Endpoint::new(Arc::new(config), server, false, None),
                connection: None,
                free: Instant::now(),
            }
        };
        Self { client: end(0, None, 1), server: end(4, Some(Arc::new(server)), 2) }
    }

    /// One connection, one message, and an hour's rest.
    fn exchange(
        &mut self,
        now: &mut Instant,
        client: ClientConfig,
        profile: &Profile,
        begin: Begin,
    ) -> Figure {
        let began = *now;
        let connected = self.client.endpoint.connect(*now, client, SERVER, "peer").unwrap();
        self.client.connection = Some(connected);
        let mut way: BTreeMap<(Instant, u64), (bool, Vec<u8>)> = BTreeMap::new();
        let (mut bytes, mut count) = (0, 0);
        let (mut arrived, mut delivered) = (None, None);
        let mut is_sent = false;
        if begin == Begin::Early {
            let connection = &mut self.client.connection.as_mut().unwrap().1;
            assert!(connection.has_0rtt(), "there is a ticket");
            send(connection);
            is_sent = true;
        }
        loop {
            for is_client in [true, false] {
                let end = if is_client { &mut self.client } else { &mut self.server };
                for event in end.speak(*now) {
                    match event {
                        Event::Connected if is_client && !is_sent => {
                            send(&mut end.connection.as_mut().unwrap().1);
                            is_sent = true;
                        }
                        Event::Stream(StreamEvent::Opened { .. }) => arrived = Some(*now),
                        Event::Stream(StreamEvent::Finished { .. }) => delivered = Some(*now),
                        Event::ConnectionLost { reason } => panic!("{reason}"),
                        _ => {}
                    }
                }
                let (bps, delay) =
                    if is_client { (profile.up_bps, profile.up) } else { (profile.down_bps, profile.down) };
                for datagram in end.transmit(*now) {
                    let ip_bytes = datagram.len() as u64 + 28;
                    bytes += ip_bytes;
                    count += 1;
                    end.free = end.free.max(*now) + Duration::from_micros(ip_bytes * 8_000_000 / bps);
                    way.insert((end.free + delay, count), (is_client, datagram));
                }
            }
            let timeouts = [&mut self.client, &mut self.server].map(End::timeout);
            let arrival = way.first_key_value().map(|(&(at, _), _)| at);
            let next = [arrival, timeouts[0], timeouts[1]].into_iter().flatten().min();
            let Some(next) = next.filter(|&next| next < began + Duration::from_secs(3_600)) else { break };
            *now = next.max(*now);
            while let Some(entry) = way.first_entry()
                && entry.key().0 <= *now
            {
                let (from_client, datagram) = entry.remove();
                if from_client {
                    self.server.receive(*now, CLIENT, &datagram);
                } else {
                    self.client.receive(*now, SERVER, &datagram);
                }
            }
        }
        let connection = &self.client.connection.as_ref().unwrap().1;
        assert_eq!(connection.accepted_0rtt(), begin.has_ticket(), "whether the session was resumed");
        let after = |at: Option<Instant>| (at.expect("it came") - began).as_millis();
        Figure { bytes, arrived_ms: after(arrived), delivered_ms: after(delivered) }
    }
}

impl End {
    fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let mut response = Vec::new();
        match self.endpoint.handle(now, from, None, None, BytesMut::from(datagram), &mut response) {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                self.connection.as_mut().unwrap().1.handle_event(event);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.connection = self.endpoint.accept(incoming, now, &mut response, None).ok();
            }
            Some(DatagramEvent::Response(_)) | None => {}
        }
    }

    fn speak(&mut self, now: Instant) -> Vec<Event> {
        let Some((handle, connection)) = &mut self.connection else { return Vec::new() };
        if connection.poll_timeout().is_some_and(|at| at <= now) {
            connection.handle_timeout(now);
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        std::iter::from_fn(|| connection.poll()).collect()
    }

    fn transmit(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let Some((_, connection)) = &mut self.connection else { return Vec::new() };
        let mut datagrams = Vec::new();
        let mut buffer = Vec::new();
        while connection.poll_transmit(now, 1, &mut buffer).is_some() {
            datagrams.push(std::mem::take(&mut buffer));
        }
        datagrams
    }

    fn timeout(&mut self) -> Option<Instant> {
        self.connection.as_mut()?.1.poll_timeout()
    }
}

fn send(connection: &mut Connection) {
    let stream = connection.streams().open(Dir::Uni).unwrap();
    assert_eq!(connection.send_stream(stream).write(&[7; 16]).unwrap(), 16);
    connection.send_stream(stream).finish().unwrap();
}

fn client_config(begin: Begin, profile: &Profile) -> ClientConfig {
    let resumption =
        if begin == Begin::Cold { Resumption::disabled() } else { Resumption::in_memory_sessions(8) };
    client_config_with(resumption, begin.has_ticket(), profile)
}

fn client_config_with(resumption: Resumption, has_early_data: bool, profile: &Profile) -> ClientConfig {
    let key = Arc::new(certified_key(&client_identity(), client_identity().public_key()));
    let mut tls = rustls::ClientConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyKey))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
    tls.enable_sni = false;
    tls.alpn_protocols = vec![PROTOCOL.to_vec()];
    tls.resumption = resumption;
    tls.enable_early_data = has_early_data;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(transport(profile));
    config
}

fn server_config(begin: Begin, profile: &Profile) -> ServerConfig {
    let key = Arc::new(certified_key(&server_identity(), server_identity().public_key()));
    let mut tls = rustls::ServerConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(AnyKey))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
    tls.alpn_protocols = vec![PROTOCOL.to_vec()];
    tls.send_tls13_tickets = usize::from(begin != Begin::Cold);
    tls.session_storage = ServerSessionMemoryCache::new(8);
    tls.max_early_data_size = if begin == Begin::Cold { 0 } else { u32::MAX };
    let tls = QuicServerConfig::try_from(tls).unwrap();
    let mut config =
        ServerConfig::new(Arc::new(tls), Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&[0; 64])));
    let mut tokens = quinn_proto::ValidationTokenConfig::default();
    tokens.sent(0);
    config.transport_config(transport(profile)).validation_token_config(tokens);
    config
}

fn transport(profile: &Profile) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .mtu_discovery_config(None)
        .max_idle_timeout(None)
        .initial_rtt(profile.initial_rtt)
        .max_concurrent_uni_streams(256_u32.into())
        .max_concurrent_bidi_streams(0_u8.into())
        .send_fairness(false)
        .datagram_receive_buffer_size(None)
        .enable_segmentation_offload(false);
    Arc::new(transport)
}

fn crypto() -> Arc<CryptoProvider> {
    let mut crypto = provider::default_provider();
    crypto.cipher_suites = vec![provider::cipher_suite::TLS13_AES_128_GCM_SHA256];
    crypto.kx_groups = vec![provider::kx_group::X25519];
    Arc::new(crypto)
}

/// Counts the tickets that come.
#[derive(Debug, Default)]
struct Tickets {
    given: AtomicUsize,
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {
        self.given.fetch_add(1, Relaxed);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 5000);
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 4433);
