//! Files that are no store any more, or never were one: what a program must refuse and leave as it is.

use redb::{Database, TableDefinition};

use crate::faults::{Disk, Random};
use crate::record;
use crate::store::TABLE;

/// A file that must be refused.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it is.
    pub name: &'static str,
    /// Its bytes.
    pub content: Vec<u8>,
    /// What the error says of it, among others.
    pub said: &'static str,
}

/// What may lie where a store was: damaged and other forms of this intact one, and other files.
///
/// # Panics
/// When `intact` is no store.
#[must_use]
pub fn refused(intact: &[u8]) -> Vec<Sample> {
    let sample = |name, content: &[u8], said| Sample { name, content: content.to_owned(), said };
    let mut random = Random(7);
    let noise: Vec<u8> = (0..50_000).map(|_| random.below(256) as u8).collect();
    let zeros = vec![0; intact.len()];
    let mut without_pages = zeros.clone();
    without_pages[..4096].copy_from_slice(&intact[..4096]);
    vec![
        sample("empty", b"", "it is empty"),
        sample("one zero", &[0], "all of its 1 bytes are zero"),
        sample("zeros", &zeros, "bytes are zero"),
        sample("the first page", &intact[..4096], "damaged"),
        sample("the first half", &intact[..intact.len() / 2], "damaged"),
        sample("zeros behind the first page", &without_pages, "damaged"),
        sample("zeros before the second half", &[&zeros[4096..], &intact[..4096]].concat(), "is not a store"),
        sample("noise", &noise, "is not a store"),
        sample("a text", b"# where the pump is\nsite = 7\n", "is not a store"),
        sample("the start of redb's magic number", b"redb", "is not a store"),
        sample("a database of another program", &foreign(true), "it is a redb file with 1 other tables"),
        sample("a database without tables", &foreign(false), "it is a redb file with no tables"),
        sample("a newer store", &newer(intact), "has format 7, this program reads up to 1"),
    ]
}

fn foreign(with_table: bool) -> Vec<u8> {
    changed(Disk::new(), |database| {
        if with_table {
            let transaction = database.begin_write().expect("it is open");
            let table = TableDefinition::<u64, u64>::new("foreign");
            transaction.open_table(table).expect("a new table").insert(1, 2).expect("a disk in memory");
            transaction.commit().expect("a disk in memory");
        }
    })
}

fn newer(intact: &[u8]) -> Vec<u8> {
    changed(Disk::from_image(intact.to_owned()), |database| {
        let mut value = [&7_u32.to_le_bytes()[..], b"what version 7 put here"].concat();
        record::append_checksum(record::ROOT_KEY, &mut value);
        let transaction = database.begin_write().expect("it is open");
        let mut table = transaction.open_table(TABLE).expect("a store");
        table.insert(record::ROOT_KEY, value.as_slice()).expect("a disk in memory");
        drop(table);
        transaction.commit().expect("a disk in memory");
    })
}

/// The image of a disk after redb has changed it.
fn changed(disk: Disk, change: impl FnOnce(&Database)) -> Vec<u8> {
    let database = Database::builder().create_with_backend(disk.clone()).expect("a disk in memory");
    change(&database);
    drop(database);
    disk.image()
}
