//! Short forms for tests of send and receive. All of them panic where the pool refuses.

use std::io::Cursor;

use daxcow::{Pool, ReceiveOptions, ReceiveReport, SendOptions};

use crate::fixture::{bytes, file, new_pool, put};
use crate::place::Place;
use crate::tree::{assert_same, tree};

const MIB: u64 = 1 << 20;

/// The stream of a snapshot.
///
/// # Panics
/// If it cannot be sent.
#[must_use]
pub fn send(pool: &Pool, name: &str, options: SendOptions<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    let report = pool.send(name, options, &mut stream).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    assert_eq!(report.stream_bytes, stream.len() as u64);
    stream
}

/// All of a snapshot.
///
/// # Panics
/// If it cannot be sent.
#[must_use]
pub fn full(pool: &Pool, name: &str) -> Vec<u8> {
    send(pool, name, SendOptions::new())
}

/// What is new in a snapshot since another.
///
/// # Panics
/// If it cannot be sent.
#[must_use]
pub fn since(pool: &Pool, parent: &str, name: &str) -> Vec<u8> {
    send(pool, name, SendOptions::new().parent(parent))
}

/// Receives a stream.
///
/// # Errors
/// As [`Pool::receive`].
pub fn receive(pool: &Pool, stream: &[u8]) -> daxcow::Result<ReceiveReport> {
    pool.receive(&mut Cursor::new(stream), ReceiveOptions::new())
}

/// Fails where two pools' snapshots of one name differ.
///
/// # Panics
/// If they do.
pub fn compare(one: &Pool, other: &Pool, name: &str) {
    let top = format!("/.snapshots/{name}");
    assert_same(&tree(one, &top), &tree(other, &top), name);
}

/// The names of a pool's snapshots.
///
/// # Panics
/// If they cannot be listed.
#[must_use]
pub fn names(pool: &Pool) -> Vec<String> {
    pool.snapshots().expect("snapshots").into_iter().map(|snapshot| snapshot.name).collect()
}

/// Fails where snapshots can be seen that were not there, or anything beside them.
///
/// # Panics
/// If they can.
pub fn assert_untouched(pool: &Pool, expected: &[&str]) {
    assert_eq!(names(pool), expected);
    let listed = pool.read_dir("/.snapshots").expect("a directory");
    assert_eq!(listed.len(), expected.len(), "{listed:?}");
}

/// The places between the records of a stream, the end of the header first.
///
/// # Panics
/// If it is no stream.
#[must_use]
pub fn boundaries(stream: &[u8]) -> Vec<usize> {
    let number = |at: usize| u32::from_le_bytes(stream[at..at + 4].try_into().expect("four bytes")) as usize;
    let mut at = 80 + number(68);
    let mut found = vec![at];
    while at < stream.len() {
        at += 12 + number(at + 4);
        found.push(at);
    }
    found
}

/// A pool with everything that a stream has to carry.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn rich(place: &Place) -> Pool {
    let pool = new_pool(place, 128);
    pool.create_dir_all("/a/b/c").expect("directories");
    pool.create_dir("/empty").expect("a directory");
    put(&pool, "/a/small", b"small");
    put(&pool, "/a/none", b"");
    put(&pool, "/a/b/large", &bytes(1, 5 << 20));
    put(&pool, "/a/b/odd", &bytes(2, 300_001));
    let sparse = file(&pool, "/a/sparse");
    sparse.write_at(b"far", 40 * MIB + 5).expect("write");
    sparse.allocate(MIB, 3 * MIB, false).expect("allocate");
    sparse.write_at(&bytes(3, 8192), 2 * MIB).expect("write");
    sparse.allocate(60 * MIB, MIB, true).expect("allocate beyond the end");
    pool.hard_link("/a/small", "/a/b/also small").expect("a link");
    pool.hard_link("/a/b/odd", "/odd").expect("a link");
    pool.clone_tree("/a/b/large", "/a/b/clone").expect("a clone");
    file(&pool, "/a/b/clone").write_at(b"other", 3 * MIB).expect("write");
    file(&pool, "/part").clone_range(&file(&pool, "/a/b/odd"), 4096, 0, 16 * 4096).expect("a clone");
    pool
}
