//! Batches that are closed and opened again, and more threads than lanes that commit at once.

#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use daxcow::{CreateOptions, ErrorKind, File, FileOptions, Pool};

const BLOCK: usize = 4096;
/// Several for each lane of a process.
const THREADS: u8 = 24;

fn pool(dir: &tempfile::TempDir) -> Pool {
    Pool::create(dir.path().join("t.pool"), &CreateOptions::new().size(64 << 20)).unwrap()
}

fn file(pool: &Pool, name: &str) -> File {
    pool.open_file(name, &FileOptions::new().read(true).write(true).create(true)).unwrap()
}

fn content(file: &File) -> Vec<u8> {
    let mut found = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut found, 0).unwrap();
    found
}

#[test]
fn a_closed_batch_lets_others_write_and_begins_anew() {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let pool = pool(&dir);
    let file = file(&pool, "a");
    let mut batch = file.batch().unwrap();
    batch.write_at(b"kept", 0).unwrap();
    batch.commit().unwrap();
    batch.write_at(b"lost", 4).unwrap();
    assert_eq!(file.write_at(b"other", 0).unwrap_err().kind(), ErrorKind::Busy);
    batch.close();
    assert!(batch.is_empty());
    assert_eq!(batch.len(), 0);
    assert_eq!(batch.write_at(b"?", 0).unwrap_err().kind(), ErrorKind::Stale);
    file.write_at(b" and", 4).unwrap();
    let other = file.batch().unwrap();
    assert_eq!(batch.reopen().unwrap_err().kind(), ErrorKind::Busy);
    drop(other);
    batch.reopen().unwrap();
    assert_eq!(batch.len(), 8, "what others have written since is seen");
    batch.write_at(b" new", 8).unwrap();
    batch.reopen().unwrap();
    batch.commit().unwrap();
    assert_eq!(content(&file), b"kept and new", "opening an open batch changes nothing");
    drop(batch);
    file.write_at(b"K", 0).unwrap();
    let report = pool.check().unwrap();
    assert!(report.is_clean() && report.leaked_blocks == 0, "{report:#?}");
}

#[test]
fn more_threads_than_lanes_commit_at_once() {
    commit_at_once(&tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap(), 200);
}

/// Where a commit waits for a disk, lanes are in use for so long that threads wait for them.
#[test]
fn threads_wait_for_lanes() {
    commit_at_once(&tempfile::tempdir().unwrap(), 12);
}

/// All get their turn at a lane, and blocks that batches keep for their next transactions are nobody else's.
fn commit_at_once(dir: &tempfile::TempDir, rounds: u8) {
    let pool = pool(dir);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let pool = &pool;
            scope.spawn(move || {
                let file = file(pool, &format!("file-{thread}"));
                let mut batch = file.batch().unwrap();
                for round in 0..rounds {
                    let bytes = [thread ^ round; BLOCK];
                    for place in 0..=u64::from(round % 7) {
                        batch.write_at(&bytes, place * 3 * BLOCK as u64).unwrap();
                    }
                    batch.commit().unwrap();
                    if round % 5 == 0 {
                        batch.write_at(&[0xff; BLOCK], 0).unwrap();
                        batch.close();
                        batch.reopen().unwrap();
                    }
                }
            });
        }
    });
    for thread in 0..THREADS {
        let found = content(&file(&pool, &format!("file-{thread}")));
        for place in 0..7 {
            let last = (0..rounds).rfind(|round| round % 7 >= place).unwrap();
            let at = usize::from(place) * 3 * BLOCK;
            assert_eq!(found[at..at + BLOCK], [thread ^ last; BLOCK], "thread {thread}, place {place}");
        }
    }
    let report = pool.check().unwrap();
    assert!(report.is_clean() && report.leaked_blocks == 0, "{report:#?}");
}
