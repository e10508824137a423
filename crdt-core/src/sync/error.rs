//! Why a frame is not handled any further.

use crate::limits::REPLICAS_MAX;
use crate::wire::{Damaged, DecodeError, MessageReader, Refusal, Resource, tag};

/// The peer broke the protocol: its session is gone, everything else goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Its bytes are not a frame.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It refers to something that this side cannot know.
    #[error("the peer refers to something that was never defined")]
    Dangling,
    /// A message that must not come now.
    #[error("the peer sent a message out of turn: {message}")]
    OutOfTurn {
        /// Which.
        message: &'static str,
    },
    /// It was told why; the same stands here.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// Of another session than any that is open.
    #[error("there is no such session")]
    UnknownSession,
}

/// Why a session handles nothing more of a frame.
///
/// Four bytes: some sixty `?` return it in a register. [`Stop::error`] makes a [`PeerError`] of it, with all numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The bytes are no frame: the reader keeps what is wrong.
    Damaged,
    Dangling,
    Fenced,
    /// This copy must go on under another id. This is no error of the peer's.
    Fork(Fork),
    /// The peer speaks another version than this.
    OtherVersion(u8),
    OutOfTurn(Turn),
    /// There is no capacity for so many replicas.
    TooManyReplicas(u16),
}

/// Why this copy must go on under another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fork {
    /// It came from storage, and the peer holds more of its writes than were stored.
    OldCopy,
    /// A cell of the own past comes back that this copy never wrote.
    OtherTimeLine,
    /// Another copy writes under the same id.
    Twin,
}

/// A message that must not come now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
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
    /// `needed` replicas, where there is no capacity for them.
    pub(crate) fn too_many_replicas(needed: usize) -> Self {
        const { assert!(REPLICAS_MAX < u16::MAX as usize) };
        Stop::TooManyReplicas(needed as u16)
    }

    /// What the application is told. `messages` is the reader of the frame, `capacity` how many replicas there is capacity for.
    #[cold]
    #[inline(never)]
    pub(crate) fn error(self, messages: &MessageReader<'_>, capacity: usize) -> PeerError {
        match self {
            Stop::Damaged => PeerError::Decode(messages.error()),
            Stop::Dangling => PeerError::Dangling,
            // A fork is carried out, and not told as an error.
            Stop::Fenced | Stop::Fork(_) => PeerError::Refused(Refusal::Fenced),
            Stop::OtherVersion(ours) => {
                PeerError::Refused(Refusal::Version { theirs: tag::PROTOCOL_VERSION, ours })
            }
            Stop::OutOfTurn(turn) => PeerError::OutOfTurn { message: turn.message() },
            Stop::TooManyReplicas(needed) => PeerError::Refused(Refusal::Capacity {
                what: Resource::Replicas,
                needed: needed.into(),
                limit: capacity as u64,
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
