//! What names an element, wherever it stands.

use crate::causal::Stamp;
use crate::limits::ELEMENT_ID_LEN;

/// The bits of an id, of which the key shows the lower 42: 7 characters of the URL-safe base 64 alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ElementId(u64);

impl ElementId {
    /// An id from fresh random bits. Who makes it, its clock, and the id that it planned before are mixed in, in case
    /// the bits are neither fresh nor random.
    pub(super) const fn new(random: u64, now: Stamp, before: Option<ElementId>) -> Self {
        let before = match before {
            Some(id) => mix(id.0),
            None => 0,
        };
        Self(mix(random ^ mix(now.replica.get() ^ mix(now.time.as_ms() ^ before))))
    }

    /// Another one, when this is taken.
    pub(super) const fn next(self) -> Self {
        Self(mix(self.0))
    }

    /// The id as a key.
    pub(super) fn key(self) -> heapless::String<ELEMENT_ID_LEN> {
        let digit = |at: usize| char::from(ALPHABET[(self.0 >> (6 * at)) as usize % ALPHABET.len()]);
        (0..ELEMENT_ID_LEN).map(digit).collect()
    }
}

/// Spreads every bit of the input over all of the output: one step of SplitMix64 (G. Steele et al., "Fast Splittable
/// Pseudorandom Number Generators", 2014, section 4).
pub(super) const fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// RFC 4648, section 5.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
