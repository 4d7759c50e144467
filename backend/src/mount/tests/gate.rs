//! The cut gate and operations that take long.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::*;

/// Longer than a cut waits for an operation that stands still.
const LONG: Duration = Duration::from_millis(1300);
/// No test waits longer.
const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn a_cut_waits_for_what_gets_on_and_lets_others_go_on_meanwhile() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let core = new_pool(&pool_in(&directory), 32);
    let (other, _) = reopen(&pool_in(&directory));
    let (marked, cutting, ended) = (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
    let passed = AtomicU32::new(0);
    let pause = || std::thread::sleep(Duration::from_millis(5));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mark = core.store.runtime.enter().unwrap();
            marked.store(true, SeqCst);
            let begun = Instant::now();
            while begun.elapsed() < LONG || passed.load(SeqCst) < 20 && begun.elapsed() < DEADLINE {
                core.store.runtime.progress().unwrap();
                pause();
            }
            ended.store(true, SeqCst);
            drop(mark);
        });
        scope.spawn(|| {
            while !cutting.load(SeqCst) {
                pause();
            }
            // By now the gate has been closed.
            std::thread::sleep(Duration::from_millis(200));
            while !ended.load(SeqCst) {
                drop(core.store.runtime.enter().unwrap());
                passed.fetch_add(u32::from(!ended.load(SeqCst)), SeqCst);
                pause();
            }
        });
        while !marked.load(SeqCst) {
            pause();
        }
        cutting.store(true, SeqCst);
        let cut = other.store.runtime.cut().unwrap();
        assert!(ended.load(SeqCst), "an operation is in flight behind the gate");
        drop(cut);
    });
    assert!(passed.load(SeqCst) >= 20, "only {passed:?} operations went on meanwhile");
}

#[test]
fn a_cut_gives_up_where_an_operation_stands_still() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let core = new_pool(&pool_in(&directory), 32);
    let (other, _) = reopen(&pool_in(&directory));
    let (ready, wait) = std::sync::mpsc::channel();
    let (done, go_on) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let core = &core;
        scope.spawn(move || {
            let _mark = core.store.runtime.enter().unwrap();
            core.store.runtime.progress().unwrap();
            ready.send(()).unwrap();
            go_on.recv().unwrap();
        });
        wait.recv().unwrap();
        let refused = other.store.runtime.cut().err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
        assert!(refused.to_string().contains("has not got on for"), "{refused}");
        drop(core.store.runtime.enter().unwrap());
        done.send(()).unwrap();
    });
    drop(other.store.runtime.cut().unwrap());
}

/// What takes long says that it gets on: freeing the map of a large file, and making the inodes of a snapshot.
#[test]
fn long_operations_say_that_they_get_on() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let core = new_pool(&pool_in(&directory), 64);
    let inode = add_file(&core, "file", 4000).unwrap();
    let store = &core.store;
    let said = || {
        let slot = store.runtime.member.slot;
        let marks = (0..crate::runtime::member::MARK_STRIPES)
            .map(|stripe| crate::runtime::member::mark(slot, stripe));
        marks.map(|mark| store.runtime.region.load(mark.add(8)).unwrap()).sum::<u64>()
    };
    let before = said();
    {
        let _mark = store.runtime.enter().unwrap();
        let _held = inode.lock(store).unwrap();
        crate::dax::range::set_len(store, &inode, 0).unwrap();
    }
    // 8 nodes of 512 blocks.
    assert!(said() - before >= 8, "{} times", said() - before);
    let before = said();
    for name in 0..10 {
        core.namespace().unwrap().create_file(Path::new(&name.to_string()), true).unwrap();
    }
    assert!(said() - before >= 10, "{} times", said() - before);
}
