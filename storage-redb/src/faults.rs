//! A disk in memory that loses power, tears writes, fails and lies, the same way for the same seed.
//!
//! The model of a power cut: everything before the last sync arrived; of the writes and length changes since then any
//! subset did, and of each write that did any run of its bytes. A sync that was under way is a power cut before it.
//! Reordering needs no model of its own: writes that overtook others are such a subset.
//!
//! ```
//! use storage_redb::faults::Disk;
//! use storage_redb::{Batch, Options};
//!
//! let disk = Disk::new();
//! let store = Options::new().open_backend(disk.clone())?;
//! let mut batch = Batch::new();
//! batch.document("d", b"meta");
//! store.commit(&batch)?;
//!
//! // Out of power in mid-air; what the old machine still tries to write is lost.
//! let after = disk.cut_power(7);
//! drop(store);
//! let store = Options::new().open_backend(after)?;
//! assert!(store.load("d")?.is_some());
//! # Ok::<(), storage_redb::StoreError>(())
//! ```

use std::fmt::{self, Debug, Formatter};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

/// Something that was done to a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// The length became this many bytes; new ones are zero.
    SetLen(u64),
    /// Everything so far was made durable.
    Sync,
    /// These bytes were written at this offset, bytes.
    Write(u64, Vec<u8>),
}

/// How a failing disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Every operation fails, reads too (EIO).
    Broken,
    /// Growing fails, and so does every write behind the current length (ENOSPC).
    Full,
    /// Growing, writes and syncs fail, reads do not (EIO).
    ReadOnly,
}

#[derive(Default)]
struct State {
    /// What a read sees.
    live: Vec<u8>,
    /// What is safe from a power cut.
    synced: Vec<u8>,
    /// What changed since, in order.
    unsynced: Vec<Operation>,
    /// Operations that changed something, or were syncs, since the disk was made.
    operations: u64,
    /// Every such operation, if it records.
    log: Option<Vec<Operation>>,
    /// From which operation on the disk fails, and how.
    failure: Option<(u64, Failure)>,
    lies: bool,
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that holds these bytes, all of them synced.
    pub fn from_image(image: Vec<u8>) -> Self {
        let state = State { live: image.clone(), synced: image, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Whether syncs from now on report success and do nothing.
    pub fn lie_about_syncs(&self, lies: bool) {
        self.state().lies = lies;
    }

    /// Makes the disk fail once it has done `after` operations (see [`operations`](Self::operations)).
    pub fn fail_after(&self, after: u64, failure: Failure) {
        self.state().failure = Some((after, failure));
    }

    /// Ends all failures.
    pub fn repair(&self) {
        self.state().failure = None;
    }

    /// Keeps a copy of every operation from now on, for [`take_log`](Self::take_log).
    pub fn record(&self) {
        self.state().log = Some(Vec::new());
    }

    /// The operations since [`record`](Self::record); ends the recording. To be replayed with [`apply`](Self::apply).
    pub fn take_log(&self) -> Vec<Operation> {
        self.state().log.take().unwrap_or_default()
    }

    /// Does an operation again, on this disk. Lies and failures have no part in it.
    pub fn apply(&self, operation: &Operation) {
        let mut state = self.state();
        apply(&mut state.live, operation);
        if *operation == Operation::Sync {
            state.sync();
        } else {
            state.unsynced.push(operation.clone());
        }
        state.operations += 1;
    }

    /// Flips one bit, in what is read and in what is synced.
    ///
    /// # Panics
    ///
    /// When the disk has no such bit.
    pub fn flip_bit(&self, bit: u64) {
        let mut state = self.state();
        let (byte, mask) = ((bit / 8) as usize, 1 << (bit % 8));
        assert!(byte < state.live.len(), "bit {bit} of a disk of {} bytes", state.live.len());
        state.live[byte] ^= mask;
        if let Some(synced) = state.synced.get_mut(byte) {
            *synced ^= mask;
        }
    }

    /// What could be on the disk after a power cut now. Each seed gives another of the possible images.
    pub fn crash(&self, seed: u64) -> Vec<u8> {
        let state = self.state();
        let mut random = Random(seed);
        let mut image = state.synced.clone();
        for operation in &state.unsynced {
            match random.below(4) {
                0 => {}
                1 => apply(&mut image, &torn(operation, &mut random)),
                _ => apply(&mut image, operation),
            }
        }
        image
    }

    /// Cuts the power: this disk fails from now on, the one given back holds [`crash`](Self::crash) of the seed.
    pub fn cut_power(&self, seed: u64) -> Self {
        let image = self.crash(seed);
        self.fail_after(0, Failure::Broken);
        Self::from_image(image)
    }

    /// Everything written so far, synced or not.
    pub fn image(&self) -> Vec<u8> {
        self.state().live.clone()
    }

    /// The number of writes, length changes and syncs so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The state is plain data: a panic elsewhere cannot leave it half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for Disk {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Disk")
            .field("len", &state.live.len())
            .field("unsynced", &state.unsynced.len())
            .field("operations", &state.operations)
            .finish_non_exhaustive()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        let state = self.state();
        state.check_read()?;
        Ok(state.live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        state.check_read()?;
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| state.live.get(start..start.checked_add(out.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state().change(Operation::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state().change(Operation::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.state().change(Operation::Write(offset, data.to_vec()))
    }
}

impl State {
    fn change(&mut self, operation: Operation) -> io::Result<()> {
        if let Some((after, failure)) = self.failure
            && self.operations >= after
        {
            let grows = match &operation {
                Operation::SetLen(len) => *len > self.live.len() as u64,
                Operation::Sync => false,
                Operation::Write(offset, data) => offset + data.len() as u64 > self.live.len() as u64,
            };
            match failure {
                Failure::Broken | Failure::ReadOnly => return Err(broken()),
                Failure::Full if grows => return Err(io::ErrorKind::StorageFull.into()),
                Failure::Full => {}
            }
        }
        self.operations += 1;
        if let Some(log) = &mut self.log {
            log.push(operation.clone());
        }
        if operation != Operation::Sync {
            apply(&mut self.live, &operation);
            self.unsynced.push(operation);
        } else if !self.lies {
            self.sync();
        }
        Ok(())
    }

    fn sync(&mut self) {
        // Replayed instead of copied: a sync costs what was written, not the size of the disk.
        for operation in self.unsynced.drain(..) {
            apply(&mut self.synced, &operation);
        }
    }

    fn check_read(&self) -> io::Result<()> {
        match self.failure {
            Some((after, Failure::Broken)) if self.operations >= after => Err(broken()),
            _ => Ok(()),
        }
    }
}

fn apply(image: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::SetLen(len) => image.resize(*len as usize, 0),
        Operation::Sync => {}
        Operation::Write(offset, data) => {
            let start = *offset as usize;
            // A write whose growth was lost still lands, and grows the file itself, as on a real one.
            if image.len() < start + data.len() {
                image.resize(start + data.len(), 0);
            }
            image[start..start + data.len()].copy_from_slice(data);
        }
    }
}

/// A run of the bytes of a write, at any byte; a length change arrives whole.
fn torn(operation: &Operation, random: &mut Random) -> Operation {
    match operation {
        Operation::Write(offset, data) if !data.is_empty() => {
            let len = data.len() as u64;
            let (a, b) = (random.below(len + 1), random.below(len + 1));
            let (start, end) = match random.below(3) {
                0 => (0, a),
                1 => (a, len),
                _ => (a.min(b), a.max(b)),
            };
            Operation::Write(offset + start, data[start as usize..end as usize].to_vec())
        }
        other => other.clone(),
    }
}

fn broken() -> io::Error {
    io::Error::other("the disk does not answer")
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), so that a seed means the same
/// power cut in every version.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, near enough to uniform for the bounds here.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
