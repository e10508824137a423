//! What the bytes of a datagram were for.
//!
//! # The rule
//!
//! 1. Before the connection is connected, and where the datagram carries handshake data, all of it is
//!    [`Cause::Handshake`].
//! 2. Each frame that is no message counts under its own cause with the length that such a frame usually has (`*_LEN`
//!    below): QUIC tells how many frames of each kind there are, not how long they are.
//! 3. The rest of the payload is messages. What goes out for the first time, or comes in for the first time, counts
//!    under the cause of its [`MessageKind`]; what goes out again, or was here before, is [`Cause::Retransmissions`].
//! 4. The cause with the most payload is the dominating one (messages win a draw); an acknowledgement is that only where it
//!    is alone, because it rides along wherever something else makes a datagram necessary. The dominating cause pays for
//!    the headers of IP, UDP and QUIC and for the seal, and the packet counts under it.
//!
//! A datagram with nothing in it that counts (damaged, repeated on its way, of no connection) is [`Cause::Unrouted`].
//! So each byte has exactly one cause, and the causes add up to the total.

use std::collections::VecDeque;

use quinn_proto::FrameStats;
use serde::{Deserialize, Serialize};

/// What bytes were for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The transport's own acknowledgements.
    Acknowledgements,
    /// Messages with content of documents, sent or received for the first time.
    Cells,
    /// Messages that manage sessions, credit for the peer, and the closing of connections.
    Control,
    /// Everything until the connection is connected, copies included, and handshake data later on.
    Handshake,
    /// Finding out whether an address or a peer is still there, and connection ids.
    Path,
    /// Content that was sent before, or had been received before.
    Retransmissions,
    /// Of no connection, or without anything in it that counts: damaged or repeated datagrams, refusals, stateless
    /// resets. What strangers send is here.
    Unrouted,
}

/// What a message is for. The application says it; see [`Link::classify_messages`](crate::Link::classify_messages).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Content of documents.
    Cells,
    /// Managing sessions.
    Control,
}

impl Cause {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 7] = [
        Self::Acknowledgements,
        Self::Cells,
        Self::Control,
        Self::Handshake,
        Self::Path,
        Self::Retransmissions,
        Self::Unrouted,
    ];

    /// The name that JSON and tables have.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acknowledgements => "acknowledgements",
            Self::Cells => "cells",
            Self::Control => "control",
            Self::Handshake => "handshake",
            Self::Path => "path",
            Self::Retransmissions => "retransmissions",
            Self::Unrouted => "unrouted",
        }
    }
}

impl From<MessageKind> for Cause {
    fn from(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Cells => Self::Cells,
            MessageKind::Control => Self::Control,
        }
    }
}

/// The bytes of one datagram by cause, and the cause that it counts under as a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) bytes: [u64; Cause::ALL.len()],
    pub(crate) dominating: Cause,
}

impl Shares {
    /// All of a datagram for one cause.
    pub(crate) fn all(cause: Cause, ip_bytes: u64) -> Self {
        let mut bytes = [0; Cause::ALL.len()];
        bytes[cause as usize] = ip_bytes;
        Self { bytes, dominating: cause }
    }

    /// Splits a datagram of an established connection. `messages` is given the payload that is left for messages and
    /// the number of their frames, and tells their causes.
    pub(crate) fn split(
        ip_bytes: u64,
        header_bytes: u64,
        frames: &Frames,
        messages: impl FnOnce(u64, u64, &mut [u64; Cause::ALL.len()]),
    ) -> Self {
        if frames.handshake > 0 {
            return Self::all(Cause::Handshake, ip_bytes);
        }
        let mut payload = [0; Cause::ALL.len()];
        payload[Cause::Acknowledgements as usize] = frames.acknowledgements * ACK_LEN;
        payload[Cause::Control as usize] = frames.credit * CREDIT_LEN + frames.close * CLOSE_LEN;
        payload[Cause::Path as usize] =
            frames.probes * PROBE_LEN + frames.pings + frames.ids * CONNECTION_ID_LEN;
        let capacity = ip_bytes.saturating_sub(header_bytes + QUIC_OVERHEAD);
        if frames.streams > 0 {
            // Frames that turned out longer than usual leave nothing; a message has one byte at the least.
            let rest = capacity.saturating_sub(payload.iter().sum()).max(frames.streams);
            messages(rest, frames.streams, &mut payload);
        }
        let weight = |cause: &Cause| {
            let bytes = payload[*cause as usize];
            let rides_along = *cause == Cause::Acknowledgements;
            (bytes > 0, !rides_along, bytes, matches!(cause, Cause::Cells | Cause::Control))
        };
        let dominating = Cause::ALL.into_iter().max_by_key(weight).unwrap_or(Cause::Unrouted);
        if payload[dominating as usize] == 0 {
            return Self::all(Cause::Unrouted, ip_bytes);
        }
        // What the others take must be there: an estimate never makes bytes.
        let mut left = ip_bytes;
        let mut bytes = [0; Cause::ALL.len()];
        for cause in Cause::ALL.into_iter().filter(|cause| *cause != dominating) {
            let share = payload[cause as usize].min(left);
            bytes[cause as usize] = share;
            left -= share;
        }
        bytes[dominating as usize] = left;
        Self { bytes, dominating }
    }
}

/// How many frames of each sort a datagram has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Frames {
    pub(crate) acknowledgements: u64,
    pub(crate) close: u64,
    pub(crate) credit: u64,
    pub(crate) handshake: u64,
    pub(crate) ids: u64,
    pub(crate) pings: u64,
    pub(crate) probes: u64,
    pub(crate) streams: u64,
}

impl Frames {
    /// Whether there is none: QUIC took nothing of the datagram.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What was added to QUIC's counters.
    pub(crate) fn between(before: &FrameStats, after: &FrameStats) -> Self {
        let added = |of: fn(&FrameStats) -> u64| of(after).saturating_sub(of(before));
        Self {
            acknowledgements: added(|stats| stats.acks),
            close: added(|stats| stats.connection_close),
            credit: added(|stats| {
                stats.max_data
                    + stats.max_stream_data
                    + stats.max_streams_bidi
                    + stats.max_streams_uni
                    + stats.data_blocked
                    + stats.stream_data_blocked
                    + stats.streams_blocked_bidi
                    + stats.streams_blocked_uni
                    + stats.stop_sending
                    + stats.reset_stream
            }),
            handshake: added(|stats| stats.crypto + u64::from(stats.handshake_done) + stats.new_token),
            ids: added(|stats| stats.new_connection_id + stats.retire_connection_id),
            pings: added(|stats| stats.ping + stats.ack_frequency + stats.immediate_ack),
            probes: added(|stats| stats.path_challenge + stats.path_response),
            streams: added(|stats| stats.stream),
        }
    }
}

/// Messages that were given to QUIC and have not been seen leaving: what is in nobody's first datagram is a copy.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    waiting: VecDeque<(MessageKind, u64)>,
}

impl Fresh {
    /// So many bytes of a message were given to QUIC.
    pub(crate) fn push(&mut self, kind: MessageKind, bytes: usize) {
        self.waiting.push_back((kind, bytes as u64 + STREAM_HEADER_LEN));
    }

    /// The peer has all that was given to QUIC.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// A datagram with so much payload of messages leaves, in so many frames.
    pub(crate) fn take(&mut self, payload: u64, frames: u64, shares: &mut [u64; Cause::ALL.len()]) {
        let slack = frames * SLACK;
        let mut left = payload;
        let mut last = None;
        while let Some((kind, waiting)) = self.waiting.front_mut()
            && left > 0
        {
            let share = left.min(*waiting);
            shares[Cause::from(*kind) as usize] += share;
            left -= share;
            *waiting -= share;
            last = Some(*kind);
            if *waiting > slack {
                break;
            }
            self.waiting.pop_front();
        }
        let rest = match last {
            // Lengths are known but for a few bytes.
            Some(kind) if left <= slack => kind.into(),
            _ => Cause::Retransmissions,
        };
        shares[rest as usize] += left;
    }
}

/// QUIC's short header (flags, a connection id of 4 bytes at most, a packet number of 2) and the seal, in bytes.
const QUIC_OVERHEAD: u64 = 1 + 4 + 2 + 16;
/// An acknowledgement of one range: type, largest, delay, count, length.
const ACK_LEN: u64 = 7;
/// A frame of credit: type and a number.
const CREDIT_LEN: u64 = 4;
/// A closing frame without a text.
const CLOSE_LEN: u64 = 4;
/// A challenge of a path, or its answer.
const PROBE_LEN: u64 = 9;
/// A connection id of 4 bytes, with its reset token.
const CONNECTION_ID_LEN: u64 = 24;
/// Type, stream, and a length in some.
const STREAM_HEADER_LEN: u64 = 3;
/// How far off the length of a frame may be.
const SLACK: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_json_has() {
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.name());
            assert_eq!(cause as usize, index);
        }
    }

    #[test]
    fn whatever_is_in_a_datagram_the_shares_are_its_bytes() {
        // Small numbers in all combinations, with lengths that no real datagram of that content would have too.
        for code in 0..3_u64.pow(8) {
            let digit = |place: u32| code / 3_u64.pow(place) % 3;
            let frames = Frames {
                acknowledgements: digit(0),
                close: digit(1),
                credit: digit(2),
                handshake: digit(3) / 2,
                ids: digit(4),
                pings: digit(5),
                probes: digit(6),
                streams: digit(7),
            };
            for bytes in [28, 29, 50, 61, 130, 1228] {
                let mut fresh = Fresh::default();
                fresh.push(MessageKind::Cells, (code % 40) as usize);
                fresh.push(MessageKind::Control, (code % 7) as usize);
                let shares = Shares::split(bytes, 28, &frames, |rest, count, to| fresh.take(rest, count, to));
                assert_eq!(shares.bytes.iter().sum::<u64>(), bytes, "{frames:?}");
                let is_possible = bytes > 200;
                assert!(!is_possible || shares.bytes[shares.dominating as usize] >= 28 + QUIC_OVERHEAD);
            }
        }
    }

    #[test]
    fn the_headers_go_to_what_dominates() {
        let frames = Frames { acknowledgements: 1, streams: 1, ..Frames::default() };
        let take = |rest, _, to: &mut [u64; 7]| to[Cause::Cells as usize] += rest;
        let shares = Shares::split(90, 28, &frames, take);
        assert_eq!(shares.dominating, Cause::Cells);
        assert_eq!(shares.bytes[Cause::Acknowledgements as usize], ACK_LEN);
        assert_eq!(shares.bytes[Cause::Cells as usize], 90 - ACK_LEN);
        let keep_alive = Frames { streams: 0, pings: 1, ..frames };
        assert_eq!(Shares::split(60, 28, &keep_alive, take).dominating, Cause::Path);
        let alone = Frames { streams: 0, ..frames };
        assert_eq!(Shares::split(59, 28, &alone, take), Shares::all(Cause::Acknowledgements, 59));
        assert_eq!(Shares::split(59, 28, &Frames::default(), take), Shares::all(Cause::Unrouted, 59));
    }

    #[test]
    fn what_leaves_a_second_time_is_a_retransmission() {
        let mut fresh = Fresh::default();
        let mut shares = [0; 7];
        fresh.push(MessageKind::Control, 20);
        fresh.push(MessageKind::Cells, 3000);
        fresh.take(1150, 2, &mut shares);
        fresh.take(1150, 1, &mut shares);
        fresh.take(730, 1, &mut shares);
        assert_eq!(shares[Cause::Control as usize], 23);
        assert_eq!(shares[Cause::Cells as usize], 1150 + 1150 + 730 - 23);
        fresh.take(1150, 1, &mut shares);
        assert_eq!(shares[Cause::Retransmissions as usize], 1150);
    }
}
