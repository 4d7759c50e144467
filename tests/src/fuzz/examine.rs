//! Using everything in a damaged pool: it is opened, checked, listed, read, compared, written, closed and opened again; or only
//! read; or repaired, and repaired again, which then must have nothing to do. Errors are right answers, as long as they are typed
//! and come soon.

use std::path::{Path, PathBuf};

use daxcow::{ErrorKind, FileKind, FileOptions, OpenOptions, Pool, RollbackOptions};

use super::clock::Clock;

/// Directories and files that are looked at: a damaged pool may have names without end.
const NAMES_MAX: usize = 400;
/// Bytes of one file that are read.
const BYTES_MAX: u64 = 3 << 20;
/// Bytes mapped in a file whose extents are listed: a map of 2^48 bytes may be told by a few nodes.
const LISTED_MAX: u64 = 16 << 20;

/// What was seen of a pool.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// It could be opened for writing.
    pub opened: bool,
    /// Problems that the first check named.
    pub problems: usize,
    /// Calls that failed.
    pub errors: usize,
}

/// What is done with a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// It is opened and written.
    Write,
    /// It is opened for reading its snapshots.
    Read,
    /// It is repaired.
    Repair,
}

impl Mode {
    /// The mode that a number chooses.
    #[must_use]
    pub const fn of(number: u8) -> Mode {
        match number % 4 {
            0 => Mode::Read,
            1 => Mode::Repair,
            _ => Mode::Write,
        }
    }
}

struct Examination {
    seen: Seen,
    clock: Clock,
}

impl Examination {
    /// Notes the answer of a call. The error is one that no damage may bring about.
    fn note<T>(&mut self, what: &str, answer: daxcow::Result<T>) -> Result<Option<T>, String> {
        self.clock.lap(what)?;
        match answer {
            Ok(value) => Ok(Some(value)),
            Err(error) if matches!(error.kind(), ErrorKind::Forked | ErrorKind::Io | ErrorKind::Busy) => {
                Err(format!("{what}: {error:?}"))
            }
            Err(error) => {
                if error.kind() == ErrorKind::Corrupt && !error.to_string().contains(' ') {
                    return Err(format!("{what}: {error:?} says neither what nor where"));
                }
                self.seen.errors += 1;
                Ok(None)
            }
        }
    }
}

/// Uses everything in the pool at `path`.
///
/// # Errors
/// What no pool may do, whatever its bytes.
pub fn examine(path: &Path, mode: Mode) -> Result<Seen, String> {
    let mut examination = Examination { seen: Seen::default(), clock: Clock::start() };
    match mode {
        Mode::Write => examination.write(path)?,
        Mode::Read => {
            let opened = Pool::open(path, &OpenOptions::new().read_only(true));
            if let Some(pool) = examination.note("open for reading", opened)? {
                examination.note("check a view", pool.check())?;
                examination.read_all(&pool)?;
            }
        }
        Mode::Repair => examination.repair(path)?,
    }
    Ok(examination.seen)
}

impl Examination {
    fn write(&mut self, path: &Path) -> Result<(), String> {
        let Some(pool) = self.note("open", Pool::open(path, &OpenOptions::new()))? else { return Ok(()) };
        self.seen.opened = true;
        let report = self.note("check", pool.check())?;
        self.seen.problems = report.map_or(0, |report| report.problems.len());
        self.read_all(&pool)?;
        self.change_all(&pool)?;
        self.note("check", pool.check())?;
        self.note("close", pool.close())?;
        if let Some(pool) = self.note("open again", Pool::open(path, &OpenOptions::new()))? {
            self.note("check again", pool.check())?;
            self.note("close again", pool.close())?;
        }
        Ok(())
    }

    fn repair(&mut self, path: &Path) -> Result<(), String> {
        let repaired = Pool::repair(path, &OpenOptions::new());
        let Some(first) = self.note("repair", repaired)? else { return Ok(()) };
        let Some(second) = self.note("repair again", Pool::repair(path, &OpenOptions::new()))? else {
            return Err("a pool that was repaired is refused".to_owned());
        };
        if !second.repaired.is_empty() {
            return Err(format!("a repair left something for the next one: {:#?}", second.repaired));
        }
        self.seen.problems = first.repaired.len() + first.left.problems.len();
        let Some(pool) = self.note("open", Pool::open(path, &OpenOptions::new()))? else {
            return Err("a pool that was repaired is not opened".to_owned());
        };
        self.seen.opened = true;
        self.read_all(&pool)?;
        self.note("close", pool.close()).map(drop)
    }

    fn read_all(&mut self, pool: &Pool) -> Result<(), String> {
        let mut waiting = vec![PathBuf::from("/")];
        let mut names = 0;
        while let Some(path) = waiting.pop() {
            names += 1;
            if names > NAMES_MAX {
                break;
            }
            let Some(metadata) = self.note("metadata", pool.metadata(&path))? else { continue };
            match metadata.kind {
                FileKind::Directory => {
                    let entries = self.note("read_dir", pool.read_dir(&path))?.unwrap_or_default();
                    waiting.extend(entries.into_iter().map(|entry| path.join(entry.name)));
                }
                FileKind::File => self.read(pool, &path, metadata.allocated_bytes)?,
            }
        }
        self.note("snapshots", pool.snapshots())?;
        self.note("info", pool.info())?;
        self.note("usage", pool.usage())?;
        for (from, to) in
            [("/.snapshots/s", "/"), ("/b", "/d/clone"), ("/", "/.snapshots/part"), ("/d", "/many")]
        {
            self.note("diff", pool.diff(from, to))?;
        }
        Ok(())
    }

    fn read(&mut self, pool: &Pool, path: &Path, allocated: u64) -> Result<(), String> {
        let opened = pool.open_file(path, &FileOptions::new().read(true));
        let Some(file) = self.note("open_file", opened)? else { return Ok(()) };
        let len = self.note("len", file.len())?.unwrap_or(0);
        let mut bytes = vec![0; usize::try_from(len.min(BYTES_MAX)).expect("bounded")];
        self.note("read_at", file.read_at(&mut bytes, 0))?;
        self.note("read_at the end", file.read_at(&mut [0; 5000], len.saturating_sub(4097)))?;
        self.note("view", file.view(0, 4096))?;
        if allocated < LISTED_MAX {
            self.note("extents", file.extents())?;
            self.note("seek_data", file.seek_data(1))?;
            self.note("seek_hole", file.seek_hole(0))?;
        }
        Ok(())
    }

    fn change_all(&mut self, pool: &Pool) -> Result<(), String> {
        for path in ["/new", "/a", "/b", "/d/e/f", "/tall", "/many/7", "/d/clone"] {
            self.change(pool, path)?;
        }
        self.note("clone_tree", pool.clone_tree("/d", "/copy"))?;
        self.note("rename", pool.rename("/a", "/many/moved"))?;
        self.note("rename over", pool.rename("/tail", "/b"))?;
        self.note("rename a directory", pool.rename("/d/e", "/e"))?;
        self.note("hard_link", pool.hard_link("/b", "/many/linked"))?;
        self.note("create_dir_all", pool.create_dir_all("/x/y/z"))?;
        self.note("remove_dir", pool.remove_dir("/x/y/z"))?;
        self.note("create_snapshot", pool.create_snapshot::<&str>("t", &[]))?;
        self.note("create_snapshot of a part", pool.create_snapshot("u", &["/d", "/b"]))?;
        self.note("rollback", pool.rollback("part", RollbackOptions { force: true }))?;
        self.note("rollback", pool.rollback("t", RollbackOptions { force: true }))?;
        self.note("delete_snapshot", pool.delete_snapshot("s"))?;
        self.note("remove_dir_all", pool.remove_dir_all("/many"))?;
        self.note("remove_file", pool.remove_file("/b"))?;
        self.note("sync", pool.sync())?;
        self.note("trim", pool.trim())?;
        Ok(())
    }

    fn change(&mut self, pool: &Pool, path: &str) -> Result<(), String> {
        let options = FileOptions::new().read(true).write(true).create(true);
        let Some(file) = self.note("open_file", pool.open_file(path, &options))? else { return Ok(()) };
        self.note("write_at", file.write_at(&[1; 10_000], 5_000))?;
        self.note("append", file.append(&[2; 5_000]))?;
        self.note("punch_hole", file.punch_hole(4_096, 8_192))?;
        self.note("zero_range", file.zero_range(100, 9_000))?;
        self.note("allocate", file.allocate(0, 50_000, true))?;
        self.note("clone_range", file.clone_range(&file, 0, 1 << 20, 8_192))?;
        if let Some(mut batch) = self.note("batch", file.batch())? {
            self.note("write_at a batch", batch.write_at(&[3; 20_000], 7_000))?;
            self.note("read_at a batch", batch.read_at(&mut [0; 9_000], 6_000))?;
            self.note("commit", batch.commit())?;
        }
        self.note("set_len", file.set_len(4_000))?;
        self.note("try_lock", file.try_lock(1, daxcow::LockMode::Exclusive))?;
        self.note("file sync", file.sync())?;
        Ok(())
    }
}
