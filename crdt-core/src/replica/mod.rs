//! The front door: a document with its sessions, its durability and its identity.
//!
//! Everything goes in by `handle_*`, [`Replica::update`] and [`Replica::connect`], and comes out of
//! [`Replica::poll_output`]. Nothing calls back, nothing blocks, nothing reads a clock.
//!
//! Three rules hold everything up:
//!
//! - **Nothing leaves before it is durable here.** After a change, `poll_output` gives [`Output::Persist`]; no frame comes
//!   out until [`Replica::handle_persisted`] says that this is done.
//! - **A claim is made only when no cell is left unsent**, and knowledge moves only by a claim or an own write.
//! - **A replica id belongs to one continuous history.** After a load, the copy may be an old one; its own new writes
//!   stay here until the aggregator has told what it knows of the id.

mod clock;
mod conflict;
mod counter;
mod identity;
mod open;
mod receive;
mod record;
mod repair;
mod retire;
mod send;
mod stop;
mod transaction;
mod typed;

use conflict::Conflicts;
pub use record::{CellRecord, RecordError, Unsaved};
pub use repair::Repairs;

use core::fmt;

use crate::causal::{Retired, Stamp, VersionVector};
use crate::cell::Path;
use crate::document::{Document, Limits, UpdateError};
use crate::error::CapacityError;
use crate::id::{DocumentName, PeerId, ReplicaId};
use crate::limits::{ADMISSION_AHEAD_MS, FRAME_LEN_MAX};
use crate::list::List;
use crate::storage::CellStore;
use crate::sync::{Carrier, Event, Events, Memory, Peer, Peers, Session, SessionId, Sessions};
use crate::time::{Moment, Time};
use crate::wire::{DecodeError, Refusal};
use crate::write::Write;

/// What a replica is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everyone's peer: verifies the copies of members, admits stamps by its own clock, and says what may be forgotten.
    Aggregator,
    /// A device or a program that syncs with an aggregator.
    Member,
    /// A member that also syncs with other members: it takes a new id after each load, because those cannot verify it.
    Mesh,
}

/// How a replica behaves. Plain data.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// What it is to the others.
    pub role: Role,
    /// Most cells and bytes.
    pub limits: Limits,
    /// An aggregator refuses stamps that are further ahead of its clock than this, in milliseconds.
    pub admission_ahead_ms: u64,
    /// Longest frame that this side takes, in bytes; its peers learn it from its Open. It is rounded down to a power of two,
    /// and is at least [`FRAME_LEN_MIN`](crate::limits::FRAME_LEN_MIN).
    ///
    /// The longest cell of the document must fit, with some 40 bytes beside its path and value: a peer that holds a longer
    /// one stops sending, and tells its application ([`Event::ShortBuffer`]). What an initiator sends before it has heard
    /// the responder's Open is not bound by this: a small device connects, it is not connected to.
    pub frame_len_max: usize,
}

impl Config {
    /// The defaults for a role.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            limits: Limits::default(),
            admission_ahead_ms: ADMISSION_AHEAD_MS,
            frame_len_max: FRAME_LEN_MAX,
        }
    }
}

/// A connection about to carry this document.
#[derive(Clone, Copy, Debug)]
pub struct Connect {
    /// The key that the transport authenticated.
    pub peer: PeerId,
    /// The peer is the aggregator of this document.
    pub with_aggregator: bool,
    /// This side opens the document; otherwise the peer's Open is awaited.
    pub initiator: bool,
    /// The peer is proven to be there now (false for input of a 0-RTT handshake until it completes).
    pub confirmed: bool,
    /// The document's number on this connection, chosen by the initiator.
    pub handle: u16,
}

/// Work for the driver.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "an output is work still to do"]
pub enum Output {
    /// Close what carries this session: the replica is done with it.
    Close {
        /// The session; its id is not used again.
        session: SessionId,
    },
    /// Tell the application.
    Event(Event),
    /// Take what is unsaved with [`Replica::take_unsaved`], make it durable, then call [`Replica::handle_persisted`].
    Persist(PersistToken),
    /// Send the first `len` bytes of the buffer as one message, in order.
    Transmit {
        /// On which session.
        session: SessionId,
        /// Length of the frame in the buffer, in bytes.
        len: usize,
    },
}

/// Names one state that is to be made durable. Later tokens include earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersistToken(u64);

/// The peer broke the protocol: its session is gone, everything else goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Its bytes are not a frame.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It refers to something that this side cannot know.
    #[error("the peer refers to something that was never defined")]
    Dangling,
    /// A message that must not come now.
    #[error("the peer sent a message out of turn: {message}")]
    OutOfTurn {
        /// Which.
        message: &'static str,
    },
    /// It was told why; the same stands here.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// Of another session than any that is open.
    #[error("there is no such session")]
    UnknownSession,
}

/// One copy of one document, in conversation with others.
///
/// # Example: two replicas, one in-memory link
/// ```
/// use crdt_core::*;
/// let name = DocumentName::new("pump-42")?;
/// let mut device = Replica::<Heap>::new(&name, ReplicaId::new(1), Config::new(Role::Member));
/// let mut cloud = Replica::<Heap>::new(&name, ReplicaId::new(2), Config::new(Role::Aggregator));
/// let at = |ms| Moment::new(ms, ms);
/// device.update(at(1_000), &[Write::set(Path::new("pump/3/setpoint")?, 4.5)])?;
///
/// let link = |peer, initiator| Connect { peer: PeerId([peer; 32]), with_aggregator: initiator, initiator, confirmed: true, handle: 0 };
/// let up = device.connect(link(2, true))?;
/// let down = cloud.connect(link(1, false))?;
/// let mut buffer = [0; 1024];
/// loop {
///     let mut idle = true;
///     for sender_is_device in [true, false] {
///         let (from, to, session) = if sender_is_device { (&mut device, &mut cloud, down) } else { (&mut cloud, &mut device, up) };
///         while let Some(output) = from.poll_output(at(2_000), &mut buffer) {
///             match output {
///                 // Here a driver writes to its disk; this one has none.
///                 Output::Persist(token) => from.handle_persisted(token),
///                 Output::Transmit { len, .. } => to.handle_frame(at(2_000), session, &buffer[..len])?,
///                 Output::Event(_) | Output::Close { .. } => {}
///             }
///             idle = false;
///         }
///     }
///     if idle { break }
/// }
/// assert_eq!(cloud.document().get(Path::new("pump/3/setpoint")?), Some(Value::F64(4.5)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Replica<S: Memory> {
    pub(crate) name: DocumentName,
    pub(crate) config: Config,
    pub(crate) document: Document<S>,
    /// Own writes after this time are held back: this copy came from storage and may be an old one.
    pub(crate) unverified: Option<Time>,
    /// Own writes up to this time came from storage: if this copy has a twin, they have them in common.
    pub(crate) loaded: Time,
    /// Added to what the driver's clock says, in milliseconds.
    pub(crate) clock_correction_ms: i64,
    pub(crate) peers: Peers<S>,
    /// Ids that their owners have given up; nobody else will claim their cells.
    pub(crate) given_up: S::Ids,
    /// Uncovered cells came from somebody else than their writer: perhaps their writer is gone.
    pub(crate) orphans: bool,
    pub(crate) sessions: Sessions<S>,
    next_session: u32,
    /// Something changed that nothing may leave before.
    pub(crate) unsaved: bool,
    issued: PersistToken,
    /// What was handed over with it was taken.
    taken: PersistToken,
    persisted: PersistToken,
    /// Removals were not taken, so the next one who takes what is unsaved has to write everything anew.
    must_rewrite: bool,
    /// Cells up to this sequence number were handed to the driver.
    saved_seq: u64,
    conflicts: Conflicts<S>,
    pub(crate) events: Events<S>,
    repairs: Repairs,
    /// Counts peers that came or went.
    presence: u32,
    /// With it, a member was away.
    somebody_is_away_at: Option<u32>,
    /// As it was when the sessions were looked at.
    looked_at: SharedState,
}

/// What all sessions of a replica look at: when it changes, each may have something to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SharedState {
    seq: u64,
    rises: u64,
    floor_rises: u32,
    is_verified: bool,
}

impl SharedState {
    fn of<S: Memory>(replica: &Replica<S>) -> Self {
        let document = &replica.document;
        Self {
            seq: document.seq,
            rises: document.knowledge.rises(),
            floor_rises: document.knowledge.floor_rises(),
            is_verified: replica.unverified.is_none(),
        }
    }
}

impl<S: Memory> Replica<S> {
    /// A new replica: an empty document and an id that was never used.
    pub fn new(name: &DocumentName, id: ReplicaId, config: Config) -> Self {
        let id = if id == ReplicaId::RETIREMENTS { ReplicaId::new(1) } else { id };
        Self {
            name: name.clone(),
            config,
            document: Document::with_removals(name, id, config.limits),
            unverified: None,
            loaded: Time::ZERO,
            clock_correction_ms: 0,
            peers: Peers::default(),
            given_up: S::Ids::default(),
            // What was loaded may hold some.
            orphans: true,
            sessions: Sessions::default(),
            next_session: 0,
            unsaved: true,
            issued: PersistToken(0),
            taken: PersistToken(0),
            persisted: PersistToken(0),
            must_rewrite: false,
            saved_seq: 0,
            conflicts: Conflicts::default(),
            events: Events::new(),
            repairs: Repairs::default(),
            presence: 0,
            somebody_is_away_at: None,
            looked_at: SharedState::default(),
        }
    }

    /// Makes a transaction. See [`Document::update`].
    ///
    /// # Errors
    /// [`UpdateError`]; nothing has changed then.
    pub fn update(&mut self, moment: Moment, writes: &[Write<'_>]) -> Result<Option<Stamp>, UpdateError> {
        let stamp = self.document.update(self.corrected(moment), writes);
        self.unsaved |= matches!(stamp, Ok(Some(_)));
        self.note_forgotten();
        stamp
    }

    /// Begins a session. A confirmed one replaces those that are open with the same peer.
    ///
    /// # Errors
    /// [`CapacityError::Peers`] when there is no room for another session or peer.
    pub fn connect(&mut self, connect: Connect) -> Result<SessionId, CapacityError> {
        if connect.confirmed {
            self.close_sessions_with(connect.peer, None);
        }
        self.peer_index(connect.peer)?;
        self.next_session += 1;
        let Connect { peer, with_aggregator, initiator, confirmed, handle } = connect;
        let (has_capacity, is_deferred) = (true, false);
        let carrier =
            Carrier { peer, with_aggregator, initiator, confirmed, handle, has_capacity, is_deferred };
        let session = Session::new(SessionId(self.next_session), carrier);
        let (id, limit) = (session.id, self.sessions.room());
        self.sessions.add(session).map_err(|()| CapacityError::Peers { limit })?;
        Ok(id)
    }

    /// The connection of `session` is gone.
    pub fn disconnect(&mut self, session: SessionId) {
        if let Some(gone) =
            self.sessions.iter().find(|s| s.id == session && s.open_received && s.carrier.confirmed)
            && let Some(peer) = self.peers.of_mut(gone.carrier.peer)
        {
            // What is cut here goes on where it was, if both sides still know.
            let is_full = gone.outgoing.batch.is_some_and(|batch| batch.full);
            let is_acknowledged =
                gone.outgoing.batch.is_none() && gone.outgoing.claims_acked == gone.outgoing.claims_sent;
            let keeps = gone.outgoing.is_in_order && !is_full && !is_acknowledged;
            peer.sent_through = if keeps { gone.outgoing.cursor } else { 0 };
            // Its parts one by one: as a whole they would go by `memmove`, and nothing else needs that on a small device.
            peer.received_through =
                gone.incoming.received_through.map(|stamp| Stamp::new(stamp.time, stamp.replica));
            peer.guess.copy_from(&gone.outgoing.peer_knows);
        }
        self.sessions.remove(session);
        self.presence = self.presence.wrapping_add(1);
    }

    /// The handshake of `session` is complete: its peer is there now, and what it said was no replay.
    pub fn confirm(&mut self, moment: Moment, session: SessionId) {
        let Some(index) = self.session_index(session) else { return };
        if self.sessions[index].carrier.confirmed {
            return;
        }
        let before = self.document.seq;
        self.sessions[index].carrier.confirmed = true;
        self.close_sessions_with(self.sessions[index].carrier.peer, Some(session));
        if let Some(theirs) = self.sessions[index].incoming.early_vector.take() {
            // What its Open said was early input; now it counts.
            let moment = self.corrected(moment);
            if let Ok(peer) = self.peer_index(self.sessions[index].carrier.peer) {
                self.peers[peer].acked.copy_from(&theirs);
                self.note_acknowledged(peer);
            }
            self.peer_is_there(moment, index);
        }
        self.sessions.wake(index);
        self.note_changed(before);
    }

    /// Asks the peer of every open session to tell, once, what is durable there.
    pub fn request_acknowledgement(&mut self) {
        for session in self.sessions.iter_mut() {
            session.outgoing.asks = true;
        }
        self.sessions.wake_all();
    }

    /// How many claims were sent in `session` so far: what [`note_delivered`](Self::note_delivered) is told of the frame that
    /// was polled last. 0 without such a session.
    pub fn claims_sent(&self, session: SessionId) -> u32 {
        let sent = |s: &Session<S>| s.outgoing.claims_before.saturating_add(s.outgoing.claims_sent);
        self.sessions.iter().find(|s| s.id == session).map_or(0, sent)
    }

    /// The transport delivered a frame, and all before it, after which [`claims_sent`](Self::claims_sent) was `claims`.
    ///
    /// For a transport whose peer acknowledges only what it has made durable: then a delivery is a receipt, and costs no
    /// byte. [`acknowledged_through`](Self::acknowledged_through) rises, with an [`Event::Acknowledged`], as long as the
    /// session lasts. What a peer refuses or needs anew is no receipt; its word about that has to be handed in first. What
    /// may be forgotten, and what outlives the session, still rests on what the peer says itself
    /// ([`request_acknowledgement`](Self::request_acknowledgement)).
    pub fn note_delivered(&mut self, session: SessionId, claims: u32) {
        let Some(index) = self.session_index(session) else { return };
        let session = &mut self.sessions[index];
        let claims = claims.saturating_sub(session.outgoing.claims_before);
        if !session.carrier.confirmed
            || !session.open_received
            || session.outgoing.is_refused
            || claims <= session.outgoing.claims_delivered
        {
            return;
        }
        let before = session.delivered_claim().copied();
        session.outgoing.claims_delivered = claims;
        let is_news = session.delivered_claim().copied() != before;
        let peer = session.carrier.peer;
        if is_news {
            let told = self.acknowledged_by(peer).map_or(Time::ZERO, |acked| acked.time_of(self.id()));
            let delivered = self.sessions[index].delivered_claim().map_or(Time::ZERO, |claim| claim.own_time);
            self.events.push(Event::Acknowledged { peer, through: told.max(delivered) });
        }
    }

    /// Changes of the document up to this one ([`Document::seq`]), whoever made them, are durable at `peer`: the transport
    /// delivered them in the session that is open. 0 without one.
    pub fn delivered_seq(&self, peer: PeerId) -> u64 {
        let sessions = self.sessions.iter().filter(|s| s.carrier.peer == peer);
        sessions.filter_map(Session::delivered_claim).map(|claim| claim.seq).max().unwrap_or(0)
    }

    /// What is at `path` and below goes ahead of everything else that waits in the open sessions.
    ///
    /// It arrives, and can be seen, before the rest of a long batch; it is claimed and acknowledged with it. At most
    /// [`URGENT_CELLS_MAX`](crate::limits::URGENT_CELLS_MAX) cells a session and batch; further ones go in their turn. O(cells
    /// below).
    pub fn hurry(&mut self, path: Path<'_>) {
        let cells = &self.document.cells;
        for session in self.sessions.iter_mut() {
            for cell in cells.get(path.as_str()).into_iter().chain(cells.below(Some(path.as_str()))) {
                let waits =
                    cell.seq > session.outgoing.cursor && !session.outgoing.peer_knows.covers(cell.stamp);
                if waits && session.outgoing.urgent.iter().all(|(seq, _)| *seq != cell.seq) {
                    // Without room it goes in its turn.
                    session.outgoing.urgent.push((cell.seq, false)).ok();
                }
            }
        }
    }

    /// While `held`, changes alone are no reason to send in `session`: they wait for company. Whatever must be said in any case
    /// (an Open, an acknowledgement that the peer asked for, what it needs again, the rest of a batch under way) is said,
    /// and takes along what waits. A new session is not held.
    pub fn hold(&mut self, session: SessionId, held: bool) {
        if let Some(index) = self.sessions.index_of(session)
            && core::mem::replace(&mut self.sessions[index].carrier.is_deferred, held) != held
        {
            self.sessions.wake(index);
        }
    }

    /// Whether what carries `session` takes frames now; at first it does. While it does not, [`poll_output`](Self::poll_output)
    /// gives no frame of this session, and those of others go on. Nothing queues up meanwhile: what is to be sent is found
    /// out when there is room again.
    pub fn set_room(&mut self, session: SessionId, has_room: bool) {
        if let Some(index) = self.sessions.index_of(session)
            && core::mem::replace(&mut self.sessions[index].carrier.has_capacity, has_room) != has_room
        {
            self.sessions.wake(index);
        }
    }

    /// What was handed over with `token`, and all before, is durable.
    pub fn handle_persisted(&mut self, token: PersistToken) {
        self.persisted = self.persisted.max(token.min(self.issued));
        if self.persisted > self.taken {
            // The driver has no disk, or saves in a way of its own: nobody asks what was removed.
            self.must_rewrite |= self.document.cells.has_removed();
            self.document.cells.clear_removed();
        }
    }

    /// Marks state that changes without gating (what peers have acknowledged) to be saved too, before a shutdown.
    pub fn request_persist(&mut self) {
        self.unsaved = true;
    }

    /// Forgets the tombstones that every active member is known to have, and retires the replica ids that nobody uses any
    /// more. For aggregators; tells how many tombstones it forgot. O(tombstones x members), and O(cells) where ids may retire.
    ///
    /// Without an active member it forgets nothing. Nobody has them then, and somebody will come: a device that was never
    /// here, with copies of what was deleted, or one that was given up. Keeping them spares it the whole document, and
    /// where room is short they go anyway.
    pub fn forget_stable(&mut self, moment: Moment) -> usize {
        let members = || self.peers.iter().filter(|p| p.active);
        if members().next().is_none() {
            return 0;
        }
        let forgotten =
            self.document.forget_tombstones(|stamp| members().all(|peer| peer.acked.covers(stamp)));
        self.unsaved |= forgotten > 0;
        self.retire_ids(moment);
        forgotten
    }

    /// Whether there are replica ids that their owners have given up, and that may retire by and by.
    pub fn has_given_up_ids(&self) -> bool {
        !self.given_up.is_empty()
    }

    /// Replica ids that are no longer listed in the version vector, with what must be remembered of them; the oldest
    /// retirement first. Aggregators and meshes keep the last [`RETIRED_MAX`](crate::limits::RETIRED_MAX).
    pub fn retired_ids(&self) -> impl Iterator<Item = Retired> + '_ {
        self.document.knowledge.retired().iter()
    }

    /// Forgets every tombstone, to make room: members that have not seen them get the whole document when they next come.
    pub fn forget_all_tombstones(&mut self) -> usize {
        let forgotten = self.document.forget_tombstones(|_| true);
        self.unsaved |= forgotten > 0;
        forgotten
    }

    /// Tombstones are no longer kept for `peer`: it was silent for too long. It is a member again when it comes back.
    pub fn deactivate(&mut self, peer: PeerId) {
        if let Some(peer) = self.peers.of_mut(peer) {
            peer.active = false;
            self.presence = self.presence.wrapping_add(1);
        }
    }

    /// The next thing to do, or `None` when there is nothing until the next input. Frames are written to `buffer`.
    ///
    /// A frame is no longer than `buffer`, which must have at least
    /// [`FRAME_LEN_MIN`](crate::limits::FRAME_LEN_MIN) bytes and room for the longest cell.
    pub fn poll_output(&mut self, moment: Moment, buffer: &mut [u8]) -> Option<Output> {
        if let Some(event) = self.events.pop() {
            return Some(Output::Event(event));
        }
        if let Some(session) = self.sessions.over() {
            self.disconnect(session);
            return Some(Output::Close { session });
        }
        if self.unsaved {
            self.unsaved = false;
            self.issued.0 += 1;
            return Some(Output::Persist(self.issued));
        }
        if self.persisted < self.issued {
            return None;
        }
        // What changed for all sessions since they were all looked at.
        let state = SharedState::of(self);
        if core::mem::replace(&mut self.looked_at, state) != state {
            self.sessions.wake_all();
        }
        while let Some(index) = self.sessions.next_ready() {
            let len = self.write_frame(moment, index, buffer);
            if len > 0 {
                self.sessions.wake(index);
                return Some(Output::Transmit { session: self.sessions[index].id, len });
            }
        }
        // Writing found out that there is nothing to write, which may have been an event.
        self.events.pop().map(Output::Event)
    }

    /// The document.
    pub fn document(&self) -> &Document<S> {
        &self.document
    }

    /// Its name.
    pub fn name(&self) -> &DocumentName {
        &self.name
    }

    /// The id under which this copy writes.
    pub fn id(&self) -> ReplicaId {
        self.document.replica
    }

    /// Whether own writes are held back until the aggregator has told what it knows of this id.
    pub fn is_unverified(&self) -> bool {
        self.unverified.is_some()
    }

    /// Whether changes wait to be handed over or to be made durable.
    pub fn has_unsaved(&self) -> bool {
        self.unsaved || self.persisted < self.issued
    }

    /// Events that were dropped because nobody took them in time.
    pub fn dropped_events(&self) -> u64 {
        self.events.dropped
    }

    /// What `peer` has made durable, as far as it has said so.
    pub fn acknowledged_by(&self, peer: PeerId) -> Option<&VersionVector<S>> {
        self.peers.of(peer).map(|p| &p.acked)
    }

    /// Own writes up to this time are durable at `peer`: it said so, or the transport did in the session that is open.
    pub fn acknowledged_through(&self, peer: PeerId) -> Time {
        let told = self.acknowledged_by(peer).map_or(Time::ZERO, |acked| acked.time_of(self.id()));
        let sessions = self.sessions.iter().filter(|s| s.carrier.peer == peer);
        sessions.filter_map(Session::delivered_claim).map(|claim| claim.own_time).fold(told, Time::max)
    }

    /// The peers that are known to have the transaction `stamp`, whoever wrote it, on their disks: "has the device got it?" A
    /// stamp comes from [`update`](Self::update), or from [`Document::stamp_of`]. O(peers x log replicas).
    ///
    /// What a peer says is asked for with [`request_acknowledgement`](Self::request_acknowledgement); what the transport
    /// delivered counts for own writes ([`note_delivered`](Self::note_delivered)).
    pub fn confirmed_by(&self, stamp: Stamp) -> impl Iterator<Item = PeerId> + '_ {
        let delivered = move |peer: PeerId| {
            stamp.replica == self.id()
                && self.sessions.iter().any(|s| {
                    s.carrier.peer == peer
                        && s.delivered_claim().is_some_and(|claim| claim.own_time >= stamp.time)
                })
        };
        let has = move |peer: &&Peer<S>| peer.acked.covers(stamp) || delivered(peer.id);
        self.peers.iter().filter(has).map(|peer| peer.id)
    }

    /// Cells that `peer` is not known to have, and the bytes of their paths and payloads. O(cells).
    pub fn backlog(&self, peer: PeerId) -> Limits {
        let (acked, delivered) = (self.acknowledged_by(peer), self.delivered_seq(peer));
        let mut backlog = Limits { cells: 0, bytes: 0 };
        for cell in self.document.cells.below(None) {
            if cell.seq > delivered && acked.is_none_or(|acked| !acked.covers(cell.stamp)) {
                backlog.cells += 1;
                backlog.bytes += cell.path.len() + cell.payload.len();
            }
        }
        backlog
    }

    /// Whether a session with `peer` is open and its Open has come.
    pub fn is_connected(&self, peer: PeerId) -> bool {
        self.sessions.iter().any(|s| s.carrier.peer == peer && s.open_received && !s.is_closing)
    }

    /// After input of a peer: tells what it changed. `before`: the document's last change until then.
    fn note_changed(&mut self, before: u64) {
        if self.document.seq > before {
            self.events.note_changed(before);
        }
        self.note_forgotten();
    }

    /// Tells how many tombstones were forgotten to make room; the floor must be saved.
    pub(crate) fn note_forgotten(&mut self) {
        let tombstones = core::mem::take(&mut self.document.forgotten_for_room);
        if tombstones > 0 {
            self.unsaved = true;
            self.events.push(Event::Forgotten { tombstones });
        }
    }

    pub(crate) fn session_index(&self, session: SessionId) -> Option<usize> {
        self.sessions.index_of(session).filter(|index| !self.sessions[*index].is_closing)
    }

    /// Where `peer` is remembered; makes room by dropping a peer that has no session, if need be.
    pub(crate) fn peer_index(&mut self, peer: PeerId) -> Result<usize, CapacityError> {
        if let Some(index) = self.peers.index_of(peer) {
            return Ok(index);
        }
        if self.peers.len() == self.peers.room() {
            let sessions = &self.sessions;
            let idle = self.peers.iter().position(|p| sessions.iter().all(|s| s.carrier.peer != p.id));
            match idle {
                // Forgetting what a peer has acknowledged costs bytes, never data.
                Some(index) => {
                    self.peers.remove(index);
                    self.presence = self.presence.wrapping_add(1);
                }
                None => return Err(CapacityError::Peers { limit: self.peers.room() }),
            }
        }
        self.peers.insert(Peer::new(peer)).ok_or(CapacityError::Peers { limit: self.peers.room() })
    }

    pub(crate) fn close_all_sessions(&mut self) {
        self.sessions.close_where(|_| true);
    }

    fn close_sessions_with(&mut self, peer: PeerId, except: Option<SessionId>) {
        self.sessions.close_where(|session| session.carrier.peer == peer && Some(session.id) != except);
    }
}

impl<S: Memory> fmt::Debug for Replica<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("name", &self.name)
            .field("document", &self.document)
            .field("unverified", &self.unverified)
            .finish_non_exhaustive()
    }
}
