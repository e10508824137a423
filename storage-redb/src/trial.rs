//! A disk on which nothing changes yet: while a store is being opened, changes wait in memory.
//!
//! redb repairs and marks a file as it opens it, before anybody can know whether the file is a store of ours, of a format
//! that this crate knows. A file that is refused must stay as it is, byte for byte. So what redb writes meanwhile is kept
//! here, in order; once the store is accepted, the same operations go to the disk, syncs included.

use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use redb::{BackendError, StorageBackend};

/// A disk on trial. Clones are the same disk.
#[derive(Debug)]
pub(crate) struct Trial<B>(Arc<Shared<B>>);

#[derive(Debug)]
struct Shared<B> {
    disk: B,
    /// The length of the disk, bytes, since redb has locked it.
    disk_len: OnceLock<u64>,
    /// What is to be done to the disk, in order. Opening makes a handful.
    waiting: Mutex<Vec<Change>>,
    /// Set once nothing waits any more, for ever.
    is_over: AtomicBool,
}

#[derive(Debug)]
enum Change {
    SetLen(u64),
    Sync,
    Write(u64, Vec<u8>),
}

impl<B> Clone for Trial<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B: StorageBackend> Trial<B> {
    pub(crate) fn new(disk: B) -> Self {
        let (disk_len, waiting) = (OnceLock::new(), Mutex::new(Vec::new()));
        Self(Arc::new(Shared { disk, disk_len, waiting, is_over: AtomicBool::new(false) }))
    }

    /// Does what waited. From here on everything goes to the disk at once.
    pub(crate) fn end(&self) -> io::Result<()> {
        let mut waiting = self.waiting();
        for change in waiting.drain(..) {
            match change {
                Change::SetLen(len) => self.0.disk.set_len(len)?,
                Change::Sync => self.0.disk.sync_data()?,
                Change::Write(offset, data) => self.0.disk.write(offset, &data)?,
            }
        }
        self.0.is_over.store(true, Ordering::Release);
        Ok(())
    }

    fn disk_len(&self) -> io::Result<u64> {
        match self.0.disk_len.get() {
            Some(len) => Ok(*len),
            None => {
                let len = self.0.disk.len()?;
                Ok(*self.0.disk_len.get_or_init(|| len))
            }
        }
    }

    fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Acquire)
    }

    /// Plain data: a panic elsewhere cannot leave it half changed.
    fn waiting(&self) -> MutexGuard<'_, Vec<Change>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: StorageBackend> StorageBackend for Trial<B> {
    fn len(&self) -> io::Result<u64> {
        if self.is_over() {
            return self.0.disk.len();
        }
        Ok(self.waiting().iter().fold(self.disk_len()?, |len, change| match change {
            Change::SetLen(len) => *len,
            Change::Sync => len,
            Change::Write(offset, data) => len.max(offset + data.len() as u64),
        }))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.is_over() {
            return self.0.disk.read(offset, out);
        }
        if offset.saturating_add(out.len() as u64) > self.len()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // What lies behind the end of the disk is new, and zero until it is written.
        let there = span(offset, out.len(), 0, self.disk_len()?);
        out.fill(0);
        if there.end > 0 {
            self.0.disk.read(offset, &mut out[..there.end])?;
        }
        for change in self.waiting().iter() {
            match change {
                Change::SetLen(len) => {
                    let kept = span(offset, out.len(), 0, *len);
                    out[kept.end..].fill(0);
                }
                Change::Sync => {}
                Change::Write(start, data) => {
                    let part = span(offset, out.len(), *start, start + data.len() as u64);
                    if !part.is_empty() {
                        let from = (offset + part.start as u64 - start) as usize;
                        let len = part.len();
                        out[part].copy_from_slice(&data[from..from + len]);
                    }
                }
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.is_over() {
            return self.0.disk.set_len(len);
        }
        self.waiting().push(Change::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.is_over() {
            return self.0.disk.sync_data();
        }
        self.waiting().push(Change::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.is_over() {
            return self.0.disk.write(offset, data);
        }
        self.waiting().push(Change::Write(offset, data.to_vec()));
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.0.disk.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.disk.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.disk.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.disk.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.disk.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.disk.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.disk.query_lock_range(start, end)
    }
}

/// Which of the `len` bytes at `offset` lie in `start..end` of the disk, counted from `offset`.
fn span(offset: u64, len: usize, start: u64, end: u64) -> std::ops::Range<usize> {
    let clamp = |at: u64| usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX).min(len);
    let (start, end) = (clamp(start), clamp(end));
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Disk, Random};

    fn image(disk: &impl StorageBackend) -> Vec<u8> {
        let mut bytes = vec![0; disk.len().unwrap() as usize];
        disk.read(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_waits_is_read_as_if_it_were_done_and_is_done_at_the_end() {
        for seed in 0..200 {
            let mut random = Random(seed);
            let disk = Disk::from_image((0..200).collect());
            let plain = Disk::from_image(disk.image());
            let trial = Trial::new(disk.clone());
            for _ in 0..12 {
                let len = trial.len().unwrap();
                match random.below(4) {
                    0 => {
                        let len = random.below(300);
                        trial.set_len(len).unwrap();
                        plain.set_len(len).unwrap();
                    }
                    1 => {
                        trial.sync_data().unwrap();
                        plain.sync_data().unwrap();
                    }
                    _ => {
                        let (offset, value) = (random.below(len + 1), random.below(256) as u8);
                        let data = vec![value; random.below(80) as usize];
                        trial.write(offset, &data).unwrap();
                        plain.write(offset, &data).unwrap();
                    }
                }
                assert_eq!(image(&trial), plain.image(), "seed {seed}");
                let (from, len) = (random.below(trial.len().unwrap() + 1), trial.len().unwrap());
                let mut part = vec![0; random.below(len - from + 1) as usize];
                trial.read(from, &mut part).unwrap();
                assert_eq!(part, plain.image()[from as usize..][..part.len()], "seed {seed}");
                assert!(trial.read(from, &mut vec![0; (len - from) as usize + 1]).is_err());
            }
            assert_eq!(disk.image(), (0..200).collect::<Vec<u8>>(), "nothing has changed");
            assert_eq!(disk.operations(), 0);
            trial.end().unwrap();
            assert_eq!((disk.image(), disk.operations()), (plain.image(), plain.operations()));
            trial.write(0, &[1]).unwrap();
            assert_eq!(image(&trial), disk.image());
            assert_eq!(disk.operations(), plain.operations() + 1);
        }
    }
}
