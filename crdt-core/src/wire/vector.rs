//! Vectors on the wire: replicas with times.
//!
//! | field | bytes | what |
//! |---|---|---|
//! | count | LEB128 | entries |
//! | each: replica | LEB128 | 0: the sender's own; 1: an id follows (8 bytes, little endian), which takes the next number where defining is on; n + 2: number n of the session's table |
//! | each: time | zigzag LEB128 | distance from the time before, which for the first is the last time this side sent |
//!
//! The table of a session begins with the replicas of the initiator's Open, in its order; both sides add what they define.

use core::hash::Hasher;

use super::cursor::Cursor;
use super::reader::{Damaged, DecodeError, Reader};
use super::writer::{Full, Writer};
use crate::causal::{KnowledgeMemory, VectorEntry, VersionVector};
use crate::fingerprint::sip_hash;
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
    /// From the first entry on.
    rest: &'a [u8],
    cursor: Cursor,
    pub(crate) count: usize,
}

impl<'a> VectorSection<'a> {
    /// Checks a vector and moves past it.
    pub(crate) fn read(reader: &mut Reader<'a>, cursor: &mut Cursor) -> Result<Self, Damaged> {
        let count = reader.varint(REPLICAS_MAX as u64)? as usize;
        let section = Self { rest: reader.rest(), cursor: *cursor, count };
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
        let (mut reader, mut cursor) = (Reader::new(self.rest), self.cursor);
        (0..self.count).map(move |_| read_entry(&mut reader, &mut cursor).expect("the vector was checked"))
    }
}

/// A replica's vector, named instead of listed.
///
/// 48 bits of a hash over its id and the entries of the others; beside it its own time, which moves the most. A false match
/// would make the peer leave something out until the fingerprints tell: one in 2^48 for each vector that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VectorReference {
    hash: u64,
    /// Own time, as distance from the highest time of the others.
    own: i64,
}

impl VectorReference {
    pub(crate) fn of<S: KnowledgeMemory>(vv: &VersionVector<S>, own: ReplicaId) -> Self {
        Self {
            hash: hash_of_others(vv.entries(), own),
            own: vv.time_of(own).as_ms() as i64 - highest_of_others(vv.entries(), own) as i64,
        }
    }

    /// Whether `vv`, but for its entry of `own`, is meant.
    pub(crate) fn names<S: KnowledgeMemory>(&self, vv: &VersionVector<S>, own: ReplicaId) -> bool {
        self.hash == hash_of_others(vv.entries(), own)
    }

    /// The time of `own`, in milliseconds, given the vector that is meant.
    pub(crate) fn own_time<S: KnowledgeMemory>(&self, vv: &VersionVector<S>, own: ReplicaId) -> Option<u64> {
        highest_of_others(vv.entries(), own).checked_add_signed(self.own)
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.bytes(&self.hash.to_le_bytes()[..HASH_LEN])?;
        writer.signed(self.own)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let mut hash = [0; 8];
        hash[..HASH_LEN].copy_from_slice(reader.bytes(HASH_LEN)?);
        Ok(Self { hash: u64::from_le_bytes(hash), own: reader.signed()? })
    }
}

const HASH_LEN: usize = 6;

fn hash_of_others(vv: &[VectorEntry], own: ReplicaId) -> u64 {
    let hash = sip_hash((0, own.get()), &mut |hasher| {
        for entry in vv.iter().filter(|e| e.replica != own) {
            hasher.write(&entry.replica.get().to_le_bytes());
            hasher.write(&entry.time.as_ms().to_le_bytes());
        }
    });
    hash & ((1 << (8 * HASH_LEN)) - 1)
}

fn highest_of_others(vv: &[VectorEntry], own: ReplicaId) -> u64 {
    vv.iter().filter(|e| e.replica != own).map(|e| e.time.as_ms()).max().unwrap_or(0)
}

fn read_entry(reader: &mut Reader<'_>, cursor: &mut Cursor) -> Result<(ReplicaRef, u64), Damaged> {
    let replica = read_replica(reader, cursor)?;
    let time = reader.time_after(cursor.last_time)?;
    cursor.last_time = time;
    Ok((replica, time))
}

/// Reads how a replica is named.
pub(crate) fn read_replica(reader: &mut Reader<'_>, cursor: &mut Cursor) -> Result<ReplicaRef, Damaged> {
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
        reference => Err(reader.fail(DecodeError::Reference { offset, reference, defined: cursor.replicas })),
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
