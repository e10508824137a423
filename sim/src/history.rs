//! Random histories of replicas of the real core, with every fault that the protocol claims to survive.
//!
//! Not a network simulation: here frames wait in queues, and a step is a draw. What this finds are sequences of events,
//! not timings: a crash between two frames of a batch, a replayed first flight after a storage loss, a restored backup whose
//! owner does not know it. A history ends with everyone connected. Then:
//!
//! - all documents, version vectors and fingerprints are equal, and no cell is uncovered;
//! - whatever a device was told to be durable is there, and so is every write that survived on its own device;
//! - no fingerprint alarm was ever raised, no peer broke the protocol, and the talk ended within 24 rounds.
//!
//! Devices that are too small for the document cannot take it all. They must give all they have none the less; then
//! capacity is made, and they too must be equal.
//!
//! On the way each document's invariants are checked after every input, and now and then that each document is what its
//! version vector promises ([`Failure::Untrue`]), judged from all cells ever made, without any merge code.
//!
//! ```
//! use sim::history::{Variant, run};
//!
//! let sums = run(42, Variant::ALL[0]).expect("histories converge");
//! assert!(sums.writes > 0);
//! ```

mod connection;
mod copy;
mod dice;
mod facts;
mod heal;
mod node;
mod oracle;
mod sweep;
mod variant;
mod world;

use crdt_core::{PeerError, Stamp, Time};
use serde::Serialize;

pub use sweep::{Tally, sweep};
pub use variant::{Broken, Variant};

/// Runs the history of a seed to its end.
///
/// # Errors
/// [`Failure`]: what did not hold. The same seed and variant fail again in the same way.
pub fn run(seed: u64, variant: Variant) -> Result<Sums, Failure> {
    let mut world = world::World::new(seed, variant);
    for _ in 0..world.dice.pick(&STEPS) {
        world.step()?;
        if world.dice.permille(20) {
            world.check_truth()?;
        }
    }
    world.check_truth()?;
    world.heal()?;
    Ok(world.sums)
}

/// What happened in a history, or in many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Alarms of fingerprints, where they may be raised.
    pub alarms: u64,
    /// Times that cells were dropped because a full batch did not hold them.
    pub dropped: u64,
    /// Copies that went on under a new id.
    pub forks: u64,
    /// Times that tombstones were forgotten to make room.
    pub forgotten: u64,
    /// Frames sent.
    pub frames: u64,
    /// Writes and batches that were refused for want of capacity.
    pub full: u64,
    /// Writes made again: late, of an id that was given up, or after a fork.
    pub late: u64,
    /// Replica ids that were retired.
    pub retired: u64,
    /// Receipts of the aggregator.
    pub receipts: u64,
    /// Replays of a first flight.
    pub replays: u64,
    /// Restarts on an old image of the disk.
    pub restores: u64,
    /// Restarts, on old images too.
    pub restarts: u64,
    /// Most rounds that healing took.
    pub rounds_max: u32,
    /// Copies that the aggregator has verified.
    pub verified: u64,
    /// Storage losses.
    pub wipes: u64,
    /// Writes of applications.
    pub writes: u64,
}

impl Sums {
    /// Adds another history.
    pub fn add(&mut self, other: &Sums) {
        self.alarms += other.alarms;
        self.dropped += other.dropped;
        self.forks += other.forks;
        self.forgotten += other.forgotten;
        self.frames += other.frames;
        self.full += other.full;
        self.late += other.late;
        self.retired += other.retired;
        self.receipts += other.receipts;
        self.replays += other.replays;
        self.restores += other.restores;
        self.restarts += other.restarts;
        self.rounds_max = self.rounds_max.max(other.rounds_max);
        self.verified += other.verified;
        self.wipes += other.wipes;
        self.writes += other.writes;
    }
}

/// Something that must hold did not. Nodes are numbered; 0 is the aggregator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Fingerprints differed although nothing was damaged.
    #[error("node {node} took its storage for damaged")]
    Damaged {
        /// Who noticed.
        node: usize,
    },
    /// Two nodes that know the same show different documents.
    #[error("nodes {} and {} know the same and show different documents", nodes.0, nodes.1)]
    Diverged {
        /// Which.
        nodes: (usize, usize),
    },
    /// An invariant of a document is broken.
    #[error("at node {node}: {what}")]
    Invariant {
        /// Where.
        node: usize,
        /// Which.
        what: &'static str,
    },
    /// A write that came late was deleted where it should have been written again.
    #[error("node {node} has deleted a late write at {path}")]
    LateDeleted {
        /// Where.
        node: usize,
        /// At which path.
        path: &'static str,
    },
    /// A disk image that the core wrote cannot be loaded.
    #[error("node {node} cannot be loaded: {error}")]
    Load {
        /// Which.
        node: usize,
        /// Why.
        error: String,
    },
    /// A write survived on its device and is not known at the end.
    #[error("the write of node {node} at {path} with stamp {stamp:?} is lost")]
    Lost {
        /// Whose.
        node: usize,
        /// Where.
        path: &'static str,
        /// Which.
        stamp: Stamp,
    },
    /// All is quiet, and a device that asked does not know that everything is durable.
    #[error("node {node} has no receipt for what the aggregator has")]
    NoReceipt {
        /// Which.
        node: usize,
    },
    /// A device was told that its writes are durable, and they are not on the aggregator's disk.
    #[error("node {node} was told that its writes up to {through} are durable, and they are not")]
    NotDurable {
        /// Who.
        node: usize,
        /// Up to when.
        through: Time,
    },
    /// The core or the harness panicked: the message stands in the test's output.
    #[error("a panic")]
    Panic,
    /// Frames of an honest peer were taken for a breach of the protocol.
    #[error("node {node}: {error}")]
    Protocol {
        /// Who complained.
        node: usize,
        /// About what.
        error: PeerError,
    },
    /// The aggregator does not know any more what it had told to be durable.
    #[error("the aggregator has lost what it had told to be durable")]
    ReceiptBroken,
    /// Healing does not come to an end.
    #[error("still talking after {rounds} rounds")]
    Restless {
        /// Rounds.
        rounds: u32,
    },
    /// A node wrote again what it had known to be dead.
    #[error("node {node} wrote the transaction {stamp:?} again, which it had known to be dead")]
    Resurrected {
        /// Which.
        node: usize,
        /// Of which transaction.
        stamp: Stamp,
    },
    /// One stamp and path have two contents.
    #[error("the cell at {path} with stamp {stamp:?} has two contents")]
    TwoContents {
        /// Where.
        path: &'static str,
        /// Which.
        stamp: Stamp,
    },
    /// Cells that nobody has claimed are left at the end.
    #[error("node {node} holds cells that nobody claims")]
    Uncovered {
        /// Where.
        node: usize,
    },
    /// A write was refused, and something has changed.
    #[error("node {node} refused a write and has changed by it")]
    HalfWritten {
        /// Where.
        node: usize,
    },
    /// An event that does not belong into these histories.
    #[error("node {node}: unexpected: {event}")]
    Unexpected {
        /// Where.
        node: usize,
        /// What.
        event: String,
    },
    /// A document is not what its version vector promises.
    #[error("node {node} {what}")]
    Untrue {
        /// Which.
        node: usize,
        /// What it shows and what it must show.
        what: String,
    },
    /// All is quiet, and version vectors differ.
    #[error("nodes {} and {} do not know the same", nodes.0, nodes.1)]
    VectorsDiffer {
        /// Which.
        nodes: (usize, usize),
    },
}

impl Failure {
    /// The kind of failure in one word, for tallies.
    pub fn kind(&self) -> &'static str {
        match self {
            Failure::Damaged { .. } => "damaged",
            Failure::Diverged { .. } => "diverged",
            Failure::HalfWritten { .. } => "half written",
            Failure::Invariant { what, .. } => what,
            Failure::LateDeleted { .. } => "late write deleted",
            Failure::Load { .. } => "load",
            Failure::Lost { .. } => "lost",
            Failure::NoReceipt { .. } => "no receipt",
            Failure::NotDurable { .. } => "not durable",
            Failure::Panic => "panic",
            Failure::Protocol { .. } => "protocol",
            Failure::ReceiptBroken => "receipt broken",
            Failure::Restless { .. } => "restless",
            Failure::Resurrected { .. } => "resurrected",
            Failure::TwoContents { .. } => "two contents",
            Failure::Uncovered { .. } => "uncovered",
            Failure::Unexpected { .. } => "unexpected",
            Failure::Untrue { .. } => "untrue",
            Failure::VectorsDiffer { .. } => "vectors differ",
        }
    }
}

/// Lengths of histories, in steps.
const STEPS: [usize; 4] = [60, 120, 250, 500];
