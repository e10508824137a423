use std::format;
use std::vec;
use std::vec::Vec;

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{Config, CountingRng, DocumentName, Fixed, Output, Role, Write};

use super::*;

type Pump = Replica<Fixed<Cells<24>, Bytes<512>, Replicas<3>>, CountingRng>;

fn pump() -> Pump {
    Pump::new(&DocumentName::new("pump-42").unwrap(), Config::new(Role::Member), CountingRng::new(1))
}

fn at(ms: u64) -> Moment {
    Moment::new(ms)
}

/// Writes, and has what is to be stored stored.
fn change(pump: &mut Pump, log: &mut FlashLog<'_>, step: u64) -> Result<(), FlashLogError> {
    let key = format!("pump/{}", step * 7 % 11);
    let path = Path::new(&key).unwrap();
    let text = "x".repeat((step % 13) as usize);
    let write = match step % 5 {
        0 => Write::delete(path),
        1 => Write::map(Path::new("pump").unwrap()),
        2 => Write::set(path, step as i64),
        _ => Write::set(path, text.as_str()),
    };
    pump.update(at(1_000 + step), &[write]).unwrap();
    if step.is_multiple_of(17) {
        pump.forget_all_tombstones();
    }
    store(pump, log, step)
}

fn store(pump: &mut Pump, log: &mut FlashLog<'_>, step: u64) -> Result<(), FlashLogError> {
    while let Some(output) = pump.poll_output(at(1_000 + step), &mut [0; 256]) {
        if let Output::Persist = output {
            let token = log.commit(pump)?;
            pump.handle_persisted(token);
        }
    }
    Ok(())
}

fn cells(pump: &Pump) -> Vec<std::string::String> {
    pump.document().cells().map(|cell| format!("{cell:?}")).collect()
}

fn restored(region: &[u8]) -> Option<Pump> {
    let mut region = region.to_vec();
    let log = FlashLog::open(&mut region);
    let mut again = pump();
    log.restore(&mut again, at(5_000)).unwrap().then_some(again)
}

#[test]
fn what_was_committed_is_there_after_each_start() {
    let mut region = vec![0; 2_048];
    let mut first = pump();
    let mut erased = 0;
    for step in 0..600 {
        let mut log = FlashLog::open(&mut region);
        change(&mut first, &mut log, step).unwrap();
        erased += log.wear().1;
        let again = restored(&region).unwrap();
        assert_eq!(cells(&again), cells(&first), "after step {step}");
        assert_eq!(again.document().version_vector(), first.document().version_vector());
        assert!(again.is_unverified(), "a copy from storage may be an old one");
    }
    assert!((30..200).contains(&erased), "pages fill before they are erased: {erased}");
}

/// The power goes after each byte that is written or erased; then the log holds what it held before the commit, or what it
/// holds after it, and takes the next one.
#[test]
fn a_power_cut_at_any_byte_leaves_the_state_before_or_after() {
    let mut cuts = 0;
    let mut before = Vec::new();
    for steps in 1..=24 {
        let (_, pump, operations) = history(steps, usize::MAX);
        let after = cells(&pump);
        for power in 0..operations {
            let (mut region, ..) = history(steps, power);
            let mut found = restored(&region).unwrap_or_else(self::pump);
            assert!([&before, &after].contains(&&cells(&found)), "step {steps}, {power} of {operations}");
            let mut log = FlashLog::open(&mut region);
            change(&mut found, &mut log, 100).unwrap();
            assert_eq!(cells(&restored(&region).unwrap()), cells(&found), "the next commit after {power}");
            cuts += 1;
        }
        before = after;
    }
    assert!(cuts > 2_000, "{cuts}");
}

/// A region and a replica after some changes, the last one with so many bytes of power; and how many bytes it needs.
fn history(steps: u64, power: usize) -> (Vec<u8>, Pump, usize) {
    let mut region = vec![0; 1_024];
    let mut pump = pump();
    let mut operations = 0;
    for step in 1..=steps {
        let mut log = FlashLog::open(&mut region);
        log.power = if step == steps { power } else { usize::MAX };
        change(&mut pump, &mut log, step).unwrap();
        operations = log.wear().0 as usize + log.wear().1 as usize * log.page_len();
    }
    (region, pump, operations)
}

#[test]
fn a_document_that_does_not_fit_leaves_the_last_one() {
    let mut region = vec![0; 512];
    let mut pump = pump();
    let mut log = FlashLog::open(&mut region);
    let mut last = Vec::new();
    for step in 0..40 {
        let key = format!("pump/{step}");
        pump.update(at(1_000 + step), &[Write::set(Path::new(&key).unwrap(), 1)]).unwrap();
        match store(&mut pump, &mut log, step) {
            Ok(()) => last = cells(&pump),
            Err(error) => {
                assert_eq!(error, FlashLogError { page_len: 256 });
                assert_eq!(cells(&restored(&region).unwrap()), last);
                return;
            }
        }
    }
    panic!("256 bytes do not hold 40 cells");
}

#[test]
fn whatever_the_region_holds_is_opened() {
    for len in [0, 1, 15, 16, 17, 31, 32, 100, 1_000] {
        for fill in [0, 0x55, 0xff] {
            let mut region = vec![fill; len];
            let log = FlashLog::open(&mut region);
            assert!(!log.restore(&mut pump(), at(1)).unwrap());
        }
    }
}

#[test]
fn only_a_new_replica_of_the_same_document_is_restored() {
    let mut region = vec![0; 1_024];
    let mut used = pump();
    let mut log = FlashLog::open(&mut region);
    change(&mut used, &mut log, 2).unwrap();
    assert_eq!(log.restore(&mut used, at(1)), Err(RestoreError::NotNew));
    let name = DocumentName::new("pump-43").unwrap();
    let mut other = Pump::new(&name, Config::new(Role::Member), CountingRng::new(1));
    assert_eq!(log.restore(&mut other, at(1)), Err(RestoreError::NotNew));
}
