//! Damage at rest: whatever happened to the file, a read gives what was written or an error, and nothing panics.

use redb::Database;

use crate::batch::Batch;
use crate::error::{Place, StoreError};
use crate::faults::{Disk, Random};
use crate::options::Options;
use crate::record;
use crate::store::TABLE;
use crate::tests::model::{Contents, random_batch};

const PAGE_LEN: usize = 4096;

/// A disk with a store of some hundred cells, and what is in it.
fn filled(closed_in_order: bool) -> (Vec<u8>, Contents) {
    let disk = Disk::new();
    let store = Options::new().open_backend(disk.clone()).unwrap();
    let mut random = Random(11);
    let mut contents = Contents::default();
    for _ in 0..60 {
        let batch = random_batch(&mut random);
        store.commit(&batch).unwrap();
        contents.apply(&batch);
    }
    assert!(contents.cells() > 50);
    let unclosed = disk.image();
    store.close().unwrap();
    (if closed_in_order { disk.image() } else { unclosed }, contents)
}

/// What a store on a damaged disk did.
#[derive(Debug, Default)]
struct Outcomes {
    intact: usize,
    refused: usize,
    /// Read something else than was written: the number that must be 0.
    wrong: Vec<String>,
}

impl Outcomes {
    fn try_image(&mut self, image: Vec<u8>, written: &Contents, case: &str) {
        // An empty disk is a new one, where there is no name that tells otherwise.
        let options = Options::new().create(false);
        let disk = Disk::from_image(image);
        let before = disk.image();
        let opened = options.open_backend(disk.clone());
        if opened.is_err() {
            assert_eq!(disk.image(), before, "what is refused stays as it is: {case}");
        }
        match opened.and_then(|store| Contents::read(&store)) {
            Ok(found) if found == *written => self.intact += 1,
            Ok(_) => self.wrong.push(case.to_owned()),
            Err(_) => self.refused += 1,
        }
    }
}

/// Offsets of the pages that hold anything: flips elsewhere prove nothing.
fn used_pages(image: &[u8]) -> Vec<usize> {
    (0..image.len() / PAGE_LEN)
        .map(|page| page * PAGE_LEN)
        .filter(|&at| image[at..at + PAGE_LEN].iter().any(|&byte| byte != 0))
        .collect()
}

/// Flips one to three bits: half of the time in the page of the header, where most of the meaning is.
fn flip(image: &mut [u8], used: &[usize], random: &mut Random) {
    for _ in 0..=random.below(3) {
        let byte = match random.below(4) {
            0 => random.below(320) as usize,
            _ => used[random.below(used.len() as u64) as usize] + random.below(PAGE_LEN as u64) as usize,
        };
        let bit = random.below(8);
        if (byte, bit) != WHICH_COMMIT {
            image[byte] ^= 1 << bit;
        }
    }
}

/// The bit of redb's header that says which of the two newest commits counts: byte and bit. It has a test of its own.
const WHICH_COMMIT: (usize, u64) = (9, 0);

#[test]
fn flipped_bits_are_never_read_as_data() {
    let mut outcomes = Outcomes::default();
    for closed_in_order in [true, false] {
        let (image, written) = filled(closed_in_order);
        let used = used_pages(&image);
        for seed in 0..1_000 {
            let mut damaged = image.clone();
            flip(&mut damaged, &used, &mut Random(seed));
            let case = format!("closed in order: {closed_in_order}, seed {seed}");
            outcomes.try_image(damaged, &written, &case);
        }
    }
    println!("{outcomes:?}");
    assert!(outcomes.wrong.is_empty(), "{outcomes:?}");
    assert!(outcomes.refused > 500, "{outcomes:?}");
    assert!(outcomes.intact > 100, "{outcomes:?}");
}

/// The one exception in the crate docs. After a stop in order the two commits differ in redb's own books only.
#[test]
fn one_bit_of_a_file_that_was_not_closed_undoes_its_last_commit() {
    for closed_in_order in [true, false] {
        let disk = Disk::new();
        let store = Options::new().open_backend(disk.clone()).unwrap();
        for value in [b"1", b"2"] {
            let mut batch = Batch::new();
            batch.document("d", value).put("a", value).put("b", value);
            store.commit(&batch).unwrap();
        }
        let unclosed = disk.image();
        store.close().unwrap();
        let mut image = if closed_in_order { disk.image() } else { unclosed };
        image[WHICH_COMMIT.0] ^= 1 << WHICH_COMMIT.1;
        let store = Options::new().open_backend(Disk::from_image(image)).unwrap();
        let found = store.load("d").unwrap().unwrap();
        let expected = if closed_in_order { b"2" } else { b"1" };
        assert_eq!(found.meta, expected);
        assert!(found.cells.iter().all(|(_, record)| record == expected), "whole: {found:?}");
    }
}

#[test]
fn truncated_zeroed_and_swapped_pages_are_never_read_as_data() {
    let (image, written) = filled(true);
    let used = used_pages(&image);
    let mut outcomes = Outcomes::default();
    for seed in 0..500 {
        let mut random = Random(seed);
        let mut damaged = image.clone();
        let page = used[random.below(used.len() as u64) as usize];
        let other = used[random.below(used.len() as u64) as usize];
        match seed % 4 {
            0 => damaged.truncate(random.below(image.len() as u64) as usize),
            1 => damaged.truncate(page),
            2 => damaged[page..page + PAGE_LEN].fill(0),
            _ => {
                damaged.copy_within(other..other + PAGE_LEN, page);
                damaged[other..other + PAGE_LEN].copy_from_slice(&image[page..page + PAGE_LEN]);
            }
        }
        outcomes.try_image(damaged, &written, &format!("seed {seed}"));
    }
    println!("{outcomes:?}");
    assert!(outcomes.wrong.is_empty(), "{outcomes:?}");
    assert!(outcomes.refused > 250, "{outcomes:?}");
}

/// Damage that redb's page checksums do not see: it was in the memory from which the page was written.
#[test]
fn a_damaged_record_is_named() {
    let store_with = |change: fn(&mut redb::Table<'_, &[u8], &[u8]>)| {
        let disk = Disk::new();
        let store = Options::new().open_backend(disk.clone()).unwrap();
        let mut batch = Batch::new();
        batch.document("d", b"meta").put("a", b"1").put("b", b"2");
        batch.document("e", b"meta").put("a", b"1");
        batch.set("s", b"value");
        store.commit(&batch).unwrap();
        store.close().unwrap();
        let disk = Disk::from_image(disk.image());
        edit(disk.clone(), change);
        Options::new().open_backend(Disk::from_image(disk.image()))
    };
    let place = |error: StoreError| match error {
        StoreError::Damaged { place, .. } => place,
        other => panic!("{other}"),
    };

    // The store opens: the cell is found when its document is loaded, and the other document is not affected.
    let store = store_with(|table| {
        let key = first_cell_key("b");
        table.insert(key.as_slice(), b"2 but not 2".as_slice()).unwrap();
    })
    .unwrap();
    let found = place(store.load("d").unwrap_err());
    assert_eq!(found, Place::Cell { document: "d".to_owned(), path: "b".to_owned() });
    assert!(store.load("e").unwrap().is_some());
    assert_eq!(place(store.verify().unwrap_err()), found);
    // The document can be written anew, which repairs it.
    let mut batch = Batch::new();
    batch.document("d", b"meta").rewrite().put("b", b"2");
    store.commit(&batch).unwrap();
    assert_eq!(store.load("d").unwrap().unwrap().cells, [("b".to_owned(), b"2".to_vec())]);

    // A cell that is gone has no checksum that could fail: the seal tells.
    let store = store_with(|table| {
        let key = first_cell_key("a");
        table.remove(key.as_slice()).unwrap();
    })
    .unwrap();
    assert_eq!(place(store.load("d").unwrap_err()), Place::Cells { document: "d".to_owned() });

    let meta = store_with(|table| {
        let key = record::document_key("d");
        table.insert(key.as_slice(), b"nonsense".as_slice()).unwrap();
    });
    assert_eq!(place(meta.unwrap_err()), Place::Meta { document: "d".to_owned() });

    let document = store_with(|table| drop(table.remove(record::document_key("d").as_slice()).unwrap()));
    assert_eq!(place(document.unwrap_err()), Place::Store);

    let setting = store_with(|table| {
        table.insert(record::setting_key("s").as_slice(), b"".as_slice()).unwrap();
    });
    assert_eq!(place(setting.unwrap_err()), Place::Setting { name: "s".to_owned() });

    let root = store_with(|table| drop(table.remove(record::ROOT_KEY).unwrap()));
    assert_eq!(place(root.unwrap_err()), Place::Store);
}

/// An old record that comes back has a checksum that is right.
#[test]
fn a_stale_record_is_found() {
    let disk = Disk::new();
    let store = Options::new().open_backend(disk.clone()).unwrap();
    let mut batch = Batch::new();
    batch.document("d", b"meta").put("a", b"old");
    store.commit(&batch).unwrap();
    batch.document("d", b"meta").put("a", b"new");
    store.commit(&batch).unwrap();
    store.close().unwrap();
    let disk = Disk::from_image(disk.image());
    edit(disk.clone(), |table| {
        let key = first_cell_key("a");
        let mut value = b"old".to_vec();
        record::append_checksum(&key, &mut value);
        table.insert(key.as_slice(), value.as_slice()).unwrap();
    });
    let store = Options::new().open_backend(Disk::from_image(disk.image())).unwrap();
    let error = store.load("d").unwrap_err();
    assert!(error.to_string().contains("not all of the same commit"), "{error}");
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let disk = Disk::new();
    Options::new().open_backend(disk.clone()).unwrap().close().unwrap();
    let disk = Disk::from_image(disk.image());
    edit(disk.clone(), |table| {
        let mut value = [&7_u32.to_le_bytes()[..], b"what version 7 put here"].concat();
        record::append_checksum(record::ROOT_KEY, &mut value);
        table.insert(record::ROOT_KEY, value.as_slice()).unwrap();
    });
    let newer = Disk::from_image(disk.image());
    let error = Options::new().open_backend(newer.clone()).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 7, supported: 1, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "the store (storage backend) has format 7, this program reads up to 1; install a newer version"
    );
    assert_eq!(newer.image(), disk.image());
}

/// Pages can change under an open store, where nothing has verified them: an error then, and no more work.
#[test]
fn a_page_that_changes_under_an_open_store_stops_it() {
    let mut errors = 0;
    let (image, written) = filled(true);
    for seed in 0..100 {
        let disk = Disk::from_image(image.clone());
        let store = Options::new().cache(0).open_backend(disk.clone()).unwrap();
        let used = used_pages(&disk.image());
        let mut random = Random(seed);
        for _ in 0..20 {
            let page = used[1 + random.below(used.len() as u64 - 1) as usize] as u64;
            disk.flip_bit(page * 8 + random.below(64 * 8));
        }
        match Contents::read(&store) {
            Ok(found) => assert_eq!(found, written, "seed {seed}"),
            Err(error) => {
                assert!(matches!(error, StoreError::Damaged { place: Place::Store, .. }), "{error}");
                errors += 1;
            }
        }
        let mut batch = Batch::new();
        batch.set("a", b"1");
        // What it acknowledges, it has to give back; and once it has stopped, not even its end touches the file.
        match store.commit(&batch) {
            Ok(()) => {
                assert_eq!(store.setting("a").ok().flatten().as_deref(), Some(&b"1"[..]), "seed {seed}");
            }
            Err(_) => assert!(matches!(store.commit(&batch), Err(StoreError::Stopped { .. }))),
        }
        if store.verify().is_err() {
            let before = disk.image();
            drop(store);
            assert_eq!(disk.image(), before, "seed {seed}");
        }
    }
    assert!(errors > 30, "{errors}");
}

/// The key of a cell of the document that was created first.
fn first_cell_key(path: &str) -> Vec<u8> {
    let mut key = Vec::new();
    record::cell_key(&mut key, record::Root::EMPTY.next_id, path);
    key
}

/// Changes records behind the store's back, with valid page checksums.
fn edit(disk: Disk, change: impl FnOnce(&mut redb::Table<'_, &[u8], &[u8]>)) {
    let database = Database::builder().create_with_backend(disk).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&mut transaction.open_table(TABLE).unwrap());
    transaction.commit().unwrap();
}
