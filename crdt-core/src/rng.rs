//! Random numbers, for replica ids and the salts of comparisons.
//!
//! A replica gets its source once, and draws from it whenever it needs an id. If two replicas draw the same
//! number, one id may name two histories. So the source must be seeded from the system, or be a hardware
//! generator.

use core::convert::Infallible;

use rand_core::{Rng, TryRng};

use crate::id::ReplicaId;

/// Counts in steps of 2^64 divided by the golden ratio: for tests and examples that must get the same ids in
/// every run. Never for a device.
///
/// ```
/// use crdt_core::CountingRng;
/// use crdt_core::rand_core::Rng;
/// let mut rng = CountingRng::new(7);
/// assert_eq!(rng.next_u64(), 7);
/// assert_ne!(rng.next_u64(), 7);
/// ```
#[derive(Clone, Debug)]
pub struct CountingRng(u64);

impl CountingRng {
    /// `first` is the first number, and so the id of a replica that is made with it.
    pub const fn new(first: u64) -> Self {
        Self(first)
    }
}

impl TryRng for CountingRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        // The step of the low half is odd, too.
        self.try_next_u64().map(|number| number as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let number = self.0;
        self.0 = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        Ok(number)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for part in bytes.chunks_mut(8) {
            let number = self.try_next_u64()?.to_le_bytes();
            part.copy_from_slice(&number[..part.len()]);
        }
        Ok(())
    }
}

/// An id that was never used.
pub(crate) fn fresh_replica_id(rng: &mut impl Rng) -> ReplicaId {
    match ReplicaId::new(rng.next_u64()) {
        // This number is reserved.
        ReplicaId::RETIREMENTS => ReplicaId::new(1),
        id => id,
    }
}
