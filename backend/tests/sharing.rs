//! Blocks that several files share, and threads that make and end sharing at the same time.

#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::sync::atomic::{AtomicUsize, Ordering};

use daxcow::{CreateOptions, FileOptions, Pool};

const BLOCK: u64 = 4096;
const LEAF: u64 = 512 * BLOCK;
const LEAVES: u64 = 64;
const CLONES: usize = 2;
const ROUNDS: u64 = 400;

/// Nodes of a map that all clones still have in common are copied by each of them at the first write, all at the same time, while
/// another thread shares ranges of the same nodes: no reference is lost or left over.
#[test]
fn counts_are_right_where_many_copy_the_same_nodes_at_once() {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let options = CreateOptions::new().size(256 << 20).sparse(true);
    let pool = Pool::create(dir.path().join("t.pool"), &options).unwrap();
    let how = FileOptions::new().read(true).write(true).create(true);
    let base = pool.open_file("base", &how).unwrap();
    base.allocate(0, LEAVES * LEAF, false).unwrap();
    let ranges = pool.open_file("ranges", &how).unwrap();
    for round in 0..ROUNDS {
        let names: Vec<String> = (0..CLONES).map(|clone| format!("clone-{clone}")).collect();
        names.iter().for_each(|name| pool.clone_tree("base", name).unwrap());
        let ready = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for name in &names {
                let (pool, how, ready) = (&pool, &how, &ready);
                scope.spawn(move || {
                    let file = pool.open_file(name, how).unwrap();
                    for leaf in 0..LEAVES {
                        // In step: whoever is first waits for the others at each node.
                        ready.fetch_add(1, Ordering::SeqCst);
                        for _ in 0..2_000 {
                            if ready.load(Ordering::SeqCst) < CLONES * usize::try_from(leaf + 1).unwrap() {
                                std::hint::spin_loop();
                            }
                        }
                        file.punch_hole(leaf * LEAF + round % 512 * BLOCK, BLOCK).unwrap();
                    }
                });
            }
            let at = round % LEAVES * LEAF;
            ranges.clone_range(&base, at, at, 8 * BLOCK).unwrap();
        });
        names.iter().for_each(|name| pool.remove_file(name).unwrap());
        ranges.set_len(0).unwrap();
    }
    let report = pool.check().unwrap();
    assert!(report.is_clean() && report.leaked_blocks == 0, "{report:#?}");
}
