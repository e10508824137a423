//! One step of a repair: the sides of a session find out in which cells they differ.
//!
//! | field | bytes | what |
//! |---|---|---|
//! | flags | 1 | bit 0: the repair begins here, a salt follows; bit 1: too much differs, send all you have; bit 2: a run of cells follows (not with bit 0) |
//! | salt | 4, little endian | if flagged |
//! | count | 1 | parts, at most 48 |
//! | parts | | see below |
//! | cells | | if flagged: what the receiver lacks, a run of cells |
//!
//! A part:
//!
//! | field | bytes | what |
//! |---|---|---|
//! | kind and level | 1 | bits 5, 4: kind (0: split, 1: list, 2: want); bits 3 to 0: level, 0 for "want" |
//! | split: prefix | (level + 1) / 2 | the first `level` half bytes of a place, the rest is zero |
//! | split: digests | 16 x 3 | of the cells of each range one level deeper; zero: there are none |
//! | list: prefix | (level + 1) / 2 | as above |
//! | list: count | 1 | at most 16 |
//! | list: hashes | count x 3 | all live cells that the sender has in that range |
//! | want | 3 | hash of a cell that the receiver has listed and the sender lacks |

use super::reader::{Damaged, DecodeError, Reader};
use super::writer::{Full, Writer};

/// 24 bits of a salted hash: of a cell, or of a sum over cells.
pub(crate) type Digest = [u8; DIGEST_LEN];

/// Levels of ranges below the whole document; each has 16 ranges in one of the level above.
pub(crate) const LEVELS: u8 = 6;
/// Most cells of a range that are listed one by one.
pub(crate) const LIST_MAX: usize = 16;
/// Most parts of one step.
pub(crate) const PARTS_MAX: usize = 48;
/// Longest part, in bytes.
pub(crate) const PART_LEN_MAX: usize = 1 + 3 + 1 + LIST_MAX * DIGEST_LEN;

const DIGEST_LEN: usize = 3;
const BEGINS: u8 = 1;
const ALL: u8 = 2;
const CELLS: u8 = 4;
const SPLIT: u8 = 0;
const LIST: u8 = 1;
const WANT: u8 = 2;

/// The cells whose places begin with the same half bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) level: u8,
    prefix: Digest,
}

impl Range {
    /// Every place.
    pub(crate) const ALL: Self = Self { level: 0, prefix: [0; DIGEST_LEN] };

    /// One of the 16 ranges in this one.
    pub(crate) fn child(self, index: usize) -> Self {
        let mut prefix = self.prefix;
        let shift = if self.level.is_multiple_of(2) { 4 } else { 0 };
        prefix[usize::from(self.level / 2)] |= (index as u8 & 0x0f) << shift;
        Self { level: self.level + 1, prefix }
    }

    /// In which of the 16 ranges in this one `place` is, if it is in this one.
    pub(crate) fn index_of(self, place: Digest) -> Option<usize> {
        let index = (number(place) >> (20 - 4 * u32::from(self.level))) & 0x0f;
        self.contains(place).then_some(index as usize)
    }

    pub(crate) fn contains(self, place: Digest) -> bool {
        (number(place) ^ number(self.prefix)) >> (24 - 4 * u32::from(self.level)) == 0
    }

    fn prefix_len(level: u8) -> usize {
        usize::from(level).div_ceil(2)
    }

    fn write(self, writer: &mut Writer<'_>, kind: u8) -> Result<(), Full> {
        writer.byte(kind << 4 | self.level)?;
        writer.bytes(&self.prefix[..Self::prefix_len(self.level)])
    }

    fn read(reader: &mut Reader<'_>, level: u8, levels: u8) -> Result<Self, Damaged> {
        let offset = reader.offset();
        let no_range = DecodeError::Number { offset, limit: levels.into() };
        if level > levels {
            return Err(reader.fail(no_range));
        }
        let mut prefix = [0; DIGEST_LEN];
        let len = Self::prefix_len(level);
        prefix[..len].copy_from_slice(reader.bytes(len)?);
        let unused = (1 << (24 - 4 * u32::from(level))) - 1;
        if number(prefix) & unused == 0 { Ok(Self { level, prefix }) } else { Err(reader.fail(no_range)) }
    }
}

fn number([high, middle, low]: Digest) -> u32 {
    u32::from_be_bytes([0, high, middle, low])
}

/// A part of a step, as read. The bytes are digests, one behind the other.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    List { range: Range, hashes: &'a [Digest] },
    Split { range: Range, digests: &'a [Digest] },
    Want(Digest),
}

impl<'a> Part<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Damaged> {
        let offset = reader.offset();
        let head = reader.byte()?;
        let level = head & 0x0f;
        match head >> 4 {
            SPLIT => {
                let range = Range::read(reader, level, LEVELS - 1)?;
                Ok(Part::Split { range, digests: read_digests(reader, 16)? })
            }
            LIST => {
                let range = Range::read(reader, level, LEVELS)?;
                let offset = reader.offset();
                let count = usize::from(reader.byte()?);
                if count > LIST_MAX {
                    return Err(reader.fail(DecodeError::Number { offset, limit: LIST_MAX as u64 }));
                }
                Ok(Part::List { range, hashes: read_digests(reader, count)? })
            }
            WANT if level == 0 => Ok(Part::Want(reader.array()?)),
            _ => Err(reader.fail(DecodeError::Tag { offset, tag: head })),
        }
    }
}

fn read_digests<'a>(reader: &mut Reader<'a>, count: usize) -> Result<&'a [Digest], Damaged> {
    let (digests, _) = reader.bytes(count * DIGEST_LEN)?.as_chunks();
    Ok(digests)
}

/// A step, checked; the run of cells comes after it.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    /// The repair begins here.
    pub(crate) salt: Option<u32>,
    /// The sender gives up on finding the differences and wants all.
    pub(crate) all: bool,
    pub(crate) has_cells: bool,
    /// From the first part on.
    parts: &'a [u8],
    count: usize,
}

impl<'a> Step<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Damaged> {
        let offset = reader.offset();
        let flags = reader.byte()?;
        if flags > (BEGINS | ALL | CELLS) || flags & (BEGINS | CELLS) == BEGINS | CELLS {
            return Err(reader.fail(DecodeError::Tag { offset, tag: flags }));
        }
        let salt = if flags & BEGINS != 0 { Some(u32::from_le_bytes(reader.array()?)) } else { None };
        let offset = reader.offset();
        let count = usize::from(reader.byte()?);
        if count > PARTS_MAX {
            return Err(reader.fail(DecodeError::Number { offset, limit: PARTS_MAX as u64 }));
        }
        let parts = reader.rest();
        for _ in 0..count {
            Part::read(reader)?;
        }
        Ok(Self { salt, all: flags & ALL != 0, has_cells: flags & CELLS != 0, parts, count })
    }

    pub(crate) fn parts(self) -> impl Iterator<Item = Part<'a>> {
        let mut reader = Reader::new(self.parts);
        (0..self.count).map(move |_| Part::read(&mut reader).expect("the step was checked"))
    }
}

/// Writes the head of a step and counts its parts.
pub(crate) struct StepWriter {
    flags: usize,
    count: usize,
}

impl StepWriter {
    pub(crate) fn begin(writer: &mut Writer<'_>, salt: Option<u32>, all: bool) -> Result<Self, Full> {
        let flags = writer.len();
        writer.byte(if salt.is_some() { BEGINS } else { 0 } | if all { ALL } else { 0 })?;
        if let Some(salt) = salt {
            writer.bytes(&salt.to_le_bytes())?;
        }
        let count = writer.len();
        writer.byte(0)?;
        Ok(Self { flags, count })
    }

    pub(crate) fn split(
        &self,
        writer: &mut Writer<'_>,
        range: Range,
        digests: &[Digest; 16],
    ) -> Result<(), Full> {
        range.write(writer, SPLIT)?;
        writer.bytes(digests.as_flattened())?;
        self.count(writer);
        Ok(())
    }

    pub(crate) fn list(&self, writer: &mut Writer<'_>, range: Range, hashes: &[Digest]) -> Result<(), Full> {
        range.write(writer, LIST)?;
        writer.byte(hashes.len() as u8)?;
        writer.bytes(hashes.as_flattened())?;
        self.count(writer);
        Ok(())
    }

    pub(crate) fn want(&self, writer: &mut Writer<'_>, hash: Digest) -> Result<(), Full> {
        writer.byte(WANT << 4)?;
        writer.bytes(&hash)?;
        self.count(writer);
        Ok(())
    }

    /// A run of cells comes next.
    pub(crate) fn cells_follow(&self, writer: &mut Writer<'_>) {
        writer.patch(self.flags, |flags| *flags |= CELLS);
    }

    fn count(&self, writer: &mut Writer<'_>) {
        writer.patch(self.count, |count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<usize, DecodeError> {
        let mut reader = Reader::new(bytes);
        Step::read(&mut reader).map(|step| step.parts().count()).map_err(|Damaged| reader.error())
    }

    #[test]
    fn a_step_comes_back_as_it_was_written() {
        let mut buffer = [0; 200];
        let mut writer = Writer::new(&mut buffer);
        let range = Range::ALL.child(3).child(15).child(1);
        let step = StepWriter::begin(&mut writer, Some(7), false).expect("there is capacity");
        step.split(&mut writer, range, &[[1, 2, 3]; 16]).expect("there is capacity");
        step.list(&mut writer, range.child(2), &[[4, 5, 6], [7, 8, 9]]).expect("there is capacity");
        step.want(&mut writer, [9, 9, 9]).expect("there is capacity");
        let len = writer.len();
        let mut reader = Reader::new(&buffer[..len]);
        let step = Step::read(&mut reader).expect("it was just written");
        assert!(reader.is_empty() && step.salt == Some(7) && !step.all && !step.has_cells);
        let mut parts = step.parts();
        assert!(
            matches!(parts.next(), Some(Part::Split { range: r, digests }) if r == range && digests == [[1, 2, 3]; 16])
        );
        assert!(matches!(parts.next(), Some(Part::List { range: r, hashes })
            if r == range.child(2) && hashes == [[4, 5, 6], [7, 8, 9]]));
        assert!(matches!(parts.next(), Some(Part::Want([9, 9, 9]))));
        for cut in 0..len {
            assert!(read(&buffer[..cut]).is_err(), "cut at byte {cut}");
        }
    }

    #[test]
    fn a_range_has_the_places_of_its_sixteen() {
        let range = Range::ALL.child(0xa).child(0xb).child(0xc);
        assert!(range.contains([0xab, 0xc1, 0x23]) && !range.contains([0xab, 0xd1, 0x23]));
        assert_eq!(range.index_of([0xab, 0xc1, 0x23]), Some(1));
        assert_eq!(range.index_of([0xaa, 0xc1, 0x23]), None);
        assert!(range.child(1).contains([0xab, 0xc1, 0x23]));
        assert_eq!(Range::ALL.index_of([0xab, 0, 0]), Some(0xa));
    }

    #[test]
    fn what_no_writer_makes_is_refused() {
        let flags = DecodeError::Tag { offset: 0, tag: 8 };
        assert_eq!(read(&[8, 0]), Err(flags));
        assert!(read(&[5, 0, 0, 0, 0, 0]).is_err(), "a beginning with cells");
        assert!(read(&[0, 49]).is_err(), "too many parts");
        assert!(read(&[0, 1, 0x17, 0, 0, 0, 0, 0]).is_err(), "too deep a range");
        assert!(read(&[0, 1, 0x11, 0x11, 0]).is_err(), "a prefix that is longer than its level");
        assert!(read(&[0, 1, 0x10, 17]).is_err(), "too long a list");
        assert!(read(&[0, 1, 0x21, 0, 0, 0]).is_err(), "a wish with a level");
        assert!(read(&[0, 1, 0x30, 0, 0, 0]).is_err(), "an unknown part");
        assert_eq!(read(&[0, 1, 0x10, 0]), Ok(1));
    }
}
