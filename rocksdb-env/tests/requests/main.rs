//! Reads that bring no buffer (FSSupportedOps::kFSBuffer, FSReadRequest::fs_scratch), by name: what they answer, beside files
//! of the posix FileSystem; how long the answers stay; errors of some of them. A RocksDB without such reads never asks.

mod calls;
#[path = "../common/mod.rs"]
mod common;

use std::path::Path;

use calls::{Answers, RandomAccessFile, Way, buffers_are_supported};
use common::Fixture;
use daxcow::Pool;
use daxcow_tests::fixture::{file, free, put, readable};
use daxcow_tests::poison;
use daxcow_tests::rng::pattern;

const OK: i32 = 0;
const IO_ERROR: i32 = 5;
const LEN: usize = 1_000_000;

fn are_asked_for() -> bool {
    let asked = buffers_are_supported();
    if !asked {
        println!("SKIPPED: this RocksDB asks for no reads without a buffer");
    }
    asked
}

/// A file of these bytes whose blocks lie apart from each other.
fn put_in_pieces(pool: &Pool, path: &str, bytes: &[u8]) {
    let (whole, between) = (file(pool, path), file(pool, "/between"));
    for piece in bytes.chunks(50_000) {
        whole.append(piece).expect("append");
        between.append(&[1; 8192]).expect("append");
    }
    assert!(readable(pool, path).extents().expect("extents").len() > 2, "it lies in pieces");
}

/// Each range has what there is of it in `bytes`.
fn assert_answers(answers: &Answers, ranges: &[(u64, usize)], bytes: &[u8], what: &str) {
    for (&(offset, len), (code, found)) in ranges.iter().zip(answers.all()) {
        let from = usize::try_from(offset).expect("it is small").min(bytes.len());
        let expected = &bytes[from..(from + len).min(bytes.len())];
        assert_eq!((code, found.len()), (OK, expected.len()), "{what}: {len} bytes at {offset}");
        assert!(found == expected, "{what}: other bytes are at {offset}");
    }
}

#[test]
fn they_answer_what_is_there_as_on_the_host() {
    if !are_asked_for() {
        return;
    }
    let fixture = Fixture::new();
    let bytes = pattern(1, LEN);
    put_in_pieces(&fixture.pool, "/f", &bytes);
    std::fs::write(fixture.host("f"), &bytes).expect("a file on the host");
    let end = LEN as u64;
    let within: [(u64, usize); 5] = [(999_990, 10), (0, 1), (4090, 20), (0, LEN), (49_000, 2000)];
    let at_the_end: [(u64, usize); 5] =
        [(end - 10, 11), (end, 10), (end + 1, 10), (end + 100_000, 4096), (end - 5000, 100_000)];
    for in_place in [false, true] {
        let open = |path: &Path| RandomAccessFile::open(path, in_place);
        let (ours, theirs) = (open(&fixture.path("f")), open(&fixture.host("f")));
        // Beyond its map the posix FileSystem fails; RocksDB asks neither of the two for such reads there.
        let ranges: [&[_]; 2] = [&within, if in_place { &[] } else { &at_the_end }];
        for ranges in ranges {
            for &way in ours.ways() {
                let answers = [&ours, &theirs].map(|opened| opened.multi_read(way, ranges));
                assert!(answers.iter().all(Answers::are_owned), "RocksDB keeps what it uses");
                for (answers, side) in answers.iter().zip(["the pool", "the host"]) {
                    assert_answers(
                        answers,
                        ranges,
                        &bytes,
                        &format!("{way:?} on {side}, in place: {in_place}"),
                    );
                }
            }
        }
    }
    // A read of nothing is an error of the posix FileSystem only.
    let ours = RandomAccessFile::open(&fixture.path("f"), false);
    assert_eq!(ours.multi_read(Way::MultiRead, &[(70_000, 0)]).all(), [(OK, &[][..])]);
    assert_eq!(ours.multi_read(Way::MultiRead, &[]).all(), []);
}

#[test]
fn answers_stay_when_the_file_is_closed_and_gone_until_they_are_given_back() {
    if !are_asked_for() {
        return;
    }
    let fixture = Fixture::with_size(32 << 20);
    let bytes = pattern(2, LEN);
    put_in_pieces(&fixture.pool, "/f", &bytes);
    std::fs::write(fixture.host("f"), &bytes).expect("a file on the host");
    let ranges = [(10, 3000), (0, LEN), (900_000, LEN)];
    let answers = [fixture.path("f"), fixture.host("f")].map(|path| {
        let opened = RandomAccessFile::open(&path, false);
        let early = opened.multi_read(Way::MultiRead, &ranges);
        let late = opened.multi_read(Way::MultiRead, &ranges);
        drop(early);
        late
    });
    fixture.pool.remove_file("/f").expect("it goes");
    std::fs::write(fixture.host("f"), vec![7; LEN]).expect("other bytes");
    // All blocks that are free are written.
    let filler = file(&fixture.pool, "/filler");
    while filler.append(&[7; 65536]).is_ok() {}
    for answers in &answers {
        let expected = [&bytes[10..3010], &bytes[..], &bytes[900_000..]];
        assert!(answers.all() == expected.map(|bytes| (OK, bytes)), "other bytes are there");
    }
    let before = free(&fixture.pool);
    drop(answers);
    // What was pinned is there for others.
    fixture.pool.remove_file("/between").expect("it goes");
    assert!(free(&fixture.pool) >= before + LEN as u64, "{before}, {}", free(&fixture.pool));
    std::fs::remove_file(fixture.host("f")).expect("it goes");
    fixture.assert_sound();
}

#[test]
fn a_lost_page_fails_those_that_touch_it_only() {
    if !are_asked_for() {
        return;
    }
    for in_place in [false, true] {
        let fixture = Fixture::new();
        let bytes = pattern(3, LEN);
        put(&fixture.pool, "/f", &bytes);
        let opened = RandomAccessFile::open(&fixture.path("f"), in_place);
        let whole = opened.multi_read(Way::MultiRead, &[(0, LEN)]);
        assert!(whole.all() == [(OK, &bytes[..])]);
        if let Err(why) = poison::lose(fixture.pool.path(), fixture.place_of("/f", 409_600)) {
            println!("SKIPPED: no page can be lost here: {why}");
            return;
        }
        drop(whole);
        let ranges = [(0, 4096), (409_000, 2000), (500_000, LEN), (410_000, 10), (20_000, 0)];
        // Nobody knows yet that it is lost: that shows in the first load, which the process survives.
        let answers = opened.multi_read(Way::MultiRead, &ranges);
        assert_eq!(answers.all()[1].1[1000..], [0; 1000], "what was lost reads as zeros");
        drop(answers);
        let answers = opened.multi_read(Way::MultiRead, &ranges);
        let codes: Vec<i32> = answers.all().iter().map(|answer| answer.0).collect();
        assert_eq!(codes, [OK, IO_ERROR, OK, IO_ERROR, OK]);
        assert!(answers.all()[0].1 == &bytes[..4096] && answers.all()[2].1 == &bytes[500_000..]);
    }
}
