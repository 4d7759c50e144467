//! Moving references: every word that names a block comes to name another one with the same bytes, for all who share it.
//!
//! ```text
//!            snapshot   file   clone                    snapshot   file   clone
//!                 \      /      |                            \      /      |
//!      nodes       node A     node B          ->              node A     node B
//!                      \      /                                   \      /
//!      blocks           P      Q (free, or holds the same)     P (free)   Q
//! ```
//!
//! Contents do not change, so a word of a node that many trees share is changed in place, for all of them at once: no
//! node is copied and what was shared stays shared. Where several nodes name a block, all of them are found first, by a
//! walk over all files that takes no lock. Then, in short steps, the cut gate is closed, what was found is looked at
//! again, and one lane transaction changes all words of up to some two hundred blocks. A block is moved only where the
//! words found are as many as its count says: so nothing that is not a file (a pin, a transaction in the making) can lose
//! what it holds, and nodes below a pinned root are left alone. Readers, who take no lock, ask whether blocks have moved
//! while they copied (`Runtime::moves`); the old places come free only after that says so.
//!
//! | module | what |
//! |---|---|
//! | [`sites`] | where blocks are named: the walk, and looking again |
//! | [`swing`] | the step behind the closed gate |
//! | [`dedupe`] | equal blocks anywhere in the pool become one |
//! | [`defrag`] | the blocks of a file come to lie next to each other |

pub(crate) mod dedupe;
pub(crate) mod defrag;
mod sites;
mod swing;
