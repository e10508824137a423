//! What a link reports, and the names it uses for it.

use std::fmt;
use std::time::Duration;

use crate::identity::PublicKey;

/// One connection of one link. Never used again for another one of the same link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One message of one connection: the first one sent is 0, the next one is 1, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What happened on a link.
///
/// A connection that was started here gets one `Closed` at its end, whatever happened before; one that a peer started
/// gets it if it was reported as `Connected`. Nothing follows `Closed`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The connection ended.
    Closed {
        /// Which one.
        conn: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// The handshake is complete, and the peer holds the secret of its key.
    Connected {
        /// Which one.
        conn: ConnectionId,
        /// Who it is. On a server nothing says yet that this key is allowed to do anything.
        peer: PublicKey,
        /// Whether it was started here.
        initiated: bool,
    },
    /// The peer's transport acknowledged this message and all before it. What it acknowledges is durable there if it
    /// runs with [`Config::hold_max`](crate::Config::hold_max).
    ///
    /// These come in the order of the messages, and after messages of the peer that came with the acknowledgement.
    /// An acknowledgement that comes with the end of the connection is not reported: a peer that closes says nothing
    /// about what it keeps.
    Delivered {
        /// Which connection.
        conn: ConnectionId,
        /// Which message.
        id: MessageId,
    },
    /// A message from the peer, complete, and in the order in which the peer sent them.
    Message {
        /// From which connection.
        conn: ConnectionId,
        /// Its bytes.
        message: Vec<u8>,
    },
}

impl LinkEvent {
    /// The connection that it is about.
    #[must_use]
    pub fn conn(&self) -> ConnectionId {
        match self {
            Self::Closed { conn, .. }
            | Self::Connected { conn, .. }
            | Self::Delivered { conn, .. }
            | Self::Message { conn, .. } => *conn,
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer's application closed it.
    #[error("closed by the peer: {}", CodeAndText(*code, text))]
    ByPeer {
        /// The application's code; see [`CloseCode`].
        code: u64,
        /// The application's words. They come from the peer: show them, do not act on them.
        text: String,
    },
    /// The handshake got no answer, or never came to its end.
    #[error("no connection after {} s: the address does not answer, or the link is down", after.as_secs_f32())]
    HandshakeTimeout {
        /// How long it was tried.
        after: Duration,
    },
    /// This side closed it.
    #[error("closed here: {}", CodeAndText(u64::from(*code), ""))]
    Local {
        /// The code given to [`Link::close`](crate::Link::close).
        code: u32,
    },
    /// One side did what the protocol forbids; this is a bug, or it is no peer of ours.
    #[error("protocol error seen by {}: {detail}", if *by_peer { "the peer" } else { "this side" })]
    Protocol {
        /// Whether the peer says so, or this side.
        by_peer: bool,
        /// What was wrong, for people.
        detail: String,
    },
    /// The peer refused the connection during its handshake.
    #[error("refused by the peer (code {code:#x}): {text}")]
    Refused {
        /// The transport's code: 0x2 is a server that is full, 0x100 to 0x1ff is a TLS alert.
        code: u64,
        /// What the transport says about it.
        text: String,
    },
    /// The peer does not know this connection any more: it restarted, or it dropped its side. Connect again.
    #[error("the peer restarted or dropped the connection; connect again")]
    Reset,
    /// The system of this side did not take the handshake's packets: there is no way to the address, or a firewall
    /// forbids it.
    #[error("the system does not send to the address: {detail}")]
    Unsent {
        /// What the system says.
        detail: String,
    },
    /// The peer speaks no QUIC version that this side speaks.
    #[error("the peer speaks no QUIC version in common")]
    VersionMismatch,
    /// The server proved a key that is not the expected one. Nothing was sent to it.
    #[error("wrong server key: expected {expected}, but the server has {presented}")]
    WrongServerKey {
        /// The key given to [`Link::connect`](crate::Link::connect).
        expected: PublicKey,
        /// The key of whoever answered.
        presented: PublicKey,
    },
}

/// The codes that both sides' applications agree on. Others may be used; they travel as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum CloseCode {
    /// The work is done.
    Normal = 0,
    /// This key may not do that.
    AccessDenied = 1,
    /// The peer's messages make no sense.
    ProtocolError = 2,
    /// A newer connection of the same peer took its place.
    Replaced = 3,
    /// The process ends; come again later.
    ShuttingDown = 4,
    /// Too much, or too often; come again later.
    Overloaded = 5,
}

impl CloseCode {
    /// The code with this number, if it is one of ours.
    #[must_use]
    pub const fn from_number(code: u64) -> Option<Self> {
        Some(match code {
            0 => Self::Normal,
            1 => Self::AccessDenied,
            2 => Self::ProtocolError,
            3 => Self::Replaced,
            4 => Self::ShuttingDown,
            5 => Self::Overloaded,
            _ => return None,
        })
    }
}

impl From<CloseCode> for u32 {
    fn from(code: CloseCode) -> Self {
        code as Self
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "done",
            Self::AccessDenied => "access denied",
            Self::ProtocolError => "protocol error",
            Self::Replaced => "replaced by a newer connection",
            Self::ShuttingDown => "shutting down",
            Self::Overloaded => "overloaded",
        })
    }
}

/// A close code and the text that came with it, for people.
struct CodeAndText<'a>(u64, &'a str);

impl fmt::Display for CodeAndText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match CloseCode::from_number(self.0) {
            Some(code) => write!(f, "{code} (code {})", self.0)?,
            None => write!(f, "code {}", self.0)?,
        }
        if self.1.is_empty() { Ok(()) } else { write!(f, ": {}", self.1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_survives_its_number() {
        for number in 0..100 {
            if let Some(code) = CloseCode::from_number(number) {
                assert_eq!(u64::from(u32::from(code)), number);
            }
        }
        assert_eq!(CloseCode::from_number(1 << 32), None);
    }

    #[test]
    fn a_reason_reads_as_one_line() {
        let reason = CloseReason::ByPeer { code: 1, text: "this key is not enrolled".into() };
        assert_eq!(
            reason.to_string(),
            "closed by the peer: access denied (code 1): this key is not enrolled"
        );
        assert_eq!(CloseReason::Local { code: 77 }.to_string(), "closed here: code 77");
        let reason = CloseReason::HandshakeTimeout { after: Duration::from_secs(60) };
        assert!(reason.to_string().starts_with("no connection after 60 s"), "{reason}");
    }
}
