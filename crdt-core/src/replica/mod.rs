//! The entry point: a document with its sessions, its durability and its identity.
//!
//! Input goes in through `handle_*`, [`Replica::update`] and [`Replica::connect`]. Output comes from
//! [`Replica::poll_output`]. Nothing calls back, nothing blocks, nothing reads a clock.
//!
//! Three rules always hold:
//!
//! - **Nothing leaves before it is durable here.** After a change, `poll_output` returns [`Output::Persist`],
//!   and no frame until [`Replica::handle_persisted`] is called.
//! - **A claim is made only when no cell is left unsent**, and knowledge moves only by a claim or an own write.
//! - **A replica id belongs to one continuous history.** After a load, the copy may be an old one. Its new
//!   writes are not sent until the aggregator has stated what it has of the id.

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
    /// Close this session in the transport: the replica no longer uses it.
    Close {
        /// The session; its id is not used again.
        session: SessionId,
    },
    /// Pass it to the application.
    Event(Event),
    /// Make durable what [`Replica::take_unsaved`] returns, then pass its token to
    /// [`Replica::handle_persisted`]. Nothing is sent before that.
    Persist,
    /// Send the first `len` bytes of the buffer as one message, in order.
    Transmit {
        /// On which session.
        session: SessionId,
        /// Length of the frame in the buffer, in bytes.
        len: usize,
    },
}

/// Identifies a state that [`Replica::take_unsaved`] returned to be made durable. A later token includes
/// earlier ones.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
#[must_use = "nothing is sent until it is handed to `handle_persisted`"]
pub struct PersistToken(u64);

/// One copy of one document, which syncs with others.
///
/// # Example: two replicas, one in-memory link
/// ```
/// use crdt_core::*;
/// let name = DocumentName::new("pump-42")?;
/// // A device passes the random source of its system.
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
    /// All state except the sessions.
    context: Context<S>,
    rng: R,
    sessions: Sessions<S>,
    next_session: u32,
    /// Number of states to be made durable.
    issued: u64,
    /// Number of the last durable one.
    persisted: u64,
    /// Cells up to this sequence number were passed to the driver.
    saved_seq: u64,
    /// Counts peers that connected or left.
    presence: u32,
    /// The `presence` at which some member was away.
    somebody_is_away_at: Option<u32>,
    /// The shared state when all sessions were last woken.
    woken_for: SharedState,
}

/// The state that all sessions depend on: when it changes, each may have something to send.
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
    /// A new replica: an empty document, and an id drawn from `rng`.
    ///
    /// `rng` supplies 64 bits for each id and for the salt of this copy, and 32 for each session. It must be
    /// seeded from the system, or be a hardware generator: if two replicas draw the same id, their histories
    /// mix, and writes are lost. [`CountingRng`](crate::CountingRng) is for tests.
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

    /// What was taken with `token`, and all before it, is durable.
    pub fn handle_persisted(&mut self, token: PersistToken) {
        // A token of another replica makes nothing durable here.
        self.persisted = self.persisted.max(token.0.min(self.issued));
    }

    /// Saves state whose changes do not cause a save (what peers have acknowledged). For a shutdown.
    pub fn request_persist(&mut self) {
        self.context.unsaved = true;
    }

    /// The next work for the driver, or `None` until the next input. Frames are written to `buffer`.
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
        // If the shared state has changed, each session may have something to send.
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
        // A session that had nothing to write may have caused an event.
        self.context.events.pop().map(Output::Event)
    }

    /// The document.
    pub fn document(&self) -> &Document<S> {
        &self.context.document
    }

    /// The name of the document.
    pub fn name(&self) -> &DocumentName {
        &self.context.name
    }

    /// The id under which this copy writes.
    pub fn id(&self) -> ReplicaId {
        self.context.document.replica
    }

    /// Whether own writes are not sent until the aggregator has stated what it has of this id.
    pub fn is_unverified(&self) -> bool {
        self.context.unverified.is_some()
    }

    /// Whether changes are not taken yet, or not durable yet.
    pub fn has_unsaved(&self) -> bool {
        self.context.unsaved || self.persisted < self.issued
    }

    /// Number of events dropped because the application did not take them in time.
    pub fn dropped_events(&self) -> u64 {
        self.context.events.dropped
    }

    /// Takes the oldest conflict that [`Event::Conflicts`] reported.
    pub fn take_conflict(&mut self) -> Option<Conflict<S>> {
        self.context.conflicts.take()
    }

    /// Number of conflicts whose details were dropped, because the application did not take them in time.
    pub fn dropped_conflicts(&self) -> u64 {
        self.context.conflicts.dropped
    }

    /// Counters of repairs so far. All zero on a sound disk.
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
