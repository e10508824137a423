//! What can lie at a path, and what the store says about it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use redb::{Database, TableDefinition};

use crate::batch::Batch;
use crate::error::StoreError;
use crate::options::Options;
use crate::store::Store;

fn with_setting(path: &Path) {
    let store = Store::open(path).unwrap();
    let mut batch = Batch::new();
    batch.set("a", b"1");
    store.commit(&batch).unwrap();
    store.close().unwrap();
}

#[test]
fn a_new_store_is_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    with_setting(&path);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let store = Store::open_existing(&path).unwrap();
    assert_eq!(store.setting("a").unwrap().as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_missing_store_or_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let error = Store::open_existing(&path).unwrap_err();
    assert!(matches!(&error, StoreError::Missing { path: named } if *named == path), "{error}");
    assert!(!path.exists(), "looking must not create");
    fs::write(&path, b"").unwrap();
    assert!(matches!(Store::open_existing(&path), Err(StoreError::Missing { .. })));
    let nowhere = directory.path().join("no/store.redb");
    assert!(matches!(Store::open(&nowhere), Err(StoreError::Missing { .. })));
}

#[test]
fn a_second_open_is_refused_while_the_first_lives() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let store = Store::open(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("is open in another process"), "{error}");
    drop(store);
    Store::open(&path).unwrap();
}

/// Started again by the next test, in a process of its own.
#[test]
fn second_process() {
    let Ok(path) = std::env::var(SECOND_PROCESS) else { return };
    let error = Store::open(Path::new(&path)).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    println!("refused: {error}");
}

const SECOND_PROCESS: &str = "STORAGE_REDB_SECOND_PROCESS";

#[test]
fn a_second_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let store = Store::open(&path).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::opening::second_process", "--nocapture"])
        .env(SECOND_PROCESS, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("refused: "), "{said}");
    drop(store);
}

#[test]
fn what_is_no_store_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    assert!(error.to_string().contains("is not a store: it is a directory"), "{error}");

    let path = directory.path().join("file");
    for content in [&b"a"[..], b"just some text that somebody wrote", &[0xff; 9000], b"redb but not quite"] {
        fs::write(&path, content).unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }

    fs::remove_file(&path).unwrap();
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("foreign")).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Store::open(&path).unwrap_err();
    assert!(error.to_string().contains("it is a redb file with 1 other tables"), "{error}");
}

#[test]
fn a_creation_that_was_cut_short_is_done_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let cut_short = [&b"redb"[..], &[0; 9000]].concat();
    for content in [&b""[..], b"red", &[0; 5], &[0; 9000], &cut_short] {
        fs::write(&path, content).unwrap();
        with_setting(&path);
        fs::remove_file(&path).unwrap();
    }
    // One byte of data behind the header, and it is no longer ours to empty.
    let mut data = cut_short;
    data[8000] = 1;
    fs::write(&path, &data).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::NotAStore { .. })));
    assert_eq!(fs::read(&path).unwrap(), data);
}

#[test]
fn a_file_without_permission_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    with_setting(&path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    match Options::new().open(&path) {
        Err(error) => {
            assert!(matches!(error, StoreError::Permission { .. }), "{error}");
            assert!(error.to_string().contains("no permission to read and write"), "{error}");
        }
        // The superuser may open anything; then the mapping of the error is all there is to test.
        Ok(_) => {
            let denied = std::io::ErrorKind::PermissionDenied.into();
            assert!(matches!(crate::options::access(&path, denied), StoreError::Permission { .. }));
        }
    }
}
