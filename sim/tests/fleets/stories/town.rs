//! A few copies of one document, and links on which a story decides what arrives, and when.

use std::collections::VecDeque;

use crdt_core::{
    Cell, CellRecord, Config, Connect, Content, CountingRng, DocumentName, Event, Heap, Moment, Output, Path,
    PeerError, PeerId, Replica, Role, SessionId, Time, Value, Write,
};

/// How a story ends: well, or with what went wrong.
pub(crate) type Ending = Result<(), String>;

/// Who has a copy. The first is the aggregator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who(usize);

/// The aggregator of every town.
pub(crate) const CLOUD: Who = Who(0);

/// A connection, also one that is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link(usize);

/// What a disk held at some time.
pub(crate) struct Image {
    state: Vec<u8>,
    cells: Vec<(String, Vec<u8>)>,
}

/// The copies, the links and the one clock.
pub(crate) struct Town {
    /// Milliseconds since 1970; a write takes a second.
    now_ms: u64,
    random: u64,
    nodes: Vec<Node>,
    wires: Vec<Wire>,
}

struct Node {
    name: &'static str,
    role: Role,
    replica: Replica<Heap, CountingRng>,
    events: Vec<Event>,
    /// Longest frame, in bytes.
    frame_len: usize,
    /// How far its clock is behind, in milliseconds.
    behind_ms: u64,
}

struct Wire {
    /// The initiator, and the other.
    ends: [Who; 2],
    sessions: [Option<SessionId>; 2],
    /// What is under way to each end.
    queues: [VecDeque<Vec<u8>>; 2],
    /// Everything that the initiator has sent.
    sent: Vec<Vec<u8>>,
    bytes: usize,
}

impl Town {
    /// A town with an aggregator and members of these names, which meet nobody else.
    pub(crate) fn new<const N: usize>(names: [&'static str; N]) -> (Self, [Who; N]) {
        Self::of(Role::Member, names)
    }

    /// The same, with members that meet one another too.
    pub(crate) fn mesh<const N: usize>(names: [&'static str; N]) -> (Self, [Who; N]) {
        Self::of(Role::Mesh, names)
    }

    /// A town with members of this role.
    pub(crate) fn of<const N: usize>(role: Role, names: [&'static str; N]) -> (Self, [Who; N]) {
        let mut town = Self { now_ms: 1_770_000_000_000, random: 0, nodes: Vec::new(), wires: Vec::new() };
        town.settle_in("cloud", Role::Aggregator);
        let members = names.map(|name| town.settle_in(name, role));
        (town, members)
    }

    /// One more has a copy: an empty one.
    pub(crate) fn settle_in(&mut self, name: &'static str, role: Role) -> Who {
        let replica = self.new_replica(role);
        self.nodes.push(Node { name, role, replica, events: Vec::new(), frame_len: 4096, behind_ms: 0 });
        Who(self.nodes.len() - 1)
    }

    // ---- what people and accidents do ----

    /// Someone sets a number.
    pub(crate) fn set(&mut self, who: Who, at: &str, number: i64) {
        self.write(who, &[Write::set(path(at), number)]);
    }

    /// Someone writes a page of text: no two fit into a frame of [`short_frames`](Self::short_frames).
    pub(crate) fn set_page(&mut self, who: Who, at: &str) {
        self.write(who, &[Write::set(path(at), PAGE)]);
    }

    /// Someone deletes.
    pub(crate) fn delete(&mut self, who: Who, at: &str) {
        self.write(who, &[Write::delete(path(at))]);
    }

    /// Someone makes a transaction.
    pub(crate) fn write(&mut self, who: Who, writes: &[Write<'_>]) {
        self.now_ms += 1_000;
        let moment = self.moment(who);
        self.node(who).replica.update(moment, writes).unwrap();
    }

    /// Its clock is this much behind from now on.
    pub(crate) fn set_clock_behind(&mut self, who: Who, behind_ms: u64) {
        self.node(who).behind_ms = behind_ms;
    }

    /// Its frames are so short that a batch of pages takes several.
    pub(crate) fn short_frames(&mut self, who: Who) {
        self.node(who).frame_len = 300;
    }

    /// It makes room: every tombstone that it covers goes.
    pub(crate) fn forget(&mut self, who: Who) {
        self.node(who).replica.forget_all_tombstones();
    }

    /// The aggregator keeps nothing for that member any longer: it was silent for too long.
    pub(crate) fn give_up(&mut self, who: Who) {
        self.node(CLOUD).replica.deactivate(peer_of(who));
    }

    /// The aggregator forgets what every member has, ids that nobody uses too: so many have gone now.
    pub(crate) fn tidy(&mut self) -> usize {
        let moment = self.moment(CLOUD);
        let replica = &mut self.node(CLOUD).replica;
        replica.forget_stable(moment);
        replica.retired_ids().count()
    }

    /// Its disk as it is now.
    pub(crate) fn image(&self, who: Who) -> Image {
        let replica = &self.nodes[who.0].replica;
        let mut cells = Vec::new();
        for cell in replica.document().changes_since(0) {
            let mut record = vec![0; CellRecord::LEN_MAX];
            let len = CellRecord::encode(&cell, &mut record).unwrap();
            cells.push((cell.path.to_owned(), record[..len].to_vec()));
        }
        Image { state: replica.state_record().to_vec(), cells }
    }

    /// Its process starts again on that disk, which may be an old one.
    pub(crate) fn restart(&mut self, who: Who, image: &Image) {
        self.hang_up(who);
        let moment = self.moment(who);
        let config = Config::new(self.node(who).role);
        self.random += 1;
        let rng = CountingRng::new(self.random);
        let cells = image.cells.iter().map(|(at, record)| CellRecord::decode(path(at), record).unwrap());
        self.node(who).replica = Replica::load(moment, config, rng, &image.state, cells).unwrap();
    }

    /// Its disk dies; it starts empty, under a new id.
    pub(crate) fn wipe(&mut self, who: Who) {
        self.hang_up(who);
        let replica = self.new_replica(self.nodes[who.0].role);
        self.node(who).replica = replica;
    }

    // ---- links ----

    /// Connects; both sides know that the other is there.
    pub(crate) fn connect(&mut self, from: Who, to: Who) -> Link {
        self.open(from, to, true)
    }

    /// Connects with early data: until [`confirm`](Self::confirm), `to` may be hearing a replay.
    pub(crate) fn connect_early(&mut self, from: Who, to: Who) -> Link {
        self.open(from, to, false)
    }

    /// The handshake of an early connection is complete.
    pub(crate) fn confirm(&mut self, link: Link) {
        let to = self.wires[link.0].ends[1];
        let moment = self.moment(to);
        if let Some(session) = self.wires[link.0].sessions[1] {
            self.node(to).replica.confirm(moment, session);
        }
    }

    /// Somebody on the way sends again what the initiator of `link` has sent. Nothing comes back.
    ///
    /// `believed` neglects a duty of the driver: to tell the core that this is early input.
    pub(crate) fn replay(&mut self, link: Link, believed: bool) -> Ending {
        self.now_ms += 1_000;
        let [from, to] = self.wires[link.0].ends;
        let peer = peer_of(from);
        let connect = Connect::responder(peer, self.node(from).role, HANDLE);
        let connect = if believed { connect } else { connect.early() };
        let session = self.node(to).replica.connect(connect).map_err(|error| error.to_string())?;
        for frame in self.wires[link.0].sent.clone() {
            let moment = self.moment(to);
            let taken = self.node(to).replica.handle_frame(moment, session, &frame);
            taken.map_err(|error| format!("the replay: {error}"))?;
        }
        self.speak(to);
        self.node(to).replica.disconnect(session);
        Ok(())
    }

    /// Everything that it has to say goes onto the links.
    pub(crate) fn speak(&mut self, who: Who) {
        self.speak_frames(who, usize::MAX);
    }

    /// The same, but at most so many frames. Its oldest session speaks first.
    pub(crate) fn speak_frames(&mut self, who: Who, most: usize) {
        let mut buffer = vec![0; self.node(who).frame_len];
        let mut frames = 0;
        while frames < most {
            let moment = self.moment(who);
            let Some(output) = self.node(who).replica.poll_output(moment, &mut buffer) else { break };
            match output {
                Output::Close { session } => self.close(who, session),
                Output::Event(event) => self.node(who).events.push(event),
                Output::Persist => {
                    let token = self.node(who).replica.take_unsaved(|_| {});
                    self.node(who).replica.handle_persisted(token);
                }
                Output::Transmit { session, len } => {
                    frames += 1;
                    self.send(who, session, &buffer[..len]);
                }
            }
        }
    }

    /// The next frame arrives at `to`; false when there is none.
    pub(crate) fn deliver(&mut self, link: Link, to: Who) -> Result<bool, String> {
        let end = self.end_of(link, to);
        let wire = &mut self.wires[link.0];
        let Some(frame) = wire.queues[end].pop_front() else { return Ok(false) };
        let Some(session) = wire.sessions[end] else { return Ok(true) };
        let moment = self.moment(to);
        match self.node(to).replica.handle_frame(moment, session, &frame) {
            // It was closed there, and that has not been told yet.
            Ok(()) | Err(PeerError::UnknownSession) => Ok(true),
            Err(error) => Err(format!("{}: {error}", self.nodes[to.0].name)),
        }
    }

    /// All that is under way to `to` arrives.
    pub(crate) fn deliver_all(&mut self, link: Link, to: Who) -> Ending {
        while self.deliver(link, to)? {}
        Ok(())
    }

    /// The connection is gone, with what was under way.
    pub(crate) fn cut(&mut self, link: Link) {
        self.wires[link.0].queues.iter_mut().for_each(VecDeque::clear);
        for end in [0, 1] {
            let (who, session) = (self.wires[link.0].ends[end], self.wires[link.0].sessions[end].take());
            if let Some(session) = session {
                self.node(who).replica.disconnect(session);
            }
        }
    }

    /// `who` connects to the aggregator, and hears so many frames of its answer.
    pub(crate) fn begin_to_hear(&mut self, who: Who, frames: usize) -> Result<Link, String> {
        let link = self.connect(who, CLOUD);
        self.speak(who);
        self.deliver_all(link, CLOUD)?;
        self.speak_frames(CLOUD, frames);
        self.deliver_all(link, who)?;
        Ok(link)
    }

    /// Everyone speaks and everything arrives, until nobody has anything to say.
    pub(crate) fn settle(&mut self) -> Ending {
        for _ in 0..ROUNDS_MAX {
            (0..self.nodes.len()).for_each(|who| self.speak(Who(who)));
            let mut idle = true;
            for link in (0..self.wires.len()).map(Link) {
                for to in self.wires[link.0].ends {
                    while self.deliver(link, to)? {
                        idle = false;
                    }
                }
            }
            if idle {
                return Ok(());
            }
        }
        Err(format!("still talking after {ROUNDS_MAX} rounds"))
    }

    /// The two meet, talk until they have nothing more to say, and part. Gives the payload bytes of both directions.
    pub(crate) fn meet(&mut self, from: Who, to: Who) -> Result<usize, String> {
        let link = self.connect(from, to);
        self.settle()?;
        let bytes = self.bytes(link);
        self.cut(link);
        Ok(bytes)
    }

    // ---- what can be seen ----

    /// Payload bytes on a link so far, both directions.
    pub(crate) fn bytes(&self, link: Link) -> usize {
        self.wires[link.0].bytes
    }

    /// Whether both sides still take the link for open.
    pub(crate) fn is_open(&self, link: Link) -> bool {
        self.wires[link.0].sessions.iter().all(Option::is_some)
    }

    /// What it shows there.
    pub(crate) fn reads(&self, who: Who, at: &str) -> Option<i64> {
        match self.nodes[who.0].replica.document().get(path(at)) {
            Some(Value::I64(number)) => Some(number),
            _ => None,
        }
    }

    /// How often it took a disk for damaged.
    pub(crate) fn alarms(&self, who: Who) -> usize {
        self.nodes[who.0].events.iter().filter(|event| matches!(event, Event::Damaged { .. })).count()
    }

    /// It asks what is durable at its peers.
    pub(crate) fn ask(&mut self, who: Who) {
        self.node(who).replica.request_acknowledgement();
    }

    /// The time up to which it was told that its writes are durable at the aggregator.
    pub(crate) fn receipt(&self, who: Who) -> Time {
        self.nodes[who.0].replica.acknowledged_through(peer_of(CLOUD))
    }

    /// The time of its last write.
    pub(crate) fn last_write(&self, who: Who) -> Time {
        let replica = &self.nodes[who.0].replica;
        replica.document().version_vector().time_of(replica.id())
    }

    // ---- how a story ends ----

    /// Everyone meets the aggregator until there is no news. Then all must show the same and know the same, every cell must
    /// be claimed, and nobody may have taken a disk for damaged.
    pub(crate) fn everyone_agrees(&mut self) -> Ending {
        (0..self.wires.len()).for_each(|link| self.cut(Link(link)));
        for _ in 0..3 {
            // A copy that forks closes its connection and comes again.
            for who in (1..self.nodes.len()).map(Who) {
                let link = self.connect(who, CLOUD);
                self.settle()?;
                self.cut(link);
            }
        }
        let cloud = &self.nodes[CLOUD.0];
        for node in &self.nodes {
            let name = node.name;
            if node.events.iter().any(|event| matches!(event, Event::Damaged { .. })) {
                return Err(format!("{name} takes its disk for damaged"));
            }
            let (document, theirs) = (node.replica.document(), cloud.replica.document());
            document.check_invariants().map_err(|what| format!("{name}: {what}"))?;
            let vector = document.version_vector();
            if let Some(cell) = document.cells().find(|cell| !vector.covers(cell.stamp)) {
                return Err(format!("{name} holds a cell that nobody claims: {}", cell.path));
            }
            let live = |cell: &Cell<'_>| cell.content != Content::Tombstone;
            if document.cells().filter(live).ne(theirs.cells().filter(live)) {
                return Err(format!("{name} and the cloud show different documents"));
            }
            if vector.iter().ne(theirs.version_vector().iter()) {
                return Err(format!("{name} and the cloud do not know the same"));
            }
        }
        Ok(())
    }

    /// It must show this number there, or nothing.
    pub(crate) fn must_read(&self, who: Who, at: &str, number: Option<i64>) -> Ending {
        let found = self.reads(who, at);
        if found == number {
            return Ok(());
        }
        Err(format!("{} shows {found:?} at {at}, must show {number:?}", self.nodes[who.0].name))
    }

    /// That may cost so many bytes.
    pub(crate) fn must_cost(bytes: usize, at_most: usize) -> Ending {
        if bytes <= at_most { Ok(()) } else { Err(format!("{bytes} bytes, of at most {at_most}")) }
    }

    // ---- small things ----

    fn node(&mut self, who: Who) -> &mut Node {
        &mut self.nodes[who.0]
    }

    fn new_replica(&mut self, role: Role) -> Replica<Heap, CountingRng> {
        self.random += 1;
        let name = DocumentName::new("town").unwrap();
        Replica::new(&name, Config::new(role), CountingRng::new(self.random))
    }

    fn moment(&self, who: Who) -> Moment {
        Moment::new(self.now_ms - self.nodes[who.0].behind_ms)
    }

    fn open(&mut self, from: Who, to: Who, confirmed: bool) -> Link {
        let to_peer = Connect::initiator(peer_of(to), self.node(to).role, HANDLE);
        let from_peer = Connect::responder(peer_of(from), self.node(from).role, HANDLE);
        let ours = self.node(from).replica.connect(to_peer).unwrap();
        let theirs = if confirmed { from_peer } else { from_peer.early() };
        let theirs = self.node(to).replica.connect(theirs).unwrap();
        self.wires.push(Wire {
            ends: [from, to],
            sessions: [Some(ours), Some(theirs)],
            queues: [VecDeque::new(), VecDeque::new()],
            sent: Vec::new(),
            bytes: 0,
        });
        Link(self.wires.len() - 1)
    }

    fn send(&mut self, from: Who, session: SessionId, frame: &[u8]) {
        // A replay has no way back.
        let Some((wire, end)) = self.wire_of(from, session) else { return };
        wire.bytes += frame.len();
        if end == 0 {
            wire.sent.push(frame.to_vec());
        }
        wire.queues[1 - end].push_back(frame.to_vec());
    }

    /// `who` is done with the session: the other end hears of it at once.
    fn close(&mut self, who: Who, session: SessionId) {
        let link = self.wires.iter().position(|wire| wire.end_with(who, session).is_some());
        if let Some(link) = link {
            self.cut(Link(link));
        }
    }

    fn hang_up(&mut self, who: Who) {
        let links: Vec<usize> =
            (0..self.wires.len()).filter(|l| self.wires[*l].ends.contains(&who)).collect();
        links.into_iter().for_each(|link| self.cut(Link(link)));
    }

    fn wire_of(&mut self, who: Who, session: SessionId) -> Option<(&mut Wire, usize)> {
        self.wires.iter_mut().find_map(|wire| wire.end_with(who, session).map(|end| (wire, end)))
    }

    fn end_of(&self, link: Link, who: Who) -> usize {
        self.wires[link.0].ends.iter().position(|end| *end == who).unwrap()
    }
}

impl Wire {
    fn end_with(&self, who: Who, session: SessionId) -> Option<usize> {
        (0..2).find(|end| self.ends[*end] == who && self.sessions[*end] == Some(session))
    }
}

pub(crate) fn path(text: &str) -> Path<'_> {
    Path::new(text).unwrap()
}

/// The key of a copy's device.
fn peer_of(who: Who) -> PeerId {
    PeerId([who.0 as u8 + 1; 32])
}

const HANDLE: u16 = 7;
const PAGE: &str = "twelve lines of a service log, which nobody reads until something has gone wrong: pressure, \
    temperature, battery, radio, and who was here last and why; a hundred and eighty bytes of them";
const ROUNDS_MAX: usize = 50;
