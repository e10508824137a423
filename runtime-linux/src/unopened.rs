//! Documents that are in the store and were not named at the start: nobody syncs them, and what they have not sent is easily
//! forgotten.

use control::ErrorReply;
use crdt_core::{Config, Heap, Limits, Moment, PeerId, Replica, Role, Size};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use storage_redb::{Batch, LoadError, Store, StoreError, load};
use transport_quic::PublicKey;

use crate::arrived::Arrived;

/// A document of the store that is not open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnopenedDocument {
    /// Its name.
    pub document: String,
    /// Cells in it, tombstones included.
    pub cells: usize,
    /// Cells that the aggregator is not known to have on its disk.
    pub unsent_cells: usize,
    /// Bytes of their paths and values.
    pub unsent_bytes: usize,
    /// Why it cannot be read, if it cannot; the numbers are 0 then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

impl UnopenedDocument {
    /// Those of a store that are not among the `open` ones, by name. `aggregator` is who they are to be sent to; without it
    /// the one that they were sent to last counts. One that is damaged does not hide the others. Cost: `[cells]` of all of
    /// them, one document in memory at a time.
    pub(crate) fn all<'a>(
        store: &Store,
        open: impl Iterator<Item = &'a str> + Clone,
        aggregator: Option<PublicKey>,
        rng: &mut ChaCha12Rng,
        moment: Moment,
    ) -> Result<Vec<Self>, StoreError> {
        let names = store.documents()?.into_iter().filter(|name| open.clone().all(|open| open != name));
        Ok(names.map(|document| Self::of(store, document, aggregator, rng, moment)).collect())
    }

    /// Takes one out of a store, in a commit of its own; tells what was in it, or that there was none of this name.
    pub(crate) fn remove(
        store: &Store,
        document: &str,
        aggregator: Option<PublicKey>,
        rng: &mut ChaCha12Rng,
        moment: Moment,
    ) -> Result<Option<Self>, StoreError> {
        if !store.documents()?.iter().any(|stored| stored == document) {
            return Ok(None);
        }
        let removed = Self::of(store, document.to_owned(), aggregator, rng, moment);
        let mut batch = Batch::new();
        batch.remove_document(document);
        Arrived::unstage(document, &mut batch);
        store.commit(&batch)?;
        Ok(Some(removed))
    }

    fn of(
        store: &Store,
        document: String,
        aggregator: Option<PublicKey>,
        rng: &mut ChaCha12Rng,
        moment: Moment,
    ) -> Self {
        let found = load_unopened(store, &document, Limits::default(), rng, moment).and_then(|replica| {
            let arrived = Arrived::load(store, &document)?;
            Ok(replica
                .map(|replica| (replica.document().size().cells, unsent(&replica, arrived, aggregator))))
        });
        let (found, damage) = match found {
            Ok(found) => (found, None),
            Err(error) => (None, Some(ErrorReply::with_sources("", &error).message)),
        };
        let (cells, unsent) = found.unwrap_or_default();
        Self { document, cells, unsent_cells: unsent.cells, unsent_bytes: unsent.bytes, damage }
    }

    /// What a person must know about it: `2 unsent cells in "old", which is not open`. `None` if there is nothing.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let Self { document, unsent_cells, .. } = self;
        match (&self.damage, unsent_cells) {
            (Some(damage), _) => Some(format!("{document:?}, which is not open, cannot be read: {damage}")),
            (None, 0) => None,
            (None, 1) => Some(format!("1 unsent cell in {document:?}, which is not open")),
            (None, n) => Some(format!("{n} unsent cells in {document:?}, which is not open")),
        }
    }
}

/// Cells that the aggregator is not known to have, and the bytes of their paths and payloads.
fn unsent(
    replica: &Replica<Heap, ChaCha12Rng>,
    arrived: Option<Arrived>,
    aggregator: Option<PublicKey>,
) -> Size {
    let key = aggregator.or(arrived.as_ref().map(|arrived| arrived.aggregator));
    let arrived = arrived.filter(|arrived| Some(arrived.aggregator) == key);
    let acked = key.and_then(|key| replica.acknowledged_by(PeerId(key.0)));
    let is_there = |stamp| {
        acked.is_some_and(|acked| acked.covers(stamp))
            || arrived.as_ref().is_some_and(|arrived| arrived.covers(stamp))
    };
    let mut unsent = Size::default();
    for cell in replica.document().changes_since(0).filter(|cell| !is_there(cell.stamp)) {
        unsent.cells += 1;
        unsent.bytes += cell.path.len() + cell.payload.len();
    }
    unsent
}

/// A document of the store as it stands there, or `None` if it has none of this name. Cost: `[cells]`.
pub(crate) fn load_unopened(
    store: &Store,
    name: &str,
    limits: Limits,
    rng: &mut ChaCha12Rng,
    moment: Moment,
) -> Result<Option<Replica<Heap, ChaCha12Rng>>, LoadError> {
    let config = Config { limits, ..Config::new(Role::Member) };
    load(store, name, config, ChaCha12Rng::from_rng(rng), moment)
}
