//! Random histories converge, and stop converging when any one rule is switched off.

use std::sync::atomic::AtomicU64;

use crdt_core::weaken::{Rule, without};
use sim::history::{Broken, Tally, Variant, run, sweep};

const THREADS: usize = 2;

fn histories(seeds: std::ops::Range<u64>, failures_max: u64, variant: Variant, rule: Option<Rule>) -> Tally {
    sweep(seeds, THREADS, failures_max, &AtomicU64::new(0), |seed| without(rule, || run(seed, variant)))
}

#[test]
#[ignore = "a survey for whoever changes the table: prints how often each weakening is noticed, in each variant"]
fn how_often_each_weakening_is_noticed() {
    let runs: u64 = std::env::var("RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(2_000);
    std::panic::set_hook(Box::new(|_| {}));
    for variant in Variant::ALL {
        for rule in RULES {
            let tally = histories(0..runs, u64::MAX, variant, Some(rule));
            let kinds: Vec<_> = tally.kinds.iter().map(|(kind, noted)| (kind, noted.0)).collect();
            println!("{:24} without {rule:?}: {} of {runs} {kinds:?}", variant.name, tally.failed);
        }
        for broken in BROKEN {
            let tally = histories(0..runs, u64::MAX, Variant { broken: Some(broken), ..variant }, None);
            let kinds: Vec<_> = tally.kinds.iter().map(|(kind, noted)| (kind, noted.0)).collect();
            println!("{:24} {broken:?}: {} of {runs} {kinds:?}", variant.name, tally.failed);
        }
    }
}

const RULES: [Rule; 16] = [
    Rule::AbsenceByPath,
    Rule::Adopt,
    Rule::Base,
    Rule::Covered,
    Rule::DigestWhenClean,
    Rule::FloorMap,
    Rule::Floor,
    Rule::FullAsDelta,
    Rule::Hold,
    Rule::Late,
    Rule::LateIsKept,
    Rule::NeedOnce,
    Rule::OwnLate,
    Rule::RestartBatch,
    Rule::SentIsClaimed,
    Rule::Yours,
];

const BROKEN: [Broken; 4] =
    [Broken::BelieveEarlyInput, Broken::LyingAggregator, Broken::LyingDisks, Broken::SameIdAfterWipe];
