//! The name and rank of a transaction.

use core::cmp::Ordering;
use core::fmt;

use crate::id::ReplicaId;
use crate::time::Time;

/// A hybrid logical time and the replica that wrote: identity and rank of one transaction, for ever.
///
/// Ordered by time, then replica id. Source: Kulkarni, Demirbas, Madappa, Avva, Leone, "Logical Physical Clocks and
/// Consistent Snapshots in Globally Distributed Databases" (2014). We keep one 48-bit millisecond number where
/// they keep a time and a counter: more than one write in a millisecond runs ahead of the clock, and catches up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// When, by the writer's hybrid clock.
    pub time: Time,
    /// Who.
    pub replica: ReplicaId,
}

impl Stamp {
    /// Below every stamp that a write can have.
    pub const ZERO: Stamp = Stamp { time: Time::ZERO, replica: ReplicaId::new(0) };

    /// A stamp from its parts.
    pub const fn new(time: Time, replica: ReplicaId) -> Self {
        Self { time, replica }
    }
}

impl Ord for Stamp {
    // In one place: derived, it takes a hundred bytes of flash wherever two stamps are compared.
    #[inline(never)]
    fn cmp(&self, other: &Self) -> Ordering {
        self.time.cmp(&other.time).then_with(|| self.replica.cmp(&other.replica))
    }
}

impl PartialOrd for Stamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.time.as_ms(), self.replica)
    }
}
