//! Many histories at once, on several threads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::{Failure, Sums};

/// What became of many histories.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Histories that were run.
    pub runs: u64,
    /// Histories that failed.
    pub failed: u64,
    /// For each kind of failure: how often, the lowest seed, and what was said there.
    pub kinds: BTreeMap<&'static str, (u64, u64, String)>,
    /// Of those that did not fail.
    pub sums: Sums,
}

impl Tally {
    fn note(&mut self, seed: u64, result: Result<Sums, Failure>) {
        self.runs += 1;
        match result {
            Ok(sums) => self.sums.add(&sums),
            Err(failure) => {
                self.failed += 1;
                self.note_kind(failure.kind(), (1, seed, failure.to_string()));
            }
        }
    }

    fn note_kind(&mut self, kind: &'static str, (count, seed, text): (u64, u64, String)) {
        let entry = self.kinds.entry(kind).or_insert((0, u64::MAX, String::new()));
        entry.0 += count;
        if seed < entry.1 {
            (entry.1, entry.2) = (seed, text);
        }
    }

    /// Adds other histories.
    pub fn add(&mut self, other: Tally) {
        self.runs += other.runs;
        self.failed += other.failed;
        self.sums.add(&other.sums);
        other.kinds.into_iter().for_each(|(kind, noted)| self.note_kind(kind, noted));
    }
}

/// Runs `history` for each seed, on `threads` threads, and counts into `done`. A panic is a failure.
///
/// Stops early after `failures_max` failures.
pub fn sweep(
    seeds: Range<u64>,
    threads: usize,
    failures_max: u64,
    done: &AtomicU64,
    history: impl Fn(u64) -> Result<Sums, Failure> + Sync,
) -> Tally {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let worker = || {
        let mut tally = Tally::default();
        while failed.load(Ordering::Relaxed) < failures_max {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let result = catch_unwind(AssertUnwindSafe(|| history(seed))).unwrap_or(Err(Failure::Panic));
            failed.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
            tally.note(seed, result);
            done.fetch_add(1, Ordering::Relaxed);
        }
        tally
    };
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            tally.add(worker.join().expect("panics of histories are caught"));
        }
    });
    tally
}
