//! What must hold, whatever happens to the nodes: the log of all writes, and what was promised about them.

use std::collections::BTreeMap;
use std::fmt;

use crdt_core::{Document, DocumentName, Heap, ReplicaId, Stamp, Time};

use super::Edit;
use super::host::UpdateId;
use crate::clock::SimTime;
use crate::network::NodeId;

/// Something that must never happen has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When it was noticed.
    pub at: SimTime,
    /// At which node, if at one.
    pub node: Option<NodeId>,
    /// What, for people.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "at {}, node {}: {}", self.at, node.index(), self.what),
            None => write!(f, "at {}: {}", self.at, self.what),
        }
    }
}

/// All updates of a run, and what became of them.
#[derive(Debug, Default)]
pub(super) struct WriteLog {
    updates: Vec<Update>,
    /// Which update a stamp stands for; a write that is written again has several.
    by_stamp: BTreeMap<(DocumentName, Stamp), UpdateId>,
    /// Per node, those that wait for their receipt.
    waiting: BTreeMap<NodeId, Vec<(Stamp, UpdateId)>>,
    /// Per device, those of its present process that its transport has not said to be delivered.
    undelivered: BTreeMap<NodeId, Vec<Undelivered>>,
}

/// An update on its way.
#[derive(Debug)]
struct Undelivered {
    document: DocumentName,
    stamp: Stamp,
    since: SimTime,
}

#[derive(Debug)]
struct Update {
    node: NodeId,
    document: DocumentName,
    targets: Vec<Target>,
    /// Its own stamp first, then those under which it was written again.
    stamps: Vec<Stamp>,
    is_acknowledged: bool,
    /// It must survive what happens to its node.
    is_durable: bool,
}

#[derive(Debug)]
struct Target {
    path: Box<str>,
    is_delete: bool,
}

impl WriteLog {
    pub(super) fn begin(&mut self, node: NodeId, document: DocumentName, edits: &[Edit]) -> UpdateId {
        let target = |edit: &Edit| Target { path: edit.path().into(), is_delete: edit.is_delete() };
        let targets = edits.iter().map(target).collect();
        let update =
            Update { node, document, targets, stamps: Vec::new(), is_acknowledged: false, is_durable: false };
        self.updates.push(update);
        UpdateId(self.updates.len() - 1)
    }

    pub(super) fn written(&mut self, id: UpdateId, stamp: Stamp) {
        let update = &mut self.updates[id.0];
        update.stamps.push(stamp);
        self.by_stamp.insert((update.document.clone(), stamp), id);
        self.waiting.entry(update.node).or_default().push((stamp, id));
    }

    /// A device has made this update, and waits until its transport says that it was delivered.
    pub(super) fn set_out(&mut self, id: UpdateId, stamp: Stamp, now: SimTime) {
        let Update { node, document, .. } = &self.updates[id.0];
        let undelivered = Undelivered { document: document.clone(), stamp, since: now };
        self.undelivered.entry(*node).or_default().push(undelivered);
    }

    /// The transport of `node` has delivered all that was sent: of what was on its way, that which `is_safe` has its
    /// receipt. Tells since when each of them was on its way.
    pub(super) fn delivered(
        &mut self,
        node: NodeId,
        is_safe: impl Fn(&DocumentName, Stamp) -> bool,
    ) -> impl Iterator<Item = SimTime> {
        let undelivered = self.undelivered.get_mut(&node);
        let arrived = undelivered.map(|updates| {
            updates.extract_if(.., move |update| is_safe(&update.document, update.stamp)).collect::<Vec<_>>()
        });
        arrived.into_iter().flatten().map(|update| update.since)
    }

    /// How many updates of `node` are on their way.
    pub(super) fn undelivered(&self, node: NodeId) -> u64 {
        self.undelivered.get(&node).map_or(0, |updates| updates.len() as u64)
    }

    pub(super) fn durable(&mut self, updates: &[UpdateId]) {
        updates.iter().for_each(|id| self.updates[id.0].is_durable = true);
    }

    pub(super) fn written_again(&mut self, document: &DocumentName, original: Stamp, reissued: Stamp) {
        let Some(&id) = self.by_stamp.get(&(document.clone(), original)) else { return };
        self.by_stamp.insert((document.clone(), reissued), id);
        let update = &mut self.updates[id.0];
        update.stamps.push(reissued);
        if !update.is_acknowledged {
            self.waiting.entry(update.node).or_default().push((reissued, id));
        }
    }

    /// `node` was told that all of `replica` up to `through` is safe. Tells how many updates that acknowledges.
    pub(super) fn acknowledged(&mut self, node: NodeId, replica: ReplicaId, through: Time) -> u64 {
        let Some(waiting) = self.waiting.get_mut(&node) else { return 0 };
        let mut count = 0;
        let updates = &mut self.updates;
        waiting.retain(|(stamp, id)| {
            let is_meant = stamp.replica == replica && stamp.time <= through;
            if is_meant && !updates[id.0].is_acknowledged {
                updates[id.0].is_acknowledged = true;
                count += 1;
            }
            !is_meant
        });
        count
    }

    /// The power of `node` went: what its disk did not have was never written, though later stamps of it may be claimed.
    pub(super) fn crashed(&mut self, node: NodeId) {
        self.undelivered.remove(&node);
        if let Some(waiting) = self.waiting.get_mut(&node) {
            waiting.retain(|(_, id)| self.updates[id.0].is_durable);
        }
    }

    /// The disk of `node` is gone or an old one: what it had not been told to be safe may be lost.
    pub(super) fn storage_replaced(&mut self, node: NodeId) {
        self.waiting.remove(&node);
        self.updates.iter_mut().filter(|update| update.node == node).for_each(|u| u.is_durable = false);
    }

    /// Checks that nothing is lost of what was promised to be in `document`, which everyone has.
    pub(super) fn lost_from(&self, name: &DocumentName, document: &Document<Heap>) -> Vec<String> {
        let here: BTreeMap<&str, Stamp> =
            document.cells().map(|cell| (cell.path.as_str(), cell.stamp)).collect();
        // What was written at each path, by which update, at last under which stamp.
        let mut written: BTreeMap<&str, Vec<(usize, Stamp)>> = BTreeMap::new();
        let updates = || self.updates.iter().enumerate().filter(|(_, update)| update.document == *name);
        for (number, update) in updates() {
            let Some(&last) = update.stamps.iter().max() else { continue };
            for target in &update.targets {
                written.entry(&target.path).or_default().push((number, last));
            }
        }
        let mut lost = Vec::new();
        for (number, update) in updates().filter(|(_, update)| update.is_acknowledged || update.is_durable) {
            // Of an update that was written again in part, the other part was replaced before that.
            let Some(&first) = update.stamps.first() else { continue };
            for Target { path, is_delete } in &update.targets {
                let is_here = here.get(&**path).is_some_and(|here| update.stamps.contains(here));
                let is_replaced = with_ancestors(path).any(|at| {
                    here.get(at).is_some_and(|here| *here > first)
                        || written.get(at).is_some_and(|w| w.iter().any(|(n, s)| *n != number && *s > first))
                });
                // The mark of a delete may be forgotten once everyone has it.
                let is_known = update.stamps.iter().any(|stamp| document.covers(*stamp));
                let is_forgotten = *is_delete && is_known;
                if !(is_here || is_replaced || is_forgotten) {
                    let promise = if update.is_acknowledged { "acknowledged" } else { "durable at its node" };
                    let node = update.node.index();
                    let mut what =
                        format!("{name}: {path} of node {node} at {first} was {promise}, and is lost");
                    self.tell_neighbours(&mut what, path, update, document);
                    lost.push(what);
                }
            }
        }
        lost
    }

    /// Adds what else is known about `path`, for whoever looks for the cause.
    fn tell_neighbours(&self, what: &mut String, path: &str, lost: &Update, document: &Document<Heap>) {
        let is_near = |other: &str| {
            with_ancestors(path).any(|at| at == other) || with_ancestors(other).any(|at| at == path)
        };
        for cell in document.cells().filter(|cell| is_near(cell.path.as_str())) {
            what.push_str(&format!(
                "\n    here: {} is {:?} at {}",
                cell.path.as_str(),
                cell.content,
                cell.stamp
            ));
        }
        for update in self.updates.iter().filter(|update| update.document == lost.document) {
            for target in update.targets.iter().filter(|target| is_near(&target.path)) {
                let did = if target.is_delete { "deleted" } else { "wrote" };
                let (node, stamps) = (update.node.index(), &update.stamps);
                what.push_str(&format!("\n    node {node} {did} {} at {stamps:?}", target.path));
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.updates.len()
    }
}

/// `a/b/c`, `a/b`, `a`.
fn with_ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(above, _)| above))
}
