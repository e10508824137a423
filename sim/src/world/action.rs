//! What can happen to a node, as data: a plan of actions is a scenario.

use crdt_core::DocumentName;

use super::Edit;
use crate::clock::WallClock;
use crate::link_profiles::LinkProfile;
use crate::network::NodeId;
use crate::outages::Cut;

/// Something that happens to a node at a moment of virtual time.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Keeps a copy of the node's disk, to be restored later. A later copy replaces it.
    Backup(NodeId),
    /// The power goes, in the middle of whatever the node does. What was not durable is lost.
    Crash(NodeId),
    /// The node is cut off from the network until [`Action::Heal`].
    Cut(NodeId, Cut),
    /// Ends a cut.
    Heal(NodeId),
    /// The node gets a new public address and is not told.
    Rebind(NodeId),
    /// A device closes its connection, and makes a new one after a pause.
    Reconnect(NodeId),
    /// The node comes back with the disk of its [`Action::Backup`], and does not know it. Without a backup nothing happens.
    Restore(NodeId),
    /// The node's clock is set.
    SetClock(NodeId, WallClock),
    /// The node's link changes.
    SetProfile(NodeId, LinkProfile),
    /// A node that is down comes up again, from what its disk has.
    Start(NodeId),
    /// An application at the node makes a transaction. At a node that is down nothing happens.
    Update {
        /// Where.
        node: NodeId,
        /// Of which document.
        document: DocumentName,
        /// What.
        edits: Vec<Edit>,
    },
    /// The node comes back with an empty disk, and the same key.
    Wipe(NodeId),
}
