//! Why the handling of a frame stops.

use crate::limits::REPLICAS_MAX;
use crate::wire::{Damaged, DecodeError, MessageReader, Refusal, Resource, tag};

/// The peer broke the protocol, or cannot be served. Its session is closed; other sessions continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Its bytes are not a frame.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It refers to something that was never defined.
    #[error("the peer refers to something that was never defined")]
    Dangling,
    /// A message that is not allowed now.
    #[error("the peer sent a message out of turn: {message}")]
    OutOfTurn {
        /// Description of the message.
        message: &'static str,
    },
    /// This side refuses the peer, for this reason.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The session does not exist, or is being closed.
    #[error("there is no such session")]
    UnknownSession,
}

/// Why a session stops handling a frame.
///
/// Four bytes, so that some sixty `?` return it in a register. [`Stop::error`] converts it to a [`PeerError`]
/// with all numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The bytes are not a frame. The reader has the details.
    Damaged,
    Dangling,
    Fenced,
    /// This copy must continue under another id. This is not an error of the peer.
    Fork(Fork),
    /// The peer uses another version of the protocol.
    OtherVersion(u8),
    OutOfTurn(Turn),
    /// There is no capacity for this many replicas.
    TooManyReplicas(u16),
}

/// Why this copy must continue under another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fork {
    /// It was loaded from storage, and the peer has more of its writes than were stored.
    OldCopy,
    /// A peer sent a covered cell with the own id that this copy never wrote.
    OtherTimeLine,
    /// Another copy writes under the same id.
    Twin,
}

/// A message that is not allowed now.
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
    /// `needed` replicas do not fit.
    pub(crate) fn too_many_replicas(needed: usize) -> Self {
        const { assert!(REPLICAS_MAX < u16::MAX as usize) };
        Stop::TooManyReplicas(needed as u16)
    }

    /// The error for the application. `messages` is the reader of the frame, `capacity` the number of
    /// replicas that fit.
    #[cold]
    #[inline(never)]
    pub(crate) fn error(self, messages: &MessageReader<'_>, capacity: usize) -> PeerError {
        match self {
            Stop::Damaged => PeerError::Decode(messages.error()),
            Stop::Dangling => PeerError::Dangling,
            // The replica executes a fork, and does not report it as an error.
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
