//! The connection of a session, as the driver described it.

use crate::config::Role;
use crate::id::PeerId;

/// The driver's settings of a session. They survive a repeated Open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carrier {
    /// The key that the transport authenticated.
    pub(crate) peer: PeerId,
    pub(crate) peer_role: Role,
    pub(crate) initiator: bool,
    /// The peer is confirmed to be live: its input is not a replay.
    pub(crate) confirmed: bool,
    /// The document's handle on this connection.
    pub(crate) handle: u16,
    /// The transport accepts frames now.
    pub(crate) has_capacity: bool,
    /// Changes are deferred: cells alone do not cause a frame.
    pub(crate) is_deferred: bool,
}

impl Carrier {
    /// The peer is the aggregator: it can verify this copy, and decides on retirements and time.
    // Not inlined: inlining changes what else is inlined, and costs 1 KB of flash.
    #[inline(never)]
    pub(crate) fn with_aggregator(&self) -> bool {
        self.peer_role == Role::Aggregator
    }
}
