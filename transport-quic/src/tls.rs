//! TLS 1.3 as this transport uses it: one cipher suite, one key exchange, raw public keys both ways.
//!
//! Raw public keys in TLS are RFC 7250: the certificate message carries a bare `SubjectPublicKeyInfo`. For Ed25519
//! that is a fixed prefix and the key:
//!
//! | offset | size | field                                                        |
//! |--------|------|--------------------------------------------------------------|
//! | 0      | 12   | DER: sequence, algorithm id 1.3.101.112, bit string (RFC 8410) |
//! | 12     | 32   | the public key                                               |

use std::sync::{Arc, OnceLock};

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use ring::signature::{ED25519, UnparsedPublicKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, SignatureScheme,
};

use crate::identity::{Identity, KEY_LEN, PublicKey};

/// The application protocol offered in the handshake (ALPN). It changes when peers of two versions could not
/// understand each other's messages; the handshake then fails instead of the messages.
pub const PROTOCOL: &[u8] = b"godwit/1";

/// The name a client asks for. TLS wants one; it is never sent, because the key is what counts.
pub(crate) const SERVER_NAME: &str = "peer";

/// What is needed to start handshakes: our key as TLS wants it, and the algorithms.
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
}

impl Tls {
    pub(crate) fn new(identity: &Identity) -> Self {
        let mut provider = provider::default_provider();
        provider.cipher_suites = vec![provider::cipher_suite::TLS13_AES_128_GCM_SHA256];
        provider.kx_groups = vec![provider::kx_group::X25519];
        Self { provider: Arc::new(provider), key: Arc::new(certified_key(identity)) }
    }

    /// For one connection: it accepts only a server with the key of this pin.
    pub(crate) fn client(&self, pin: Arc<Pin>) -> Arc<QuicClientConfig> {
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has a TLS 1.3 cipher suite")
            .dangerous()
            .with_custom_certificate_verifier(pin)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(self.key.clone())));
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Arc::new(config.try_into().expect("the provider has the suite of QUIC's initial packets"))
    }

    /// For all connections of a server: any key is accepted if its secret is proved.
    pub(crate) fn server(&self) -> Arc<QuicServerConfig> {
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has a TLS 1.3 cipher suite")
            .with_client_cert_verifier(Arc::new(AnyKey))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(self.key.clone())));
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Arc::new(config.try_into().expect("the provider has the suite of QUIC's initial packets"))
    }
}

/// The key that the server of one connection must have, and the one that it has.
#[derive(Debug)]
pub(crate) struct Pin {
    expected: PublicKey,
    presented: OnceLock<PublicKey>,
}

impl Pin {
    pub(crate) fn new(expected: PublicKey) -> Self {
        Self { expected, presented: OnceLock::new() }
    }

    /// Expected and presented key, where they differ.
    pub(crate) fn mismatch(&self) -> Option<(PublicKey, PublicKey)> {
        let presented = *self.presented.get()?;
        (presented != self.expected).then_some((self.expected, presented))
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented = public_key(end_entity)?;
        // A handshake has one certificate message, so a value set before is this one.
        let _ = self.presented.set(presented);
        if presented == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The server's side: whoever proves a key may connect. What the key may do is the application's business.
#[derive(Debug)]
struct AnyKey;

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        public_key(end_entity).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The key that the peer proved in this handshake, once it is complete.
pub(crate) fn peer_key(connection: &quinn_proto::Connection) -> Option<PublicKey> {
    let identity = connection.crypto_session().peer_identity()?;
    let chain = identity.downcast_ref::<Vec<CertificateDer<'static>>>()?;
    public_key(chain.first()?).ok()
}

fn certified_key(identity: &Identity) -> CertifiedKey {
    let mut secret = PKCS8_PREFIX.to_vec();
    secret.extend_from_slice(&identity.to_bytes());
    let key = provider::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(secret))
        .expect("the prefix and 32 bytes are an Ed25519 key");
    let mut spki = SPKI_PREFIX.to_vec();
    spki.extend_from_slice(identity.public_key().as_bytes());
    CertifiedKey::new(vec![CertificateDer::from(spki)], key)
}

fn public_key(cert: &CertificateDer<'_>) -> Result<PublicKey, Error> {
    let key = cert.strip_prefix(&SPKI_PREFIX).and_then(|key| <[u8; KEY_LEN]>::try_from(key).ok());
    key.map(PublicKey).ok_or_else(|| CertificateError::BadEncoding.into())
}

fn verify_signature(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    if dss.scheme != SignatureScheme::ED25519 {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    UnparsedPublicKey::new(&ED25519, public_key(cert)?.as_bytes())
        .verify(message, dss.signature())
        .map(|()| HandshakeSignatureValid::assertion())
        .map_err(|_| CertificateError::BadSignature.into())
}

/// Before the key in a `SubjectPublicKeyInfo` (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Before the secret in a PKCS #8 private key, version 1 (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
