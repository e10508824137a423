//! Self-signed certificates for the rivals that need some.

use std::sync::Arc;

use rcgen::{Certificate, CertificateParams, KeyPair, PKCS_ED25519, SerialNumber};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate that is its own root, with its key. Of Ed25519, whose signatures all have one length, and with a serial
/// number of one byte: a certificate of a name is always equally long.
pub(super) struct SelfSigned {
    certificate: Certificate,
    key: KeyPair,
}

impl SelfSigned {
    pub(super) fn new(name: &str, serial: u64) -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).expect("the system has random bytes");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a host name");
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.self_signed(&key).expect("an own key signs");
        Self { certificate, key }
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
}

/// What rustls uses with `ring` unless told otherwise.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
