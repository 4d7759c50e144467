//! Files that are no pools, or not any more: typed errors, and what a check finds.

use std::fs;
use std::os::unix::fs::FileExt;

use super::*;
use crate::format::lane::{self, Record};
use crate::format::layout::SUPERBLOCKS;
use crate::units::PoolOffset;

/// A pool that was closed, and one that was not, each with a file of two levels of map.
fn closed_and_crashed(directory: &TempDir) -> [PathBuf; 2] {
    let path = pool_in(directory);
    let core = new_pool(&path, 32);
    add_file(&core, "file", 600).unwrap();
    core.store.space.settle().unwrap();
    let crashed = directory.path().join("crashed.pool");
    fs::copy(&path, &crashed).unwrap();
    close(core).unwrap();
    [path, crashed]
}

fn overwrite(path: &Path, place: u64, bytes: &[u8]) {
    fs::File::options().write(true).open(path).unwrap().write_all_at(bytes, place).unwrap();
}

#[test]
fn what_is_no_pool_is_refused_as_such() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = pool_in(&directory);
    assert_eq!(open_error(&path).0, ErrorKind::NotFound);
    for content in [vec![], b"SQLite format 3\0".to_vec(), vec![0; 4096], vec![0xa5; 20 << 20]] {
        fs::write(&path, &content).unwrap();
        assert_eq!(open_error(&path).0, ErrorKind::NotAPool, "{} bytes", content.len());
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_later_version_and_unknown_features_are_refused() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let [path, crashed] = closed_and_crashed(&directory);
    for place in SUPERBLOCKS {
        overwrite(&path, place.0 + 8, &2_u32.to_le_bytes());
        let mut superblock = [0; 512];
        let file = fs::File::open(&crashed).unwrap();
        file.read_exact_at(&mut superblock, place.0).unwrap();
        superblock[32] = 1;
        let crc = crc32c::crc32c(&superblock[..508]);
        superblock[508..].copy_from_slice(&crc.to_le_bytes());
        overwrite(&crashed, place.0, &superblock);
    }
    assert_eq!(open_error(&path).0, ErrorKind::UnsupportedVersion);
    assert_eq!(open_error(&crashed).0, ErrorKind::UnsupportedVersion);
}

#[test]
fn one_good_superblock_is_enough_and_none_is_damage() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let [path, _] = closed_and_crashed(&directory);
    for place in SUPERBLOCKS {
        overwrite(&path, place.0 + 64, &[0xff; 8]);
        let (core, _) = reopen(&path);
        assert!(core.namespace().unwrap().resolve(Path::new("file")).is_ok());
        close(core).unwrap();
        // Opening and closing wrote both copies anew.
        let (core, opening) = reopen(&path);
        assert!(opening.clean);
        assert_sound(&core);
    }
    for place in SUPERBLOCKS {
        overwrite(&path, place.0 + 64, &[0xff; 8]);
    }
    let (kind, message) = open_error(&path);
    assert_eq!(kind, ErrorKind::Corrupt);
    assert!(message.contains("superblock"), "{message}");
}

#[test]
fn a_truncated_pool_is_refused() {
    for directory in directories() {
        for path in closed_and_crashed(&directory) {
            for length in [31 << 20, 8 << 20, 1 << 20, 4096] {
                fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
                let (kind, message) = open_error(&path);
                assert_eq!(kind, ErrorKind::Corrupt, "{length}: {message}");
                assert!(message.contains("truncated"), "{message}");
            }
        }
    }
}

/// The place of a word in the root node of the file, by way of an open copy.
fn a_map_word(path: &Path) -> u64 {
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).unwrap();
    let (core, _) = reopen(&copy);
    let inode = core.namespace().unwrap().resolve(Path::new("file")).unwrap().inode;
    Tree::of(&core.store.space, inode.place).unwrap().root.unwrap().entry.block.offset().0 + 8
}

/// Damages a word of the map of the file in a pool that was left open, and opens it. `survived` says whether it is the file that
/// was left open, whose counts are those of before, or a copy of which nothing is known.
fn opened_with_a_damaged_map(directory: &TempDir, survived: bool) -> (Arc<Core>, open::Opening, u64) {
    let path = pool_in(directory);
    let core = new_pool(&path, 32);
    add_file(&core, "file", 600).unwrap();
    add_file(&core, "other", 3).unwrap();
    core.store.space.settle().unwrap();
    let copy = directory.path().join("copy.pool");
    fs::copy(&path, &copy).unwrap();
    let place = a_map_word(&copy);
    close(core).unwrap();
    let bytes = fs::read(&copy).unwrap();
    let damaged = if survived { &path } else { &copy };
    if survived {
        fs::File::options().write(true).open(damaged).unwrap().write_all_at(&bytes, 0).unwrap();
    }
    overwrite(damaged, place, &[0x55; 8]);
    let (core, opening) = reopen(damaged);
    (core, opening, place)
}

/// The blocks of the file `file` before it was damaged: everything but what is counted for the rest.
fn owned_by_the_damaged_map(core: &Core) -> Vec<BlockNumber> {
    let mut census = super::super::census::Census::take(
        &core.store.runtime.region,
        core.store.space.pool_blocks().unwrap(),
    )
    .unwrap();
    assert_eq!(census.inodes().len(), 4);
    let pool_blocks = core.store.space.pool_blocks().unwrap();
    let all = (0..pool_blocks).map(BlockNumber).filter(|&block| layout::is_allocatable(block, pool_blocks));
    all.filter(|&block| census.count(block) == 0 && core.store.space.count(block).unwrap() > 0).collect()
}

#[test]
fn a_pool_with_a_damaged_map_is_opened_and_nothing_that_the_map_may_own_is_handed_out() {
    for survived in [true, false] {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let (core, opening, place) = opened_with_a_damaged_map(&directory, survived);
        assert!(opening.recovery.unwrap().problems > 0);
        let problems = check(&core).unwrap().problems;
        assert!(
            problems.iter().any(|problem| problem.place.contains(&format!("{place:#x}"))),
            "{problems:#?}"
        );
        let held = owned_by_the_damaged_map(&core);
        assert!(held.len() >= 89, "only {} blocks are held for the damaged map", held.len());
        let other = core.namespace().unwrap().resolve(Path::new("other")).unwrap().inode;
        assert_eq!(
            Tree::of(&core.store.space, other.place).unwrap().allocated_blocks(&core.store.space).unwrap(),
            3
        );
        if survived {
            // The rest of the pool can be filled to the last block without touching what the map may own.
            let before: Vec<u32> = held.iter().map(|&block| core.store.space.count(block).unwrap()).collect();
            let free = free_blocks(&core);
            assert!(free > 100);
            let fill = (1..).map(|n| add_file(&core, &format!("fill{n}"), 64)).find_map(Result::err).unwrap();
            assert_eq!(fill.kind(), ErrorKind::NoSpace);
            let after: Vec<u32> = held.iter().map(|&block| core.store.space.count(block).unwrap()).collect();
            assert_eq!(before, after);
            assert_eq!(core.store.space.count(BlockNumber(place / BLOCK_SIZE)).unwrap(), 1);
        } else {
            assert_eq!(free_blocks(&core), 0, "nothing is known of what the map owns");
            assert_eq!(add_file(&core, "new", 1).unwrap_err().kind(), ErrorKind::NoSpace);
            super::super::grow::grow(&core, 40 * MIB).unwrap();
            add_file(&core, "newer", 1).unwrap();
        }
        // Nobody has called it clean: the next one counts anew, too.
        let path = core.store.runtime.region.path().to_owned();
        close(core).unwrap();
        let (core, opening) = reopen(&path);
        assert!(opening.recovery.unwrap().problems > 0);
        // Without the file nothing is in doubt, and the next opening gets everything back.
        core.namespace().unwrap().remove_file(Path::new("file")).unwrap();
        close(core).unwrap();
        let (core, opening) = reopen(&path);
        assert_eq!(opening.recovery.unwrap().problems, 0);
        assert_sound(&core);
        let reserve = free_blocks(&core);
        assert!(reserve > held.len() as u64 || !survived);
    }
}

#[test]
fn an_older_superblock_that_calls_the_counts_clean_is_not_believed_when_the_newer_one_is_lost() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = pool_in(&directory);
    close(new_pool(&path, 32)).unwrap();
    let (core, opening) = reopen(&path);
    assert!(opening.clean);
    add_file(&core, "file", 600).unwrap();
    let crashed = directory.path().join("crashed.pool");
    fs::copy(&path, &crashed).unwrap();
    let word = |at: u64| {
        let mut bytes = [0; 8];
        fs::File::open(&crashed).unwrap().read_exact_at(&mut bytes, at).unwrap();
        u64::from_le_bytes(bytes)
    };
    let newer = SUPERBLOCKS.into_iter().max_by_key(|place| word(place.0 + 56)).unwrap();
    overwrite(&crashed, newer.0 + 64, &[0xff; 8]);
    let (core, opening) = reopen(&crashed);
    assert!(!opening.clean && opening.recovery.unwrap().blocks_counted > 600);
    assert_sound(&core);
}

#[test]
fn a_check_finds_a_damaged_map_and_wrong_counts() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let [path, _] = closed_and_crashed(&directory);
    let place = a_map_word(&path);
    let (core, _) = reopen(&path);
    let region = &core.store.runtime.region;
    let found = |structure: &str| {
        let problems = check(&core).unwrap().problems;
        assert!(problems.iter().any(|problem| problem.structure == structure), "{structure}: {problems:#?}");
    };
    let node = crate::units::PoolOffset(place).block();
    region.store_u32(layout::count(node), 0).unwrap();
    found("reference count");
    region.store_u32(layout::count(node), 2).unwrap();
    assert_eq!(check(&core).unwrap().leaked_blocks, 1);
    region.store_u32(layout::count(node), 1).unwrap();
    region.add_u64(at::FREE_BLOCKS, 1).unwrap();
    found("number of free blocks");
    region.sub_u64(at::FREE_BLOCKS, 1).unwrap();
    assert_sound(&core);
    let word = region.swap_u64(crate::units::PoolOffset(place), 0x55).unwrap();
    found("map entry");
    region.store_u64(crate::units::PoolOffset(place), word).unwrap();
    assert_sound(&core);
    let inode = core.namespace().unwrap().resolve(Path::new("file")).unwrap().inode;
    let links = inode.field(crate::format::inode::at::LINKS);
    region.store_u64(links, crate::format::inode::encode_links(2, inode.number)).unwrap();
    found("inode");
}

/// Splitmix64: the next number of a seeded sequence.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[test]
fn random_damage_is_an_error_or_a_problem_and_never_a_panic() {
    let seed = std::env::var("DAXCOW_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_101);
    println!("replay: DAXCOW_SEED={seed} cargo test -p daxcow random_damage");
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let [_, crashed] = closed_and_crashed(&directory);
    let pristine = fs::read(&crashed).unwrap();
    // Metadata: what is not zero and not in the count tables.
    let words: Vec<usize> = (0..pristine.len() / 8)
        .filter(|&word| pristine[8 * word..8 * word + 8] != [0; 8])
        .filter(|&word| !(8 << 20..10 << 20).contains(&(8 * word)))
        .collect();
    let (mut state, mut noticed) = (seed, 0);
    for _ in 0..60 {
        let damaged = directory.path().join("damaged.pool");
        fs::write(&damaged, &pristine).unwrap();
        for _ in 0..=next_random(&mut state) % 3 {
            let word = words[usize::try_from(next_random(&mut state)).unwrap() % words.len()];
            let bytes = next_random(&mut state).to_le_bytes();
            overwrite(&damaged, 8 * word as u64, &bytes);
        }
        match open::open(&damaged, &OpenOptions::new()) {
            Ok((core, _)) => noticed += u64::from(check(&core).is_ok_and(|report| !report.is_clean())),
            Err(_) => noticed += 1,
        }
    }
    assert!(noticed > 30, "only {noticed} of 60 damaged pools were noticed");
}

#[test]
fn a_lane_that_names_what_lies_beyond_the_pool_is_damage() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let [_, crashed] = closed_and_crashed(&directory);
    for place in [u64::MAX - 7, u64::MAX - 3, 32 * MIB, layout::LANES.0] {
        let (body, validity) = lane::encode(&[Record { place: PoolOffset(place), value: 1 }], 1);
        let at = layout::lane(3, 1);
        overwrite(&crashed, at.0, &validity.to_le_bytes());
        overwrite(&crashed, at.0 + 8, &body);
        assert_eq!(open_error(&crashed).0, ErrorKind::Corrupt, "{place:#x}");
    }
}
