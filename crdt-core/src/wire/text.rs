//! Keys in fewer bits: a fixed prefix code for the characters that names of things are made of.
//!
//! | what | bits |
//! |---|---|
//! | each byte of the text, from the first that the code has no word for | 8, after one escape |
//! | each byte before that | 4 to 11 |
//! | padding to a whole byte | 0 to 7, all zero |
//!
//! How many bytes the text has is written before it. The escape comes at once where that is shorter. So every text has
//! one form, and none takes more than [`OVERHEAD_MAX`] bytes beside its own.
//!
//! The words: a canonical prefix code, by length and then by byte, the highest bit first. Sources: Huffman, "A Method for
//! the Construction of Minimum-Redundancy Codes" (1952); Larmore, Hirschberg, "A Fast Algorithm for Optimal
//! Length-Limited Huffman Codes" (1990), for words of at most 11 bits. The frequencies are those of 15,000 different field names
//! of published Rust programs, with a `/` for two of three names and 0.6 % for each digit; names like those of the tables
//! in the docs take 5.1 bits a byte.

use super::reader::{Damaged, DecodeError, Reader};
use super::writer::{Full, Writer};

/// Bytes that a text takes beside its own, at most: the escape, and the padding.
pub(crate) const OVERHEAD_MAX: usize = 2;

/// Writes `text`; its length is not written.
pub(crate) fn write(writer: &mut Writer<'_>, text: &[u8]) -> Result<(), Full> {
    let mut bits = BitWriter { writer, pending: 0, count: 0 };
    let plain_from = plain_from(text);
    for byte in &text[..plain_from] {
        let (code, len) = word(*byte).expect("every byte before the first plain one has a word");
        bits.put(code, len)?;
    }
    if plain_from < text.len() {
        let (code, len) = word(ESCAPE).expect("the escape has a word");
        bits.put(code, len)?;
        text[plain_from..].iter().try_for_each(|byte| bits.put(u16::from(*byte), 8))?;
    }
    bits.finish()
}

/// Reads a text of `len` bytes and gives them to `sink`, one by one.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    len: usize,
    out: &mut heapless::Vec<u8, { crate::limits::PATH_LEN_MAX }>,
) -> Result<(), Damaged> {
    let (offset, start) = (reader.offset(), out.len());
    let mut bits = BitReader { reader, byte: 0, left: 0 };
    let mut plain_from = None;
    for i in 0..len {
        let mut byte = if plain_from.is_some() { bits.take(8)? as u8 } else { bits.word(offset)? };
        if plain_from.is_none() && byte == ESCAPE {
            plain_from = Some(i);
            byte = bits.take(8)? as u8;
        }
        out.push(byte).map_err(|_| bits.reader.fail(DecodeError::Path { offset }))?;
    }
    let padding_is_zero = u16::from(bits.byte) & ((1 << bits.left) - 1) == 0;
    let one_form = plain_from.unwrap_or(len) == self::plain_from(&out[start..]);
    if padding_is_zero && one_form { Ok(()) } else { Err(reader.fail(DecodeError::Path { offset })) }
}

/// Where the bytes begin that are written as they are.
fn plain_from(text: &[u8]) -> usize {
    let escape = word(ESCAPE).map_or(0, |(_, len)| usize::from(len));
    let coded = text.iter().position(|byte| word(*byte).is_none()).unwrap_or(text.len());
    let bits =
        text[..coded].iter().filter_map(|byte| word(*byte)).map(|(_, len)| usize::from(len)).sum::<usize>();
    let tail = text.len() - coded;
    let mixed = bits + if tail > 0 { escape + 8 * tail } else { 0 };
    if escape + 8 * text.len() < mixed { 0 } else { coded }
}

/// Code and length, in bits, of the word for `byte`.
fn word(byte: u8) -> Option<(u16, u8)> {
    let mut index = SYMBOLS.iter().position(|symbol| *symbol == byte)? as u16;
    let mut first = 0;
    for (len, count) in (1..).zip(COUNTS) {
        if index < count {
            return Some((first + index, len));
        }
        index -= count;
        first = (first + count) << 1;
    }
    None
}

struct BitWriter<'w, 'b> {
    writer: &'w mut Writer<'b>,
    pending: u32,
    count: u8,
}

impl BitWriter<'_, '_> {
    fn put(&mut self, code: u16, len: u8) -> Result<(), Full> {
        self.pending = self.pending << len | u32::from(code);
        self.count += len;
        while self.count >= 8 {
            self.count -= 8;
            self.writer.byte((self.pending >> self.count) as u8)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Full> {
        if self.count == 0 {
            return Ok(());
        }
        self.writer.byte((self.pending << (8 - self.count)) as u8)
    }
}

struct BitReader<'r, 'a> {
    reader: &'r mut Reader<'a>,
    byte: u8,
    /// Bits of `byte` that are not taken yet.
    left: u8,
}

impl BitReader<'_, '_> {
    fn bit(&mut self) -> Result<u16, Damaged> {
        if self.left == 0 {
            self.byte = self.reader.byte()?;
            self.left = 8;
        }
        self.left -= 1;
        Ok(u16::from(self.byte >> self.left & 1))
    }

    fn take(&mut self, bits: u8) -> Result<u16, Damaged> {
        let mut value = 0;
        for _ in 0..bits {
            value = value << 1 | self.bit()?;
        }
        Ok(value)
    }

    fn word(&mut self, offset: usize) -> Result<u8, Damaged> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in COUNTS {
            code = code << 1 | self.bit()?;
            if code - first < count {
                return Ok(SYMBOLS[usize::from(index + code - first)]);
            }
            index += count;
            first = (first + count) << 1;
        }
        Err(self.reader.fail(DecodeError::Path { offset }))
    }
}

/// Stands for "the rest is plain"; no UTF-8 text has this byte.
const ESCAPE: u8 = 0xff;

/// Words of 1, 2, ... bits.
const COUNTS: [u16; 11] = [0, 0, 0, 8, 8, 5, 15, 5, 4, 27, 2];

/// What the words stand for, the shortest words first.
const SYMBOLS: &[u8; 74] = b"/_aeirstcdlmnopubfghv-0123456789kwxy .=@z:Zq\xff+ABCDEFGHIJKLMNOPQRSTUVWXYj#%";

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn coded(text: &str) -> Vec<u8> {
        let mut buffer = [0; 300];
        let mut writer = Writer::new(&mut buffer);
        write(&mut writer, text.as_bytes()).expect("there is capacity");
        let len = writer.len();
        buffer[..len].to_vec()
    }

    fn decoded(bytes: &[u8], len: usize) -> Result<String, Damaged> {
        let mut out = heapless::Vec::new();
        let mut reader = Reader::new(bytes);
        read(&mut reader, len, &mut out)?;
        assert!(reader.is_empty() || bytes.len() > coded(core::str::from_utf8(&out).unwrap_or("")).len());
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn the_words_are_a_complete_prefix_code() {
        let space: u32 = (1..).zip(COUNTS).map(|(len, count)| u32::from(count) << (11 - len)).sum();
        assert_eq!(space, 1 << 11, "every sequence of bits is a word, and none begins another");
        assert_eq!(COUNTS.iter().sum::<u16>() as usize, SYMBOLS.len());
        assert!((0..SYMBOLS.len()).all(|i| !SYMBOLS[..i].contains(&SYMBOLS[i])));
    }

    #[test]
    fn names_of_things_are_short() {
        assert_eq!(coded("sense/report_period_s").len(), 12);
        assert_eq!(coded("net/apn").len(), 4);
        assert_eq!(coded("pump/3/setpoint").len(), 9);
        assert_eq!(coded("").len(), 0);
        assert_eq!(coded("温度").len(), 6 + 2, "what the code has no words for costs an escape");
        assert_eq!(coded("QQQQQQ").len(), 8, "not longer than that");
    }

    #[test]
    fn a_second_form_is_refused() {
        let mut bytes = coded("net/apn");
        *bytes.last_mut().expect("four bytes") |= 1;
        assert!(decoded(&bytes, 7).is_err(), "padding");
        // The escape, then "a" as it is.
        assert!(decoded(&[0b1111_0001, 0b0011_0000, 0b1000_0000], 1).is_err());
        assert!(decoded(&[], 1).is_err());
    }

    proptest! {
        #[test]
        fn texts_come_back(text in "\\PC{0,40}|[a-z_/0-9]{0,60}") {
            let bytes = coded(&text);
            prop_assert!(bytes.len() <= text.len() + OVERHEAD_MAX);
            prop_assert_eq!(decoded(&bytes, text.len()), Ok(text));
        }

        #[test]
        fn what_reads_was_written_so(bytes in proptest::collection::vec(any::<u8>(), 0..12), len in 0_usize..14) {
            let mut out = heapless::Vec::new();
            let mut reader = Reader::new(&bytes);
            if read(&mut reader, len, &mut out).is_ok() {
                let mut buffer = [0; 64];
                let mut writer = Writer::new(&mut buffer);
                write(&mut writer, &out).expect("there is capacity");
                let len = writer.len();
                prop_assert_eq!(&buffer[..len], &bytes[..reader.offset()]);
            }
        }
    }
}
