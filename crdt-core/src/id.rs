//! Names of things: replicas, peers, documents.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::DOCUMENT_NAME_LEN_MAX;

/// One copy of one document, over one continuous history: 64 random bits.
///
/// An id is never used by two histories. A copy that was wiped, cloned or restored takes a new one
/// (see [`Replica`](crate::Replica)). The core never makes one up: randomness is an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplicaId(u64);

impl ReplicaId {
    /// Nobody's id. Its time in a version vector is that of the last retirement of ids which was taken over.
    pub(crate) const RETIREMENTS: Self = Self(0);

    /// An id from 64 random bits. Zero is nobody's: a replica that is made with it takes 1.
    pub const fn new(random: u64) -> Self {
        Self(random)
    }

    /// The 64 bits.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl ReplicaId {
    /// As it is displayed: 16 hex digits in lower case. Without the formatting of the standard library, which weighs two
    /// kilobytes on a small device.
    pub(crate) fn digits(self) -> [u8; 16] {
        core::array::from_fn(|place| b"0123456789abcdef"[(self.0 >> (60 - 4 * place)) as usize & 0x0f])
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The other end of a session: the public key that the transport authenticated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(pub [u8; 32]);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({:02x}{:02x}{:02x}{:02x}..)", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

/// The name of a document: 1 to 64 bytes of UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentName(heapless::String<DOCUMENT_NAME_LEN_MAX>);

impl DocumentName {
    /// Checks the length.
    ///
    /// # Errors
    /// [`NameError`] when the name is empty or longer than 64 bytes.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError { len: 0 });
        }
        heapless::String::try_from(name).map(Self).map_err(|_| NameError { len: name.len() })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A document name of a length that is not 1 to 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a document name has 1 to {DOCUMENT_NAME_LEN_MAX} bytes, this one has {len}")]
pub struct NameError {
    /// Length of what was given, in bytes.
    pub len: usize,
}
