//! Reads and overwrites of blocks that this thread has looked up often, after others have changed what the file's map says of
//! them or who shares them.

use daxcow::units::BLOCK_BYTES;
use daxcow::{CreateOptions, File, FileOptions, OpenOptions, Pool};

const BLOCKS: usize = 16;
const LEN: usize = BLOCKS * BLOCK_BYTES;
/// Enough lookups for the thread to know the blocks.
const OFTEN: usize = 100;

struct Bench {
    pool: Pool,
    /// Another membership of the same pool.
    other: Pool,
    _directory: tempfile::TempDir,
}

const OPTIONS: FileOptions = FileOptions::new().read(true).write(true).create(true);

impl Bench {
    fn new() -> Bench {
        let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let path = directory.path().join("test.pool");
        let pool = Pool::create(&path, &CreateOptions::new().size(64 << 20).sparse(true)).expect("a pool");
        let other = Pool::open(&path, &OpenOptions::new()).expect("another membership");
        Bench { pool, other, _directory: directory }
    }

    /// A file of `byte`s that this thread has read and overwritten often.
    fn known(&self, path: &str, byte: u8) -> File {
        let file = self.pool.open_file(path, &OPTIONS).expect("a file");
        file.write_at(&[byte; LEN], 0).expect("a write");
        know(&file, byte);
        file
    }

    fn check(&self) {
        let report = self.pool.check().expect("a check");
        assert!(report.is_clean() && report.leaked_blocks == 0, "{report:?}");
    }
}

/// Looks the blocks up often, to read and to overwrite them, which are of `byte`s and stay so.
fn know(file: &File, byte: u8) {
    for lookup in 0..OFTEN {
        let place = (lookup % BLOCKS * BLOCK_BYTES) as u64;
        file.write_at(&[byte; BLOCK_BYTES], place).expect("a write");
    }
    for lookup in 0..OFTEN {
        assert_block(file, lookup % BLOCKS, byte);
    }
}

fn assert_block(file: &File, block: usize, byte: u8) {
    let mut seen = [0; BLOCK_BYTES];
    file.read_exact_at(&mut seen, (block * BLOCK_BYTES) as u64).expect("a read");
    assert_eq!(seen, [byte; BLOCK_BYTES], "block {block}");
}

fn assert_all(file: &File, byte: u8) {
    (0..BLOCKS).for_each(|block| assert_block(file, block, byte));
}

#[test]
fn what_is_shared_after_it_was_known_is_copied() {
    let shares: [fn(&Bench, &File) -> File; 5] = [
        |bench, _| {
            bench.other.create_snapshot("s", &["/file"]).expect("a snapshot");
            bench.pool.open_file("/.snapshots/s/file", &FileOptions::new().read(true)).expect("its file")
        },
        |bench, file| {
            let clone = bench.pool.open_file("/clone", &OPTIONS).expect("a file");
            clone.clone_range(file, 0, 0, LEN as u64).expect("a clone");
            clone
        },
        |bench, file| {
            let clone = bench.pool.open_file("/clone", &OPTIONS).expect("a file");
            clone.replace_contents(file).expect("a clone");
            clone
        },
        |bench, file| {
            let same = bench.pool.open_file("/same", &OPTIONS).expect("a file");
            same.write_at(&[1; LEN], 0).expect("a write");
            same.dedupe_range(file, 0, 0, LEN as u64).expect("a dedupe");
            same
        },
        |bench, _| {
            let source = bench.other.open_file("/file", &OPTIONS).expect("the file");
            let clone = bench.other.open_file("/clone", &OPTIONS).expect("a file");
            clone.replace_contents(&source).expect("a clone");
            // The path of the first file becomes exclusive down to the node that both had, and its blocks are shared.
            clone.write_at(&[2; BLOCK_BYTES], 0).expect("a write");
            clone.write_at(&[1; BLOCK_BYTES], 0).expect("a write");
            clone
        },
    ];
    for share in shares {
        let bench = Bench::new();
        let file = bench.known("/file", 1);
        let sharer = share(&bench, &file);
        for block in 0..BLOCKS {
            file.write_at(&[3; BLOCK_BYTES], (block * BLOCK_BYTES) as u64).expect("a write");
        }
        assert_all(&sharer, 1);
        assert_all(&file, 3);
        bench.check();
    }
}

#[test]
fn what_is_pinned_after_it_was_known_is_copied() {
    let bench = Bench::new();
    let file = bench.known("/file", 1);
    let state = file.map(0, LEN as u64).expect("a mapping of what it is now");
    file.write_at(&[3; BLOCK_BYTES], 0).expect("a write");
    let mut seen = [0; BLOCK_BYTES];
    state.read_at(&mut seen, 0).expect("a read");
    assert_eq!(seen, [1; BLOCK_BYTES]);
    assert_block(&file, 0, 3);
    drop(state);
    bench.check();
}

#[test]
fn what_another_member_has_put_in_its_place_is_read() {
    let bench = Bench::new();
    let file = bench.known("/file", 1);
    bench.other.create_snapshot("s", &["/file"]).expect("a snapshot");
    let theirs = bench.other.open_file("/file", &OPTIONS).expect("the file");
    theirs.write_at(&[2; LEN], 0).expect("a write");
    assert_all(&file, 2);
    know(&file, 2);
    theirs.punch_hole(0, LEN as u64).expect("a hole");
    assert_all(&file, 0);
    file.write_at(&[3; LEN], 0).expect("a write");
    know(&file, 3);
    let mut batch = theirs.batch().expect("a batch");
    batch.write_at(&[4; LEN], 0).expect("a write");
    batch.commit().expect("a commit");
    drop(batch);
    assert_all(&file, 4);
    bench.check();
}

#[test]
fn nothing_is_read_beyond_an_end_that_came_down() {
    let bench = Bench::new();
    let file = bench.known("/file", 1);
    let theirs = bench.other.open_file("/file", &OPTIONS).expect("the file");
    theirs.set_len((LEN - 100) as u64).expect("it is cut");
    let last = ((BLOCKS - 1) * BLOCK_BYTES) as u64;
    assert_eq!(file.read_at(&mut [0; BLOCK_BYTES], last).expect("a read"), BLOCK_BYTES - 100);
    theirs.set_len(LEN as u64).expect("it grows");
    let mut seen = [9; BLOCK_BYTES];
    file.read_exact_at(&mut seen, last).expect("a read");
    assert_eq!(seen[BLOCK_BYTES - 101..BLOCK_BYTES - 99], [1, 0]);
    bench.check();
}

#[test]
fn blocks_that_have_moved_are_found_where_they_are() {
    let bench = Bench::new();
    let between: Vec<File> = (0..BLOCKS)
        .map(|block| {
            let file = bench.pool.open_file("/file", &OPTIONS).expect("the file");
            file.write_at(&[1; BLOCK_BYTES], (block * BLOCK_BYTES) as u64).expect("a write");
            bench.known(&format!("/between-{block}"), 9)
        })
        .collect();
    let file = bench.pool.open_file("/file", &OPTIONS).expect("the file");
    know(&file, 1);
    let report = bench.other.open_file("/file", &OPTIONS).expect("the file").defragment(0, LEN as u64);
    assert!(report.expect("a report").bytes_moved > 0, "nothing moved");
    // What was theirs is somebody else's by now.
    let next = bench.pool.open_file("/next", &OPTIONS).expect("a file");
    (0..200).for_each(|n| next.write_at(&[7; LEN], n * LEN as u64).expect("a write"));
    assert_all(&file, 1);
    for block in 0..BLOCKS {
        file.write_at(&[5; BLOCK_BYTES], (block * BLOCK_BYTES) as u64).expect("a write");
    }
    assert_all(&bench.other.open_file("/file", &OPTIONS).expect("the file"), 5);
    (0..200 * BLOCKS).for_each(|block| assert_block(&next, block, 7));
    between.iter().for_each(|file| assert_all(file, 9));
    bench.check();
}

#[test]
fn an_inode_that_begins_anew_is_another_file() {
    let bench = Bench::new();
    for life in 1..20 {
        let file = bench.known("/file", life);
        let inode = file.inode();
        let remover = if life % 2 == 0 { &bench.pool } else { &bench.other };
        // Freed by who removes it, or by who closes it.
        let mut open = Some(file).filter(|_| life % 3 == 0);
        remover.remove_file("/file").expect("it is removed");
        drop(open.take());
        let next = bench.pool.open_file("/file", &OPTIONS).expect("a file");
        assert_eq!(next.inode(), inode, "the inode is used again");
        assert_eq!(next.read_at(&mut [0; BLOCK_BYTES], 0).expect("a read"), 0);
    }
    bench.check();
}
