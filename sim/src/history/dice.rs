//! Short names for the draws of a history.

use crate::rng::SimRng;

/// The one stream that a history draws from.
pub(super) struct Dice(SimRng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(SimRng::new(seed, STREAM))
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound as u64) as usize
    }

    pub(super) fn permille(&mut self, permille: usize) -> bool {
        self.below(1_000) < permille
    }

    pub(super) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// Apart from the streams of networks and clocks of the same seed.
const STREAM: u64 = 0x4849_5354;
