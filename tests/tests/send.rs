//! Send and receive: what arrives is what was sent.

use std::io::Cursor;

use daxcow::{CreateOptions, ErrorKind, Pool, ReceiveOptions, SendOptions};
use daxcow_tests::fixture::{
    assert_clean, bytes, file, free, kind, new_pool, put, reopen, snapshot, warm_up,
};
use daxcow_tests::generate::{Generator, Limits};
use daxcow_tests::op::Op;
use daxcow_tests::place::Place;
use daxcow_tests::rng::{Rng, number_from_env, seed_from_env};
use daxcow_tests::sending::{assert_untouched, compare, full, receive, rich, since};
use daxcow_tests::session::{Session, Setup};
use daxcow_tests::tree::{assert_same, tree};

const MIB: u64 = 1 << 20;

#[test]
fn a_full_stream_brings_everything() {
    let (here, there) = (Place::new(), Place::new());
    let pool = rich(&here);
    snapshot(&pool, "s");
    let stream = full(&pool, "s");
    // The clone's 5 MiB are sent once, and so are the blocks of the part.
    assert!(stream.len() < 6 << 20, "{} bytes", stream.len());
    let other = new_pool(&there, 40);
    warm_up(&other).expect("warm up");
    let room = free(&other);
    let report = receive(&other, &stream).expect("receive");
    assert_eq!(report.name, "s");
    compare(&pool, &other, "s");
    assert!(room - free(&other) < 10 * MIB, "{} bytes taken: shared blocks are shared", room - free(&other));
    let infos = (pool.snapshots().expect("list"), other.snapshots().expect("list"));
    assert_eq!(infos.0, infos.1, "names, times and paths");
    assert_eq!(other.partial_receives().expect("list"), []);
    let other = reopen(other);
    compare(&pool, &other, "s");
    assert_clean(&other);
    // Into its own pool, under another name.
    pool.receive(&mut Cursor::new(&stream), ReceiveOptions::new().name("again")).expect("receive");
    assert_same(&tree(&pool, "/.snapshots/s"), &tree(&pool, "/.snapshots/again"), "again");
    assert_clean(&reopen(pool));
}

#[test]
fn a_snapshot_of_paths_stays_one_and_can_be_rolled_back_to() {
    let (here, there) = (Place::new(), Place::new());
    let pool = rich(&here);
    pool.create_snapshot("s", &["/a/b", "/odd"]).expect("snapshot");
    let other = new_pool(&there, 64);
    receive(&other, &full(&pool, "s")).expect("receive");
    let paths = |pool: &Pool| pool.snapshots().expect("list")[0].paths.clone();
    assert_eq!(paths(&pool), paths(&other));
    daxcow_tests::fixture::roll_back(&other, "s");
    assert_same(&tree(&pool, "/.snapshots/s"), &tree(&other, "/.snapshots/s"), "s");
    assert_eq!(tree(&other, "/a/b").len(), tree(&pool, "/a/b").len());
    assert_clean(&reopen(other));
}

#[test]
fn what_is_new_is_as_large_as_what_was_changed() {
    let (here, there) = (Place::new(), Place::new());
    let pool = rich(&here);
    for index in 0..200 {
        put(&pool, &format!("/a/b/c/{index}"), &bytes(100 + index, 5000));
    }
    snapshot(&pool, "s1");
    file(&pool, "/a/b/large").write_at(b"changed", 2 * MIB + 77).expect("write");
    pool.rename("/a/b/odd", "/a/odd").expect("rename");
    pool.remove_file("/a/b/c/7").expect("remove");
    put(&pool, "/a/b/c/new", b"new");
    pool.clone_tree("/a/b/large", "/a/large too").expect("a clone");
    snapshot(&pool, "s2");
    let other = new_pool(&there, 64);
    receive(&other, &full(&pool, "s1")).expect("receive");
    let changes = since(&pool, "s1", "s2");
    assert!(changes.len() < 15_000, "{} bytes for three changed blocks and some names", changes.len());
    let before = free(&other);
    receive(&other, &changes).expect("receive");
    compare(&pool, &other, "s2");
    assert!(before - free(&other) < MIB, "{} bytes taken", before - free(&other));
    let nothing = {
        snapshot(&pool, "s3");
        since(&pool, "s2", "s3")
    };
    // The hard links are named each time.
    assert!(nothing.len() < 1000, "{} bytes for no change", nothing.len());
    receive(&other, &nothing).expect("receive");
    compare(&pool, &other, "s3");
    assert_clean(&reopen(other));
}

#[test]
fn chains_go_on_from_any_pool_that_has_the_parent() {
    let places = [Place::new(), Place::new(), Place::new()];
    let (a, b, c) = (rich(&places[0]), new_pool(&places[1], 64), new_pool(&places[2], 96));
    snapshot(&a, "s1");
    receive(&b, &full(&a, "s1")).expect("a to b");
    receive(&c, &full(&b, "s1")).expect("b to c");
    put(&a, "/a/small", b"changed");
    snapshot(&a, "s2");
    let changes = since(&a, "s1", "s2");
    b.receive(&mut Cursor::new(&changes), ReceiveOptions::new().name("two")).expect("a to b");
    receive(&c, &since(&b, "s1", "two")).expect("b to c, although b has it from a");
    assert_same(&tree(&a, "/.snapshots/s2"), &tree(&c, "/.snapshots/two"), "a and c");
    // And backwards: what is new in the older one.
    b.delete_snapshot("s1").expect("delete");
    receive(&b, &since(&a, "s2", "s1")).expect("the parent is known by identity, not by name");
    compare(&a, &b, "s1");
    for pool in [a, b, c] {
        assert_clean(&reopen(pool));
    }
}

#[test]
fn a_stream_onto_the_wrong_base_is_refused() {
    let (here, there) = (Place::new(), Place::new());
    let pool = rich(&here);
    snapshot(&pool, "s1");
    put(&pool, "/a/small", b"changed");
    snapshot(&pool, "s2");
    let changes = since(&pool, "s1", "s2");
    let other = new_pool(&there, 64);
    assert_eq!(kind(receive(&other, &changes)), ErrorKind::WrongBase);
    // A snapshot of the same name is another one.
    put(&other, "/a", b"a");
    snapshot(&other, "s1");
    assert_eq!(kind(receive(&other, &changes)), ErrorKind::WrongBase);
    assert_untouched(&other, &["s1"]);
    assert_eq!(
        kind(pool.send("s1", SendOptions::new().parent("s1"), &mut Vec::new())),
        ErrorKind::InvalidInput
    );
    assert_eq!(kind(pool.send("s1", SendOptions::new().parent("s9"), &mut Vec::new())), ErrorKind::NotFound);
    assert_eq!(kind(pool.send("s9", SendOptions::new(), &mut Vec::new())), ErrorKind::NotFound);
    assert_eq!(kind(receive(&other, &full(&pool, "s1"))), ErrorKind::AlreadyExists);
    assert_clean(&reopen(other));
}

#[test]
fn sending_goes_on_while_blocks_move_and_files_are_written() {
    let (here, there) = (Place::new(), Place::new());
    let pool = rich(&here);
    snapshot(&pool, "s");
    let expected = tree(&pool, "/.snapshots/s");
    let rounds = 20;
    std::thread::scope(|scope| {
        let pool = &pool;
        let receiver = scope.spawn(move || {
            for _ in 0..rounds {
                let other = new_pool(&there, 64);
                receive(&other, &full(pool, "s")).expect("receive");
                assert_same(&expected, &tree(&other, "/.snapshots/s"), "s");
                other.close().expect("close");
                std::fs::remove_file(there.pool()).expect("remove");
            }
        });
        let mut rng = Rng::new(5);
        while !receiver.is_finished() {
            let target = file(pool, "/a/b/large");
            target.write_at(&bytes(rng.below(9), 8192), rng.below(1000) * 4096).expect("write");
            if rng.one_in(20) {
                let frozen = daxcow_tests::fixture::readable(pool, "/.snapshots/s/a/b/large");
                frozen.defragment(0, u64::MAX).expect("defragment");
                pool.dedupe::<&str>(&[], daxcow::DedupeOptions::new(), &mut |_| {}).expect("dedupe");
            }
        }
    });
    assert_clean(&reopen(pool));
}

/// Random operations, a snapshot now and then, each sent to another pool and compared byte for byte.
fn chain(seed: u64, members: usize) {
    let (here, there) = (Place::new(), Place::new());
    let size = 1 << 30;
    let setup = Setup { pool: here.pool(), members, base: String::new(), may_run_out: false };
    let options = CreateOptions::new().size(size).sparse(true);
    let mut session = Session::create(setup, &options).expect("a session");
    let other =
        Pool::create(there.pool(), &CreateOptions::new().size(size / 2).sparse(true)).expect("a pool");
    let limits = Limits { members, write_max: 64 << 10, offset_max: 1 << 20, far: true, alone: true };
    let mut generator = Generator::new(seed, limits);
    let mut before: Option<String> = None;
    for link in 0..20 {
        for _ in 0..40 {
            let op = generator.next_op(&session.model);
            // Snapshots of its own would be among those that are sent.
            if !matches!(op, Op::Snapshot { .. }) {
                session.step(&op).unwrap_or_else(|mismatch| panic!("{op:?}: {}", mismatch.0));
            }
        }
        let name = format!("chain{link}");
        let pool = session.pool(0).clone();
        snapshot(&pool, &name);
        let stream = match &before {
            Some(parent) => since(&pool, parent, &name),
            None => full(&pool, &name),
        };
        receive(&other, &stream).unwrap_or_else(|error| panic!("link {link}: {error:?}"));
        compare(&pool, &other, &name);
        if link % 5 == 4 {
            let fresh = Place::new();
            let third = Pool::create(fresh.pool(), &options).expect("a pool");
            receive(&third, &full(&other, &name)).expect("a full stream of what was received");
            assert_same(
                &tree(&pool, &format!("/.snapshots/{name}")),
                &tree(&third, &format!("/.snapshots/{name}")),
                &name,
            );
        }
        if link % 3 == 2
            && let Some(old) = before.take()
        {
            other.delete_snapshot(&old).expect("delete");
        }
        before = Some(name);
    }
    assert_clean(&reopen(other));
}

#[test]
fn chains_of_random_snapshots_arrive_byte_for_byte() {
    let seed = seed_from_env(0xc4a1);
    let runs = if std::env::var_os("DAXCOW_SEED").is_some() { 1 } else { number_from_env("DAXCOW_RUNS", 4) };
    for seed in seed..seed + runs {
        println!("DAXCOW_SEED={seed:#x} cargo test -p daxcow-tests --test send chains_of_random -- --exact");
        chain(seed, 1 + usize::try_from(seed % 2).expect("0 or 1"));
    }
}
