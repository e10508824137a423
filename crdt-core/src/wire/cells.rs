//! Runs of cells: the format that pays for everything else.
//!
//! A cell of a run:
//!
//! | field | bytes | what |
//! |---|---|---|
//! | header | 1 | bit 7: last of the run; bit 6: literal path; bits 5, 4: stamp mode; bits 3 to 0: [`Kind`] |
//! | path, known | LEB128 | slot of the session's dictionary |
//! | path, literal | 1, LEB128, LEB128, bytes | top four bits: bytes shared with the literal path before in this run; low four: further bytes; 15: 15 or more, the rest of the number follows; these bytes, see [`text`] |
//! | stamp mode 0 | 0 | as the cell before in this run |
//! | stamp mode 1 | zigzag LEB128 | the sender's own; distance from the last time this side sent |
//! | stamp mode 2 | LEB128, zigzag LEB128 | number in the session's table; distance |
//! | stamp mode 3 | 8, zigzag LEB128 | replica id, which takes the next number; distance |
//! | payload | see [`Kind`] | strings and bytes are preceded by their length (LEB128) |
//!
//! A literal path of at most 48 bytes takes the next slot of the dictionary (a ring: the oldest is overwritten), and a
//! literal replica id the next number of the table, on both sides alike, except in a first-flight batch, which is
//! written before the peer's limits are known. So a path costs its bytes once in a session, then one.

use super::cursor::Cursor;
use super::reader::{Damaged, DecodeError, Reader};
use super::text;
use super::vector::ReplicaRef;
use super::writer::{Full, Writer};
use crate::cell::{Kind, Path};
use crate::id::ReplicaId;
use crate::limits::{PATH_LEN_MAX, VALUE_LEN_MAX};
use crate::varint;

const LAST: u8 = 0x80;
const LITERAL: u8 = 0x40;
const STAMP_SAME: u8 = 0;
const STAMP_OWN: u8 = 1;
const STAMP_TABLE: u8 = 2;
const STAMP_LITERAL: u8 = 3;

/// In half a byte: this or more, and the rest of the number follows.
const NIBBLE_MAX: u8 = 15;

/// Bytes that a cell takes on the wire beside its path and payload, at most.
pub(crate) const CELL_OVERHEAD_MAX: usize = 1 + 4 + text::OVERHEAD_MAX + 18 + 2;

/// Bytes that a cell takes on the wire at most.
pub(crate) const fn cell_len_max(path_len: usize, payload_len: usize) -> usize {
    CELL_OVERHEAD_MAX + path_len + payload_len
}

/// The literal path before, in full.
#[derive(Default)]
pub(crate) struct LiteralPath(heapless::Vec<u8, PATH_LEN_MAX>);

impl LiteralPath {
    /// Cuts to `shared` bytes and reads `len` more.
    fn read_tail(&mut self, reader: &mut Reader<'_>, shared: usize, len: usize) -> Result<(), Damaged> {
        let offset = reader.offset();
        let no_path = DecodeError::Path { offset };
        let before = self.0.get(shared).copied();
        if shared > self.0.len() {
            return Err(reader.fail(no_path));
        }
        self.0.truncate(shared);
        text::read(reader, len, &mut self.0)?;
        // As much is shared as can be.
        let one_form = self.0.get(shared).is_none_or(|byte| Some(*byte) != before);
        let text = core::str::from_utf8(&self.0).map_err(|_| reader.fail(no_path))?;
        if one_form && Path::new(text).is_ok() { Ok(()) } else { Err(reader.fail(no_path)) }
    }

    /// The path of `cell`, if that is the literal one that was just read.
    pub(crate) fn path_if(&self, cell: &WireCell<'_>) -> Option<Path<'_>> {
        let text = core::str::from_utf8(&self.0).expect("checked when it was set");
        (cell.path == WirePath::Literal).then_some(Path::from_checked(text))
    }
}

/// How a path is named on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WirePath {
    /// In the [`LiteralPath`] of the reader.
    Literal,
    Slot(usize),
}

/// How a stamp is named on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StampRef {
    pub(crate) replica: ReplicaRef,
    pub(crate) time: u64,
}

/// A cell as read: names are not resolved yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WireCell<'a> {
    pub(crate) path: WirePath,
    pub(crate) stamp: StampRef,
    /// The replica is named here, not carried over from the cell before.
    pub(crate) names_replica: bool,
    pub(crate) kind: Kind,
    /// Found to be the one form of its content.
    pub(crate) payload: &'a [u8],
}

/// Reads the cells of one run after the other, each when it is asked for.
#[derive(Default)]
pub(crate) struct RunReader {
    literal: LiteralPath,
    stamp: Option<StampRef>,
    rest: Rest,
}

/// What is left to be read of a run.
#[derive(Clone, Copy, Default)]
enum Rest {
    Cells,
    #[default]
    Nothing,
    /// The cell of an Update: its tag, which has been read, and where that is.
    Update {
        tag: u8,
        offset: usize,
    },
}

impl RunReader {
    /// A run of cells comes next.
    pub(crate) fn begin(&mut self) {
        self.literal.0.clear();
        self.stamp = None;
        self.rest = Rest::Cells;
    }

    /// An Update: the tag has been read. The cell is the whole run.
    pub(crate) fn begin_update(&mut self, tag: u8, offset: usize) {
        self.begin();
        self.rest = Rest::Update { tag, offset };
    }

    /// The next cell; `None` after the last. The literal path, if it has one, is in [`literal`](Self::literal).
    pub(crate) fn next<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        cursor: &mut Cursor,
    ) -> Result<Option<WireCell<'a>>, Damaged> {
        match self.rest {
            Rest::Nothing => Ok(None),
            Rest::Cells => self.cell(reader, cursor).map(Some),
            Rest::Update { tag, offset } => self.update(reader, cursor, tag, offset).map(Some),
        }
    }

    pub(crate) fn literal(&self) -> &LiteralPath {
        &self.literal
    }

    fn cell<'a>(&mut self, reader: &mut Reader<'a>, cursor: &mut Cursor) -> Result<WireCell<'a>, Damaged> {
        let offset = reader.offset();
        let header = reader.byte()?;
        if header & LAST != 0 {
            self.rest = Rest::Nothing;
        }
        let kind = Kind::from_number(header & 0x0f)
            .ok_or_else(|| reader.fail(DecodeError::Tag { offset, tag: header }))?;
        let path = read_path(reader, cursor, header & LITERAL != 0, &mut self.literal)?;
        let mode = (header >> 4) & 3;
        let stamp = match (mode, self.stamp) {
            (STAMP_SAME, Some(stamp)) => stamp,
            _ => read_stamp(reader, cursor, mode)?,
        };
        self.stamp = Some(stamp);
        let payload = read_payload(reader, kind)?;
        Ok(WireCell { path, stamp, names_replica: mode != STAMP_SAME, kind, payload })
    }

    fn update<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        cursor: &mut Cursor,
        tag: u8,
        tag_offset: usize,
    ) -> Result<WireCell<'a>, Damaged> {
        self.rest = Rest::Nothing;
        let kind = Kind::from_number(tag & 0x0f).filter(|_| tag & 0x10 == 0);
        let kind = kind.ok_or_else(|| reader.fail(DecodeError::Tag { offset: tag_offset, tag }))?;
        let literal = tag & super::tag::UPDATE_LITERAL != 0;
        let path = read_path(reader, cursor, literal, &mut self.literal)?;
        let time = cursor.last_time + reader.varint(crate::limits::TIME_MAX - cursor.last_time)?;
        cursor.last_time = time;
        cursor.defining = true;
        let payload = read_payload(reader, kind)?;
        let stamp = StampRef { replica: ReplicaRef::Own, time };
        Ok(WireCell { path, stamp, names_replica: true, kind, payload })
    }
}

fn read_stamp(reader: &mut Reader<'_>, cursor: &mut Cursor, mode: u8) -> Result<StampRef, Damaged> {
    let offset = reader.offset();
    let replica = match mode {
        STAMP_SAME => return Err(reader.fail(DecodeError::Reference { offset, reference: 0, defined: 0 })),
        STAMP_OWN => ReplicaRef::Own,
        STAMP_TABLE => {
            let reference = reader.varint(u64::MAX)?;
            if reference >= cursor.replicas as u64 {
                return Err(reader.fail(DecodeError::Reference {
                    offset,
                    reference,
                    defined: cursor.replicas,
                }));
            }
            ReplicaRef::Table(reference as usize)
        }
        _ => {
            let id = ReplicaId::new(u64::from_le_bytes(reader.array()?));
            cursor.define_replica();
            ReplicaRef::Literal(id)
        }
    };
    let time = reader.time_after(cursor.last_time)?;
    cursor.last_time = time;
    Ok(StampRef { replica, time })
}

fn read_path(
    reader: &mut Reader<'_>,
    cursor: &mut Cursor,
    is_literal: bool,
    literal: &mut LiteralPath,
) -> Result<WirePath, Damaged> {
    let offset = reader.offset();
    if is_literal {
        let lengths = reader.byte()?;
        let mut length = |nibble: u8, limit: usize| -> Result<usize, Damaged> {
            if nibble < NIBBLE_MAX {
                return Ok(nibble.into());
            }
            let limit = limit.saturating_sub(NIBBLE_MAX.into());
            Ok(usize::from(NIBBLE_MAX) + reader.varint(limit as u64)? as usize)
        };
        let shared = length(lengths >> 4, PATH_LEN_MAX)?;
        let len = length(lengths & 0x0f, PATH_LEN_MAX - shared)?;
        literal.read_tail(reader, shared, len)?;
        cursor.define_path(shared + len);
        return Ok(WirePath::Literal);
    }
    let reference = reader.varint(u64::MAX)?;
    if reference >= cursor.paths as u64 {
        return Err(reader.fail(DecodeError::Reference { offset, reference, defined: cursor.paths }));
    }
    Ok(WirePath::Slot(reference as usize))
}

fn read_payload<'a>(reader: &mut Reader<'a>, kind: Kind) -> Result<&'a [u8], Damaged> {
    let offset = reader.offset();
    let len = match kind {
        Kind::Str | Kind::Bytes => reader.varint(VALUE_LEN_MAX as u64)? as usize,
        Kind::F64 => 8,
        Kind::F32 => 4,
        Kind::Int | Kind::Decimal1 | Kind::Decimal2 | Kind::Decimal3 | Kind::Decimal6 => {
            let number = varint::decode(reader.rest());
            number.map(|(_, len)| len).ok_or_else(|| reader.fail(DecodeError::Content { offset }))?
        }
        Kind::Tombstone | Kind::Map | Kind::List | Kind::Null | Kind::False | Kind::True => 0,
    };
    let payload = reader.bytes(len)?;
    if kind.is_one_form(payload) { Ok(payload) } else { Err(reader.fail(DecodeError::Content { offset })) }
}

/// Writes a run of cells. The caller resolves names and makes sure of the capacity; see [`cell_len_max`].
#[derive(Default)]
pub(crate) struct RunWriter {
    literal: LiteralPath,
    stamp: Option<(ReplicaId, u64)>,
    last_header: Option<usize>,
}

impl RunWriter {
    /// Appends a cell whose path is in `slot` of the dictionary, or is literal.
    pub(crate) fn cell(
        &mut self,
        writer: &mut Writer<'_>,
        (path, slot): (Path<'_>, Option<usize>),
        (id, replica, time): (ReplicaId, ReplicaRef, u64),
        (kind, payload): (Kind, &[u8]),
        last_time: &mut u64,
    ) -> Result<(), Full> {
        let same = self.stamp == Some((id, time));
        let mode = match replica {
            _ if same => STAMP_SAME,
            ReplicaRef::Own => STAMP_OWN,
            ReplicaRef::Table(_) => STAMP_TABLE,
            ReplicaRef::Literal(_) => STAMP_LITERAL,
        };
        let header = writer.len();
        writer.byte(if slot.is_none() { LITERAL } else { 0 } | mode << 4 | kind as u8)?;
        self.write_path(writer, path, slot)?;
        match replica {
            _ if same => {}
            ReplicaRef::Own => {}
            ReplicaRef::Table(index) => writer.varint(index as u64)?,
            ReplicaRef::Literal(id) => writer.bytes(&id.get().to_le_bytes())?,
        }
        if !same {
            writer.signed(time as i64 - *last_time as i64)?;
            *last_time = time;
        }
        write_payload(writer, kind, payload)?;
        self.stamp = Some((id, time));
        self.last_header = Some(header);
        Ok(())
    }

    /// Writes an Update: one cell of the sender's own, newer than the last time it sent.
    pub(crate) fn update(
        &mut self,
        writer: &mut Writer<'_>,
        (path, slot): (Path<'_>, Option<usize>),
        time_delta: u64,
        (kind, payload): (Kind, &[u8]),
        ask: bool,
    ) -> Result<(), Full> {
        let literal = if slot.is_none() { super::tag::UPDATE_LITERAL } else { 0 };
        let ask = if ask { super::tag::UPDATE_ASK } else { 0 };
        writer.byte(super::tag::UPDATE | literal | ask | kind as u8)?;
        self.write_path(writer, path, slot)?;
        writer.varint(time_delta)?;
        write_payload(writer, kind, payload)
    }

    /// Whether the cell before in this run has that stamp: it need not be named again.
    pub(crate) fn has_stamp(&self, replica: ReplicaId, time: u64) -> bool {
        self.stamp == Some((replica, time))
    }

    /// Marks the last cell; false when there was none.
    pub(crate) fn finish(self, writer: &mut Writer<'_>) -> bool {
        if let Some(header) = self.last_header {
            writer.patch(header, |byte| *byte |= LAST);
        }
        self.last_header.is_some()
    }

    fn write_path(
        &mut self,
        writer: &mut Writer<'_>,
        path: Path<'_>,
        slot: Option<usize>,
    ) -> Result<(), Full> {
        if let Some(slot) = slot {
            return writer.varint(slot as u64);
        }
        let path = path.as_str().as_bytes();
        let shared = self.literal.0.iter().zip(path).take_while(|(a, b)| a == b).count();
        let lengths = [shared, path.len() - shared];
        let [high, low] = lengths.map(|len| len.min(NIBBLE_MAX.into()) as u8);
        writer.byte(high << 4 | low)?;
        for len in lengths {
            if let Some(rest) = len.checked_sub(NIBBLE_MAX.into()) {
                writer.varint(rest as u64)?;
            }
        }
        text::write(writer, &path[shared..])?;
        self.literal.0.clear();
        self.literal.0.extend_from_slice(path).expect("a path is no longer than a path");
        Ok(())
    }
}

fn write_payload(writer: &mut Writer<'_>, kind: Kind, payload: &[u8]) -> Result<(), Full> {
    if kind.has_length() {
        writer.varint(payload.len() as u64)?;
    }
    writer.bytes(payload)
}
