//! What a replica must show: decided from every cell that was ever made, without any merge code.
//!
//! A version vector is a promise: whoever covers a cell shows what all covered cells together determine. The registry
//! knows all cells, and who may have them. A cell that only ever existed on a disk that was lost, or in the time line that a
//! restored backup ended, binds nobody.

use std::collections::BTreeMap;

use crdt_core::{ReplicaId, Retired, Stamp};

use super::facts::{CellName, Fact, Held, Knowledge, PATHS, is_above};
use super::node::{Image, Node};

/// Every cell that may have left the copy that made it.
#[derive(Default)]
pub(super) struct Registry {
    cells: BTreeMap<CellName, Entry>,
    /// Cells of time lines that have ended, and that nobody has: a replay may bring one back.
    ended: BTreeMap<CellName, Entry>,
    owners: BTreeMap<ReplicaId, usize>,
    /// Every retirement there was.
    retired: Vec<Retired>,
}

#[derive(Clone, Copy)]
struct Entry {
    held: Held,
    spread: Spread,
}

/// How far a cell has come, on disks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Spread {
    Own,
    Seen,
    Covered,
}

impl Registry {
    /// `replica` is an id of `node`.
    pub(super) fn note_id(&mut self, replica: ReplicaId, node: usize) {
        self.owners.insert(replica, node);
    }

    /// The aggregator has retired these ids. Tells how many of them are new.
    pub(super) fn note_retired(&mut self, retired: Vec<Retired>) -> u64 {
        let before = self.retired.len();
        for retired in retired {
            if !self.retired.contains(&retired) {
                self.retired.push(retired);
            }
        }
        (self.retired.len() - before) as u64
    }

    /// Every retirement there was.
    pub(super) fn retired(&self) -> &[Retired] {
        &self.retired
    }

    /// What `node` has incorporated, or knows to be dead.
    pub(super) fn knowledge(&self, node: &Node) -> Knowledge {
        self.complete(node.copy.knowledge())
    }

    /// A version vector, and what it says of the ids that it does not list.
    pub(super) fn complete(&self, vector: Knowledge) -> Knowledge {
        vector.with_retired(&self.retired)
    }

    /// `image` is on the disk of `node`. Gives the name of a cell that now has two contents.
    pub(super) fn note_disk(&mut self, node: usize, image: &Image) -> Result<(), CellName> {
        for fact in &image.own.log {
            if image.own.may_leave(fact.stamp) {
                self.ended.remove(&fact.name());
                let entry = Entry { held: fact.held, spread: Spread::Own };
                if self.cells.entry(fact.name()).or_insert(entry).held != fact.held {
                    return Err(fact.name());
                }
            }
        }
        for name in &image.seen {
            if let Some(entry) = self.ended.remove(name) {
                self.cells.insert(*name, entry);
            }
        }
        let known = self.complete(image.knowledge.clone());
        let owners = &self.owners;
        for (name, entry) in &mut self.cells {
            if owners.get(&name.1.replica) == Some(&node) && image.own.holds(*name) {
                continue;
            }
            if known.covers(name.1) {
                entry.spread = Spread::Covered;
            } else if entry.spread == Spread::Own && image.seen.contains(name) {
                entry.spread = Spread::Seen;
            }
        }
        Ok(())
    }

    /// A disk was lost or set back, or a process lost what was not on its disk: cells that their writer no longer has, and
    /// nobody else, are gone. Somebody else may have been the last to know of a time line that ended before.
    pub(super) fn end_time_lines(&mut self, nodes: &[Node]) {
        let everywhere: Vec<(Knowledge, Vec<Fact>)> =
            nodes.iter().map(|node| (self.knowledge(node), node.copy.facts())).collect();
        let (owners, ended) = (&self.owners, &mut self.ended);
        self.cells.retain(|name, entry| {
            let Some(&owner) = owners.get(&name.1.replica) else { return true };
            let others = everywhere.iter().enumerate().filter(|(at, _)| *at != owner);
            let gone = entry.spread == Spread::Own
                && !nodes[owner].own.holds(*name)
                && others.map(|(_, known)| known).all(|(knowledge, facts)| {
                    !knowledge.covers(name.1) && facts.iter().all(|fact| fact.name() != *name)
                });
            if gone {
                ended.insert(*name, *entry);
            }
            !gone
        });
    }

    /// A fork: what the copy has moved under a new id and nobody else has seen is gone under the old one.
    pub(super) fn note_fork(&mut self, old: ReplicaId, common: crdt_core::Time) {
        self.cells.retain(|name, entry| {
            name.1.replica != old || name.1.time <= common || entry.spread != Spread::Own
        });
    }

    /// Whether that cell is known to be none that deletes.
    pub(super) fn is_value(&self, name: CellName) -> bool {
        self.cells.get(&name).is_some_and(|entry| entry.held != Held::Tombstone)
    }

    /// Whether the document of `node` is what its version vector says. Gives what was expected if not.
    pub(super) fn check(&self, node: usize, nodes: &[Node]) -> Result<(), String> {
        let this = &nodes[node];
        let knowledge = self.knowledge(this);
        let everywhere: Vec<(Knowledge, Vec<Fact>)> =
            nodes.iter().map(|other| (self.knowledge(other), other.copy.facts())).collect();
        let mut best: [Option<(Stamp, Held)>; PATHS.len()] = [None; PATHS.len()];
        let mut consider = |name: CellName, held: Held| {
            let best = &mut best[usize::from(name.0)];
            if best.is_none_or(|(stamp, _)| stamp < name.1) {
                *best = Some((name.1, held));
            }
        };
        for (name, entry) in self.cells.iter().chain(&self.ended) {
            if knowledge.covers(name.1) && self.is_alive(*name, entry, nodes, &everywhere) {
                consider(*name, entry.held);
            }
        }
        for fact in this.own.log.iter().chain(&everywhere[node].1) {
            consider(fact.name(), fact.held);
        }
        let mut expected: Vec<Fact> = (0..PATHS.len() as u8)
            .filter_map(|path| {
                let (stamp, held) = best[usize::from(path)]?;
                let killed = (0..PATHS.len() as u8).any(|above| {
                    is_above(above, path) && best[usize::from(above)].is_some_and(|(newer, _)| newer > stamp)
                });
                (!killed && held != Held::Tombstone).then_some(Fact { path, stamp, held })
            })
            .collect();
        let mut shown: Vec<Fact> =
            everywhere[node].1.iter().filter(|cell| cell.held != Held::Tombstone).copied().collect();
        shown.sort_unstable_by_key(Fact::name);
        expected.sort_unstable_by_key(Fact::name);
        if shown == expected { Ok(()) } else { Err(format!("shows {shown:?}, must show {expected:?}")) }
    }

    fn is_alive(
        &self,
        name: CellName,
        entry: &Entry,
        nodes: &[Node],
        everywhere: &[(Knowledge, Vec<Fact>)],
    ) -> bool {
        let owner = self.owners.get(&name.1.replica).copied();
        let elsewhere = everywhere.iter().enumerate().any(|(node, (knowledge, facts))| {
            facts.iter().any(|fact| fact.name() == name) || (Some(node) != owner && knowledge.covers(name.1))
        });
        let ended = self.ended.contains_key(&name);
        let owned = owner.is_some_and(|owner| nodes[owner].own.holds(name));
        // A replay brought it back, and it may have been forgotten again before anything was committed.
        let came_back = nodes.iter().any(|node| node.has_seen(name));
        elsewhere && !ended || entry.spread == Spread::Covered || owned || came_back
    }
}
