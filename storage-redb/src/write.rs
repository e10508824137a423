//! The writing half of the store: one batch is one redb transaction.

use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, WriteTransaction};

use crate::batch::{Batch, Change, DocumentCommit};
use crate::error::{Place, StoreError};
use crate::limits::{NAME_LEN_MAX, RECORD_LEN_MAX, check_len};
use crate::read::{parse_document, read_root};
use crate::record::{self, DocumentHead, InternalId, Root, Seal};
use crate::store::TABLE;

/// Checks a batch before anything of it is written.
pub(crate) fn check_limits(batch: &Batch<'_>) -> Result<(), StoreError> {
    for change in &batch.changes {
        match change {
            Change::Document(document) => {
                check_len("document name", document.name.len(), NAME_LEN_MAX)?;
                check_len("metadata", document.meta.len(), RECORD_LEN_MAX)?;
                for (path, record) in &document.cells {
                    check_len("path", path.len(), NAME_LEN_MAX)?;
                    check_len("record", record.as_ref().map_or(0, |record| record.len()), RECORD_LEN_MAX)?;
                }
            }
            Change::RemoveDocument(name) => check_len("document name", name.len(), NAME_LEN_MAX)?,
            Change::RemoveSetting(name) => check_len("setting name", name.len(), NAME_LEN_MAX)?,
            Change::Setting { name, value } => {
                check_len("setting name", name.len(), NAME_LEN_MAX)?;
                check_len("setting", value.len(), RECORD_LEN_MAX)?;
            }
        }
    }
    Ok(())
}

/// Writes a batch and waits until it is on the disk.
pub(crate) fn commit(database: &Database, batch: &Batch<'_>) -> Result<(), StoreError> {
    if batch.is_empty() {
        return Ok(());
    }
    let transaction = begin(database)?;
    apply(&transaction, batch)?;
    transaction.commit().map_err(failed)
}

/// Makes a new database a store that holds a batch.
pub(crate) fn create(database: &Database, batch: &Batch<'_>) -> Result<(), StoreError> {
    let transaction = begin(database)?;
    put_root(&mut transaction.open_table(TABLE).map_err(failed)?, &Root::EMPTY)?;
    apply(&transaction, batch)?;
    transaction.commit().map_err(failed)
}

/// Whether a database has the table of a store.
pub(crate) fn check_table(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_read().map_err(failed)?;
    match transaction.open_table(TABLE) {
        Ok(_) => Ok(()),
        Err(redb::TableError::TableDoesNotExist(_)) => {
            let tables = transaction.list_tables().map_err(failed)?.count();
            let multimaps = transaction.list_multimap_tables().map_err(failed)?.count();
            let others = match tables + multimaps {
                0 => "no tables".to_owned(),
                others => format!("{others} other tables"),
            };
            Err(StoreError::not_a_store(format!("it is a redb file with {others}")))
        }
        Err(error) => Err(failed(error)),
    }
}

fn apply(transaction: &WriteTransaction, batch: &Batch<'_>) -> Result<(), StoreError> {
    let mut writer = Writer::new(transaction)?;
    for change in &batch.changes {
        match change {
            Change::Document(document) => writer.document(document)?,
            Change::RemoveDocument(name) => writer.remove_document(name)?,
            Change::RemoveSetting(name) => writer.setting(name, None)?,
            Change::Setting { name, value } => writer.setting(name, Some(value))?,
        }
    }
    writer.finish()
}

fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction.set_durability(Durability::Immediate).map_err(failed)?;
    // One sync more than redb's default, which after a crash takes the newest commit whose checksums match: there, a
    // damaged page of an acknowledged commit looks like a commit that never finished, and silently undoes it.
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

type Records<'t> = Table<'t, &'static [u8], &'static [u8]>;

/// The table in one write transaction, with the seals kept in step.
struct Writer<'t> {
    table: Records<'t>,
    root: Root,
    /// Buffers that the loops over cells use again.
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<'t> Writer<'t> {
    fn new(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        let table = transaction.open_table(TABLE).map_err(failed)?;
        let root = read_root(&table)?;
        Ok(Self { table, root, key: Vec::new(), value: Vec::new() })
    }

    fn document(&mut self, document: &DocumentCommit<'_>) -> Result<(), StoreError> {
        let key = record::document_key(&document.name);
        let mut head = match self.head(&document.name, &key)? {
            Some(head) => head,
            None => DocumentHead { id: self.new_id()?, cells: Seal::default() },
        };
        if document.rewrite {
            self.drop_cells(head.id)?;
            head.cells = Seal::default();
        }
        for (path, record) in &document.cells {
            record::cell_key(&mut self.key, head.id, path);
            self.value.clear();
            let carried = match record {
                Some(record) => {
                    self.value.extend_from_slice(record);
                    head.cells.add(record::append_checksum(&self.key, &mut self.value));
                    put(&mut self.table, &self.key, &self.value)?
                }
                None => take(&mut self.table, &self.key)?,
            };
            match carried {
                Carried::Checksum(crc) => head.cells.remove(crc),
                Carried::Nothing => {}
                Carried::TooShort => {
                    let place = Place::Cell { document: document.name.to_string(), path: path.to_string() };
                    return Err(StoreError::damaged(place, "it is shorter than its checksum"));
                }
            }
        }
        let mut value = head.encode(&document.meta);
        self.root.documents.add(record::append_checksum(&key, &mut value));
        if let Carried::Checksum(crc) = put(&mut self.table, &key, &value)? {
            self.root.documents.remove(crc);
        }
        Ok(())
    }

    fn remove_document(&mut self, name: &str) -> Result<(), StoreError> {
        let key = record::document_key(name);
        let Some(head) = self.head(name, &key)? else { return Ok(()) };
        self.drop_cells(head.id)?;
        if let Carried::Checksum(crc) = take(&mut self.table, &key)? {
            self.root.documents.remove(crc);
        }
        Ok(())
    }

    fn setting(&mut self, name: &str, payload: Option<&[u8]>) -> Result<(), StoreError> {
        let key = record::setting_key(name);
        let carried = match payload {
            Some(payload) => {
                self.value.clear();
                self.value.extend_from_slice(payload);
                self.root.settings.add(record::append_checksum(&key, &mut self.value));
                put(&mut self.table, &key, &self.value)?
            }
            None => take(&mut self.table, &key)?,
        };
        match carried {
            Carried::Checksum(crc) => self.root.settings.remove(crc),
            Carried::Nothing => {}
            Carried::TooShort => {
                let place = Place::Setting { name: name.to_owned() };
                return Err(StoreError::damaged(place, "it is shorter than its checksum"));
            }
        }
        Ok(())
    }

    /// Writes the root record, which closes the books of the transaction.
    fn finish(mut self) -> Result<(), StoreError> {
        put_root(&mut self.table, &self.root)
    }

    fn head(&self, name: &str, key: &[u8]) -> Result<Option<DocumentHead>, StoreError> {
        match self.table.get(key).map_err(failed)? {
            Some(value) => parse_document(name, key, value.value()).map(|(head, _)| Some(head)),
            None => Ok(None),
        }
    }

    fn new_id(&mut self) -> Result<InternalId, StoreError> {
        let id = self.root.next_id;
        self.root.next_id =
            id.next().ok_or_else(|| StoreError::damaged(Place::Store, "it has no internal id left"))?;
        Ok(id)
    }

    fn drop_cells(&mut self, id: InternalId) -> Result<(), StoreError> {
        let range = record::cell_keys(id);
        self.table.retain_in(range.start.as_slice()..range.end.as_slice(), |_, _| false).map_err(failed)
    }
}

/// The checksum that a replaced or removed record carried; it leaves the seal with the record.
enum Carried {
    Checksum(u32),
    Nothing,
    TooShort,
}

impl Carried {
    fn of(value: Option<&[u8]>) -> Self {
        match value.map(record::carried_checksum) {
            Some(Some(crc)) => Self::Checksum(crc),
            Some(None) => Self::TooShort,
            None => Self::Nothing,
        }
    }
}

fn put(table: &mut Records<'_>, key: &[u8], value: &[u8]) -> Result<Carried, StoreError> {
    let old = table.insert(key, value).map_err(failed)?;
    Ok(Carried::of(old.as_ref().map(redb::AccessGuard::value)))
}

fn take(table: &mut Records<'_>, key: &[u8]) -> Result<Carried, StoreError> {
    let old = table.remove(key).map_err(failed)?;
    Ok(Carried::of(old.as_ref().map(redb::AccessGuard::value)))
}

fn put_root(table: &mut Records<'_>, root: &Root) -> Result<(), StoreError> {
    let mut value = root.encode().to_vec();
    record::append_checksum(record::ROOT_KEY, &mut value);
    table.insert(record::ROOT_KEY, value.as_slice()).map_err(failed)?;
    Ok(())
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::engine("writing", error)
}
