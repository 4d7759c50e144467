//! Performing an operation on the pool: from plain data to a call of the file layer.

use std::path::Path;

use daxcow::{Batch, Dedupe, DedupeOptions, File, FileOptions, LockMode, OpenOptions, Pool, RollbackOptions};

use super::{Live, Session, bytes};
use crate::model::{SNAPSHOTS, is_within};
use crate::op::{Found, Member, Op, OpenHow, Slot, Span, Value};
use crate::streamed::{abort_receives, receive_half, receive_own};
use crate::{compare, mapped, views};

/// Bytes of a file's shared memory that an operation attaches to.
const SHARED_BYTES: usize = 32 << 10;

impl Session {
    pub(super) fn perform_on_names(&mut self, op: &Op) -> daxcow::Result<Value> {
        let real = |path: &str| self.real_path(path);
        let done = match op {
            Op::CreateDir { member, path } => self.pool(*member).create_dir(real(path)),
            Op::CreateDirAll { member, path } => self.pool(*member).create_dir_all(real(path)),
            Op::RemoveDir { member, path } => self.pool(*member).remove_dir(real(path)),
            Op::RemoveDirAll { member, path } => self.pool(*member).remove_dir_all(real(path)),
            Op::RemoveFile { member, path } => self.pool(*member).remove_file(real(path)),
            Op::Rename { member, from, to } => self.pool(*member).rename(real(from), real(to)),
            Op::HardLink { member, existing, new } => self.pool(*member).hard_link(real(existing), real(new)),
            Op::Link { files } => {
                let member = self.model.handle(files[0].0).map_or(0, |handle| handle.member);
                let named = files.iter().map(|(slot, path)| (self.file(*slot), real(path)));
                self.pool(member).link(&named.collect::<Vec<_>>())
            }
            Op::CloneTree { member, from, to } => self.pool(*member).clone_tree(real(from), real(to)),
            Op::ReadDir { member, path } => return self.list(*member, path),
            Op::StatPath { member, path } => {
                return self.pool(*member).metadata(real(path)).map(|metadata| compare::stat(&metadata));
            }
            Op::Snapshot { member, name, paths } => {
                let mut paths: Vec<String> = paths.iter().map(|path| real(path)).collect();
                if paths.is_empty() && !self.setup.base.is_empty() {
                    paths.push(self.setup.base.clone());
                }
                self.pool(*member).create_snapshot(&self.real_name(name), &paths).map(drop)
            }
            Op::DeleteSnapshot { member, name } => self.pool(*member).delete_snapshot(&self.real_name(name)),
            Op::Rollback { member, name, force } => {
                self.pool(*member).rollback(&self.real_name(name), RollbackOptions { force: *force })
            }
            Op::Receive { member, name, parent, to } => {
                let (name, to) = (self.real_name(name), self.real_name(to));
                let parent = parent.as_ref().map(|parent| self.real_name(parent));
                receive_own(self.pool(*member), &name, parent.as_deref(), &to)
            }
            Op::ReceiveHalf { member, name } => receive_half(self.pool(*member), &self.real_name(name)),
            Op::AbortReceives { member } => abort_receives(self.pool(*member)),
            Op::Grow { member, bytes } => {
                let pool = self.pool(*member);
                pool.info().and_then(|info| pool.grow(info.size_bytes + bytes))
            }
            Op::Dedupe { member } => {
                let base = &self.setup.base;
                let paths: &[&String] = if base.is_empty() { &[] } else { &[base] };
                self.pool(*member).dedupe(paths, DedupeOptions::new(), &mut |_| {}).map(drop)
            }
            Op::Trim { member } => self.pool(*member).trim().map(drop),
            Op::PoolSync { member } => self.pool(*member).sync(),
            Op::Open { slot, member, path, how } => {
                let path = self.real_path(path);
                let opened = self.pool(*member).open_file(path, &options(*how));
                opened.map(|file| {
                    self.live.insert(*slot, Live { file, batch: None, closed: None });
                })
            }
            Op::OpenUnnamed { slot, member } => {
                let opened = self.pool(*member).open_unnamed();
                opened.map(|file| {
                    self.live.insert(*slot, Live { file, batch: None, closed: None });
                })
            }
            Op::AnotherHandle { slot, of } => {
                let file = self.file(*of).another_handle();
                self.live.insert(*slot, Live { file, batch: None, closed: None });
                Ok(())
            }
            Op::Close { slot } => {
                self.live.remove(slot);
                Ok(())
            }
            _ => return self.perform_on_file(op),
        };
        done.map(|()| Value::Done)
    }

    fn list(&self, member: Member, path: &str) -> daxcow::Result<Value> {
        let entries = self.pool(member).read_dir(self.real_path(path))?;
        let names = entries.into_iter().map(|entry| entry.name.to_string_lossy().into_owned());
        let in_root = path == "/";
        Ok(Value::Names(names.filter(|name| !(in_root && is_within(name, SNAPSHOTS))).collect()))
    }

    pub(super) fn file(&self, slot: Slot) -> &File {
        &self.live[&slot].file
    }

    fn perform_on_file(&mut self, op: &Op) -> daxcow::Result<Value> {
        let done = match op {
            Op::Write { slot, span, seed } => self.file(*slot).write_at(&bytes(span.len, *seed), span.offset),
            Op::Append { slot, len, seed } => {
                return self.file(*slot).append(&bytes(*len, *seed)).map(Value::Number);
            }
            Op::Read { slot, span } => {
                return read_with(*span, |into| self.file(*slot).read_at(into, span.offset));
            }
            Op::SetLen { slot, len } => self.file(*slot).set_len(*len),
            Op::Allocate { slot, span, keep_size } => {
                self.file(*slot).allocate(span.offset, span.len, *keep_size)
            }
            Op::ZeroRange { slot, span } => self.file(*slot).zero_range(span.offset, span.len),
            Op::PunchHole { slot, span } => self.file(*slot).punch_hole(span.offset, span.len),
            Op::SeekData { slot, offset } => return self.file(*slot).seek_data(*offset).map(Value::Position),
            Op::SeekHole { slot, offset } => return self.file(*slot).seek_hole(*offset).map(Value::Number),
            Op::Extents { slot } => return compare::extents(self.file(*slot), self.model.content(*slot)),
            Op::Stat { slot } => return self.file(*slot).metadata().map(|metadata| compare::stat(&metadata)),
            Op::Sync { slot } => self.file(*slot).sync(),
            Op::CloneRange { target, source, source_offset, span } => {
                self.file(*target).clone_range(self.file(*source), *source_offset, span.offset, span.len)
            }
            Op::DedupeRange { target, source, source_offset, span } => {
                let source = self.file(*source);
                let found = self.file(*target).dedupe_range(source, *source_offset, span.offset, span.len)?;
                return Ok(Value::Flag(found == Dedupe::Same { bytes: span.len }));
            }
            Op::Defragment { slot, span } => self.file(*slot).defragment(span.offset, span.len).map(drop),
            Op::ReplaceContents { target, with } => self.file(*target).replace_contents(self.file(*with)),
            Op::View { slot, span } => return self.view(*slot, *span),
            Op::MapStore { slot, span, seed } => mapped::store_flushed(self.file(*slot), *span, *seed),
            Op::Lock { slot, index, exclusive } => {
                let mode = if *exclusive { LockMode::Exclusive } else { LockMode::Shared };
                return self.file(*slot).try_lock(*index, mode).map(Value::Flag);
            }
            Op::Unlock { slot, index } => self.file(*slot).unlock(*index),
            Op::SharedMemory { slot } => self.file(*slot).shared_memory().and_then(|memory| {
                memory.region(0, SHARED_BYTES, true)?;
                memory.detach(true)
            }),
            _ => return self.perform_on_batch(op),
        };
        done.map(|()| Value::Done)
    }

    fn view(&mut self, slot: Slot, span: Span) -> daxcow::Result<Value> {
        let len = usize::try_from(span.len).expect("a span fits memory");
        let Some(view) = self.file(slot).view(span.offset, len)? else { return Ok(Value::Position(None)) };
        let seen = views::bytes(&view).to_vec();
        self.views.push((view, seen.clone()));
        Ok(Value::Bytes(seen))
    }

    /// Drops all views after a last look: none may have changed.
    pub(super) fn drop_views(&mut self) -> Result<(), String> {
        let changed = self.views.iter().position(|(view, seen)| views::bytes(view) != seen);
        let failed = self.views.iter().any(|(view, _)| view.is_failed());
        self.views.clear();
        match changed {
            _ if failed => Err("a view failed".into()),
            Some(index) => Err(format!("view {index} changed while it was held")),
            None => Ok(()),
        }
    }

    fn perform_on_batch(&mut self, op: &Op) -> daxcow::Result<Value> {
        let done = match op {
            Op::BatchOpen { slot } => {
                let live = self.live.get_mut(slot).expect("the model knows which slots are in use");
                match &mut live.closed {
                    Some(batch) => batch.reopen().map(|()| live.batch = live.closed.take()),
                    None => live.file.batch().map(|batch| live.batch = Some(batch)),
                }
            }
            Op::BatchClose { slot } => {
                self.batch(*slot).close();
                let live = self.live.get_mut(slot).expect("the model knows which slots are in use");
                live.closed = live.batch.take();
                Ok(())
            }
            Op::BatchWrite { slot, span, seed } => {
                self.batch(*slot).write_at(&bytes(span.len, *seed), span.offset)
            }
            Op::BatchWriteElsewhere { slot, span, seed } => {
                let batch = self.batch(*slot);
                std::thread::scope(|scope| {
                    let written = scope.spawn(|| batch.write_at(&bytes(span.len, *seed), span.offset));
                    written.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
            }
            Op::BatchRead { slot, span } => {
                let batch = self.batch(*slot);
                return read_with(*span, |into| batch.read_at(into, span.offset));
            }
            Op::BatchSetLen { slot, len } => self.batch(*slot).set_len(*len),
            Op::BatchCommit { slot } => self.batch(*slot).commit(),
            Op::BatchDiscard { slot } => {
                self.batch(*slot).discard();
                Ok(())
            }
            Op::CommitBatches { slots, unlink } => {
                let member = self.model.handle(slots[0]).map_or(0, |handle| handle.member);
                let pool = self.pool(member).clone();
                let unlink = unlink.as_ref().map(|path| self.real_path(path));
                let chosen = self.live.iter_mut().filter(|(slot, _)| slots.contains(slot));
                let mut batches: Vec<&mut Batch> =
                    chosen.filter_map(|(_, live)| live.batch.as_mut()).collect();
                pool.commit_batches(&mut batches, unlink.as_ref().map(Path::new))
            }
            other => panic!("{other:?} is performed nowhere"),
        };
        done.map(|()| Value::Done)
    }

    fn batch(&mut self, slot: Slot) -> &mut Batch {
        let live = self.live.get_mut(&slot).expect("the model knows which slots are in use");
        live.batch.as_mut().expect("the model knows which slots have batches")
    }

    pub(super) fn rejoin(&mut self, member: Member) -> daxcow::Result<Value> {
        let index = member % self.members.len();
        let held = |slot: &Slot| self.model.handle(*slot).is_some_and(|handle| handle.member == member);
        self.live.retain(|slot, _| !held(slot));
        self.members[index] = None;
        self.members[index] = Some(Pool::open(&self.setup.pool, &OpenOptions::new())?);
        Ok(Value::Done)
    }

    pub(super) fn reopen(&mut self) -> daxcow::Result<Value> {
        self.close_all()?;
        self.open_all()
    }

    /// A repair finds nothing to do.
    pub(super) fn repair(&mut self) -> Result<Found, String> {
        let repaired = self.close_all().and_then(|()| Pool::repair(&self.setup.pool, &OpenOptions::new()));
        let opened = self.open_all();
        match repaired {
            Ok(report) if !report.repaired.is_empty() => Err(format!("repaired {:?}", report.repaired)),
            Ok(report) if !report.left.is_clean() => Err(format!("not repaired: {:?}", report.left)),
            repaired => Ok(repaired.and(opened).map_err(|error| error.kind())),
        }
    }

    fn close_all(&mut self) -> daxcow::Result<()> {
        self.live.clear();
        self.views.clear();
        for index in 0..self.members.len() {
            if let Some(pool) = self.members[index].take() {
                pool.close()?;
            }
        }
        Ok(())
    }

    fn open_all(&mut self) -> daxcow::Result<Value> {
        for member in &mut self.members {
            *member = Some(Pool::open(&self.setup.pool, &OpenOptions::new())?);
        }
        Ok(Value::Done)
    }
}

fn options(how: OpenHow) -> FileOptions {
    FileOptions::new()
        .read(true)
        .write(how.write)
        .create(how.create)
        .create_new(how.create_new)
        .truncate(how.truncate)
}

/// Reads into a buffer that holds other bytes before, so that what is not filled shows.
fn read_with(span: Span, read: impl FnOnce(&mut [u8]) -> daxcow::Result<usize>) -> daxcow::Result<Value> {
    let mut buffer = vec![0xa5; usize::try_from(span.len).expect("a span fits memory")];
    let count = read(&mut buffer)?;
    buffer.truncate(count);
    Ok(Value::Bytes(buffer))
}
