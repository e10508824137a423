//! One copy of the document, in any of the storages that histories run on.

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{
    CapacityError, Cell, CellRecord, Config, Connect, Content, CountingRng, DocumentName, Fixed, Heap,
    Memory, Moment, Output, Path, PeerError, PeerId, PersistToken, Replica, ReplicaId, RestoreError, Retired,
    SessionId, Stamp, Time, Unsaved, UpdateError, Write,
};

use super::facts::{Fact, Held, Knowledge, PATHS, PathIndex, path_index};

/// A small device: 7 paths, and an id for each of its own restarts and everyone else's.
pub(super) type Small = Fixed<Cells<16>, Bytes<2048>, Replicas<64>>;

/// A replica on the heap or on fixed memory.
pub(super) enum Copy {
    Fixed(Box<Replica<Small, CountingRng>>),
    Heap(Box<Replica<Heap, CountingRng>>),
}

macro_rules! each {
    ($copy:expr, $replica:ident => $do:expr) => {
        match $copy {
            Copy::Fixed($replica) => $do,
            Copy::Heap($replica) => $do,
        }
    };
}

/// Cells as the driver's disk keeps them: a record for each path.
pub(super) type Records = [Option<Vec<u8>>; PATHS.len()];

impl Copy {
    pub(super) fn new(fixed: bool, name: &DocumentName, id: ReplicaId, config: Config) -> Self {
        if fixed {
            Copy::Fixed(Box::new(Replica::new(name, config, CountingRng::new(id.get()))))
        } else {
            Copy::Heap(Box::new(Replica::new(name, config, CountingRng::new(id.get()))))
        }
    }

    pub(super) fn load(
        fixed: bool,
        moment: Moment,
        config: Config,
        rng: CountingRng,
        state: &[u8],
        records: &Records,
    ) -> Result<Self, RestoreError> {
        let mut cells: Vec<Cell<'_>> = Vec::with_capacity(PATHS.len());
        for (path, record) in PATHS.iter().zip(records) {
            if let Some(record) = record {
                cells.push(CellRecord::decode(Path::new(path).map_err(RestoreError::Path)?, record)?);
            }
        }
        Ok(if fixed {
            Copy::Fixed(Box::new(Replica::load(moment, config, rng, state, cells)?))
        } else {
            Copy::Heap(Box::new(Replica::load(moment, config, rng, state, cells)?))
        })
    }

    pub(super) fn write(
        &mut self,
        moment: Moment,
        path: PathIndex,
        content: Content<'_>,
    ) -> Result<Option<Stamp>, UpdateError> {
        let path = Path::new(PATHS[usize::from(path)]).expect("the paths of histories are paths");
        let write = match content {
            Content::Value(value) => Write::set(path, value),
            _ => Write::delete(path),
        };
        each!(self, r => r.update(moment, &[write]))
    }

    pub(super) fn connect(&mut self, connect: Connect) -> Result<SessionId, CapacityError> {
        each!(self, r => r.connect(connect))
    }

    pub(super) fn confirm(&mut self, moment: Moment, session: SessionId) {
        each!(self, r => r.confirm(moment, session));
    }

    pub(super) fn disconnect(&mut self, session: SessionId) {
        each!(self, r => r.disconnect(session));
    }

    pub(super) fn handle_frame(
        &mut self,
        moment: Moment,
        session: SessionId,
        frame: &[u8],
    ) -> Result<(), PeerError> {
        each!(self, r => r.handle_frame(moment, session, frame))
    }

    pub(super) fn poll_output(&mut self, moment: Moment, buffer: &mut [u8]) -> Option<Output> {
        each!(self, r => r.poll_output(moment, buffer))
    }

    /// Brings `records` up to date, and gives the state record that belongs to them.
    pub(super) fn save(&mut self, records: &mut Records) -> (Vec<u8>, PersistToken) {
        let mut buffer = [0; CellRecord::LEN_MAX];
        each!(self, r => {
            let mut record = Vec::new();
            let token = r.take_unsaved(|unsaved| match unsaved {
                Unsaved::Rewrite => *records = Records::default(),
                Unsaved::Removed(path) => records[usize::from(path_index(path))] = None,
                Unsaved::Cell(cell) => {
                    let len = CellRecord::encode(&cell, &mut buffer).expect("the longest record fits");
                    records[usize::from(path_index(cell.path))] = Some(buffer[..len].to_vec());
                }
                Unsaved::State(state) => record = state.to_vec(),
            });
            (record, token)
        })
    }

    /// What a driver does that calls durable what is not.
    pub(super) fn lie_about_disk(&mut self) {
        each!(self, r => {
            let token = r.take_unsaved(|_| {});
            r.handle_persisted(token);
        });
    }

    pub(super) fn handle_persisted(&mut self, token: PersistToken) {
        each!(self, r => r.handle_persisted(token));
    }

    pub(super) fn request_acknowledgement(&mut self) {
        each!(self, r => r.request_acknowledgement());
    }

    pub(super) fn request_persist(&mut self) {
        each!(self, r => r.request_persist());
    }

    pub(super) fn forget_stable(&mut self, moment: Moment) {
        each!(self, r => r.forget_stable(moment));
    }

    pub(super) fn forget_all_tombstones(&mut self) {
        each!(self, r => r.forget_all_tombstones());
    }

    pub(super) fn deactivate(&mut self, peer: PeerId) {
        each!(self, r => r.deactivate(peer));
    }

    pub(super) fn retired_ids(&self) -> Vec<Retired> {
        each!(self, r => r.retired_ids().collect())
    }

    pub(super) fn id(&self) -> ReplicaId {
        each!(self, r => r.id())
    }

    pub(super) fn is_unverified(&self) -> bool {
        each!(self, r => r.is_unverified())
    }

    pub(super) fn fingerprint(&self) -> u64 {
        each!(self, r => r.document().fingerprint())
    }

    pub(super) fn check_invariants(&self) -> Result<(), &'static str> {
        each!(self, r => r.document().check_invariants())
    }

    pub(super) fn knowledge(&self) -> Knowledge {
        fn entries<S: Memory>(replica: &Replica<S, CountingRng>) -> Knowledge {
            Knowledge::new(replica.document().version_vector().iter().map(|e| (e.replica, e.time)))
        }
        each!(self, r => entries(r))
    }

    /// The newest tombstone of the id that it has now that was forgotten; zero when there is none.
    pub(super) fn forgotten_own(&self) -> Time {
        each!(self, r => r.document().floor().time_of(r.id()))
    }

    pub(super) fn acknowledged_by(&self, peer: PeerId) -> Knowledge {
        each!(self, r => r.acknowledged_by(peer).map_or(Knowledge::default(), |acked| {
            Knowledge::new(acked.iter().map(|e| (e.replica, e.time)))
        }))
    }

    /// Every cell, tombstones and hidden ones too.
    pub(super) fn facts(&self) -> Vec<Fact> {
        self.changes_since(0).1
    }

    /// Cells that changed after `seq`, and the number of the last change.
    pub(super) fn changes_since(&self, seq: u64) -> (u64, Vec<Fact>) {
        each!(self, r => {
            let changes = r.document().changes_since(seq);
            let facts = changes.map(|c| Fact { path: path_index(c.path), stamp: c.stamp, held: Held::of(c.content()) });
            (r.document().seq(), facts.collect())
        })
    }

    /// What a reader finds at each path.
    pub(super) fn readings(&self) -> [Option<Held>; PATHS.len()] {
        PATHS.map(|path| {
            let path = Path::new(path).expect("the paths of histories are paths");
            each!(self, r => r.document().get(path).map(|value| Held::of(Content::Value(value))))
        })
    }
}
