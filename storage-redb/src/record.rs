//! Keys and values as they lie in the file: format version 1.
//!
//! All records are in one redb table, `godwit`, so that a small commit touches few pages. Keys sort as bytes; the
//! first byte names the kind, so each kind is one contiguous range, and so are the cells of one document.
//!
//! | kind | key | value holds |
//! |---|---|---|
//! | root | `00` | one record: version, next internal id, seals of documents and settings |
//! | document | `01`, name (UTF-8) | internal id, seal of its cells, the metadata |
//! | setting | `02`, name (UTF-8) | the setting |
//! | cell | `03`, internal id (8 bytes, **big endian**, so that byte order is id order), path (UTF-8) | the cell record |
//!
//! Names can hold any UTF-8 because nothing follows them in a key; a document's cells carry its internal id, which
//! has a fixed width and is never used twice.
//!
//! Every value is a payload of `n` bytes and a trailer:
//!
//! | offset | size | field | unit | endianness |
//! |---|---|---|---|---|
//! | 0 | n | payload | bytes | |
//! | n | 4 | CRC-32 (IEEE) over the key's length (4 bytes, little endian), the key and the payload | | little |
//!
//! The key is in the checksum, so a record that moved to another key is found as well as one that changed.
//!
//! Root payload, 44 bytes:
//!
//! | offset | size | field | unit | endianness |
//! |---|---|---|---|---|
//! | 0 | 4 | format version | | little |
//! | 4 | 8 | next internal id | | little |
//! | 12 | 16 | seal of the document records | | little |
//! | 28 | 16 | seal of the settings | | little |
//!
//! In every version the root record keeps its key, its first four bytes and its trailer, so that an old program can
//! tell a newer file from a damaged one.
//!
//! Document payload, 24 bytes and the metadata:
//!
//! | offset | size | field | unit | endianness |
//! |---|---|---|---|---|
//! | 0 | 8 | internal id | | little |
//! | 8 | 16 | seal of its cells | | little |
//! | 24 | n | metadata | bytes | |
//!
//! A seal is what a set of records must add up to. It finds a record that is missing, doubled or older than the rest,
//! which no checksum of a single record can:
//!
//! | offset | size | field | unit | endianness |
//! |---|---|---|---|---|
//! | 0 | 8 | number of records | records | little |
//! | 8 | 8 | wrapping sum of their CRC-32 | | little |

use std::ops::Range;

/// The format this crate writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

const KIND_ROOT: u8 = 0;
const KIND_DOCUMENT: u8 = 1;
const KIND_SETTING: u8 = 2;
const KIND_CELL: u8 = 3;

const CRC_LEN: usize = 4;
const SEAL_LEN: usize = 16;
const VERSION_LEN: usize = 4;
const ID_LEN: usize = 8;
const ROOT_LEN: usize = VERSION_LEN + ID_LEN + 2 * SEAL_LEN;
const DOCUMENT_HEAD_LEN: usize = ID_LEN + SEAL_LEN;
/// Bytes of a cell key before the path.
const CELL_HEAD_LEN: usize = 1 + ID_LEN;

/// The name of a document inside the file: short, of fixed width, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InternalId(u64);

impl InternalId {
    /// The id after this one; `None` after 2^64 - 1 documents.
    pub(crate) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// What a set of records must add up to: their number and the wrapping sum of their checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) records: u64,
    sum: u64,
}

impl Seal {
    pub(crate) fn add(&mut self, crc: u32) {
        self.records = self.records.wrapping_add(1);
        self.sum = self.sum.wrapping_add(u64::from(crc));
    }

    pub(crate) fn remove(&mut self, crc: u32) {
        self.records = self.records.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(u64::from(crc));
    }

    fn to_bytes(self) -> [u8; SEAL_LEN] {
        let mut bytes = [0; SEAL_LEN];
        bytes[..8].copy_from_slice(&self.records.to_le_bytes());
        bytes[8..].copy_from_slice(&self.sum.to_le_bytes());
        bytes
    }

    fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (records, bytes) = split_u64(bytes)?;
        let (sum, bytes) = split_u64(bytes)?;
        Some((Self { records, sum }, bytes))
    }
}

/// The one record that describes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) next_id: InternalId,
    pub(crate) documents: Seal,
    pub(crate) settings: Seal,
}

impl Root {
    pub(crate) const EMPTY: Self = Self {
        next_id: InternalId(0),
        documents: Seal { records: 0, sum: 0 },
        settings: Seal { records: 0, sum: 0 },
    };

    pub(crate) fn encode(&self) -> [u8; ROOT_LEN] {
        let mut bytes = [0; ROOT_LEN];
        let fields: [&[u8]; 4] = [
            &FORMAT_VERSION.to_le_bytes(),
            &self.next_id.0.to_le_bytes(),
            &self.documents.to_bytes(),
            &self.settings.to_bytes(),
        ];
        let mut at = 0;
        for field in fields {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        }
        bytes
    }

    /// The version alone, which has the same place in every format.
    pub(crate) fn version(payload: &[u8]) -> Option<u32> {
        payload.first_chunk::<VERSION_LEN>().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Reads a payload of [`FORMAT_VERSION`].
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let bytes = payload.get(VERSION_LEN..)?;
        let (next_id, bytes) = split_u64(bytes)?;
        let (documents, bytes) = Seal::split(bytes)?;
        let (settings, bytes) = Seal::split(bytes)?;
        bytes.is_empty().then_some(Self { next_id: InternalId(next_id), documents, settings })
    }
}

/// What a document record says before its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DocumentHead {
    pub(crate) id: InternalId,
    pub(crate) cells: Seal,
}

impl DocumentHead {
    pub(crate) fn encode(&self, meta: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(DOCUMENT_HEAD_LEN + meta.len() + CRC_LEN);
        bytes.extend_from_slice(&self.id.0.to_le_bytes());
        bytes.extend_from_slice(&self.cells.to_bytes());
        bytes.extend_from_slice(meta);
        bytes
    }

    /// The head, and the metadata after it.
    pub(crate) fn split(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (id, bytes) = split_u64(payload)?;
        let (cells, meta) = Seal::split(bytes)?;
        Some((Self { id: InternalId(id), cells }, meta))
    }
}

pub(crate) const ROOT_KEY: &[u8] = &[KIND_ROOT];

pub(crate) fn document_key(name: &str) -> Vec<u8> {
    named_key(KIND_DOCUMENT, name)
}

pub(crate) fn setting_key(name: &str) -> Vec<u8> {
    named_key(KIND_SETTING, name)
}

/// Writes the key into `key`, which a loop over cells keeps.
pub(crate) fn cell_key(key: &mut Vec<u8>, id: InternalId, path: &str) {
    key.clear();
    key.push(KIND_CELL);
    #[expect(clippy::big_endian_bytes, reason = "keys sort as bytes, and byte order must be id order")]
    key.extend_from_slice(&id.0.to_be_bytes());
    key.extend_from_slice(path.as_bytes());
}

/// The document or setting name in its key.
pub(crate) fn name_bytes(key: &[u8]) -> &[u8] {
    key.get(1..).unwrap_or_default()
}

/// The path in a cell's key.
pub(crate) fn path_bytes(key: &[u8]) -> &[u8] {
    key.get(CELL_HEAD_LEN..).unwrap_or_default()
}

/// A name or path as text; `None` for anything but UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

pub(crate) fn document_keys() -> Range<Vec<u8>> {
    vec![KIND_DOCUMENT]..vec![KIND_SETTING]
}

pub(crate) fn setting_keys() -> Range<Vec<u8>> {
    vec![KIND_SETTING]..vec![KIND_CELL]
}

/// The cells of all documents.
pub(crate) fn all_cell_keys() -> Range<Vec<u8>> {
    vec![KIND_CELL]..vec![KIND_CELL + 1]
}

/// The cells of one document.
pub(crate) fn cell_keys(id: InternalId) -> Range<Vec<u8>> {
    let mut start = Vec::new();
    cell_key(&mut start, id, "");
    let mut end = Vec::new();
    match id.next() {
        Some(next) => cell_key(&mut end, next, ""),
        None => end.push(KIND_CELL + 1),
    }
    start..end
}

/// Appends the trailer to `value`, which holds the payload. Gives the checksum, for the seal.
pub(crate) fn append_checksum(key: &[u8], value: &mut Vec<u8>) -> u32 {
    let crc = checksum(key, value);
    value.extend_from_slice(&crc.to_le_bytes());
    crc
}

/// The payload of a stored value and its checksum; `None` when they do not match.
pub(crate) fn verify<'v>(key: &[u8], value: &'v [u8]) -> Option<(&'v [u8], u32)> {
    let (payload, trailer) = value.split_last_chunk::<CRC_LEN>()?;
    let crc = u32::from_le_bytes(*trailer);
    (crc == checksum(key, payload)).then_some((payload, crc))
}

/// The checksum that a stored value carries, unverified: for a value that is being replaced.
pub(crate) fn carried_checksum(value: &[u8]) -> Option<u32> {
    value.last_chunk::<CRC_LEN>().map(|bytes| u32::from_le_bytes(*bytes))
}

fn checksum(key: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    // Keys are below 4 GiB: names and paths are limited where they enter.
    hasher.update(&(key.len() as u32).to_le_bytes());
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize()
}

fn named_key(kind: u8, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(kind);
    key.extend_from_slice(name.as_bytes());
    key
}

fn split_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*head), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_and_a_document_survive_their_encoding() {
        let mut seal = Seal::default();
        seal.add(7);
        seal.add(u32::MAX);
        let root = Root { next_id: InternalId(9), documents: seal, settings: Seal::default() };
        assert_eq!(Root::decode(&root.encode()), Some(root));
        assert_eq!(Root::version(&root.encode()), Some(FORMAT_VERSION));
        assert_eq!(Root::decode(&root.encode()[1..]), None);

        let head = DocumentHead { id: InternalId(3), cells: seal };
        assert_eq!(DocumentHead::split(&head.encode(b"meta")), Some((head, &b"meta"[..])));
        assert_eq!(DocumentHead::split(&[0; DOCUMENT_HEAD_LEN - 1]), None);
    }

    #[test]
    fn a_record_that_changed_or_moved_is_found() {
        let key = document_key("a");
        let mut value = b"payload".to_vec();
        append_checksum(&key, &mut value);
        assert!(verify(&key, &value).is_some());
        assert!(verify(&document_key("b"), &value).is_none());
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&key, &flipped).is_none(), "bit {bit}");
        }
        // The key's length is in the checksum, so no byte can move from the key to the payload.
        assert!(verify(b"\x01", &[b"a", &value[..]].concat()).is_none());
    }

    #[test]
    fn a_seal_forgets_what_was_removed() {
        let mut seal = Seal::default();
        seal.add(5);
        let one = seal;
        seal.add(6);
        seal.remove(6);
        assert_eq!(seal, one);
    }

    #[test]
    fn the_cells_of_a_document_are_one_range() {
        let mut key = Vec::new();
        for (id, path, inside) in [(1, "", true), (1, "\u{10ffff}", true), (2, "", false), (0, "z", false)] {
            cell_key(&mut key, InternalId(id), path);
            assert_eq!(cell_keys(InternalId(1)).contains(&key), inside, "{id} {path}");
        }
        cell_key(&mut key, InternalId(u64::MAX), "z");
        assert!(cell_keys(InternalId(u64::MAX)).contains(&key));
    }

    /// Version 1 on disk. These bytes are never edited; a new format gets its own.
    #[test]
    fn golden_bytes_of_version_1() {
        let mut seal = Seal::default();
        seal.add(0x0403_0201);
        let root = Root { next_id: InternalId(2), documents: seal, settings: Seal::default() };
        let mut value = root.encode().to_vec();
        append_checksum(ROOT_KEY, &mut value);
        #[rustfmt::skip]
        let golden = [
            1, 0, 0, 0,
            2, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0xd4, 0x2f, 0xf5, 0xc4,
        ];
        assert_eq!(value, golden);
        let mut key = Vec::new();
        cell_key(&mut key, InternalId(258), "a/b");
        assert_eq!(key, b"\x03\0\0\0\0\0\0\x01\x02a/b");
        let mut value = b"21".to_vec();
        append_checksum(&key, &mut value);
        assert_eq!(value, [b'2', b'1', 0xb3, 0x93, 0xc2, 0x47]);
        let key = document_key("d");
        assert_eq!(key, b"\x01d");
        assert_eq!(setting_key("s"), b"\x02s");
        let mut value = DocumentHead { id: InternalId(258), cells: seal }.encode(b"m");
        append_checksum(&key, &mut value);
        #[rustfmt::skip]
        let golden = [
            2, 1, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0,
            b'm',
            0x76, 0xf9, 0x10, 0x21,
        ];
        assert_eq!(value, golden);
    }
}
