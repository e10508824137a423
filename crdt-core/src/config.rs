//! How a replica behaves.

use crate::limits::{ADMISSION_AHEAD_MS, FRAME_LEN_MAX};
use crate::size::Limits;

/// What a replica is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everyone's peer: verifies the copies of members, admits stamps by its own clock, and says what may be forgotten.
    Aggregator,
    /// A device or a program that syncs with an aggregator.
    Member,
    /// A member that also syncs with other members: it takes a new id after each load, because those cannot verify it.
    Mesh,
}

/// How a replica behaves. Plain data.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// What it is to the others.
    pub role: Role,
    /// Most cells and bytes.
    pub limits: Limits,
    /// An aggregator refuses stamps that are further ahead of its clock than this, in milliseconds.
    pub admission_ahead_ms: u64,
    /// Longest frame that this side takes, in bytes; its peers learn it from its Open. It is rounded down to a power of two,
    /// and is at least [`FRAME_LEN_MIN`](crate::limits::FRAME_LEN_MIN).
    ///
    /// The longest cell of the document must fit, with some 40 bytes beside its path and value: a peer that holds a longer
    /// one stops sending, and tells its application ([`Event::ShortBuffer`](crate::Event::ShortBuffer)). What an initiator
    /// sends before the responder's Open arrives is not bound by this: a small device connects, it is not connected to.
    pub frame_len_max: usize,
}

impl Config {
    /// The defaults for a role.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            limits: Limits::default(),
            admission_ahead_ms: ADMISSION_AHEAD_MS,
            frame_len_max: FRAME_LEN_MAX,
        }
    }
}
