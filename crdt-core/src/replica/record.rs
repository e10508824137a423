//! Records on disk: one per cell, and one for everything else. The driver decides where to store them.
//!
//! Cell record (the path is the driver's key):
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 6 | time of the stamp, milliseconds, little endian |
//! | 6 | 8 | replica of the stamp, little endian |
//! | 14 | 1 | kind of the content |
//! | 15 | rest | payload |
//!
//! State record: numbers are LEB128, ids 8 bytes little endian, a vector is a count and then id and time of each entry.
//!
//! | field | what |
//! |---|---|
//! | format | 1 byte: 1 |
//! | name | length, then UTF-8 |
//! | replica | id |
//! | clock | highest time seen |
//! | unverified | 0: no; t + 1: own writes after t are not sent yet, and the spare id follows |
//! | horizon | id, time |
//! | version vector, floor | vectors |
//! | fingerprint | 8 bytes, little endian |
//! | given-up ids | a count, then ids |
//! | peers | a count, then of each: key (32 bytes), flags (1 byte: 1 active, 2 a replica id follows), replica id, acknowledged: vector |
//! | retired ids | left out if there are none: retirement time of the last one that is no longer listed, a count, then id, time and retirement time of each |

use rand_core::Rng;

use super::Replica;
use core::fmt;

use crate::causal::{Knowledge, Retired, Stamp, VersionVector};
use crate::cell::{Cell, Content, Kind, Path, PathError};
use crate::config::Config;
use crate::error::CapacityError;
use crate::id::{DocumentName, PeerId, ReplicaId};
use crate::limits::{DOCUMENT_NAME_LEN_MAX, VALUE_LEN_MAX};
use crate::list::List;
use crate::replica::PersistToken;
use crate::storage::{CellStore, Stored};
use crate::sync::{Context, Memory, Peer};
use crate::time::{Moment, Time};
use crate::wire::{Damaged, DecodeError, Full, Reader, Writer};

/// The format of records that this version writes. It reads up to this one.
const RECORD_FORMAT: u8 = 1;
const HEAD_LEN: usize = 15;

/// Why a stored document cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It does not fit into this replica's limits.
    #[error("the stored document does not fit: {0}")]
    Capacity(#[from] CapacityError),
    /// The bytes are not a record.
    #[error("the record is damaged: {0}")]
    Damaged(#[from] DecodeError),
    /// The cells are not those that the state record was written with.
    #[error("the cells do not add up to the stored fingerprint: the storage was damaged")]
    Fingerprint,
    /// The replica was used before, or is of another document.
    #[error("the replica was used before, or is of another document: restore into a new one")]
    NotNew,
    /// A path is not valid.
    #[error(transparent)]
    Path(PathError),
    /// Written by a later version.
    #[error("the record has format {found}, this version reads up to {RECORD_FORMAT}: update the program")]
    NewerFormat {
        /// The format of the record.
        found: u8,
    },
}

/// A change to make durable. All changes of one token belong in one atomic commit.
#[derive(Clone, Copy, Debug)]
pub enum Unsaved<'a> {
    /// Delete every stored cell of this document; the current ones follow. Only from fixed storage.
    Rewrite,
    /// The cell at this path was removed.
    Removed(&'a str),
    /// The cell at this path is new or has changed. Store its [`CellRecord`].
    Cell(Stored<'a>),
    /// Everything else: one record, which replaces the previous one. It comes last.
    State(StateRecord<'a>),
}

/// The state record of a replica, to be encoded and stored by the driver.
#[derive(Clone, Copy)]
pub struct StateRecord<'a>(&'a dyn EncodeState);

/// A [`Context`], of any memory.
trait EncodeState {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Full>;
}

impl StateRecord<'_> {
    /// Writes the record to the front of `buffer` and returns its length; `None` if it does not fit.
    /// O(replicas + peers).
    pub fn encode(&self, buffer: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(buffer);
        self.0.encode(&mut writer).ok().map(|()| writer.len())
    }

    /// The encoded record.
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> alloc::vec::Vec<u8> {
        let mut buffer = alloc::vec![0; 512];
        loop {
            match self.encode(&mut buffer) {
                Some(len) => {
                    buffer.truncate(len);
                    return buffer;
                }
                None => buffer.resize(2 * buffer.len(), 0),
            }
        }
    }
}

impl fmt::Debug for StateRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateRecord").finish_non_exhaustive()
    }
}

/// A cell's record, to be stored under its path.
#[derive(Debug)]
pub struct CellRecord;

impl CellRecord {
    /// Longest record, in bytes.
    pub const LEN_MAX: usize = HEAD_LEN + VALUE_LEN_MAX;

    /// Writes the record of `cell` to the front of `buffer` and returns its length; `None` if it does not
    /// fit.
    pub fn encode(cell: &Stored<'_>, buffer: &mut [u8]) -> Option<usize> {
        let record = buffer.get_mut(..HEAD_LEN + cell.payload.len())?;
        record[..6].copy_from_slice(&cell.stamp.time.as_ms().to_le_bytes()[..6]);
        record[6..14].copy_from_slice(&cell.stamp.replica.get().to_le_bytes());
        record[14] = cell.kind as u8;
        record[HEAD_LEN..].copy_from_slice(cell.payload);
        Some(record.len())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`RestoreError::Damaged`] if it is not a record.
    pub fn decode<'a>(path: Path<'a>, record: &'a [u8]) -> Result<Cell<'a>, RestoreError> {
        let mut reader = Reader::new(record);
        let (stamp, kind) = read_cell_head(&mut reader).map_err(|Damaged| reader.error())?;
        let content = Kind::from_number(kind).and_then(|kind| Content::decode(kind, reader.rest()));
        let content = content.ok_or(DecodeError::Content { offset: HEAD_LEN - 1 })?;
        Ok(Cell { path, stamp, content })
    }
}

impl<S: Memory, R: Rng> Replica<S, R> {
    /// Passes everything that changed since the last call to `sink`. Call it after
    /// [`Output::Persist`](super::Output::Persist).
    ///
    /// Store all of it in one atomic commit, then pass the token to
    /// [`handle_persisted`](Self::handle_persisted). If the disk fails, drop the replica and load it again.
    /// O(changes).
    pub fn take_unsaved(&mut self, mut sink: impl FnMut(Unsaved<'_>)) -> PersistToken {
        let cells = &self.context.document.cells;
        match cells.removed() {
            Some(paths) => paths.for_each(|path| sink(Unsaved::Removed(path))),
            None if cells.has_removed() => {
                sink(Unsaved::Rewrite);
                self.saved_seq = 0;
            }
            None => {}
        }
        cells.since(self.saved_seq).for_each(|cell| sink(Unsaved::Cell(cell)));
        self.saved_seq = self.context.document.seq;
        self.context.document.cells.clear_removed();
        sink(Unsaved::State(self.state_record()));
        PersistToken(self.issued)
    }

    /// The current state record, changed or not. To commit it with cells, use
    /// [`take_unsaved`](Self::take_unsaved).
    pub fn state_record(&self) -> StateRecord<'_> {
        StateRecord(&self.context)
    }

    /// Loads a replica from its state record and the records of its cells, in any order.
    ///
    /// The records may be an old copy, which is not detected here: see
    /// [`is_unverified`](Self::is_unverified). O(cells x log cells).
    ///
    /// # Errors
    /// [`RestoreError`]. The records are unchanged.
    pub fn load<'a>(
        moment: Moment,
        config: Config,
        rng: R,
        state: &[u8],
        cells: impl IntoIterator<Item = Cell<'a>>,
    ) -> Result<Self, RestoreError> {
        let (name, id, _) = read_head(state)?;
        let mut replica = Self::with_id(&name, id, config, rng);
        replica.restore(moment, state, cells)?;
        Ok(replica)
    }

    /// As [`load`](Self::load), but into a new replica of this document: for a device whose stack is too
    /// small for a second one.
    ///
    /// # Errors
    /// [`RestoreError`]; the replica may contain a part of the records then, and must not be used. The
    /// records are unchanged.
    pub fn restore<'a>(
        &mut self,
        moment: Moment,
        state: &[u8],
        cells: impl IntoIterator<Item = Cell<'a>>,
    ) -> Result<(), RestoreError> {
        let fingerprint = self.read_state(state)?;
        for cell in cells {
            self.context.document.join(cell)?;
        }
        if self.context.document.fingerprint() != fingerprint {
            return Err(RestoreError::Fingerprint);
        }
        self.saved_seq = self.context.document.seq;
        self.context.document.cells.clear_removed();
        self.context.unsaved = false;
        self.context.begin(moment);
        self.note_loaded();
        Ok(())
    }

    /// Reads everything but the cells, and returns the fingerprint that they must have.
    fn read_state(&mut self, state: &[u8]) -> Result<u64, RestoreError> {
        let (name, id, mut reader) = read_head(state)?;
        if name != self.context.name || self.context.document.seq != 0 || self.context.peers.len() != 0 {
            return Err(RestoreError::NotNew);
        }
        self.context.document.replica = id;
        self.read_rest(&mut reader).map_err(|stop| match stop {
            Stop::Capacity(error) => error.into(),
            Stop::Damaged => reader.error().into(),
        })
    }

    /// Reads what follows the replica's id.
    fn read_rest(&mut self, reader: &mut Reader<'_>) -> Result<u64, Stop> {
        let clock = read_time(reader)?;
        let unverified = reader.varint(crate::limits::TIME_MAX + 1)?;
        self.context.unverified = unverified.checked_sub(1).and_then(Time::from_ms);
        if self.context.unverified.is_some() {
            self.context.document.spare =
                Some(read_id(reader)?).filter(|spare| *spare != self.context.document.replica);
        }
        let horizon = read_id(reader)?;
        let horizon = Stamp::new(read_time(reader)?, horizon);
        let (vv, floor) = (read_vector(reader)?, read_vector(reader)?);
        self.context.document.knowledge = Knowledge::restore(vv, floor, horizon, clock);
        let fingerprint = u64::from_le_bytes(reader.array()?);
        for _ in 0..reader.varint(u64::MAX)? {
            // If not all fit, the oldest are evicted: in all likelihood nothing of them is left.
            let id = read_id(reader)?;
            self.context.give_up(id);
        }
        for _ in 0..reader.varint(u64::MAX)? {
            let mut peer = Peer::new(PeerId(reader.array()?));
            let flags = reader.byte()?;
            peer.active = flags & 1 != 0;
            if flags & 2 != 0 {
                peer.replica = Some(read_id(reader)?);
            }
            peer.acked = read_vector(reader)?;
            let limit = self.context.peers.capacity();
            self.context.peers.insert(peer).ok_or(CapacityError::Peers { limit })?;
        }
        if reader.is_empty() {
            return Ok(fingerprint);
        }
        let dropped = read_time(reader)?;
        for _ in 0..reader.varint(u64::MAX)? {
            let (replica, time) = (read_id(reader)?, read_time(reader)?);
            self.context.document.knowledge.restore_retired(Retired {
                replica,
                time,
                at: read_time(reader)?,
            });
        }
        self.context.document.knowledge.restore_dropped(dropped);
        if reader.is_empty() {
            Ok(fingerprint)
        } else {
            let len = reader.offset() + reader.rest().len();
            Err(reader.fail(DecodeError::TooLong { len }).into())
        }
    }
}

impl<S: Memory> EncodeState for Context<S> {
    fn encode(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        let document = &self.document;
        writer.byte(RECORD_FORMAT)?;
        writer.varint(self.name.as_str().len() as u64)?;
        writer.bytes(self.name.as_str().as_bytes())?;
        write_id(writer, document.replica)?;
        writer.varint(document.knowledge.clock().as_ms())?;
        writer.varint(self.unverified.map_or(0, |time| time.as_ms() + 1))?;
        if self.unverified.is_some() {
            write_id(writer, document.spare.unwrap_or(document.replica))?;
        }
        write_id(writer, document.knowledge.horizon().replica)?;
        writer.varint(document.knowledge.horizon().time.as_ms())?;
        write_vector(writer, document.knowledge.vv())?;
        write_vector(writer, document.knowledge.floor())?;
        writer.bytes(&document.fingerprint().to_le_bytes())?;
        writer.varint(self.given_up.len() as u64)?;
        self.given_up.iter().try_for_each(|id| write_id(writer, *id))?;
        writer.varint(self.peers.len() as u64)?;
        for peer in self.peers.iter() {
            writer.bytes(&peer.id.0)?;
            writer.byte(u8::from(peer.active) | if peer.replica.is_some() { 2 } else { 0 })?;
            if let Some(replica) = peer.replica {
                write_id(writer, replica)?;
            }
            write_vector(writer, &peer.acked)?;
        }
        let retired = document.knowledge.retired();
        if retired.len() > 0 || retired.dropped() > Time::ZERO {
            writer.varint(retired.dropped().as_ms())?;
            writer.varint(retired.len() as u64)?;
        }
        for entry in retired.iter() {
            write_id(writer, entry.replica)?;
            writer.varint(entry.time.as_ms())?;
            writer.varint(entry.at.as_ms())?;
        }
        Ok(())
    }
}

/// Why reading a state record failed. The reader has the details of damage.
enum Stop {
    Capacity(CapacityError),
    Damaged,
}

impl From<CapacityError> for Stop {
    fn from(error: CapacityError) -> Self {
        Stop::Capacity(error)
    }
}

impl From<Damaged> for Stop {
    fn from(Damaged: Damaged) -> Self {
        Stop::Damaged
    }
}

/// The document's name, the replica's id, and a reader of the rest.
fn read_head(state: &[u8]) -> Result<(DocumentName, ReplicaId, Reader<'_>), RestoreError> {
    let mut reader = Reader::new(state);
    let format = reader.byte().map_err(|Damaged| reader.error())?;
    if format > RECORD_FORMAT {
        return Err(RestoreError::NewerFormat { found: format });
    }
    let (name, id) = read_names(&mut reader).map_err(|Damaged| reader.error())?;
    Ok((name, id, reader))
}

fn read_names(reader: &mut Reader<'_>) -> Result<(DocumentName, ReplicaId), Damaged> {
    let offset = reader.offset();
    let len = reader.varint(DOCUMENT_NAME_LEN_MAX as u64)? as usize;
    let name = core::str::from_utf8(reader.bytes(len)?).ok().and_then(|name| DocumentName::new(name).ok());
    let name = name.ok_or_else(|| reader.fail(DecodeError::Content { offset }))?;
    let offset = reader.offset();
    match read_id(reader)? {
        ReplicaId::RETIREMENTS => Err(reader.fail(DecodeError::Content { offset })),
        id => Ok((name, id)),
    }
}

/// Stamp, and number of the kind.
fn read_cell_head(reader: &mut Reader<'_>) -> Result<(Stamp, u8), Damaged> {
    let mut time = [0; 8];
    time[..6].copy_from_slice(reader.bytes(6)?);
    let replica = read_id(reader)?;
    let time = Time::from_ms(u64::from_le_bytes(time)).expect("6 bytes are 48 bits");
    Ok((Stamp::new(time, replica), reader.byte()?))
}

fn write_id(writer: &mut Writer<'_>, id: ReplicaId) -> Result<(), Full> {
    writer.bytes(&id.get().to_le_bytes())
}

fn write_vector<S: Memory>(writer: &mut Writer<'_>, vector: &VersionVector<S>) -> Result<(), Full> {
    writer.varint(vector.len() as u64)?;
    for entry in vector.iter() {
        write_id(writer, entry.replica)?;
        writer.varint(entry.time.as_ms())?;
    }
    Ok(())
}

fn read_id(reader: &mut Reader<'_>) -> Result<ReplicaId, Damaged> {
    reader.array().map(|bytes| ReplicaId::new(u64::from_le_bytes(bytes)))
}

fn read_time(reader: &mut Reader<'_>) -> Result<Time, Damaged> {
    let ms = reader.varint(crate::limits::TIME_MAX)?;
    Ok(Time::from_clock_ms(ms))
}

fn read_vector<S: Memory>(reader: &mut Reader<'_>) -> Result<VersionVector<S>, Stop> {
    let mut vector = VersionVector::new();
    for _ in 0..reader.varint(u64::MAX)? {
        let replica = read_id(reader)?;
        vector.raise(replica, read_time(reader)?)?;
    }
    Ok(vector)
}
