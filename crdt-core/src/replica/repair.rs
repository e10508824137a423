//! Repair: two sides that claim to know the same hold different cells. They find which, and each takes what it lacks.
//!
//! Every cell has a place: a hash of its path, salted anew for each repair. The side that noticed sends one digest for each
//! sixteenth of all places. The other compares, and answers with the same for each sixteenth that differs, until few
//! cells are left in a range; those are listed by a hash each. What one side has listed and the other lacks is asked for;
//! what it has not listed is sent. A cell whose content changed keeps its place, so it is found in one range.
//!
//! One differing cell among n takes log16(n / 16) such steps of 48 bytes, one list of at most 16 hashes, and the cell. When
//! more differs than there is room to note, both sides send all they have. Each step costs O(cells); a peer can ask for
//! [a bounded number](Repair) of them in a session.
//!
//! Sources: Minsky, Trachtenberg, "Practical Set Reconciliation" (2002), for the recursive partition; Meyer,
//! "Range-Based Set Reconciliation" (2022), for digests of ranges that answer each other. Ranges are of hashed paths here, so
//! that they are of equal size without any memory beside the cells, and an empty digest stands for "send me all of it".

use super::receive::refusal;
use super::send::{fits, write_cell};
use super::stop::{Stop, Turn};
use super::{Event, Replica};
use crate::causal::Stamp;
use crate::cell::{Path, dominates};
use crate::document::{Document, UpdateError};
use crate::list::List;
use crate::storage::{CellStore, Stored};
use crate::sync::{Memory, Phase, Repair, Task};
use crate::time::Moment;
use crate::weaken::{Rule, holds};
use crate::wire::repair::{Digest, LEVELS, LIST_MAX, PART_LEN_MAX, Part, Range, Step, StepWriter};
use crate::wire::{Full, MessageReader, RunWriter, Writer, tag};

/// What repairs have done since this replica was made or loaded. A metric: it is not stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repairs {
    /// Sessions in which fingerprints differed.
    pub sessions: u64,
    /// Ranges whose digests were compared with a peer's.
    pub ranges_compared: u64,
    /// Cells of peers that were lacking here, or had another content, and were taken.
    pub cells_taken: u64,
    /// Searches through all cells for those that peers wanted.
    pub searches: u64,
    /// Searches that were refused, because the session had had as many as a repair can need.
    pub searches_refused: u64,
}

impl<S: Memory> Replica<S> {
    /// What repairs have done so far. All zero on a sound disk.
    pub fn repairs(&self) -> Repairs {
        self.repairs
    }

    /// Compares fingerprints; both sides claim to have the same.
    pub(super) fn compare(&mut self, index: usize, digest: u32, salt: u64) {
        let session = &mut self.sessions[index];
        session.compare.digest_due = false;
        if session.compare.repair.phase == Phase::NotNeeded
            && digest != self.document.fingerprint.digest(salt)
        {
            session.compare.repair.phase = Phase::Due;
            self.note_damage(index);
        }
    }

    fn note_damage(&mut self, index: usize) {
        self.repairs.sessions += 1;
        self.events.push(Event::Damaged { session: self.sessions[index].id });
    }

    // ---- sending ----

    pub(super) fn write_repair(
        &mut self,
        moment: Moment,
        index: usize,
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let (document, session) = (&self.document, &mut self.sessions[index]);
        if session.compare.repair.phase == Phase::Due {
            session.compare.repair.begin(Phase::Leading, moment.random as u32);
            let live = document.cells.below(None).filter(Stored::is_live).count();
            session.compare.repair.add(split_or_list(Range::ALL, live));
        }
        let repair = &mut session.compare.repair;
        if repair.tasks.is_empty() {
            return Ok(());
        }
        let start = writer.len();
        writer.byte(tag::REPAIR)?;
        let (begins, ask_all) = (repair.begins, repair.ask_all);
        let step = StepWriter::begin(writer, begins.then_some(repair.salt), ask_all)?;
        let mut anything = ask_all;
        let salt = repair.salt;
        List::retain(&mut repair.tasks, |task| {
            let kept = task.sends_cells() || writer.remaining() < PART_LEN_MAX;
            anything |= !kept;
            kept || write_part(document, salt, &step, *task, writer).is_err()
        });
        let (mut run, mut sent, mut complete) = (RunWriter::default(), repair.cursor, true);
        let wants_search = !begins && repair.tasks.iter().any(|task| task.sends_cells());
        let begins_search = wants_search && repair.cursor == 0;
        let may_search = wants_search && repair.may_search();
        self.repairs.searches += u64::from(begins_search && may_search);
        self.repairs.searches_refused += u64::from(begins_search && !may_search);
        if may_search {
            for cell in document.cells.since(sent) {
                if session.compare.repair.sends(document, cell) {
                    if !fits(&cell, writer) {
                        complete = false;
                        break;
                    }
                    write_cell(&mut run, writer, cell, document.replica, session)?;
                }
                sent = cell.seq;
            }
            if run.finish(writer) {
                step.cells_follow(writer);
                anything = true;
            }
            let repair = &mut session.compare.repair;
            repair.cursor = if complete { 0 } else { sent };
            if complete {
                List::retain(&mut repair.tasks, |task| !task.sends_cells());
            }
        }
        if !anything {
            writer.truncate(start);
            return if session.compare.repair.tasks.is_empty() { Ok(()) } else { Err(Full) };
        }
        session.compare.repair.begins = false;
        session.compare.repair.ask_all = false;
        Ok(())
    }

    // ---- receiving ----

    pub(super) fn take_repair(
        &mut self,
        index: usize,
        step: Step<'_>,
        messages: &mut MessageReader<'_>,
    ) -> Result<(), Stop> {
        let session = &mut self.sessions[index];
        let phase = session.compare.repair.phase;
        match (step.salt, phase) {
            // Both began at once: the initiator of the session leads.
            (Some(_), Phase::Leading) if session.carrier.initiator => return Ok(()),
            (Some(_), Phase::Following) => {
                return Err(Stop::OutOfTurn(Turn::SecondRepair));
            }
            (Some(salt), _) => {
                session.compare.repair.begin(Phase::Following, salt);
                if phase == Phase::NotNeeded {
                    self.note_damage(index);
                }
            }
            (None, Phase::NotNeeded | Phase::Due) => {
                return Err(Stop::OutOfTurn(Turn::RepairOfNobody));
            }
            (None, _) => {}
        }
        if step.all {
            self.sessions[index].compare.repair.send_all();
        }
        for part in step.parts() {
            match part {
                Part::List { range, hashes } => self.take_list(index, range, hashes),
                Part::Split { range, digests } => self.take_split(index, range, digests),
                Part::Want(hash) => self.sessions[index].compare.repair.add(Task::Cell(hash)),
            }
        }
        let (mut refused, taken) = (false, self.repairs.cells_taken);
        while let Some(wire) = messages.next_cell()? {
            let literal = messages.literal().path_if(&wire);
            let (stamp, slot) = self.resolve_cell(index, &wire, literal)?;
            let path = match (&slot, literal) {
                (Some(text), _) => Path::from_checked(text),
                (None, literal) => literal.ok_or(Stop::Dangling)?,
            };
            if refused {
                // The names in the rest are needed later.
                continue;
            }
            let cell = Stored { path: path.as_str(), stamp, kind: wire.kind, payload: wire.payload, seq: 0 };
            if let Err(error) = self.repair_cell(index, cell) {
                self.refuse(index, refusal(error));
                refused = true;
            }
        }
        if self.repairs.cells_taken > taken {
            self.compare_with_others(index);
        }
        Ok(())
    }

    /// Cells have come that no claim tells of: whoever else is connected may lack them, too.
    fn compare_with_others(&mut self, index: usize) {
        let repaired = self.sessions[index].id;
        for session in self.sessions.iter_mut().filter(|session| session.id != repaired) {
            session.compare.digest_due = true;
            session.incoming.ack_due = true;
        }
        self.sessions.wake_all();
    }

    /// The peer's digests of 16 ranges.
    fn take_split(&mut self, index: usize, range: Range, theirs: &[Digest]) {
        let repair = &mut self.sessions[index].compare.repair;
        if repair.all || !repair.may_pass() {
            return;
        }
        self.repairs.ranges_compared += theirs.len() as u64;
        let (digests, counts) = split(&self.document, repair.salt, range);
        for (index, theirs) in theirs.iter().enumerate().filter(|(index, theirs)| digests[*index] != **theirs)
        {
            let child = range.child(index);
            repair.add(if *theirs == NONE {
                Task::Cells(child)
            } else {
                split_or_list(child, counts[index])
            });
        }
    }

    /// All that the peer has in a range.
    fn take_list(&mut self, index: usize, range: Range, theirs: &[Digest]) {
        let repair = &mut self.sessions[index].compare.repair;
        if repair.all || !repair.may_pass() {
            return;
        }
        self.repairs.ranges_compared += 1;
        let salt = repair.salt;
        let (mut common, mut lacking) = (0_u32, heapless::Vec::<Digest, { LIST_MAX / 2 }>::new());
        let mut too_many = theirs.is_empty();
        for (_, cell) in live_in(&self.document, salt, range) {
            let hash = digest(&self.document, salt, hash(&self.document, cell));
            match theirs.iter().position(|theirs| *theirs == hash) {
                Some(position) => common |= 1 << position,
                None => too_many |= lacking.push(hash).is_err(),
            }
        }
        match lacking.is_empty() {
            false if too_many => repair.add(Task::Cells(range)),
            _ => lacking.iter().for_each(|hash| repair.add(Task::Cell(*hash))),
        }
        for (position, hash) in theirs.iter().enumerate() {
            if common & 1 << position == 0 {
                repair.add(Task::Want(*hash));
            }
        }
    }

    /// A cell that the peer has, and that this side perhaps lacks.
    ///
    /// It keeps its stamp. Under a fresh one it would make void what belongs below it and comes later: the fields of a map
    /// that was lost with its marker, or newer writes below a delete. Whoever else lacks it finds out as this side did: whoever is
    /// connected, at once.
    /// Two contents under one stamp: the larger one stays, on both sides. A cell that is void here is answered with the one
    /// that makes it so: the stamps of such answers rise, so they end.
    fn repair_cell(&mut self, index: usize, theirs: Stored<'_>) -> Result<(), UpdateError> {
        let (path, stamp) = (theirs.path(), theirs.stamp);
        let document = &mut self.document;
        if !document.knowledge.vv().covers(stamp) {
            // News, which comes in a batch.
            return Ok(());
        }
        match document.cells.get(path.as_str()).filter(|here| here.stamp == stamp) {
            Some(here) => {
                let order = (here.kind as u8, here.payload).cmp(&(theirs.kind as u8, theirs.payload));
                if order.is_gt() {
                    let task = Task::Cell(digest(
                        document,
                        self.sessions[index].compare.repair.salt,
                        hash(document, here),
                    ));
                    self.sessions[index].compare.repair.add(task);
                }
                if order.is_ge() {
                    return Ok(());
                }
                let more = theirs.payload.len() as isize - here.payload.len() as isize;
                document.check_room_signed(0, more)?;
                document.place_stored(theirs, &mut |_, _| {});
            }
            None => {
                if let Some(above) = dominator(document, path, stamp) {
                    let repair = &mut self.sessions[index].compare.repair;
                    repair.add(Task::Cell(digest(document, repair.salt, hash(document, above))));
                    return Ok(());
                }
                if !theirs.is_live() && !kills(document, path, stamp) {
                    return Ok(());
                }
                document.join_stored(theirs, &mut |_, _| {})?;
            }
        }
        self.unsaved = true;
        self.repairs.cells_taken += 1;
        Ok(())
    }
}

impl Repair {
    /// Whether a cell is to be sent.
    fn sends<S: Memory>(&self, document: &Document<S>, cell: Stored<'_>) -> bool {
        if self.all {
            return true;
        }
        let (place, hash) =
            (place(document, self.salt, cell), digest(document, self.salt, hash(document, cell)));
        self.tasks.iter().any(|task| match task {
            Task::Cell(wanted) => *wanted == hash,
            Task::Cells(range) => cell.is_live() && range.contains(place),
            Task::List(_) | Task::Split(_) | Task::Want(_) => false,
        })
    }
}

/// Writes a part for which there is room.
fn write_part<S: Memory>(
    document: &Document<S>,
    salt: u32,
    step: &StepWriter,
    task: Task,
    writer: &mut Writer<'_>,
) -> Result<(), Full> {
    match task {
        Task::Cell(_) | Task::Cells(_) => Ok(()),
        Task::List(range) => {
            let mut hashes = heapless::Vec::<Digest, LIST_MAX>::new();
            for (_, cell) in live_in(document, salt, range) {
                // There were not as many when it was decided to list them. What is left out comes as lacking here.
                hashes.push(digest(document, salt, hash(document, cell))).ok();
            }
            step.list(writer, range, &hashes)
        }
        Task::Split(range) => step.split(writer, range, &split(document, salt, range).0),
        Task::Want(hash) => step.want(writer, hash),
    }
}

/// How to say what is in a range that holds `count` live cells here.
fn split_or_list(range: Range, count: usize) -> Task {
    if count > LIST_MAX && range.level < LEVELS { Task::Split(range) } else { Task::List(range) }
}

/// Digests and numbers of the live cells in the 16 ranges of a range. O(cells).
fn split<S: Memory>(document: &Document<S>, salt: u32, range: Range) -> ([Digest; 16], [usize; 16]) {
    let (mut sums, mut counts) = ([0_u64; 16], [0; 16]);
    for (place, cell) in live_in(document, salt, range) {
        if let Some(index) = range.index_of(place) {
            sums[index] = sums[index].wrapping_add(hash(document, cell));
            counts[index] += 1;
        }
    }
    let digests =
        core::array::from_fn(|i| if counts[i] == 0 { NONE } else { digest(document, salt, sums[i]) });
    (digests, counts)
}

fn live_in<S: Memory>(
    document: &Document<S>,
    salt: u32,
    range: Range,
) -> impl Iterator<Item = (Digest, Stored<'_>)> {
    let cells = document.cells.below(None).filter(Stored::is_live);
    cells
        .map(move |cell| (place(document, salt, cell), cell))
        .filter(move |(place, _)| range.contains(*place))
}

fn place<S: Memory>(document: &Document<S>, salt: u32, cell: Stored<'_>) -> Digest {
    let [.., high, middle, low] = document.fingerprint.place(cell.path, salt.into()).to_be_bytes();
    [high, middle, low]
}

fn hash<S: Memory>(document: &Document<S>, cell: Stored<'_>) -> u64 {
    let payload = if holds(Rule::RepairContent) { cell.payload } else { &[] };
    document.fingerprint.hash(Stored { payload, ..cell })
}

/// Never [`NONE`].
fn digest<S: Memory>(document: &Document<S>, salt: u32, sum: u64) -> Digest {
    let [high, middle, low, _] = document.fingerprint.digest_of(sum, salt.into()).to_be_bytes();
    if [high, middle, low] == NONE { [0, 0, 1] } else { [high, middle, low] }
}

/// The cell that makes one at `path` with `stamp` void.
fn dominator<'a, S: Memory>(document: &'a Document<S>, path: Path<'_>, stamp: Stamp) -> Option<Stored<'a>> {
    let mut above = path.ancestors().chain([path]).filter_map(|at| document.cells.get(at.as_str()));
    above.find(|here| dominates(here.path(), here.stamp, path, stamp))
}

/// Whether a delete at `path` with `stamp` makes a live cell void.
fn kills<S: Memory>(document: &Document<S>, path: Path<'_>, stamp: Stamp) -> bool {
    let at = document.cells.get(path.as_str());
    let below = document.cells.below(Some(path.as_str()));
    { at.into_iter().chain(below) }.any(|cell| cell.is_live() && cell.stamp < stamp)
}

/// The digest of a range without cells.
const NONE: Digest = [0; 3];
