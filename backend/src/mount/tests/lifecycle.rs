//! Creating, closing and opening again, and what is refused.

use super::*;
use crate::mount::close::close;
use crate::runtime::at;

fn free_blocks(core: &Core) -> u64 {
    core.store.runtime.region.load(at::FREE_BLOCKS).unwrap()
}

#[test]
fn a_closed_pool_opens_clean_with_the_counts_it_was_closed_with() {
    for directory in directories() {
        let path = pool_in(&directory);
        let core = new_pool(&path, 64);
        let empty = free_blocks(&core);
        let inode = add_file(&core.store, 700).unwrap();
        let free = free_blocks(&core);
        assert!(free < empty - 700, "{free} of {empty}");
        close(core).unwrap();
        let (core, opening) = reopen(&path);
        assert_eq!(opening, open::Opening { clean: true, recovery: None });
        assert_eq!(free_blocks(&core), free);
        let tree = Tree::of(&core.store.space, inode.place).unwrap();
        assert_eq!(tree.allocated_blocks(&core.store.space).unwrap(), 700);
    }
}

#[test]
fn a_dropped_pool_is_closed_as_well() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    drop(new_pool(&pool_in(&directory), 32));
    assert!(reopen(&pool_in(&directory)).1.clean);
}
