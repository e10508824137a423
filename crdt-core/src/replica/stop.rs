//! Why a frame is not taken any further.
//!
//! Some sixty `?` hand it up, so it is small enough for a register; what the application is told, with all numbers, is made
//! of it in one place.

use super::PeerError;
use crate::limits::REPLICAS_MAX;
use crate::wire::{Damaged, MessageReader, Refusal, Resource, tag};

/// [`PeerError`] in four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes are no frame: the reader keeps what is wrong.
    Damaged,
    Dangling,
    Fenced,
    /// The peer speaks another version than this.
    OtherVersion(u8),
    OutOfTurn(Turn),
    /// There is no room for so many replicas.
    TooManyReplicas(u16),
}

/// A message that must not come now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    AckOfNothing,
    BeforeOpen,
    DeltaEndInFull,
    FloorAboveClaim,
    FullEndInDelta,
    OpenAgain,
    OtherDocument,
    OtherName,
    RepairOfNobody,
    SecondOpen,
    SecondRepair,
    WrongSide,
}

impl Stop {
    /// `needed` replicas, where there is no room for them.
    pub(super) fn too_many_replicas(needed: usize) -> Self {
        const { assert!(REPLICAS_MAX < u16::MAX as usize) };
        Stop::TooManyReplicas(needed as u16)
    }

    /// What the application is told. `messages` is the reader of the frame, `room` how many replicas there is room for.
    #[cold]
    #[inline(never)]
    pub(super) fn error(self, messages: &MessageReader<'_>, room: usize) -> PeerError {
        match self {
            Stop::Damaged => PeerError::Decode(messages.error()),
            Stop::Dangling => PeerError::Dangling,
            Stop::Fenced => PeerError::Refused(Refusal::Fenced),
            Stop::OtherVersion(ours) => {
                PeerError::Refused(Refusal::Version { theirs: tag::PROTOCOL_VERSION, ours })
            }
            Stop::OutOfTurn(turn) => PeerError::OutOfTurn { message: turn.message() },
            Stop::TooManyReplicas(needed) => PeerError::Refused(Refusal::Capacity {
                what: Resource::Replicas,
                needed: needed.into(),
                limit: room as u64,
            }),
        }
    }
}

impl From<Damaged> for Stop {
    fn from(Damaged: Damaged) -> Self {
        Stop::Damaged
    }
}

impl Turn {
    fn message(self) -> &'static str {
        match self {
            Turn::AckOfNothing => "an Ack of a batch that was never sent",
            Turn::BeforeOpen => "something before Open",
            Turn::DeltaEndInFull => "End of a delta within a full batch",
            Turn::FloorAboveClaim => "a floor above the claim",
            Turn::FullEndInDelta => "End of a full batch within a delta",
            Turn::OpenAgain => "a wish for another Open",
            Turn::OtherDocument => "a frame of another document",
            Turn::OtherName => "an Open of another document",
            Turn::RepairOfNobody => "a step of a repair that nobody began",
            Turn::SecondOpen => "a second Open",
            Turn::SecondRepair => "a second repair in one session",
            Turn::WrongSide => "an Open of the wrong side",
        }
    }
}
