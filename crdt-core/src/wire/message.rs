//! The messages of a session. See [`tag`] for the registry.
//!
//! Open:
//!
//! | field | bytes | what |
//! |---|---|---|
//! | version and flags | 1 | bits 3 to 0: protocol version; bit 4: from the initiator; bit 5: digest follows; bit 6: "yours" follows; bit 7: the vector is relative (responder's) or named by a hash (initiator's) |
//! | capacity | 1 | bits 3 to 0: log2 of dictionary slots; bits 7 to 4: log2 of the longest frame / 256 |
//! | more room | 1 | bits 3 to 0: log2 of the table of replicas; bit 4: the time follows; bit 5: own replica is left out; bit 6: "received" follows; bit 7: tell of each retired id |
//! | name | LEB128, UTF-8 | only from the initiator: length, document name |
//! | own replica | LEB128, 0 or 8 | not with a hash, nor from a responder that has never written; 0: the id follows; n + 1: entry n of the initiator's vector |
//! | time | zigzag LEB128 | if flagged: the sender's clock, as distance from the initiator's highest time |
//! | yours | zigzag LEB128 | if flagged: the highest stamp held of the receiver's id, as distance from the initiator's highest time |
//! | received | LEB128, 0 or 8, zigzag LEB128 | if flagged: replica (as own replica) and time (as distance from the initiator's highest; from 0 in its own Open) of the last cell of a batch that broke off in the last session |
//! | digest | 4, little endian | if flagged: of the fingerprint, salted with the initiator's highest time |
//! | vector | | what the sender has |
//!
//! The initiator's vector: a count (LEB128), then for each replica its id (8 bytes, little endian) and its time (zigzag
//! LEB128, distance from the entry before). Named by a hash: 6 bytes of the hash, little endian, then its own time (zigzag
//! LEB128, distance from the highest time of the others). The responder's vector, relative: the entries that differ from the
//! initiator's, each a replica and 0 for "none", or the zigzag distance from the initiator's entry, plus 1
//! (for a replica that the initiator did not list: from its highest time). Absolute: as any other vector.

use serde::{Deserialize, Serialize};

use super::cells::{LiteralPath, RunReader, WireCell};
use super::cursor::Cursor;
use super::reader::{Damaged, DecodeError, Reader};
use super::repair::Step;
use super::tag;
use super::vector::{ReplicaRef, VectorReference, VectorSection, read_replica};
use super::writer;
use crate::id::ReplicaId;
use crate::limits::{DOCUMENT_NAME_LEN_MAX, REPLICAS_MAX, TIME_MAX};
use crate::varint;
use writer::{Full, Writer};

/// Why a peer refused a batch or a document, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// This device may not open that document.
    #[error("this key may not open the document: let it in at the aggregator")]
    Access,
    /// The peer is full.
    #[error("the peer is full: {needed} {what} are needed, {limit} is its limit")]
    Capacity {
        /// What there is not enough of.
        what: Resource,
        /// How much would be in use.
        needed: u64,
        /// How much there is.
        limit: u64,
    },
    /// Stamps too far ahead of the peer's clock.
    #[error("a stamp is {ahead_ms} ms ahead of the peer's clock, {limit_ms} ms are allowed: set the clock")]
    Clock {
        /// How far ahead, in milliseconds.
        ahead_ms: u64,
        /// How far is allowed, in milliseconds.
        limit_ms: u64,
    },
    /// The replica id belongs to another device key.
    #[error("this replica id belongs to another device: two devices run from one image")]
    Fenced,
    /// Another protocol version.
    #[error("the peer speaks protocol version {theirs}, this side {ours}: update the older one")]
    Version {
        /// The refusing peer's version.
        theirs: u8,
        /// The refused side's version.
        ours: u8,
    },
}

impl Refusal {
    pub(crate) fn write(self, writer: &mut Writer<'_>) -> Result<(), Full> {
        let (number, numbers): (u64, &[u64]) = match self {
            Refusal::Access => (0, &[]),
            Refusal::Capacity { what, needed, limit } => (1, &[what as u64, needed, limit]),
            Refusal::Clock { ahead_ms, limit_ms } => (2, &[ahead_ms, limit_ms]),
            Refusal::Fenced => (3, &[]),
            Refusal::Version { theirs, ours } => (4, &[theirs.into(), ours.into()]),
        };
        writer.varint(number)?;
        numbers.iter().try_for_each(|number| writer.varint(*number))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(match reader.varint(4)? {
            0 => Refusal::Access,
            1 => {
                let what = match reader.varint(3)? {
                    0 => Resource::Bytes,
                    1 => Resource::Cells,
                    2 => Resource::Peers,
                    _ => Resource::Replicas,
                };
                Refusal::Capacity { what, needed: reader.varint(u64::MAX)?, limit: reader.varint(u64::MAX)? }
            }
            2 => Refusal::Clock { ahead_ms: reader.varint(u64::MAX)?, limit_ms: reader.varint(u64::MAX)? },
            3 => Refusal::Fenced,
            _ => Refusal::Version {
                theirs: reader.varint(VERSION_MAX)? as u8,
                ours: reader.varint(VERSION_MAX)? as u8,
            },
        })
    }
}

/// What there was not enough of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub enum Resource {
    Bytes,
    Cells,
    Peers,
    Replicas,
}

impl core::fmt::Display for Resource {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Resource::Bytes => "bytes",
            Resource::Cells => "cells",
            Resource::Peers => "peers",
            Resource::Replicas => "replicas",
        })
    }
}

/// The fixed part of Open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenHead<'a> {
    /// The document's name, from the initiator only.
    pub(crate) name: Option<&'a str>,
    pub(crate) replica: OwnReplica,
    /// The initiator's vector is named, not listed.
    pub(crate) by_reference: bool,
    pub(crate) dictionary_slots: usize,
    pub(crate) frame_len_max: usize,
    pub(crate) replicas_max: usize,
    pub(crate) time: Option<u64>,
    pub(crate) yours: Option<u64>,
    pub(crate) received: Option<(OwnReplica, u64)>,
    pub(crate) wants_retired: bool,
    pub(crate) digest: Option<u32>,
}

/// How the sender of an Open names itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnReplica {
    /// Entry of the initiator's vector.
    Entry(usize),
    Literal(ReplicaId),
    /// It has written nothing, so nobody needs to know; or the initiator's vector is named by a hash, which says it.
    Unnamed,
}

/// The vector of an Open, checked.
#[derive(Clone, Copy)]
pub(crate) enum OpenVector<'a> {
    Absolute(VectorSection<'a>),
    Initiator { rest: &'a [u8], count: usize },
    Reference(VectorReference),
    Relative { rest: &'a [u8], cursor: Cursor, count: usize },
}

/// The initiator's highest time: what the other times of both Opens are relative to.
pub(crate) fn highest_time(times: impl Iterator<Item = u64>) -> u64 {
    times.max().unwrap_or(0)
}

/// Highest protocol version: half a byte of Open.
const VERSION_MAX: u64 = 0x0f;
const INITIATOR: u8 = 0x10;
const DIGEST: u8 = 0x20;
const YOURS: u8 = 0x40;
const RELATIVE: u8 = 0x80;
const TIME: u8 = 0x10;
const UNNAMED: u8 = 0x20;
const RECEIVED: u8 = 0x40;
const WANTS_RETIRED: u8 = 0x80;

impl OpenHead<'_> {
    /// Writes tag and head; the vector comes next.
    pub(crate) fn write(&self, writer: &mut Writer<'_>, base_time: u64, relative: bool) -> Result<(), Full> {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        writer.byte(tag::OPEN)?;
        writer.byte(
            tag::PROTOCOL_VERSION
                | flag(self.name.is_some(), INITIATOR)
                | flag(self.digest.is_some(), DIGEST)
                | flag(self.yours.is_some(), YOURS)
                | flag(relative || self.by_reference, RELATIVE),
        )?;
        writer.byte(log2(self.dictionary_slots) | log2(self.frame_len_max / 256) << 4)?;
        let unnamed = self.name.is_none() && self.replica == OwnReplica::Unnamed;
        writer.byte(
            log2(self.replicas_max)
                | flag(self.time.is_some(), TIME)
                | flag(unnamed, UNNAMED)
                | flag(self.received.is_some(), RECEIVED)
                | flag(self.wants_retired, WANTS_RETIRED),
        )?;
        if let Some(name) = self.name {
            writer.varint(name.len() as u64)?;
            writer.bytes(name.as_bytes())?;
        }
        self.replica.write(writer)?;
        for time in [self.time, self.yours].into_iter().flatten() {
            writer.signed(time as i64 - base_time as i64)?;
        }
        if let Some((replica, time)) = self.received {
            replica.write(writer)?;
            writer.signed(time as i64 - base_time as i64)?;
        }
        self.digest.map_or(Ok(()), |digest| writer.bytes(&digest.to_le_bytes()))
    }
}

impl OwnReplica {
    fn write(self, writer: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            OwnReplica::Unnamed => Ok(()),
            OwnReplica::Entry(index) => writer.varint(index as u64 + 1),
            OwnReplica::Literal(id) => {
                writer.varint(0)?;
                writer.bytes(&id.get().to_le_bytes())
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        match reader.varint(REPLICAS_MAX as u64)? {
            0 => Ok(OwnReplica::Literal(ReplicaId::new(u64::from_le_bytes(reader.array()?)))),
            entry => Ok(OwnReplica::Entry(entry as usize - 1)),
        }
    }
}

fn log2(number: usize) -> u8 {
    (number.max(1).ilog2() as u8).min(15)
}

/// What the relative entry of a responder's vector says.
pub(crate) fn write_relative_time(writer: &mut Writer<'_>, time: u64, theirs: u64) -> Result<(), Full> {
    match time {
        0 => writer.varint(0),
        _ => writer.varint(varint::zigzag(time as i64 - theirs as i64) + 1),
    }
}

impl<'a> OpenVector<'a> {
    /// Entries listed.
    pub(crate) fn len(self) -> usize {
        match self {
            OpenVector::Absolute(section) => section.count,
            OpenVector::Reference(_) => 0,
            OpenVector::Initiator { count, .. } | OpenVector::Relative { count, .. } => count,
        }
    }

    /// The initiator's entries, in order: the table of the session begins with them.
    pub(crate) fn initiator_entries(self) -> impl Iterator<Item = (ReplicaId, u64)> + 'a {
        let (rest, count) = match self {
            OpenVector::Initiator { rest, count } => (rest, count),
            OpenVector::Absolute(_) | OpenVector::Reference(_) | OpenVector::Relative { .. } => (&[][..], 0),
        };
        let (mut reader, mut last) = (Reader::new(rest), 0);
        (0..count).map(move |_| {
            let (id, time) = read_initiator_entry(&mut reader, last).expect("the vector was checked");
            last = time;
            (id, time)
        })
    }

    /// The responder's differing entries: replica, and what was written by [`write_relative_time`].
    pub(crate) fn relative_entries(self) -> impl Iterator<Item = (ReplicaRef, u64)> + 'a {
        let (rest, mut cursor, count) = match self {
            OpenVector::Relative { rest, cursor, count } => (rest, cursor, count),
            OpenVector::Absolute(_) | OpenVector::Reference(_) | OpenVector::Initiator { .. } => {
                (&[][..], Cursor::none(), 0)
            }
        };
        let mut reader = Reader::new(rest);
        (0..count).map(move |_| {
            let replica = read_replica(&mut reader, &mut cursor).expect("the vector was checked");
            (replica, reader.varint(u64::MAX).expect("the vector was checked"))
        })
    }
}

fn read_initiator_entry(reader: &mut Reader<'_>, last: u64) -> Result<(ReplicaId, u64), Damaged> {
    let id = ReplicaId::new(u64::from_le_bytes(reader.array()?));
    Ok((id, reader.time_after(last)?))
}

/// A message, checked. What it refers to is resolved when it is applied.
pub(crate) enum Message<'a> {
    Ack {
        claims: u64,
        digest: Option<u32>,
    },
    Ask,
    BatchDelta,
    BatchFirst {
        /// `None`: nothing is taken for granted. Otherwise how far the sender's own time in it is behind its Open.
        own_behind: Option<u64>,
    },
    BatchFull,
    /// The cells come from [`MessageReader::next_cell`].
    Cells,
    End {
        claim: VectorSection<'a>,
        ask: bool,
    },
    EndOwn {
        time: u64,
        ask: bool,
    },
    EndFull {
        claim: VectorSection<'a>,
        floor: VectorSection<'a>,
        horizon: (ReplicaRef, u64),
    },
    Need {
        batch: u64,
        full: bool,
        vv: VectorSection<'a>,
    },
    Open(OpenHead<'a>, OpenVector<'a>),
    OpenAgain,
    /// The peer speaks another version; nothing else of the frame can be read.
    OtherVersion(u8),
    Refused(Refused),
    /// Its cells as those of [`Cells`](Self::Cells).
    Repair(Step<'a>),
    Retired {
        ids: VectorSection<'a>,
        at: u64,
    },
    Stable(VectorSection<'a>),
    /// Its only cell as those of [`Cells`](Self::Cells).
    Update {
        ask: bool,
    },
}

/// The batch that was refused, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) batch: u64,
    pub(crate) reason: Refusal,
}

/// Reads and checks the messages of a frame, one after the other.
pub(crate) struct MessageReader<'a> {
    reader: Reader<'a>,
    /// Where this direction of the session stands after what was read.
    pub(crate) cursor: Cursor,
    /// Highest time of a cell or a claim.
    pub(crate) highest_time: u64,
    /// An Open named its vector by a hash: [`begin_names`](Self::begin_names) comes before the next message.
    pub(crate) names_are_open: bool,
    /// The cells of the message before, as far as they were not read.
    run: RunReader,
}

impl<'a> MessageReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], cursor: Cursor) -> Self {
        let reader = Reader::new(bytes);
        Self { reader, cursor, highest_time: 0, names_are_open: false, run: RunReader::default() }
    }

    /// The handle of the document, which comes first in a frame.
    pub(crate) fn handle(&mut self) -> Result<u16, Damaged> {
        self.reader.varint(u16::MAX.into()).map(|handle| handle as u16)
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }

    /// What the hash of an Open stands for: as many replicas, and their highest time.
    pub(crate) fn begin_names(&mut self, replicas: usize, highest: u64) {
        self.cursor.replicas = replicas;
        self.cursor.last_time = highest;
        self.names_are_open = false;
    }

    /// The next message; `None` at the end of the frame.
    pub(crate) fn next(&mut self) -> Result<Option<Message<'a>>, Damaged> {
        while self.next_cell()?.is_some() {}
        if self.reader.is_empty() {
            return Ok(None);
        }
        let offset = self.reader.offset();
        let tag = self.reader.byte()?;
        let message = match tag {
            tag::OPEN => self.open()?,
            tag::BATCH_FIRST => {
                self.cursor.defining = false;
                Message::BatchFirst { own_behind: self.reader.varint(TIME_MAX + 1)?.checked_sub(1) }
            }
            tag::BATCH | tag::BATCH_FULL => {
                self.cursor.defining = true;
                if tag == tag::BATCH { Message::BatchDelta } else { Message::BatchFull }
            }
            tag::CELLS => {
                self.run.begin();
                Message::Cells
            }
            tag::END | tag::END_ASK => {
                let claim = self.claim()?;
                self.cursor.defining = true;
                Message::End { claim, ask: tag == tag::END_ASK }
            }
            tag::END_OWN | tag::END_OWN_ASK => {
                self.cursor.defining = true;
                self.highest_time = self.highest_time.max(self.cursor.last_time);
                Message::EndOwn { time: self.cursor.last_time, ask: tag == tag::END_OWN_ASK }
            }
            tag::END_FULL => {
                let (claim, floor) = (self.claim()?, self.vector()?);
                let replica = read_replica(&mut self.reader, &mut self.cursor)?;
                let time = self.reader.time_after(self.cursor.last_time)?;
                self.cursor.last_time = time;
                // The receiver writes nothing at or below it.
                self.highest_time = self.highest_time.max(time);
                Message::EndFull { claim, floor, horizon: (replica, time) }
            }
            tag::ACK | tag::ACK_DIGEST => {
                let claims = self.reader.varint(u64::from(u32::MAX))?;
                let digest = if tag == tag::ACK_DIGEST {
                    Some(u32::from_le_bytes(self.reader.array()?))
                } else {
                    None
                };
                Message::Ack { claims, digest }
            }
            tag::NEED => {
                let batch = self.reader.varint(u64::from(u32::MAX))?;
                let full = self.reader.varint(1)? == 1;
                Message::Need { batch, full, vv: self.vector()? }
            }
            tag::RETIRED => {
                let ids = self.vector()?;
                let at = self.reader.time_after(self.cursor.last_time)?;
                self.cursor.last_time = at;
                Message::Retired { ids, at }
            }
            tag::STABLE => Message::Stable(self.vector()?),
            tag::REFUSED => {
                let batch = self.reader.varint(u64::from(u32::MAX))?;
                Message::Refused(Refused { batch, reason: Refusal::read(&mut self.reader)? })
            }
            tag::ASK => Message::Ask,
            tag::OPEN_AGAIN => Message::OpenAgain,
            tag::REPAIR => {
                let step = Step::read(&mut self.reader)?;
                if step.has_cells {
                    self.run.begin();
                }
                Message::Repair(step)
            }
            _ if tag & tag::UPDATE != 0 => {
                self.run.begin_update(tag, offset);
                Message::Update { ask: tag & tag::UPDATE_ASK != 0 }
            }
            _ => return Err(self.reader.fail(DecodeError::Tag { offset, tag })),
        };
        Ok(Some(message))
    }

    /// The next cell of the message before; `None` after the last. What is not read so is only checked.
    pub(crate) fn next_cell(&mut self) -> Result<Option<WireCell<'a>>, Damaged> {
        let cell = self.run.next(&mut self.reader, &mut self.cursor)?;
        if let Some(cell) = &cell {
            self.highest_time = self.highest_time.max(cell.stamp.time);
        }
        Ok(cell)
    }

    /// What was wrong, after something was [`Damaged`].
    pub(crate) fn error(&self) -> DecodeError {
        self.reader.error()
    }

    /// The path of a cell that has a literal one, if it was the last to be read.
    pub(crate) fn literal(&self) -> &LiteralPath {
        self.run.literal()
    }

    fn vector(&mut self) -> Result<VectorSection<'a>, Damaged> {
        VectorSection::read(&mut self.reader, &mut self.cursor)
    }

    /// A vector whose times count as written: nobody can have seen what was not.
    fn claim(&mut self) -> Result<VectorSection<'a>, Damaged> {
        let claim = self.vector()?;
        self.highest_time = claim.entries().map(|(_, time)| time).fold(self.highest_time, u64::max);
        Ok(claim)
    }

    fn open(&mut self) -> Result<Message<'a>, Damaged> {
        let offset = self.reader.offset();
        let flags = self.reader.byte()?;
        let version = flags & 0x0f;
        if version != tag::PROTOCOL_VERSION {
            self.reader.bytes(self.reader.rest().len())?;
            return Ok(Message::OtherVersion(version));
        }
        let (capacity, more) = (self.reader.byte()?, self.reader.byte()?);
        let known = 0x0f | TIME | RECEIVED | WANTS_RETIRED | if flags & INITIATOR == 0 { UNNAMED } else { 0 };
        if more & !known != 0 {
            return Err(self.reader.fail(DecodeError::Tag { offset, tag: more }));
        }
        let dictionary_slots = 1 << (capacity & 0x0f);
        let replicas_max = 1 << (more & 0x0f);
        let initiator = flags & INITIATOR != 0;
        let name = if initiator { Some(self.name()?) } else { None };
        let by_reference = initiator && flags & RELATIVE != 0;
        let own_offset = self.reader.offset();
        let unnamed = by_reference || more & UNNAMED != 0;
        let replica = if unnamed { OwnReplica::Unnamed } else { OwnReplica::read(&mut self.reader)? };
        let mut time_if = |on: bool| -> Result<Option<u64>, Damaged> {
            // The initiator's own highest time is not known before its vector: it sends neither.
            let base = if initiator { 0 } else { self.cursor.last_time };
            if on { self.reader.time_after(base).map(Some) } else { Ok(None) }
        };
        let time = time_if(more & TIME != 0)?;
        let yours = time_if(flags & YOURS != 0)?;
        let received = if more & RECEIVED != 0 {
            let replica = OwnReplica::read(&mut self.reader)?;
            let base = if initiator { 0 } else { self.cursor.last_time };
            Some((replica, self.reader.time_after(base)?))
        } else {
            None
        };
        let digest = if flags & DIGEST != 0 { Some(u32::from_le_bytes(self.reader.array()?)) } else { None };
        self.cursor.paths_max = self.cursor.paths_max.min(dictionary_slots);
        self.cursor.replicas_max = self.cursor.replicas_max.min(replicas_max);
        self.cursor.defining = true;
        let vector = if by_reference {
            self.names_are_open = true;
            OpenVector::Reference(VectorReference::read(&mut self.reader)?)
        } else if initiator {
            self.initiator_vector()?
        } else if flags & RELATIVE != 0 {
            self.relative_vector()?
        } else {
            OpenVector::Absolute(self.vector()?)
        };
        if let OwnReplica::Entry(index) = replica
            && index >= self.cursor.replicas
        {
            let (reference, defined) = (index as u64, self.cursor.replicas);
            return Err(self.reader.fail(DecodeError::Reference { offset: own_offset, reference, defined }));
        }
        let head = OpenHead {
            name,
            replica,
            by_reference,
            dictionary_slots,
            frame_len_max: 256 << (capacity >> 4),
            replicas_max,
            time,
            yours,
            received,
            wants_retired: more & WANTS_RETIRED != 0,
            digest,
        };
        Ok(Message::Open(head, vector))
    }

    fn name(&mut self) -> Result<&'a str, Damaged> {
        let offset = self.reader.offset();
        let len = self.reader.varint(DOCUMENT_NAME_LEN_MAX as u64)? as usize;
        let bytes = self.reader.bytes(len)?;
        let name = core::str::from_utf8(bytes).ok().filter(|name| !name.is_empty());
        name.ok_or_else(|| self.reader.fail(DecodeError::Content { offset }))
    }

    /// Ids strictly ascend: the table has no id twice.
    fn initiator_vector(&mut self) -> Result<OpenVector<'a>, Damaged> {
        let count = self.reader.varint(REPLICAS_MAX as u64)? as usize;
        let vector = OpenVector::Initiator { rest: self.reader.rest(), count };
        let (mut last_time, mut highest, mut last_id) = (0, 0, None);
        for _ in 0..count {
            let offset = self.reader.offset();
            let (id, time) = read_initiator_entry(&mut self.reader, last_time)?;
            if last_id.is_some_and(|last| last >= id) || time == 0 {
                return Err(self.reader.fail(DecodeError::Number { offset, limit: TIME_MAX }));
            }
            (last_time, last_id) = (time, Some(id));
            highest = highest.max(time);
        }
        self.cursor.replicas = count;
        self.cursor.last_time = highest;
        Ok(vector)
    }

    fn relative_vector(&mut self) -> Result<OpenVector<'a>, Damaged> {
        let count = self.reader.varint(REPLICAS_MAX as u64)? as usize;
        let vector = OpenVector::Relative { rest: self.reader.rest(), cursor: self.cursor, count };
        for _ in 0..count {
            read_replica(&mut self.reader, &mut self.cursor)?;
            self.reader.varint(u64::MAX)?;
        }
        Ok(vector)
    }
}

/// The handle of the document that a frame belongs to; `None` when the bytes are no frame. For whoever routes frames of
/// several documents that share a connection.
pub fn peek_handle(frame: &[u8]) -> Option<u16> {
    MessageReader::new(frame, Cursor::none()).handle().ok()
}

/// Handle and document name, if the frame begins with the Open of an initiator, of any protocol version that names the
/// document where this one does.
pub fn peek_open(frame: &[u8]) -> Option<(u16, &str)> {
    let mut messages = MessageReader::new(frame, Cursor::none());
    let handle = messages.handle().ok()?;
    if messages.reader.byte().ok()? != tag::OPEN || messages.reader.byte().ok()? & INITIATOR == 0 {
        return None;
    }
    messages.reader.bytes(2).ok()?;
    messages.name().ok().map(|name| (handle, name))
}

/// Whether a frame is content of the document rather than management of its session; for whoever counts bytes by what
/// they are for.
///
/// It goes by the message that the frame begins with: an Open, and an answer, may carry cells behind it. A frame of more than
/// 512 bytes is long because of them, so it is content. Whatever is no frame, or of a version to come, is not.
pub fn peek_is_content(frame: &[u8]) -> bool {
    let mut messages = MessageReader::new(frame, Cursor::none());
    let first = messages.handle().ok().and_then(|_| messages.reader.byte().ok());
    frame.len() > CONTROL_LEN_MAX || first.is_some_and(tag::is_content)
}

/// Longest frame that can be all management, in bytes: an Open that lists some dozen replicas.
const CONTROL_LEN_MAX: usize = 512;

/// Writes a frame that refuses a document, to whoever opened it under this handle: for an aggregator that has no replica
/// to refuse it. The frame's length, or `None` if it does not fit; 64 bytes are enough.
pub fn write_refusal(handle: u16, reason: Refusal, buffer: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(buffer);
    let mut write = || {
        writer.varint(handle.into())?;
        writer.byte(tag::REFUSED)?;
        // No batch: nothing was taken.
        writer.varint(0)?;
        reason.write(&mut writer)
    };
    write().ok()?;
    Some(writer.len())
}

impl Cursor {
    /// Nothing is defined, and nothing can be.
    pub(crate) fn none() -> Self {
        Self { last_time: 0, replicas: 0, replicas_max: 0, paths: 0, paths_max: 0, defining: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_refused_in_a_frame_of_its_own() {
        let mut buffer = [0; 64];
        let len = write_refusal(300, Refusal::Access, &mut buffer).unwrap();
        assert_eq!(buffer[..len], [0xac, 0x02, tag::REFUSED, 0, 0]);
        assert_eq!(peek_handle(&buffer[..len]), Some(300));
        assert_eq!(write_refusal(300, Refusal::Access, &mut buffer[..4]), None);
    }

    #[test]
    fn a_refusal_has_the_bytes_that_it_always_had() {
        let cases: [(Refusal, &[u8]); 5] = [
            (Refusal::Access, &[0]),
            (Refusal::Capacity { what: Resource::Peers, needed: 300, limit: 4 }, &[1, 2, 0xac, 0x02, 4]),
            (Refusal::Clock { ahead_ms: 128, limit_ms: 0 }, &[2, 0x80, 0x01, 0]),
            (Refusal::Fenced, &[3]),
            (Refusal::Version { theirs: 1, ours: 2 }, &[4, 1, 2]),
        ];
        for (refusal, bytes) in cases {
            let mut buffer = [0; 64];
            let mut writer = Writer::new(&mut buffer);
            refusal.write(&mut writer).expect("there is capacity");
            let len = writer.len();
            assert_eq!(&buffer[..len], bytes);
            assert_eq!(Refusal::read(&mut Reader::new(bytes)), Ok(refusal));
            assert_eq!(Refusal::read(&mut Reader::new(&bytes[..len - 1])), Err(Damaged), "{refusal} is cut");
            let mut scratch = [0; 64];
            let by_postcard = postcard::to_slice(&refusal, &mut scratch).expect("there is capacity");
            assert_eq!(by_postcard, bytes, "as postcard writes it, byte for byte");
        }
        assert_eq!(Refusal::read(&mut Reader::new(&[5])), Err(Damaged));
    }
}
