//! What carries a session, as the driver set it.

use crate::id::PeerId;

/// The driver's settings of a session. They outlive an Open that has to be repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carrier {
    /// The key that the transport authenticated.
    pub(crate) peer: PeerId,
    /// The peer is the aggregator: it can verify this copy.
    pub(crate) with_aggregator: bool,
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
