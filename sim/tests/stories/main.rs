//! One short story for each rule of merging and syncing: with the rule it ends well, without it something is lost, comes
//! back, differs, or costs too much. Random histories (`histories.rs`) find what nobody thought of; these show what each
//! rule is there for, every time.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod batches;
mod early;
mod identity;
mod tombstones;
mod town;

use crdt_core::weaken::{Rule, without};
use town::Ending;

/// The story ends well, and without `rule` it ends with `wrong`.
#[track_caller]
fn notices(rule: Rule, wrong: &str, story: fn() -> Ending) {
    assert_eq!(without(None, story), Ok(()), "with every rule");
    let ending = without(Some(rule), story);
    let noticed = ending.as_ref().is_err_and(|what| what.contains(wrong));
    assert!(noticed, "without {rule:?}: {ending:?}, but {wrong:?} was expected");
}
