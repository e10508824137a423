//! A node's disk: what survives a crash, and what only seemed to.

use std::collections::BTreeMap;
use std::time::Duration;

use crdt_core::{
    CellRecord, Config, CountingRng, DocumentName, Heap, Moment, Path, PersistToken, Replica, ReplicaId,
    RestoreError, Time, Unsaved, VectorEntry,
};

/// The storage of one node: commits take a while, are atomic, and survive crashes if the disk is honest.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    /// From handing over a commit to its being durable.
    pub(super) delay: Duration,
    /// Says that commits are durable long before they are.
    pub(super) lies: bool,
    durable: Image,
    /// What a lying disk pretends to hold.
    pretended: Option<Image>,
}

/// All documents of a node as its disk holds them. A copy of it is a backup.
#[derive(Clone, Debug, Default)]
pub struct Image {
    documents: BTreeMap<DocumentName, StoredDocument>,
}

#[derive(Clone, Debug, Default)]
struct StoredDocument {
    state: Vec<u8>,
    cells: BTreeMap<Box<str>, Vec<u8>>,
    /// What the state record says, for the oracle to read without decoding it each time.
    vector: Vec<VectorEntry>,
}

/// One document's part of a commit.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) document: DocumentName,
    pub(super) token: PersistToken,
    state: Vec<u8>,
    /// `None` removes.
    cells: Vec<(Box<str>, Option<Vec<u8>>)>,
    vector: Vec<VectorEntry>,
}

impl Change {
    /// What `replica` has to make durable. To be called right after its `Persist`.
    pub(super) fn take(replica: &mut Replica<Heap, CountingRng>) -> Self {
        let (mut cells, mut state) = (Vec::new(), Vec::new());
        let mut record = [0; CellRecord::LEN_MAX];
        let token = replica.take_unsaved(|unsaved| match unsaved {
            Unsaved::Removed(path) => cells.push((path.into(), None)),
            Unsaved::Cell(cell) => {
                let len =
                    CellRecord::encode(&cell, &mut record).expect("the buffer holds the longest record");
                cells.push((cell.path.into(), Some(record[..len].to_vec())));
            }
            Unsaved::Rewrite => unreachable!("heap storage knows what it removed"),
            Unsaved::State(record) => state = record.to_vec(),
        });
        Self {
            document: replica.name().clone(),
            token,
            state,
            cells,
            vector: replica.document().version_vector().iter().collect(),
        }
    }
}

impl Disk {
    pub(super) fn new(delay: Duration) -> Self {
        Self { delay, lies: false, durable: Image::default(), pretended: None }
    }

    /// Makes changes durable, all in one step; a lying disk only says so.
    pub(super) fn commit(&mut self, changes: &[Change]) {
        let image = match self.lies {
            true => self.pretended.get_or_insert_with(|| self.durable.clone()),
            false => &mut self.durable,
        };
        changes.iter().for_each(|change| image.apply(change));
    }

    /// The power is gone: what was not durable never was.
    pub(super) fn cut_power(&mut self) {
        self.pretended = None;
    }

    /// Everything is gone.
    pub(super) fn wipe(&mut self) {
        self.restore(Image::default());
    }

    pub(super) fn restore(&mut self, image: Image) {
        self.pretended = None;
        self.durable = image;
    }

    /// What a reader sees now.
    pub(super) fn image(&self) -> &Image {
        self.pretended.as_ref().unwrap_or(&self.durable)
    }

    /// The time up to which writes of `replica` would survive a power cut now.
    pub(super) fn durable_through(&self, document: &DocumentName, replica: ReplicaId) -> Time {
        let vector = self.durable.documents.get(document).map_or(&[][..], |stored| &stored.vector);
        vector.iter().find(|entry| entry.replica == replica).map_or(Time::ZERO, |entry| entry.time)
    }
}

impl Image {
    /// The documents in it.
    pub fn documents(&self) -> impl Iterator<Item = &DocumentName> {
        self.documents.keys()
    }

    /// Loads a document, or `None` when it is not in the image.
    ///
    /// # Errors
    /// [`RestoreError`] when the records do not add up.
    pub(super) fn load(
        &self,
        document: &DocumentName,
        config: Config,
        rng: CountingRng,
        moment: Moment,
    ) -> Result<Option<Replica<Heap, CountingRng>>, RestoreError> {
        let Some(stored) = self.documents.get(document) else { return Ok(None) };
        let mut cells = Vec::with_capacity(stored.cells.len());
        for (path, record) in &stored.cells {
            let path = Path::new(path).map_err(RestoreError::Path)?;
            cells.push(CellRecord::decode(path, record)?);
        }
        Replica::load(moment, config, rng, &stored.state, cells).map(Some)
    }

    fn apply(&mut self, change: &Change) {
        let stored = self.documents.entry(change.document.clone()).or_default();
        stored.state.clone_from(&change.state);
        stored.vector.clone_from(&change.vector);
        for (path, record) in &change.cells {
            match record {
                Some(record) => drop(stored.cells.insert(path.clone(), record.clone())),
                None => drop(stored.cells.remove(path)),
            }
        }
    }
}
