//! Mistakes that the code makes where a test tells it to, to see whether the test finds them.
//!
//! A mistake is switched on for one thread; other threads go on without it. Without the feature `sim` nobody can switch
//! one on, and [`mistake`] is `false` at compile time.

#[cfg(feature = "sim")]
use std::cell::Cell;

#[cfg(feature = "sim")]
thread_local! {
    static MADE: Cell<Option<Mistake>> = const { Cell::new(None) };
}

/// A mistake in the order or the completeness of what an operation stores.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(not(feature = "sim"), expect(unreachable_pub, reason = "public where tests can switch it on"))]
pub enum Mistake {
    /// Copying a shared node does not raise what it refers to.
    SharedChildrenNotRaised,
    /// A cloned range does not raise the blocks it shares.
    ClonedRangeNotRaised,
    /// Taking over contents does not raise the root.
    ReplacedContentsNotRaised,
    /// A snapshot does not raise the roots of its files.
    CutNotRaised,
    /// Whether a block is shared is judged without the counts above it.
    SharingIgnored,
    /// What was replaced is never lowered.
    NeverLowered,
    /// A transaction stores its words without a lane.
    WithoutLane,
    /// A transaction stores its words before its lane is valid.
    AppliedBeforeValid,
    /// A lane is never retired.
    NeverRetired,
    /// Recovery retires lanes without replaying them.
    NotReplayed,
    /// A batch leaves the new size out of its transaction.
    BatchSizeForgotten,
    /// A write makes the file longer before what it writes is there.
    SizeBeforeData,
    /// The edges of a copied block are not taken over.
    EdgesForgotten,
    /// The bytes beyond the end are not zeroed when the size passes them.
    TailNotZeroed,
    /// An append that is not synced is not made durable by the durable write after it.
    LazySizeForgotten,
    /// A rename leaves the old name.
    OldNameKept,
    /// Removing a name leaves the link count.
    LinkKept,
    /// A new inode is whole by one store and a flush, without the fence before its kind.
    InodeTorn,
    /// The older copy of the superblock is kept and the newer one is overwritten.
    NewerSuperblockOverwritten,
    /// The first to open trusts the counts, however the pool was left.
    CountsTrusted,
    /// Rebuilding the counts takes every block to have one owner.
    SharedCountedOnce,
    /// Inodes without a name are not freed by recovery.
    OrphansKept,
    /// The counts are called clean without being flushed.
    CleanCountsNotFlushed,
}

#[cfg(feature = "sim")]
impl Mistake {
    /// Every mistake there is.
    pub const ALL: &[Mistake] = &[
        Mistake::SharedChildrenNotRaised,
        Mistake::ClonedRangeNotRaised,
        Mistake::ReplacedContentsNotRaised,
        Mistake::CutNotRaised,
        Mistake::SharingIgnored,
        Mistake::NeverLowered,
        Mistake::WithoutLane,
        Mistake::AppliedBeforeValid,
        Mistake::NeverRetired,
        Mistake::NotReplayed,
        Mistake::BatchSizeForgotten,
        Mistake::SizeBeforeData,
        Mistake::EdgesForgotten,
        Mistake::TailNotZeroed,
        Mistake::LazySizeForgotten,
        Mistake::OldNameKept,
        Mistake::LinkKept,
        Mistake::InodeTorn,
        Mistake::NewerSuperblockOverwritten,
        Mistake::CountsTrusted,
        Mistake::SharedCountedOnce,
        Mistake::OrphansKept,
        Mistake::CleanCountsNotFlushed,
    ];
}

/// Runs `run` while this thread makes `made`.
#[cfg(feature = "sim")]
pub fn with_mistake<T>(made: Mistake, run: impl FnOnce() -> T) -> T {
    let before = MADE.replace(Some(made));
    let answer = run();
    MADE.set(before);
    answer
}

/// Whether this thread is to make `asked`.
#[cfg(feature = "sim")]
pub(crate) fn mistake(asked: Mistake) -> bool {
    MADE.get() == Some(asked)
}

/// Whether this thread is to make a mistake: never.
#[cfg(not(feature = "sim"))]
#[inline(always)]
pub(crate) const fn mistake(_: Mistake) -> bool {
    false
}
