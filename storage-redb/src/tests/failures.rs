//! Disks that fill up or break: a typed error, nothing acknowledged that is not on the disk, and a way on.

use std::error::Error;

use crate::batch::Batch;
use crate::error::StoreError;
use crate::faults::{Disk, Failure, Random};
use crate::limits::{NAME_LEN_MAX, RECORD_LEN_MAX};
use crate::options::Options;
use crate::store::Store;
use crate::tests::model::{Contents, random_batch};

fn large(name: &str) -> Batch<'static> {
    let mut batch = Batch::new();
    batch.document(name.to_owned(), b"meta").put("blob", vec![7; 1 << 20]);
    batch
}

#[test]
fn a_full_disk_is_named_and_the_store_stops() {
    let disk = Disk::new();
    let store = Options::new().open_backend(disk.clone()).unwrap();
    let mut small = Batch::new();
    small.set("a", b"1");
    store.commit(&small).unwrap();

    disk.fail_after(0, Failure::Full);
    let error = store.commit(&large("d")).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "no space left on the disk while writing (storage backend); free some space and open the store again"
    );
    assert!(error.source().is_some());
    for error in [store.commit(&small).unwrap_err(), store.setting("a").unwrap_err()] {
        assert!(matches!(error, StoreError::Stopped { .. }), "{error}");
        assert!(error.to_string().contains("no space left"), "the cause is named: {error}");
    }
    drop(store);

    // The same disk, still full: what was acknowledged is there.
    let disk = Disk::from_image(disk.image());
    disk.fail_after(0, Failure::Full);
    let store = Options::new().open_backend(disk.clone()).unwrap();
    assert_eq!(store.setting("a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(store.documents().unwrap(), Vec::<String>::new());
    drop(store);
    // And with some space again, it goes on.
    let store = Options::new().open_backend(Disk::from_image(disk.image())).unwrap();
    store.commit(&large("d")).unwrap();
    assert_eq!(store.load("d").unwrap().unwrap().cells[0].1.len(), 1 << 20);
}

fn new_store() -> Vec<u8> {
    let disk = Disk::new();
    Options::new().open_backend(disk.clone()).unwrap().close().unwrap();
    disk.image()
}

/// Fails from every operation of a workload on, in each way; then the power is cut too.
#[test]
fn nothing_acknowledged_is_lost_when_the_disk_fails_at_any_operation() {
    let mut stopped = 0;
    for failure in [Failure::Broken, Failure::Full, Failure::ReadOnly] {
        for after in 0..70 {
            let disk = Disk::from_image(new_store());
            disk.fail_after(after, failure);
            let mut states = vec![Contents::default()];
            let mut failed = 0;
            if let Ok(store) = Options::new().open_backend(disk.clone()) {
                let mut random = Random(3);
                for _ in 0..8 {
                    let mut next = states[states.len() - 1].clone();
                    let mut batch = random_batch(&mut random);
                    batch.set("blob", vec![random.below(256) as u8; 60_000 * states.len()]);
                    next.apply(&batch);
                    states.push(next);
                    if let Err(error) = store.commit(&batch) {
                        assert!(
                            matches!(error, StoreError::Io { .. } | StoreError::Full { .. }),
                            "{failure:?} after {after}: {error}"
                        );
                        assert!(matches!(store.commit(&batch), Err(StoreError::Stopped { .. })));
                        failed = 1;
                        break;
                    }
                }
            }
            stopped += failed;
            disk.repair();
            for seed in 0..3 {
                let store = Options::new().open_backend(Disk::from_image(disk.crash(seed))).unwrap();
                let found = Contents::read(&store).unwrap();
                // The last state is the one that failed, or the last one acknowledged if none did.
                assert!(
                    states[states.len().saturating_sub(2)..].contains(&found),
                    "{failure:?} after {after}"
                );
            }
        }
    }
    assert!((50..210).contains(&stopped), "{stopped}");
}

#[test]
fn what_is_too_long_is_refused_before_anything_is_written() {
    let disk = Disk::new();
    let store = Options::new().open_backend(disk.clone()).unwrap();
    let before = disk.operations();
    let name = "n".repeat(NAME_LEN_MAX + 1);
    let mut batches = vec![Batch::new(); 7];
    batches[0].document(&name, b"");
    batches[1].document("d", b"").put("fits", b"1").put(&name, b"");
    batches[2].document("d", b"").put("p", vec![0; RECORD_LEN_MAX + 1]);
    batches[3].document("d", vec![0; RECORD_LEN_MAX + 1]);
    batches[4].set(&name, b"");
    batches[5].unset(&name);
    batches[6].remove_document(&name);
    for batch in &batches {
        let error = store.commit(batch).unwrap_err();
        assert!(matches!(error, StoreError::TooLong { .. }), "{error}");
    }
    assert_eq!(
        store.commit(&batches[0]).unwrap_err().to_string(),
        "document name has 1025 bytes, the limit is 1024; nothing of the batch was written"
    );
    assert_eq!(disk.operations(), before);
    // The longest that is allowed, on a store that goes on as if nothing had been.
    let name = "n".repeat(NAME_LEN_MAX);
    let mut batch = Batch::new();
    batch.document(&name, b"").put(&name, b"");
    store.commit(&batch).unwrap();
    assert_eq!(store.documents().unwrap(), std::slice::from_ref(&name));
    assert!(store.remove_document(&name).unwrap());
    assert!(!store.remove_document(&name).unwrap());
    assert_eq!(store.load(&name).unwrap(), None);
}

#[test]
fn an_empty_batch_costs_nothing() {
    let disk = Disk::new();
    let store = Options::new().open_backend(disk.clone()).unwrap();
    let before = disk.operations();
    store.commit(&Batch::new()).unwrap();
    assert_eq!(disk.operations(), before);
}

#[test]
fn random_batches_give_what_the_model_gives() {
    let mut disk = Disk::new();
    let mut contents = Contents::default();
    let mut random = Random(42);
    for _ in 0..6 {
        let store = Options::new().open_backend(disk.clone()).unwrap();
        for _ in 0..50 {
            let batch = random_batch(&mut random);
            store.commit(&batch).unwrap();
            contents.apply(&batch);
            assert_eq!(Contents::read(&store).unwrap(), contents);
        }
        store.close().unwrap();
        disk = Disk::from_image(disk.image());
    }
}

#[test]
fn settings_are_found_by_prefix() {
    let store: Store = Options::new().open_backend(Disk::new()).unwrap();
    let mut batch = Batch::new();
    batch.set("allow/1", b"a").set("allow/2", b"b").set("allowed", b"no").set("reset", b"").unset("never");
    store.commit(&batch).unwrap();
    let found = store.settings_with_prefix("allow/").unwrap();
    assert_eq!(found, [("allow/1".to_owned(), b"a".to_vec()), ("allow/2".to_owned(), b"b".to_vec())]);
    assert_eq!(store.setting("reset").unwrap(), Some(Vec::new()));
    assert_eq!(store.setting("never").unwrap(), None);
    assert_eq!(store.settings_with_prefix("").unwrap().len(), 4);
}
