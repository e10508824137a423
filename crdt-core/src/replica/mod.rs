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
mod connections;
mod frames;
#[cfg(all(test, feature = "alloc"))]
mod hostile;
mod identity;
mod receipts;
mod record;
mod stability;
mod transaction;
mod typed;

pub use connections::{Connect, Side};
pub use record::{CellRecord, RestoreError, StateRecord, Unsaved};

use rand_core::Rng;

use core::fmt;

use crate::causal::Stamp;
use crate::config::Config;
use crate::document::{Document, UpdateError};
use crate::id::{DocumentName, ReplicaId};
use crate::rng::fresh_replica_id;
use crate::sync::{Conflict, Context, Event, Memory, Repairs, SessionId, Sessions};
use crate::time::Moment;
use crate::write::Write;

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
    /// Make durable what [`Replica::take_unsaved`] gives, then hand its token to [`Replica::handle_persisted`]. Nothing is sent
    /// before.
    Persist,
    /// Send the first `len` bytes of the buffer as one message, in order.
    Transmit {
        /// On which session.
        session: SessionId,
        /// Length of the frame in the buffer, in bytes.
        len: usize,
    },
}

/// Names one state that was taken to be made durable: [`Replica::take_unsaved`] gives it. Later tokens include earlier ones.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
#[must_use = "nothing is sent until it is handed to `handle_persisted`"]
pub struct PersistToken(u64);

/// One copy of one document, in conversation with others.
///
/// # Example: two replicas, one in-memory link
/// ```
/// use crdt_core::*;
/// let name = DocumentName::new("pump-42")?;
/// // A device gives the random numbers of its system.
/// let mut device = Replica::<Heap, _>::new(&name, Config::new(Role::Member), CountingRng::new(1));
/// let mut cloud = Replica::<Heap, _>::new(&name, Config::new(Role::Aggregator), CountingRng::new(2));
/// let at = Moment::new;
/// device.update(at(1_000), &[Write::set(Path::new("pump/3/setpoint")?, 4.5)])?;
///
/// let up = device.connect(Connect::initiator(PeerId([2; 32]), Role::Aggregator, 0))?;
/// let down = cloud.connect(Connect::responder(PeerId([1; 32]), Role::Member, 0))?;
/// let mut buffer = [0; 1024];
/// loop {
///     let mut idle = true;
///     for sender_is_device in [true, false] {
///         let (from, to, session) = if sender_is_device { (&mut device, &mut cloud, down) } else { (&mut cloud, &mut device, up) };
///         while let Some(output) = from.poll_output(at(2_000), &mut buffer) {
///             match output {
///                 Output::Persist => {
///                     let token = from.take_unsaved(|_change| { /* here a driver writes to its disk */ });
///                     from.handle_persisted(token);
///                 }
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
pub struct Replica<S: Memory, R> {
    /// Everything but the sessions.
    context: Context<S>,
    rng: R,
    sessions: Sessions<S>,
    next_session: u32,
    /// Counts the states that were to be made durable.
    issued: u64,
    /// Up to here they are.
    persisted: u64,
    /// Cells up to this sequence number were handed to the driver.
    saved_seq: u64,
    /// Counts peers that came or went.
    presence: u32,
    /// With it, a member was away.
    somebody_is_away_at: Option<u32>,
    /// As it was when all sessions were woken.
    woken_for: SharedState,
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
    fn of<S: Memory, R>(replica: &Replica<S, R>) -> Self {
        let (context, document) = (&replica.context, &replica.context.document);
        Self {
            seq: document.seq,
            rises: document.knowledge.rises(),
            floor_rises: document.knowledge.floor_rises(),
            is_verified: context.unverified.is_none(),
        }
    }
}

impl<S: Memory, R: Rng> Replica<S, R> {
    /// A new replica: an empty document, and an id that `rng` gives.
    ///
    /// `rng` is asked for 64 bits whenever this copy needs an id, and for 32 with each session. It must be seeded from the system,
    /// or be a hardware generator: if two replicas draw the same id, their histories mix, and writes are lost.
    /// [`CountingRng`](crate::CountingRng) is for tests.
    pub fn new(name: &DocumentName, config: Config, mut rng: R) -> Self {
        let id = fresh_replica_id(&mut rng);
        Self::with_id(name, id, config, rng)
    }

    fn with_id(name: &DocumentName, id: ReplicaId, config: Config, mut rng: R) -> Self {
        Self {
            context: Context::new(name, id, config, rng.next_u64()),
            rng,
            sessions: Sessions::default(),
            next_session: 0,
            issued: 0,
            persisted: 0,
            saved_seq: 0,
            presence: 0,
            somebody_is_away_at: None,
            woken_for: SharedState::default(),
        }
    }

    /// Makes a transaction. See [`Document::update`].
    ///
    /// # Errors
    /// [`UpdateError`]; nothing has changed then.
    pub fn update(&mut self, moment: Moment, writes: &[Write<'_>]) -> Result<Option<Stamp>, UpdateError> {
        let context = &mut self.context;
        context.begin(moment);
        let stamp = context.document.update(context.moment, writes);
        context.unsaved |= matches!(stamp, Ok(Some(_)));
        context.note_forgotten();
        stamp
    }

    /// What was taken with `token`, and all before, is durable.
    pub fn handle_persisted(&mut self, token: PersistToken) {
        // A token of another replica makes nothing durable here.
        self.persisted = self.persisted.max(token.0.min(self.issued));
    }

    /// Marks state that changes without gating (what peers have acknowledged) to be saved too, before a shutdown.
    pub fn request_persist(&mut self) {
        self.context.unsaved = true;
    }

    /// The next thing to do, or `None` when there is nothing until the next input. Frames are written to `buffer`.
    ///
    /// A frame is no longer than `buffer`, which must have at least
    /// [`FRAME_LEN_MIN`](crate::limits::FRAME_LEN_MIN) bytes and capacity for the longest cell.
    pub fn poll_output(&mut self, moment: Moment, buffer: &mut [u8]) -> Option<Output> {
        if let Some(event) = self.context.events.pop() {
            return Some(Output::Event(event));
        }
        if let Some(session) = self.sessions.over() {
            self.disconnect(session);
            return Some(Output::Close { session });
        }
        if core::mem::take(&mut self.context.unsaved) {
            self.issued += 1;
            return Some(Output::Persist);
        }
        if self.persisted < self.issued {
            return None;
        }
        // If what all sessions work on has changed, each may have something to send.
        let state = SharedState::of(self);
        if core::mem::replace(&mut self.woken_for, state) != state {
            self.sessions.wake_all();
        }
        self.context.begin(moment);
        while let Some(index) = self.sessions.next_ready() {
            let len = self.sessions[index].write_frame(buffer, &mut self.context);
            if len > 0 {
                self.sessions.wake(index);
                return Some(Output::Transmit { session: self.sessions[index].id, len });
            }
        }
        // Writing found out that there is nothing to write, which may have been an event.
        self.context.events.pop().map(Output::Event)
    }

    /// The document.
    pub fn document(&self) -> &Document<S> {
        &self.context.document
    }

    /// Its name.
    pub fn name(&self) -> &DocumentName {
        &self.context.name
    }

    /// The id under which this copy writes.
    pub fn id(&self) -> ReplicaId {
        self.context.document.replica
    }

    /// Whether own writes are held back until the aggregator has told what it knows of this id.
    pub fn is_unverified(&self) -> bool {
        self.context.unverified.is_some()
    }

    /// Whether changes wait to be handed over or to be made durable.
    pub fn has_unsaved(&self) -> bool {
        self.context.unsaved || self.persisted < self.issued
    }

    /// Events that were dropped because nobody took them in time.
    pub fn dropped_events(&self) -> u64 {
        self.context.events.dropped
    }

    /// The next of the conflicts that [`Event::Conflicts`] told of, the oldest first.
    pub fn take_conflict(&mut self) -> Option<Conflict<S>> {
        self.context.conflicts.take()
    }

    /// Conflicts whose details were dropped because nobody took them in time.
    pub fn dropped_conflicts(&self) -> u64 {
        self.context.conflicts.dropped
    }

    /// What repairs have done so far. All zero on a sound disk.
    pub fn repairs(&self) -> Repairs {
        self.context.repairs
    }
}

impl<S: Memory, R> fmt::Debug for Replica<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("name", &self.context.name)
            .field("document", &self.context.document)
            .field("unverified", &self.context.unverified)
            .finish_non_exhaustive()
    }
}
