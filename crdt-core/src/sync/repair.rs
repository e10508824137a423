//! Where the repair of a session stands: what is still to be sent of it. 264 bytes, whatever the document.

use crate::list::List;
use crate::wire::repair::{Digest, PARTS_MAX, Range};

/// Comparing both sides of a session.
#[derive(Debug)]
pub(crate) struct Compare {
    /// Fingerprints are to be compared, as soon as both sides have the same.
    pub(crate) digest_due: bool,
    /// The application was told that both sides have the same, and nothing was said since.
    pub(crate) is_quiet: bool,
    pub(crate) repair: Repair,
}

impl Compare {
    pub(crate) fn new() -> Self {
        Self { digest_due: true, is_quiet: false, repair: Repair::new() }
    }
}

/// At most one a session.
#[derive(Debug)]
pub(crate) struct Repair {
    pub(crate) phase: Phase,
    /// Of all digests of this repair.
    pub(crate) salt: u32,
    /// The message that begins it was not written yet.
    pub(crate) begins: bool,
    /// Everything is sent, tombstones too: there is nothing to find any more.
    pub(crate) all: bool,
    /// The peer is to be told so, and to do the same.
    pub(crate) ask_all: bool,
    /// Cells up to this sequence number were looked at, if cells are being sent.
    pub(crate) cursor: u64,
    /// Times that all cells may still be looked at to answer what this peer tells.
    passes_left: u16,
    /// Times that they may still be looked at to find those that it wants.
    searches_left: u16,
    pub(crate) tasks: heapless::Vec<Task, PARTS_MAX>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// To be begun by this side.
    Due,
    /// The peer began it.
    Following,
    /// This side began it.
    Leading,
    NotNeeded,
}

/// Something to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// The cell with this hash, which the peer lacks.
    Cell(Digest),
    /// All cells of a range of which the peer has none.
    Cells(Range),
    /// The hashes of the cells of a range.
    List(Range),
    /// The digests of the 16 ranges of a range.
    Split(Range),
    /// The wish for a cell that the peer has listed.
    Want(Digest),
}

impl Task {
    pub(crate) fn sends_cells(self) -> bool {
        matches!(self, Task::Cell(_) | Task::Cells(_))
    }
}

impl Repair {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::NotNeeded,
            salt: 0,
            begins: false,
            all: false,
            ask_all: false,
            cursor: 0,
            passes_left: PASSES_MAX,
            searches_left: PASSES_MAX,
            tasks: heapless::Vec::new(),
        }
    }

    pub(crate) fn begin(&mut self, phase: Phase, salt: u32) {
        self.phase = phase;
        self.salt = salt;
        self.begins = phase == Phase::Leading;
        self.tasks.clear();
    }

    /// Notes what to send; when that is too much, everything is.
    pub(crate) fn add(&mut self, task: Task) {
        if self.all || self.tasks.contains(&task) {
            return;
        }
        if task.sends_cells() {
            // Those that were passed over may be wanted now.
            self.cursor = 0;
        }
        if self.tasks.push(task).is_err() {
            self.send_all();
            self.ask_all = true;
        }
    }

    pub(crate) fn send_all(&mut self) {
        if self.all {
            return;
        }
        self.all = true;
        self.cursor = 0;
        self.tasks.clear();
        let pushed = self.tasks.push(Task::Cells(Range::ALL));
        debug_assert!(pushed.is_ok(), "there is room for one");
    }

    /// Whether a search for the cells to be sent may go on, or begin. If not, what is wanted is forgotten: the next session may
    /// want it again.
    pub(crate) fn may_search(&mut self) -> bool {
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

    /// Whether all cells may be looked at once more: a peer cannot make this side work without end.
    pub(crate) fn may_pass(&mut self) -> bool {
        let more = self.passes_left > 0;
        self.passes_left = self.passes_left.saturating_sub(1);
        more
    }
}

/// Six levels, on each of which this side answers and asks about as many ranges as there is room for.
const PASSES_MAX: u16 = 6 * 2 * PARTS_MAX as u16;
