//! One short story for each rule of merging and syncing: with the rule it ends well, without it something is lost, comes
//! back, differs, or costs too much. Random histories (`histories.rs`) find what nobody thought of; these show what each
//! rule is there for, every time.
//!
//! | rule that is off | what goes wrong | story | histories notice too |
//! |---|---|---|---|
//! | `AbsenceByPath` | half of a transaction that was deleted stays | [`tombstones`] | no |
//! | `Adopt` | a deleted value comes back | [`identity`] | no |
//! | `Base` | a receipt for what is not there | [`batches`] | no |
//! | `Covered` | a replay brings back what was deleted | [`batches`] | yes |
//! | `DigestWhenClean` | a sound disk is taken for damaged | [`batches`] | no |
//! | `Floor` | a deleted value stays on a device from the drawer | [`tombstones`] | yes |
//! | `FloorMap` | a delete is lost by a fork | [`identity`] | yes |
//! | `FullAsDelta` | the whole document travels instead of one tombstone | [`tombstones`] | no |
//! | `Hold` | a restored copy claims what it did since and lacks it, until the fingerprints tell | [`identity`] | yes |
//! | `Late` | a late write is there on one side only | [`tombstones`] | yes |
//! | `LateIsKept` | a late write is lost | [`tombstones`] | yes |
//! | `NeedOnce` | everything travels twice | [`batches`] | no |
//! | `OwnLate` | a late write is there on its own device only | [`tombstones`] | yes |
//! | `RestartBatch` | a delete during a full batch is lost | [`tombstones`] | no |
//! | `RetiredIsCovered` | a deleted value comes back | [`retirement`] | yes |
//! | `RetiredIsDropped` | a deleted value comes back | [`retirement`] | yes |
//! | `RetiredIsFloor` | a deleted value stays on a device from the drawer | [`retirement`] | no |
//! | `SentIsClaimed` | a write during a batch is lost | [`batches`] | yes |
//! | `Yours` | a restored copy claims what it did since and lacks it, until the fingerprints tell | [`identity`] | no |
//!
//! And what is not the core's to do:
//!
//! | neglected | what goes wrong | story | histories notice too |
//! |---|---|---|---|
//! | early input is early (`BelieveEarlyInput`) | an older value wins; the device is cut off | [`early`] | no |
//! | nothing leaves before it is on disk (`LyingDisks`, `LyingAggregator`) | | `world/flaws.rs` | yes |
//! | a new disk, a new id (`SameIdAfterWipe`) | | | yes |
//! | a device that meets others is a `Role::Mesh` | a claim stands for a write of another time line | [`identity`] | no |
//!
//! The rules were first tried out in a synchronous model, without sessions, that was weakened in seven ways:
//!
//! | weakening of the model | here |
//! |---|---|
//! | deltas whatever was forgotten | `Floor` |
//! | covered cells are applied | `Covered` |
//! | late writes are applied as they are | `Late` |
//! | own late writes are not written again | `OwnLate` |
//! | absence is judged by the stamp alone | `AbsenceByPath` |
//! | late writes are deleted | `LateIsKept` |
//! | the same id after a restore | `Hold`, `SameIdAfterWipe` |

mod batches;
mod damage;
mod early;
mod identity;
mod retirement;
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
