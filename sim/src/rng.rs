//! Seeded randomness: every draw of a run follows from one `u64`.
//!
//! The generator is ChaCha with 8 rounds (D. J. Bernstein, "ChaCha, a variant of Salsa20", 2008) from the `rand_chacha`
//! crate: its output is fixed by the algorithm, and it has 2^64 independent streams per key, so each link direction gets
//! its own and a node that is added does not disturb the draws of the others. The conversions from raw output to
//! probabilities and ranges are done here and not by `rand`, whose distributions may change between versions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// One stream of seeded random numbers. About 320 bytes.
#[derive(Clone, Debug)]
pub struct SimRng(ChaCha8Rng);

impl SimRng {
    /// Stream number `stream` of the run with this `seed`. Streams with different numbers are independent.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..].copy_from_slice(KEY_LABEL);
        let mut inner = ChaCha8Rng::from_seed(key);
        inner.set_stream(stream);
        Self(inner)
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, by the multiply-shift method (D. Lemire, "Fast Random Integer Generation in an
    /// Interval", 2019, without its rejection step: the bias is at most `bound / 2^64`). Zero if `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the product of two 64-bit numbers has 64 bits above the 64th")
    }

    /// True with this `probability`. Draws nothing for 0 and 1.
    pub fn chance(&mut self, probability: Probability) -> bool {
        match probability.ppm() {
            0 => false,
            Probability::ONE_PPM => true,
            ppm => self.below(Probability::ONE_PPM.into()) < u64::from(ppm),
        }
    }

    /// Fills `bytes` with random bits, for keys and ids of simulated nodes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

/// A probability from 0 to 1, in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Probability(u32);

impl Probability {
    /// Never.
    pub const NEVER: Self = Self(0);
    /// Always.
    pub const ALWAYS: Self = Self(Self::ONE_PPM);

    const ONE_PPM: u32 = 1_000_000;

    /// `ppm` parts per million, for constants.
    ///
    /// # Panics
    ///
    /// Above one million; in a constant that is a build error.
    #[must_use]
    pub const fn from_ppm(ppm: u32) -> Self {
        match Self::try_from_ppm(ppm) {
            Ok(probability) => probability,
            Err(_) => panic!("a probability is at most 1,000,000 parts per million"),
        }
    }

    /// `ppm` parts per million.
    ///
    /// # Errors
    ///
    /// [`ProbabilityError`] above one million.
    pub const fn try_from_ppm(ppm: u32) -> Result<Self, ProbabilityError> {
        if ppm > Self::ONE_PPM { Err(ProbabilityError { ppm }) } else { Ok(Self(ppm)) }
    }

    /// `percent` of a hundred, for constants.
    ///
    /// # Panics
    ///
    /// Above one hundred; in a constant that is a build error.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self::from_ppm(percent.saturating_mul(10_000))
    }

    /// Parts per million.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Probability {
    type Error = ProbabilityError;

    fn try_from(ppm: u32) -> Result<Self, ProbabilityError> {
        Self::try_from_ppm(ppm)
    }
}

impl From<Probability> for u32 {
    fn from(probability: Probability) -> Self {
        probability.ppm()
    }
}

/// A number that is no probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{ppm} parts per million is no probability: the limit is 1000000")]
pub struct ProbabilityError {
    /// What was given, in parts per million.
    pub ppm: u32,
}

/// Fills the key after the seed, so that nothing else that keys ChaCha with a bare seed draws the same numbers.
const KEY_LABEL: &[u8; 24] = b"godwit simulation seed 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, stream| {
            let mut rng = SimRng::new(seed, stream);
            [rng.next_u64(), rng.next_u64()]
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }

    #[test]
    fn chance_hits_as_often_as_it_says() {
        let mut rng = SimRng::new(3, 0);
        let hits = (0..100_000).filter(|_| rng.chance(Probability::percent(5))).count();
        assert!((4_700..5_300).contains(&hits), "{hits} of 100000 at 5 %");
        assert!(!rng.chance(Probability::NEVER));
        assert!(rng.chance(Probability::ALWAYS));
        assert!((0..1_000).all(|_| rng.below(3) < 3));
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn more_than_certain_is_refused_with_the_number() {
        let error = Probability::try_from_ppm(1_000_001).unwrap_err();
        assert_eq!(error.to_string(), "1000001 parts per million is no probability: the limit is 1000000");
        assert!(serde_json::from_str::<Probability>("1000001").is_err());
        assert_eq!(serde_json::from_str::<Probability>("250").unwrap(), Probability::from_ppm(250));
    }
}
