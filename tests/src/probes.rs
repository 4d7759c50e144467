//! What test processes do that a test cannot do in its own: die, lose their memory, fork, give up their rights.
//!
//! | probe | what the process does |
//! |---|---|
//! | `open POOL` | opens the pool, says `opened` or the kind of the error |
//! | `fork POOL` | opens the pool, forks, and says what the child got from it and that the parent still works |
//! | `join POOL` | writes a file of its own, says `ready` and waits to be killed |
//! | `member POOL` | does what it is told, see [`member`] |
//! | `twice POOL` | opens the pool twice, has threads write through both, says `ready` and waits to be killed |
//! | `passed SOCKET` | takes a descriptor of a pool from a socket and is a member through it, see [`member`] |
//! | `hold POOL` | takes a lock, a batch, a view and an unlinked open file, says `ready` and waits to be killed |
//! | `truncated POOL` | makes and opens a pool, cuts its file short on the host, uses what is left, says `survived` |
//! | `lost POOL FIRST STEP` | loses each block of a pool in turn and uses what is left; see `lost` |
//! | `repair POOL STEP` | repairs the pool and dies at one of the steps of that (feature `sim`) |
//! | `damaged POOL IMAGE SEED FROM TO` | opens copies of an image with flipped bits; see [`damage`] |

pub mod damage;
mod lost;
pub mod member;
#[cfg(feature = "sim")]
mod repair;

use std::fs::OpenOptions as HostOptions;
use std::io::Write as _;

use daxcow::{ErrorKind, LockMode, OpenOptions, Pool};

use crate::fixture::{bytes, contents, file, open_pool, put};
use crate::rng::parse_number;
use crate::system;

/// Runs a probe: `arguments` are its name and what follows. Gives the exit code.
#[must_use]
pub fn main(arguments: &[String]) -> u8 {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["open", pool] => open(pool),
        ["fork", pool] => fork(pool),
        ["join", pool] => join(pool),
        ["member", pool] => return member::main(pool.as_ref()),
        ["twice", pool] => twice(pool),
        ["passed", socket] => {
            let passed = system::receive_descriptor(socket.as_ref());
            return member::main(format!("/proc/self/fd/{passed}").as_ref());
        }
        ["hold", pool] => hold(pool),
        ["truncated", pool] => truncated(pool),
        ["lost", pool, first, step] => match (parse_number(first), parse_number(step)) {
            (Some(first), Some(step)) => lost::main(pool, first, step),
            _ => return 2,
        },
        #[cfg(feature = "sim")]
        ["repair", pool, step] => match parse_number(step) {
            Some(step) => return repair::main(pool, step),
            None => return 2,
        },
        ["damaged", pool, image, numbers @ ..] => {
            let numbers: Option<Vec<u64>> = numbers.iter().map(|number| parse_number(number)).collect();
            match numbers.as_deref() {
                Some(&[seed, from, to]) => return damage::main(pool, image, seed, from..to),
                _ => return 2,
            }
        }
        _ => return 2,
    }
    0
}

/// Says a line to the test, at once.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the test listens");
}

fn open(pool: &str) {
    match Pool::open(pool, &OpenOptions::new()) {
        Ok(_) => say("opened"),
        Err(error) => say(&format!("{:?}", error.kind())),
    }
}

fn fork(path: &str) {
    let pool = open_pool(path);
    let held = file(&pool, "/file");
    let in_child = system::in_forked_child(|| {
        let mut byte = [0];
        let results = [
            held.read_at(&mut byte, 0).map(drop),
            held.write_at(b"child", 0),
            held.len().map(drop),
            pool.metadata("/file").map(drop),
            pool.usage().map(drop),
            pool.create_dir("/child"),
        ];
        let forked = results
            .iter()
            .all(|result| result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Forked));
        // A pool of its own is what a child is to open.
        let own = Pool::open(path, &OpenOptions::new()).and_then(|own| own.metadata("/file"));
        u8::from(!forked) + 2 * u8::from(own.is_err())
    });
    say(&format!("child {in_child}"));
    let works = contents(&held).is_ok() && held.write_at(b"parent", 0).is_ok() && pool.usage().is_ok();
    say(if works { "parent works" } else { "parent is broken" });
}

fn join(path: &str) {
    let pool = open_pool(path);
    put(&pool, &format!("/{}", std::process::id()), &bytes(1, 100));
    say("ready");
    wait_to_be_killed();
}

fn twice(path: &str) {
    for name in ["/one", "/two"] {
        let pool = open_pool(path);
        put(&pool, name, &bytes(1, 100_000));
        std::thread::spawn(move || {
            let written = file(&pool, name);
            loop {
                written.write_at(&bytes(2, 50_000), 1000).expect("write");
            }
        });
    }
    say("ready");
    wait_to_be_killed();
}

fn wait_to_be_killed() -> ! {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

fn hold(path: &str) {
    let pool = open_pool(path);
    put(&pool, "/held", &bytes(1, 1 << 20));
    put(&pool, "/unlinked", &bytes(2, 1 << 20));
    let held = file(&pool, "/held");
    let unlinked = file(&pool, "/unlinked");
    pool.remove_file("/unlinked").expect("remove");
    let locked = held.try_lock(0, LockMode::Exclusive).expect("lock");
    let view = held.view(0, 4096).expect("view");
    let mut batch = held.batch().expect("batch");
    batch.write_at(&bytes(3, 2 << 20), 4096).expect("write");
    assert!(locked && view.is_some() && unlinked.len().is_ok());
    say("ready");
    wait_to_be_killed();
}

fn truncated(path: &str) {
    let pool = Pool::create(path, &daxcow::CreateOptions::new().size(64 << 20)).expect("a new pool");
    let len = 40 << 20;
    put(&pool, "/large", &bytes(1, len));
    let held = file(&pool, "/large");
    let host = HostOptions::new().write(true).open(path).expect("the pool's file");
    host.set_len(24 << 20).expect("the pool's file is cut");
    let error = contents(&held).expect_err("more than half of the pool is gone");
    say(&format!("read {:?}", error.kind()));
    let written = held.write_at(&bytes(2, len), 0);
    say(&format!("write {}", written.map_or_else(|error| format!("{:?}", error.kind()), |()| "ok".into())));
    // None of these may end the process; what they answer depends on what was cut off.
    let answers = [
        pool.usage().is_ok(),
        pool.read_dir("/").is_ok(),
        pool.create_snapshot::<&str>("s", &[]).is_ok(),
        pool.check().is_ok(),
        pool.create_dir("/d").is_ok(),
        pool.sync().is_ok(),
    ];
    drop(held);
    let closed = pool.close().is_ok();
    say(&format!("survived {answers:?} {closed}"));
}
