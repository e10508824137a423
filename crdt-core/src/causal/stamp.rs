//! The name and rank of a transaction.

use core::cmp::Ordering;
use core::fmt;

use crate::id::ReplicaId;
use crate::time::Time;

/// A hybrid logical time and the replica that wrote: the permanent identity and rank of one transaction.
///
/// Ordered by time, then replica id. Source: Kulkarni, Demirbas, Madappa, Avva, Leone, "Logical Physical
/// Clocks and Consistent Snapshots in Globally Distributed Databases" (2014). We use one 48-bit millisecond
/// number instead of a time and a counter: with more than one write per millisecond, stamps run ahead of the
/// clock until it catches up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The time, by the writer's hybrid clock.
    pub time: Time,
    /// The writer.
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
    // Not inlined: the derived code takes a hundred bytes of flash at each comparison.
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
