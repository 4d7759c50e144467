//! Rolling back beside those who open files all the time: a handle is of the file that has the name, or it is stale.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use daxcow::{CreateOptions, ErrorKind, File, FileOptions, Pool, RollbackOptions};

const FILES: usize = 600;
const PATH: &str = "/d/file0";

fn options() -> FileOptions {
    FileOptions::new().read(true).write(true)
}

/// Handles opened one after the other until told to stop, and counted.
fn open_all_the_time(pool: &Pool, stop: &AtomicBool, opened: &AtomicU32) -> Vec<File> {
    let mut handles = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        match pool.open_file(PATH, &options()) {
            Ok(file) => {
                handles.push(file);
                opened.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Busy), "{error}"),
        }
        std::thread::yield_now();
    }
    handles
}

fn roll_back_beside_openers(force: bool) {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("test.pool");
    let pool = Pool::create(&path, &CreateOptions::new().size(64 << 20).sparse(true)).expect("a pool");
    pool.create_dir("/d").expect("a directory");
    for file in 0..FILES {
        let file = pool.open_file(format!("/d/file{file}"), &options().create(true)).expect("a file");
        file.write_at(b"first", 0).expect("a write");
    }
    pool.create_snapshot("s", &["/d"]).expect("a snapshot");
    let (stop, opened) = (AtomicBool::new(false), AtomicU32::new(0));
    let (handles, rolled_back) = std::thread::scope(|scope| {
        let opener = scope.spawn(|| open_all_the_time(&pool, &stop, &opened));
        while opened.load(Ordering::SeqCst) < 2 && !opener.is_finished() {
            std::thread::yield_now();
        }
        let rolled_back = pool.rollback("s", RollbackOptions { force });
        stop.store(true, Ordering::SeqCst);
        (opener.join().expect("the opener"), rolled_back)
    });
    assert!(handles.len() > 1, "only {} handles were opened", handles.len());
    match rolled_back {
        Err(error) if !force && error.kind() == ErrorKind::Busy => {}
        other => other.expect("the rollback"),
    }
    let mut stale = 0;
    for (number, handle) in handles.iter().enumerate() {
        if handle.is_stale().expect("an answer") {
            stale += 1;
            assert_eq!(handle.write_at(b"lost", 0).expect_err("it is stale").kind(), ErrorKind::Stale);
            continue;
        }
        let word = number.to_le_bytes();
        handle.write_at(&word, 0).expect("a write");
        let mut seen = [0; 8];
        pool.open_file(PATH, &options()).expect("the file").read_exact_at(&mut seen, 0).expect("a read");
        assert_eq!(seen, word, "handle {number} of {} writes to a file without a name", handles.len());
    }
    println!("{stale} of {} handles are stale", handles.len());
    drop(handles);
    let report = pool.check().expect("a check");
    assert!(report.is_clean() && report.leaked_blocks == 0, "{report:?}");
}

#[test]
fn a_handle_opened_during_a_forced_rollback_is_stale_or_of_the_new_file() {
    (0..4).for_each(|_| roll_back_beside_openers(true));
}

#[test]
fn a_handle_opened_during_an_unforced_rollback_is_stale_or_the_rollback_is_refused() {
    (0..4).for_each(|_| roll_back_beside_openers(false));
}
