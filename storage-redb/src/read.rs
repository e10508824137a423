//! The reading half of the store: everything from one commit, verified.

use std::ops::Range;
use std::path::PathBuf;

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable};

use crate::error::{Place, StoreError};
use crate::record::{self, DocumentHead, Root, Seal};
use crate::store::TABLE;

/// A document as it was at one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedDocument {
    /// The metadata of the last commit that named the document.
    pub meta: Vec<u8>,
    /// Path and record of every cell, in byte order of the paths.
    pub cells: Vec<(String, Vec<u8>)>,
}

/// All records as of one commit.
pub(crate) struct Snapshot {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    root: Root,
}

impl Snapshot {
    pub(crate) fn of(database: &Database) -> Result<Self, StoreError> {
        let transaction = database.begin_read().map_err(failed)?;
        let table = transaction.open_table(TABLE).map_err(failed)?;
        let root = read_root(&table)?;
        Ok(Self { table, root })
    }

    pub(crate) fn document(&self, name: &str) -> Result<Option<(DocumentHead, Vec<u8>)>, StoreError> {
        let key = record::document_key(name);
        let Some(value) = self.table.get(key.as_slice()).map_err(failed)? else { return Ok(None) };
        parse_document(name, &key, value.value()).map(|(head, meta)| Some((head, meta.to_vec())))
    }

    pub(crate) fn load(&self, name: &str) -> Result<Option<LoadedDocument>, StoreError> {
        let Some((head, meta)) = self.document(name)? else { return Ok(None) };
        let mut cells = Vec::new();
        let found = self.scan(
            record::cell_keys(head.id),
            |key| {
                let path = String::from_utf8_lossy(record::path_bytes(key)).into_owned();
                Place::Cell { document: name.to_owned(), path }
            },
            |key, payload| {
                cells.push((record::text(record::path_bytes(key))?.to_owned(), payload.to_vec()));
                Some(())
            },
        )?;
        check_seal(head.cells, found, || Place::Cells { document: name.to_owned() })?;
        Ok(Some(LoadedDocument { meta, cells }))
    }

    pub(crate) fn documents(&self) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        let found = self.scan(
            record::document_keys(),
            |key| Place::Meta { document: lossy_name(key) },
            |key, _| {
                names.push(record::text(record::name_bytes(key))?.to_owned());
                Some(())
            },
        )?;
        check_seal(self.root.documents, found, || Place::Store)?;
        Ok(names)
    }

    pub(crate) fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = record::setting_key(name);
        let Some(value) = self.table.get(key.as_slice()).map_err(failed)? else { return Ok(None) };
        match record::verify(&key, value.value()) {
            Some((payload, _)) => Ok(Some(payload.to_vec())),
            None => Err(damaged_setting(name.to_owned())),
        }
    }

    pub(crate) fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut settings = Vec::new();
        let found = self.scan(
            record::setting_keys(),
            |key| Place::Setting { name: lossy_name(key) },
            |key, payload| {
                settings.push((record::text(record::name_bytes(key))?.to_owned(), payload.to_vec()));
                Some(())
            },
        )?;
        check_seal(self.root.settings, found, || Place::Store)?;
        Ok(settings)
    }

    /// Reads the records of a range, in order: key and payload go to `take`, which gives `None` for a bad key. What
    /// they add up to.
    ///
    /// Range and order are checked because redb takes them from its pages, and a page at a wrong place has good
    /// records.
    fn scan(
        &self,
        range: Range<Vec<u8>>,
        place: impl Fn(&[u8]) -> Place,
        mut take: impl FnMut(&[u8], &[u8]) -> Option<()>,
    ) -> Result<Seal, StoreError> {
        let mut found = Seal::default();
        let mut previous: Option<Vec<u8>> = None;
        for entry in self.table.range(range.start.as_slice()..range.end.as_slice()).map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            let key = key.value();
            let (payload, crc) = record::verify(key, value.value())
                .ok_or_else(|| StoreError::damaged(place(key), CHECKSUM))?;
            let ascends = previous.as_deref().is_none_or(|previous| previous < key);
            if !ascends || key < range.start.as_slice() || key >= range.end.as_slice() {
                return Err(StoreError::damaged(place(key), "it is not where it belongs"));
            }
            take(key, payload).ok_or_else(|| StoreError::damaged(place(key), "its name is not UTF-8"))?;
            found.add(crc);
            let previous = previous.get_or_insert_default();
            previous.clear();
            previous.extend_from_slice(key);
        }
        Ok(found)
    }

    /// Checks everything but the cells, which are checked as they are loaded.
    pub(crate) fn verify_index(&self) -> Result<(), StoreError> {
        self.documents()?;
        self.settings()?;
        Ok(())
    }

    pub(crate) fn verify(&self) -> Result<(), StoreError> {
        self.settings()?;
        let mut owned = 0;
        for name in self.documents()? {
            let document = self.load(&name)?.ok_or_else(|| damaged_meta(&name))?;
            owned += document.cells.len();
        }
        let range = record::all_cell_keys();
        let mut stored = 0;
        for entry in self.table.range(range.start.as_slice()..range.end.as_slice()).map_err(failed)? {
            entry.map_err(failed)?;
            stored += 1;
        }
        if stored != owned {
            let detail = format!("it holds {stored} cells, its documents own {owned}");
            return Err(StoreError::damaged(Place::Store, detail));
        }
        Ok(())
    }
}

/// Reads the root record, for a reader or a writer.
pub(crate) fn read_root(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
) -> Result<Root, StoreError> {
    let Some(value) = table.get(record::ROOT_KEY).map_err(failed)? else {
        return Err(StoreError::damaged(Place::Store, "its root record is missing"));
    };
    let Some((payload, _)) = record::verify(record::ROOT_KEY, value.value()) else {
        return Err(StoreError::damaged(Place::Store, "the checksum of its root record does not match"));
    };
    match Root::version(payload) {
        Some(found) if found > record::FORMAT_VERSION => {
            Err(StoreError::NewerFormat { path: PathBuf::new(), found, supported: record::FORMAT_VERSION })
        }
        Some(record::FORMAT_VERSION) => Root::decode(payload)
            .ok_or_else(|| StoreError::damaged(Place::Store, "its root record has a wrong length")),
        version => {
            let version = version.unwrap_or_default();
            Err(StoreError::damaged(Place::Store, format!("there never was a format {version}")))
        }
    }
}

/// Reads a document record: its head and its metadata.
pub(crate) fn parse_document<'v>(
    name: &str,
    key: &[u8],
    value: &'v [u8],
) -> Result<(DocumentHead, &'v [u8]), StoreError> {
    record::verify(key, value)
        .and_then(|(payload, _)| DocumentHead::split(payload))
        .ok_or_else(|| damaged_meta(name))
}

fn check_seal(expected: Seal, found: Seal, place: impl FnOnce() -> Place) -> Result<(), StoreError> {
    if expected == found {
        return Ok(());
    }
    let detail = if expected.records == found.records {
        format!("its {} records are not all of the same commit", found.records)
    } else {
        format!("it has {} records instead of {}", found.records, expected.records)
    };
    Err(StoreError::damaged(place(), detail))
}

fn damaged_meta(name: &str) -> StoreError {
    StoreError::damaged(Place::Meta { document: name.to_owned() }, CHECKSUM)
}

fn damaged_setting(name: String) -> StoreError {
    StoreError::damaged(Place::Setting { name }, CHECKSUM)
}

fn lossy_name(key: &[u8]) -> String {
    String::from_utf8_lossy(record::name_bytes(key)).into_owned()
}

const CHECKSUM: &str = "its checksum does not match";

fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::engine("reading", error)
}
