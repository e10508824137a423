//! A node: what stays of it when its process dies.

use std::net::SocketAddr;
use std::time::Duration;

use crdt_core::{DocumentName, Role};
use transport_quic::{Config, Identity, Ledger, Link, PublicKey};

use super::disk::{Disk, Image};
use super::host::{Counters, Host, Note};
use super::policy::Policy;
use super::process::Process;
use crate::clock::{Clock, SimTime, WallClock};
use crate::network::NodeId;
use crate::rng::SimRng;

pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) role: Role,
    pub(super) identity: Identity,
    pub(super) documents: Vec<DocumentName>,
    pub(super) disk: Disk,
    pub(super) backup: Option<Image>,
    /// Its disk was wiped or replaced: forks and losses are not the fault of the product.
    pub(super) was_tampered_with: bool,
    pub(super) wall: WallClock,
    pub(super) wants_receipts: bool,
    pub(super) sends_before_commit: bool,
    pub(super) process: Option<Process>,
    /// When its process wants its next turn.
    pub(super) wake: SimTime,
    pub(super) notes: Vec<Note>,
    aggregator: Option<(SocketAddr, PublicKey)>,
    policy: Policy,
    transport: Config,
    reset_key: [u8; 32],
    rng: SimRng,
    counters: Counters,
    /// What the links of former processes cost.
    ledger_before: Ledger,
}

impl Node {
    pub(super) fn new(id: NodeId, role: Role, mut rng: SimRng, disk: Disk, policy: Policy) -> Self {
        let mut secret = [0; 32];
        rng.fill(&mut secret);
        let mut reset_key = [0; 32];
        rng.fill(&mut reset_key);
        Self {
            id,
            role,
            identity: Identity::from_bytes(secret),
            documents: Vec::new(),
            disk,
            backup: None,
            was_tampered_with: false,
            wall: WallClock::ACCURATE,
            wants_receipts: true,
            sends_before_commit: false,
            process: None,
            wake: SimTime::MAX,
            notes: Vec::new(),
            aggregator: None,
            policy,
            transport: Config::cat_m1(),
            reset_key,
            rng,
            counters: Counters::default(),
            ledger_before: Ledger::default(),
        }
    }

    pub(super) fn with_aggregator(mut self, addr: SocketAddr, key: PublicKey, transport: Config) -> Self {
        self.aggregator = Some((addr, key));
        self.transport = transport;
        self
    }

    /// Starts the process from what the disk has.
    pub(super) fn start(&mut self, now: SimTime, clock: Clock) {
        if self.process.is_some() {
            return;
        }
        let mut seed = [0; 32];
        self.rng.fill(&mut seed);
        let link = match self.role {
            Role::Aggregator => {
                let transport = Config { hold_max: Some(COMMIT_MAX), ..self.transport };
                Link::server(self.identity.clone(), transport, self.reset_key, seed)
            }
            Role::Member | Role::Mesh => Link::client(self.identity.clone(), self.transport, seed),
        };
        let mut process = Process::new(self.role, self.policy, link, self.aggregator, now);
        let mut names = self.documents.clone();
        names.extend(self.disk.image().documents().filter(|name| !self.documents.contains(name)).cloned());
        self.with_host(now, clock, |disk, host| {
            names.iter().for_each(|name| process.open(name, disk, host));
        });
        self.process = Some(process);
    }

    /// The power goes.
    pub(super) fn crash(&mut self) {
        let Some(process) = self.process.take() else { return };
        self.ledger_before += process.ledger();
        self.counters.crashes += 1;
        self.disk.cut_power();
        self.wake = SimTime::MAX;
    }

    /// Lets the process do what it can do now.
    pub(super) fn turn(&mut self, now: SimTime, clock: Clock, send: impl FnMut(SocketAddr, &[u8])) {
        let Some(mut process) = self.process.take() else { return };
        self.wake = self.with_host(now, clock, |disk, host| process.turn(disk, host, send));
        self.process = Some(process);
    }

    /// What all its processes have cost.
    pub(super) fn ledger(&self) -> Ledger {
        let mut ledger = self.ledger_before;
        if let Some(process) = &self.process {
            ledger += process.ledger();
        }
        ledger
    }

    pub(super) fn counters(&self) -> Counters {
        let ledger = self.ledger();
        let (sent, received) = (ledger.sent.total(), ledger.received.total());
        Counters {
            packets_sent: sent.packets,
            ip_bytes_sent: sent.bytes,
            packets_received: received.packets,
            ip_bytes_received: received.bytes,
            ..self.counters
        }
    }

    pub(super) fn count_acknowledged(&mut self, updates: u64) {
        self.counters.acknowledged += updates;
    }

    fn with_host<T>(
        &mut self,
        now: SimTime,
        clock: Clock,
        body: impl FnOnce(&mut Disk, &mut Host<'_>) -> T,
    ) -> T {
        let mut host = Host {
            now,
            clock,
            wall: self.wall,
            rng: &mut self.rng,
            counters: &mut self.counters,
            notes: &mut self.notes,
            wants_receipts: self.wants_receipts,
            sends_before_commit: self.sends_before_commit,
        };
        body(&mut self.disk, &mut host)
    }
}

/// How long an aggregator may keep a device waiting for a commit before it closes the connection.
const COMMIT_MAX: Duration = Duration::from_secs(30);
