//! Power cuts at every operation on the disk.

use crate::batch::Batch;
use crate::error::StoreError;
use crate::faults::{Disk, Operation, Random};
use crate::options::Options;
use crate::store::Store;
use crate::tests::model::{Contents, random_batch};

/// What a workload did to the disk, and what it was told.
struct History {
    /// The disk of the new store, before the workload.
    start: Vec<u8>,
    log: Vec<Operation>,
    /// The contents before the first commit and after each.
    states: Vec<Contents>,
    /// How many operations the disk had done when each commit was acknowledged.
    acknowledged: Vec<usize>,
}

/// What the store held after each of many power cuts.
#[derive(Debug, Default)]
struct Cuts {
    /// The last acknowledged commit.
    acknowledged: usize,
    /// The commit after that, which was being written.
    in_flight: usize,
    /// An earlier commit: acknowledged commits are lost.
    lost: usize,
    /// What no commit ever was.
    mixed: usize,
    /// The store says that it is damaged.
    refused: usize,
    /// The first case of the last three.
    first_complaint: Option<String>,
}

impl Cuts {
    fn tried(&self) -> usize {
        self.acknowledged + self.in_flight + self.lost + self.mixed + self.refused
    }
}

/// Commits `commits` random batches; closes the store in order now and then.
fn record(
    commits: usize,
    seed: u64,
    commit: impl Fn(&Store, &Batch<'_>) -> Result<(), StoreError>,
) -> Result<History, StoreError> {
    let mut random = Random(seed);
    let start = new_store()?;
    let mut disk = Disk::from_image(start.clone());
    disk.record();
    let mut history =
        History { start, log: Vec::new(), states: vec![Contents::default()], acknowledged: Vec::new() };
    let mut contents = Contents::default();
    let mut store = Options::new().open_backend(disk.clone())?;
    for number in 0..commits {
        if number % 64 == 63 {
            store.close()?;
            // redb keeps a closed disk; the next store gets the same bytes.
            history.log.extend(disk.take_log());
            disk = Disk::from_image(disk.image());
            disk.record();
            store = Options::new().open_backend(disk.clone())?;
        }
        let batch = random_batch(&mut random);
        commit(&store, &batch)?;
        contents.apply(&batch);
        history.states.push(contents.clone());
        history.acknowledged.push(history.log.len() + disk.operations() as usize);
    }
    store.close()?;
    history.log.extend(disk.take_log());
    Ok(history)
}

fn new_store() -> Result<Vec<u8>, StoreError> {
    let disk = Disk::new();
    Options::new().open_backend(disk.clone())?.close()?;
    Ok(disk.image())
}

/// Cuts the power after every operation, `cuts_each` times with different outcomes, and opens what is left.
///
/// From operation `lies_from` on syncs do nothing.
fn check(history: &History, cuts_each: u64, lies_from: usize) -> Cuts {
    let disk = Disk::from_image(history.start.clone());
    let mut cuts = Cuts::default();
    for (at, operation) in history.log.iter().enumerate() {
        if *operation != Operation::Sync || at < lies_from {
            disk.apply(operation);
        }
        let acknowledged = history.acknowledged.partition_point(|&operations| operations <= at + 1);
        for cut in 0..cuts_each {
            let seed = (at as u64 + 1) * cuts_each + cut;
            let case = format!("operation {} of {}, seed {seed}", at + 1, history.log.len());
            let complaint = match open_and_read(Disk::from_image(disk.crash(seed))) {
                Err(error) => {
                    cuts.refused += 1;
                    format!("{case}: {error}")
                }
                Ok((store, found)) => {
                    if seed.is_multiple_of(16) {
                        goes_on(&store, &found, seed);
                    }
                    if found == history.states[acknowledged] {
                        cuts.acknowledged += 1;
                        continue;
                    }
                    if Some(&found) == history.states.get(acknowledged + 1) {
                        cuts.in_flight += 1;
                        continue;
                    }
                    let lost = history.states[..acknowledged].contains(&found);
                    *if lost { &mut cuts.lost } else { &mut cuts.mixed } += 1;
                    format!("{case}: commit {acknowledged} was acknowledged, lost: {lost}")
                }
            };
            cuts.first_complaint.get_or_insert(complaint);
        }
    }
    cuts
}

fn open_and_read(disk: Disk) -> Result<(Store, Contents), StoreError> {
    let store = Options::new().open_backend(disk)?;
    let contents = Contents::read(&store)?;
    Ok((store, contents))
}

/// A store that survived must take commits as before.
fn goes_on(store: &Store, found: &Contents, seed: u64) {
    let batch = random_batch(&mut Random(seed));
    store.commit(&batch).unwrap();
    let mut expected = found.clone();
    expected.apply(&batch);
    assert_eq!(Contents::read(store).unwrap(), expected, "seed {seed}");
}

#[test]
fn after_a_power_cut_the_store_holds_the_last_acknowledged_commit_or_the_one_in_flight() {
    let history = record(300, 1, Store::commit).unwrap();
    assert!(history.states.last().unwrap().cells() > 20, "the workload leaves something to lose");
    let cuts = check(&history, 2, usize::MAX);
    println!("{} power cuts: {cuts:?}", cuts.tried());
    assert_eq!(cuts.first_complaint, None);
    assert!(cuts.tried() > 5_000, "{cuts:?}");
    assert!(cuts.in_flight > 100, "{cuts:?}");
}

/// A disk that lies about syncs loses acknowledged commits, whatever the store does. The checker must see that, and
/// even then the store must not mix commits: it holds an old one whole, or says that it is damaged.
#[test]
fn the_checker_notices_a_disk_that_lies_about_syncs() {
    let history = record(40, 2, Store::commit).unwrap();
    let cuts = check(&history, 8, history.log.len() / 2);
    println!("{} power cuts: {cuts:?}", cuts.tried());
    assert!(cuts.lost > 0, "{cuts:?}");
    assert_eq!(cuts.mixed, 0, "{cuts:?}");
}

/// The checker must see half a batch: here each change is a commit of its own.
#[test]
fn the_checker_notices_a_batch_that_is_not_atomic() {
    let piecemeal = |store: &Store, batch: &Batch<'_>| {
        batch.changes.iter().try_for_each(|change| store.commit(&Batch { changes: vec![change.clone()] }))
    };
    let history = record(40, 3, piecemeal).unwrap();
    let cuts = check(&history, 1, usize::MAX);
    assert!(cuts.mixed > 0, "{cuts:?}");
    assert_eq!(cuts.lost + cuts.refused, 0, "{cuts:?}");
}

#[test]
fn a_power_cut_gives_the_same_image_for_the_same_seed() {
    let history = record(5, 4, Store::commit).unwrap();
    let (one, two) = (Disk::from_image(history.start.clone()), Disk::from_image(history.start.clone()));
    let mut differ = 0;
    for operation in &history.log {
        one.apply(operation);
        two.apply(operation);
        assert_eq!(one.crash(9), two.crash(9));
        differ += usize::from(one.crash(9) != one.crash(10));
    }
    assert!(differ > 10, "seeds must matter: {differ}");
}

#[test]
fn a_machine_without_power_writes_nothing() {
    let disk = Disk::new();
    let store = Options::new().open_backend(disk.clone()).unwrap();
    let mut batch = Batch::new();
    batch.set("a", b"1");
    store.commit(&batch).unwrap();
    let after = disk.cut_power(5);
    batch.set("a", b"2");
    assert!(matches!(store.commit(&batch), Err(StoreError::Io { .. })));
    drop(store);
    let store = Options::new().open_backend(after).unwrap();
    assert_eq!(store.setting("a").unwrap().as_deref(), Some(&b"1"[..]));
}
