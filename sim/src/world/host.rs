//! What a process needs from the node that it runs on, and what it tells the world.

use crdt_core::{DocumentName, Moment, ReplicaId, Stamp, Time};
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, SimTime, WallClock};
use crate::rng::SimRng;

/// The number of an application's transaction in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UpdateId(pub(super) usize);

/// The node as its process sees it.
pub(super) struct Host<'a> {
    pub(super) now: SimTime,
    pub(super) clock: Clock,
    pub(super) wall: WallClock,
    pub(super) rng: &'a mut SimRng,
    pub(super) counters: &'a mut Counters,
    pub(super) notes: &'a mut Vec<Note>,
    /// Every update asks for its receipt.
    pub(super) wants_receipts: bool,
    /// A planted bug: see [`Flaw`](super::Flaw).
    pub(super) sends_before_commit: bool,
}

impl Host<'_> {
    /// The time, for the core.
    pub(super) fn moment(&self) -> Moment {
        let now = self.wall.unix_ms(&self.clock, self.now).map(Time::from_clock_ms);
        Moment { now }
    }

    pub(super) fn violation(&mut self, what: String) {
        self.notes.push(Note::Violation(what));
    }
}

/// What the world's oracle is to know.
#[derive(Clone, Debug)]
pub(super) enum Note {
    /// The aggregator has everything that `replica` wrote up to `through`, this node was told.
    Acknowledged {
        document: DocumentName,
        replica: ReplicaId,
        through: Time,
    },
    /// The transport has delivered all that this node has sent.
    Delivered,
    /// These updates are durable at the node that made them.
    Durable {
        updates: Vec<UpdateId>,
    },
    Forked {
        document: DocumentName,
        from: ReplicaId,
        to: ReplicaId,
    },
    LateWrite {
        document: DocumentName,
        original: Stamp,
        reissued: Stamp,
    },
    Violation(String),
    Written {
        update: UpdateId,
        stamp: Stamp,
    },
}

/// What a node has done since the run began, over all its processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Updates made by applications here.
    pub updates: u64,
    /// Of those, the ones that this node was told to be durable at the aggregator.
    pub acknowledged: u64,
    /// Connections that completed their handshake.
    pub connections: u64,
    /// Frames of documents handed to the transport.
    pub frames_sent: u64,
    /// Their bytes: the payload.
    pub payload_bytes_sent: u64,
    /// Frames of documents that the transport delivered.
    pub frames_received: u64,
    /// Their bytes: the payload.
    pub payload_bytes_received: u64,
    /// Times a copy found out that it was an old one, and took a new id.
    pub forks: u64,
    /// Writes that were written again because their rank could not be judged, or their writer was gone.
    pub late_writes: u64,
    /// Batches that the peer refused.
    pub refusals: u64,
    /// Times the node lost its power.
    pub crashes: u64,
    /// Packets that the transport gave to the network.
    pub packets_sent: u64,
    /// Their IP bytes.
    pub ip_bytes_sent: u64,
    /// Packets that the transport was given.
    pub packets_received: u64,
    /// Their IP bytes.
    pub ip_bytes_received: u64,
}

impl Counters {
    /// What has happened since `earlier`, a copy of the same node's counters.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            updates: self.updates - earlier.updates,
            acknowledged: self.acknowledged - earlier.acknowledged,
            connections: self.connections - earlier.connections,
            frames_sent: self.frames_sent - earlier.frames_sent,
            payload_bytes_sent: self.payload_bytes_sent - earlier.payload_bytes_sent,
            frames_received: self.frames_received - earlier.frames_received,
            payload_bytes_received: self.payload_bytes_received - earlier.payload_bytes_received,
            forks: self.forks - earlier.forks,
            late_writes: self.late_writes - earlier.late_writes,
            refusals: self.refusals - earlier.refusals,
            crashes: self.crashes - earlier.crashes,
            packets_sent: self.packets_sent - earlier.packets_sent,
            ip_bytes_sent: self.ip_bytes_sent - earlier.ip_bytes_sent,
            packets_received: self.packets_received - earlier.packets_received,
            ip_bytes_received: self.ip_bytes_received - earlier.ip_bytes_received,
        }
    }

    /// IP bytes in both directions, as the transport counts them.
    #[must_use]
    pub fn ip_bytes(&self) -> u64 {
        self.ip_bytes_sent + self.ip_bytes_received
    }

    /// Bytes of frames in both directions.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes_sent + self.payload_bytes_received
    }
}
