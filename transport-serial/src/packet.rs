//! Packets: what stands between two zero bytes of the line. The table is in the [crate docs](crate).

use cobs::CobsEncoder;
use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

use crate::limits::{ENCODED_LEN_MAX, LINE_LEN_MAX};

/// What every packet begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// Frames that the sender of this packet takes from `next` on.
    pub(crate) credit: u8,
    pub(crate) connection: u16,
    /// See the table: it depends on the kind.
    pub(crate) number: u8,
    /// The number of the frame that the sender of this packet waits for.
    pub(crate) next: u8,
}

/// What a packet says. The numbers stand on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Begin = 1,
    Accept = 2,
    Data = 3,
    Ack = 4,
    Nak = 5,
    End = 6,
}

impl Head {
    fn read(packet: &[u8]) -> Option<Self> {
        let &[first, low, high, number, next, ..] = packet else { return None };
        let kind = Kind::from_bits(first & KIND_MASK)?;
        let connection = u16::from_le_bytes([low, high]);
        Some(Self { kind, credit: first >> KIND_BITS, connection, number, next })
    }

    fn to_bytes(self) -> [u8; HEAD_LEN] {
        let [low, high] = self.connection.to_le_bytes();
        [self.kind as u8 | self.credit << KIND_BITS, low, high, self.number, self.next]
    }
}

impl Kind {
    fn from_bits(bits: u8) -> Option<Self> {
        [Self::Begin, Self::Accept, Self::Data, Self::Ack, Self::Nak, Self::End]
            .into_iter()
            .find(|kind| *kind as u8 == bits)
    }
}

/// Puts packets together, byte by byte.
#[derive(Debug)]
pub(crate) struct Assembler {
    bytes: [u8; ENCODED_LEN_MAX],
    len: usize,
    /// More came than any packet has; the rest of it is skipped.
    is_too_long: bool,
}

/// What a zero byte has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// No COBS, or a wrong checksum.
    Damaged,
    /// A packet that is whole and means nothing here.
    Malformed,
    /// A packet; its payload is [`Assembler::payload`] with this end.
    Packet(Head, usize),
    /// Longer than any packet.
    TooLong,
}

impl Assembler {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; ENCODED_LEN_MAX], len: 0, is_too_long: false }
    }

    /// Takes the next byte of the line; tells what it has ended.
    pub(crate) fn take(&mut self, byte: u8) -> Option<Ended> {
        if byte != 0 {
            match self.bytes.get_mut(self.len) {
                Some(place) => {
                    *place = byte;
                    self.len += 1;
                }
                None => self.is_too_long = true,
            }
            return None;
        }
        let len = core::mem::take(&mut self.len);
        if core::mem::take(&mut self.is_too_long) {
            return Some(Ended::TooLong);
        }
        (len > 0).then(|| self.check(len))
    }

    pub(crate) fn payload(&self, end: usize) -> &[u8] {
        &self.bytes[HEAD_LEN..end]
    }

    fn check(&mut self, len: usize) -> Ended {
        let packet = &mut self.bytes[..len];
        let Ok(len) = cobs::decode_in_place(packet) else { return Ended::Damaged };
        let Some(end) = len.checked_sub(CHECKSUM_LEN).filter(|end| *end >= HEAD_LEN) else {
            return Ended::Damaged;
        };
        let (content, sum) = packet[..len].split_at(end);
        if CRC.checksum(content).to_le_bytes() != sum {
            return Ended::Damaged;
        }
        Head::read(content).map_or(Ended::Malformed, |head| Ended::Packet(head, end))
    }
}

/// Writes a packet as it stands on the line, and tells its length.
pub(crate) fn write(line: &mut [u8; LINE_LEN_MAX], head: Head, payload: &[u8]) -> usize {
    let head = head.to_bytes();
    let mut digest = CRC.digest();
    digest.update(&head);
    digest.update(payload);
    // What came before, noise for instance, ends here.
    line[0] = 0;
    let mut encoder = CobsEncoder::new(&mut line[1..]);
    for piece in [&head, payload, &digest.finalize().to_le_bytes()] {
        encoder.push(piece).expect("the buffer holds the longest packet");
    }
    let end = 1 + encoder.finalize();
    line[end] = 0;
    end + 1
}

/// Without its table: flash is dearer on a small device than the cycles.
pub(crate) static CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// Bytes before the payload.
pub(crate) const HEAD_LEN: usize = 5;
/// Bytes after it.
pub(crate) const CHECKSUM_LEN: usize = 4;
const KIND_BITS: u32 = 3;
const KIND_MASK: u8 = (1 << KIND_BITS) - 1;
