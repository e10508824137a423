//! Vectors on the wire: replicas with times.
//!
//! | field | bytes | what |
//! |---|---|---|
//! | count | LEB128 | entries |
//! | each: replica | LEB128 | 0: the sender's own; 1: an id follows (8 bytes, little endian), which takes the next number where defining is on; n + 2: number n of the session's table |
//! | each: time | zigzag LEB128 | distance from the time before, which for the first is the last time this side sent |
//!
//! The table of a session begins with the replicas of the initiator's Open, in its order; both sides add what they define.

use super::cells::Cursor;
use super::reader::{DecodeError, Reader};
use super::writer::{Full, Writer};
use crate::id::ReplicaId;
use crate::limits::REPLICAS_MAX;

/// How a replica is named on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplicaRef {
    Literal(ReplicaId),
    Own,
    Table(usize),
}

/// A vector in a frame, checked; its entries are read again when they are needed.
#[derive(Clone, Copy)]
pub(crate) struct VectorSection<'a> {
    reader: Reader<'a>,
    cursor: Cursor,
    pub(crate) count: usize,
}

impl<'a> VectorSection<'a> {
    /// Checks a vector and moves past it.
    pub(crate) fn read(reader: &mut Reader<'a>, cursor: &mut Cursor) -> Result<Self, DecodeError> {
        let count = reader.varint(REPLICAS_MAX as u64)? as usize;
        let section = Self { reader: *reader, cursor: *cursor, count };
        for _ in 0..count {
            read_entry(reader, cursor)?;
        }
        Ok(section)
    }

    /// Whether literals in it define.
    pub(crate) fn is_defining(&self) -> bool {
        self.cursor.defining
    }

    /// The entries.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (ReplicaRef, u64)> + 'a {
        let (mut reader, mut cursor) = (self.reader, self.cursor);
        (0..self.count).map(move |_| read_entry(&mut reader, &mut cursor).expect("the vector was checked"))
    }
}

fn read_entry(reader: &mut Reader<'_>, cursor: &mut Cursor) -> Result<(ReplicaRef, u64), DecodeError> {
    let replica = read_replica(reader, cursor)?;
    let time = reader.time_after(cursor.last_time)?;
    cursor.last_time = time;
    Ok((replica, time))
}

/// Reads how a replica is named.
pub(crate) fn read_replica(reader: &mut Reader<'_>, cursor: &mut Cursor) -> Result<ReplicaRef, DecodeError> {
    let offset = reader.offset();
    match reader.varint(u64::MAX)? {
        0 => Ok(ReplicaRef::Own),
        1 => {
            let id = ReplicaId::new(u64::from_le_bytes(reader.array()?));
            cursor.define_replica();
            Ok(ReplicaRef::Literal(id))
        }
        reference if reference - 2 < cursor.replicas as u64 => {
            Ok(ReplicaRef::Table((reference - 2) as usize))
        }
        reference => Err(DecodeError::Reference { offset, reference, defined: cursor.replicas }),
    }
}

/// Writes how a replica is named.
pub(crate) fn write_replica(writer: &mut Writer<'_>, replica: ReplicaRef) -> Result<(), Full> {
    match replica {
        ReplicaRef::Own => writer.varint(0),
        ReplicaRef::Literal(id) => {
            writer.varint(1)?;
            writer.bytes(&id.get().to_le_bytes())
        }
        ReplicaRef::Table(index) => writer.varint(index as u64 + 2),
    }
}

/// Writes one entry; `last_time` moves along.
pub(crate) fn write_entry(
    writer: &mut Writer<'_>,
    replica: ReplicaRef,
    time: u64,
    last_time: &mut u64,
) -> Result<(), Full> {
    write_replica(writer, replica)?;
    writer.signed(time as i64 - *last_time as i64)?;
    *last_time = time;
    Ok(())
}
