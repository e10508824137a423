//! Replicas in the store: what the core wants kept goes into the batch, and comes back as a replica.

use std::path::PathBuf;

use crdt_core::{Cell, CellRecord, Config, Heap, Moment, Path, PersistToken, Replica, RestoreError, Unsaved};

use crdt_core::rand_core::Rng;

use crate::{Batch, DocumentCommit, Store, StoreError};

/// A document cannot be loaded. What is on the disk is untouched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The store gave back something that is no document of this version.
    #[error("{}: document {document:?} cannot be read: {cause}; {advice}", .path.display())]
    Record {
        /// The store file.
        path: PathBuf,
        /// The document's name.
        document: String,
        /// What is wrong with it.
        cause: RestoreError,
        /// What to do, which depends on the store's [`Role`](crate::Role).
        advice: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds to `batch` what changed in `replica`, after it asked for it with
/// [`Output::Persist`](crdt_core::Output::Persist). When the batch is committed, give the
/// token to [`Replica::handle_persisted`]. Cost: `[changes]`, and the replica's state record.
pub fn stage<R: Rng>(batch: &mut Batch<'_>, replica: &mut Replica<Heap, R>) -> PersistToken {
    let mut commit = DocumentCommit::new(replica.name().as_str().to_owned(), Vec::new());
    let mut record = [0; CellRecord::LEN_MAX];
    let token = replica.take_unsaved(|unsaved| match unsaved {
        Unsaved::Rewrite => {
            commit.rewrite();
        }
        Unsaved::Removed(path) => {
            commit.remove(path.to_owned());
        }
        Unsaved::Cell(cell) => {
            let len = CellRecord::encode(&cell, &mut record).expect("the buffer holds the longest record");
            commit.put(cell.path.to_owned(), record[..len].to_vec());
        }
        Unsaved::State(state) => {
            commit.meta(state.to_vec());
        }
    });
    batch.push(commit);
    token
}

/// Loads a replica; `None` when there is no document of this name. Cost: time and memory `[cells]`.
///
/// # Errors
/// [`LoadError`]; never a part of a document.
pub fn load<R: Rng>(
    store: &Store,
    name: &str,
    config: Config,
    rng: R,
    moment: Moment,
) -> Result<Option<Replica<Heap, R>>, LoadError> {
    let Some(stored) = store.load(name)? else { return Ok(None) };
    let fail = |cause| LoadError::Record {
        path: store.path().to_owned(),
        document: name.to_owned(),
        cause,
        advice: store.site().advice(),
    };
    let cells = stored.cells.iter().map(|(path, record)| decode(path, record));
    let cells = cells.collect::<Result<Vec<_>, _>>().map_err(fail)?;
    Replica::load(moment, config, rng, &stored.meta, cells).map(Some).map_err(fail)
}

fn decode<'a>(path: &'a str, record: &'a [u8]) -> Result<Cell<'a>, RestoreError> {
    let path = Path::new(path).map_err(RestoreError::Path)?;
    CellRecord::decode(path, record)
}

#[cfg(test)]
mod tests {
    use crdt_core::{CountingRng, DocumentName, Output, Role, Value, Write};

    use super::*;

    #[test]
    fn a_replica_comes_back_as_it_was_saved() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store.redb")).unwrap();
        let name = DocumentName::new("pump").unwrap();
        let mut replica = Replica::<Heap, _>::new(&name, Config::new(Role::Member), CountingRng::new(7));
        let path = |text| Path::new(text).unwrap();
        let save = |replica: &mut Replica<Heap, CountingRng>| {
            let Some(Output::Persist) = replica.poll_output(Moment::new(9), &mut []) else {
                panic!("a change is to be saved");
            };
            let mut batch = Batch::new();
            let token = stage(&mut batch, replica);
            store.commit(&batch).unwrap();
            replica.handle_persisted(token);
        };
        let writes = [Write::set(path("a/x"), 1), Write::set(path("a/y"), 2), Write::set(path("b"), "text")];
        replica.update(Moment::new(1_000), &writes).unwrap();
        save(&mut replica);
        replica.update(Moment::new(2_000), &[Write::delete(path("a"))]).unwrap();
        save(&mut replica);

        let loaded = load(&store, "pump", Config::new(Role::Member), CountingRng::new(8), Moment::new(3_000))
            .unwrap()
            .unwrap();
        assert_eq!(loaded.document(), replica.document());
        assert_eq!(loaded.document().get(path("b")), Some(Value::Str("text")));
        assert_eq!(loaded.id(), replica.id());
        assert!(loaded.is_unverified(), "it may be an old copy");
        assert!(
            load(&store, "other", Config::new(Role::Member), CountingRng::new(8), Moment::new(0))
                .unwrap()
                .is_none()
        );
    }
}
