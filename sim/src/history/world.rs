//! Nodes, their connections, and one random step after the other.

use std::rc::Rc;

use crdt_core::{
    Config, Connect, Content, CountingRng, DocumentName, Event, Limits, Moment, Output, PeerError, PeerId,
    Refusal, ReplicaId, Resource, Role, Stamp, UpdateError, Value,
};

use super::connection::{Connection, End, Item};
use super::dice::Dice;
use super::facts::{Held, Knowledge, PATHS, PathIndex};
use super::node::{Image, Node, Setup};
use super::oracle::Registry;
use super::{Broken, Failure, Sums, Variant};

/// The node that is everyone's peer.
pub(super) const AGGREGATOR: usize = 0;

pub(super) struct World {
    pub(super) variant: Variant,
    pub(super) dice: Dice,
    pub(super) now_ms: u64,
    pub(super) nodes: Vec<Node>,
    pub(super) connections: Vec<Connection>,
    pub(super) registry: Registry,
    /// What the aggregator has told devices to be durable.
    pub(super) receipts: Knowledge,
    pub(super) sums: Sums,
    next_connection: u32,
    next_number: u64,
    /// First flights of connections that are gone.
    recorded: Vec<Recording>,
    backups: Vec<Option<Rc<Image>>>,
    paths: usize,
    /// Of 100 steps that would be a fault, so many are none.
    calm: usize,
    /// Deliveries among 100 steps.
    lag: usize,
    buffer: Vec<u8>,
}

/// What the initiator of a connection sent first.
struct Recording {
    initiator: usize,
    acceptor: usize,
    frames: Vec<Vec<u8>>,
}

impl World {
    pub(super) fn new(seed: u64, variant: Variant) -> Self {
        let mut dice = Dice::new(seed);
        let count = dice.pick(&[2, 3, 3, 4, 5]);
        let mut world = Self {
            variant,
            now_ms: START_MS,
            nodes: Vec::new(),
            connections: Vec::new(),
            registry: Registry::default(),
            receipts: Knowledge::default(),
            sums: Sums::default(),
            next_connection: 0,
            next_number: 0,
            recorded: Vec::new(),
            backups: vec![None; count],
            paths: dice.pick(&[2, 4, PATHS.len()]),
            calm: dice.pick(&[0, 50, 80]),
            lag: dice.pick(&[23, 50, 75]),
            buffer: vec![0; 4096],
            dice,
        };
        let name = DocumentName::new("history").expect("the name is short");
        for index in 0..count {
            let role = match index {
                AGGREGATOR => Role::Aggregator,
                _ if variant.mesh => Role::Mesh,
                _ => Role::Member,
            };
            let fixed = variant.fixed && index != AGGREGATOR;
            let mut config = Config::new(role);
            if variant.small && index != AGGREGATOR {
                config.limits = ROOM_SMALL;
            }
            let setup = Setup { name: name.clone(), config, fixed };
            let skew_ms = if index == AGGREGATOR { 0 } else { world.dice.pick(&[0, 0, -40, 40]) };
            let id = world.fresh_id();
            world.registry.note_id(id, index);
            world.nodes.push(Node::new(setup, peer_of(index), skew_ms, id));
        }
        world
    }

    /// One random step.
    pub(super) fn step(&mut self) -> Result<(), Failure> {
        self.now_ms += 1 + self.dice.below(10) as u64;
        if self.dice.percent(self.lag) && !self.connections.is_empty() {
            let at = self.dice.below(self.connections.len());
            let (id, end) = (self.connections[at].id, self.dice.pick(&End::BOTH));
            for _ in 0..self.dice.pick(&[1, 1, 3]) {
                self.deliver(id, end)?;
            }
            return Ok(());
        }
        let at = self.dice.below(self.nodes.len());
        let mut what = self.dice.below(1_000);
        if what >= 800 && self.dice.percent(self.calm) {
            what = self.dice.below(800);
        }
        if self.variant.renews && self.dice.percent(20) {
            what = self.dice.pick(&[760, 760, 760, 920]);
        }
        match what {
            0..170 => self.write(at)?,
            170..250 if at != AGGREGATOR => self.write(at)?,
            170..370 => self.commit(at)?,
            370..450 => self.connect_someone(at)?,
            450..690 => {
                if self.dice.percent(50) {
                    self.commit(at)?;
                }
                let most = self.dice.pick(&[1, 1, 2, 3, 100]);
                self.poll(at, most)?;
            }
            690..740 => self.nodes[at].copy.request_acknowledgement(),
            740..760 => self.nodes[at].copy.request_persist(),
            760..800 => self.forget_stable(),
            800..840 => self.lose_connection()?,
            840..880 if self.variant.replays => self.replay()?,
            880..900 if self.variant.crashes => {
                let disk = self.nodes[at].disk.clone();
                self.restart(at, &disk)?;
            }
            900..910 if self.variant.forgets => self.nodes[at].copy.forget_all_tombstones(),
            910..920 if self.variant.retires && at != AGGREGATOR => {
                let peer = self.nodes[at].peer;
                self.nodes[AGGREGATOR].copy.deactivate(peer);
            }
            920..930 if self.variant.wipes && at != AGGREGATOR => self.wipe(at),
            930..960 if self.may_be_restored(at) && self.nodes[at].has_disk() => {
                self.backups[at] = Some(self.nodes[at].disk.clone());
            }
            960..980 if self.may_be_restored(at) => {
                if let Some(backup) = self.backups[at].clone() {
                    self.sums.restores += 1;
                    self.restart(at, &backup)?;
                }
            }
            _ => {}
        }
        self.note_input(at)
    }

    // ---- what a node's driver does ----

    /// Lets the core do at most `most` things.
    pub(super) fn poll(&mut self, at: usize, most: usize) -> Result<(), Failure> {
        for _ in 0..most {
            let moment = self.moment(at);
            // Short frames, so that batches span several; the two vectors of a full batch must fit all the same.
            let len = self.dice.pick(&[256, 300, 400, 1_200]) + 24 * self.nodes[at].copy.knowledge().len();
            self.buffer.resize(self.buffer.len().max(len), 0);
            let output = self.nodes[at].copy.poll_output(moment, &mut self.buffer[..len]);
            if !matches!(output, Some(Output::Event(_))) {
                self.nodes[at].note_told();
            }
            let Some(output) = output else { break };
            match output {
                Output::Event(event) => self.take_event(at, event)?,
                Output::Close { session } => {
                    if let Some((connection, end)) = self.connection_of(at, session) {
                        connection.close(end);
                    }
                }
                Output::Persist => {
                    self.nodes[at].stage();
                    if self.variant.broken.is_some_and(|broken| broken.lies_about_disk(at)) {
                        self.nodes[at].copy.lie_about_disk();
                    }
                }
                Output::Transmit { session, len } => {
                    self.sums.frames += 1;
                    let frame = self.buffer[..len].to_vec();
                    if let Some((connection, end)) = self.connection_of(at, session) {
                        connection.send(end, &frame);
                    }
                }
            }
        }
        Ok(())
    }

    /// Lets the core ask for its state to be stored, and stores it.
    pub(super) fn commit(&mut self, at: usize) -> Result<(), Failure> {
        self.poll(at, 100)?;
        while self.nodes[at].commit() {
            let disk = self.nodes[at].disk.clone();
            self.registry
                .note_disk(at, &disk)
                .map_err(|(path, stamp)| Failure::TwoContents { path: PATHS[usize::from(path)], stamp })?;
        }
        Ok(())
    }

    /// Everything is stored and sent. Tells whether anything was sent.
    pub(super) fn settle(&mut self, at: usize) -> Result<bool, Failure> {
        let before = self.sums.frames;
        for _ in 0..4 {
            self.commit(at)?;
        }
        Ok(self.sums.frames > before)
    }

    fn take_event(&mut self, at: usize, event: Event) -> Result<(), Failure> {
        match event {
            Event::Acknowledged { peer, through } if peer == peer_of(AGGREGATOR) => {
                let node = &self.nodes[at];
                let disk = self.registry.complete(self.nodes[AGGREGATOR].disk.knowledge.clone());
                let ids = [node.copy.id(), node.previous_id];
                if !self.variant.aggregator_restores
                    && ids.iter().all(|id| !disk.covers(Stamp::new(through, *id)))
                {
                    return Err(Failure::NotDurable { node: at, through });
                }
                if disk.covers(Stamp::new(through, ids[0])) {
                    self.receipts.raise(ids[0], through);
                }
                self.sums.receipts += 1;
            }
            // An id that both its owner and the aggregator were set back below goes on beneath what others have of it: only
            // fingerprints show that, and repair must heal it.
            Event::Damaged { .. } if self.variant.aggregator_restores => self.sums.alarms += 1,
            Event::Damaged { .. } => return Err(Failure::Damaged { node: at }),
            Event::Dropped { .. } => self.sums.dropped += 1,
            Event::Forgotten { .. } if self.variant.small => self.sums.forgotten += 1,
            Event::Forked { .. } => self.sums.forks += 1,
            Event::LateWrite { original, reissued } => {
                self.sums.late += 1;
                // An aggregator that was set back does not know what it had retired since, and a member does not keep it.
                let retired = if self.variant.aggregator_restores { &[] } else { self.registry.retired() };
                if self.nodes[at].knew_dead(original, retired) {
                    return Err(Failure::Resurrected { node: at, stamp: original });
                }
                let mut cells = self.nodes[at].copy.facts().into_iter().filter(|cell| cell.stamp == reissued);
                let deleted = cells.find(|cell| {
                    cell.held == Held::Tombstone && self.registry.is_value((cell.path, original))
                });
                if let Some(cell) = deleted {
                    return Err(Failure::LateDeleted { node: at, path: PATHS[usize::from(cell.path)] });
                }
            }
            Event::Refused { reason, .. } | Event::RefusedPeer { reason, .. }
                if self.variant.small && is_want_of_room(reason) =>
            {
                self.sums.full += 1;
            }
            Event::Refused { .. } | Event::RefusedPeer { .. } | Event::ShortBuffer { .. } => {
                return Err(Failure::Unexpected { node: at, event: format!("{event:?}") });
            }
            Event::Verified => self.sums.verified += 1,
            _ => {}
        }
        Ok(())
    }

    /// After any input to a node: its document is sound, and the harness has seen what it did.
    pub(super) fn note_input(&mut self, at: usize) -> Result<(), Failure> {
        if let Some((old, common)) = self.nodes[at].note_input() {
            self.registry.note_fork(old, common);
            self.registry.note_id(self.nodes[at].copy.id(), at);
        }
        let checked = self.nodes[at].copy.check_invariants();
        checked.map_err(|what| Failure::Invariant { node: at, what })
    }

    // ---- connections ----

    /// Delivers what comes next towards `end`.
    pub(super) fn deliver(&mut self, id: u32, end: End) -> Result<(), Failure> {
        let Some(index) = self.connections.iter().position(|c| c.id == id) else { return Ok(()) };
        let at = self.connections[index].node(end);
        let first = end == End::Acceptor && !self.connections[index].accepted;
        if first && self.connections[index].has_items() && !self.accept(id)? {
            return Ok(());
        }
        let Some(connection) = self.connections.iter_mut().find(|c| c.id == id) else { return Ok(()) };
        let Some(item) = connection.towards(end).pop_front() else { return Ok(()) };
        let Some(connection) = self.connections.iter_mut().find(|c| c.id == id) else { return Ok(()) };
        if end == End::Initiator && !connection.heard {
            connection.heard = true;
            connection.towards(End::Acceptor).push_back(Item::Confirm);
        }
        let session = connection.session(end);
        match (item, session) {
            (Item::Closed, _) => self.lose(id, None),
            (Item::Confirm, Some(session)) => {
                let moment = self.moment(at);
                self.nodes[at].copy.confirm(moment, session);
            }
            (Item::Frame(frame), Some(session)) => {
                let moment = self.moment(at);
                match self.nodes[at].copy.handle_frame(moment, session, &frame) {
                    // It was closed here, and the driver has not been told yet.
                    Ok(()) | Err(PeerError::UnknownSession) => {}
                    Err(error) => return Err(Failure::Protocol { node: at, error }),
                }
            }
            _ => {}
        }
        self.connections.retain(|c| !c.is_gone());
        self.note_input(at)
    }

    /// The first frame of a connection reaches its acceptor. False when the connection is dropped instead.
    fn accept(&mut self, id: u32) -> Result<bool, Failure> {
        let (at, from, early) = {
            let connection = self.connection(id);
            (connection.node(End::Acceptor), connection.node(End::Initiator), connection.early)
        };
        // Both sides may have connected: the connection that the lower number started stays.
        let rival = self.connections.iter().find(|c| {
            c.id != id
                && !c.dead
                && c.node(End::Initiator) == at
                && c.node(End::Acceptor) == from
                && c.session(End::Initiator).is_some()
        });
        if let Some(rival) = rival.map(|c| c.id) {
            let loser = if at < from { id } else { rival };
            self.lose(loser, None);
            if loser == id {
                return Ok(false);
            }
        }
        let connect = self.connect_to(from, early);
        // Room for a session may come from one that is closing.
        self.close_what_is_closing(at)?;
        let Ok(session) = self.nodes[at].copy.connect(connect) else {
            self.lose(id, None);
            return Ok(false);
        };
        let connection = self.connection(id);
        connection.accepted = true;
        *connection.session_mut(End::Acceptor) = Some(session);
        connection.towards(End::Initiator).push_back(Item::Handshake);
        Ok(true)
    }

    fn connect_someone(&mut self, at: usize) -> Result<(), Failure> {
        let to = if !self.variant.mesh || self.dice.percent(70) {
            AGGREGATOR
        } else {
            self.dice.below(self.nodes.len())
        };
        if at == AGGREGATOR || at == to {
            return Ok(());
        }
        // Now and then a node connects again although it is connected: its address has changed.
        if !self.is_connected(at, to) || self.dice.percent(10) {
            self.connect(at, to)?;
            if self.dice.percent(70) {
                self.commit(at)?;
            }
        }
        Ok(())
    }

    pub(super) fn connect(&mut self, at: usize, to: usize) -> Result<(), Failure> {
        self.close_what_is_closing(at)?;
        let role = self.nodes[to].role();
        let connect = Connect::initiator(self.nodes[to].peer, role, HANDLE);
        let Ok(session) = self.nodes[at].copy.connect(connect) else { return Ok(()) };
        let early = self.variant.early && self.dice.percent(70);
        let mut connection = Connection::new(self.next_connection, at, to, early);
        self.next_connection += 1;
        *connection.session_mut(End::Initiator) = Some(session);
        self.connections.push(connection);
        Ok(())
    }

    pub(super) fn is_connected(&self, a: usize, b: usize) -> bool {
        self.connections.iter().any(|c| {
            let end = c.end_at(a).filter(|_| c.is_between(a, b) && !c.dead);
            end.is_some_and(|end| c.session(end).is_some())
        })
    }

    fn close_what_is_closing(&mut self, at: usize) -> Result<(), Failure> {
        self.poll(at, 4)
    }

    /// Cuts a connection after a prefix of what is under way has arrived; perhaps only one end notices.
    fn lose_connection(&mut self) -> Result<(), Failure> {
        if self.connections.is_empty() {
            return Ok(());
        }
        let at = self.dice.below(self.connections.len());
        let id = self.connections[at].id;
        for end in End::BOTH {
            let under_way =
                self.connections.iter_mut().find(|c| c.id == id).map_or(0, |c| c.towards(end).len());
            for _ in 0..self.dice.below(under_way + 1) {
                self.deliver(id, end)?;
            }
        }
        let noticed_by = self.dice.pick(&[None, Some(End::Initiator), Some(End::Acceptor)]);
        self.lose(id, noticed_by);
        Ok(())
    }

    /// A connection is gone. `None`: both ends notice.
    pub(super) fn lose(&mut self, id: u32, noticed_by: Option<End>) {
        let Some(connection) = self.connections.iter_mut().find(|c| c.id == id) else { return };
        connection.cut();
        let frames = std::mem::take(&mut connection.first_flight);
        let (initiator, acceptor) = (connection.node(End::Initiator), connection.node(End::Acceptor));
        for end in End::BOTH {
            if noticed_by.is_none_or(|noticed| noticed == end)
                && let Some(session) = connection.session_mut(end).take()
            {
                self.nodes[connection.node(end)].copy.disconnect(session);
            }
        }
        self.connections.retain(|c| !c.is_gone());
        if !frames.is_empty() {
            self.recorded.push(Recording { initiator, acceptor, frames });
            if self.recorded.len() > RECORDINGS_MAX {
                self.recorded.remove(0);
            }
        }
    }

    /// Somebody sends a recorded first flight again. Answers go nowhere.
    fn replay(&mut self) -> Result<(), Failure> {
        let live = self.connections.iter().filter(|c| !c.first_flight.is_empty()).map(|c| Recording {
            initiator: c.node(End::Initiator),
            acceptor: c.node(End::Acceptor),
            frames: c.first_flight.clone(),
        });
        let live: Vec<Recording> = live.collect();
        let count = self.recorded.len() + live.len();
        if count == 0 {
            return Ok(());
        }
        let chosen = self.dice.below(count);
        let recording = self.recorded.iter().chain(&live).nth(chosen).expect("it was counted");
        let (initiator, acceptor) = (recording.initiator, recording.acceptor);
        let mut frames = recording.frames.clone();
        frames.truncate(1 + self.dice.below(frames.len()));
        self.sums.replays += 1;

        self.close_what_is_closing(acceptor)?;
        let connect = self.connect_to(initiator, true);
        let Ok(session) = self.nodes[acceptor].copy.connect(connect) else { return Ok(()) };
        let mut connection = Connection::new(self.next_connection, initiator, acceptor, true);
        self.next_connection += 1;
        *connection.session_mut(End::Acceptor) = Some(session);
        connection.accepted = true;
        connection.dead = true;
        let id = connection.id;
        self.connections.push(connection);
        for frame in frames {
            let moment = self.moment(acceptor);
            match self.nodes[acceptor].copy.handle_frame(moment, session, &frame) {
                Ok(()) => {}
                Err(PeerError::UnknownSession) => break,
                Err(error) => return Err(Failure::Protocol { node: acceptor, error }),
            }
            self.note_input(acceptor)?;
            if self.dice.percent(30) {
                self.commit(acceptor)?;
                self.poll(acceptor, 3)?;
            }
        }
        if self.dice.percent(70) {
            self.lose(id, None);
        }
        Ok(())
    }

    // ---- faults of a node ----

    fn may_be_restored(&self, at: usize) -> bool {
        if at == AGGREGATOR { self.variant.aggregator_restores } else { self.variant.restores }
    }

    fn wipe(&mut self, at: usize) {
        self.lose_connections_of(at);
        let same = self.variant.broken == Some(Broken::SameIdAfterWipe);
        let id = if same { self.nodes[at].copy.id() } else { self.fresh_id() };
        self.nodes[at].wipe(id);
        self.registry.note_id(id, at);
        self.registry.end_time_lines(&self.nodes);
        self.sums.wipes += 1;
    }

    /// The process of a node starts again on `disk`.
    pub(super) fn restart(&mut self, at: usize, disk: &Rc<Image>) -> Result<(), Failure> {
        if !self.nodes[at].has_disk() {
            return Ok(());
        }
        self.lose_connections_of(at);
        let (moment, rng) = (self.moment(at), CountingRng::new(self.dice.bits()));
        self.nodes[at].load(moment, rng, disk).map_err(|error| Failure::Load { node: at, error })?;
        self.registry.note_id(self.nodes[at].copy.id(), at);
        self.registry.end_time_lines(&self.nodes);
        self.sums.restarts += 1;
        Ok(())
    }

    fn lose_connections_of(&mut self, at: usize) {
        let of_node: Vec<(u32, End)> =
            self.connections.iter().filter_map(|c| c.end_at(at).map(|end| (c.id, end))).collect();
        for (id, end) in of_node {
            let noticed = if self.dice.percent(50) { None } else { Some(end) };
            self.lose(id, noticed);
        }
    }

    fn write(&mut self, at: usize) -> Result<(), Failure> {
        self.next_number += 1;
        let (number, path) = (self.next_number, self.dice.below(self.paths) as u8);
        let mut bytes = [0; 200];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        let (content, held) = match self.dice.below(6) {
            0 | 1 => (Content::Tombstone, Held::Tombstone),
            2 | 3 => (Content::Value(Value::Bytes(&bytes)), Held::Number(number)),
            _ => (Content::Value(Value::I64(number as i64)), Held::Number(number)),
        };
        self.commit_write(at, path, content, held)
    }

    /// Deletes what is at a path.
    pub(super) fn delete(&mut self, at: usize, path: PathIndex) -> Result<(), Failure> {
        self.commit_write(at, path, Content::Tombstone, Held::Tombstone)
    }

    fn commit_write(
        &mut self,
        at: usize,
        path: PathIndex,
        content: Content<'_>,
        held: Held,
    ) -> Result<(), Failure> {
        let moment = self.moment(at);
        let image = |node: &Node| (node.copy.readings(), node.copy.knowledge(), node.copy.fingerprint());
        let before = self.variant.small.then(|| image(&self.nodes[at]));
        let written = match self.nodes[at].copy.write(moment, path, content) {
            Err(UpdateError::Capacity(_)) if self.variant.small => {
                self.sums.full += 1;
                let changed = before != Some(image(&self.nodes[at]));
                return if changed { Err(Failure::HalfWritten { node: at }) } else { Ok(()) };
            }
            written => written,
        };
        let written =
            written.map_err(|error| Failure::Unexpected { node: at, event: format!("{error:?}") })?;
        if let Some(stamp) = written {
            self.nodes[at].note_write(path, stamp, held);
            self.sums.writes += 1;
        }
        Ok(())
    }

    /// The aggregator forgets what everyone has.
    pub(super) fn forget_stable(&mut self) {
        let moment = self.moment(AGGREGATOR);
        self.nodes[AGGREGATOR].copy.forget_stable(moment);
        let retired = self.nodes[AGGREGATOR].copy.retired_ids();
        self.sums.retired += self.registry.note_retired(retired);
    }

    // ---- small things ----

    fn moment(&self, at: usize) -> Moment {
        let now_ms = self.now_ms.saturating_add_signed(self.nodes[at].skew_ms);
        Moment::new(now_ms)
    }

    /// The responder's side of a connection that `from` made.
    fn connect_to(&self, from: usize, is_early: bool) -> Connect {
        let role = self.nodes[from].role();
        let connect = Connect::responder(self.nodes[from].peer, role, HANDLE);
        let believes = self.variant.broken == Some(Broken::BelieveEarlyInput);
        if is_early && !believes { connect.early() } else { connect }
    }

    fn fresh_id(&mut self) -> ReplicaId {
        ReplicaId::new(self.dice.bits())
    }

    fn connection(&mut self, id: u32) -> &mut Connection {
        self.connections.iter_mut().find(|c| c.id == id).expect("the caller has looked it up")
    }

    fn connection_of(&mut self, at: usize, session: crdt_core::SessionId) -> Option<(&mut Connection, End)> {
        self.connections.iter_mut().find_map(|c| {
            let end =
                End::BOTH.into_iter().find(|end| c.node(*end) == at && c.session(*end) == Some(session))?;
            Some((c, end))
        })
    }
}

fn is_want_of_room(reason: Refusal) -> bool {
    matches!(reason, Refusal::Capacity { what: Resource::Bytes | Resource::Cells, .. })
}

/// The key of a node.
pub(super) fn peer_of(node: usize) -> PeerId {
    PeerId([node as u8 + 1; 32])
}

const HANDLE: u16 = 7;
/// Of seven paths not all fit, and of the long values two.
const ROOM_SMALL: Limits = Limits { cells: 4, bytes: 420 };
const RECORDINGS_MAX: usize = 20;
/// 2026-01-29: times of stamps are as long as in the field.
const START_MS: u64 = 1_769_700_000_000;
