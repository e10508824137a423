//! What carries a session, as the driver set it.

use crate::config::Role;
use crate::id::PeerId;

/// The driver's settings of a session. They outlive an Open that has to be repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carrier {
    /// The key that the transport authenticated.
    pub(crate) peer: PeerId,
    pub(crate) peer_role: Role,
    pub(crate) initiator: bool,
    /// The peer is proven to be there now: its input is no replay.
    pub(crate) confirmed: bool,
    /// The document's handle on this connection.
    pub(crate) handle: u16,
    /// The transport takes frames now.
    pub(crate) has_capacity: bool,
    /// Cells alone are no reason to send a frame.
    pub(crate) is_deferred: bool,
}

impl Carrier {
    /// The peer is the aggregator: it can verify this copy, and its word on retirements and time counts.
    // Not inlined: inlined, it changes what else is, and costs 1 KB of flash.
    #[inline(never)]
    pub(crate) fn with_aggregator(&self) -> bool {
        self.peer_role == Role::Aggregator
    }
}
