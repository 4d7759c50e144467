//! Mappings between processes, and the signals that a program gets of them.
//!
//! A test that needs a process of its own runs itself again, with `MAPPING_ROLE` saying as what.
#![expect(unsafe_code, reason = "signals, forks, and accesses that are to fail")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use daxcow::units::BLOCK_SIZE;
use daxcow::{ErrorKind, MappingMut, Pool};
use daxcow_tests::fixture::{assert_clean, bytes, file, get, kind, new_pool, open_pool, readable};
use daxcow_tests::mapped::{load, store, word};
use daxcow_tests::place::Place;

const BLOCK: usize = 4096;
const ROLE: &str = "MAPPING_ROLE";
const POOL: &str = "MAPPING_POOL";
/// Blocks of the file that the processes share.
const BLOCKS: u64 = 600;
/// Where a storing process counts, first here and then there.
const COUNTERS: [usize; 2] = [3 * BLOCK, 500 * BLOCK + 8];
/// Where several processes count together.
const TOGETHER: [usize; 3] = [BLOCK, 300 * BLOCK, 300 * BLOCK + 8];
const ADDITIONS: u64 = 30_000;

fn role() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(POOL)?.into()))
}

/// The test `name` as another process.
fn again(name: &str, role: &str, pool: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(POOL, pool)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the test starts again")
}

fn wait_until_ready(child: &mut Child) {
    let output = child.stdout.take().expect("piped");
    let ready = BufReader::new(output).lines().map_while(Result::ok).any(|line| line.contains("ready"));
    assert!(ready, "the process ended early");
}

fn signal(child: &Child, number: libc::c_int) {
    let pid = libc::pid_t::try_from(child.id()).expect("a pid");
    // SAFETY: a signal to a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, number) }, 0);
}

fn shared(pool: &Pool) -> MappingMut {
    let file = file(pool, "/f");
    if file.len().expect("len") == 0 {
        file.write_at(&bytes(1, usize::try_from(BLOCKS).unwrap_or(0) * BLOCK), 0).expect("write");
    }
    file.map_mut(0, BLOCKS * BLOCK_SIZE).expect("map")
}

/// Counts on and on, first in one place and then in the other.
fn count(mapping: &MappingMut) -> ! {
    println!("ready");
    for number in 1.. {
        for at in COUNTERS {
            word(mapping, at).store(number, Ordering::SeqCst);
        }
    }
    unreachable!("no process counts so far")
}

/// Fails unless the checker finds the pool whole. What a killed process had taken and not used yet may still be counted.
fn assert_whole(pool: &Pool) {
    let report = pool.check().expect("the check runs");
    assert!(report.is_clean(), "check found {:#?}", report.problems);
}

fn counters(pool: &Pool, path: &str) -> [u64; 2] {
    let held = get(pool, path);
    COUNTERS.map(|at| u64::from_le_bytes(held[at..at + 8].try_into().expect("8 bytes")))
}

#[test]
fn a_snapshot_protects_what_another_process_maps() {
    const NAME: &str = "a_snapshot_protects_what_another_process_maps";
    if let Some((_, path)) = role() {
        count(&shared(&open_pool(path)));
    }
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let mapping = shared(&pool);
    COUNTERS.iter().for_each(|&at| word(&mapping, at).store(0, Ordering::SeqCst));
    drop(mapping);
    let mut storer = again(NAME, "count", &place.pool());
    wait_until_ready(&mut storer);
    let mut last = 0;
    let mut held = Vec::new();
    for round in 0..30 {
        let name = format!("s{round}");
        pool.create_snapshot(&name, &["/f"]).expect("snapshot");
        let path = format!("/.snapshots/{name}/f");
        let seen = counters(&pool, &path);
        assert!(seen[1] <= seen[0] && seen[0] <= seen[1] + 1, "round {round}: {seen:?}");
        assert!(seen[1] >= last, "round {round}: {seen:?} after {last}");
        last = seen[1];
        held.push((path, seen));
        thread::sleep(Duration::from_millis(2));
    }
    assert!(last > 30, "the process counted to {last}");

    signal(&storer, libc::SIGSTOP);
    thread::sleep(Duration::from_millis(50));
    let refused = pool.create_snapshot("stopped", &["/f"]).expect_err("a stopped process cannot answer");
    assert_eq!(refused.kind(), ErrorKind::Busy);
    let pid = storer.id().to_string();
    assert!(refused.to_string().contains(&pid), "{refused} does not name {pid}");
    signal(&storer, libc::SIGCONT);
    pool.create_snapshot("going", &["/f"]).expect("it answers again");

    signal(&storer, libc::SIGKILL);
    storer.wait().expect("it dies");
    let begun = Instant::now();
    pool.create_snapshot("dead", &["/f"]).expect("the dead map nothing");
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    drop(file(&pool, "/f").batch().expect("nobody alive maps the file"));
    let mapping = shared(&pool);
    COUNTERS.iter().for_each(|&at| word(&mapping, at).store(u64::MAX, Ordering::SeqCst));
    for (path, seen) in held {
        assert_eq!(counters(&pool, &path), seen, "{path} has changed");
    }
    assert_ne!(counters(&pool, "/.snapshots/dead/f"), [u64::MAX; 2]);
    drop(mapping);
    assert_whole(&pool);
}

#[test]
fn additions_of_several_processes_survive_whatever_moves_the_blocks() {
    const NAME: &str = "additions_of_several_processes_survive_whatever_moves_the_blocks";
    let add = |mapping: &MappingMut| {
        for number in 0..ADDITIONS {
            let at = TOGETHER[usize::try_from(number % 3).unwrap_or(0)];
            word(mapping, at).fetch_add(1, Ordering::SeqCst);
        }
    };
    if let Some((_, path)) = role() {
        add(&shared(&open_pool(path)));
        return;
    }
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let mapping = shared(&pool);
    TOGETHER.iter().for_each(|&at| word(&mapping, at).store(0, Ordering::SeqCst));
    let children: Vec<Child> = (0..2).map(|_| again(NAME, "add", &place.pool())).collect();
    thread::scope(|scope| {
        let adding = scope.spawn(|| add(&mapping));
        let file = file(&pool, "/f");
        for round in 0_u64.. {
            pool.create_snapshot("s", &["/f"]).expect("snapshot");
            file.write_at(&bytes(round, 2 * BLOCK), (10 + round % 200) * BLOCK_SIZE).expect("write");
            pool.delete_snapshot("s").expect("delete");
            drop(file.view(0, 10).expect("view"));
            thread::sleep(Duration::from_millis(1));
            if adding.is_finished() && round > 50 {
                break;
            }
        }
    });
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for at in TOGETHER {
        assert_eq!(word(&mapping, at).load(Ordering::SeqCst), ADDITIONS, "additions at {at} were lost");
    }
    drop(mapping);
    assert_clean(&pool);
}

#[test]
fn readers_do_not_wait_for_a_stopped_writer() {
    const NAME: &str = "readers_do_not_wait_for_a_stopped_writer";
    let whole = |fill: u8| vec![fill; usize::try_from(BLOCKS).unwrap_or(0) * BLOCK];
    if let Some((_, path)) = role() {
        let pool = open_pool(path);
        let file = file(&pool, "/f");
        println!("ready");
        for round in 0_u64.. {
            let fill = u8::try_from(1 + round % 200).unwrap_or(1);
            file.write_at(&whole(fill), 0).expect("write");
            if round % 3 == 0 {
                drop(file.view(0, 1).expect("what is pinned is copied when it is written"));
            }
        }
    }
    let place = Place::new();
    let pool = new_pool(&place, 64);
    file(&pool, "/f").write_at(&whole(1), 0).expect("write");
    let mut writer = again(NAME, "write", &place.pool());
    wait_until_ready(&mut writer);
    let file = readable(&pool, "/f");
    let mut bytes = whole(0);
    for round in 0..25 {
        thread::sleep(Duration::from_millis(3));
        signal(&writer, libc::SIGSTOP);
        thread::sleep(Duration::from_millis(5));
        let begun = Instant::now();
        assert_eq!(file.read_at(&mut bytes, 0).expect("read"), bytes.len());
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2), "round {round}: a read took {took:?}");
        assert!(bytes.iter().all(|&byte| byte != 0), "round {round}: bytes that nobody wrote");
        signal(&writer, libc::SIGCONT);
    }
    signal(&writer, libc::SIGKILL);
    writer.wait().expect("it dies");
    assert_eq!(file.read_at(&mut bytes, 0).expect("read"), bytes.len());
    drop(file);
    assert_whole(&pool);
}

/// Ends the process with 40 plus the signal if that came for an address in the mapping, otherwise with 90 plus the signal.
extern "C" fn tell(number: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the handler was installed with SA_SIGINFO.
    let details = unsafe { &*info };
    // SAFETY: the signal came for a fault.
    let address = unsafe { details.si_addr() } as usize;
    let expected = EXPECTED.load(Ordering::SeqCst);
    let base = if address.wrapping_sub(expected) < BLOCK { 40 } else { 90 };
    // SAFETY: ends the process from a handler.
    unsafe { libc::_exit(base + number) };
}

/// Where the fault is to be.
static EXPECTED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

fn install_earlier_handlers() {
    // SAFETY: all fields are integers, bit sets and an optional function, for which zero is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = tell as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    for number in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the handler takes what its flags promise.
        assert_eq!(unsafe { libc::sigaction(number, &raw const action, std::ptr::null_mut()) }, 0);
    }
}

fn touch(at: *const u8) {
    EXPECTED.store(at as usize / BLOCK * BLOCK, Ordering::SeqCst);
    // SAFETY: none: the fault is what is tested.
    unsafe { at.read_volatile() };
}

fn poke(at: *mut u8) {
    EXPECTED.store(at as usize / BLOCK * BLOCK, Ordering::SeqCst);
    // SAFETY: none: the fault is what is tested.
    unsafe { at.write_volatile(1) };
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
fn overflow(depth: u64) -> u64 {
    let kept = std::hint::black_box([depth; 64]);
    overflow(depth + 1) + std::hint::black_box(kept)[0]
}

fn misbehave(role: &str, path: &Path) {
    if !role.starts_with("plain") {
        install_earlier_handlers();
    }
    let pool = open_pool(path);
    let mapping = shared(&pool);
    let file = file(&pool, "/f");
    store(&mapping, 5, b"works");
    let at = |block: usize| mapping.as_mut_ptr().wrapping_add(block * BLOCK + 7);
    match role {
        "truncated load" | "plain truncated load" => {
            file.set_len(BLOCK_SIZE).expect("truncate");
            touch(at(100));
        }
        "truncated store" => {
            file.set_len(BLOCK_SIZE).expect("truncate");
            poke(at(100));
        }
        "full store" => {
            pool.create_snapshot::<&str>("s", &[]).expect("snapshot");
            let other = daxcow_tests::fixture::file(&pool, "/fill");
            while other.append(&[1; BLOCK]).is_ok() {}
            (0..BLOCKS).for_each(|block| poke(at(usize::try_from(block).unwrap_or(0))));
        }
        "read-only store" => poke(file.map(0, 10).expect("map").as_ptr().cast_mut()),
        "null" | "plain null" => touch(std::ptr::without_provenance(16)),
        "plain overflow" => drop(std::hint::black_box(overflow(0))),
        "fork" => {
            // SAFETY: the child only touches memory and ends.
            match unsafe { libc::fork() } {
                0 => {
                    touch(at(0));
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(1) };
                }
                child => {
                    let mut status = 0;
                    // SAFETY: a child of this process, and room for its status.
                    unsafe { libc::waitpid(child, &raw mut status, 0) };
                    store(&mapping, 9, b"parent");
                    std::process::exit(if load(&mapping, 9, 6) == b"parent" {
                        libc::WEXITSTATUS(status)
                    } else {
                        2
                    });
                }
            }
        }
        _ => panic!("there is no role {role}"),
    }
}

#[test]
fn what_cannot_be_served_reaches_the_earlier_handler_as_for_a_plain_file() {
    const NAME: &str = "what_cannot_be_served_reaches_the_earlier_handler_as_for_a_plain_file";
    if let Some((role, path)) = role() {
        return misbehave(&role, &path);
    }
    let place = Place::new();
    let run = |role: &str| -> (ExitStatus, String) {
        let pool = Pool::create(place.pool(), &daxcow::CreateOptions::new().size(16 << 20).overwrite(true))
            .expect("a pool");
        pool.close().expect("close");
        let output = again(NAME, role, &place.pool()).wait_with_output().expect("it ends");
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (bus, segv) = (libc::SIGBUS, libc::SIGSEGV);
    for (role, code) in [
        ("truncated load", 40 + bus),
        ("truncated store", 40 + bus),
        ("full store", 40 + bus),
        ("read-only store", 40 + segv),
        ("null", 40 + segv),
        ("fork", 40 + segv),
    ] {
        let (status, said) = run(role);
        assert_eq!(status.code(), Some(code), "{role}: {status}: {said}");
    }
    for (role, number) in
        [("plain truncated load", bus), ("plain null", segv), ("plain overflow", libc::SIGABRT)]
    {
        let (status, said) = run(role);
        assert_eq!(status.signal(), Some(number), "{role}: {status}: {said}");
        assert_eq!(said.contains("overflowed its stack"), role == "plain overflow", "{role}: {said}");
    }
}

#[test]
fn a_handle_that_may_not_write_cannot_map_to_be_stored_to() {
    let place = Place::new();
    let pool = new_pool(&place, 16);
    drop(shared(&pool));
    assert_eq!(kind(readable(&pool, "/f").map_mut(0, 1)), ErrorKind::PermissionDenied);
    pool.create_snapshot::<&str>("s", &[]).expect("snapshot");
    let snapshot = readable(&pool, "/.snapshots/s/f");
    assert_eq!(kind(snapshot.map_mut(0, 1)), ErrorKind::ReadOnly);
    assert_eq!(load(&snapshot.map(0, 5).expect("map"), 0, 5), &bytes(1, 5)[..]);
}
