//! A pool and the model side by side: performs each operation on both and compares what they give.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use daxcow::{
    Batch, CreateOptions, Dedupe, DedupeOptions, ErrorKind, File, FileKind, FileOptions, LockMode,
    OpenOptions, Pool, RollbackOptions, View,
};

use crate::compare;
use crate::model::{Model, SNAPSHOTS, is_within};
use crate::op::{Found, Member, Op, OpenHow, Slot, Span, Value};
use crate::rng::pattern;
use crate::views;

/// What a session runs on.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The pool's path on the host.
    pub pool: PathBuf,
    /// Members of this process, at least 1.
    pub members: usize,
    /// The directory of the pool that the session has to itself, such as `/w3`; empty for the whole pool.
    pub base: String,
    /// Errors that may come at any time because the pool is small: the state then stays as it was.
    pub may_run_out: bool,
}

/// An open file with its batch. The batch is declared first, so that it goes first.
struct Live {
    batch: Option<Batch>,
    file: File,
}

/// A pool in step with its model.
pub struct Session {
    setup: Setup,
    /// What the pool should hold.
    pub model: Model,
    live: BTreeMap<Slot, Live>,
    views: Vec<(View, Vec<u8>)>,
    members: Vec<Option<Pool>>,
    /// What the pool said when it last refused.
    last_error: String,
    /// Operations that were refused for a reason that [`Setup`] allows for.
    pub refusals: u64,
}

/// Bytes of a file's shared memory that an operation attaches to.
const SHARED_BYTES: usize = 32 << 10;

/// An operation that gave something else than it should.
#[derive(Debug)]
pub struct Mismatch(pub String);

impl Session {
    /// A session on a new pool of `size` bytes.
    ///
    /// # Errors
    /// Where the pool cannot be made.
    pub fn create(setup: Setup, options: &CreateOptions) -> daxcow::Result<Session> {
        Pool::create(&setup.pool, options)?.close()?;
        Session::join(setup)
    }

    /// A session on a pool that exists; its base directory, if any, is made here and is empty.
    ///
    /// # Errors
    /// Where the pool cannot be opened.
    pub fn join(setup: Setup) -> daxcow::Result<Session> {
        let session = Session::resume(setup, Model::default())?;
        if !session.setup.base.is_empty() {
            session.pool(0).create_dir(&session.setup.base)?;
        }
        Ok(session)
    }

    /// A session on a pool that exists and holds what `model` says, in the session's directory; all its files are closed.
    ///
    /// # Errors
    /// Where the pool cannot be opened.
    pub fn resume(setup: Setup, model: Model) -> daxcow::Result<Session> {
        let mut members = Vec::new();
        for _ in 0..setup.members {
            members.push(Some(Pool::open(&setup.pool, &OpenOptions::new())?));
        }
        Ok(Session {
            setup,
            model,
            live: BTreeMap::new(),
            views: Vec::new(),
            members,
            last_error: String::new(),
            refusals: 0,
        })
    }

    /// Ends the session as the crash of a machine does.
    #[cfg(feature = "sim")]
    pub fn abandon(mut self) {
        self.live.clear();
        self.views.clear();
        self.members.drain(..).flatten().for_each(Pool::abandon);
    }

    /// The pool as member `member` has it open.
    #[must_use]
    pub fn pool(&self, member: Member) -> &Pool {
        let index = member % self.members.len();
        self.members[index].as_ref().expect("a member is only missing while it rejoins")
    }

    /// The path in the pool that `path` of the model means.
    #[must_use]
    pub fn real_path(&self, path: &str) -> String {
        real_path(&self.setup.base, path)
    }

    /// The snapshot name that `name` of the model means.
    fn real_name(&self, name: &str) -> String {
        real_name(&self.setup.base, name)
    }

    /// Performs `op` on both sides.
    ///
    /// # Errors
    /// A sentence saying what was expected and what was found.
    pub fn step(&mut self, op: &Op) -> Result<(), Mismatch> {
        if self.model.is_void(op) {
            return Ok(());
        }
        let performed = catch_unwind(AssertUnwindSafe(|| self.perform(op)));
        let found = performed.map_err(|panic| Mismatch(panic_text(&*panic)))?.map_err(Mismatch)?;
        if let Err(kind) = &found
            && self.may_refuse(op, *kind)
        {
            self.refusals += 1;
            return self.adopt_prefix(op).map_err(Mismatch);
        }
        let before = matches!(op, Op::Diff { .. }).then(|| self.model.clone());
        let expected = self.model.apply(op);
        let judged = compare::judge(before.as_ref().unwrap_or(&self.model), op, &expected, &found);
        judged.map_err(|difference| match found {
            Err(_) => Mismatch(format!("expected {difference}: {}", self.last_error)),
            Ok(_) => Mismatch(format!("expected {difference}")),
        })
    }

    fn may_refuse(&self, op: &Op, kind: ErrorKind) -> bool {
        let ran_out = matches!(kind, ErrorKind::NoSpace | ErrorKind::NoInodes);
        let shared = !self.setup.base.is_empty()
            && matches!(
                op,
                Op::Rollback { .. } | Op::Check { .. } | Op::Dedupe { .. } | Op::Defragment { .. }
            );
        (self.setup.may_run_out && ran_out)
            || (shared && kind == ErrorKind::Busy)
            || self.model.allowed_refusals(op).contains(&kind)
    }

    /// A write that ran out of space may have written a beginning, and directories may have been made from the top: makes
    /// that the model's state too, after checking that nothing else of the file has changed.
    fn adopt_prefix(&mut self, op: &Op) -> Result<(), String> {
        let (slot, start, bytes) = match op {
            Op::CreateDirAll { member, path } => return self.adopt_directories(*member, path),
            Op::Write { slot, span, seed } => (*slot, Some(span.offset), bytes(span.len, *seed)),
            Op::Append { slot, len, seed } => (*slot, None, bytes(*len, *seed)),
            _ => return Ok(()),
        };
        let Some(before) = self.model.content(slot) else { return Ok(()) };
        let found = compare::read_sparse(self.file(slot)).map_err(|error| error.to_string())?;
        let start = start.unwrap_or(before.len());
        let seen = found.read(start, bytes.len());
        let written = seen.iter().zip(&bytes).take_while(|(seen, new)| seen == new).count();
        let mut expected = before.clone();
        expected.write(start, &bytes[..written]);
        expected.set_len(before.len());
        if let Some(difference) = expected.difference(&found) {
            return Err(format!("out of space, with {written} bytes written: the file is {difference}"));
        }
        let node = self.model.handle(slot).map(|handle| handle.node);
        node.into_iter().for_each(|node| self.model.set_content(node, expected.clone()));
        Ok(())
    }

    /// Makes those directories on the way to `path` in the model that are there.
    fn adopt_directories(&mut self, member: Member, path: &str) -> Result<(), String> {
        let ends = path.match_indices('/').map(|(at, _)| at).filter(|&at| at > 0).chain([path.len()]);
        for part in ends.map(|end| &path[..end]) {
            if self.pool(member).exists(self.real_path(part)).map_err(|error| error.to_string())? {
                self.model.apply(&Op::CreateDirAll { member, path: part.into() });
            }
        }
        Ok(())
    }

    /// Performs `op` on the pool. The outer error is a broken promise that no error kind expresses.
    fn perform(&mut self, op: &Op) -> Result<Found, String> {
        let found = match op {
            Op::DropViews => return self.drop_views().map(|()| Ok(Value::Done)),
            Op::Compare { member } => {
                compare::whole(&self.model, self.pool(*member), |path| self.real_path(path))?;
                return Ok(Ok(Value::Done));
            }
            Op::Check { member } => return self.check(*member),
            Op::Diff { member, from, to } => {
                let (from, to) = (self.real_path(from), self.real_path(to));
                match self.pool(*member).diff(&from, &to) {
                    Ok(entries) => {
                        return compare::difference(&self.model, op, &entries).map(|()| Ok(Value::Done));
                    }
                    Err(error) => Err(error),
                }
            }
            Op::Rejoin { member } => self.rejoin(*member),
            Op::Reopen => self.reopen(),
            _ => self.perform_on_names(op),
        };
        Ok(found.map_err(|error| {
            self.last_error = error.to_string();
            error.kind()
        }))
    }

    /// A check finds nothing wrong. Blocks without an owner are none either, once all drops are durable; but blocks under
    /// a view count as such, and other processes may be in the middle of things.
    fn check(&self, member: Member) -> Result<Found, String> {
        let pool = self.pool(member);
        let alone = self.views.is_empty() && self.setup.base.is_empty();
        let checked = pool.check().and_then(|report| match report.leaked_blocks {
            leaked if leaked > 0 && alone => self.sync_all().and_then(|()| pool.check()),
            _ => Ok(report),
        });
        match checked {
            Ok(report) if !report.is_clean() => Err(format!("check found {:?}", report.problems)),
            Ok(report) if report.leaked_blocks > 0 && alone => {
                Err(format!("{} blocks leaked", report.leaked_blocks))
            }
            Ok(_) => Ok(Ok(Value::Done)),
            Err(error) => Ok(Err(error.kind())),
        }
    }

    /// Lets every member make durable what it dropped.
    fn sync_all(&self) -> daxcow::Result<()> {
        self.members.iter().flatten().try_for_each(Pool::sync)
    }

    fn perform_on_names(&mut self, op: &Op) -> daxcow::Result<Value> {
        let real = |path: &str| self.real_path(path);
        let done = match op {
            Op::CreateDir { member, path } => self.pool(*member).create_dir(real(path)),
            Op::CreateDirAll { member, path } => self.pool(*member).create_dir_all(real(path)),
            Op::RemoveDir { member, path } => self.pool(*member).remove_dir(real(path)),
            Op::RemoveDirAll { member, path } => self.pool(*member).remove_dir_all(real(path)),
            Op::RemoveFile { member, path } => self.pool(*member).remove_file(real(path)),
            Op::Rename { member, from, to } => self.pool(*member).rename(real(from), real(to)),
            Op::HardLink { member, existing, new } => self.pool(*member).hard_link(real(existing), real(new)),
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
                    self.live.insert(*slot, Live { file, batch: None });
                })
            }
            Op::OpenUnnamed { slot, member } => {
                let opened = self.pool(*member).open_unnamed();
                opened.map(|file| {
                    self.live.insert(*slot, Live { file, batch: None });
                })
            }
            Op::AnotherHandle { slot, of } => {
                let file = self.file(*of).another_handle();
                self.live.insert(*slot, Live { file, batch: None });
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

    fn file(&self, slot: Slot) -> &File {
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
    fn drop_views(&mut self) -> Result<(), String> {
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
                self.file(*slot).batch().map(|batch| self.set_batch(*slot, Some(batch)))
            }
            Op::BatchClose { slot } => {
                self.set_batch(*slot, None);
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

    fn set_batch(&mut self, slot: Slot, batch: Option<Batch>) {
        if let Some(live) = self.live.get_mut(&slot) {
            live.batch = batch;
        }
    }

    fn rejoin(&mut self, member: Member) -> daxcow::Result<Value> {
        let index = member % self.members.len();
        let held = |slot: &Slot| self.model.handle(*slot).is_some_and(|handle| handle.member == member);
        self.live.retain(|slot, _| !held(slot));
        self.members[index] = None;
        self.members[index] = Some(Pool::open(&self.setup.pool, &OpenOptions::new())?);
        Ok(Value::Done)
    }

    fn reopen(&mut self) -> daxcow::Result<Value> {
        self.live.clear();
        self.views.clear();
        for index in 0..self.members.len() {
            if let Some(pool) = self.members[index].take() {
                pool.close()?;
            }
        }
        for member in &mut self.members {
            *member = Some(Pool::open(&self.setup.pool, &OpenOptions::new())?);
        }
        Ok(Value::Done)
    }

    /// Removes everything and every snapshot, so that the pool is as empty as it began.
    ///
    /// # Errors
    /// What the pool said to one of the removals.
    pub fn empty(&mut self) -> daxcow::Result<()> {
        self.live.clear();
        self.views.clear();
        let pool = self.pool(0).clone();
        for name in self.model.snapshots().keys() {
            pool.delete_snapshot(&self.real_name(name))?;
        }
        let top: Vec<String> =
            self.model.names(self.model.root()).iter().map(|(name, _)| (*name).into()).collect();
        for name in top.iter().filter(|name| !is_within(name, SNAPSHOTS)) {
            let path = self.real_path(&format!("/{name}"));
            match pool.metadata(&path)?.kind {
                FileKind::File => pool.remove_file(&path)?,
                FileKind::Directory => pool.remove_dir_all(&path)?,
            }
        }
        self.model = Model::default();
        if self.setup.base.is_empty() { Ok(()) } else { pool.remove_dir(&self.setup.base) }
    }
}

/// The path in the pool that `path` means to a session whose directory is `base`.
#[must_use]
pub fn real_path(base: &str, path: &str) -> String {
    if base.is_empty() {
        return path.to_owned();
    }
    match path.strip_prefix(SNAPSHOTS).and_then(|rest| rest.strip_prefix('/')) {
        Some(rest) => {
            let (name, below) = rest.split_once('/').unwrap_or((rest, ""));
            format!("{SNAPSHOTS}/{}{base}/{below}", real_name(base, name))
        }
        None => format!("{base}{path}"),
    }
}

fn real_name(base: &str, name: &str) -> String {
    format!("{}{name}", base.trim_start_matches('/'))
}

/// What a panic said.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without words"))
}

fn options(how: OpenHow) -> FileOptions {
    FileOptions::new()
        .read(true)
        .write(how.write)
        .create(how.create)
        .create_new(how.create_new)
        .truncate(how.truncate)
}

fn bytes(len: u64, seed: u64) -> Vec<u8> {
    pattern(seed, usize::try_from(len).expect("a span fits memory"))
}

/// Reads into a buffer that holds other bytes before, so that what is not filled shows.
fn read_with(span: Span, read: impl FnOnce(&mut [u8]) -> daxcow::Result<usize>) -> daxcow::Result<Value> {
    let mut buffer = vec![0xa5; usize::try_from(span.len).expect("a span fits memory")];
    let count = read(&mut buffer)?;
    buffer.truncate(count);
    Ok(Value::Bytes(buffer))
}
