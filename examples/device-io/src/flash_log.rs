//! A replica's records in two pages of flash: each commit is appended, and counts once its checksum is there.
//!
//! When a page is full the whole document goes to the other one, which counts once its first commit does; so one of the
//! pages always holds the last state that was confirmed. The region is memory here, written as flash is: a page is erased
//! as a whole (to `ff`), and each place is written once after that. A driver for real flash gathers the pieces into the
//! words of its controller; commits begin at multiples of 8.
//!
//! A page:
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 4 | generation, little endian: the higher one is in force |
//! | 4 | 4 | CRC-32 of the generation |
//! | 8 | | commits, one after the other, each at the next multiple of 8 |
//!
//! A commit; its head is written after its body:
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 4 | length of the body, bytes, little endian |
//! | 4 | 4 | CRC-32 of the generation, the length and the body |
//! | 8 | 1 | 1: cells of earlier commits do not count any more |
//! | 9 | | cells: path length (1 byte, not 0), record length (2 bytes, little endian), path, [`CellRecord`] |
//! | | 1 | 0 |
//! | | rest | state record |

use crdt_core::{
    Cell, CellRecord, Memory, Moment, Path, PersistToken, Replica, RestoreError, StateRecord, Stored, Unsaved,
};

use crdt_core::rand_core::Rng;

use crate::checksum::{checksum, digest};

/// The log of one document.
///
/// ```
/// use crdt_core::capacity::{Bytes, Cells, Replicas};
/// use crdt_core::*;
/// use device_io::FlashLog;
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// type Pump = Replica<Fixed<Cells<16>, Bytes<512>, Replicas<3>>, CountingRng>;
/// let (now, config) = (Moment::new(1_000), Config::new(Role::Member));
/// let name = DocumentName::new("pump-42")?;
/// let mut pump = Pump::new(&name, config, CountingRng::new(1));
/// let mut region = [0; 2048]; // On a device: where its flash is mapped.
/// let mut log = FlashLog::open(&mut region);
/// assert!(!log.restore(&mut pump, now)?, "nothing was stored yet");
///
/// pump.update(now, &[Write::set(Path::new("setpoint")?, 4.5)])?;
/// let mut frame = [0; 256];
/// if let Some(Output::Persist) = pump.poll_output(now, &mut frame) {
///     let token = log.commit(&mut pump)?;
///     pump.handle_persisted(token);
/// }
/// let mut again = Pump::new(&name, config, CountingRng::new(2));
/// assert!(log.restore(&mut again, now)?);
/// assert_eq!(again.document().get(Path::new("setpoint")?), Some(Value::F64(4.5)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FlashLog<'a> {
    region: &'a mut [u8],
    /// The page in force, and its generation; none before the first commit.
    current: Option<(Page, u32)>,
    /// Where the next commit goes, from the start of the region.
    end: usize,
    /// Bytes that were written, and pages that were erased, since it was opened.
    wear: (u32, u32),
    #[cfg(test)]
    power: usize,
}

/// The commit was not made; what was stored before still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a page of {page_len} bytes does not hold the document and its state: give the log a larger region")]
pub struct FlashLogError {
    /// Length of a page: half of the region, in bytes.
    pub page_len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    First,
    Second,
}

impl<'a> FlashLog<'a> {
    /// The log in `region`, whatever it holds. O(region).
    pub fn open(region: &'a mut [u8]) -> Self {
        let mut log = Self {
            region,
            current: None,
            end: 0,
            wear: (0, 0),
            #[cfg(test)]
            power: usize::MAX,
        };
        let pages = [Page::First, Page::Second].into_iter();
        log.current = pages.filter_map(|page| Some((page, log.generation(page)?))).max_by_key(|(_, g)| *g);
        if let Some((page, generation)) = log.current {
            log.end = log.commits(page, generation).map(|commit| commit.next).last().unwrap_or(0);
            // What a power cut left behind cannot be written over.
            let page_end = log.start(page) + log.page_len();
            if log.region[log.end..page_end].iter().any(|byte| *byte != ERASED) {
                log.end = page_end;
            }
        }
        log
    }

    /// Makes everything that changed in `replica` durable, after [`Output::Persist`](crdt_core::Output::Persist).
    /// O(changes), now and then O(document). The token goes to
    /// [`Replica::handle_persisted`](crdt_core::Replica::handle_persisted).
    ///
    /// # Errors
    /// [`FlashLogError`] when the document does not fit into a page. The replica is to be dropped then, as after any
    /// failure of storage.
    pub fn commit<S: Memory, R: Rng>(
        &mut self,
        replica: &mut Replica<S, R>,
    ) -> Result<PersistToken, FlashLogError> {
        let token = if let Some((page, generation)) = self.current {
            let mut writer = CommitWriter::new(self, page, generation);
            let (mut begun, mut finished) = (false, false);
            let token = replica.take_unsaved(|unsaved| match unsaved {
                Unsaved::Rewrite => {
                    writer.begin(true);
                    begun = true;
                }
                Unsaved::Cell(cell) => {
                    if !core::mem::replace(&mut begun, true) {
                        writer.begin(false);
                    }
                    writer.cell(&cell);
                }
                // Fixed storage says `Rewrite` instead; for any other, a page written anew leaves the cell out.
                Unsaved::Removed(_) => writer.full = true,
                Unsaved::State(state) => {
                    if !begun {
                        writer.begin(false);
                    }
                    finished = writer.finish(state);
                }
            });
            if finished {
                return Ok(token);
            }
            token
        } else {
            replica.take_unsaved(|_| {})
        };
        self.turn_page(replica)?;
        Ok(token)
    }

    /// Makes `replica` what it was at the last commit; false, and nothing changed, when there was none. In place, because
    /// a small stack holds no second one. O(cells x log cells).
    ///
    /// # Errors
    /// [`RestoreError`] when the document does not fit into `S`, or a later version of this program wrote it. The replica
    /// must not be used then.
    pub fn restore<S: Memory, R: Rng>(
        &self,
        replica: &mut Replica<S, R>,
        moment: Moment,
    ) -> Result<bool, RestoreError> {
        let Some((page, generation)) = self.current else { return Ok(false) };
        let commits = || self.commits(page, generation);
        let rewritten = commits().filter(|commit| commit.rewrites).last().map_or(0, |commit| commit.start);
        let cells = commits().filter(|commit| commit.start >= rewritten).flat_map(Commit::cells);
        let Some(last) = commits().last() else { return Ok(false) };
        replica.restore(moment, last.state(), cells)?;
        Ok(true)
    }

    /// Bytes that were written, and pages that were erased, since it was opened.
    pub fn wear(&self) -> (u32, u32) {
        self.wear
    }

    /// Writes the whole document to the other page.
    fn turn_page<S: Memory, R: Rng>(&mut self, replica: &Replica<S, R>) -> Result<(), FlashLogError> {
        let (page, generation) = match self.current {
            Some((Page::First, generation)) => (Page::Second, generation.wrapping_add(1)),
            Some((Page::Second, generation)) => (Page::First, generation.wrapping_add(1)),
            None => (Page::First, 0),
        };
        self.erase(page);
        let start = self.start(page);
        let generation_bytes = generation.to_le_bytes();
        self.program(start, &generation_bytes);
        self.program(start + 4, &checksum(&[&generation_bytes]).to_le_bytes());
        self.end = start + HEAD_LEN;
        let mut writer = CommitWriter::new(self, page, generation);
        writer.begin(true);
        replica.document().changes_since(0).for_each(|cell| writer.cell(&cell));
        if !writer.finish(replica.state_record()) {
            // The page before is still in force, at the next start too: this one has no commit.
            self.end = self.current.map_or(0, |(page, _)| self.start(page) + self.page_len());
            return Err(FlashLogError { page_len: self.page_len() });
        }
        self.current = Some((page, generation));
        Ok(())
    }

    /// The generation of a page that holds a commit.
    fn generation(&self, page: Page) -> Option<u32> {
        let head = self.region.get(self.start(page)..)?.get(..HEAD_LEN.min(self.page_len()))?;
        let (generation, sum) = (number(head, 0)?, number(head, 4)?);
        let is_good = sum == checksum(&[&generation.to_le_bytes()]);
        (is_good && self.commits(page, generation).next().is_some()).then_some(generation)
    }

    fn commits(&self, page: Page, generation: u32) -> impl Iterator<Item = Commit<'_>> {
        let (start, end) = (self.start(page), self.start(page) + self.page_len());
        let region = &self.region[..end];
        let mut next = start + HEAD_LEN;
        core::iter::from_fn(move || {
            let commit = Commit::read(region, next, generation)?;
            next = commit.next;
            Some(commit)
        })
    }

    fn page_len(&self) -> usize {
        self.region.len() / 2 / ALIGNMENT * ALIGNMENT
    }

    fn start(&self, page: Page) -> usize {
        match page {
            Page::First => 0,
            Page::Second => self.page_len(),
        }
    }

    fn erase(&mut self, page: Page) {
        let (start, len) = (self.start(page), self.page_len());
        self.wear.1 = self.wear.1.wrapping_add(1);
        for byte in &mut self.region[start..start + len] {
            #[cfg(test)]
            match self.power.checked_sub(1) {
                Some(power) => self.power = power,
                None => return,
            }
            *byte = ERASED;
        }
    }

    fn program(&mut self, offset: usize, bytes: &[u8]) {
        self.wear.0 = self.wear.0.wrapping_add(bytes.len() as u32);
        for (place, byte) in self.region[offset..].iter_mut().zip(bytes) {
            #[cfg(test)]
            match self.power.checked_sub(1) {
                Some(power) => self.power = power,
                None => return,
            }
            debug_assert_eq!(*place, ERASED, "flash is written once");
            *place = *byte;
        }
    }
}

/// A commit that is there.
#[derive(Clone, Copy)]
struct Commit<'a> {
    start: usize,
    next: usize,
    rewrites: bool,
    /// After the flag.
    body: &'a [u8],
}

impl<'a> Commit<'a> {
    fn read(region: &'a [u8], start: usize, generation: u32) -> Option<Self> {
        let commit = region.get(start..)?;
        let (len, sum) = (number(commit, 0)?, number(commit, 4)?);
        let body = commit.get(HEAD_LEN..)?.get(..len as usize)?;
        if sum != checksum(&[&generation.to_le_bytes(), &len.to_le_bytes(), body]) {
            return None;
        }
        let (flag, body) = body.split_first()?;
        let next = (start + HEAD_LEN + len as usize).next_multiple_of(ALIGNMENT);
        Some(Self { start, next, rewrites: *flag == 1, body })
    }

    /// The path, the record, and what follows.
    fn split_cell(body: &'a [u8]) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
        let (path_len, rest) = body.split_first().filter(|(len, _)| **len != 0)?;
        let (record_len, rest) = rest.split_first_chunk::<2>()?;
        let (path, rest) = rest.split_at_checked(usize::from(*path_len))?;
        let (record, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*record_len)))?;
        Some((path, record, rest))
    }

    /// A cell that cannot be read is left out; then the fingerprint in the state record does not fit, which is an error.
    fn cells(self) -> impl Iterator<Item = Cell<'a>> {
        let mut body = self.body;
        let records = core::iter::from_fn(move || {
            let (path, record, rest) = Self::split_cell(body)?;
            body = rest;
            Some((path, record))
        });
        records.filter_map(|(path, record)| {
            let path = Path::new(core::str::from_utf8(path).ok()?).ok()?;
            CellRecord::decode(path, record).ok()
        })
    }

    fn state(self) -> &'a [u8] {
        let mut body = self.body;
        while let Some((_, _, rest)) = Self::split_cell(body) {
            body = rest;
        }
        body.get(1..).unwrap_or_default()
    }
}

/// A commit that is being written.
struct CommitWriter<'w, 'a> {
    log: &'w mut FlashLog<'a>,
    generation: u32,
    start: usize,
    at: usize,
    page_end: usize,
    full: bool,
}

impl<'w, 'a> CommitWriter<'w, 'a> {
    fn new(log: &'w mut FlashLog<'a>, page: Page, generation: u32) -> Self {
        let (start, page_end) = (log.end, log.start(page) + log.page_len());
        Self { log, generation, start, at: start + HEAD_LEN, page_end, full: false }
    }

    fn begin(&mut self, rewrites: bool) {
        self.write(&[u8::from(rewrites)]);
    }

    fn cell(&mut self, cell: &Stored<'_>) {
        // Path and head, then the record where it is to stand.
        let head_len = 3 + cell.path.len();
        let Some(capacity) = self.page_end.checked_sub(self.at + head_len) else {
            self.full = true;
            return;
        };
        let mut head = [0; 15];
        let payload_len = cell.payload.len();
        let record = Stored { payload: &[], ..*cell };
        let encoded = CellRecord::encode(&record, &mut head).map_or(0, |len| len + payload_len);
        if encoded > capacity {
            self.full = true;
            return;
        }
        self.write(&[cell.path.len() as u8]);
        self.write(&(encoded as u16).to_le_bytes());
        self.write(cell.path.as_bytes());
        self.write(&head);
        self.write(cell.payload);
    }

    /// Whether the commit is there.
    fn finish(&mut self, state: StateRecord<'_>) -> bool {
        self.write(&[0]);
        let capacity = self.page_end.saturating_sub(self.at);
        let mut record = [0; STATE_LEN_MAX];
        match state.encode(&mut record[..capacity.min(STATE_LEN_MAX)]) {
            Some(len) if !self.full => self.write(&record[..len]),
            _ => return false,
        }
        let body = self.start + HEAD_LEN..self.at;
        let len = (body.len() as u32).to_le_bytes();
        let mut sum = digest();
        sum.update(&self.generation.to_le_bytes());
        sum.update(&len);
        sum.update(&self.log.region[body]);
        let sum = sum.finalize().to_le_bytes();
        self.log.program(self.start, &len);
        self.log.program(self.start + 4, &sum);
        self.log.end = self.at.next_multiple_of(ALIGNMENT);
        true
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.full || self.at + bytes.len() > self.page_end {
            self.full = true;
            return;
        }
        self.log.program(self.at, bytes);
        self.at += bytes.len();
    }
}

fn number(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

const ERASED: u8 = 0xff;
const HEAD_LEN: usize = 8;
const ALIGNMENT: usize = 8;
/// Longest state record: the name, and at most a few replicas and peers.
const STATE_LEN_MAX: usize = 512;

#[cfg(test)]
mod tests;
