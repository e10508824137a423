//! Peers that do not play by the rules: QUIC endpoints that are no links.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Dir, Endpoint,
    EndpointConfig, Event, ServerConfig, StreamId,
};
use ring::{hkdf, hmac};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring as provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use transport_quic::{
    CloseReason, Config, Faults, Identity, Link, LinkEvent, MESSAGE_LEN_MAX, MessageId, PROTOCOL, PublicKey,
};

use crate::pipe::{client_identity, server_identity, server_link};

const STRANGER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)), 999);

/// How a stranger shows itself.
#[derive(Clone, Copy)]
struct Guise {
    /// The key it claims; none to show no key at all.
    claims: Option<PublicKey>,
    protocol: &'static [u8],
}

impl Guise {
    fn honest() -> Self {
        Self { claims: Some(own_identity().public_key()), protocol: PROTOCOL }
    }
}

/// The key whose secret it has.
fn own_identity() -> Identity {
    Identity::from_bytes([0x66; 32])
}

/// A stranger and the link that it talks to.
struct Encounter {
    now: Instant,
    link: Link,
    link_events: Vec<LinkEvent>,
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    lost: Option<ConnectionError>,
}

impl Encounter {
    /// The stranger connects to a server link.
    fn with_server(guise: Guise) -> Self {
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyKey));
        let mut tls = match guise.claims {
            Some(claims) => {
                let key = Arc::new(certified_key(&own_identity(), claims));
                builder.with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)))
            }
            None => builder.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![guise.protocol.to_vec()];
        let tls = QuicClientConfig::try_from(tls).expect("a suite for initial packets");
        let mut endpoint = Endpoint::new(endpoint_config(), None, false, None);
        let now = Instant::now();
        let config = ClientConfig::new(Arc::new(tls));
        let remote = SocketAddr::from(([192, 0, 2, 1], 4433));
        let connection = endpoint.connect(now, config, remote, "peer").expect("a valid address");
        let link = server_link(Config::cat_m1(), 1);
        Self { now, link, link_events: Vec::new(), endpoint, connection: Some(connection), lost: None }.run()
    }

    /// A client link that expects this key connects to the stranger.
    fn with_client(guise: Guise, expected: PublicKey) -> Self {
        let key = Arc::new(certified_key(&own_identity(), guise.claims.expect("a server has a key")));
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_client_cert_verifier(Arc::new(AnyKey))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
        tls.alpn_protocols = vec![guise.protocol.to_vec()];
        let tls = QuicServerConfig::try_from(tls).expect("a suite for initial packets");
        let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&[0; 64]);
        let config = ServerConfig::new(Arc::new(tls), Arc::new(token_key));
        let endpoint = Endpoint::new(endpoint_config(), Some(Arc::new(config)), false, None);
        let now = Instant::now();
        let mut link = Link::client(client_identity(), Config::cat_m1(), [1; 32]);
        let conn = link.connect(now, STRANGER, expected).expect("a valid address");
        link.send(now, conn, b"secret").expect("there is capacity");
        Self { now, link, link_events: Vec::new(), endpoint, connection: None, lost: None }.run()
    }

    /// Lets both speak for ten seconds.
    fn run(mut self) -> Self {
        let mut buffer = Vec::new();
        for _ in 0..100 {
            self.now += Duration::from_millis(100);
            self.stranger_speaks();
            self.link.handle_timeout(self.now);
            self.link_events.extend(std::iter::from_fn(|| self.link.poll_event()));
            while self.link.poll_transmit(self.now, &mut buffer).is_some() {
                self.stranger_receives(&buffer);
            }
        }
        self
    }

    fn stranger_receives(&mut self, datagram: &[u8]) {
        let mut response = Vec::new();
        let from = SocketAddr::from(([192, 0, 2, 1], 4433));
        match self.endpoint.handle(self.now, from, None, None, BytesMut::from(datagram), &mut response) {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut self.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.connection = self.endpoint.accept(incoming, self.now, &mut response, None).ok();
                if self.connection.is_none() {
                    self.link.handle_datagram(self.now, STRANGER, &response);
                }
            }
            Some(DatagramEvent::Response(_)) | None => {}
        }
    }

    fn stranger_speaks(&mut self) {
        let Some((handle, connection)) = &mut self.connection else { return };
        if connection.is_drained() {
            return;
        }
        connection.handle_timeout(self.now);
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            if let Event::ConnectionLost { reason } = event {
                self.lost = Some(reason);
            }
        }
        let mut buffer = Vec::new();
        while connection.poll_transmit(self.now, 1, &mut buffer).is_some() {
            self.link.handle_datagram(self.now, STRANGER, &buffer);
            buffer.clear();
        }
    }

    fn stranger(&mut self) -> &mut Connection {
        &mut self.connection.as_mut().expect("a connection").1
    }

    /// The link noticed, told the stranger why, and has nothing more to do with it.
    fn assert_ended(&self, why: &str) {
        let [LinkEvent::Connected { conn, .. }, rest @ .., LinkEvent::Closed { conn: closed, reason }] =
            &self.link_events[..]
        else {
            panic!("{:?}", self.link_events)
        };
        assert!(rest.is_empty() && conn == closed);
        assert_eq!(*reason, CloseReason::Protocol { by_peer: false, detail: why.into() });
        let Some(ConnectionError::ApplicationClosed(close)) = &self.lost else { panic!("{:?}", self.lost) };
        assert_eq!((close.error_code.into_inner(), &close.reason[..]), (2, why.as_bytes()));
        assert_eq!(self.link.connections().count(), 0);
    }
}

#[test]
fn an_honest_stranger_is_welcome() {
    let mut encounter = Encounter::with_server(Guise::honest());
    let stream = encounter.stranger().streams().open(Dir::Uni).unwrap();
    encounter.stranger().send_stream(stream).write(b"hello").unwrap();
    encounter.stranger().send_stream(stream).finish().unwrap();
    assert!(encounter.stranger().streams().open(Dir::Bi).is_none(), "there is nothing to say there");
    assert!(encounter.stranger().datagrams().max_size().is_none(), "nor there");
    let encounter = encounter.run();
    let [LinkEvent::Connected { peer, .. }, LinkEvent::Message { message, .. }] = &encounter.link_events[..]
    else {
        panic!("{:?}", encounter.link_events)
    };
    assert_eq!((peer, &message[..]), (&own_identity().public_key(), &b"hello"[..]));
}

#[test]
fn a_client_cannot_claim_a_key_without_its_secret() {
    let claims = Some(client_identity().public_key());
    let encounter = Encounter::with_server(Guise { claims, ..Guise::honest() });
    assert_eq!(encounter.link_events, []);
    assert!(encounter.lost.is_some());
    assert_eq!(encounter.link.connections().count(), 0);
    assert_eq!(encounter.link.faults(), Faults { handshakes_refused: 1, ..Faults::default() });
}

#[test]
fn a_client_without_a_key_is_refused() {
    let encounter = Encounter::with_server(Guise { claims: None, ..Guise::honest() });
    assert_eq!(encounter.link_events, []);
    assert!(encounter.lost.is_some());
    assert_eq!(encounter.link.connections().count(), 0);
    assert_eq!(encounter.link.faults(), Faults { handshakes_refused: 1, ..Faults::default() });
}

#[test]
fn a_server_cannot_claim_a_key_without_its_secret() {
    let expected = server_identity().public_key();
    let mut encounter = Encounter::with_client(Guise { claims: Some(expected), ..Guise::honest() }, expected);
    let [LinkEvent::Closed { reason: CloseReason::Protocol { by_peer: false, detail }, .. }] =
        &encounter.link_events[..]
    else {
        panic!("{:?}", encounter.link_events)
    };
    assert!(detail.contains("BadSignature"), "{detail}");
    assert!(encounter.stranger().streams().accept(Dir::Uni).is_none(), "the message never left");
    assert_eq!(encounter.link.faults(), Faults { handshakes_refused: 1, ..Faults::default() });
}

#[test]
fn peers_of_two_versions_part_in_the_handshake() {
    let newer = Guise { protocol: b"godwit/2", ..Guise::honest() };
    let encounter = Encounter::with_server(newer);
    assert_eq!(encounter.link_events, []);
    assert!(encounter.lost.is_some());

    let encounter = Encounter::with_client(newer, own_identity().public_key());
    let [LinkEvent::Closed { reason: CloseReason::Refused { code: 0x178, text }, .. }] =
        &encounter.link_events[..]
    else {
        panic!("{:?}", encounter.link_events)
    };
    assert!(text.contains("protocol") || text.contains("handshake"), "{text}");
}

#[test]
fn a_message_that_is_too_long_ends_the_connection() {
    let mut encounter = Encounter::with_server(Guise::honest());
    let stream = encounter.stranger().streams().open(Dir::Uni).unwrap();
    let message = vec![0; MESSAGE_LEN_MAX + 1];
    assert_eq!(encounter.stranger().send_stream(stream).write(&message).unwrap(), message.len());
    let encounter = encounter.run();
    encounter.assert_ended("a message is longer than 65536 bytes");
    assert_eq!(encounter.link.faults(), Faults { messages_oversized: 1, ..Faults::default() });
}

#[test]
fn a_message_that_is_abandoned_ends_the_connection() {
    let mut encounter = Encounter::with_server(Guise::honest());
    let stream = encounter.stranger().streams().open(Dir::Uni).unwrap();
    encounter.stranger().send_stream(stream).write(b"half a mess").unwrap();
    let mut encounter = encounter.run();
    encounter.stranger().send_stream(stream).reset(7_u8.into()).unwrap();
    let encounter = encounter.run();
    encounter.assert_ended("a message was abandoned half-way");
    assert_eq!(encounter.link.faults(), Faults { messages_broken: 1, ..Faults::default() });
}

/// Whoever stops a stream has not received the message, and QUIC might call it finished all the same.
#[test]
fn a_message_that_is_stopped_is_not_called_delivered() {
    let mut encounter = Encounter::with_server(Guise::honest());
    let conn = encounter.link_events[0].conn();
    // Stopped before all of it can have arrived.
    let id = encounter.link.send(encounter.now, conn, &vec![0; MESSAGE_LEN_MAX]).unwrap();
    assert_eq!(id, MessageId(0));
    let mut buffer = Vec::new();
    assert!(encounter.link.poll_transmit(encounter.now, &mut buffer).is_some());
    encounter.stranger_receives(&buffer);
    let stream = encounter.stranger().streams().accept(Dir::Uni).unwrap();
    assert_eq!(stream, StreamId::new(quinn_proto::Side::Server, Dir::Uni, 0));
    encounter.stranger().recv_stream(stream).stop(7_u8.into()).unwrap();
    let encounter = encounter.run();
    encounter.assert_ended("a message was stopped half-way");
    assert_eq!(encounter.link.faults(), Faults { messages_broken: 1, ..Faults::default() });
}

/// Streams that are never finished must not fill memory: the sum of all is bounded.
#[test]
fn unfinished_messages_are_bounded_by_the_window() {
    let mut encounter = Encounter::with_server(Guise::honest());
    let mut written = 0;
    while let Some(stream) = encounter.stranger().streams().open(Dir::Uni) {
        while let Ok(len) = encounter.stranger().send_stream(stream).write(&[0; 1000]) {
            written += len;
        }
        encounter = encounter.run();
    }
    let window = Config::cat_m1().receive_window_bytes as usize;
    assert!(written <= window + MESSAGE_LEN_MAX, "{written} bytes");
}

fn endpoint_config() -> Arc<EndpointConfig> {
    Arc::new(EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &[7; 64]))))
}

/// The claimed key, and the secret of this identity to sign with.
pub(crate) fn certified_key(secret_of: &Identity, claims: PublicKey) -> CertifiedKey {
    let mut secret = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    secret.extend_from_slice(&secret_of.to_bytes());
    let key = provider::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(secret)).expect("an Ed25519 key");
    let mut spki = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".to_vec();
    spki.extend_from_slice(claims.as_bytes());
    CertifiedKey::new(vec![CertificateDer::from(spki)], key)
}

/// Believes everything.
#[derive(Debug)]
pub(crate) struct AnyKey;

impl ServerCertVerifier for AnyKey {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
