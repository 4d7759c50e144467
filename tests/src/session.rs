//! A pool and the model side by side: performs each operation on both and compares what they give.

mod perform;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use daxcow::{Batch, CreateOptions, ErrorKind, File, FileKind, OpenOptions, Pool, View};

use crate::compare;
use crate::model::{Model, SNAPSHOTS, is_within};
use crate::op::{Found, Member, Op, Slot, Value};
use crate::rng::pattern;

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
    /// One that was closed, to be opened again.
    closed: Option<Batch>,
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
            Op::Repair => return self.repair(),
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

fn bytes(len: u64, seed: u64) -> Vec<u8> {
    pattern(seed, usize::try_from(len).expect("a span fits memory"))
}
