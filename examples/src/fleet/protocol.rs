//! What the supervisor and its processes say to each other: one JSON object a line, orders on the standard input of a
//! process, reports on its standard output.
//!
//! A process ends when its input ends, so none outlives the supervisor. Its errors go to the standard error.

use std::net::SocketAddr;
use std::ops::Add;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sim::access_link::Traffic;
use transport_quic::PublicKey;

use super::cells::Cells;

/// What the aggregator's process reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub(crate) enum AggregatorReport {
    /// Devices may connect, and its control socket is open.
    Ready {
        /// Its UDP address.
        addr: SocketAddr,
        /// Its key.
        key: PublicKey,
        /// Its control socket.
        socket: PathBuf,
    },
}

/// What the relay's process is told.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(crate) enum RelayOrder {
    /// Cut a device off.
    Cut {
        /// Its number.
        device: u32,
    },
    /// End that.
    Restore {
        /// Its number.
        device: u32,
    },
    /// Report the traffic.
    Traffic,
}

/// What the relay's process reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub(crate) enum RelayReport {
    /// Each device has its lane.
    Ready {
        /// Where each device sends to.
        lanes: Vec<SocketAddr>,
    },
    /// What each lane has carried so far.
    Traffic {
        /// By device.
        lanes: Vec<Traffic>,
    },
}

/// What the process of an edge node is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(crate) enum EdgeOrder {
    /// Begin to connect.
    Connect,
    /// Change the valve by hand, as somebody at the device would.
    Edit {
        /// The new position.
        valve: i64,
    },
    /// Make the next reports without a pause.
    Hurry,
    /// Report the document.
    Read,
    /// Make no more reports.
    Rest,
    /// Make reports of weather and load.
    Work {
        /// The first one is this.
        turn: u64,
    },
}

/// What the process of an edge node reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub(crate) enum EdgeReport {
    /// The aggregator has it.
    Acknowledged {
        /// All writes up to this one.
        through: u64,
    },
    /// What this process has sent and received so far.
    Cost(Cost),
    /// The document.
    Document {
        /// Its leaves.
        cells: Cells,
    },
    /// It is on the device's disk.
    Durable {
        /// All writes up to this one.
        through: u64,
    },
    /// The link changed.
    Link {
        /// Whether the aggregator is there.
        is_connected: bool,
    },
    /// The store is open.
    Ready {
        /// The key of the device.
        key: PublicKey,
        /// What the store held.
        cells: Cells,
    },
    /// The device rests: no more writes come.
    Resting,
    /// The device is about to write. The writes of a process are numbered in the order of these reports, from 1.
    Writing {
        /// Milliseconds since 1970.
        at_ms: u64,
        /// Which of the reports of weather and load it is; none for an edit.
        turn: Option<u64>,
        /// The cells.
        cells: Cells,
    },
}

/// What one process of a device has sent and received, as its runtime counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Bytes of messages sent, without QUIC, UDP and IP.
    pub sent_payload_bytes: u64,
    /// Bytes of messages received, the same way.
    pub received_payload_bytes: u64,
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            sent_payload_bytes: self.sent_payload_bytes + other.sent_payload_bytes,
            received_payload_bytes: self.received_payload_bytes + other.received_payload_bytes,
        }
    }
}
