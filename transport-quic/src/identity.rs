//! Who a peer is: an Ed25519 key pair.
//!
//! There are no certificates and no names. A peer proves that it holds the secret of its public key (RFC 7250 raw
//! public keys in the TLS 1.3 handshake, both ways), and the public key is its identity.

use std::fmt;
use std::str::FromStr;

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Length of an Ed25519 public key and of its secret, in bytes.
pub const KEY_LEN: usize = 32;

/// An Ed25519 key pair: the secret that this process proves itself with, and the public key that others know it by.
///
/// `Debug` shows the public key only.
#[derive(Clone)]
pub struct Identity {
    secret: [u8; KEY_LEN],
    public: PublicKey,
}

impl Identity {
    /// A new identity from the operating system's random source.
    ///
    /// # Errors
    /// The random source's error, on a system that has none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut secret = [0; KEY_LEN];
        getrandom::fill(&mut secret)?;
        Ok(Self::from_bytes(secret))
    }

    /// The identity of this 32-byte secret (the Ed25519 seed). Every value is a valid secret; a new one must be
    /// unpredictable.
    #[must_use]
    pub fn from_bytes(secret: [u8; KEY_LEN]) -> Self {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(&secret).expect("a seed of 32 bytes is an Ed25519 secret");
        let public = pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes");
        Self { secret, public: PublicKey(public) }
    }

    /// The secret, to be stored where only this process can read it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; KEY_LEN] {
        self.secret
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("public", &self.public).finish_non_exhaustive()
    }
}

/// An Ed25519 public key: the name of a peer.
///
/// The text form is 64 lower-case hexadecimal digits; upper case is read too. `serde` writes the text form into
/// readable formats and the 32 bytes into binary ones.
///
/// ```
/// use transport_quic::{Identity, PublicKey};
///
/// let key = Identity::from_bytes([7; 32]).public_key();
/// assert_eq!(key.to_string().parse::<PublicKey>(), Ok(key));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; KEY_LEN]);

impl PublicKey {
    /// The 32 bytes of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let digits = text.chars().count();
        let mut key = [0; KEY_LEN];
        for (at, digit) in text.chars().enumerate() {
            let value = digit.to_digit(16).ok_or(ParseKeyError::Digit { digit, at })?;
            if let Some(byte) = key.get_mut(at / 2) {
                *byte = (*byte << 4) | value as u8;
            }
        }
        if digits != 2 * KEY_LEN {
            return Err(ParseKeyError::Length { digits });
        }
        Ok(Self(key))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(TextVisitor)
        } else {
            <[u8; KEY_LEN]>::deserialize(deserializer).map(Self)
        }
    }
}

/// A text is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseKeyError {
    /// A character that is no hexadecimal digit.
    #[error("a key has hexadecimal digits only, but character {at} is {digit:?}")]
    Digit {
        /// The character.
        digit: char,
        /// Its place, counted from 0.
        at: usize,
    },
    /// Too few or too many digits.
    #[error("a key has 64 hexadecimal digits, but here are {digits}")]
    Length {
        /// How many there are.
        digits: usize,
    },
}

struct TextVisitor;

impl de::Visitor<'_> for TextVisitor {
    type Value = PublicKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a public key of 64 hexadecimal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PublicKey, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_its_bytes() {
        let identity = Identity::from_bytes([3; 32]);
        assert_eq!(Identity::from_bytes(identity.to_bytes()).public_key(), identity.public_key());
        assert_ne!(Identity::generate().unwrap().public_key(), Identity::generate().unwrap().public_key());
    }

    #[test]
    fn the_secret_is_not_shown() {
        let shown = format!("{:?}", Identity::from_bytes([0xab; 32]));
        assert!(!shown.contains("abab") && !shown.contains("171"), "{shown}");
    }

    /// RFC 8032, section 7.1, test 1.
    #[test]
    fn the_public_key_is_the_one_of_the_standard() {
        let secret: PublicKey =
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60".parse().unwrap();
        assert_eq!(
            Identity::from_bytes(secret.0).public_key().to_string(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
    }

    #[test]
    fn a_key_survives_text_and_serde() {
        let key = Identity::from_bytes([3; 32]).public_key();
        assert_eq!(key.to_string().to_uppercase().parse::<PublicKey>(), Ok(key));
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, format!("\"{key}\""));
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
    }

    #[test]
    fn text_that_is_no_key_says_why() {
        assert_eq!("abc".parse::<PublicKey>(), Err(ParseKeyError::Length { digits: 3 }));
        assert_eq!("a".repeat(65).parse::<PublicKey>(), Err(ParseKeyError::Length { digits: 65 }));
        assert_eq!("".parse::<PublicKey>(), Err(ParseKeyError::Length { digits: 0 }));
        let text = format!("{}\u{e9}{}", "0".repeat(9), "0".repeat(54));
        assert_eq!(text.parse::<PublicKey>(), Err(ParseKeyError::Digit { digit: '\u{e9}', at: 9 }));
        assert!(serde_json::from_str::<PublicKey>("\"zz\"").is_err());
    }
}
