//! What `status` and `list` tell.

use serde::{Deserialize, Serialize};
use transport_quic::{Faults, Ledger, PublicKey};

/// How an aggregator is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its key.
    pub key: PublicKey,
    /// Milliseconds since the process started.
    pub uptime_ms: u64,
    /// Documents in the store.
    pub documents_stored: usize,
    /// Documents in memory.
    pub documents: Vec<DocumentStatus>,
    /// Devices that may come in.
    pub devices_allowed: usize,
    /// Devices that are here.
    pub devices: Vec<ConnectionStatus>,
    /// What happened since the process started.
    pub counters: CounterStatus,
    /// What the transport dropped or refused since the process started.
    pub faults: Faults,
    /// What waits now.
    pub queues: QueueStatus,
    /// IP bytes since the process started, with headers.
    pub bytes: Ledger,
}

/// A document in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentStatus {
    /// Its name.
    pub name: String,
    /// Cells, tombstones included.
    pub cells: usize,
    /// Bytes of paths and values.
    pub bytes: usize,
    /// Devices that have it open.
    pub sessions: usize,
    /// Bytes of input that wait for a commit.
    pub queued_bytes: usize,
    /// Whether a commit of it is under way.
    pub is_committing: bool,
}

/// A device that is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionStatus {
    /// Its key.
    pub key: PublicKey,
    /// For how long, in milliseconds.
    pub connected_ms: u64,
    /// The documents it has open.
    pub documents: Vec<String>,
    /// Bytes that it has not acknowledged yet, those that wait to be sent included.
    pub unacknowledged_bytes: usize,
}

/// Counts since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterStatus {
    /// Commits.
    pub commits: u64,
    /// Documents in all commits together: above `commits` where one commit served several.
    pub documents_committed: u64,
    /// Frames taken from devices.
    pub frames_received: u64,
    /// Frames made for devices.
    pub frames_sent: u64,
    /// Connections turned away because of an unknown key, and documents that a key may not open.
    pub access_denied: u64,
    /// Connections closed because of what came over them.
    pub protocol_errors: u64,
    /// Connections closed because a bound was reached.
    pub overloads: u64,
    /// Batches that were refused, for instance because a device's clock is ahead.
    pub batches_refused: u64,
    /// Writes that came too late to be judged, and were written again.
    pub late_writes: u64,
    /// Copies that differed although both sides claimed the same.
    pub damages: u64,
}

/// What waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Bytes of input that wait for commits.
    pub input_bytes: usize,
    /// Bytes of frames that wait until devices acknowledge what was sent before.
    pub outbox_bytes: usize,
    /// Requests that wait for an answer.
    pub requests: usize,
    /// Watches that are open.
    pub watches: usize,
}

/// A device that may come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// Its key.
    pub key: PublicKey,
    /// The documents it may open; `None` for every document.
    pub documents: Option<Vec<String>>,
    /// When it last came or went, in milliseconds since 1970.
    pub last_seen_ms: Option<u64>,
    /// Whether it is here.
    pub is_connected: bool,
}
