//! A system call that fails, each kind at its N-th call, for all N: a clear error, nothing lost, nothing leaked.
//!
//! `DAXCOW_ALL=1` takes every N where there are many, in place of a sample.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod shim;

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use daxcow::units::BLOCK_BYTES;
use daxcow::{CreateOptions, Error, ErrorKind, FileOptions, OpenOptions, Pool, Result};
use daxcow_tests::fixture::{assert_clean, bytes, file, kind, new_pool, open_pool, put, readable};
use daxcow_tests::place::Place;
use daxcow_tests::rng::number_from_env;
use shim::Call;

/// One test at a time: descriptors and mappings of the whole process are counted.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kinds, the errno that each fails with, and one of the words by which an error names it.
const CALLS: [(Call, i32, &[&str]); 13] = [
    (Call::Msync, libc::EIO, &["msync"]),
    (Call::Fdatasync, libc::EIO, &["fdatasync"]),
    (Call::Fsync, libc::EIO, &["fsync"]),
    (Call::Mmap, libc::ENOMEM, &["map", "reserve address space"]),
    (Call::Madvise, libc::ENOMEM, &["map"]),
    (Call::Fallocate, libc::ENOSPC, &["fallocate"]),
    (Call::Fallocate, libc::EIO, &["fallocate"]),
    (Call::Ftruncate, libc::EFBIG, &["ftruncate", "fallocate"]),
    (Call::Open, libc::EMFILE, &["open", "create", "read"]),
    (Call::Fcntl, libc::ENOLCK, &["lock"]),
    (Call::Fstatfs, libc::EIO, &["statfs"]),
    (Call::Read, libc::EIO, &["read"]),
    (Call::Futex, libc::ENOSYS, &["futex"]),
];

/// What a workload had acknowledged when it ended.
#[derive(Default)]
struct Done {
    created: bool,
    files: Vec<Written>,
    snapshot: Option<Vec<u8>>,
    steps: u32,
}

fn options(sparse: bool) -> CreateOptions {
    CreateOptions::new().size(16 << 20).sparse(sparse)
}

/// A file, its acknowledged contents, and those it is getting: a change whose outcome was an error may be there or not.
struct Written {
    path: &'static str,
    content: Vec<u8>,
    coming: Vec<u8>,
}

impl Written {
    fn new(path: &'static str) -> Written {
        Written { path, content: Vec::new(), coming: Vec::new() }
    }

    /// Performs a change that puts `bytes` at the beginning of the file.
    fn write(&mut self, bytes: Vec<u8>, change: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
        let rest = self.content.get(bytes.len()..).unwrap_or_default();
        self.coming = [&bytes, rest].concat();
        change(&bytes)?;
        self.content.clone_from(&self.coming);
        Ok(())
    }

    fn check(&self, pool: &Pool, what: &str) {
        let found = daxcow_tests::fixture::get(pool, self.path);
        let known =
            |at: usize, byte| [&self.content, &self.coming].iter().any(|bytes| bytes.get(at) == Some(byte));
        let lengths = [self.content.len(), self.coming.len()];
        assert!(lengths.contains(&found.len()), "{what}: {} has {} bytes", self.path, found.len());
        let other = (0..).zip(&found).find(|&(at, byte)| !known(at, byte));
        assert_eq!(other, None, "{what}: {} has other bytes", self.path);
    }
}

/// Everything that makes system calls, step by step, to the first error.
fn workload(path: &Path, sparse: bool, done: &mut Done) -> Result<()> {
    let pool = Pool::create(path, &options(sparse))?;
    done.created = true;
    let rw = FileOptions::new().read(true).write(true).create(true);
    let first = pool.open_file("/first", &rw)?;
    done.files.push(Written::new("/first"));
    done.files[0].write(bytes(1, 3 * BLOCK_BYTES), |bytes| first.write_at(bytes, 0))?;
    pool.sync()?;
    pool.create_snapshot::<&str>("s", &[])?;
    done.snapshot = Some(done.files[0].content.clone());
    done.steps = 1;
    pool.grow(18 << 20)?;
    let mut batch = first.batch()?;
    done.files[0].write(bytes(2, 2 * BLOCK_BYTES), |bytes| {
        batch.write_at(bytes, 0)?;
        batch.commit()
    })?;
    drop(batch);
    first.sync()?;
    done.steps = 2;
    let other = Pool::open(path, &OpenOptions::new())?;
    let second = other.open_file("/second", &rw)?;
    done.files.push(Written::new("/second"));
    done.files[1].write(bytes(3, 40 * BLOCK_BYTES), |bytes| second.write_at(bytes, 0))?;
    second.sync()?;
    drop(second);
    pool.trim()?;
    other.close()?;
    done.steps = 3;
    drop(first);
    assert_eq!(pool.check()?.problems, []);
    pool.close()?;
    done.steps = 4;
    let pool = Pool::open(path, &OpenOptions::new())?;
    let first = pool.open_file("/first", &rw)?;
    done.files[0].write(bytes(4, BLOCK_BYTES), |bytes| first.write_at(bytes, 0))?;
    drop(first);
    pool.close()?;
    done.steps = 5;
    let view = Pool::open(path, &OpenOptions::new().read_only(true))?;
    view.open_file("/.snapshots/s/first", &FileOptions::new().read(true))?.read_at(&mut [0; 10], 0)?;
    view.close()
}

/// Descriptors, and mappings of a pool or of address space for one.
fn held(path: &Path) -> (usize, usize) {
    let descriptors = fs::read_dir("/proc/self/fd").expect("descriptors").count();
    let maps = fs::read_to_string("/proc/self/maps").expect("maps");
    let name = path.to_string_lossy();
    let large = |line: &&str| {
        let (from, to) =
            line.split_once(' ').and_then(|(range, _)| range.split_once('-')).unwrap_or_default();
        let number = |text| u64::from_str_radix(text, 16).unwrap_or(0);
        line.contains(&*name) || number(to).saturating_sub(number(from)) > 1 << 33
    };
    (descriptors, maps.lines().filter(large).count())
}

/// What an error must say: the call, the errno and the file.
fn judge(error: &Error, errno: i32, words: &[&str], path: &Path) {
    let text = error.to_string();
    let system = std::io::Error::from_raw_os_error(errno).to_string();
    assert!(text.contains(&system), "{text:?} does not say {system:?}");
    assert!(words.iter().any(|word| text.contains(word)), "{text:?} names none of {words:?}");
    let names_file =
        text.contains(&*path.to_string_lossy()) || text.contains("/proc/") || text.contains("/dev/");
    assert!(names_file, "{text:?} does not name {}", path.display());
}

/// Fails the `nth` call; false if the workload makes fewer.
fn fail(place: &Place, call: Call, errno: i32, words: &[&str], nth: u64, sparse: bool) -> Option<bool> {
    let path = place.pool();
    if path.exists() {
        fs::remove_file(&path).expect("the pool of the last run");
    }
    let before = held(&path);
    let mut done = Done::default();
    shim::arm(call, nth, errno);
    let ended = workload(&path, sparse, &mut done);
    if !shim::disarm() {
        ended.expect("nothing failed");
        return None;
    }
    let what = format!("{call:?} {nth} failing with {errno}, after step {}", done.steps);
    println!("{what}: {ended:?}");
    let reported = ended.is_err();
    let must_be_reported = matches!(
        call,
        Call::Msync | Call::Fdatasync | Call::Fsync | Call::Fallocate | Call::Ftruncate | Call::Fstatfs
    );
    assert!(reported || !must_be_reported, "{what}: nobody was told");
    if let Err(error) = &ended {
        judge(error, errno, words, &path);
        let is_sync = matches!(call, Call::Msync | Call::Fdatasync | Call::Fsync);
        assert!(!is_sync || error.kind() == ErrorKind::ReadOnly, "{what}: {error:?}");
    }
    assert_eq!(held(&path), before, "{what}: descriptors and mappings");
    if !done.created {
        assert!(!path.exists(), "{what}: a pool that was not created is there");
        Pool::create(&path, &options(sparse)).and_then(Pool::close).expect("it can be created now");
        return Some(reported);
    }
    let pool =
        Pool::open(&path, &OpenOptions::new()).unwrap_or_else(|error| panic!("{what}, opening: {error:?}"));
    done.files.iter().for_each(|file| file.check(&pool, &what));
    if let Some(content) = &done.snapshot {
        let mut found = vec![0; content.len()];
        readable(&pool, "/.snapshots/s/first").read_exact_at(&mut found, 0).expect("the snapshot");
        assert!(found == *content, "{what}: the snapshot has changed");
    }
    assert_clean(&pool);
    put(&pool, "/again", &bytes(9, 5 * BLOCK_BYTES));
    pool.grow(20 << 20).expect("grow");
    pool.sync().expect("sync");
    pool.close().expect("close");
    Some(reported)
}

fn fail_all(place: &Place, sparse: bool) {
    let all = number_from_env("DAXCOW_ALL", 0) > 0;
    for (call, errno, words) in CALLS {
        let (mut nth, mut calls, mut silent) = (1, 0, 0);
        while let Some(reported) = fail(place, call, errno, words, nth, sparse) {
            calls += 1;
            silent += u32::from(!reported);
            let closely = if sparse { 3 } else { 8 };
            nth += if all || nth < closely { 1 } else { 17 };
        }
        println!("{call:?}: {calls} failed, {silent} of them without consequence");
    }
}

#[test]
fn any_call_may_fail_on_a_pool_in_memory() {
    let _alone = alone();
    fail_all(&Place::new(), false);
}

#[test]
fn any_call_may_fail_on_a_sparse_pool_on_disk() {
    let _alone = alone();
    fail_all(&Place::on_disk(), true);
}

#[test]
fn a_failed_sync_makes_the_pool_read_only_for_all_members_until_it_is_opened_anew() {
    let _alone = alone();
    for (call, words) in [(Call::Fdatasync, "fdatasync"), (Call::Msync, "msync")] {
        let place = Place::on_disk();
        let pool = new_pool(&place, 16);
        let other = open_pool(place.pool());
        put(&pool, "/file", &bytes(1, 3 * BLOCK_BYTES));
        let open = file(&other, "/file");
        shim::arm(call, 1, libc::EIO);
        let failed = match call {
            Call::Msync => pool.create_dir("/d"),
            _ => pool.sync(),
        };
        assert!(shim::disarm());
        let failed = failed.expect_err("the sync failed");
        assert_eq!(failed.kind(), ErrorKind::ReadOnly, "{failed}");
        let changes = |pool: &Pool| {
            [
                kind(pool.create_dir("/e")),
                kind(pool.sync()),
                kind(pool.create_snapshot::<&str>("s", &[])),
                kind(pool.grow(20 << 20)),
            ]
        };
        for member in [&pool, &other] {
            assert_eq!(changes(member), [ErrorKind::ReadOnly; 4]);
            let why = member.info().expect("info").read_only_since.expect("it says why");
            assert!(why.contains(words) && why.contains("read-only since"), "{why}");
        }
        assert_eq!(kind(open.write_at(b"x", 0)), ErrorKind::ReadOnly);
        assert_eq!(kind(open.batch().and_then(|mut batch| batch.commit())), ErrorKind::ReadOnly);
        let mut found = vec![0; 3 * BLOCK_BYTES];
        open.read_exact_at(&mut found, 0).expect("what is there can be read");
        assert!(found == bytes(1, 3 * BLOCK_BYTES));
        // Who joins is told too.
        let late = open_pool(place.pool());
        assert_eq!(kind(late.create_dir("/late")), ErrorKind::ReadOnly);
        drop(open);
        for member in [late, other, pool] {
            assert_eq!(kind(member.close()), ErrorKind::ReadOnly);
        }
        let pool = open_pool(place.pool());
        let info = pool.info().expect("info");
        let told = info.recovered.and_then(|recovered| recovered.failed_sync).expect("it says what happened");
        assert_eq!(told.errno(), libc::EIO);
        assert!(told.to_string().contains(words), "{told}");
        assert_eq!(info.read_only_since, None);
        put(&pool, "/file", b"new");
        assert_clean(&pool);
        pool.close().expect("close");
        assert!(open_pool(place.pool()).info().expect("info").recovered.is_none());
    }
}
