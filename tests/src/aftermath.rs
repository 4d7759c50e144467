//! Judging a pool after a crash or a death in the middle of an operation.
//!
//! The pool is to be clean and to show the state before or after the operation that was going on, and everything that
//! was complete. What "before or after" means depends on the operation: changes of names, commits of batches, clones of
//! trees, snapshots and rollbacks are atomic. Plain writes are not: every byte of the file is the old or the new one, and
//! so is its length.
//!
//! | medium | what is complete and may be missing all the same |
//! |---|---|
//! | durable at return | an append to a file that nothing has synced or changed durably since |
//! | durable at sync | any plain change of a file's bytes or length since the last barrier; blocks that were stored to hold anything |

use std::fmt;
use std::ops::RangeInclusive;

use daxcow::units::BLOCK_SIZE;
use daxcow::{FileOptions, Pool};

use crate::compare;
use crate::content::Content;
use crate::model::{Model, NodeId};
use crate::op::{Op, Span};
use crate::session::real_path;

/// What a medium promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// A write is durable when the call returns.
    AtReturn,
    /// A write is durable after the next sync; names, batches and snapshots are at return.
    AtSync,
}

/// Who noticed that something is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Oracle {
    /// An operation of the run itself, or the comparison after it, before any crash.
    Run,
    /// The pool could not be opened.
    Opening,
    /// The checker.
    Checker,
    /// Blocks that nobody owns.
    Leak,
    /// The bytes or names of a snapshot.
    Snapshot,
    /// The comparison with the model.
    Model,
}

impl fmt::Display for Oracle {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Oracle::Run => "the run itself",
            Oracle::Opening => "opening",
            Oracle::Checker => "checker",
            Oracle::Leak => "leaks",
            Oracle::Snapshot => "snapshot bytes",
            Oracle::Model => "model",
        })
    }
}

/// What is wrong, and who noticed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// Who.
    pub oracle: Oracle,
    /// What, as a sentence.
    pub what: String,
}

impl Wrong {
    /// Something that `oracle` noticed.
    pub fn new(oracle: Oracle, what: impl Into<String>) -> Wrong {
        Wrong { oracle, what: what.into() }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {}", self.oracle, self.what)
    }
}

/// Judges whether every block has an owner, as it must after a recovery. While members that saw a death live on, counts
/// that are in doubt stay high.
///
/// # Errors
/// How many have none.
pub fn judge_leaks(pool: &Pool) -> Result<(), String> {
    match pool.check().map_err(|error| format!("checking: {error:?}"))?.leaked_blocks {
        0 => Ok(()),
        leaked => Err(format!("{leaked} blocks leaked")),
    }
}

/// Judges a pool of which the first `complete` of `ops` are known to be complete; `states` are the model before the first
/// and after each of them.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn judge(
    pool: &Pool,
    ops: &[Op],
    states: &[Model],
    complete: usize,
    promise: Promise,
) -> Result<(), String> {
    let history = History { ops, states, promise, base: "" };
    check(pool, false).and_then(|()| history.compare(pool, complete)).map_err(|wrong| wrong.to_string())
}

/// Has the checker look at a pool; `leaks` says whether blocks without an owner are wrong.
///
/// # Errors
/// What it finds.
pub fn check(pool: &Pool, leaks: bool) -> Result<(), Wrong> {
    let report = pool.check().map_err(|error| Wrong::new(Oracle::Checker, format!("{error:?}")))?;
    if !report.is_clean() {
        return Err(Wrong::new(Oracle::Checker, format!("check found {:?}", report.problems)));
    }
    if leaks && report.leaked_blocks > 0 {
        return Err(Wrong::new(Oracle::Leak, format!("{} blocks leaked", report.leaked_blocks)));
    }
    Ok(())
}

/// What a file held at one time.
struct Version<'a> {
    content: &'a Content,
    /// It came about by cutting the end off, which stores no bytes.
    cut: bool,
    /// What was stored to, with other bytes or the same ones.
    stored: Option<Span>,
}

/// What was done and what was promised for it.
#[derive(Clone, Copy)]
pub struct History<'a> {
    /// The operations.
    pub ops: &'a [Op],
    /// The model before the first and after each of them.
    pub states: &'a [Model],
    /// When they are durable.
    pub promise: Promise,
    /// The directory of the pool that all of it happened in; empty for the whole pool.
    pub base: &'a str,
}

impl History<'_> {
    /// Compares a pool that crashed when the first `complete` operations had returned, and the next one had perhaps begun.
    ///
    /// # Errors
    /// In what it differs from all that is promised.
    pub fn compare(&self, pool: &Pool, complete: usize) -> Result<(), Wrong> {
        let mut differences = Vec::new();
        let begun = if complete < self.ops.len() { Some(complete + 1) } else { None };
        for state in begun.into_iter().chain([complete]) {
            match self.compare_with(pool, state, complete) {
                Ok(()) => return Ok(()),
                Err(what) => differences.push(what),
            }
        }
        if self.partly_made(complete).any(|model| self.compare_whole(&model, pool).is_ok()) {
            return Ok(());
        }
        let snapshots =
            |state: usize| compare::snapshots(&self.states[state], pool, |path| real_path(self.base, path));
        let kept = snapshots(complete).or_else(|what| begun.map_or(Err(what), snapshots));
        match kept {
            Err(what) => Err(Wrong::new(Oracle::Snapshot, what)),
            Ok(()) => Err(Wrong::new(Oracle::Model, differences.join(", and it is not the state before: "))),
        }
    }

    /// The states in the middle of an operation that makes several directories, each of them atomically.
    fn partly_made(&self, complete: usize) -> impl Iterator<Item = Model> {
        let path = match self.ops.get(complete) {
            Some(Op::CreateDirAll { path, .. }) => path.as_str(),
            _ => "",
        };
        path.match_indices('/').skip(1).map(move |(end, _)| {
            let mut model = self.states[complete].clone();
            model.apply(&Op::CreateDirAll { member: 0, path: path[..end].into() });
            model
        })
    }

    fn compare_whole(&self, model: &Model, pool: &Pool) -> Result<(), String> {
        compare::whole(model, pool, |path| real_path(self.base, path))
    }

    /// Compares a pool with one state: that of an operation which took effect, or of the last one that is complete.
    fn compare_with(&self, pool: &Pool, state: usize, complete: usize) -> Result<(), String> {
        let mut expected = self.states[state].clone();
        for (path, node) in self.states[state].paths() {
            let versions = self.versions(node, state, complete);
            if versions.start() == versions.end() {
                continue;
            }
            let versions: Vec<Version<'_>> = versions
                .filter_map(|at| {
                    let content = &self.states[at].file(node)?.content;
                    let made = at.checked_sub(1).and_then(|index| Some((index, self.ops.get(index)?)));
                    let cut = made.is_some_and(|(index, op)| {
                        let before = self.states[index].file(node).map_or(0, |file| file.content.len());
                        matches!(op, Op::SetLen { .. }) && before > content.len()
                    });
                    let stored = made.filter(|(index, op)| self.changes(op, *index) == Some(node));
                    Some(Version { content, cut, stored: stored.and_then(|(_, op)| span_of(op)) })
                })
                .collect();
            // Where it is missing the comparison of the whole says so.
            let place = real_path(self.base, &path);
            let Ok(true) = pool.exists(&place) else { continue };
            let file = pool.open_file(&place, &FileOptions::new().read(true));
            let found = file.and_then(|file| compare::read_sparse(&file));
            let found = found.map_err(|error| format!("{path}: {error}"))?;
            self.allowed(&versions, &found).map_err(|what| format!("{path}: {what}"))?;
            expected.set_content(node, found);
        }
        self.compare_whole(&expected, pool)
    }

    /// The states whose contents of a file may be found, in part too, where the pool is otherwise in `state`.
    fn versions(&self, node: NodeId, state: usize, complete: usize) -> RangeInclusive<usize> {
        let exact = state..=state;
        if self.states[state].file(node).is_none() {
            return exact;
        }
        let begun = self.ops.get(complete).filter(|_| state == complete);
        let in_pieces = begun.is_some_and(|op| self.changes(op, complete) == Some(node));
        let last = if in_pieces { complete + 1 } else { state };
        if state > complete && self.changes(&self.ops[complete], complete) != Some(node) {
            // What is atomic took effect whole; what came before may still be on its way.
            let settled = self.settles(&self.ops[complete], complete, node);
            return if settled { exact } else { self.oldest(node, complete)..=last };
        }
        self.oldest(node, complete)..=last
    }

    /// The oldest state whose contents of a file may come back after the first `complete` operations.
    fn oldest(&self, node: NodeId, complete: usize) -> usize {
        let mut oldest = complete;
        for index in (0..complete).rev() {
            let op = &self.ops[index];
            let lazy = match self.promise {
                Promise::AtReturn => matches!(op, Op::Append { .. }),
                Promise::AtSync => true,
            };
            if self.states[index].file(node).is_none() || self.settles(op, index, node) {
                break;
            }
            if self.changes(op, index) == Some(node) {
                if lazy {
                    oldest = index;
                } else if !self.same_state(index) {
                    break;
                }
            }
        }
        oldest
    }

    /// The file that the operation number `index` changes piece by piece.
    fn changes(&self, op: &Op, index: usize) -> Option<NodeId> {
        let before = &self.states[index];
        let slot = match op {
            Op::Write { slot, .. }
            | Op::MapStore { slot, .. }
            | Op::Append { slot, .. }
            | Op::SetLen { slot, .. }
            | Op::Allocate { slot, .. }
            | Op::ZeroRange { slot, .. }
            | Op::PunchHole { slot, .. } => slot,
            Op::CloneRange { target, .. } => target,
            Op::Open { path, how, .. } if how.truncate => return before.lookup(path).ok(),
            _ => return None,
        };
        before.handle(*slot).map(|handle| handle.node)
    }

    /// Whether all that was done to a file before is durable once this operation has returned.
    fn settles(&self, op: &Op, index: usize, node: NodeId) -> bool {
        let before = &self.states[index];
        let is_of = |slot: &usize| before.handle(*slot).is_some_and(|handle| handle.node == node);
        let at_sync = self.promise == Promise::AtSync;
        match op {
            Op::PoolSync { .. } => true,
            Op::Reopen | Op::Repair | Op::Rejoin { .. } => at_sync,
            Op::Sync { slot } => {
                before.handle(*slot).is_some_and(|handle| !handle.stale) && (at_sync || is_of(slot))
            }
            Op::BatchCommit { slot } => (at_sync || is_of(slot)) && !self.same_state(index),
            Op::CommitBatches { slots, .. } => {
                (at_sync || slots.iter().any(is_of)) && !self.same_state(index)
            }
            Op::ReplaceContents { target, .. } => (at_sync || is_of(target)) && !self.same_state(index),
            Op::Snapshot { .. } | Op::CloneTree { .. } => at_sync && !self.same_state(index),
            _ => false,
        }
    }

    /// Whether the operation number `index` was refused or had nothing to do.
    fn same_state(&self, index: usize) -> bool {
        self.states[index].same_files(&self.states[index + 1])
    }

    /// Whether `found` may be what is left of a file that passed through `versions`.
    fn allowed(&self, versions: &[Version<'_>], found: &Content) -> Result<(), String> {
        if !versions.iter().any(|version| version.content.len() == found.len()) {
            let lengths: Vec<u64> = versions.iter().map(|version| version.content.len()).collect();
            return Err(format!("{} bytes long, none of {lengths:?}", found.len()));
        }
        for block in 0..found.len().div_ceil(BLOCK_SIZE) {
            let at = block * BLOCK_SIZE;
            let bytes = |content: &Content| content.read(at, 4096);
            let seen = bytes(found);
            let contents: Vec<Vec<u8>> = versions.iter().map(|version| bytes(version.content)).collect();
            let pairs = contents.windows(2).zip(&versions[1..]);
            let overlaps = |span: Span| span.offset < at + BLOCK_SIZE && at < span.offset + span.len;
            let touched = pairs
                .into_iter()
                .any(|(pair, later)| !later.cut && pair[0] != pair[1] || later.stored.is_some_and(overlaps));
            if self.promise == Promise::AtSync && touched {
                continue;
            }
            let known = |index: usize, byte: u8| {
                contents.iter().any(|content| content.get(index).is_some_and(|&known| known == byte))
            };
            if let Some(index) = (0..seen.len()).find(|&index| !known(index, seen[index])) {
                let place = at + index as u64;
                return Err(format!("byte {place} is {:#04x}, neither old nor new", seen[index]));
            }
        }
        Ok(())
    }
}

/// The range of a file that an operation stores to.
fn span_of(op: &Op) -> Option<Span> {
    match op {
        Op::Write { span, .. }
        | Op::MapStore { span, .. }
        | Op::ZeroRange { span, .. }
        | Op::PunchHole { span, .. }
        | Op::CloneRange { span, .. } => Some(*span),
        _ => None,
    }
}
