//! Send and receive: what does not arrive whole does not arrive at all.

use std::io::Cursor;

use daxcow::{ErrorKind, Pool, ReceiveOptions, ResumeToken, SendOptions};
use daxcow_tests::anatomy::stream::{Kind, Record, Stream, set_number};
use daxcow_tests::fixture::{
    assert_clean, bytes, file, free, kind, new_pool, put, reopen, snapshot, warm_up,
};
use daxcow_tests::place::Place;
use daxcow_tests::rng::Rng;
use daxcow_tests::sending::{assert_untouched, boundaries, compare, full, receive, rich, send, since};

const MIB: u64 = 1 << 20;

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

/// A stream of `levels` directories in one another.
fn nested(pool: &Pool, levels: u64) -> Vec<u8> {
    let mut stream = Stream::parse(&full(pool, "s")).expect("a stream");
    let directories = (0..levels).map(|level| {
        let mut record = Record::empty(Kind::Directory);
        set_number(&mut record.payload, (0, 4), 1_000_000 + level);
        set_number(&mut record.payload, (4, 4), if level == 0 { 0 } else { 1_000_000 + level - 1 });
        record.set_bytes(b"d");
        record
    });
    stream.records.splice(1..1, directories.collect::<Vec<_>>());
    stream.bytes(true)
}

#[test]
fn directories_that_are_nested_too_deep_are_refused() {
    let (here, there) = (Place::new(), Place::new());
    let pool = new_pool(&here, 16);
    snapshot(&pool, "s");
    let other = new_pool(&there, 64);
    receive(&other, &nested(&pool, 999)).expect("as deep as a snapshot goes");
    other.clone_tree("/.snapshots/s", "/copy").expect("it can be used");
    other.delete_snapshot("s").expect("delete");
    for levels in [1001, 300_000] {
        assert_eq!(kind(receive(&other, &nested(&pool, levels))), ErrorKind::TooLarge, "{levels} levels");
        assert_untouched(&other, &[]);
    }
    assert_clean(&reopen(other));
}
