//! Send and receive: what arrives is what was sent, and what does not arrive whole does not arrive at all.

use std::io::Cursor;

use daxcow::{CreateOptions, ErrorKind, Pool, ReceiveOptions, ReceiveReport, ResumeToken, SendOptions};
use daxcow_tests::fixture::{
    assert_clean, bytes, file, free, kind, new_pool, put, reopen, snapshot, warm_up,
};
use daxcow_tests::generate::{Generator, Limits};
use daxcow_tests::op::Op;
use daxcow_tests::place::Place;
use daxcow_tests::rng::{Rng, number_from_env, seed_from_env};
use daxcow_tests::session::{Session, Setup};
use daxcow_tests::tree::{assert_same, tree};

const MIB: u64 = 1 << 20;

fn send(pool: &Pool, name: &str, options: SendOptions<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    let report = pool.send(name, options, &mut stream).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    assert_eq!(report.stream_bytes, stream.len() as u64);
    stream
}

fn full(pool: &Pool, name: &str) -> Vec<u8> {
    send(pool, name, SendOptions::new())
}

fn since(pool: &Pool, parent: &str, name: &str) -> Vec<u8> {
    send(pool, name, SendOptions::new().parent(parent))
}

fn receive(pool: &Pool, stream: &[u8]) -> daxcow::Result<ReceiveReport> {
    pool.receive(&mut Cursor::new(stream), ReceiveOptions::new())
}

fn compare(one: &Pool, other: &Pool, name: &str) {
    let top = format!("/.snapshots/{name}");
    assert_same(&tree(one, &top), &tree(other, &top), name);
}

fn names(pool: &Pool) -> Vec<String> {
    pool.snapshots().expect("snapshots").into_iter().map(|snapshot| snapshot.name).collect()
}

/// Nothing new can be seen, nothing is left, and the pool is sound.
fn assert_untouched(pool: &Pool, expected: &[&str]) {
    assert_eq!(names(pool), expected);
    let listed = pool.read_dir("/.snapshots").expect("a directory");
    assert_eq!(listed.len(), expected.len(), "{listed:?}");
}

/// The places between the records of a stream, the end of the header first.
fn boundaries(stream: &[u8]) -> Vec<usize> {
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
fn rich(place: &Place) -> Pool {
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

/// A small pool with a parent, and the incremental stream of a snapshot with all kinds of records.
fn small(here: &Place) -> (Pool, Vec<u8>, Vec<u8>) {
    let pool = new_pool(here, 64);
    pool.create_dir("/d").expect("a directory");
    put(&pool, "/d/f", &bytes(1, 9000));
    put(&pool, "/gone", b"gone");
    snapshot(&pool, "s1");
    let f = file(&pool, "/d/f");
    f.write_at(b"changed", 10).expect("write");
    f.allocate(40_960, 8192, true).expect("allocate");
    f.punch_hole(4096, 4096).expect("punch");
    pool.remove_file("/gone").expect("remove");
    pool.hard_link("/d/f", "/d/g").expect("a link");
    put(&pool, "/new", &bytes(2, 4096));
    file(&pool, "/copy").clone_range(&file(&pool, "/new"), 0, 8192, 4096).expect("a clone");
    snapshot(&pool, "s2");
    let (first, second) = (full(&pool, "s1"), since(&pool, "s1", "s2"));
    (pool, first, second)
}

#[test]
fn a_stream_cut_short_anywhere_leaves_nothing() {
    let (here, there) = (Place::new(), Place::new());
    let (pool, first, second) = small(&here);
    let other = new_pool(&there, 64);
    receive(&other, &first).expect("receive");
    let room = free(&other);
    for len in 0..second.len() {
        assert_eq!(kind(receive(&other, &second[..len])), ErrorKind::BadStream, "{len} bytes");
    }
    assert_untouched(&other, &["s1"]);
    assert_eq!(other.partial_receives().expect("list"), []);
    assert_eq!(free(&other), room, "all space is free again");
    receive(&other, &second).expect("receive");
    compare(&pool, &other, "s2");
    assert_clean(&reopen(other));
}

#[test]
fn a_stream_with_a_changed_byte_anywhere_leaves_nothing() {
    let (here, there) = (Place::new(), Place::new());
    let (_pool, first, second) = small(&here);
    let other = new_pool(&there, 64);
    receive(&other, &first).expect("receive");
    let room = free(&other);
    let mut rng = Rng::new(1);
    for at in 0..second.len() {
        let mut damaged = second.clone();
        damaged[at] ^= 1 << rng.below(8);
        let found = kind(receive(&other, &damaged));
        let expected = [ErrorKind::BadStream, ErrorKind::UnsupportedVersion];
        assert!(expected.contains(&found), "byte {at}: {found:?}");
    }
    assert_untouched(&other, &["s1"]);
    assert_eq!(free(&other), room, "all space is free again");
    assert_clean(&reopen(other));
}

#[test]
fn records_that_are_missing_doubled_or_moved_are_noticed() {
    let (here, there) = (Place::new(), Place::new());
    let (_pool, first, second) = small(&here);
    let other = new_pool(&there, 64);
    receive(&other, &first).expect("receive");
    let at = boundaries(&second);
    for index in 0..at.len() - 1 {
        let (start, end) = (at[index], at[index + 1]);
        let without = [&second[..start], &second[end..]].concat();
        assert_eq!(kind(receive(&other, &without)), ErrorKind::BadStream, "without record {index}");
        // After the end nobody reads on.
        if index + 2 < at.len() {
            let twice = [&second[..end], &second[start..]].concat();
            assert_eq!(kind(receive(&other, &twice)), ErrorKind::BadStream, "record {index} twice");
        }
    }
    assert_untouched(&other, &["s1"]);
    assert_clean(&reopen(other));
}

#[test]
fn a_stream_can_go_on_after_every_record() {
    let (here, there) = (Place::new(), Place::new());
    let (pool, first, _) = small(&here);
    // Enough data for several records of one file.
    put(&pool, "/d/f", &bytes(3, 300_000));
    snapshot(&pool, "s3");
    let stream = since(&pool, "s1", "s3");
    let other = new_pool(&there, 64);
    receive(&other, &first).expect("receive");
    let mut resumed = 0;
    for cut in boundaries(&stream) {
        if cut == stream.len() {
            continue;
        }
        let keep = ReceiveOptions::new().keep_partial(true);
        assert_eq!(kind(other.receive(&mut Cursor::new(&stream[..cut]), keep)), ErrorKind::BadStream);
        assert_untouched(&other, &["s1"]);
        let partial = other.partial_receives().expect("list");
        let rest = match partial.first().and_then(|partial| partial.token) {
            Some(token) => {
                resumed += 1;
                let token: ResumeToken = token.to_string().parse().expect("a token");
                send(&pool, "s3", SendOptions::new().resume(token))
            }
            None => stream.clone(),
        };
        let wrong = since(&pool, "s1", "s2");
        if resumed % 3 == 1 && partial.first().is_some_and(|partial| partial.token.is_some()) {
            receive(&other, &wrong).expect("another snapshot may be received meanwhile");
            other.delete_snapshot("s2").expect("delete");
        }
        receive(&other, &rest).unwrap_or_else(|error| panic!("cut at {cut}: {error:?}"));
        compare(&pool, &other, "s3");
        assert_eq!(other.partial_receives().expect("list"), []);
        other.delete_snapshot("s3").expect("delete");
    }
    assert!(resumed >= 5, "{resumed} streams were resumed");
    assert_clean(&reopen(other));
}

#[test]
fn a_rest_only_fits_where_it_belongs() {
    let (here, there) = (Place::new(), Place::new());
    let pool = rich(&here);
    snapshot(&pool, "s");
    let stream = full(&pool, "s");
    let other = new_pool(&there, 64);
    let keep = ReceiveOptions::new().keep_partial(true);
    let half = stream.len() / 2;
    assert_eq!(kind(other.receive(&mut Cursor::new(&stream[..half]), keep)), ErrorKind::BadStream);
    let partial = other.partial_receives().expect("list").remove(0);
    let token = partial.token.expect("a token");
    let rest = send(&pool, "s", SendOptions::new().resume(token));
    assert!(rest.len() < stream.len() * 2 / 3, "{} of {}", rest.len(), stream.len());
    // The rest breaks off too: it goes on from where that was.
    let cut = boundaries(&rest)[3];
    assert_eq!(kind(other.receive(&mut Cursor::new(&rest[..cut]), keep)), ErrorKind::BadStream);
    assert_eq!(kind(receive(&other, &rest)), ErrorKind::WrongBase, "it has gone on since");
    let later = other.partial_receives().expect("list").remove(0).token.expect("a token");
    assert_ne!(later, token);
    snapshot(&pool, "t");
    let wrong = pool.send("t", SendOptions::new().resume(later), &mut Vec::new());
    assert_eq!(kind(wrong), ErrorKind::InvalidInput);
    receive(&other, &send(&pool, "s", SendOptions::new().resume(later))).expect("receive");
    compare(&pool, &other, "s");
    assert_eq!(kind(receive(&other, &rest)), ErrorKind::AlreadyExists);
    other.delete_snapshot("s").expect("delete");
    assert_eq!(kind(receive(&other, &rest)), ErrorKind::WrongBase, "nothing to go on from");
    assert_clean(&reopen(other));
}

#[test]
fn what_is_being_received_is_hidden_and_can_be_given_up() {
    let (here, there) = (Place::new(), Place::new());
    let pool = rich(&here);
    snapshot(&pool, "s");
    let stream = full(&pool, "s");
    let other = new_pool(&there, 64);
    warm_up(&other).expect("warm up");
    let room = free(&other);
    let keep = ReceiveOptions::new().keep_partial(true);
    assert_eq!(
        kind(other.receive(&mut Cursor::new(&stream[..stream.len() / 2]), keep)),
        ErrorKind::BadStream
    );
    let partial = other.partial_receives().expect("list").remove(0);
    let hidden = format!("/.snapshots/.receiving-{}", partial.identity);
    assert!(!other.exists(&hidden).expect("exists"));
    assert_eq!(kind(other.read_dir(&hidden)), ErrorKind::NotFound);
    assert_eq!(kind(other.clone_tree(&hidden, "/copy")), ErrorKind::NotFound);
    assert_eq!(kind(other.create_snapshot::<&str>(".receiving-x", &[])), ErrorKind::InvalidInput);
    assert_eq!(kind(other.delete_snapshot(&hidden[12..])), ErrorKind::InvalidInput);
    assert_untouched(&other, &[]);
    // It survives the end of the process, and a check does not mind it.
    let other = reopen(other);
    assert_clean(&other);
    assert_eq!(other.partial_receives().expect("list"), std::slice::from_ref(&partial));
    other.abort_receive(&partial.identity).expect("abort");
    assert_eq!(other.partial_receives().expect("list"), []);
    assert_eq!(kind(other.abort_receive(&partial.identity)), ErrorKind::NotFound);
    assert!(room - free(&other) < MIB / 4, "{} bytes are missing", room - free(&other));
    assert_clean(&reopen(other));
}

#[test]
fn two_receivers_of_one_snapshot_do_not_meet() {
    struct Waiting<'a> {
        stream: Cursor<&'a [u8]>,
        meanwhile: Option<Box<dyn FnOnce() + 'a>>,
    }
    impl std::io::Read for Waiting<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            if self.stream.position() > 100_000
                && let Some(meanwhile) = self.meanwhile.take()
            {
                meanwhile();
            }
            self.stream.read(to)
        }
    }
    let (here, there) = (Place::new(), Place::new());
    let pool = rich(&here);
    snapshot(&pool, "s");
    let stream = full(&pool, "s");
    let other = new_pool(&there, 64);
    let member = daxcow_tests::fixture::open_pool(there.pool());
    let second = || {
        assert_eq!(kind(receive(&member, &stream)), ErrorKind::Busy);
        let identity = member.partial_receives().expect("list").remove(0).identity;
        assert_eq!(kind(member.abort_receive(&identity)), ErrorKind::Busy);
        assert_untouched(&member, &[]);
    };
    let mut waiting = Waiting { stream: Cursor::new(&stream), meanwhile: Some(Box::new(second)) };
    other.receive(&mut waiting, ReceiveOptions::new()).expect("receive");
    drop(waiting);
    compare(&pool, &member, "s");
    drop(member);
    assert_clean(&reopen(other));
}

#[test]
fn a_full_pool_receives_nothing_and_loses_nothing() {
    let (here, there) = (Place::new(), Place::new());
    let pool = rich(&here);
    snapshot(&pool, "s");
    let stream = full(&pool, "s");
    let other = new_pool(&there, 16);
    warm_up(&other).expect("warm up");
    put(&other, "/mine", &bytes(5, 3 << 20));
    let room = free(&other);
    assert_eq!(kind(receive(&other, &stream)), ErrorKind::NoSpace);
    assert_untouched(&other, &[]);
    assert!(room - free(&other) < MIB / 4, "{} bytes are missing", room - free(&other));
    let keep = ReceiveOptions::new().keep_partial(true);
    assert_eq!(kind(other.receive(&mut Cursor::new(&stream), keep)), ErrorKind::NoSpace);
    let token = other.partial_receives().expect("list").remove(0).token.expect("a token");
    other.grow(64 << 20).expect("grow");
    receive(&other, &send(&pool, "s", SendOptions::new().resume(token))).expect("with room it goes on");
    compare(&pool, &other, "s");
    assert!(daxcow_tests::fixture::get(&other, "/mine") == bytes(5, 3 << 20));
    assert_clean(&reopen(other));
}

#[test]
fn pipes_that_break_are_errors() {
    struct Broken(usize);
    impl std::io::Write for Broken {
        fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(from.len()).ok_or(std::io::ErrorKind::BrokenPipe)?;
            Ok(from.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let here = Place::new();
    let pool = rich(&here);
    snapshot(&pool, "s");
    assert_eq!(kind(pool.send("s", SendOptions::new(), &mut Broken(50_000))), ErrorKind::Io);
    assert_eq!(kind(pool.receive(&mut std::io::empty(), ReceiveOptions::new())), ErrorKind::BadStream);
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
