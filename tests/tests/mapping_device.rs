//! Mappings where the medium maps and protects 2 MiB at once, as DAX devices do: on memory that passes for one (feature `sim`), or on
//! the one that `DAXCOW_TEST_DEVICE` names, as in `cargo xtask dax-vm`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use daxcow::units::{BLOCK_SIZE, CHUNK_BLOCKS, CHUNK_SIZE};
use daxcow::{ErrorKind, File, Medium, Pool};
use daxcow_tests::fixture::{assert_clean, bytes, contents, file, get, kind, new_pool, snapshot};
use daxcow_tests::mapped::{StopAtEnd, count_up, load, load_all, store, word};
use daxcow_tests::place::Place;
use daxcow_tests::rng::{Rng, seed_from_env};

const BLOCK: usize = 4096;
const CHUNK: usize = 2 << 20;

/// A pool on a device, if there is one.
fn device_pool(place: &Place, mebibytes: u64) -> Option<Pool> {
    #[cfg(feature = "sim")]
    let pool = daxcow::sim::as_device(|| new_pool(place, mebibytes));
    #[cfg(not(feature = "sim"))]
    let pool = new_pool(place, mebibytes);
    let found = pool.durability().medium == Medium::DevDax;
    if !found {
        println!("SKIPPED: no DAX device (DAXCOW_TEST_DEVICE), and nothing passes for one (feature sim)");
    }
    found.then_some(pool)
}

/// A file whose blocks were written in random order, with holes and a chunk that is one.
fn scattered(pool: &Pool, blocks: u64, rng: &mut Rng) -> File {
    let file = file(pool, "/f");
    let mut order: Vec<u64> =
        (0..blocks).filter(|block| block % 5 != 3 && block / CHUNK_BLOCKS != 1).collect();
    while !order.is_empty() {
        let block = order.swap_remove(rng.index(order.len()));
        file.write_at(&bytes(block, BLOCK), block * BLOCK_SIZE).expect("write");
    }
    file.write_at(b"the end", blocks * BLOCK_SIZE).expect("write");
    file
}

/// Fails unless every extent of a file that is mapped live is a chunk in a chunk, or holds nothing.
fn assert_gathered(file: &File) {
    for extent in file.extents().expect("extents") {
        assert!(extent.block.is_multiple_of(CHUNK_BLOCKS), "{extent:?}");
    }
}

#[test]
fn what_is_touched_is_gathered_in_chunks_and_keeps_its_contents() {
    let seed = seed_from_env(3);
    println!(
        "DAXCOW_SEED={seed} cargo test -p daxcow-tests --features sim --test mapping_device what_is_touched"
    );
    let place = Place::new();
    let Some(pool) = device_pool(&place, 192) else { return };
    let mut rng = Rng::new(seed);
    let file = scattered(&pool, 2000, &mut rng);
    let mut expected = contents(&file).expect("read");
    let mapping = file.map_mut(0, expected.len() as u64).expect("map");
    assert!(load_all(&mapping) == expected, "some byte differs");
    assert_gathered(&file);
    let mut snapshots = Vec::new();
    for round in 0..400_u64 {
        let at = rng.index(expected.len() - 9000);
        let fresh = bytes(round, 1 + rng.index(9000));
        match rng.below(20) {
            0..11 => store(&mapping, at, &fresh),
            11..14 => file.write_at(&fresh, at as u64).expect("write"),
            14..16 => {
                file.punch_hole(at as u64, fresh.len() as u64).expect("punch");
                expected[at..at + fresh.len()].fill(0);
                continue;
            }
            16 => {
                let len = expected.len() - 7000;
                file.set_len(len as u64)
                    .and_then(|()| file.set_len(expected.len() as u64))
                    .expect("truncate");
                expected[len..].fill(0);
                continue;
            }
            17 => {
                assert!(load(&mapping, at, fresh.len()) == expected[at..at + fresh.len()], "at {at}");
                continue;
            }
            _ => {
                let name = format!("s{round}");
                snapshot(&pool, &name);
                snapshots.push((name, expected.clone()));
                if snapshots.len() > 4 {
                    pool.delete_snapshot(&snapshots.remove(0).0).expect("delete");
                }
                continue;
            }
        }
        expected[at..at + fresh.len()].copy_from_slice(&fresh);
    }
    assert!(load_all(&mapping) == expected, "some byte differs");
    assert!(contents(&file).expect("read") == expected, "some byte of the file differs");
    for (name, held) in &snapshots {
        assert!(get(&pool, &format!("/.snapshots/{name}/f")) == *held, "snapshot {name} has changed");
    }
    drop((mapping, file));
    assert_clean(&pool);
}

#[test]
fn no_store_is_lost_while_snapshots_are_taken_and_neighbours_are_written() {
    let place = Place::new();
    let Some(pool) = device_pool(&place, 192) else { return };
    let file = file(&pool, "/f");
    file.write_at(&bytes(1, 2 * CHUNK), 0).expect("write");
    let mapping = file.map_mut(0, 2 * CHUNK_SIZE).expect("map");
    let stop = AtomicBool::new(false);
    let places = [0, 100 * BLOCK, CHUNK + 8];
    let stored: Vec<u64> = thread::scope(|scope| {
        let at_end = StopAtEnd(&stop);
        let storers = places.map(|at| {
            let (word, stop) = (word(&mapping, at), &stop);
            word.store(0, Ordering::SeqCst);
            scope.spawn(move || count_up(word, stop))
        });
        for round in 0..40_u64 {
            let (name, before) = (format!("s{round}"), format!("s{}", round.wrapping_sub(1)));
            snapshot(&pool, &name);
            let held = get(&pool, &format!("/.snapshots/{name}/f"));
            // Neighbours of the words, written, taken away and moved.
            file.write_at(&bytes(round, 3 * BLOCK), 101 * BLOCK_SIZE + 7).expect("write");
            file.punch_hole(200 * BLOCK_SIZE, 9 * BLOCK_SIZE).expect("punch");
            file.defragment(0, u64::MAX).expect("defragment");
            assert!(held == get(&pool, &format!("/.snapshots/{name}/f")), "snapshot {name} has changed");
            if round > 0 {
                pool.delete_snapshot(&before).expect("delete");
            }
        }
        drop(at_end);
        storers.into_iter().map(|storer| storer.join().expect("a storing thread")).collect()
    });
    for (at, number) in places.into_iter().zip(stored) {
        assert!(number > 0);
        let mut found = [0; 8];
        file.read_exact_at(&mut found, at as u64).expect("read");
        assert_eq!(u64::from_le_bytes(found), number, "the last store at {at} is lost");
    }
    drop((mapping, file));
    assert_clean(&pool);
}

#[test]
fn a_mapping_that_does_not_change_shows_copies_of_what_lies_scattered() {
    let place = Place::new();
    let Some(pool) = device_pool(&place, 64) else { return };
    let file = scattered(&pool, 1500, &mut Rng::new(5));
    let whole = contents(&file).expect("read");
    let before = pool.usage().expect("usage").free_bytes;
    let mapping = file.map(700 * BLOCK_SIZE, whole.len() as u64 - 700 * BLOCK_SIZE).expect("map");
    file.write_at(&bytes(99, 300 * BLOCK), 600 * BLOCK_SIZE).expect("write");
    file.set_len(1).expect("truncate");
    assert!(load_all(&mapping) == whole[700 * BLOCK..], "some byte differs");
    let mut copied = vec![1; 5000];
    mapping.read_at(&mut copied, 3000).expect("read");
    assert!(copied == whole[700 * BLOCK + 3000..][..5000], "some byte differs");
    assert!(
        pool.usage().expect("usage").free_bytes >= before - (8 << 20),
        "the pool's space is not for copies"
    );
    drop((mapping, file));
    assert_clean(&pool);
}

#[test]
fn a_store_needs_a_whole_free_chunk() {
    let place = Place::new();
    let Some(pool) = device_pool(&place, 32) else { return };
    let file = file(&pool, "/f");
    file.write_at(&bytes(1, CHUNK), 0).expect("write");
    let mapping = file.map_mut(0, CHUNK_SIZE).expect("map");
    store(&mapping, 0, b"stored");
    snapshot(&pool, "s");
    // One block stays used in every chunk.
    let filler = daxcow_tests::fixture::file(&pool, "/filler");
    let mut filled = 0;
    while filler.write_at(&bytes(2, BLOCK), filled * BLOCK_SIZE).is_ok() {
        filled += 1;
    }
    for block in (0..filled).filter(|block| block % 64 != 0) {
        filler.punch_hole(block * BLOCK_SIZE, BLOCK_SIZE).expect("punch");
    }
    assert!(pool.usage().expect("usage").free_bytes > 2 * CHUNK_SIZE);
    assert_eq!(kind(mapping.write_at(b"again", 0)), ErrorKind::NoSpace);
    assert_eq!(load(&mapping, 0, 6), b"stored", "what was there can still be loaded");
    drop(filler);
    pool.remove_file("/filler").expect("remove");
    mapping.write_at(b"again!", 0).expect("there are free chunks again");
    assert_eq!(&get(&pool, "/f")[..6], b"again!");
    assert_eq!(&get(&pool, "/.snapshots/s/f")[..6], b"stored");
    drop((mapping, file));
    assert_clean(&pool);
}
