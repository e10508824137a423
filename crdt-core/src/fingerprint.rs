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
        Self { key: sip_hash((0, 0), &mut |hasher| hasher.write(name.as_str().as_bytes())), sum: 0 }
    }

    /// The same key, nothing added.
    pub(crate) fn zero(&self) -> Self {
        Self { key: self.key, sum: 0 }
    }

    /// Whether both are of documents with one name.
    pub(crate) fn has_key_of(&self, other: &Self) -> bool {
        self.key == other.key
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
        sip_hash((self.key, salt), &mut |hasher| hasher.write(&sum.to_le_bytes())) as u32
    }

    /// Where a path is among the salted hashes of all paths: 64 bits, evenly spread.
    pub(crate) fn place(&self, path: &str, salt: u64) -> u64 {
        sip_hash((self.key, salt), &mut |hasher| hasher.write(path.as_bytes()))
    }

    /// The part of one cell.
    pub(crate) fn hash(&self, cell: Stored<'_>) -> u64 {
        sip_hash((self.key, 0), &mut |hasher| {
            hasher.write(&[cell.path.len() as u8]);
            hasher.write(cell.path.as_bytes());
            // In one piece: taking a piece costs more than its bytes.
            let mut head = [0; 17];
            head[..8].copy_from_slice(&cell.stamp.time.as_ms().to_le_bytes());
            head[8..16].copy_from_slice(&cell.stamp.replica.get().to_le_bytes());
            head[16] = cell.kind as u8;
            hasher.write(&head);
            hasher.write(cell.payload);
        })
    }
}

/// The keyed hash of what `feed` writes. In one place: it takes half a kilobyte of flash.
#[inline(never)]
pub(crate) fn sip_hash(keys: (u64, u64), feed: &mut dyn FnMut(&mut SipHasher13)) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(keys.0, keys.1);
    feed(&mut hasher);
    hasher.finish()
}
