//! Mappings of files that do not change.

use daxcow::units::BLOCK_SIZE;
use daxcow::{ErrorKind, File, Pool};
use daxcow_tests::fixture::{assert_clean, bytes, contents, file, get, kind, new_pool, snapshot};
use daxcow_tests::mapped::{buffer, load, load_all, store};
use daxcow_tests::place::Place;
use daxcow_tests::rng::Rng;

const BLOCK: usize = 4096;

/// A file of `blocks` blocks that lie in random order, with holes, blocks never written, and an odd end.
fn scattered(pool: &Pool, path: &str, blocks: u64) -> File {
    let file = file(pool, path);
    let mut order: Vec<u64> = (0..blocks).collect();
    let mut rng = Rng::new(5);
    for last in (1..order.len()).rev() {
        order.swap(last, rng.index(last + 1));
    }
    for block in order {
        match block % 7 {
            3 => {}
            5 => file.allocate(block * BLOCK_SIZE, BLOCK_SIZE, false).expect("allocate"),
            _ => file.write_at(&bytes(block, BLOCK), block * BLOCK_SIZE).expect("write"),
        }
    }
    file.write_at(b"the end", blocks * BLOCK_SIZE).expect("write");
    file
}

#[test]
fn a_mapping_keeps_the_state_it_was_made_of() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let file = scattered(&pool, "/f", 3000);
    let whole = contents(&file).expect("read");
    let mapping = file.map(0, whole.len() as u64).expect("map");
    let tail = file.map(2 * BLOCK_SIZE, 5000).expect("map");
    assert_eq!((mapping.len(), tail.len()), (whole.len(), 5000));

    file.write_at(&bytes(99, 3 * BLOCK), 100).expect("write");
    file.punch_hole(50 * BLOCK_SIZE, 20 * BLOCK_SIZE).expect("punch");
    snapshot(&pool, "s");
    file.write_at(&bytes(98, BLOCK), 900 * BLOCK_SIZE).expect("write");
    file.set_len(10).expect("truncate");
    file.set_len(1 << 20).expect("grow");
    file.write_at(&bytes(97, 1 << 20), 0).expect("write");
    drop(file);
    pool.remove_file("/f").expect("remove");

    assert_eq!(load_all(&tail), &whole[2 * BLOCK..][..5000]);
    let mut rng = Rng::new(6);
    for _ in 0..2000 {
        let at = rng.index(whole.len() - 9);
        assert_eq!(load(&mapping, at, 9), &whole[at..at + 9], "at {at}");
    }
    assert!(load_all(&mapping) == whole, "some byte differs");
    let mut copied = vec![1; whole.len() - 77];
    mapping.read_at(&mut copied, 77).expect("read");
    assert!(copied == whole[77..], "some byte differs");
    assert!(!mapping.is_failed());
    drop((mapping, tail));
    assert_clean(&pool);
}

#[test]
fn system_calls_find_what_was_prefaulted() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let file = scattered(&pool, "/f", 2000);
    let whole = contents(&file).expect("read");
    let mapping = file.map(0, whole.len() as u64).expect("map");
    let far = 1500 * BLOCK..1503 * BLOCK + 5;
    let host = place.path().join("host");
    let refused = std::fs::write(&host, &buffer(&mapping)[far.clone()]).expect_err("nothing is there yet");
    assert_eq!(refused.raw_os_error(), Some(14), "EFAULT");
    mapping.prefault(far.start, far.len()).expect("prefault");
    std::fs::write(&host, &buffer(&mapping)[far.clone()]).expect("all is there");
    assert!(std::fs::read(&host).expect("read") == whole[far]);
}

#[test]
fn a_mapping_is_a_source_and_a_target_of_the_file_layer() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let from = scattered(&pool, "/f", 2000);
    let whole = contents(&from).expect("read");
    let mapping = from.map(0, whole.len() as u64).expect("map");
    // Overlapping its own blocks, which move as they are written.
    from.write_at(&buffer(&mapping)[..1 << 20], 12_345).expect("write");
    let mut expected = whole.clone();
    expected[12_345..12_345 + (1 << 20)].copy_from_slice(&whole[..1 << 20]);
    assert!(contents(&from).expect("read") == expected, "some byte differs");
    let other = file(&pool, "/g");
    assert_eq!(other.append(buffer(&mapping)).expect("append"), 0);
    let mut batch = other.batch().expect("batch");
    batch.write_at(&buffer(&mapping)[1..100], 0).expect("write");
    batch.commit().expect("commit");
    let mut expected = whole.clone();
    expected[..99].copy_from_slice(&whole[1..100]);
    assert!(contents(&other).expect("read") == expected, "some byte differs");
    assert!(load_all(&mapping) == whole, "the mapping has changed");
}

#[test]
fn what_cannot_be_mapped_is_refused() {
    let place = Place::new();
    let pool = new_pool(&place, 16);
    let file = file(&pool, "/f");
    file.write_at(&bytes(1, 10_000), 0).expect("write");
    assert_eq!(kind(file.map(0, 0)), ErrorKind::InvalidInput);
    assert_eq!(kind(file.map(512, 100)), ErrorKind::InvalidInput);
    assert_eq!(kind(file.map(0, 10_001)), ErrorKind::InvalidInput);
    assert_eq!(kind(file.map(u64::MAX - 4095, 4096)), ErrorKind::InvalidInput);
    assert_eq!(kind(file.map(4096, u64::MAX)), ErrorKind::InvalidInput);
    let mapping = file.map(8192, 1808).expect("up to the end");
    assert_eq!(load_all(&mapping), &bytes(1, 10_000)[8192..]);
    assert_eq!(kind(mapping.read_at(&mut [0; 2], 1807)), ErrorKind::InvalidInput);
    assert_eq!(kind(mapping.prefault(1, usize::MAX)), ErrorKind::InvalidInput);
}

#[test]
fn stores_reach_the_file_and_old_bytes_stay_in_snapshots() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let file = scattered(&pool, "/f", 3000);
    let mut expected = contents(&file).expect("read");
    let mapping = file.map_mut(0, expected.len() as u64).expect("map");
    assert!(load_all(&mapping) == expected, "some byte differs");
    let mut rng = Rng::new(7);
    let mut snapshots = Vec::new();
    for round in 0..2000_u64 {
        let at = rng.index(expected.len() - 6000);
        let fresh = bytes(round, 1 + rng.index(6000));
        match rng.below(20) {
            0..12 => store(&mapping, at, &fresh),
            12..15 => file.write_at(&fresh, at as u64).expect("write"),
            15..17 => mapping.write_at(&fresh, at).expect("write"),
            17 => {
                file.punch_hole(at as u64, fresh.len() as u64).expect("punch");
                expected[at..at + fresh.len()].fill(0);
                continue;
            }
            18 if round % 3 == 0 => {
                let name = format!("s{round}");
                snapshot(&pool, &name);
                snapshots.push((name, expected.clone()));
                continue;
            }
            _ => {
                assert_eq!(
                    load(&mapping, at, fresh.len()),
                    &expected[at..at + fresh.len()],
                    "{round}: at {at}"
                );
                continue;
            }
        }
        expected[at..at + fresh.len()].copy_from_slice(&fresh);
    }
    assert!(snapshots.len() > 10);
    assert!(load_all(&mapping) == expected, "some byte of the mapping differs");
    assert!(contents(&file).expect("read") == expected, "some byte of the file differs");
    for (name, bytes) in &snapshots {
        assert!(get(&pool, &format!("/.snapshots/{name}/f")) == *bytes, "some byte of {name} differs");
    }
    mapping.flush(0, mapping.len()).expect("flush");
    drop((mapping, file));
    assert_clean(&pool);
}
