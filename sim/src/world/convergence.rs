//! Whether everyone has the same, and if not, who lacks what.

use std::collections::BTreeMap;
use std::fmt;

use crdt_core::{Content, Document, DocumentName, Heap, Stamp};

use super::node::Node;
use super::process::Process;
use crate::clock::SimTime;
use crate::network::NodeId;

/// A world did not converge in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Stuck {
    /// When it was given up.
    pub at: SimTime,
    /// Who lacks what.
    pub lacks: Vec<Lack>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not converged at {}:", self.at)?;
        self.lacks.iter().try_for_each(|lack| write!(f, "\n  {lack}"))
    }
}

/// Why a node has not the same document as its aggregator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The node.
    pub node: NodeId,
    /// The document.
    pub document: DocumentName,
    /// What is wrong, for people.
    pub what: String,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}, {}: {}", self.node.index(), self.document, self.what)
    }
}

/// What keeps `device` from having the same as `aggregator`, in the order of its documents.
pub(super) fn lacks(aggregator: &Node, device: &Node) -> Vec<Lack> {
    let documents = device.documents.iter();
    let lack = |document: &DocumentName| {
        let what = lack(aggregator.process.as_ref(), device.process.as_ref(), document)?;
        Some(Lack { node: device.id, document: document.clone(), what })
    };
    documents.filter_map(lack).collect()
}

/// The same as `lacks(..).is_empty()`, without the words.
pub(super) fn has_converged(aggregator: &Node, device: &Node) -> bool {
    let (Some(cloud), Some(edge)) = (&aggregator.process, &device.process) else { return false };
    device.documents.iter().all(|name| match (cloud.documents.get(name), edge.documents.get(name)) {
        (Some(cloud), Some(edge)) => {
            let (ours, theirs) = (edge.replica.document(), cloud.replica.document());
            edge.is_quiet()
                && cloud.is_quiet()
                && !edge.replica.is_unverified()
                && ours.fingerprint() == theirs.fingerprint()
                && ours.version_vector() == theirs.version_vector()
        }
        _ => false,
    })
}

fn lack(cloud: Option<&Process>, edge: Option<&Process>, name: &DocumentName) -> Option<String> {
    let Some(cloud) = cloud else { return Some("the aggregator is down".into()) };
    let Some(edge_process) = edge else { return Some("it is down".into()) };
    let offline = edge_process.why_offline().map_or(String::new(), |why| format!("; it is {why}"));
    let Some(edge) = edge_process.documents.get(name) else { return Some("it could not load it".into()) };
    let Some(cloud) = cloud.documents.get(name) else {
        return Some(format!("the aggregator has never heard of it{offline}"));
    };
    let (ours, theirs) = (edge.replica.document(), cloud.replica.document());
    if edge.replica.is_unverified() {
        return Some(format!("nobody has verified its copy{offline}"));
    }
    if !(edge.is_quiet() && cloud.is_quiet()) {
        return Some(format!("changes wait to be stored{offline}"));
    }
    let (here, there) = (live_cells(ours), live_cells(theirs));
    let missing = there.iter().filter(|cell| !here.contains_key(cell.0)).count();
    let unsent = here.iter().filter(|cell| !there.contains_key(cell.0)).count();
    let differ = here.iter().filter(|(path, cell)| there.get(*path).is_some_and(|c| c != *cell)).count();
    if missing + unsent + differ > 0 {
        return Some(format!(
            "it lacks {missing} cells, the aggregator lacks {unsent}, {differ} differ{offline}"
        ));
    }
    if ours.fingerprint() != theirs.fingerprint() {
        return Some("the cells are equal and the fingerprints differ".into());
    }
    (ours.version_vector() != theirs.version_vector()).then(|| {
        format!(
            "the vectors differ: {:?} here, {:?} there{offline}",
            ours.version_vector(),
            theirs.version_vector()
        )
    })
}

/// What is in a document, apart from what marks deletes: those may be forgotten on one side before the other.
pub(super) fn live_cells(document: &Document<Heap>) -> BTreeMap<&str, (Stamp, String)> {
    let live = document.cells().filter(|cell| cell.content != Content::Tombstone);
    live.map(|cell| (cell.path.as_str(), (cell.stamp, format!("{:?}", cell.content)))).collect()
}
