//! Every workload, in the order of the tables.

use serde_json::Value;

use super::{bytes, heap, merge};
use crate::systems::Contender;

/// A workload.
pub struct Workload {
    /// As the tables call it.
    pub name: &'static str,
    /// What it measures, in a line.
    pub what: &'static str,
    /// Plays it on a system.
    pub run: fn(Contender) -> Measured,
}

/// What a workload gave.
pub struct Measured {
    /// The figure.
    pub figure: Figure,
    /// What is worth telling about it.
    pub note: Option<String>,
    /// What the document was at the end, on both sides; `None` when only a part of the workload was played.
    pub json: Option<Value>,
}

/// A figure with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// Payload bytes of both directions, or bytes of a program.
    Bytes(u64),
    /// Live bytes on the heap.
    HeapBytes(u64),
    /// Messages merged per second.
    PerSecond(u64),
}

impl Figure {
    /// As JSON lines call it.
    pub fn unit(self) -> &'static str {
        match self {
            Figure::Bytes(_) => "bytes",
            Figure::HeapBytes(_) => "heap_bytes",
            Figure::PerSecond(_) => "per_second",
        }
    }

    /// Without its unit.
    pub fn number(self) -> u64 {
        match self {
            Figure::Bytes(n) | Figure::HeapBytes(n) | Figure::PerSecond(n) => n,
        }
    }
}

/// What ours must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// No less than this.
    AtLeast(u64),
    /// No more than this.
    AtMost(u64),
}

impl Target {
    /// Whether `number` reaches it.
    pub fn is_met(self, number: u64) -> bool {
        match self {
            Target::AtLeast(least) => number >= least,
            Target::AtMost(most) => number <= most,
        }
    }
}

/// What ours must reach in `workload`; none where the workload says so itself.
pub fn targets(workload: &str) -> Option<Target> {
    Some(match workload {
        "one_int_in_session" => Target::AtMost(8),
        "one_int_reconnect" | "day_one_key" | "one_int_after_day" | "fleet_idle_reconnect_warm" => {
            Target::AtMost(64)
        }
        "idle_reconnect" => Target::AtMost(48),
        "full_sync" => Target::AtMost(700),
        "day_ten_keys" => Target::AtMost(160),
        "fleet_idle_reconnect" => Target::AtMost(1_600),
        "heap_config_doc" => Target::AtMost(6_000),
        "merge_100k_messages" => Target::AtLeast(1_000_000),
        _ => return None,
    })
}

/// All that are played on systems. `binary_size` is built, not played: see [`crate::binary_size`].
pub const WORKLOADS: [Workload; 13] = [
    Workload {
        name: "one_int_in_session",
        what: "one small int changed, peers in session",
        run: bytes::one_int_in_session,
    },
    Workload {
        name: "one_int_reconnect",
        what: "the same, after a reconnect without kept session state",
        run: bytes::one_int_reconnect,
    },
    Workload { name: "idle_reconnect", what: "reconnect, nothing changed", run: bytes::idle_reconnect },
    Workload { name: "full_sync", what: "all of W1 to an empty peer", run: bytes::full_sync },
    Workload {
        name: "day_one_key",
        what: "86,400 overwrites of one key offline, then sync",
        run: bytes::day_one_key,
    },
    Workload { name: "day_ten_keys", what: "the same over ten keys, interleaved", run: bytes::day_ten_keys },
    Workload {
        name: "one_int_after_day",
        what: "the next small int after that, reconnect",
        run: bytes::one_int_after_day,
    },
    Workload {
        name: "fleet_idle_reconnect",
        what: "100 replicas x 20 own keys, reconnect, nothing changed; the cloud does not remember the device",
        run: bytes::fleet_cold,
    },
    Workload {
        name: "fleet_idle_reconnect_warm",
        what: "the same once more: both remember the other",
        run: bytes::fleet_warm,
    },
    Workload { name: "heap_config_doc", what: "live heap of W1, one copy", run: heap::config_doc },
    Workload {
        name: "heap_before_day",
        what: "the same with ten more keys, written once",
        run: heap::before_day,
    },
    Workload {
        name: "heap_after_day",
        what: "the same after 86,400 overwrites of them",
        run: heap::after_day,
    },
    Workload {
        name: "merge_100k_messages",
        what: "messages of one field each, merged per second",
        run: merge::run,
    },
];
