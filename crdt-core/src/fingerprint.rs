//! A 64-bit sum that is equal when documents are.
//!
//! The wrapping sum of keyed hashes of the cells that are not tombstones: a cell is added and taken out in O(its
//! length), in any order. Keyed by the document's name, so that a cell that strayed from another document shows.
//! Sources: Bellare, Micciancio, "A New Paradigm for Collision-Free Hashing: Incrementality at Reduced Cost" (1997),
//! AdHash; Aumasson, Bernstein, "SipHash: a fast short-input PRF" (2012). It finds damage and bugs; against a peer
//! that builds collisions on purpose it proves nothing.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::id::DocumentName;
use crate::storage::Stored;

/// The running sum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fingerprint {
    key: u64,
    sum: u64,
}

impl Fingerprint {
    pub(crate) fn new(name: &DocumentName) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0, 0);
        hasher.write(name.as_str().as_bytes());
        Self { key: hasher.finish(), sum: 0 }
    }

    /// The same key, nothing added.
    pub(crate) fn zero(&self) -> Self {
        Self { key: self.key, sum: 0 }
    }

    pub(crate) fn add(&mut self, cell: Stored<'_>) {
        if cell.is_live() {
            self.sum = self.sum.wrapping_add(self.hash(cell));
        }
    }

    pub(crate) fn remove(&mut self, cell: Stored<'_>) {
        if cell.is_live() {
            self.sum = self.sum.wrapping_sub(self.hash(cell));
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.sum
    }

    /// 32 bits of it, different for each salt: two documents whose digests collide once do not collide for ever.
    pub(crate) fn digest(&self, salt: u64) -> u32 {
        self.digest_of(self.sum, salt)
    }

    /// The same, of the sum over other cells.
    pub(crate) fn digest_of(&self, sum: u64, salt: u64) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(self.key, salt);
        hasher.write(&sum.to_le_bytes());
        hasher.finish() as u32
    }

    /// Where a path is among the salted hashes of all paths: 64 bits, evenly spread.
    pub(crate) fn place(&self, path: &str, salt: u64) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.key, salt);
        hasher.write(path.as_bytes());
        hasher.finish()
    }

    /// The part of one cell.
    pub(crate) fn hash(&self, cell: Stored<'_>) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.key, 0);
        hasher.write_u8(cell.path.len() as u8);
        hasher.write(cell.path.as_bytes());
        hasher.write(&cell.stamp.time.as_ms().to_le_bytes());
        hasher.write(&cell.stamp.replica.get().to_le_bytes());
        hasher.write_u8(cell.kind as u8);
        hasher.write(cell.payload);
        hasher.finish()
    }
}
