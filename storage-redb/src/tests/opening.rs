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
    let nowhere = directory.path().join("no/where/store.redb");
    let error = Store::open(&nowhere).unwrap_err();
    assert!(matches!(&error, StoreError::Directory { path, .. } if path.ends_with("no/where")), "{error}");
    let below_a_file = directory.path().join("file/store.redb");
    fs::write(directory.path().join("file"), b"").unwrap();
    for opened in [Store::open(&below_a_file), Store::open_existing(&below_a_file)] {
        assert!(matches!(opened, Err(StoreError::Directory { .. })), "{opened:?}");
    }
}

#[test]
fn errors_name_the_full_path() {
    let directory = tempfile::tempdir().unwrap();
    let real = directory.path().canonicalize().unwrap().join("real");
    fs::create_dir(&real).unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let error = Store::open_existing(&link.join("store.redb")).unwrap_err();
    assert!(error.to_string().contains(&*real.join("store.redb").to_string_lossy()), "{error}");
    // A link to a file that is elsewhere, which may be on a disk that is not mounted.
    std::os::unix::fs::symlink("elsewhere", real.join("store.redb")).unwrap();
    let error = Store::open(&link.join("store.redb")).unwrap_err();
    assert!(error.to_string().contains("it is a link to elsewhere, which does not exist"), "{error}");
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
    let zeros = [&b"redb"[..], &[0; 9000]].concat();
    for (content, reason) in [
        (&b""[..], "it is empty"),
        (b"a", "it starts with [61],"),
        (b"just some text that somebody wrote", "a store starts with"),
        (&[0xff; 9000], "a store starts with"),
        (b"redb but not quite", "a store starts with"),
        (&zeros, "a store starts with"),
        (&[0], "all of its 1 bytes are zero"),
        (&[0; 9000], "all of its 9000 bytes are zero"),
    ] {
        fs::write(&path, content).unwrap();
        for opened in [Store::open(&path), Store::open_existing(&path)] {
            let error = opened.unwrap_err();
            assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
            assert!(error.to_string().contains(reason), "{error}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    fs::remove_file(&path).unwrap();
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("foreign")).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let before = fs::read(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(error.to_string().contains("it is a redb file with 1 other tables"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::remove_file(&path).unwrap();
    Database::create(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(error.to_string().contains("it is a redb file with no tables"), "{error}");
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
            assert!(matches!(crate::creation::access(denied), StoreError::Permission { .. }));
        }
    }
}
