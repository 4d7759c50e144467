//! Mappings that are stored to: threads, other calls on the same file, and what ends their rights.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use daxcow::units::BLOCK_SIZE;
use daxcow::{ErrorKind, File, MappingMut, Pool};
use daxcow_tests::fixture::{
    assert_clean, bytes, contents, file, free, get, kind, new_pool, reopen, snapshot,
};
use daxcow_tests::mapped::{StopAtEnd, buffer, load, load_all, mappings_of_this_process, store, word};
use daxcow_tests::place::Place;
use daxcow_tests::rng::{Rng, seed_from_env};

const BLOCK: usize = 4096;

/// A file of `blocks` written blocks, mapped whole.
fn mapped(pool: &Pool, path: &str, blocks: u64) -> (File, MappingMut) {
    let file = file(pool, path);
    file.write_at(&bytes(blocks, usize::try_from(blocks).unwrap_or(0) * BLOCK), 0).expect("write");
    let mapping = file.map_mut(0, blocks * BLOCK_SIZE).expect("map");
    (file, mapping)
}

/// What one thread stores, over and over: the next number, into one file and only then into the other.
struct Storer<'a> {
    first: &'a AtomicU64,
    second: &'a AtomicU64,
}

impl Storer<'_> {
    fn run(&self, stop: &AtomicBool) -> u64 {
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            self.first.store(number, Ordering::SeqCst);
            self.second.store(number, Ordering::SeqCst);
        }
        number
    }
}

/// Where each thread's word stands: each in a block of its own, and two in one.
const WORDS: [usize; 4] = [0, 5 * BLOCK, 5 * BLOCK + 64, 900 * BLOCK + 8];

/// A snapshot is one instant for stores too: what was stored later in one thread is in it only with what was stored earlier. No
/// store is lost, whatever else happens to the files, and what a snapshot holds stays.
#[test]
fn snapshots_are_one_instant_for_storing_threads() {
    let seed = seed_from_env(11);
    println!("DAXCOW_SEED={seed:#x} cargo test -p daxcow-tests --test mapping_live snapshots_are");
    let place = Place::new();
    let pool = new_pool(&place, 256);
    let (a, mapped_a) = mapped(&pool, "/a", 1000);
    let (b, mapped_b) = mapped(&pool, "/b", 1000);
    for at in WORDS {
        word(&mapped_a, at).store(0, Ordering::SeqCst);
        word(&mapped_b, at).store(0, Ordering::SeqCst);
    }
    let stop = AtomicBool::new(false);
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    let numbers: Vec<u64> = thread::scope(|scope| {
        let storers: Vec<_> = WORDS
            .into_iter()
            .map(|at| {
                let storer = Storer { first: word(&mapped_a, at), second: word(&mapped_b, at) };
                let stop = &stop;
                scope.spawn(move || storer.run(stop))
            })
            .collect();
        let at_end = StopAtEnd(&stop);
        let mut rng = Rng::new(seed);
        for round in 0..120_u64 {
            disturb(&pool, [&a, &b], &mut rng, round);
            if round % 4 == 0 {
                let name = format!("s{round}");
                pool.create_snapshot(&name, &["/a", "/b"]).expect("snapshot");
                seen.push((name.clone(), in_snapshot(&pool, &name, round)));
            }
            if round % 24 == 23 {
                let (name, _) = seen.remove(rng.index(seen.len()));
                pool.delete_snapshot(&name).expect("delete");
            }
        }
        drop(at_end);
        storers.into_iter().map(|storer| storer.join().expect("a storing thread")).collect()
    });
    for (at, number) in WORDS.into_iter().zip(numbers) {
        assert!(number > 0);
        for mapping in [&mapped_a, &mapped_b] {
            assert_eq!(word(mapping, at).load(Ordering::SeqCst), number, "a store at {at} was lost");
        }
        let mut stored = [0; 8];
        b.read_exact_at(&mut stored, at as u64).expect("read");
        assert_eq!(u64::from_le_bytes(stored), number, "the file lacks the last store at {at}");
    }
    for (name, held) in &seen {
        assert!(in_snapshot(&pool, name, 0) == *held, "snapshot {name} has changed");
    }
    drop((mapped_a, mapped_b, a, b));
    assert_clean(&pool);
}

/// What other threads and processes do to mapped files, away from the words.
fn disturb(pool: &Pool, [a, b]: [&File; 2], rng: &mut Rng, round: u64) {
    let (file, other) = if rng.one_in(2) { (a, b) } else { (b, a) };
    let at = (10 + rng.below(800)) * BLOCK_SIZE;
    match rng.below(8) {
        0 | 1 => file.write_at(&bytes(round, 3 * BLOCK), at + 5).expect("write"),
        2 => file.punch_hole(at, 20 * BLOCK_SIZE).expect("punch"),
        3 => file
            .set_len(950 * BLOCK_SIZE + 17)
            .and_then(|()| file.set_len(1000 * BLOCK_SIZE))
            .expect("truncate"),
        4 => file.clone_range(other, 10 * BLOCK_SIZE, at, 30 * BLOCK_SIZE).expect("clone"),
        5 => {
            drop(file.map(0, 7 * BLOCK_SIZE).expect("map"));
        }
        6 => {
            let path = format!("/clone{}", round % 2);
            if pool.exists(&path).expect("exists") {
                pool.remove_file(&path).expect("remove");
            }
            pool.clone_tree("/a", &path).expect("clone");
        }
        _ => drop(file.view(0, 100).expect("view")),
    }
}

/// Both files of a snapshot, in which no second word is ahead of its first.
fn in_snapshot(pool: &Pool, name: &str, round: u64) -> Vec<u8> {
    let mut first = get(pool, &format!("/.snapshots/{name}/a"));
    let second = get(pool, &format!("/.snapshots/{name}/b"));
    for at in WORDS {
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let (first, second) = (number(&first), number(&second));
        assert!(
            second <= first && first <= second + 1,
            "round {round}: {first} and {second} at {at} of {name}"
        );
    }
    first.extend(second);
    first
}

#[test]
fn a_mapping_follows_whatever_moves_the_blocks() {
    let place = Place::new();
    let pool = new_pool(&place, 128);
    let (file, mapping) = mapped(&pool, "/f", 600);
    let (other, other_mapping) = mapped(&pool, "/g", 600);
    let mut expected = contents(&file).expect("read");
    let check = |expected: &[u8], what: &str| {
        assert!(load_all(&mapping) == expected, "after {what}, by the mapping");
        assert!(contents(&file).expect("read") == expected, "after {what}, by the file");
    };
    let fixed = file.map(0, 600 * BLOCK_SIZE).expect("map");
    let unchanged = expected.clone();
    store(&mapping, 400 * BLOCK + 1, b"after map");
    expected[400 * BLOCK + 1..][..9].copy_from_slice(b"after map");
    check(&expected, "a store to what is mapped elsewhere");
    assert!(load_all(&fixed) == unchanged, "a mapping that does not change has changed");
    file.clone_range(&other, 0, 100 * BLOCK_SIZE, 50 * BLOCK_SIZE).expect("clone");
    expected[100 * BLOCK..150 * BLOCK].copy_from_slice(&load(&other_mapping, 0, 50 * BLOCK));
    check(&expected, "clone_range");
    store(&other_mapping, 10 * BLOCK, b"only the source");
    check(&expected, "a store to the source of a clone");
    store(&mapping, 101 * BLOCK, b"only the clone");
    expected[101 * BLOCK..][..14].copy_from_slice(b"only the clone");
    check(&expected, "a store to a clone");
    other.write_at(&expected[200 * BLOCK..300 * BLOCK], 200 * BLOCK_SIZE).expect("write");
    file.dedupe_range(&other, 200 * BLOCK_SIZE, 200 * BLOCK_SIZE, 100 * BLOCK_SIZE).expect("dedupe");
    check(&expected, "dedupe_range");
    store(&other_mapping, 205 * BLOCK, b"after dedupe");
    check(&expected, "a store to what was deduplicated with it");
    file.replace_contents(&other).expect("replace");
    expected = contents(&other).expect("read");
    check(&expected, "replace_contents");
    store(&other_mapping, 7, b"after replace");
    check(&expected, "a store to what it was replaced with");
    snapshot(&pool, "s");
    file.defragment(0, 600 * BLOCK_SIZE).expect("defragment");
    store(&mapping, 55 * BLOCK, b"after defragment");
    expected[55 * BLOCK..][..16].copy_from_slice(b"after defragment");
    check(&expected, "defragment");
    assert!(load_all(&fixed) == unchanged, "a mapping that does not change has changed");
    drop((fixed, mapping, file, other_mapping, other));
    assert_clean(&pool);
}

#[test]
fn accesses_past_a_truncated_end_are_errors_of_calls() {
    let place = Place::new();
    let pool = new_pool(&place, 32);
    let (file, mapping) = mapped(&pool, "/f", 20);
    file.set_len(5 * BLOCK_SIZE + 10).expect("truncate");
    assert_eq!(kind(mapping.read_at(&mut [0; 100], 6 * BLOCK)), ErrorKind::InvalidInput);
    assert_eq!(kind(mapping.write_at(&[1; 100], 19 * BLOCK)), ErrorKind::InvalidInput);
    assert_eq!(kind(mapping.prefault(0, mapping.len(), true)), ErrorKind::InvalidInput);
    // The page with the end can be touched, and what is stored beyond the end means nothing.
    mapping.write_at(&[9; 100], 5 * BLOCK + 5).expect("the page of the end");
    file.set_len(20 * BLOCK_SIZE).expect("grow");
    let expected = [&bytes(20, 20 * BLOCK)[..5 * BLOCK + 5], &[9; 5], &[0; 15 * BLOCK - 10][..]].concat();
    assert!(load_all(&mapping) == expected, "some byte differs");
    store(&mapping, 19 * BLOCK, b"back again");
    assert_eq!(&contents(&file).expect("read")[19 * BLOCK..][..10], b"back again");
}

#[test]
fn batches_and_live_mappings_exclude_each_other() {
    let place = Place::new();
    let pool = new_pool(&place, 32);
    let (file, mapping) = mapped(&pool, "/f", 20);
    assert_eq!(kind(file.batch()), ErrorKind::Busy);
    drop(mapping);
    let batch = file.batch().expect("nothing is mapped");
    assert_eq!(kind(file.map_mut(0, 1)), ErrorKind::Busy);
    drop(file.map(0, 1).expect("what does not change can be mapped"));
    drop(batch);
    drop(file.map_mut(0, 1).expect("no batch is open"));
}

#[test]
fn a_mapping_outlives_the_handle_and_the_name() {
    let place = Place::new();
    let pool = new_pool(&place, 32);
    pool.create_dir("/d").expect("create");
    drop(mapped(&pool, "/d/warm", 1));
    pool.remove_file("/d/warm").expect("remove");
    let before = free(&pool);
    let (file, mapping) = mapped(&pool, "/d/f", 100);
    let second = file.map_mut(50 * BLOCK_SIZE, 50 * BLOCK_SIZE).expect("map");
    drop(file);
    pool.remove_file("/d/f").expect("remove");
    store(&mapping, 60 * BLOCK, b"nameless");
    assert_eq!(load(&second, 10 * BLOCK, 8), b"nameless");
    drop(mapping);
    store(&second, 0, b"still there");
    assert_eq!(load(&second, 0, 11), b"still there");
    drop(second);
    assert_eq!(free(&pool), before, "the file is gone with its last mapping");
    assert_clean(&pool);
}

#[test]
fn stores_survive_closing_the_pool() {
    let place = Place::new();
    let pool = new_pool(&place, 32);
    let file = file(&pool, "/f");
    file.set_len(100 * BLOCK_SIZE).expect("grow");
    let mapping = file.map_mut(0, 100 * BLOCK_SIZE).expect("map");
    store(&mapping, 77 * BLOCK + 5, b"in a hole");
    mapping.flush(77 * BLOCK, BLOCK).expect("flush");
    drop((mapping, file));
    let pool = reopen(pool);
    let bytes = get(&pool, "/f");
    assert_eq!(&bytes[77 * BLOCK + 5..][..9], b"in a hole");
    assert!(bytes[..77 * BLOCK].iter().all(|&byte| byte == 0));
    assert_clean(&pool);
}

#[test]
fn a_write_from_a_mapping_of_the_same_file_neither_hangs_nor_tears() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let seed = seed_from_env(12);
    println!("DAXCOW_SEED={seed:#x} cargo test -p daxcow-tests --test mapping_live a_write_from");
    let (file, mapping) = mapped(&pool, "/f", 300);
    let mut expected = contents(&file).expect("read");
    let mut rng = Rng::new(seed);
    for round in 0..200 {
        let len = 1 + rng.index(40 * BLOCK);
        let (from, to) = (rng.index(expected.len() - len), rng.index(expected.len() - len));
        match round % 5 {
            0 => snapshot(&pool, &format!("s{round}")),
            1 => file.punch_hole(from as u64, 5 * BLOCK_SIZE).expect("punch"),
            _ => {}
        }
        if round % 5 == 1 {
            let end = (from + 5 * BLOCK).min(expected.len());
            expected[from..end].fill(0);
            file.set_len(300 * BLOCK_SIZE).expect("the size stays");
        }
        if round % 2 == 0 {
            file.write_at(&buffer(&mapping)[from..from + len], to as u64).expect("write");
        } else {
            mapping.write_at(&buffer(&mapping)[from..from + len], to).expect("write");
        }
        expected.copy_within(from..from + len, to);
        assert!(load_all(&mapping) == expected, "round {round}: {len} bytes from {from} to {to}");
    }
    drop((mapping, file));
    assert_clean(&pool);
}

#[test]
fn a_store_for_which_there_is_no_space_is_an_error_of_the_call() {
    let place = Place::new();
    let pool = new_pool(&place, 16);
    let (file, mapping) = mapped(&pool, "/f", 900);
    snapshot(&pool, "s");
    let mut done = 0;
    let failed = loop {
        match mapping.write_at(&[7; 8], done * BLOCK) {
            Ok(()) => done += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(failed.kind(), ErrorKind::NoSpace);
    assert!(done > 100, "{done} blocks fitted");
    assert_eq!(load(&mapping, done * BLOCK, 16), bytes(900, 900 * BLOCK)[done * BLOCK..][..16]);
    pool.delete_snapshot("s").expect("delete");
    mapping.write_at(&[7; 8], done * BLOCK).expect("there is space again");
    drop((mapping, file));
    assert_clean(&pool);
}

/// Random stores to a sparse file cost a bounded number of the kernel's mappings, and all of them arrive.
fn sparse(mebibytes: u64, stores: u64, pool_mebibytes: u64) {
    let place = Place::new();
    let pool = new_pool(&place, pool_mebibytes);
    let file = file(&pool, "/sparse");
    file.set_len(mebibytes << 20).expect("grow");
    let mapping = file.map_mut(0, mebibytes << 20).expect("map");
    let before = mappings_of_this_process();
    let blocks = mebibytes << 8;
    let block =
        |number: u64| usize::try_from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % blocks).unwrap_or(0);
    let mut most = 0;
    for number in 0..stores {
        word(&mapping, block(number) * BLOCK + 8 * (block(number) % 512))
            .store(number + 1, Ordering::Relaxed);
        if number % (stores / 16) == 0 {
            most = most.max(mappings_of_this_process());
        }
    }
    most = most.max(mappings_of_this_process());
    println!("{before} mappings before, {most} at most");
    assert!(most > before + 1000, "the test stores too little");
    assert!(most < before + 16_384, "{most} mappings");
    let mut last = std::collections::HashMap::new();
    for number in 0..stores {
        last.insert(block(number), number + 1);
    }
    for (block, number) in last {
        let mut stored = [0; 8];
        file.read_exact_at(&mut stored, (block * BLOCK + 8 * (block % 512)) as u64).expect("read");
        assert_eq!(u64::from_le_bytes(stored), number, "block {block}");
    }
}

#[test]
fn scattered_stores_stay_within_a_budget_of_mappings() {
    sparse(4 << 10, 30_000, 512);
}

#[test]
#[ignore = "a minute, and 5 GiB of memory: cargo test --release -p daxcow-tests --test mapping_live a_million -- --ignored --nocapture"]
fn a_million_scattered_stores_to_64_gib_stay_within_a_budget_of_mappings() {
    sparse(64 << 10, 1_000_000, 6 << 10);
}

/// Readers neither wait for writers that never pause nor read what was never in the file.
#[test]
fn readers_go_on_beside_writers_that_never_pause() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let file = file(&pool, "/f");
    const BLOCKS: u64 = 64;
    let stamp = |block: u64, version: u64| (block << 32 | version).to_le_bytes().repeat(BLOCK / 8);
    for block in 0..BLOCKS {
        file.write_at(&stamp(block, 0), block * BLOCK_SIZE).expect("write");
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2 {
            let (file, pool, stop) = (&file, &pool, &stop);
            scope.spawn(move || {
                for version in 1.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let block = version * 7 % BLOCKS;
                    file.write_at(&stamp(block, version), block * BLOCK_SIZE).expect("write");
                    if writer == 0 && version % 50 == 0 {
                        // From here on every write moves its block, and frees the one that was cloned before.
                        if pool.exists("/c").expect("exists") {
                            pool.remove_file("/c").expect("remove");
                        }
                        pool.clone_tree("/f", "/c").expect("clone");
                    }
                }
            });
        }
        let _at_end = StopAtEnd(&stop);
        let mut bytes = vec![0; 1 << 18];
        let started = Instant::now();
        let mut slowest = Duration::ZERO;
        for _ in 0..300 {
            let begun = Instant::now();
            assert_eq!(file.read_at(&mut bytes, 0).expect("read"), bytes.len());
            slowest = slowest.max(begun.elapsed());
            for (block, bytes) in (0..).zip(bytes.chunks(BLOCK)) {
                for word in bytes.chunks(8) {
                    let word = u64::from_le_bytes(word.try_into().expect("8 bytes"));
                    assert_eq!(word >> 32, block, "{word:#x} was never in block {block}");
                }
            }
        }
        println!("300 reads in {:?}, the slowest {slowest:?}", started.elapsed());
        assert!(slowest < Duration::from_secs(2), "a read took {slowest:?}");
    });
}
