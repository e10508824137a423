//! Self-signed certificates for the rivals that need some.

use std::sync::Arc;

use rcgen::{
    Certificate, CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SerialNumber,
    SignatureAlgorithm,
};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate that is its own root, with its key. The serial number has one byte.
pub(super) struct SelfSigned {
    certificate: Certificate,
    key: KeyPair,
}

impl SelfSigned {
    /// Of Ed25519: its signatures all have one length, so lengths repeat.
    pub(super) fn ed25519(name: &str, serial: u64) -> Self {
        Self::new(&PKCS_ED25519, name, serial)
    }

    /// Of ECDSA on P-256, whose keys OpenSSL reads as `ring` writes them. Lengths vary by some bytes.
    pub(super) fn ecdsa(name: &str, serial: u64) -> Self {
        Self::new(&PKCS_ECDSA_P256_SHA256, name, serial)
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    pub(super) fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    pub(super) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub(super) fn as_root(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("an own certificate can be read");
        roots
    }

    fn new(algorithm: &'static SignatureAlgorithm, name: &str, serial: u64) -> Self {
        let key = KeyPair::generate_for(algorithm).expect("the system has random bytes");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a host name");
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.self_signed(&key).expect("an own key signs");
        Self { certificate, key }
    }
}

/// What rustls uses with `ring` unless told otherwise.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
