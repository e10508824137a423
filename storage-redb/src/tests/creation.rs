//! How a store comes to be: after a power cut at each step, beside other processes, and marked with its role.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::batch::Batch;
use crate::creation;
use crate::error::StoreError;
use crate::faults::Disk;
use crate::options::Options;
use crate::role::Role;
use crate::samples;
use crate::store::Store;

const PUMP: Role = Role { name: "pump", known_by: &["pump/key"], after_damage: "buy a new pump" };
const VALVE: Role = Role { name: "valve", known_by: &["valve/key"], after_damage: "turn it" };

/// What a new store holds, as the programs' stores hold their keys.
fn options(key: &[u8]) -> Options {
    let mut initial = Batch::new();
    initial.set("key", key.to_vec());
    Options::new().role(PUMP).initial(initial)
}

fn key(store: &Store) -> Vec<u8> {
    store.setting("key").unwrap().unwrap()
}

/// The names in a directory, in order.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

struct Directory {
    _temporary: tempfile::TempDir,
    path: PathBuf,
    store: PathBuf,
    new: PathBuf,
}

fn directory() -> Directory {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().canonicalize().unwrap();
    let (store, new) = (path.join("store.redb"), path.join("store.redb.unfinished"));
    Directory { _temporary: temporary, path, store, new }
}

#[test]
fn a_new_store_is_whole_and_says_that_it_is_new() {
    let at = directory();
    let store = options(b"1").open(&at.store).unwrap();
    assert!(store.is_new());
    assert_eq!(store.path(), at.store);
    assert_eq!(key(&store), b"1");
    assert_eq!(names(&at.path), ["store.redb"], "nothing is left of its creation, while it is open");
    drop(store);
    let store = options(b"2").open(&at.store).unwrap();
    assert!(!store.is_new());
    assert_eq!(key(&store), b"1");
}

/// When the store gets its name all of it is durable: no power cut then makes anything else of it.
#[test]
fn nothing_of_a_new_store_is_under_way_when_it_gets_its_name() {
    let disk = Disk::new();
    let store = options(b"1").open_backend(disk.clone()).unwrap();
    for seed in 0..200 {
        let image = disk.crash(seed);
        assert_eq!(image, disk.image());
        let found = options(b"2").open_backend(Disk::from_image(image)).unwrap();
        assert_eq!((key(&found), found.is_new()), (b"1".to_vec(), false));
    }
    drop(store);
}

/// All that a power cut can leave of the unfinished file: whatever it is, it is no store, and makes way for one.
#[test]
fn a_creation_that_was_cut_short_begins_anew() {
    let disk = Disk::new();
    disk.record();
    drop(options(b"lost").open_backend(disk.clone()).unwrap());
    let log = disk.take_log();
    let replay = Disk::new();
    let mut tried = 0;
    for (number, operation) in log.iter().enumerate() {
        for seed in 0..3 {
            let at = directory();
            fs::write(&at.new, replay.crash(number as u64 * 3 + seed)).unwrap();
            // Only who may create a store takes the leftover away.
            assert!(matches!(options(b"0").create(false).open(&at.store), Err(StoreError::Missing { .. })));
            assert_eq!(names(&at.path), ["store.redb.unfinished"]);
            let store = options(b"1").open(&at.store).unwrap();
            assert_eq!((key(&store), store.is_new()), (b"1".to_vec(), true));
            assert_eq!(names(&at.path), ["store.redb"]);
            tried += 1;
        }
        replay.apply(operation);
    }
    assert!(tried > 20, "{tried}");
}

/// The power went after the store got its name: it is a store with a second name, or with none.
#[test]
fn a_store_that_has_its_name_stays() {
    let at = directory();
    drop(options(b"1").open(&at.store).unwrap());
    fs::hard_link(&at.store, &at.new).unwrap();
    let store = options(b"2").open(&at.store).unwrap();
    assert_eq!((key(&store), store.is_new()), (b"1".to_vec(), false));
    assert_eq!(names(&at.path), ["store.redb"]);
    drop(store);

    // What another creation left behind goes too.
    fs::write(&at.new, b"half of a store").unwrap();
    let store = options(b"2").create(false).open(&at.store).unwrap();
    assert_eq!((key(&store), names(&at.path)), (b"1".to_vec(), vec!["store.redb".to_owned()]));
}

/// The second name of a store that somebody has moved away in the meantime: its content is not ours to empty.
#[test]
fn a_leftover_that_is_a_moved_store_is_not_written_over() {
    let at = directory();
    drop(options(b"1").open(&at.store).unwrap());
    fs::hard_link(&at.store, &at.new).unwrap();
    let moved = at.path.join("moved.redb");
    fs::rename(&at.store, &moved).unwrap();
    let store = options(b"2").open(&at.store).unwrap();
    assert_eq!((key(&store), store.is_new()), (b"2".to_vec(), true));
    assert_eq!(key(&options(b"3").open(&moved).unwrap()), b"1");
}

/// A store that is being created has only its other name, which is locked: it is in use, for everybody.
#[test]
fn a_creation_under_way_is_left_alone() {
    let at = directory();
    let other = Store::open(&at.new).unwrap();
    for options in [options(b"1"), options(b"1").create(false)] {
        let error = options.open(&at.store).unwrap_err();
        assert!(matches!(&error, StoreError::InUse { path } if *path == at.store), "{error}");
    }
    drop(other);
    assert!(at.new.exists() && !at.store.exists());
}

#[test]
fn of_many_that_create_a_store_at_once_one_wins() {
    for _ in 0..30 {
        let at = directory();
        let store = &at.store;
        let opened: Vec<_> = std::thread::scope(|scope| {
            let open = |number: u8| move || options(&[number]).open(store);
            let threads: Vec<_> = (0..8).map(|number| scope.spawn(open(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut winners = 0;
        for opened in &opened {
            match opened {
                Ok(store) => {
                    assert!(store.is_new(), "nobody has closed it");
                    winners += 1;
                }
                Err(error) => assert!(matches!(error, StoreError::InUse { .. }), "{error}"),
            }
        }
        assert_eq!(winners, 1, "{opened:?}");
        assert_eq!(names(&at.path), ["store.redb"]);
    }
}

#[test]
fn the_last_part_of_a_directory_is_made_and_goes_again_if_nothing_comes_of_it() {
    let at = directory();
    let store = at.path.join("pump/store.redb");
    assert!(matches!(options(b"1").create(false).open(&store), Err(StoreError::Missing { .. })));
    let mut too_long = Batch::new();
    too_long.set("n".repeat(2000), b"");
    let failing = Options::new().initial(too_long);
    assert!(matches!(failing.open(&store), Err(StoreError::TooLong { .. })));
    assert_eq!(names(&at.path), Vec::<String>::new(), "nothing is left behind");
    assert!(options(b"1").open(&store).unwrap().is_new());
    assert!(matches!(failing.open(&at.store), Err(StoreError::TooLong { .. })));
    assert_eq!(names(&at.path), ["pump"]);
}

#[test]
fn a_store_of_another_role_is_refused_and_stays_as_it_is() {
    let at = directory();
    drop(options(b"1").open(&at.store).unwrap());
    let before = fs::read(&at.store).unwrap();
    let error = Options::new().role(VALVE).open(&at.store).unwrap_err();
    let path = at.store.display();
    assert_eq!(
        error.to_string(),
        format!(
            "{path} is a store of the program \"pump\", not of \"valve\": use \"pump\" for it, or give \"valve\" \
             another path"
        )
    );
    assert_eq!(fs::read(&at.store).unwrap(), before);
    assert_eq!(key(&options(b"2").open(&at.store).unwrap()), b"1");
}

#[test]
fn a_store_without_a_mark_is_known_by_its_settings_or_refused() {
    let at = directory();
    let mut batch = Batch::new();
    batch.set("key", b"1");
    Store::open(&at.store).unwrap().commit(&batch).unwrap();
    let before = fs::read(&at.store).unwrap();
    let error = options(b"2").open(&at.store).unwrap_err();
    assert!(matches!(error, StoreError::Unmarked { wanted: "pump", .. }), "{error}");
    assert_eq!(fs::read(&at.store).unwrap(), before);

    batch.set("pump/key", b"1");
    Store::open(&at.store).unwrap().commit(&batch).unwrap();
    assert!(matches!(Options::new().role(VALVE).open(&at.store), Err(StoreError::Unmarked { .. })));
    assert_eq!(key(&options(b"2").open(&at.store).unwrap()), b"1");
    assert!(
        matches!(Options::new().role(VALVE).open(&at.store), Err(StoreError::OtherRole { .. })),
        "marked"
    );
}

#[test]
fn damage_is_told_with_the_advice_of_the_role_and_nothing_is_changed() {
    let at = directory();
    drop(options(b"1").open(&at.store).unwrap());
    let intact = fs::read(&at.store).unwrap();
    for sample in samples::refused(&intact) {
        fs::write(&at.store, &sample.content).unwrap();
        for options in [options(b"2"), options(b"2").create(false)] {
            let error = options.open(&at.store).unwrap_err().to_string();
            assert!(error.contains(sample.said) && error.contains(at.store.to_str().unwrap()), "{error}");
            let is_newer = error.contains("install a newer version");
            assert!(is_newer || error.contains("buy a new pump"), "{}: {error}", sample.name);
            assert_eq!(fs::read(&at.store).unwrap(), sample.content, "{}: {error}", sample.name);
            assert_eq!(names(&at.path), ["store.redb"]);
        }
    }
}

/// A file system without second names, such as FAT: a store gets its name all the same, and takes none away.
#[test]
fn a_name_is_given_where_files_have_one_only() {
    let at = directory();
    let refuse = |_: &Path, _: &Path| Err(io::ErrorKind::PermissionDenied.into());
    fs::write(&at.new, "new").unwrap();
    let held = fs::File::open(&at.new).unwrap();
    assert!(creation::give_name(&at.new, &at.store, &held, refuse).unwrap());
    assert_eq!(
        (names(&at.path), fs::read_to_string(&at.store).unwrap()),
        (vec!["store.redb".to_owned()], "new".to_owned())
    );

    // There is a store in the meantime, or the file is another one than the one that was filled.
    fs::write(&at.new, "newer").unwrap();
    assert!(!creation::give_name(&at.new, &at.store, &held, refuse).unwrap());
    let held = fs::File::open(&at.new).unwrap();
    assert!(!creation::give_name(&at.new, &at.store, &held, refuse).unwrap());
    assert_eq!(fs::read_to_string(&at.store).unwrap(), "new");
}
