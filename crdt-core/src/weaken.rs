//! Rules that can be switched off, one at a time, to show that the tests notice (feature `_weaken`, never in a product).

/// A rule of merging or syncing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "_weaken"), expect(unreachable_pub, reason = "public only where it is of use"))]
pub enum Rule {
    /// A full batch drops cells by path and stamp, not by stamp alone.
    AbsenceByPath,
    /// Uncovered cells of ids that were given up are written again.
    Adopt,
    /// A delta is taken only where its base holds.
    Base,
    /// A covered cell is ignored.
    Covered,
    /// Fingerprints are compared only where no uncovered cells are held.
    DigestWhenClean,
    /// A fork lowers the floor of the old id and maps it to the new one.
    FloorMap,
    /// A delta is sent only to a peer that has all forgotten tombstones.
    Floor,
    /// A full batch whose floor is covered is a plain delta.
    FullAsDelta,
    /// A copy that came from storage holds its own new writes back.
    Hold,
    /// A late write is written again.
    Late,
    /// A late write is kept, not deleted.
    LateIsKept,
    /// Stale Needs are ignored, and one is sent a gap.
    NeedOnce,
    /// After a full batch, own late writes are written again.
    OwnLate,
    /// Transactions of retired ids count as incorporated.
    RetiredIsCovered,
    /// What is left of a retired id at a member is dropped.
    RetiredIsDropped,
    /// A peer that lacks something of a retired id gets the whole document.
    RetiredIsFloor,
    /// The digests of a repair look at contents.
    RepairContent,
    /// A full batch starts over when the floor moves.
    RestartBatch,
    /// A claim is made for what was sent, not for what was there when the batch began.
    SentIsClaimed,
    /// Open tells the highest stamp held of the receiver's id.
    Yours,
}

#[cfg(feature = "_weaken")]
std::thread_local! {
    static OFF: core::cell::Cell<Option<Rule>> = const { core::cell::Cell::new(None) };
}

/// Runs `body` with `rule` switched off on this thread.
#[cfg(feature = "_weaken")]
pub fn without<T>(rule: Option<Rule>, body: impl FnOnce() -> T) -> T {
    let before = OFF.replace(rule);
    let result = body();
    OFF.set(before);
    result
}

/// Whether `rule` holds; always, but under [`without`].
#[cfg(feature = "_weaken")]
pub(crate) fn holds(rule: Rule) -> bool {
    OFF.get() != Some(rule)
}

/// Whether `rule` holds: always.
#[cfg(not(feature = "_weaken"))]
pub(crate) const fn holds(_rule: Rule) -> bool {
    true
}
