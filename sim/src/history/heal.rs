//! The end of a history: everyone connects, everything flows, and then all must be the same.

use super::Failure;
use super::connection::End;
use super::facts::PATHS;
use super::world::{AGGREGATOR, World};

impl World {
    /// Lets everything flow, in at most [`ROUNDS_MAX`] rounds, and checks what must hold then.
    ///
    /// Devices that are full cannot take everything, but they give everything; then capacity is made for them.
    pub(super) fn heal(&mut self) -> Result<(), Failure> {
        if self.variant.small {
            self.flow()?;
            self.check_given()?;
            self.make_room()?;
        }
        self.flow()?;
        if self.sums.alarms > 0 {
            // A session repairs once. What it has left differing, the next one finds.
            self.flow()?;
        }
        self.check_end()
    }

    /// Everyone connects anew, and all that is under way arrives, until there is nothing left to say.
    fn flow(&mut self) -> Result<(), Failure> {
        let open: Vec<u32> = self.connections.iter().map(|c| c.id).collect();
        for id in open {
            self.lose(id, None);
        }
        let mut quiet = 0;
        for round in 1..=ROUNDS_MAX {
            self.now_ms += 10;
            self.sums.rounds_max = self.sums.rounds_max.max(round);
            let (missing, sent) = (self.connect_all()?, self.round()?);
            if self.variant.renews && round <= RETIRING_ROUNDS {
                self.forget_stable();
            }
            if sent || missing {
                quiet = 0;
                continue;
            }
            quiet += 1;
            if quiet == 2 {
                return Ok(());
            }
            // Acknowledgements are lazy: to see them, ask.
            for node in &mut self.nodes {
                node.copy.request_acknowledgement();
            }
        }
        Err(Failure::Restless { rounds: ROUNDS_MAX })
    }

    /// What survived on a device is at the aggregator, however full the device is.
    fn check_given(&self) -> Result<(), Failure> {
        let knowledge = self.registry.knowledge(&self.nodes[AGGREGATOR]);
        for (at, node) in self.nodes.iter().enumerate() {
            let lost = node.own.writes.iter().find(|((_, stamp), _)| !knowledge.covers(*stamp));
            if let Some(((path, stamp), _)) = lost {
                return Err(Failure::Lost { node: at, path: PATHS[usize::from(*path)], stamp: *stamp });
            }
        }
        Ok(())
    }

    /// Either the devices get more memory, or an operator empties the document and compacts it.
    fn make_room(&mut self) -> Result<(), Failure> {
        if self.dice.percent(50) {
            for at in 1..self.nodes.len() {
                self.nodes[at].enlarge();
                let disk = self.nodes[at].disk.clone();
                self.restart(at, &disk)?;
            }
            return Ok(());
        }
        for path in 0..PATHS.len() {
            self.delete(AGGREGATOR, path as u8)?;
            // Before they are forgotten: the harness has to see them.
            self.note_input(AGGREGATOR)?;
        }
        self.nodes[AGGREGATOR].copy.forget_all_tombstones();
        self.note_input(AGGREGATOR)
    }

    fn connect_all(&mut self) -> Result<bool, Failure> {
        let mut missing = false;
        for at in 1..self.nodes.len() {
            let peers = if self.variant.mesh { at } else { 1 };
            for to in 0..peers {
                if !self.is_connected(at, to) {
                    missing = true;
                    self.connect(at, to)?;
                }
            }
        }
        Ok(missing)
    }

    /// Everyone stores and sends; then everything under way arrives, in any order between connections.
    fn round(&mut self) -> Result<bool, Failure> {
        let mut sent = false;
        let first = self.dice.below(self.nodes.len());
        for turn in 0..self.nodes.len() {
            sent |= self.settle((first + turn) % self.nodes.len())?;
        }
        loop {
            let waiting: Vec<u32> = self.connections.iter().filter(|c| c.has_items()).map(|c| c.id).collect();
            if waiting.is_empty() {
                return Ok(sent);
            }
            let id = self.dice.pick(&waiting);
            for end in End::BOTH {
                self.deliver(id, end)?;
            }
        }
    }

    /// Equal vectors mean equal documents, and every document is what its vector says. Where an id may go on beneath what
    /// others have of it, only the end tells.
    pub(super) fn check_truth(&self) -> Result<(), Failure> {
        for (at, node) in self.nodes.iter().enumerate() {
            if node.holds_back() || !node.is_clean() {
                continue;
            }
            if self.variant.truth && !self.nodes.iter().any(|node| node.deleted_without_trace) {
                let checked = self.registry.check(at, &self.nodes);
                checked.map_err(|what| Failure::Untrue { node: at, what })?;
            }
            for (other_at, other) in self.nodes.iter().enumerate().take(at) {
                if !self.variant.aggregator_restores
                    && node.copy.knowledge() == other.copy.knowledge()
                    && other.is_clean()
                    && !other.holds_back()
                    && node.copy.readings() != other.copy.readings()
                {
                    return Err(Failure::Diverged { nodes: (other_at, at) });
                }
            }
        }
        Ok(())
    }

    fn check_end(&mut self) -> Result<(), Failure> {
        let top = &self.nodes[AGGREGATOR];
        let knowledge = top.copy.knowledge();
        let known = self.registry.knowledge(top);
        for (at, node) in self.nodes.iter().enumerate() {
            if node.copy.readings() != top.copy.readings()
                || node.copy.fingerprint() != top.copy.fingerprint()
            {
                return Err(Failure::Diverged { nodes: (AGGREGATOR, at) });
            }
            if node.copy.knowledge() != knowledge {
                return Err(Failure::VectorsDiffer { nodes: (AGGREGATOR, at) });
            }
            if !node.is_clean() {
                return Err(Failure::Uncovered { node: at });
            }
            let lost = node.own.writes.iter().find(|((_, stamp), _)| !known.covers(*stamp));
            if let Some(((path, stamp), _)) = lost {
                return Err(Failure::Lost { node: at, path: PATHS[usize::from(*path)], stamp: *stamp });
            }
            let own = node.copy.id();
            if at != AGGREGATOR && node.copy.acknowledged_by(top.peer).time_of(own) < knowledge.time_of(own) {
                return Err(Failure::NoReceipt { node: at });
            }
        }
        if !self.variant.aggregator_restores && !known.dominates(&self.receipts) {
            return Err(Failure::ReceiptBroken);
        }
        self.check_truth()
    }
}

/// Round trips after which everything must be quiet. In 600,000 histories, 19 were the most.
const ROUNDS_MAX: u32 = 24;
/// Rounds in which ids may still retire.
const RETIRING_ROUNDS: u32 = 6;
