//! Frames over a line that carries bytes, loses some and adds others.
//!
//! A packet is encoded with COBS (Cheshire and Baker, "Consistent Overhead Byte Stuffing", 1999), which leaves no zero
//! byte in it; a zero byte ends it on the line. So whatever came before, a receiver is in step again at the next zero.
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 1 | connection: 1 to 255, chosen by the initiator; 0 names any, to end it |
//! | 1 | 1 | number of the packet in its direction: 0, then 1 to 255, then again from 1 |
//! | 2 | 0 to 512 | frame; none: the connection is over |
//! | last 4 | 4 | CRC-32 (ISO-HDLC) of all before it, little endian |
//!
//! A frame costs 8 bytes more on the line, 9 if it begins a connection and one more for each 254 bytes.
//!
//! The core wants frames reliably and in order within a connection. Nothing is sent twice here: when a packet is
//! missing, the connection is over and the initiator begins another, in which the core works out again what the other
//! side lacks. That the *last* packet before a silence is missing only shows by the acknowledgement that stays away; the
//! driver asks for one and, when it does not come, calls [`Link::begin`] or [`Link::end`].

use cobs::CobsEncoder;

use crate::checksum::{CHECKSUM_LEN, checksum};

/// Longest frame, in bytes. The buffer for [`Replica::poll_output`](crdt_core::Replica::poll_output) has this length.
pub const FRAME_LEN_MAX: usize = 512;
/// Most bytes that one frame takes on the line.
pub const LINE_LEN_MAX: usize = ENCODED_LEN_MAX + 2;

/// One end of the line. About 1.1 KiB.
#[derive(Debug)]
pub struct Link {
    initiator: bool,
    /// The last one that was heard of; `open` tells whether it still is.
    connection: u8,
    open: bool,
    next_out: u8,
    next_in: u8,
    received: [u8; ENCODED_LEN_MAX],
    received_len: usize,
    /// More came than any packet has; the rest of it is skipped.
    too_long: bool,
    line: [u8; LINE_LEN_MAX],
    counters: Counters,
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// The initiator began a connection with this frame: the session before it is gone.
    Begin(&'a [u8]),
    /// The next frame of the connection.
    Frame(&'a [u8]),
    /// The connection is over: the peer says so, or something is missing. The initiator calls [`Link::begin`], the
    /// other side [`Link::end`].
    Over,
}

/// What a link has seen since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that came in, and their bytes without what the link adds.
    pub frames_in: u32,
    /// See `frames_in`.
    pub frame_bytes_in: u32,
    /// Frames that went out, and their bytes without what the link adds.
    pub frames_out: u32,
    /// See `frames_out`.
    pub frame_bytes_out: u32,
    /// Bytes that went out on the line.
    pub line_bytes_out: u32,
    /// Packets dropped: no COBS, or a wrong checksum.
    pub damaged: u32,
    /// Packets dropped: longer than any that is allowed.
    pub too_long: u32,
    /// Packets dropped: of a connection that was left.
    pub stale: u32,
    /// Connections given up because a packet was missing.
    pub missing: u32,
}

/// The frame is longer than the link takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the frame has {len} bytes, the link takes {FRAME_LEN_MAX}: poll with a buffer of that length")]
pub struct FrameTooLong {
    /// Length of the frame, in bytes.
    pub len: usize,
}

impl Link {
    /// The end that begins connections: the device. `connection` is where their numbers start; something random keeps
    /// what an earlier life of this device is still sent from looking new.
    pub fn initiator(connection: u8) -> Self {
        Self::new(true, connection)
    }

    /// The end that answers.
    pub fn responder() -> Self {
        Self::new(false, 0)
    }

    fn new(initiator: bool, connection: u8) -> Self {
        Self {
            initiator,
            connection,
            open: false,
            next_out: 0,
            next_in: 0,
            received: [0; ENCODED_LEN_MAX],
            received_len: 0,
            too_long: false,
            line: [0; LINE_LEN_MAX],
            counters: Counters::default(),
        }
    }

    /// Begins a connection, instead of the one there may be. Only the initiator does.
    pub fn begin(&mut self) {
        self.open(self.connection.checked_add(1).unwrap_or(1));
    }

    /// Ends the connection and gives the bytes that tell the initiator so. For the other side, which cannot begin one;
    /// a responder that has just started says it once, to find out who is there.
    pub fn end(&mut self) -> &[u8] {
        self.open = false;
        // An end has no place in the sequence.
        self.write_packet(self.connection, 0, &[], true)
    }

    /// The bytes that carry `frame`, to be written to the line; none when no connection is open.
    ///
    /// # Errors
    /// [`FrameTooLong`].
    pub fn send(&mut self, frame: &[u8]) -> Result<&[u8], FrameTooLong> {
        if frame.len() > FRAME_LEN_MAX {
            return Err(FrameTooLong { len: frame.len() });
        }
        if !self.open || frame.is_empty() {
            return Ok(&[]);
        }
        let number = self.next_out;
        self.next_out = following(number);
        self.counters.frames_out = self.counters.frames_out.wrapping_add(1);
        self.counters.frame_bytes_out = self.counters.frame_bytes_out.wrapping_add(frame.len() as u32);
        Ok(self.write_packet(self.connection, number, frame, number == 0))
    }

    /// Takes one byte off the line.
    pub fn receive(&mut self, byte: u8) -> Option<Input<'_>> {
        if byte != 0 {
            match self.received.get_mut(self.received_len) {
                Some(place) => {
                    *place = byte;
                    self.received_len += 1;
                }
                None => self.too_long = true,
            }
            return None;
        }
        let len = core::mem::take(&mut self.received_len);
        if core::mem::take(&mut self.too_long) {
            self.counters.too_long = self.counters.too_long.wrapping_add(1);
            return None;
        }
        if len == 0 {
            return None;
        }
        let Some(end) = check(&mut self.received[..len]) else {
            self.counters.damaged = self.counters.damaged.wrapping_add(1);
            return None;
        };
        self.take_packet(end)
    }

    /// Whether a connection is open, as far as this end knows.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// What was seen so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// A packet whose checksum is right stands in the first `end` bytes of what was received.
    fn take_packet(&mut self, end: usize) -> Option<Input<'_>> {
        let (connection, number) = (self.received[0], self.received[1]);
        let current = self.open && connection == self.connection;
        if end == HEAD_LEN {
            if self.initiator && (current || connection == ANY_CONNECTION) {
                self.open = false;
                return Some(Input::Over);
            }
            self.counters.stale = self.counters.stale.wrapping_add(1);
            return None;
        }
        if self.initiator && !current {
            self.counters.stale = self.counters.stale.wrapping_add(1);
            return None;
        }
        let begins = !self.initiator && number == 0;
        if begins {
            self.open(connection);
        } else if !current || number != self.next_in {
            self.counters.missing = self.counters.missing.wrapping_add(1);
            self.connection = connection;
            self.open = false;
            return Some(Input::Over);
        }
        self.next_in = following(number);
        let frame = &self.received[HEAD_LEN..end];
        self.counters.frames_in = self.counters.frames_in.wrapping_add(1);
        self.counters.frame_bytes_in = self.counters.frame_bytes_in.wrapping_add(frame.len() as u32);
        Some(if begins { Input::Begin(frame) } else { Input::Frame(frame) })
    }

    fn open(&mut self, connection: u8) {
        self.connection = connection;
        self.open = true;
        self.next_out = 0;
        self.next_in = 0;
    }

    /// A packet that begins something also ends what noise there may be before it.
    fn write_packet(&mut self, connection: u8, number: u8, frame: &[u8], begins: bool) -> &[u8] {
        let head = [connection, number];
        let checksum = checksum(&[&head, frame]).to_le_bytes();
        let start = usize::from(begins);
        self.line[0] = 0;
        let mut encoder = CobsEncoder::new(&mut self.line[start..]);
        for piece in [&head, frame, &checksum] {
            encoder.push(piece).expect("the buffer holds the longest packet");
        }
        let end = start + encoder.finalize();
        self.line[end] = 0;
        self.counters.line_bytes_out = self.counters.line_bytes_out.wrapping_add(end as u32 + 1);
        &self.line[..=end]
    }
}

/// Decodes a packet in place and tells where its frame ends; `None` when it is none.
fn check(packet: &mut [u8]) -> Option<usize> {
    let len = cobs::decode_in_place(packet).ok()?;
    let end = len.checked_sub(CHECKSUM_LEN).filter(|end| *end >= HEAD_LEN)?;
    let (content, sum) = packet[..len].split_at(end);
    (checksum(&[content]).to_le_bytes() == sum).then_some(end)
}

fn following(number: u8) -> u8 {
    number.checked_add(1).unwrap_or(1)
}

const HEAD_LEN: usize = 2;
const ANY_CONNECTION: u8 = 0;
const PACKET_LEN_MAX: usize = HEAD_LEN + FRAME_LEN_MAX + CHECKSUM_LEN;
const ENCODED_LEN_MAX: usize = cobs::max_encoding_length(PACKET_LEN_MAX);

const _: () = assert!(FRAME_LEN_MAX >= crdt_core::limits::FRAME_LEN_MIN, "the core needs as much");

#[cfg(test)]
mod tests;
