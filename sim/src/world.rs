//! A fleet in virtual time: an aggregator and its devices, made of the real parts.
//!
//! Every node runs the real replica and the real QUIC transport, with real handshakes and real frames; the network, the
//! disks and the clocks are simulated. There is one way for data: a document's frames go through the transport and the
//! [`Network`], and nothing leaves before the node's disk has committed what it says.
//!
//! ```
//! use std::time::Duration;
//! use sim::link_profiles::Link;
//! use sim::world::{Device, World};
//!
//! let mut world = World::new(7);
//! let pump = world.device(Device::new(Link::CatM1.profile().lossless(), "pump-1"));
//! world.set(pump, "pump/pressure", 4.5)?;
//! world.run_until_converged(Duration::from_secs(60))?;
//! world.run_for(Duration::from_secs(60)); // the receipt comes back
//!
//! let counters = world.counters(pump);
//! println!("{} bytes of IP, {} of payload", counters.ip_bytes(), counters.payload_bytes());
//! assert_eq!((counters.updates, counters.acknowledged), (1, 1));
//! world.check()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is checked
//!
//! All the time: honest peers never break the protocol; what a node is told to be safe is durable at the aggregator at
//! that moment; a copy finds out that it is an old one only where its disk was tampered with; what was committed can be
//! loaded again. [`World::check`] adds, once all have converged: equal documents and version vectors, their inner
//! invariants, and that nothing is lost which was acknowledged, or durable at a node whose disk is still its own.
//!
//! # Determinism
//!
//! A run follows from its seed and the calls made, down to the time and the length of each datagram: see
//! [`World::trace`]. The bytes in the datagrams differ, because TLS draws its keys from the operating system.
//!
//! # Layers
//!
//! [`Edit`] and [`Action`] are data; `disk` and `host` are what a process stands on, `documents` and `process` are the
//! process, `node` is what survives it, `convergence` and `oracle` judge, [`fleet`] makes up scenarios from seeds, and
//! [`month`] tells what a fleet that works as it should costs.

mod action;
mod convergence;
mod disk;
mod documents;
mod edit;
pub mod fleet;
mod host;
pub mod month;
mod node;
mod oracle;
mod policy;
mod process;

pub use action::Action;
pub use convergence::{Lack, Stuck};
pub use disk::Image;
pub use edit::{Edit, Scalar};
pub use host::Counters;
pub use oracle::Violation;
pub use policy::Policy;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crdt_core::{CountingRng, DocumentName, Heap, PathError, Replica, Role, Stamp};
use transport_quic::{Config, Ledger};

use crate::clock::{Clock, SimTime, WallClock};
use crate::link_profiles::{Link, LinkProfile};
use crate::network::{Network, NodeId};
use crate::rng::SimRng;
use disk::Disk;
use documents::Input;
use host::Note;
use node::Node;
use oracle::WriteLog;

/// An aggregator and its devices. See the [module](self).
///
/// # Panics
///
/// All methods that take a [`NodeId`] panic if it comes from another world.
pub struct World {
    seed: u64,
    now: SimTime,
    clock: Clock,
    network: Network,
    /// Numbered as in the network; the aggregator is the first.
    nodes: Vec<Node>,
    /// What is planned, in the order of time and then of planning.
    plan: BTreeMap<(SimTime, u64), Action>,
    planned: u64,
    /// When nodes want their next turn. Outdated entries are skipped.
    wakes: BinaryHeap<Reverse<(SimTime, NodeId)>>,
    log: WriteLog,
    violations: Vec<Violation>,
    receipts: Vec<Duration>,
    trace: Trace,
}

impl World {
    /// A world with an aggregator that runs, on a link without limits, and no devices.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut network = Network::new(seed);
        let id = network.attach(AGGREGATOR_ADDR, Link::Loopback.profile()).expect("nobody else is there yet");
        let disk = Disk::new(AGGREGATOR_COMMIT_DELAY);
        let node = Node::new(id, Role::Aggregator, node_rng(seed, 0), disk, Policy::AGGREGATOR);
        let mut world = Self {
            seed,
            now: SimTime::ZERO,
            clock: Clock::new(),
            network,
            nodes: vec![node],
            plan: BTreeMap::new(),
            planned: 0,
            wakes: BinaryHeap::new(),
            log: WriteLog::default(),
            violations: Vec::new(),
            receipts: Vec::new(),
            trace: Trace::default(),
        };
        world.nodes[0].wants_receipts = false;
        world.nodes[0].start(SimTime::ZERO, world.clock);
        world.turn(id);
        world
    }

    /// Adds a device, which starts and connects now.
    ///
    /// # Panics
    ///
    /// With 2^24 devices.
    pub fn device(&mut self, device: Device) -> NodeId {
        let number = u32::try_from(self.nodes.len()).expect("a run has fewer than 2^32 nodes");
        let [_, b, c, d] = number.to_be_bytes();
        let addr = SocketAddr::from(([10, b, c, d], DEVICE_PORT));
        let id = self.network.attach(addr, device.profile).expect("each device has its own address");
        let policy = Policy::for_link(&device.profile);
        let is_slow = device.profile.uplink.latency_us >= policy::SLOW_LATENCY_US;
        let transport = if is_slow { Config::nb_iot() } else { Config::cat_m1() };
        let mut node = Node::new(
            id,
            Role::Member,
            node_rng(self.seed, number.into()),
            Disk::new(DEVICE_COMMIT_DELAY),
            policy,
        )
        .with_aggregator(AGGREGATOR_ADDR, self.nodes[0].identity.public_key(), transport);
        node.documents.extend(device.document);
        node.wall = device.clock;
        node.wants_receipts = device.wants_receipts;
        node.start(self.now, self.clock);
        self.nodes.push(node);
        self.turn(id);
        id
    }

    /// A device's application sets one value now.
    ///
    /// # Errors
    /// [`PathError`] when `path` is none.
    pub fn set(&mut self, device: NodeId, path: &str, value: impl Into<Scalar>) -> Result<(), PathError> {
        let edits = vec![Edit::set(path, value)?];
        self.update(device, edits);
        Ok(())
    }

    /// A device's application makes a transaction now, in the device's document.
    pub fn update(&mut self, device: NodeId, edits: Vec<Edit>) {
        let document = self.document_of(device).clone();
        self.act(Action::Update { node: device, document, edits });
    }

    /// Does something to a node now.
    pub fn act(&mut self, action: Action) {
        tracing::trace!(at = %self.now, ?action, "action");
        match action {
            Action::Backup(id) => {
                let node = self.node_mut(id);
                node.backup = Some(node.disk.image().clone());
            }
            Action::Crash(id) => {
                self.node_mut(id).crash();
                self.log.crashed(id);
            }
            Action::Cut(id, cut) => self.network.cut(id, cut),
            Action::Heal(id) => self.network.restore(id),
            Action::Rebind(id) => {
                self.network.rebind(id);
            }
            Action::Reconnect(id) => {
                let now = self.clock.instant(self.now);
                if let Some(process) = &mut self.node_mut(id).process {
                    process.hang_up(now);
                }
                self.turn(id);
            }
            Action::Restore(id) => {
                if let Some(image) = self.node(id).backup.clone() {
                    self.replace_disk(id, |disk| disk.restore(image));
                }
            }
            Action::SetClock(id, wall) => self.node_mut(id).wall = wall,
            Action::SetProfile(id, profile) => self.network.set_profile(id, profile),
            Action::Start(id) => {
                let (now, clock) = (self.now, self.clock);
                self.node_mut(id).start(now, clock);
                self.turn(id);
            }
            Action::Update { node, document, edits } => {
                let update = self.log.begin(node, document.clone(), &edits);
                if let Some(process) = &mut self.node_mut(node).process {
                    process.give(&document, Input::Update(update, edits));
                }
                self.turn(node);
            }
            Action::Wipe(id) => self.replace_disk(id, Disk::wipe),
        }
    }

    /// Plans something for later; what is in the past happens at the next step.
    pub fn plan(&mut self, at: SimTime, action: Action) {
        self.plan.insert((at, self.planned), action);
        self.planned += 1;
    }

    /// Goes on until `until`, everything that happens then included.
    pub fn run_until(&mut self, until: SimTime) {
        while self.step(until) {}
        self.now = self.now.max(until);
    }

    /// Goes on for as long as `by`.
    pub fn run_for(&mut self, by: Duration) {
        self.run_until(self.now + by);
    }

    /// Goes on until every device has the same as the aggregator, for at most `limit`; tells when that was.
    ///
    /// What is planned happens all the same. A device that has nothing to say and was cut off may never notice: it is its
    /// next report that brings it back.
    ///
    /// # Errors
    /// [`Stuck`], which says who lacks what.
    pub fn run_until_converged(&mut self, limit: Duration) -> Result<SimTime, Stuck> {
        let until = self.now + limit;
        while !self.has_converged() {
            if !self.step(until) {
                self.now = until;
                let lacks =
                    self.devices().flat_map(|node| convergence::lacks(&self.nodes[0], node)).collect();
                return Err(Stuck { at: until, lacks });
            }
        }
        Ok(self.now)
    }

    /// Plants a bug, to see that it is noticed.
    pub fn plant(&mut self, node: NodeId, flaw: Flaw) {
        let node = self.node_mut(node);
        match flaw {
            Flaw::DiskLies => node.disk.lies = true,
            Flaw::SendsBeforeCommit => node.sends_before_commit = true,
        }
    }

    /// Changes how long a commit of a node takes.
    pub fn set_commit_delay(&mut self, node: NodeId, delay: Duration) {
        self.node_mut(node).disk.delay = delay;
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> SimTime {
        self.now
    }

    /// The aggregator.
    #[must_use]
    pub fn aggregator(&self) -> NodeId {
        self.nodes[0].id
    }

    /// The document that a device was made with.
    ///
    /// # Panics
    ///
    /// For the aggregator, which has many, and for a device without one.
    #[must_use]
    pub fn document_of(&self, device: NodeId) -> &DocumentName {
        self.node(device).documents.first().expect("this device has a document")
    }

    /// A node's copy of a document, while the node is up and has it.
    #[must_use]
    pub fn replica(&self, node: NodeId, document: &DocumentName) -> Option<&Replica<Heap, CountingRng>> {
        self.node(node).process.as_ref()?.documents.get(document).map(|document| &document.replica)
    }

    /// What a node has done so far.
    #[must_use]
    pub fn counters(&self, node: NodeId) -> Counters {
        self.node(node).counters()
    }

    /// What the transport of a node has counted so far, by cause.
    #[must_use]
    pub fn ledger(&self, node: NodeId) -> Ledger {
        self.node(node).ledger()
    }

    /// How long each update of a device took until its device knew it to be safe: until everything that the device had
    /// sent was delivered, which the aggregator says of what is on its disk. In the order in which they became known.
    #[must_use]
    pub fn receipts(&self) -> &[Duration] {
        &self.receipts
    }

    /// How many updates of a device have no such receipt yet.
    #[must_use]
    pub fn without_receipt(&self, device: NodeId) -> u64 {
        self.log.undelivered(device)
    }

    /// The network, to change what surrounds a node: coverage, mobility, a NAT, planned outages.
    #[must_use]
    pub fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// The network: what each link carried, and what became of the rest.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Whether every device has the same as the aggregator.
    #[must_use]
    pub fn has_converged(&self) -> bool {
        self.devices().all(|device| convergence::has_converged(&self.nodes[0], device))
    }

    /// What must never happen, and happened.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// All datagrams so far, as one number each for their count and for their times, ends and lengths.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.trace
    }

    /// Checks everything that must hold. To be called when all have converged.
    ///
    /// # Errors
    /// [`Broken`] with all that does not hold.
    pub fn check(&self) -> Result<(), Broken> {
        let mut violations = self.violations.clone();
        let lacks = self.devices().flat_map(|node| convergence::lacks(&self.nodes[0], node));
        let found = lacks.map(|lack| (Some(lack.node), lack.what));
        let mut found: Vec<_> = found.collect();
        for node in &self.nodes {
            let documents = node.process.iter().flat_map(|process| &process.documents);
            for (name, document) in documents {
                if let Err(broken) = document.replica.document().check_invariants() {
                    found.push((Some(node.id), format!("{name}: {broken}")));
                }
            }
        }
        let held: BTreeSet<&DocumentName> = self.devices().flat_map(|node| &node.documents).collect();
        for name in held {
            match self.replica(self.aggregator(), name) {
                Some(replica) => {
                    found.extend(self.log.lost_from(name, replica.document()).into_iter().map(|w| (None, w)));
                }
                None => found.push((None, format!("{name}: the aggregator does not have it"))),
            }
        }
        violations.extend(found.into_iter().map(|(node, what)| Violation { at: self.now, node, what }));
        if violations.is_empty() { Ok(()) } else { Err(Broken { violations }) }
    }

    /// Goes on to the next moment at which something happens, if that is not after `until`.
    fn step(&mut self, until: SimTime) -> bool {
        let planned = self.plan.first_key_value().map_or(SimTime::MAX, |((at, _), _)| *at);
        let delivery = self.network.next_event().unwrap_or(SimTime::MAX);
        let wake = self.wakes.peek().map_or(SimTime::MAX, |Reverse((at, _))| *at);
        let next = planned.min(delivery).min(wake);
        if next > until || next == SimTime::MAX {
            return false;
        }
        self.now = self.now.max(next);
        let mut due = BTreeSet::new();
        while let Some(delivery) = self.network.deliver(self.now) {
            self.trace.note(self.now, delivery.node.index() as u64, &[1], delivery.bytes.len());
            let now = self.clock.instant(self.now);
            if let Some(process) = &mut self.nodes[delivery.node.index()].process {
                process.receive(now, delivery.from, &delivery.bytes);
                due.insert(delivery.node);
            }
        }
        while let Some(&Reverse((at, id))) = self.wakes.peek()
            && at <= self.now
        {
            self.wakes.pop();
            if self.node(id).wake <= self.now {
                due.insert(id);
            }
        }
        due.into_iter().for_each(|id| self.turn(id));
        while let Some(entry) = self.plan.first_entry()
            && entry.key().0 <= self.now
        {
            let action = entry.remove();
            self.act(action);
        }
        true
    }

    fn turn(&mut self, id: NodeId) {
        let (now, clock) = (self.now, self.clock);
        let (node, network, trace) = (&mut self.nodes[id.index()], &mut self.network, &mut self.trace);
        node.turn(now, clock, |to, datagram| {
            trace.note(now, id.index() as u64, &[0], datagram.len());
            network.send(now, id, to, datagram.to_vec());
        });
        if node.wake < SimTime::MAX {
            self.wakes.push(Reverse((node.wake, id)));
        }
        for note in std::mem::take(&mut self.nodes[id.index()].notes) {
            self.take_note(id, note);
        }
    }

    fn take_note(&mut self, id: NodeId, note: Note) {
        match note {
            Note::Acknowledged { document, replica, through } => {
                let held = self.nodes[0].disk.durable_through(&document, replica);
                if id != self.aggregator() && held < through {
                    let what = format!(
                        "{document}: writes of {replica} were acknowledged through {through}, durable is {held}"
                    );
                    self.violate(id, what);
                }
                let count = self.log.acknowledged(id, replica, through);
                self.node_mut(id).count_acknowledged(count);
            }
            Note::Delivered => {
                let disk = &self.nodes[0].disk;
                let is_safe = |document: &DocumentName, stamp: Stamp| {
                    disk.durable_through(document, stamp.replica) >= stamp.time
                };
                let now = self.now;
                self.receipts.extend(self.log.delivered(id, is_safe).map(|since| now.since(since)));
            }
            Note::Durable { updates } => self.log.durable(&updates),
            Note::Forked { document, from, to } => {
                // A refusal for its clock makes a device go on under a new id, too.
                let counters = self.counters(id);
                if !self.node(id).was_tampered_with && counters.forks > counters.refusals {
                    self.violate(
                        id,
                        format!("{document}: {from} had to become {to}, and its disk is its own"),
                    );
                }
            }
            Note::LateWrite { document, original, reissued } => {
                self.log.written_again(&document, original, reissued);
            }
            Note::Violation(what) => self.violate(id, what),
            Note::Written { update, stamp } => {
                self.log.written(update, stamp);
                if id != self.aggregator() {
                    self.log.set_out(update, stamp, self.now);
                }
            }
        }
    }

    fn violate(&mut self, node: NodeId, what: String) {
        tracing::debug!(at = %self.now, node = node.index(), what, "violation");
        self.violations.push(Violation { at: self.now, node: Some(node), what });
    }

    /// The node goes down, gets another disk, and comes up.
    fn replace_disk(&mut self, id: NodeId, replace: impl FnOnce(&mut Disk)) {
        let was_up = self.node(id).process.is_some();
        let node = self.node_mut(id);
        node.crash();
        node.was_tampered_with = true;
        replace(&mut node.disk);
        self.log.storage_replaced(id);
        if was_up {
            self.act(Action::Start(id));
        }
    }

    fn devices(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().skip(1)
    }

    fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id.index()).expect("the node id comes from this world")
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(id.index()).expect("the node id comes from this world")
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("nodes", &self.nodes.len())
            .field("updates", &self.log.len())
            .field("violations", &self.violations)
            .finish_non_exhaustive()
    }
}

/// A device to be added to a [`World`]. Plain data.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Its link.
    pub profile: LinkProfile,
    /// Its document, which other devices may have too; `None` for a device that only connects.
    pub document: Option<DocumentName>,
    /// What it believes the date to be.
    pub clock: WallClock,
    /// Each update asks the aggregator to tell when it is durable there.
    pub wants_receipts: bool,
}

impl Device {
    /// A device with a right clock that wants to know that its updates are safe.
    ///
    /// # Panics
    ///
    /// When `document` is no document name: it has not 1 to 64 bytes.
    #[must_use]
    pub fn new(profile: LinkProfile, document: &str) -> Self {
        let document = Some(DocumentName::new(document).expect("a document name has 1 to 64 bytes"));
        Self { document, ..Self::without_document(profile) }
    }

    /// A device that connects and says nothing, to see what a connection costs.
    #[must_use]
    pub fn without_document(profile: LinkProfile) -> Self {
        Self { profile, document: None, clock: WallClock::ACCURATE, wants_receipts: true }
    }

    /// The same device, content with what its transport tells.
    #[must_use]
    pub fn without_receipts(self) -> Self {
        Self { wants_receipts: false, ..self }
    }
}

/// A bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The disk says that commits are durable, and forgets them when the power goes.
    DiskLies,
    /// Frames leave while the commit of what they say is still under way.
    SendsBeforeCommit,
}

/// Something that must hold does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Broken {
    /// Everything that was found, oldest first.
    pub violations: Vec<Violation>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} violations:", self.violations.len())?;
        self.violations.iter().take(VIOLATIONS_SHOWN).try_for_each(|violation| write!(f, "\n  {violation}"))
    }
}

/// What passed the network, in two numbers. Two runs are the same when these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Datagrams sent and delivered.
    pub datagrams: u64,
    /// A hash (FNV-1a) of the time, the node, the direction and the length of each.
    pub hash: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self { datagrams: 0, hash: FNV_OFFSET }
    }
}

impl Trace {
    fn note(&mut self, at: SimTime, node: u64, direction: &[u8; 1], len: usize) {
        self.datagrams += 1;
        let parts = [&at.as_ns().to_le_bytes()[..], &node.to_le_bytes(), direction, &len.to_le_bytes()];
        for byte in parts.into_iter().flatten() {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }
}

/// Each node has its own stream of random numbers, apart from those of the links.
fn node_rng(seed: u64, number: u64) -> SimRng {
    SimRng::new(seed, NODE_STREAMS + number)
}

const AGGREGATOR_ADDR: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 4_433);
const DEVICE_PORT: u16 = 5_000;
/// Commits of a server's disk, and of flash memory.
const AGGREGATOR_COMMIT_DELAY: Duration = Duration::from_millis(2);
const DEVICE_COMMIT_DELAY: Duration = Duration::from_millis(5);
const NODE_STREAMS: u64 = 1 << 40;
const VIOLATIONS_SHOWN: usize = 20;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
