//! A pool that loses one block while it is open: each block in turn, whatever it holds.
//!
//! | the block holds | what must hold |
//! |---|---|
//! | data | a read of just that block fails, all others succeed; every owner is named; a write of the block heals the file |
//! | a map, a directory, inodes | what needs it fails, other files can be read |
//! | lanes, counts, runtime state | anything may fail, and nothing may hang, lie or end the process |
//!
//! A file may only be read wrong if that is an error. After the pool has been closed, its memory is whole again (the loss
//! was in the page table of this process): what was acknowledged is there and the check finds no damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use daxcow::units::{BLOCK_BYTES, BLOCK_SIZE};
use daxcow::{CreateOptions, ErrorKind, Pool};

use super::say;
use crate::fixture::{bytes, file, open_pool, readable, snapshot};
use crate::poison;

const POOL_BYTES: u64 = 16 << 20;
/// The files of the pool, by path: the seed of their contents and blocks. The last one is in no snapshot and shares nothing.
const FILES: [(&str, u64, usize); 6] =
    [("/a", 1, 3), ("/big", 2, 700), ("/d/deep/e", 3, 2), ("/sparse", 4, 1), ("/d/f", 5, 1), ("/own", 6, 3)];
/// Where the data groups begin: everything before is of the pool as a whole.
const DATA_AT: u64 = 10 << 20;

/// A file's blocks, the sparse one's far from its beginning.
fn offset_of(path: &str) -> u64 {
    if path == "/sparse" { 700 * BLOCK_SIZE } else { 0 }
}

fn make(path: &Path) {
    let pool = Pool::create(path, &CreateOptions::new().size(POOL_BYTES).sparse(true)).expect("a new pool");
    pool.create_dir_all("/d/deep").expect("directories");
    for (path, seed, blocks) in FILES {
        if path == "/own" {
            snapshot(&pool, "s");
            pool.clone_tree("/a", "/clone").expect("clone");
        }
        file(&pool, path).write_at(&bytes(seed, blocks * BLOCK_BYTES), offset_of(path)).expect("write");
    }
    pool.close().expect("close");
}

/// Says a line for every block it loses, beginning with the `first` of those that hold anything, and taking each `step`-th.
pub(super) fn main(pool: &str, first: u64, step: u64) {
    let path = Path::new(pool);
    make(path);
    let image = fs::read(path).expect("the pool's bytes");
    let used: Vec<u64> = (0..)
        .zip(image.chunks_exact(BLOCK_BYTES))
        .filter(|(block, bytes)| block * BLOCK_SIZE == 6 << 20 || bytes.iter().any(|&byte| byte != 0))
        .map(|(block, _)| block)
        .collect();
    let mut failing = BTreeMap::new();
    let (mut blocks, mut skip, mut vital) = (0, first, Vec::new());
    for block in used {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        skip = step - 1;
        fs::write(path, &image).expect("a fresh copy");
        say(&format!("block {block}"));
        let unreadable = one(path, block);
        *failing.entry(unreadable).or_insert(0) += 1;
        if block * BLOCK_SIZE >= DATA_AT && unreadable == FILES.len() {
            vital.push(block);
        }
        blocks += 1;
    }
    // The map of the inode table, the table's first block, and the map and the one block of the root directory.
    assert!(vital.len() <= 4, "each of {vital:?} took all files");
    say(&format!("lost {blocks} blocks; files that could not be read, and how often so many: {failing:?}"));
}

/// Loses one block; answers how many files could not be read.
fn one(path: &Path, block: u64) -> usize {
    let pool = open_pool(path);
    let owner = FILES.iter().find_map(|&(path, ..)| {
        let extents = readable(&pool, path).extents().expect("extents");
        let holds = |extent: &&daxcow::Extent| {
            (extent.block..extent.block + extent.len / BLOCK_SIZE).contains(&block)
        };
        extents.iter().find(holds).map(|extent| (path, extent.offset + (block - extent.block) * BLOCK_SIZE))
    });
    poison::lose(path, block * BLOCK_SIZE).expect("the block is lost");
    let unreadable = FILES.iter().filter(|&&(path, seed, blocks)| !reads(&pool, path, seed, blocks)).count();
    if let Some((path, at)) = owner {
        assert_eq!(unreadable, 1, "{path} alone lost data");
        data(&pool, path, at);
    }
    let acknowledged = use_all(&pool);
    // A pool whose own blocks are lost may not be able to say that it was closed.
    let closed = pool.close();
    if owner.is_some() {
        closed.expect("a pool that lost data can be closed");
    }
    let pool = open_pool(path);
    let report = pool.check().expect("check");
    assert!(report.is_clean(), "after the memory is whole again: {:?}", report.problems);
    for (path, content) in acknowledged {
        let mut found = vec![0; content.len()];
        readable(&pool, &path).read_exact_at(&mut found, 0).expect("read");
        assert!(found == content, "{path} was acknowledged and is gone");
    }
    unreadable
}

/// Whether a file can be read; wrong bytes are no reading.
fn reads(pool: &Pool, path: &str, seed: u64, blocks: usize) -> bool {
    let read = pool.open_file(path, &daxcow::FileOptions::new().read(true)).and_then(|file| {
        let mut found = vec![0; blocks * BLOCK_BYTES];
        file.read_exact_at(&mut found, offset_of(path)).map(|()| found)
    });
    match read {
        Ok(found) => {
            assert!(found == bytes(seed, blocks * BLOCK_BYTES), "{path} has other bytes");
            true
        }
        Err(error) => {
            assert!(expected(error.kind()), "{path}: {error:?}");
            false
        }
    }
}

fn expected(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::MediaError | ErrorKind::ReadOnly | ErrorKind::NoSpace | ErrorKind::Busy)
}

/// Lost data at `at` of `path`: that block alone, by all its owners, until it is written.
fn data(pool: &Pool, path: &str, at: u64) {
    let live = file(pool, path);
    let mut block = [0; BLOCK_BYTES];
    let error = live.read_at(&mut block, at).expect_err("the block is lost");
    assert_eq!(error.kind(), ErrorKind::MediaError, "{error}");
    for beside in [at.checked_sub(BLOCK_SIZE), Some(at + BLOCK_SIZE)].into_iter().flatten() {
        live.read_at(&mut block, beside).expect("the blocks beside it can be read");
    }
    let problems = pool.scrub().expect("scrub");
    let range = format!("bytes {at}..{}", at + BLOCK_SIZE);
    let mut owners = vec![path.to_owned()];
    owners.extend((path != "/own").then(|| format!("/.snapshots/s{path}")));
    owners.extend((path == "/a").then(|| "/clone".into()));
    for owner in &owners {
        let place = format!("{owner} {range}");
        assert!(problems.iter().any(|problem| problem.place == place), "{place} is not in {problems:?}");
    }
    assert_eq!(problems.len(), owners.len(), "{problems:?}");
    assert_eq!(pool.check().expect("check").problems, [], "lost data is no damage of the structure");
    let part = live.write_at(b"part", at + 5).expect_err("the rest of the block is lost");
    assert_eq!(part.kind(), ErrorKind::MediaError, "{part}");
    let new = bytes(77, BLOCK_BYTES);
    live.write_at(&new, at).expect("a whole block needs nothing of the old one");
    live.read_exact_at(&mut block, at).expect("read");
    assert!(block[..] == new[..], "what was written is there");
    assert_eq!(pool.scrub().expect("scrub").len(), owners.len() - 1, "the other owners have lost it still");
    pool.delete_snapshot("s").expect("delete");
    pool.remove_file("/clone").expect("remove");
    assert_eq!(pool.scrub().expect("scrub"), [], "nobody has the bad block any more");
    let filler = file(pool, "/filler");
    let mut end = 0;
    while filler.append(&bytes(9, 8 * BLOCK_BYTES)).is_ok() {
        end += 8 * BLOCK_SIZE;
    }
    assert_eq!(pool.scrub().expect("scrub"), [], "the bad block was handed out again");
    assert!(end > 1 << 20, "only {end} bytes could be written");
    drop(filler);
    pool.remove_file("/filler").expect("remove");
}

/// Every kind of operation, whatever it answers; the files that were written and acknowledged as durable.
fn use_all(pool: &Pool) -> Vec<(String, Vec<u8>)> {
    let (mut answers, mut acknowledged) = (Vec::new(), Vec::new());
    let own = pool.open_file("/own", &daxcow::FileOptions::new().read(true).write(true));
    let batch = own.and_then(|own| {
        let mut batch = own.batch()?;
        batch.write_at(&bytes(41, BLOCK_BYTES), 0)?;
        batch.write_at(&bytes(42, 100), 2 * BLOCK_SIZE + 7)?;
        batch.commit()
    });
    if batch.is_ok() {
        acknowledged.push(("/own".to_owned(), bytes(41, BLOCK_BYTES)));
    }
    answers.push(("batch", batch));
    for index in 0..20 {
        let path = format!("/d/new{index}");
        let options = daxcow::FileOptions::new().write(true).create(true);
        let content = bytes(50 + index, 3 * BLOCK_BYTES);
        let made = pool.open_file(&path, &options).and_then(|file| file.write_at(&content, 0));
        if made.is_ok() {
            acknowledged.push((path, content));
        }
        answers.push(("create", made));
    }
    answers.push(("snapshot", pool.create_snapshot::<&str>("t", &[]).map(drop)));
    answers.push(("clone", pool.clone_tree("/d", "/copy")));
    answers.push(("rename", pool.rename("/a", "/renamed")));
    answers.push(("mkdir", pool.create_dir("/dir")));
    answers.push(("rmdir", pool.remove_dir_all("/d/deep")));
    answers.push(("unlink", pool.remove_file("/big")));
    answers.push(("delete", pool.delete_snapshot("t")));
    answers.push(("diff", pool.diff("/", "/.snapshots/s").map(drop)));
    answers.push(("sync", pool.sync()));
    answers.push(("check", pool.check().map(drop)));
    answers.push(("scrub", pool.scrub().map(drop)));
    answers.push(("info", pool.info().map(drop)));
    answers.push(("grow", pool.grow(POOL_BYTES + (2 << 20))));
    answers.push(("trim", pool.trim().map(drop)));
    for (what, answer) in answers {
        if let Err(error) = answer {
            let gone = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists);
            assert!(gone || expected(error.kind()), "{what}: {error:?}");
        }
    }
    acknowledged
}
