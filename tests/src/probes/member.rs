//! A member that does what it is told, line by line, in whatever namespaces it has been started.
//!
//! | line | what it does and says |
//! |---|---|
//! | `add` | adds one to the counter in `/counter` under an advisory lock and in a batch, says the sum and how many microseconds it took |
//! | `members` | says the numbers of its slot and of all members' slots, and their process ids |
//! | `files` | says how many descriptors of a new program that it starts lead to the pool |
//! | `orphan` | starts a thread that writes, forks a child that lives on, and says the child's process id; the child says what it gets from the pool when the standard input ends |
//! | `hold` | takes the lock of the counter and keeps it |

use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use daxcow::{File, LockMode, OpenOptions, Pool};

use super::say;
use crate::fixture::{file, open_pool};
use crate::system::Forked;

/// The file with the counter.
pub const COUNTER: &str = "/counter";
const LOCK: u8 = 1;
/// How long the lock of the counter is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn main(path: &Path) -> u8 {
    let pool = open_pool(path);
    let counter = file(&pool, COUNTER);
    say("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.as_str() {
            "add" => {
                let start = Instant::now();
                let sum = add(&counter);
                say(&format!("{sum} {}", start.elapsed().as_micros()));
            }
            "members" => members(&pool),
            "files" => files(path),
            "orphan" => orphan(&pool, &counter),
            "hold" => {
                lock(&counter);
                say("held");
            }
            _ => return 2,
        }
    }
    drop(counter);
    pool.close().expect("the pool closes");
    0
}

fn lock(counter: &File) {
    let start = Instant::now();
    while !counter.try_lock(LOCK, LockMode::Exclusive).expect("the lock is asked for") {
        assert!(start.elapsed() < PATIENCE, "the lock is held for {:?}", start.elapsed());
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// The sum in a counter.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn sum(counter: &File) -> u64 {
    let mut word = [0; 8];
    counter.read_at(&mut word, 0).expect("the counter is read");
    u64::from_le_bytes(word)
}

fn add(counter: &File) -> u64 {
    lock(counter);
    let next = sum(counter) + 1;
    let mut batch = counter.batch().expect("a batch is free under the lock");
    batch.write_at(&next.to_le_bytes(), 0).expect("the batch is written");
    batch.commit().expect("the batch is committed");
    drop(batch);
    counter.unlock(LOCK).expect("the lock is given up");
    next
}

fn members(pool: &Pool) {
    let members = pool.info().expect("info").members;
    let own = members.iter().find(|member| member.this).expect("this one is a member");
    let all: Vec<String> =
        members.iter().map(|member| format!("{}:{}:{}", member.slot, member.pid, member.alive)).collect();
    say(&format!("{} {}", own.slot, all.join(" ")));
}

/// What a program sees that is started while the pool is open.
fn files(path: &Path) {
    let name = path.file_name().expect("a pool has a name").to_string_lossy().into_owned();
    let listed = std::process::Command::new("ls").args(["-l", "/proc/self/fd"]).output().expect("ls runs");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(text.contains("/proc/"), "the descriptors of ls are listed: {text}");
    say(&text.lines().filter(|line| line.contains(&name)).count().to_string());
}

fn orphan(pool: &Pool, counter: &File) {
    let (again, writer) = (pool.clone(), counter.another_handle());
    std::thread::spawn(move || {
        loop {
            writer.write_at(&[5; 100], 8192).expect("the parent's thread writes");
            again.usage().expect("the parent's thread asks");
        }
    });
    std::thread::sleep(Duration::from_millis(20));
    let path = pool.path().to_owned();
    let _child = Forked::start(|| {
        // It runs: what a forked child lets go of before anything else, it has let go of.
        say(&std::process::id().to_string());
        // Ends when the test does, whatever becomes of the parent.
        // The parent's thread holds the lock of the standard input.
        let mut input = std::fs::File::open("/dev/stdin").expect("the standard input");
        drop(std::io::copy(&mut input, &mut std::io::sink()));
        let kinds = [
            counter.read_at(&mut [0; 8], 0).map(drop).map_err(|error| error.kind()),
            counter.write_at(b"child", 0).map_err(|error| error.kind()),
            pool.create_dir("/child").map_err(|error| error.kind()),
        ];
        let own = Pool::open(&path, &OpenOptions::new());
        let own = own.and_then(|own| own.metadata(COUNTER).map(drop)).map_err(|error| error.kind());
        say(&format!("{kinds:?} {own:?}"));
        0
    });
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}
