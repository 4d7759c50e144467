//! Killed and stopped processes, forks, passed descriptors, namespaces and clocks.
//!
//! Needs the feature `sim`. `DAXCOW_SEED` sets the seed, `DAXCOW_DEATHS` how many deaths each script gets, `DAXCOW_STOPS` how many
//! stops there are. `cargo xtask kill` goes through all steps.
#![cfg(feature = "sim")]

use std::fs::File;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use daxcow::Pool;
use daxcow_tests::fixture::{assert_clean, file, new_pool, open_pool};
use daxcow_tests::place::Place;
use daxcow_tests::probes::member::{COUNTER, sum};
use daxcow_tests::process::Running;
use daxcow_tests::rng::{number_from_env, seed_from_env};
use daxcow_tests::system::{is_superuser, pass_descriptor};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long a survivor may take for an operation after a death.
const WAIT_MAX: Duration = Duration::from_secs(1);

fn worker() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_worker"))
}

/// Runs a part of `daxcow_tests::kill` in a process of one thread.
fn run(arguments: &[String]) {
    let output = Command::new(worker()).arg("deaths").args(arguments).output().expect("the worker runs");
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "worker deaths {arguments:?}: {failed}{said}");
}

#[test]
fn a_death_at_any_step_costs_nobody_anything() {
    let (deaths, seed) = (number_from_env("DAXCOW_DEATHS", 4), seed_from_env(0xdead));
    run(&["sample".into(), deaths.to_string(), seed.to_string()]);
}

#[test]
fn a_stopped_member_blocks_others_no_more_than_what_it_holds() {
    let (stops, seed) = (number_from_env("DAXCOW_STOPS", 8), seed_from_env(0x5709));
    run(&["stops".into(), stops.to_string(), seed.to_string()]);
}

#[test]
fn no_handle_outlives_a_rollback_that_dies_at_any_step() {
    run(&["replaced".into()]);
}

#[test]
fn dead_members_make_room_in_a_pool_whose_slots_are_all_taken() {
    run(&["crowd".into()]);
}

/// A member that does what it is told.
struct Member(Running);

impl Member {
    fn start(pool: &Path) -> Member {
        Member::by(&[], pool)
    }

    /// A member started by another program, such as `unshare`.
    fn by(prefix: &[&str], pool: &Path) -> Member {
        let mut words: Vec<&str> = prefix.to_vec();
        let worker = worker().to_string_lossy();
        let pool = pool.to_string_lossy();
        words.extend([&*worker, "probe", "member", &*pool]);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        Member::spawn(command)
    }

    fn spawn(command: Command) -> Member {
        let mut member = Member(Running::spawn(command));
        assert_eq!(member.answer(), "ready");
        member
    }

    fn answer(&mut self) -> String {
        self.0.line(PATIENCE).unwrap_or_else(|silence| panic!("the member says nothing: {silence:?}"))
    }

    fn ask(&mut self, line: &str) -> String {
        self.0.tell(line);
        self.answer()
    }

    /// Adds one; the sum, and how long it took.
    fn add(&mut self) -> (u64, Duration) {
        let answer = self.ask("add");
        let (sum, micros) = answer.split_once(' ').expect("a sum and a time");
        let parse = |text: &str| text.parse().expect("a number");
        (parse(sum), Duration::from_micros(parse(micros)))
    }

    fn finish(mut self) {
        assert!(self.0.finish().success(), "the member ends well");
    }
}

fn pool_with_counter() -> (Place, PathBuf) {
    let place = Place::new();
    let pool = new_pool(&place, 32);
    file(&pool, COUNTER).write_at(&[0; 16], 0).expect("the counter is written");
    pool.close().expect("the pool closes");
    let path = place.pool();
    (place, path)
}

/// Two members take turns; one is killed with the lock held, and the other goes on.
fn take_turns_and_survive(mut one: Member, mut other: Member, path: &Path) {
    for turn in 0..50 {
        assert_eq!(one.add().0, 2 * turn + 1);
        assert_eq!(other.add().0, 2 * turn + 2);
    }
    assert_eq!(other.ask("hold"), "held");
    other.0.kill();
    let (sum_then, waited) = one.add();
    assert_eq!(sum_then, 101);
    assert!(waited < WAIT_MAX, "the survivor waited {waited:?}");
    one.finish();
    let pool = open_pool(path);
    assert_eq!(sum(&file(&pool, COUNTER)), 101);
    assert_clean(&pool);
}

#[test]
fn members_in_pid_namespaces_of_their_own_have_equal_ids_and_are_told_apart() {
    if !is_superuser() {
        return println!("left out: namespaces need the superuser");
    }
    let (_place, path) = pool_with_counter();
    let namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let (mut one, other) = (Member::by(&namespace, &path), Member::by(&namespace, &path));
    let answer = one.ask("members");
    let members: Vec<Vec<&str>> =
        answer.split(' ').skip(1).map(|member| member.split(':').collect()).collect();
    assert_eq!(members.len(), 2, "{answer}");
    assert_eq!(members[0][1], members[1][1], "the process ids are equal: {answer}");
    assert_ne!(members[0][0], members[1][0], "the slots are not: {answer}");
    assert!(members.iter().all(|member| member[2] == "true"), "{answer}");
    take_turns_and_survive(one, other, &path);
}

#[test]
fn a_member_in_another_mount_namespace_has_the_same_pool_under_another_path() {
    if !is_superuser() {
        return println!("left out: namespaces need the superuser");
    }
    let (place, path) = pool_with_counter();
    let elsewhere = Place::new();
    let script = format!(
        "mount --bind {} {} && exec {} probe member {}",
        place.path().display(),
        elsewhere.path().display(),
        worker().display(),
        elsewhere.path().join("test.pool").display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let other = Member::spawn(command);
    assert!(!elsewhere.path().join("test.pool").exists(), "the path is one of the other namespace only");
    take_turns_and_survive(Member::start(&path), other, &path);
}

#[test]
fn a_member_whose_monotonic_clocks_are_elsewhere_waits_and_is_waited_for_as_any() {
    if !is_superuser() {
        return println!("left out: namespaces need the superuser");
    }
    for [ahead, behind] in
        [["--monotonic=100000000", "--boottime=100000000"], ["--monotonic=-60", "--boottime=-60"]]
    {
        let (_place, path) = pool_with_counter();
        let elsewhere = ["unshare", "--time", ahead, behind, "--fork", "--kill-child"];
        take_turns_and_survive(Member::by(&elsewhere, &path), Member::start(&path), &path);
        let (_place, path) = pool_with_counter();
        take_turns_and_survive(Member::start(&path), Member::by(&elsewhere, &path), &path);
    }
}

/// Moves the wall clock of a process about with every look at it, years in both directions.
const JUMPING_CLOCK: &str = r"
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    static unsigned looks;
    long answer = syscall(SYS_clock_gettime, id, now);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
        now->tv_sec += (++looks % 3 - 1) * 1000000000L;
    return (int)answer;
}
";

#[test]
fn nothing_depends_on_the_wall_clock() {
    let (place, path) = pool_with_counter();
    let (source, library) = (place.path().join("clock.c"), place.path().join("clock.so"));
    std::fs::write(&source, JUMPING_CLOCK).expect("the source is written");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    assert!(compiled.expect("cc runs").success());
    let jumping = || {
        let mut command = Command::new(worker());
        command.args(["probe", "member"]).arg(&path).env("LD_PRELOAD", &library);
        Member::spawn(command)
    };
    let mut seen = Vec::new();
    let (mut one, other) = (jumping(), jumping());
    for _ in 0..6 {
        one.add();
        let pool = open_pool(&path);
        let modified = file(&pool, COUNTER).metadata().expect("metadata").modified;
        seen.push(modified.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs()));
    }
    let spread = seen.iter().max().unwrap_or(&0) - seen.iter().min().unwrap_or(&0);
    assert!(spread > 900_000_000, "the clock of the members does jump: {seen:?}");
    let pool = open_pool(&path);
    file(&pool, COUNTER).write_at(&[0; 8], 0).expect("the counter begins anew");
    pool.close().expect("the pool closes");
    take_turns_and_survive(one, other, &path);
}

#[test]
fn a_passed_descriptor_opens_the_same_pool() {
    let (place, path) = pool_with_counter();
    let socket = place.path().join("socket");
    let listener = UnixListener::bind(&socket).expect("the socket is bound");
    let host = File::options().read(true).write(true).open(&path).expect("the pool's file");
    let mut command = Command::new(worker());
    command.args(["probe", "passed"]).arg(&socket);
    let running = Running::spawn(command);
    pass_descriptor(&listener, &host);
    drop(host);
    assert_eq!(running.line(PATIENCE).expect("it opens the pool"), "ready");
    take_turns_and_survive(Member::start(&path), Member(running), &path);
}

#[test]
fn a_child_that_outlives_its_parent_keeps_nothing_of_it_and_gets_nothing_from_its_pool() {
    let (_place, path) = pool_with_counter();
    let mut parent = Member::start(&path);
    let mut other = Member::start(&path);
    assert_eq!(parent.add().0, 1);
    let child: u32 = parent.ask("orphan").parse().expect("a process id");
    // The parent's own end of the pipe; the child has a copy of the other one and reads until it closes.
    parent.0.kill_without_closing();
    assert!(Path::new(&format!("/proc/{child}")).exists(), "the child lives");
    let (sum, waited) = other.add();
    assert!(sum == 2 && waited < WAIT_MAX, "{sum} after {waited:?}");
    let pool = open_pool(&path);
    let members = pool.info().expect("info").members;
    assert_eq!(members.len(), 2, "the parent's slot is free: {members:?}");
    parent.0.close_input();
    let said = parent.answer();
    assert_eq!(said, "[Err(Forked), Err(Forked), Err(Forked)] Ok(())");
    other.finish();
    assert_clean(&pool);
}

#[test]
fn a_program_that_a_member_starts_has_no_descriptor_of_the_pool() {
    let (_place, path) = pool_with_counter();
    let mut member = Member::start(&path);
    member.add();
    assert_eq!(member.ask("files"), "0");
    member.finish();
}

#[test]
fn a_process_that_is_two_members_loses_both_when_it_is_killed() {
    let (_place, path) = pool_with_counter();
    let mut two = Running::start(worker(), &["twice", &path.to_string_lossy()]);
    assert_eq!(two.line(PATIENCE).expect("it opens the pool twice"), "ready");
    let pool = open_pool(&path);
    assert_eq!(pool.info().expect("info").members.len(), 3);
    two.kill();
    let held = file(&pool, "/one");
    held.write_at(b"free", 0).expect("the lock of the dead is recovered");
    pool.create_snapshot::<&str>("s", &[]).expect("marks of the dead end");
    let again = Pool::open(&path, &daxcow::OpenOptions::new()).expect("somebody joins");
    assert_eq!(again.info().expect("info").members.len(), 2, "both are gone");
    again.close().expect("it closes");
    assert_clean(&pool);
}
