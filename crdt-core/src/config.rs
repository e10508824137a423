//! The configuration of a replica.

use crate::limits::{ADMISSION_AHEAD_MS, FRAME_LEN_MAX};
use crate::size::Limits;

/// The role of a replica towards others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The peer of all members: verifies their copies, admits stamps by its own clock, and decides what may
    /// be forgotten.
    Aggregator,
    /// A device or a program that syncs with an aggregator.
    Member,
    /// A member that also syncs with other members. It takes a new id after each load, because they cannot
    /// verify it.
    Mesh,
}

/// The configuration of a replica.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Its role towards others.
    pub role: Role,
    /// Most cells and bytes.
    pub limits: Limits,
    /// An aggregator refuses stamps that are further ahead of its clock than this, in milliseconds.
    pub admission_ahead_ms: u64,
    /// Longest frame that this side accepts, in bytes; its Open announces it to peers. It is rounded down to
    /// a power of two, and is at least [`FRAME_LEN_MIN`](crate::limits::FRAME_LEN_MIN).
    ///
    /// The longest cell of the document must fit, with some 40 bytes beside its path and value: a peer that
    /// has a longer one stops sending, and reports [`Event::ShortBuffer`](crate::Event::ShortBuffer). The
    /// limit does not apply to what an initiator sends before the responder's Open arrives, so a small device
    /// should be the initiator.
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
