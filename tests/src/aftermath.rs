//! Judging a pool after a crash or a death in the middle of an operation.
//!
//! The pool is to be clean and to show the state before or after the operation that was going on, and everything that
//! was complete. What "before or after" means depends on the operation: changes of names, commits of batches, clones of
//! trees, snapshots and rollbacks are atomic. Plain writes are not: every byte of the file is the old or the new one, and
//! so is its length. An append counts as complete when it has been synced; on a page medium every plain write does, and
//! until then the bytes of its file may be any (see the promises of each medium in the design).

use daxcow::Pool;

use crate::compare;
use crate::model::{Model, NodeId};
use crate::op::{Op, Slot};

/// What a medium promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// A write is durable when the call returns.
    AtReturn,
    /// A write is durable after the next sync; names, batches and snapshots are at return.
    AtSync,
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
    let report = pool.check().map_err(|error| format!("checking: {error:?}"))?;
    if !report.is_clean() {
        return Err(format!("check found {:?}", report.problems));
    }
    let whole = |model: &Model| compare::whole(model, pool, str::to_owned);
    let Some(op) = ops.get(complete) else { return whole(&states[complete]) };
    let waits_for_sync = complete > 0
        && matches!(op, Op::Sync { .. } | Op::PoolSync { .. })
        && match promise {
            Promise::AtReturn => matches!(ops[complete - 1], Op::Append { .. }),
            Promise::AtSync => changed_in_pieces(&ops[complete - 1]).is_some(),
        };
    let earliest = if waits_for_sync { complete - 1 } else { complete };
    let (old, new) = (&states[earliest], &states[complete + 1]);
    let Err(not_new) = whole(new) else { return Ok(()) };
    let Err(not_old) = whole(old) else { return Ok(()) };
    match changed_in_pieces(&ops[earliest]).and_then(|slot| old.handle(slot)).map(|handle| handle.node) {
        Some(node) => between(pool, old, new, node, promise),
        None => Err(format!("neither the new state ({not_new}) nor the old one ({not_old})")),
    }
}

/// The file that an operation may have changed in part when the crash came.
fn changed_in_pieces(op: &Op) -> Option<Slot> {
    match op {
        Op::Write { slot, .. }
        | Op::Append { slot, .. }
        | Op::SetLen { slot, .. }
        | Op::Allocate { slot, .. }
        | Op::ZeroRange { slot, .. }
        | Op::PunchHole { slot, .. } => Some(*slot),
        Op::CloneRange { target, .. } => Some(*target),
        _ => None,
    }
}

/// Whether one file is between its old and new contents, byte by byte, and everything else as before.
fn between(pool: &Pool, old: &Model, new: &Model, node: NodeId, promise: Promise) -> Result<(), String> {
    let (Some(before), Some(after)) = (old.file(node), new.file(node)) else {
        return Err("the file is neither before nor after".into());
    };
    let paths = old.paths();
    let Some((path, _)) = paths.iter().find(|(_, id)| *id == node) else {
        return Err("an unlinked file changed the pool".into());
    };
    let file = crate::fixture::readable(pool, path);
    let found = compare::read_sparse(&file).map_err(|error| error.to_string())?;
    let (short, long) =
        (before.content.len().min(after.content.len()), before.content.len().max(after.content.len()));
    if found.len() != before.content.len() && found.len() != after.content.len() {
        return Err(format!("{path} is {} bytes long, which is neither {short} nor {long}", found.len()));
    }
    let len = usize::try_from(found.len()).map_err(|_| "too long to compare")?;
    let (old_bytes, new_bytes) = (before.content.read(0, len), after.content.read(0, len));
    let at = |bytes: &[u8], index: usize| bytes.get(index).copied().unwrap_or(0);
    let grown_from = usize::try_from(before.content.len()).unwrap_or(usize::MAX);
    for (index, &byte) in found.read(0, len).iter().enumerate() {
        let is_old = index < grown_from && byte == at(&old_bytes, index);
        if promise == Promise::AtReturn && !is_old && byte != at(&new_bytes, index) {
            return Err(format!("byte {index} of {path} is {byte:#04x}, neither old nor new"));
        }
    }
    let mut hybrid = old.clone();
    hybrid.set_content(node, found);
    compare::whole(&hybrid, pool, str::to_owned)
}
