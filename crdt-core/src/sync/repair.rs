//! Repair: two sides claim the same knowledge but have different cells. They find the differences, and each
//! takes what it lacks.
//!
//! The place of a cell is a hash of its path, salted anew for each repair. The side that noticed the
//! difference sends a digest for each sixteenth of all places. The other side compares, and answers with 16
//! digests for each sixteenth that differs. A range with few cells is sent as a list of their hashes. The
//! receiver requests listed cells that it lacks, and sends cells that are not in the list. A cell whose
//! content changed keeps its place, so it is found in one range.
//!
//! One differing cell among n takes log16(n / 16) such steps of 48 bytes, one list of at most 16 hashes, and
//! the cell. If more differs than the task list can store, both sides send all they have. Each step costs
//! O(cells); a peer can request [a bounded number](Repair) of them in a session.
//!
//! Sources: Minsky, Trachtenberg, "Practical Set Reconciliation" (2002), for the recursive partition; Meyer,
//! "Range-Based Set Reconciliation" (2022), for digests of ranges that answer each other. Here ranges are of
//! hashed paths: they have equal sizes without extra memory, and an empty digest means "send me all of it".

use super::receive::refusal;
use super::send::fits;
use super::{Context, Event, Memory, Outcome, Session, Stop, Turn};
use crate::causal::Stamp;
use crate::cell::{Path, dominates};
use crate::document::{Document, UpdateError};
use crate::list::List;
use crate::storage::{CellStore, Stored};
use crate::weaken::{Rule, holds};
use crate::wire::repair::{Digest, LEVELS, LIST_MAX, PART_LEN_MAX, PARTS_MAX, Part, Range, Step, StepWriter};
use crate::wire::{Full, MessageReader, RunWriter, Writer, tag};

/// Counters of repairs since this replica was made or loaded. A metric: not stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repairs {
    /// Sessions in which fingerprints differed.
    pub sessions: u64,
    /// Ranges whose digests were compared with a peer's.
    pub ranges_compared: u64,
    /// Cells taken from peers, because they were missing here or had other content.
    pub cells_taken: u64,
    /// Searches of all cells for those that peers requested.
    pub searches: u64,
    /// Searches refused, because the session had used as many as a repair can need.
    pub searches_refused: u64,
}

/// The state of the comparison of both sides.
#[derive(Debug)]
pub(crate) struct Compare {
    /// Fingerprints are to be compared as soon as both sides have the same knowledge.
    pub(crate) digest_due: bool,
    /// The application was told that both sides converged, and nothing was received or claimed since.
    pub(crate) is_quiet: bool,
    pub(crate) repair: Repair,
}

impl Compare {
    /// `salt`: random bits for the digests of a repair.
    pub(crate) fn new(salt: u32) -> Self {
        Self { digest_due: true, is_quiet: false, repair: Repair::new(salt) }
    }
}

/// A repair. At most one per session.
#[derive(Debug)]
pub(crate) struct Repair {
    stage: Stage,
    /// The salt of all digests of this repair: random bits, or those of the peer that began it.
    pub(crate) salt: u32,
    /// The first message is still to be written.
    begins: bool,
    /// All cells are sent, tombstones included; nothing is compared any more.
    all: bool,
    /// The peer must be told to send all cells too.
    ask_all: bool,
    /// While cells are sent: cells up to this sequence number were examined.
    cursor: u64,
    /// Remaining passes over all cells, to answer digests and lists of this peer.
    passes_left: u16,
    /// Remaining passes over all cells, to find those that it requests.
    searches_left: u16,
    tasks: heapless::Vec<Task, PARTS_MAX>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// This side must begin it.
    Due,
    /// The peer began it.
    Following,
    /// This side began it.
    Leading,
    NotNeeded,
}

/// Something to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// The cell with this hash, which the peer lacks.
    Cell(Digest),
    /// All cells of a range of which the peer has none.
    Cells(Range),
    /// The hashes of the cells of a range.
    List(Range),
    /// The digests of the 16 ranges of a range.
    Split(Range),
    /// A request for a cell that the peer has listed.
    Want(Digest),
}

impl Task {
    fn sends_cells(self) -> bool {
        matches!(self, Task::Cell(_) | Task::Cells(_))
    }
}

impl Repair {
    fn new(salt: u32) -> Self {
        Self {
            stage: Stage::NotNeeded,
            salt,
            begins: false,
            all: false,
            ask_all: false,
            cursor: 0,
            passes_left: PASSES_MAX,
            searches_left: PASSES_MAX,
            tasks: heapless::Vec::new(),
        }
    }

    fn begin(&mut self, stage: Stage, salt: u32) {
        self.stage = stage;
        self.salt = salt;
        self.begins = stage == Stage::Leading;
        self.tasks.clear();
    }

    /// Adds a task. If the list is full, all cells are sent instead.
    fn add(&mut self, task: Task) {
        if self.all || self.tasks.contains(&task) {
            return;
        }
        if task.sends_cells() {
            // The new task may match cells that were already examined.
            self.cursor = 0;
        }
        if self.tasks.push(task).is_err() {
            self.send_all();
            self.ask_all = true;
        }
    }

    fn send_all(&mut self) {
        if self.all {
            return;
        }
        self.all = true;
        self.cursor = 0;
        self.tasks.clear();
        let pushed = self.tasks.push(Task::Cells(Range::ALL));
        debug_assert!(pushed.is_ok(), "there is capacity for one");
    }

    /// Whether a search for cells to send may begin or continue. If not, its tasks are dropped; the next
    /// session may request them again.
    fn may_search(&mut self) -> bool {
        if self.cursor > 0 {
            return true;
        }
        let more = self.searches_left > 0;
        self.searches_left = self.searches_left.saturating_sub(1);
        if !more {
            List::retain(&mut self.tasks, |task| !task.sends_cells());
        }
        more
    }

    /// Whether one more pass over all cells is allowed. The bound limits the work that a peer can cause.
    fn may_pass(&mut self) -> bool {
        let more = self.passes_left > 0;
        self.passes_left = self.passes_left.saturating_sub(1);
        more
    }

    /// Whether a task sends `cell`.
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

impl<S: Memory> Session<S> {
    /// Compares fingerprints. Both sides must claim the same knowledge.
    pub(super) fn compare_digests(&mut self, digest: u32, salt: u64, context: &mut Context<S>) {
        self.compare.digest_due = false;
        if self.compare.repair.stage == Stage::NotNeeded
            && digest != context.document.fingerprint.digest(salt)
        {
            self.compare.repair.stage = Stage::Due;
            self.note_damage(context);
        }
    }

    fn note_damage(&self, context: &mut Context<S>) {
        context.repairs.sessions += 1;
        context.events.push(Event::Damaged { session: self.id });
    }

    // ---- sending ----

    pub(super) fn write_repair(
        &mut self,
        context: &mut Context<S>,
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let document = &context.document;
        let repair = &mut self.compare.repair;
        if repair.stage == Stage::Due {
            repair.begin(Stage::Leading, repair.salt);
            let live = document.cells.below(None).filter(Stored::is_live).count();
            repair.add(split_or_list(Range::ALL, live));
        }
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
        context.repairs.searches += u64::from(begins_search && may_search);
        context.repairs.searches_refused += u64::from(begins_search && !may_search);
        if may_search {
            for cell in document.cells.since(sent) {
                if self.compare.repair.sends(document, cell) {
                    if !fits(&cell, writer) {
                        complete = false;
                        break;
                    }
                    self.write_cell(&mut run, writer, cell, document.replica)?;
                }
                sent = cell.seq;
            }
            if run.finish(writer) {
                step.cells_follow(writer);
                anything = true;
            }
            let repair = &mut self.compare.repair;
            repair.cursor = if complete { 0 } else { sent };
            if complete {
                List::retain(&mut repair.tasks, |task| !task.sends_cells());
            }
        }
        if !anything {
            writer.truncate(start);
            return if self.compare.repair.tasks.is_empty() { Ok(()) } else { Err(Full) };
        }
        self.compare.repair.begins = false;
        self.compare.repair.ask_all = false;
        Ok(())
    }

    // ---- receiving ----

    // Not inlined: its large stack frame would be part of that of every message.
    #[inline(never)]
    pub(super) fn handle_repair(
        &mut self,
        step: Step<'_>,
        messages: &mut MessageReader<'_>,
        context: &mut Context<S>,
    ) -> Result<Outcome, Stop> {
        let stage = self.compare.repair.stage;
        match (step.salt, stage) {
            // Both began at once: the initiator of the session leads.
            (Some(_), Stage::Leading) if self.carrier.initiator => return Ok(Outcome::Done),
            (Some(_), Stage::Following) => return Err(Stop::OutOfTurn(Turn::SecondRepair)),
            (Some(salt), _) => {
                self.compare.repair.begin(Stage::Following, salt);
                if stage == Stage::NotNeeded {
                    self.note_damage(context);
                }
            }
            (None, Stage::NotNeeded | Stage::Due) => return Err(Stop::OutOfTurn(Turn::RepairOfNobody)),
            (None, _) => {}
        }
        if step.all {
            self.compare.repair.send_all();
        }
        for part in step.parts() {
            match part {
                Part::List { range, hashes } => self.handle_list(range, hashes, context),
                Part::Split { range, digests } => self.handle_split(range, digests, context),
                Part::Want(hash) => self.compare.repair.add(Task::Cell(hash)),
            }
        }
        let (mut refused, taken) = (false, context.repairs.cells_taken);
        while let Some(wire) = messages.next_cell()? {
            let literal = messages.literal().path_if(&wire);
            let (stamp, slot) = self.resolve_cell(&wire, literal)?;
            let path = match (&slot, literal) {
                (Some(text), _) => Path::from_checked(text),
                (None, literal) => literal.ok_or(Stop::Dangling)?,
            };
            if refused {
                // Later messages may use names that the remaining cells define.
                continue;
            }
            let cell = Stored { path: path.as_str(), stamp, kind: wire.kind, payload: wire.payload, seq: 0 };
            if let Err(error) = self.repair_cell(cell, context) {
                self.refuse(context, refusal(error));
                refused = true;
            }
        }
        Ok(if context.repairs.cells_taken > taken { Outcome::Repaired } else { Outcome::Done })
    }

    /// Handles the peer's digests of 16 ranges.
    fn handle_split(&mut self, range: Range, theirs: &[Digest], context: &mut Context<S>) {
        let repair = &mut self.compare.repair;
        if repair.all || !repair.may_pass() {
            return;
        }
        context.repairs.ranges_compared += theirs.len() as u64;
        let (digests, counts) = split(&context.document, repair.salt, range);
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

    /// Handles the list of all that the peer has in a range.
    fn handle_list(&mut self, range: Range, theirs: &[Digest], context: &mut Context<S>) {
        let repair = &mut self.compare.repair;
        if repair.all || !repair.may_pass() {
            return;
        }
        context.repairs.ranges_compared += 1;
        let (salt, document) = (repair.salt, &context.document);
        let (mut common, mut lacking) = (0_u32, heapless::Vec::<Digest, { LIST_MAX / 2 }>::new());
        let mut too_many = theirs.is_empty();
        for (_, cell) in live_in(document, salt, range) {
            let hash = digest(document, salt, hash(document, cell));
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

    /// Takes a cell of the peer, if this side lacks it.
    ///
    /// The cell keeps its stamp. A fresh one would dominate later cells below it: the fields of a map that
    /// was lost with its marker, or newer writes below a delete. Other peers that lack the cell find that out
    /// in the same way, at once if they are connected.
    ///
    /// If two contents have one stamp, both sides keep the larger one. If a cell here dominates the peer's
    /// cell, that cell is the answer: the stamps of such answers rise, so they end.
    fn repair_cell(&mut self, theirs: Stored<'_>, context: &mut Context<S>) -> Result<(), UpdateError> {
        let (path, stamp) = (theirs.path(), theirs.stamp);
        let (document, repair) = (&mut context.document, &mut self.compare.repair);
        if !document.knowledge.vv().covers(stamp) {
            // Not incorporated yet: a batch will bring it.
            return Ok(());
        }
        match document.cells.get(path.as_str()).filter(|here| here.stamp == stamp) {
            Some(here) => {
                let order = (here.kind as u8, here.payload).cmp(&(theirs.kind as u8, theirs.payload));
                if order.is_gt() {
                    repair.add(Task::Cell(digest(document, repair.salt, hash(document, here))));
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
                    repair.add(Task::Cell(digest(document, repair.salt, hash(document, above))));
                    return Ok(());
                }
                if !theirs.is_live() && !deletes_any(document, path, stamp) {
                    return Ok(());
                }
                document.join_stored(theirs, &mut |_, _| {})?;
            }
        }
        context.unsaved = true;
        context.repairs.cells_taken += 1;
        Ok(())
    }
}

/// Writes a part. The frame must have capacity for it.
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
                // There were fewer when the list was planned. The peer sends those that are left out, as
                // missing here.
                hashes.push(digest(document, salt, hash(document, cell))).ok();
            }
            step.list(writer, range, &hashes)
        }
        Task::Split(range) => step.split(writer, range, &split(document, salt, range).0),
        Task::Want(hash) => step.want(writer, hash),
    }
}

/// The task that describes a range with `count` live cells here.
fn split_or_list(range: Range, count: usize) -> Task {
    if count > LIST_MAX && range.level < LEVELS { Task::Split(range) } else { Task::List(range) }
}

/// Digests and counts of the live cells in the 16 ranges of a range. O(cells).
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

/// The cell that dominates one at `path` with `stamp`.
fn dominator<'a, S: Memory>(document: &'a Document<S>, path: Path<'_>, stamp: Stamp) -> Option<Stored<'a>> {
    let mut above = path.ancestors().chain([path]).filter_map(|at| document.cells.get(at.as_str()));
    above.find(|here| dominates(here.path(), here.stamp, path, stamp))
}

/// Whether a delete at `path` with `stamp` dominates a live cell.
fn deletes_any<S: Memory>(document: &Document<S>, path: Path<'_>, stamp: Stamp) -> bool {
    let at = document.cells.get(path.as_str());
    let below = document.cells.below(Some(path.as_str()));
    { at.into_iter().chain(below) }.any(|cell| cell.is_live() && cell.stamp < stamp)
}

/// The digest of a range without cells.
const NONE: Digest = [0; 3];
/// Six levels. On each, this side answers and asks about at most as many ranges as the task list can store.
const PASSES_MAX: u16 = 6 * 2 * PARTS_MAX as u16;
