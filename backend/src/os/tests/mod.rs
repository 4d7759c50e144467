//! System calls as the crate uses them, across processes that die.
//!
//! A test that needs a process of its own runs itself again: the same test of the same program, with `ROLE` set.

#![expect(unsafe_code, reason = "forks, kills and signal handlers")]

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use parking_lot::Mutex;

use super::per_process::PerProcess;
use super::*;
use crate::error::ErrorKind;

mod signals;

const ROLE: &str = "DAXCOW_TEST_ROLE";

/// What this process was started for: `None` in the test itself.
fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// Starts the test `name` again, as `role`.
fn again(name: &str, role: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the child to print `word`.
fn wait_for(child: &mut Child, word: &str) -> BufReader<ChildStdout> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        if line.contains(word) {
            return output;
        }
        line.clear();
    }
    panic!("the child ended without saying {word:?}");
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = directory.path().join("locks");
    File::create(&path).unwrap();
    (directory, path)
}

#[test]
fn locks_exclude_share_and_downgrade() {
    let (_directory, path) = scratch();
    let (one, other) = (lock::LockFile::open(&path).unwrap(), lock::LockFile::open(&path).unwrap());
    assert!(one.try_exclusive(7).unwrap());
    assert!(!other.try_exclusive(7).unwrap() && !other.try_shared(7).unwrap() && other.is_locked(7).unwrap());
    assert!(other.try_exclusive(8).unwrap() && other.try_exclusive(1 << 40).unwrap(), "bytes are apart");
    assert!(!one.is_locked(7).unwrap(), "one's own lock is not another's");
    assert!(one.try_shared(7).unwrap() && other.try_shared(7).unwrap());
    assert!(!one.try_exclusive(7).unwrap(), "no upgrade beside a sharer");
    other.unlock(7).unwrap();
    assert!(one.try_exclusive(7).unwrap());
    drop(one);
    let soon = Duration::from_millis(5);
    other.exclusive_within(7, soon).unwrap();
    let third = lock::LockFile::open(&path).unwrap();
    for refused in [third.exclusive_within(7, soon), third.shared_within(7, soon)] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Busy);
    }
    let waiter = std::thread::spawn(move || third.exclusive_within(7, Duration::from_secs(60)));
    drop(other);
    waiter.join().unwrap().unwrap();
    let other = lock::LockFile::open(&path).unwrap();
    assert_eq!(other.try_shared(u64::MAX).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_killed_process_loses_its_locks() {
    if let Some(path) = role() {
        let locks = lock::LockFile::open(path.as_ref()).unwrap();
        assert!(locks.try_exclusive(3).unwrap());
        println!("locked");
        loop {
            std::thread::park();
        }
    }
    let (_directory, path) = scratch();
    let mut child = again("os::tests::a_killed_process_loses_its_locks", &path);
    let _output = wait_for(&mut child, "locked");
    let locks = lock::LockFile::open(&path).unwrap();
    assert!(locks.is_locked(3).unwrap());
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(locks.try_exclusive(3).unwrap());
}

#[test]
fn a_forked_child_cannot_use_its_parents_locks() {
    let (_directory, path) = scratch();
    let locks = lock::LockFile::open(&path).unwrap();
    assert!(locks.try_exclusive(3).unwrap());
    // SAFETY: the child leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let forked = locks.try_shared(3).is_err_and(|error| error.kind() == ErrorKind::Forked);
        drop(locks);
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { libc::_exit(i32::from(forked)) };
    }
    let mut status = 0;
    // SAFETY: the child is ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(libc::WEXITSTATUS(status), 1, "the child used its parent's locks");
    let other = lock::LockFile::open(&path).unwrap();
    assert!(other.is_locked(3).unwrap(), "the child's drop released its parent's lock");
}

#[test]
fn a_forked_child_finds_a_lock_free_that_a_thread_of_its_parent_holds() {
    static LOCK: PerProcess<Mutex<u32>> = PerProcess::new(Mutex::default);
    drop(fork::unforked());
    let mut held = LOCK.get().lock();
    *held = 5;
    // SAFETY: the child leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let found = LOCK.get().try_lock().map_or(255, |value| i32::try_from(*value).unwrap_or(254));
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { libc::_exit(found) };
    }
    let mut status = 0;
    // SAFETY: the child is ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(libc::WEXITSTATUS(status), 0, "the child found its parent's value or lock");
    drop(held);
    assert_eq!(*LOCK.get().lock(), 5, "the parent keeps its own");
}

#[test]
fn a_killed_process_loses_its_locks_although_its_forked_child_lives() {
    if let Some(path) = role() {
        let locks = lock::LockFile::open(path.as_ref()).unwrap();
        assert!(locks.try_exclusive(3).unwrap());
        // SAFETY: the child only sleeps, half a minute at most.
        let child = unsafe { libc::fork() };
        if child == 0 {
            println!("child {}", process::pid()); // said by the child: its fork handlers have run
        }
        // SAFETY: sleeps.
        unsafe { libc::sleep(30) };
        // SAFETY: ends a process that was forgotten.
        unsafe { libc::_exit(0) };
    }
    let (_directory, path) = scratch();
    let name = "os::tests::a_killed_process_loses_its_locks_although_its_forked_child_lives";
    let mut parent = again(name, &path);
    let mut output = BufReader::new(parent.stdout.take().unwrap()).lines();
    let line =
        output.find_map(|line| line.unwrap().split_once("child ").map(|(_, id)| id.to_owned())).unwrap();
    let child: i32 = line.trim().parse().unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    let free = lock::LockFile::open(&path).unwrap().try_exclusive(3).unwrap();
    // SAFETY: the process said this number of its child, which lives.
    assert_eq!(unsafe { libc::kill(child, libc::SIGKILL) }, 0, "the child was to be alive");
    assert!(free, "the living child keeps the lock");
}

#[test]
fn a_waiter_in_another_process_is_woken() {
    use crate::pmem::medium::{Dax, FlushMode};
    use crate::pmem::{Access, MapOptions, Region};
    use crate::units::PoolOffset;
    let map = |path: &Path| {
        let file = File::options().read(true).write(true).open(path).unwrap();
        file.set_len(8192).unwrap();
        let options = MapOptions { dax: Dax::Auto, flush: FlushMode::On, access: Access::ReadWrite };
        Region::map(file, path, options).unwrap()
    };
    let minute = std::time::Duration::from_secs(60);
    if let Some(path) = role() {
        let region = map(path.as_ref());
        println!("waiting");
        let begin = std::time::Instant::now();
        while region.load_u32(PoolOffset(64)).unwrap() == 0 {
            region.futex_wait(PoolOffset(64), 0, minute).unwrap();
        }
        assert!(begin.elapsed() < minute / 2, "woken by the timeout only");
        return;
    }
    let (_directory, path) = scratch();
    let region = map(&path);
    let mut child = again("os::tests::a_waiter_in_another_process_is_woken", &path);
    let _output = wait_for(&mut child, "waiting");
    let begin = std::time::Instant::now();
    while region.futex_wake(PoolOffset(64), 1).unwrap() == 0 {
        assert!(begin.elapsed() < minute / 2, "nobody waits");
        std::thread::yield_now();
    }
    region.store_u32(PoolOffset(64), 1).unwrap();
    region.futex_wake(PoolOffset(64), u32::MAX).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_stopped_process_is_known_as_stopped() {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    assert!(!process::is_stopped(child.id()));
    let id = child.id().cast_signed();
    // SAFETY: the child is ours.
    assert_eq!(unsafe { libc::kill(id, libc::SIGSTOP) }, 0);
    let begin = std::time::Instant::now();
    while !process::is_stopped(child.id()) {
        assert!(begin.elapsed().as_secs() < 30, "never seen as stopped");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!process::is_stopped(child.id()));
}

#[test]
fn this_process_and_boot_have_names() {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let digits: String = process::boot_id().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digits, text.trim().replace('-', ""));
    assert!(!process::name().is_empty() && process::name() != "?");
    let before = process::monotonic_ns();
    std::thread::sleep(std::time::Duration::from_millis(2));
    let passed = process::monotonic_ns() - before;
    assert!((2_000_000..60_000_000_000).contains(&passed), "{passed} ns");
}

#[test]
fn two_names_of_a_file_are_one_file() {
    let (directory, path) = scratch();
    let link = directory.path().join("link");
    fs::hard_link(&path, &link).unwrap();
    let identity = |path: &Path| file::identity(&File::open(path).unwrap()).unwrap();
    assert_eq!(identity(&path), identity(&link));
    fs::copy(&path, directory.path().join("copy")).unwrap();
    assert_ne!(identity(&path), identity(&directory.path().join("copy")));
    assert_ne!(identity(Path::new("/dev/null")).node, 0);
}

#[test]
fn a_registry_shows_whole_rows_only() {
    static REGISTRY: registry::Registry<3> = registry::Registry::new();
    std::thread::scope(|scope| {
        for thread in 0..3_usize {
            scope.spawn(move || {
                for round in 0..2000 {
                    let rows: Vec<_> =
                        (0..70).map(|row| REGISTRY.insert([thread, row, thread * 1000 + row])).collect();
                    assert!(REGISTRY.any(|row, _| row == [thread, round % 70, thread * 1000 + round % 70]));
                    drop(rows);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20_000 {
                assert!(!REGISTRY.any(|[a, b, sum], _| a * 1000 + b != sum), "a torn row");
            }
        });
    });
    assert!(!REGISTRY.any(|_, _| true), "dropped rows are gone");
}

/// A disk's file system refuses MAP_SYNC after the kernel has made room for it.
#[test]
fn a_refused_mapping_leaves_no_hole_in_the_reservation() {
    const LEN: usize = 16 << 20;
    let file = tempfile::tempfile_in("/var/tmp").unwrap();
    file.set_len(LEN as u64).unwrap();
    let reservation = mmap::Reservation::new(4 * LEN, 4 * LEN).unwrap();
    let place = reservation.base().as_ptr().addr();
    if reservation.map(&file, 0, LEN, mmap::Mapping::SharedSync).is_ok() {
        println!("SKIPPED: /var/tmp has MAP_SYNC");
        return;
    }
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let holds = |line: &str| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(address(start)? <= place && place + 4 * LEN <= address(end)?)
    };
    assert!(maps.lines().any(|line| holds(line) == Some(true)), "not whole at {place:#x}:\n{maps}");
    reservation.map(&file, 0, LEN, mmap::Mapping::Shared).unwrap();
}
