//! Random operations that make sense: names that mostly exist, offsets around the interesting places.

use daxcow::units::BLOCK_SIZE;

use crate::model::{Model, SNAPSHOTS};
use crate::op::{Member, Op, OpenHow, Slot, Span};
use crate::rng::Rng;

/// Open files at once.
pub const SLOTS: usize = 6;
const DIRECTORIES: [&str; 4] = ["d0", "d1", "d2", "d3"];
const FILES: [&str; 6] = ["f0", "f1", "f2", "f3", "f4", "f5"];
const SNAPSHOT_NAMES: [&str; 4] = ["s0", "s1", "s2", "s3"];
const PATH_DEPTH_MAX: usize = 4;

/// What a generator may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Members of the session.
    pub members: usize,
    /// Bytes in one write at most.
    pub write_max: u64,
    /// Offsets of ordinary operations lie below this.
    pub offset_max: u64,
    /// Whether writes far out (up to 16 TiB) and growing the pool are wanted.
    pub far: bool,
    /// Whether the session has the pool to itself: reopening, growing and trimming.
    pub alone: bool,
}

/// Makes operations one at a time, looking at the model to choose names and offsets.
#[derive(Clone, Debug)]
pub struct Generator {
    rng: Rng,
    limits: Limits,
}

impl Generator {
    /// A generator whose operations follow from `seed` alone.
    #[must_use]
    pub fn new(seed: u64, limits: Limits) -> Generator {
        Generator { rng: Rng::new(seed), limits }
    }

    /// A generator that draws from `rng`.
    #[must_use]
    pub fn drawing(rng: Rng, limits: Limits) -> Generator {
        Generator { rng, limits }
    }

    /// The next operation; nothing when what it draws from is used up.
    pub fn next_drawn(&mut self, model: &Model) -> Option<Op> {
        while !self.rng.is_used_up() {
            let op = self.any_op(model);
            if !model.is_void(&op) {
                return Some(op);
            }
        }
        None
    }

    /// The next operation.
    pub fn next_op(&mut self, model: &Model) -> Op {
        loop {
            let op = self.any_op(model);
            if !model.is_void(&op) {
                return op;
            }
        }
    }

    fn any_op(&mut self, model: &Model) -> Op {
        match self.rng.weighted(&[55, 14, 18, 9, 4]) {
            0 => self.file_op(model),
            1 => self.batch_op(model),
            2 => self.name_op(model),
            3 => self.snapshot_op(model),
            _ => self.pool_op(),
        }
    }

    fn member(&mut self) -> Member {
        self.rng.index(self.limits.members)
    }

    fn slot(&mut self) -> Slot {
        self.rng.index(SLOTS)
    }

    /// A seed for bytes, now and then that of zeros or of something that is there already.
    fn fill(&mut self) -> u64 {
        match self.rng.below(16) {
            0 => 0,
            // Few enough that equal blocks come about.
            1..5 => 1 + self.rng.below(3),
            _ => self.rng.word(),
        }
    }

    /// An offset near something: a block's edge, the end of the file, or anywhere.
    fn offset(&mut self, model: &Model, slot: Slot) -> u64 {
        let len = model.content(slot).map_or(0, |content| content.len());
        let anywhere = self.rng.below(self.limits.offset_max);
        let near = |base: u64, rng: &mut Rng| (base + rng.below(17)).saturating_sub(8);
        match self.rng.below(8) {
            0 => 0,
            1 => near(anywhere / BLOCK_SIZE * BLOCK_SIZE, &mut self.rng),
            2 | 3 => anywhere / BLOCK_SIZE * BLOCK_SIZE,
            4 => len,
            5 => near(len, &mut self.rng),
            6 if self.limits.far && self.rng.one_in(4) => self.far_offset(),
            _ => anywhere,
        }
    }

    fn far_offset(&mut self) -> u64 {
        let power = 21 + self.rng.below(23);
        (1 << power) - self.rng.below(3) * 2048
    }

    fn len(&mut self) -> u64 {
        let most = self.limits.write_max;
        match self.rng.below(6) {
            0 => 1 + self.rng.below(16),
            1 => BLOCK_SIZE,
            2 => BLOCK_SIZE * (1 + self.rng.below(most / BLOCK_SIZE)),
            3 => 512 * (1 + self.rng.below(16)),
            4 if self.rng.one_in(8) => 0,
            _ => 1 + self.rng.below(most),
        }
    }

    fn span(&mut self, model: &Model, slot: Slot) -> Span {
        Span { offset: self.offset(model, slot), len: self.len() }
    }

    fn file_op(&mut self, model: &Model) -> Op {
        let slot = self.slot();
        let span = self.span(model, slot);
        match self.rng.weighted(&[26, 8, 20, 8, 6, 5, 6, 4, 4, 3, 4, 2, 9, 3, 5, 5, 12, 4, 5, 4]) {
            0 => Op::Write { slot, span, seed: self.fill() },
            1 => Op::Append { slot, len: span.len, seed: self.fill() },
            2 => Op::Read { slot, span },
            3 => Op::SetLen { slot, len: span.offset },
            4 => Op::Allocate {
                slot,
                span: Span { len: span.len.max(1), ..span },
                keep_size: self.rng.one_in(2),
            },
            5 => Op::ZeroRange { slot, span: Span { len: span.len.max(1), ..span } },
            6 => self.punch(slot, span),
            7 => Op::SeekData { slot, offset: span.offset },
            8 => Op::SeekHole { slot, offset: span.offset },
            9 => Op::Extents { slot },
            10 => Op::Stat { slot },
            11 => Op::Sync { slot },
            12 => self.clone_range(model, slot),
            13 => Op::ReplaceContents { target: slot, with: self.slot() },
            14 if self.rng.one_in(3) => Op::DropViews,
            14 => {
                Op::View { slot, span: Span { offset: span.offset, len: span.len.clamp(1, 2 * BLOCK_SIZE) } }
            }
            15 => self.lock(slot),
            16 => self.open(model, slot),
            17 => Op::Close { slot },
            18 => self.dedupe_range(model, slot),
            _ => Op::Defragment { slot, span: Span { len: span.len.saturating_mul(16), ..span } },
        }
    }

    fn punch(&mut self, slot: Slot, span: Span) -> Op {
        let far_reaching = self.rng.one_in(8);
        let len = if far_reaching { 1 << 40 } else { span.len.max(1) };
        Op::PunchHole { slot, span: Span { offset: span.offset, len } }
    }

    fn lock(&mut self, slot: Slot) -> Op {
        let index = u8::try_from(self.rng.below(16)).unwrap_or(0) / 5;
        match self.rng.below(3) {
            0 => Op::Unlock { slot, index },
            choice => Op::Lock { slot, index, exclusive: choice == 1 },
        }
    }

    /// Mostly right, sometimes unaligned, overlapping or past the end: those must be refused.
    fn clone_range(&mut self, model: &Model, target: Slot) -> Op {
        let source = if self.rng.one_in(3) { target } else { self.slot() };
        let source_len = model.content(source).map_or(0, |content| content.len());
        let aligned = |offset: u64| offset / BLOCK_SIZE * BLOCK_SIZE;
        if self.rng.one_in(8) {
            let source_offset = self.offset(model, source);
            let span = self.span(model, target);
            return Op::CloneRange { target, source, source_offset, span };
        }
        let source_offset = aligned(self.rng.below(source_len + 1));
        let left = source_len - source_offset;
        let to_the_end = self.rng.one_in(2);
        let len = if to_the_end { left } else { aligned(self.rng.below(left + 1)) };
        let offset = aligned(self.offset(model, target));
        Op::CloneRange { target, source, source_offset, span: Span { offset, len } }
    }

    /// As [`Generator::clone_range`], of ranges that both files have.
    fn dedupe_range(&mut self, model: &Model, target: Slot) -> Op {
        let len_of = |slot| model.content(slot).map_or(0, |content| content.len());
        match self.clone_range(model, target) {
            Op::CloneRange { target, source, source_offset, span } => {
                let left = len_of(target).saturating_sub(span.offset);
                let few = if self.rng.one_in(2) { BLOCK_SIZE } else { span.len };
                let len = if self.rng.one_in(8) { span.len } else { few.min(left).min(span.len) };
                Op::DedupeRange { target, source, source_offset, span: Span { len, ..span } }
            }
            other => other,
        }
    }

    fn open(&mut self, model: &Model, slot: Slot) -> Op {
        let frozen = self.rng.one_in(6);
        let path = match self.snapshot_file(model) {
            Some(path) if frozen => path,
            _ => self.file_path(model),
        };
        let write = !frozen || self.rng.one_in(4);
        let write = write && !self.rng.one_in(6);
        let how = OpenHow {
            write,
            create: write && self.rng.one_in(2),
            create_new: write && self.rng.one_in(8),
            truncate: write && self.rng.one_in(10),
        };
        Op::Open { slot, member: self.member(), path, how }
    }

    fn snapshot_file(&mut self, model: &Model) -> Option<String> {
        let names: Vec<&String> = model.snapshots().keys().collect();
        let name = *names.get(self.rng.index(names.len().max(1)))?;
        let top = format!("{SNAPSHOTS}/{name}");
        let mut files = Vec::new();
        model.walk(model.lookup(&top).ok()?, &top, &mut |path, id| {
            if model.file(id).is_some() {
                files.push(path.to_owned());
            }
        });
        files.get(self.rng.index(files.len().max(1))).cloned()
    }

    fn batch_op(&mut self, model: &Model) -> Op {
        let slot = self.slot();
        let span = self.span(model, slot);
        match self.rng.weighted(&[6, 14, 5, 4, 4, 2, 2, 3]) {
            0 => Op::BatchOpen { slot },
            1 => Op::BatchWrite { slot, span, seed: self.fill() },
            2 => Op::BatchRead { slot, span },
            3 => Op::BatchSetLen { slot, len: span.offset },
            4 => Op::BatchCommit { slot },
            5 => Op::BatchDiscard { slot },
            6 => Op::BatchClose { slot },
            _ => self.commit_batches(model),
        }
    }

    fn commit_batches(&mut self, model: &Model) -> Op {
        let batched = |slot: &Slot| model.handle(*slot).is_some_and(|handle| handle.batch.is_some());
        let all: Vec<Slot> = model.slots().filter(batched).collect();
        let first = all.first().and_then(|&slot| model.handle(slot)).map(|handle| handle.member);
        let same_member = |slot: &Slot| model.handle(*slot).map(|handle| handle.member) == first;
        let slots = all.into_iter().filter(same_member).collect();
        let unlink = self.rng.one_in(2).then(|| self.file_path(model));
        Op::CommitBatches { slots, unlink }
    }

    /// The path of a directory that mostly exists.
    fn directory(&mut self, model: &Model) -> String {
        let paths = model.paths();
        let directories: Vec<&String> = paths
            .iter()
            .filter(|(path, id)| model.file(*id).is_none() && path.split('/').count() < PATH_DEPTH_MAX)
            .map(|(path, _)| path)
            .collect();
        match directories.get(self.rng.index(directories.len() + 2)) {
            Some(path) => (*path).clone(),
            None => String::new(),
        }
    }

    fn file_path(&mut self, model: &Model) -> String {
        let directory = self.directory(model);
        format!("{directory}/{}", self.rng.pick(&FILES))
    }

    fn directory_path(&mut self, model: &Model) -> String {
        let directory = self.directory(model);
        format!("{directory}/{}", self.rng.pick(&DIRECTORIES))
    }

    /// Any path: mostly one that exists, sometimes one through a file or in a snapshot.
    fn any_path(&mut self, model: &Model) -> String {
        let paths = model.paths();
        match self.rng.below(12) {
            0 => self.directory_path(model),
            1 => format!("{}/x", self.file_path(model)),
            2 => self.snapshot_file(model).unwrap_or_else(|| "/f0".into()),
            3 | 4 => self.file_path(model),
            _ if paths.is_empty() => self.file_path(model),
            _ => self.rng.pick(&paths).0.clone(),
        }
    }

    fn name_op(&mut self, model: &Model) -> Op {
        let member = self.member();
        match self.rng.weighted(&[12, 3, 2, 8, 14, 8, 7, 3, 4]) {
            0 => Op::CreateDir { member, path: self.directory_path(model) },
            1 => Op::RemoveDir { member, path: self.any_path(model) },
            2 => Op::RemoveDirAll { member, path: self.any_path(model) },
            3 => Op::RemoveFile { member, path: self.any_path(model) },
            4 => Op::Rename { member, from: self.any_path(model), to: self.new_path(model) },
            5 => Op::HardLink { member, existing: self.any_path(model), new: self.new_path(model) },
            6 => Op::CloneTree { member, from: self.any_path(model), to: self.new_path(model) },
            7 => Op::ReadDir { member, path: self.any_path(model) },
            _ => Op::StatPath { member, path: self.any_path(model) },
        }
    }

    fn new_path(&mut self, model: &Model) -> String {
        match self.rng.below(4) {
            0 => self.directory_path(model),
            1 => self.any_path(model),
            _ => self.file_path(model),
        }
    }

    fn snapshot_op(&mut self, model: &Model) -> Op {
        let member = self.member();
        let name = (*self.rng.pick(&SNAPSHOT_NAMES)).to_owned();
        match self.rng.weighted(&[6, 5, 2, 1, 2]) {
            0 => Op::Snapshot { member, paths: self.snapshot_paths(model), name },
            1 => Op::DeleteSnapshot { member, name },
            2 => Op::Rollback { member, name, force: false },
            3 => Op::Rollback { member, name, force: true },
            _ => self.diff(model, member),
        }
    }

    /// Nothing for the whole pool, or one or two paths apart from each other.
    fn snapshot_paths(&mut self, model: &Model) -> Vec<String> {
        let paths = model.paths();
        if paths.is_empty() || self.rng.one_in(3) {
            return Vec::new();
        }
        let first = self.rng.pick(&paths).0.clone();
        let second = self.rng.pick(&paths).0.clone();
        let apart = !crate::model::is_within(&first, &second) && !crate::model::is_within(&second, &first);
        if apart && self.rng.one_in(2) { vec![first, second] } else { vec![first] }
    }

    fn diff(&mut self, model: &Model, member: Member) -> Op {
        let names: Vec<&String> = model.snapshots().keys().collect();
        let to = self.any_path(model);
        let from = match names.get(self.rng.index(names.len().max(1))) {
            Some(name) if !to.starts_with(SNAPSHOTS) => format!("{SNAPSHOTS}/{name}{to}"),
            _ => self.any_path(model),
        };
        Op::Diff { member, from, to }
    }

    fn pool_op(&mut self) -> Op {
        let member = self.member();
        let choice = self.rng.weighted(&[2, 2, 4, 3, 3, 1, 1, 3]);
        match choice {
            0 => Op::PoolSync { member },
            1 if self.limits.alone => Op::Trim { member },
            2 => Op::Check { member },
            7 => Op::Dedupe { member },
            4 => Op::Rejoin { member },
            5 if self.limits.alone => Op::Reopen,
            6 if self.limits.alone && self.limits.far => {
                Op::Grow { member, bytes: (1 + self.rng.below(4)) * (2 << 20) }
            }
            _ => Op::Compare { member },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::campaign::Plan;
    use crate::model::apply::Expected;

    /// The name of an operation, without its arguments.
    fn name(op: &Op) -> String {
        format!("{op:?}").split(' ').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn every_operation_succeeds_somewhere_and_the_fallible_ones_fail_somewhere() {
        let (mut succeeded, mut failed) = (BTreeSet::new(), BTreeSet::new());
        for seed in 0..160 {
            let mut model = Model::default();
            let mut generator = Generator::new(seed, Plan::default().limits);
            for _ in 0..400 {
                let op = generator.next_op(&model);
                let refused = matches!(model.apply(&op), Expected::Refused(_));
                if refused {
                    failed.insert(name(&op))
                } else {
                    succeeded.insert(name(&op))
                };
            }
        }
        let all = "Allocate Append BatchClose BatchCommit BatchDiscard BatchOpen BatchRead BatchSetLen BatchWrite Check \
                   CloneRange CloneTree Close CommitBatches Compare CreateDir Dedupe DedupeRange Defragment \
                   DeleteSnapshot Diff DropViews Extents Grow HardLink Lock Open PoolSync PunchHole Read ReadDir Rejoin RemoveDir RemoveDirAll RemoveFile \
                   Rename Reopen ReplaceContents Rollback SeekData SeekHole SetLen Snapshot Stat StatPath Sync Trim \
                   Unlock View Write ZeroRange";
        let missing: Vec<&str> = all.split_whitespace().filter(|op| !succeeded.contains(*op)).collect();
        assert!(missing.is_empty(), "never succeeds: {missing:?}");
        let fallible = "Allocate Append BatchCommit BatchOpen CloneRange CloneTree CommitBatches CreateDir \
                        DedupeRange DeleteSnapshot Diff HardLink Open PunchHole ReadDir RemoveDir RemoveDirAll RemoveFile Rename \
                        ReplaceContents Rollback SetLen Snapshot StatPath Write ZeroRange";
        let missing: Vec<&str> = fallible.split_whitespace().filter(|op| !failed.contains(*op)).collect();
        assert!(missing.is_empty(), "never fails: {missing:?}");
    }

    #[test]
    fn a_seed_gives_the_same_operations_every_time() {
        let run = || {
            let mut model = Model::default();
            let mut generator = Generator::new(77, Plan::default().limits);
            let mut ops = Vec::new();
            for _ in 0..200 {
                let op = generator.next_op(&model);
                model.apply(&op);
                ops.push(op);
            }
            ops
        };
        assert_eq!(run(), run());
    }
}
