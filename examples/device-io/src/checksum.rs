//! CRC-32 (ISO-HDLC, as in Ethernet and zip), without its table: flash is dearer here than the cycles.

use crc::{CRC_32_ISO_HDLC, Crc, Digest, NoTable};

static CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// A checksum to be fed piece by piece.
pub(crate) fn digest() -> Digest<'static, u32, NoTable> {
    CRC.digest()
}

/// The checksum of `pieces`, one after the other.
pub(crate) fn checksum(pieces: &[&[u8]]) -> u32 {
    let mut digest = digest();
    pieces.iter().for_each(|piece| digest.update(piece));
    digest.finalize()
}
