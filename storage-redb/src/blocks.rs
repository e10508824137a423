//! A watch between redb and the disk: what redb has read or written once must read the same again.
//!
//! redb verifies its pages when it opens a file, and trusts them from then on. A page that its cache drops and that
//! comes back different can make it panic, at times twice, which no `catch_unwind` survives. So this layer keeps the
//! CRC-32 of each block, and turns such a read into an I/O error, which redb handles everywhere.
//!
//! It is also the switch by which a store that has stopped keeps redb from touching the file again: redb commits once
//! more when it closes, and after a panic or damage that would build on what nobody can vouch for.
//!
//! Cost: 4 bytes of memory per 4096 of the file, and one CRC-32 per block read or written.

use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

/// Bytes per block. redb's pages are this or a power of two times it, and aligned.
const BLOCK_LEN: u64 = 4096;

/// The checksum of a block of which nothing is known. A block that has it by chance is not watched.
const UNKNOWN: u32 = 0;

/// A disk whose blocks are watched.
#[derive(Debug)]
pub(crate) struct Watched<B> {
    disk: B,
    /// The CRC-32 of each block, as last read or written. Blocks behind the end are unknown.
    known: Mutex<Vec<u32>>,
    switch: Switch,
}

/// Turns a watched disk off, for ever: every operation fails from then on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Switch(Arc<AtomicBool>);

impl Switch {
    pub(crate) fn turn_off(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Acquire) { Err(io::Error::other("the store has stopped")) } else { Ok(()) }
    }
}

impl<B: StorageBackend> Watched<B> {
    pub(crate) fn new(disk: B) -> (Self, Switch) {
        let switch = Switch::default();
        (Self { disk, known: Mutex::new(Vec::new()), switch: switch.clone() }, switch)
    }

    /// Plain numbers: a panic elsewhere cannot leave them half changed.
    fn known(&self) -> MutexGuard<'_, Vec<u32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the blocks that a write touches, wholly or in part.
    fn forget(&self, offset: u64, len: u64) {
        let mut known = self.known();
        let first = index(offset / BLOCK_LEN).min(known.len());
        let end = index(offset.saturating_add(len).div_ceil(BLOCK_LEN)).min(known.len());
        known[first..end].fill(UNKNOWN);
    }
}

/// The whole blocks in a run of bytes: number and content.
fn whole_blocks(offset: u64, data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let skip = index(offset.next_multiple_of(BLOCK_LEN) - offset).min(data.len());
    let first = index(offset.div_ceil(BLOCK_LEN));
    data[skip..].chunks_exact(BLOCK_LEN as usize).enumerate().map(move |(at, block)| (first + at, block))
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl<B: StorageBackend> StorageBackend for Watched<B> {
    fn len(&self) -> io::Result<u64> {
        self.switch.check()?;
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.switch.check()?;
        self.disk.read(offset, out)?;
        let mut known = self.known();
        for (number, block) in whole_blocks(offset, out) {
            let crc = crc32fast::hash(block);
            if known.len() <= number {
                known.resize(number + 1, UNKNOWN);
            }
            if known[number] != UNKNOWN && known[number] != crc {
                let detail = format!("block {number} is not what was written there");
                return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
            }
            known[number] = crc;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.switch.check()?;
        // Before the change: a cut that fails leaves nothing known that may be gone.
        self.known().truncate(index(len / BLOCK_LEN));
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.switch.check()?;
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.switch.check()?;
        // Before the write: one that fails leaves neither the old nor the new content.
        self.forget(offset, data.len() as u64);
        self.disk.write(offset, data)?;
        let mut known = self.known();
        for (number, block) in whole_blocks(offset, data) {
            if known.len() <= number {
                known.resize(number + 1, UNKNOWN);
            }
            known[number] = crc32fast::hash(block);
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.disk.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.disk.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.disk.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.disk.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.disk.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.disk.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.disk.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Disk;

    const PAGE: usize = BLOCK_LEN as usize;

    fn reads(disk: &impl StorageBackend, block: u64, blocks: usize) -> bool {
        disk.read(block * BLOCK_LEN, &mut vec![0; blocks * PAGE]).is_ok()
    }

    #[test]
    fn a_block_that_changes_by_itself_is_an_error() {
        let disk = Disk::from_image(vec![1; 4 * PAGE]);
        let (watched, _) = Watched::new(disk.clone());
        disk.flip_bit(2 * BLOCK_LEN * 8);
        assert!(reads(&watched, 0, 4), "nothing is known before the first read");
        disk.flip_bit(2 * BLOCK_LEN * 8);
        assert!(reads(&watched, 0, 2));
        assert!(!reads(&watched, 0, 4));
        assert!(!reads(&watched, 2, 1));
        watched.write(2 * BLOCK_LEN, &[7; PAGE]).unwrap();
        assert!(reads(&watched, 0, 4));
        disk.flip_bit(2 * BLOCK_LEN * 8);
        assert!(!reads(&watched, 1, 2));
    }

    #[test]
    fn partial_writes_and_cuts_forget_a_block() {
        let (watched, switch) = Watched::new(Disk::from_image(vec![1; 4 * PAGE]));
        assert!(reads(&watched, 0, 4));
        watched.write(BLOCK_LEN - 1, &[2, 2]).unwrap();
        assert!(reads(&watched, 0, 4));
        watched.set_len(BLOCK_LEN + 1).unwrap();
        watched.set_len(4 * BLOCK_LEN).unwrap();
        assert!(reads(&watched, 0, 4));
        switch.turn_off();
        assert!(!reads(&watched, 0, 1));
        assert!(
            watched.write(0, b"a").is_err() && watched.set_len(0).is_err() && watched.sync_data().is_err()
        );
    }
}
