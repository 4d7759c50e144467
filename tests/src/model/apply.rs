//! One operation in, what is to be expected out.

use daxcow::ErrorKind;

use super::{Handle, Model, Modelled, Node, STALE, STALE_OR_NAME};
use crate::op::{Op, Slot, Span, Value};
use crate::rng::pattern;

/// What an operation is to give.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Exactly this.
    Value(Value),
    /// An error of one of these kinds, and no change.
    Refused(&'static [ErrorKind]),
    /// The place of data at or after `from`, judged against the contents.
    DataFrom(u64),
    /// The place of a hole at or after `from`, judged against the contents.
    HoleFrom(u64),
    /// A list of extents, judged against the contents.
    Extents,
    /// These bytes, or no view at all.
    View(Vec<u8>),
    /// Differences between two trees, judged by comparing them.
    Difference,
}

fn done(result: Modelled<()>) -> Expected {
    match result {
        Ok(()) => Expected::Value(Value::Done),
        Err(refusal) => Expected::Refused(refusal.0),
    }
}

fn bytes_of(span: Span, seed: u64) -> Vec<u8> {
    pattern(seed, usize::try_from(span.len).expect("a span fits memory"))
}

impl Model {
    /// Whether an operation does nothing: an empty slot, or a combination that is not defined.
    #[must_use]
    pub fn is_void(&self, op: &Op) -> bool {
        let empty = |slot: &Slot| !self.handles.contains_key(slot);
        let stale = |slot: &Slot| self.handles.get(slot).is_some_and(|handle| handle.stale);
        // Committing nothing to a file that is gone may be refused or not.
        let idle =
            |slot: &Slot| self.handles.get(slot).is_some_and(|handle| handle.stale && !self.differs(handle));
        let batched = |slot: &Slot| self.handles.get(slot).is_some_and(|handle| handle.batch.is_some());
        match op {
            Op::Open { slot, .. } | Op::OpenUnnamed { slot, .. } => !empty(slot),
            Op::AnotherHandle { slot, of } => !empty(slot) || empty(of),
            Op::Close { slot } => empty(slot),
            Op::Link { files } => {
                let member = |slot: &Slot| self.handles.get(slot).map(|handle| handle.member);
                let first = files.first().map(|(slot, _)| member(slot));
                files.iter().any(|(slot, _)| empty(slot) || stale(slot) || Some(member(slot)) != first)
            }
            Op::MapStore { slot, span, .. } => {
                let end = span.offset + span.len;
                empty(slot) || stale(slot) || batched(slot) || self.published(*slot).len() < end
            }
            Op::Read { slot, .. }
            | Op::SeekData { slot, .. }
            | Op::SeekHole { slot, .. }
            | Op::Extents { slot }
            | Op::Stat { slot }
            | Op::Sync { slot }
            | Op::View { slot, .. }
            | Op::SharedMemory { slot }
            | Op::Defragment { slot, .. }
            | Op::Unlock { slot, .. } => empty(slot) || stale(slot),
            Op::Lock { slot, .. } => self.handles.get(slot).is_none_or(|handle| !self.may_lock(handle)),
            Op::Write { slot, .. }
            | Op::Append { slot, .. }
            | Op::SetLen { slot, .. }
            | Op::Allocate { slot, .. }
            | Op::ZeroRange { slot, .. }
            | Op::PunchHole { slot, .. }
            | Op::BatchOpen { slot } => empty(slot) || batched(slot),
            Op::CloneRange { target, source, .. }
            | Op::DedupeRange { target, source, .. }
            | Op::ReplaceContents { target, with: source } => {
                empty(target)
                    || empty(source)
                    || batched(target)
                    || stale(source)
                    || self.handles[target].member != self.handles[source].member
            }
            Op::BatchWrite { slot, .. }
            | Op::BatchWriteElsewhere { slot, .. }
            | Op::BatchRead { slot, .. }
            | Op::BatchSetLen { slot, .. }
            | Op::BatchDiscard { slot } => !batched(slot) || stale(slot),
            Op::BatchCommit { slot } => !batched(slot) || idle(slot),
            Op::BatchClose { slot } => !batched(slot),
            Op::CommitBatches { slots, .. } => !self.can_commit_together(slots) || slots.iter().any(idle),
            _ => false,
        }
    }

    /// Whether the batch of a handle would change its file.
    fn differs(&self, handle: &Handle) -> bool {
        let published = self.file(handle.node).map(|file| &file.content);
        let staged = handle.batch.as_ref();
        handle.dirty && staged.zip(published).is_some_and(|(staged, old)| staged.difference(old).is_some())
    }

    fn may_lock(&self, handle: &Handle) -> bool {
        handle.writable && self.file(handle.node).is_some_and(|file| !file.frozen)
    }

    fn can_commit_together(&self, slots: &[Slot]) -> bool {
        let mut unique = slots.to_vec();
        unique.sort_unstable();
        unique.dedup();
        let first = slots.first().and_then(|slot| self.handles.get(slot)).map(|handle| handle.member);
        !slots.is_empty()
            && unique.len() == slots.len()
            && slots.iter().all(|slot| {
                let handle = self.handles.get(slot);
                handle.is_some_and(|handle| handle.batch.is_some() && Some(handle.member) == first)
            })
    }

    /// Errors that the file layer may give where the model would succeed; the state then stays as it was.
    #[must_use]
    pub fn allowed_refusals(&self, op: &Op) -> &'static [ErrorKind] {
        match op {
            Op::Rollback { name, force, .. } => {
                let busy = !force && !self.handles.is_empty();
                let parent_gone = self
                    .snapshots
                    .get(name)
                    .is_some_and(|paths| paths.iter().any(|path| self.parent(path).is_err()));
                match (busy, parent_gone) {
                    (true, true) => &[ErrorKind::Busy, ErrorKind::NotFound],
                    (true, false) => &[ErrorKind::Busy],
                    (false, true) => &[ErrorKind::NotFound],
                    (false, false) => &[],
                }
            }
            Op::DeleteSnapshot { .. } if self.handles.values().any(|handle| self.is_frozen(handle)) => {
                &[ErrorKind::Busy]
            }
            _ => &[],
        }
    }

    fn is_frozen(&self, handle: &Handle) -> bool {
        self.file(handle.node).is_some_and(|file| file.frozen)
    }

    /// Performs an operation that is not void and says what the file layer is to give for it.
    pub fn apply(&mut self, op: &Op) -> Expected {
        match op {
            Op::CreateDir { path, .. } => done(self.create_dir(path)),
            Op::CreateDirAll { path, .. } => done(self.create_dir_all(path)),
            Op::RemoveDir { path, .. } => done(self.remove_dir(path, false)),
            Op::RemoveDirAll { path, .. } => done(self.remove_dir(path, true)),
            Op::RemoveFile { path, .. } => done(self.remove_file(path)),
            Op::Rename { from, to, .. } => done(self.rename(from, to)),
            Op::HardLink { existing, new, .. } => done(self.hard_link(existing, new)),
            Op::Link { files } => done(self.link(files)),
            Op::CloneTree { from, to, .. } => done(self.clone_tree(from, to)),
            Op::ReadDir { path, .. } => self.read_dir(path),
            Op::StatPath { path, .. } => self.stat_path(path),
            Op::Snapshot { name, paths, .. } => done(self.snapshot(name, paths)),
            Op::DeleteSnapshot { name, .. } => done(self.delete_snapshot(name)),
            Op::Rollback { name, force, .. } => done(self.rollback(name, *force)),
            Op::Receive { name, parent, to, .. } => done(self.receive(name, parent.as_deref(), to)),
            Op::ReceiveHalf { name, .. } => done(self.snapshot_paths(name).map(drop)),
            Op::Diff { from, to, .. } => match (self.lookup(from), self.lookup(to)) {
                (Ok(_), Ok(_)) => Expected::Difference,
                (Err(refusal), _) | (_, Err(refusal)) => Expected::Refused(refusal.0),
            },
            Op::Rejoin { member } => {
                let slots: Vec<Slot> =
                    self.slots().filter(|slot| self.handles[slot].member == *member).collect();
                slots.into_iter().for_each(|slot| self.close(slot));
                Expected::Value(Value::Done)
            }
            Op::Reopen | Op::Repair => {
                let slots: Vec<Slot> = self.slots().collect();
                slots.into_iter().for_each(|slot| self.close(slot));
                Expected::Value(Value::Done)
            }
            Op::Grow { .. }
            | Op::AbortReceives { .. }
            | Op::Dedupe { .. }
            | Op::Trim { .. }
            | Op::PoolSync { .. }
            | Op::Check { .. }
            | Op::Compare { .. }
            | Op::DropViews => Expected::Value(Value::Done),
            _ => self.apply_to_file(op),
        }
    }

    fn apply_to_file(&mut self, op: &Op) -> Expected {
        match op {
            Op::Open { slot, member, path, how } => done(self.open(*slot, *member, path, *how)),
            Op::OpenUnnamed { slot, member } => {
                self.open_unnamed(*slot, *member);
                Expected::Value(Value::Done)
            }
            Op::AnotherHandle { slot, of } => {
                self.another_handle(*slot, *of);
                Expected::Value(Value::Done)
            }
            Op::SharedMemory { .. } => Expected::Value(Value::Done),
            Op::Close { slot } => {
                self.close(*slot);
                Expected::Value(Value::Done)
            }
            Op::Write { slot, span, seed } | Op::MapStore { slot, span, seed } => {
                done(self.change(*slot).map(|content| content.write(span.offset, &bytes_of(*span, *seed))))
            }
            Op::Append { slot, len, seed } => {
                let at = self.published(*slot).len();
                let span = Span { offset: at, len: *len };
                match self.change(*slot).map(|content| content.write(at, &bytes_of(span, *seed))) {
                    Ok(()) => Expected::Value(Value::Number(at)),
                    Err(refusal) => Expected::Refused(refusal.0),
                }
            }
            Op::Read { slot, span } => Expected::Value(Value::Bytes(self.read(*slot, *span))),
            Op::SetLen { slot, len } => done(self.change(*slot).map(|content| content.set_len(*len))),
            Op::Allocate { slot, span, keep_size } => {
                let end = span.offset + span.len;
                done(self.change(*slot).map(|content| {
                    if !keep_size && end > content.len() {
                        content.set_len(end);
                    }
                }))
            }
            Op::ZeroRange { slot, span } => {
                done(self.change(*slot).map(|content| content.zero(span.offset, span.len)))
            }
            Op::PunchHole { slot, span } => {
                done(self.change(*slot).map(|content| content.punch(span.offset, span.len)))
            }
            Op::SeekData { offset, .. } => Expected::DataFrom(*offset),
            Op::SeekHole { offset, .. } => Expected::HoleFrom(*offset),
            Op::Extents { .. } => Expected::Extents,
            Op::Stat { slot } => self.stat_slot(*slot),
            Op::Sync { .. } => Expected::Value(Value::Done),
            Op::CloneRange { target, source, source_offset, span } => {
                done(self.clone_range(*target, *source, *source_offset, *span))
            }
            Op::DedupeRange { target, source, source_offset, span } => {
                match self.dedupe_range(*target, *source, *source_offset, *span) {
                    Ok(same) => Expected::Value(Value::Flag(same)),
                    Err(refusal) => Expected::Refused(refusal.0),
                }
            }
            Op::Defragment { .. } => Expected::Value(Value::Done),
            Op::ReplaceContents { target, with } => done(self.replace_contents(*target, *with)),
            Op::View { slot, span } => Expected::View(self.read(*slot, *span)),
            Op::Lock { slot, index, exclusive } => match self.lock(*slot, *index, *exclusive) {
                Ok(taken) => Expected::Value(Value::Flag(taken)),
                Err(refusal) => Expected::Refused(refusal.0),
            },
            Op::Unlock { slot, index } => {
                self.unlock(*slot, *index);
                Expected::Value(Value::Done)
            }
            _ => self.apply_to_batch(op),
        }
    }

    fn apply_to_batch(&mut self, op: &Op) -> Expected {
        match op {
            Op::BatchOpen { slot } => done(self.batch_open(*slot)),
            Op::BatchWrite { slot, span, seed } | Op::BatchWriteElsewhere { slot, span, seed } => {
                let content = self.batch_mut(*slot);
                if span.len > 0 && span.offset > content.len() {
                    content.blur_end();
                }
                content.write(span.offset, &bytes_of(*span, *seed));
                if span.len > 0 {
                    self.mark_batch(*slot, true);
                }
                Expected::Value(Value::Done)
            }
            Op::BatchRead { slot, span } => {
                let len = usize::try_from(span.len).expect("a span fits memory");
                Expected::Value(Value::Bytes(self.batch_mut(*slot).read(span.offset, len)))
            }
            Op::BatchSetLen { slot, len } => {
                let content = self.batch_mut(*slot);
                if *len > content.len() {
                    content.blur_end();
                }
                let changed = content.len() != *len;
                content.set_len(*len);
                if changed {
                    self.mark_batch(*slot, true);
                }
                Expected::Value(Value::Done)
            }
            Op::BatchCommit { slot } => done(self.batch_commit(&[*slot])),
            Op::BatchDiscard { slot } => {
                self.batch_discard(*slot);
                Expected::Value(Value::Done)
            }
            Op::BatchClose { slot } => {
                self.batch_close(*slot);
                Expected::Value(Value::Done)
            }
            Op::CommitBatches { slots, unlink } => done(self.commit_batches(slots, unlink.as_deref())),
            other => panic!("{other:?} is not modelled"),
        }
    }

    fn commit_batches(&mut self, slots: &[Slot], unlink: Option<&str>) -> Modelled<()> {
        let before = unlink.map(|_| self.clone());
        self.batch_commit(slots).map_err(|refusal| match unlink {
            Some(_) if refusal == STALE => STALE_OR_NAME,
            _ => refusal,
        })?;
        let Some(path) = unlink else { return Ok(()) };
        self.remove_file(path).inspect_err(|_| {
            if let Some(before) = before {
                *self = before;
            }
        })
    }

    fn read(&self, slot: Slot, span: Span) -> Vec<u8> {
        self.published(slot).read(span.offset, usize::try_from(span.len).expect("a span fits memory"))
    }

    fn read_dir(&self, path: &str) -> Expected {
        match self.lookup(path) {
            Ok(id) if self.file(id).is_some() => Expected::Refused(&[ErrorKind::NotADirectory]),
            Ok(id) => {
                let names = self.names(id).into_iter().map(|(name, _)| name.to_owned()).collect();
                Expected::Value(Value::Names(names))
            }
            Err(refusal) => Expected::Refused(refusal.0),
        }
    }

    fn stat_path(&self, path: &str) -> Expected {
        match self.lookup(path) {
            Ok(id) => Expected::Value(self.stat_node(id)),
            Err(refusal) => Expected::Refused(refusal.0),
        }
    }

    fn stat_slot(&self, slot: Slot) -> Expected {
        Expected::Value(self.stat_node(self.handles[&slot].node))
    }

    /// What `metadata` is to say of a node.
    #[must_use]
    pub fn stat_node(&self, id: super::NodeId) -> Value {
        match self.node(id) {
            Node::File(file) => Value::File { len: file.content.len(), links: file.links },
            Node::Directory(_) => Value::Directory,
        }
    }
}
