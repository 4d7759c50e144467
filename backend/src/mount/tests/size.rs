//! Growing and trimming.

use super::*;
use crate::mount::grow::grow;
use crate::mount::trim::trim;
use crate::mount::usage::usage;

const GIB: u64 = 1 << 30;

#[test]
fn a_pool_grows_across_groups_while_another_member_uses_it() {
    for directory in directories() {
        let path = pool_in(&directory);
        let core = new_pool(&path, 1024);
        let (other, _) = reopen(&path);
        add_file(&other, "before", 10).unwrap();
        let before = usage(&core).unwrap();
        grow(&core, 2 * GIB + 200 * MIB).unwrap();
        let after = usage(&other).unwrap();
        assert_eq!(after.total_bytes, 2 * GIB + 200 * MIB - (8 + 2 * 2) * MIB);
        assert_eq!(after.free_bytes - before.free_bytes, after.total_bytes - before.total_bytes);
        // More than the first group holds: what was the short last group and the new one are both used.
        let blocks = (2 * GIB + 100 * MIB) / BLOCK_SIZE;
        let inode = add_file(&other, "large", blocks).unwrap();
        let tree = Tree::of(&core.store.space, inode.place).unwrap();
        assert_eq!(tree.allocated_blocks(&core.store.space).unwrap(), blocks);
        assert_sound(&core);
        core.store.space.settle().unwrap();
        let before = counts(&core);
        close(other).unwrap();
        close(core).unwrap();
        let (core, opening) = reopen(&path);
        assert!(opening.clean);
        assert_eq!(counts(&core), before);
    }
}

#[test]
fn a_pool_neither_shrinks_nor_grows_beyond_its_address_space() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let core = new_pool(&pool_in(&directory), 64);
    let kind = |size| grow(&core, size).err().map(|error| error.kind());
    assert_eq!(kind(32 * MIB), Some(ErrorKind::InvalidInput));
    assert_eq!(kind(64 * MIB), None);
    assert_eq!(kind(1 << 50), Some(ErrorKind::TooLarge));
    assert_eq!(kind(u64::MAX), Some(ErrorKind::TooLarge));
    assert_eq!(usage(&core).unwrap().total_bytes, 54 * MIB);
}

#[test]
fn a_trimmed_pool_takes_less_of_the_host_and_keeps_its_files() {
    for directory in directories() {
        let core = new_pool(&pool_in(&directory), 64);
        let store = &core.store;
        let kept = add_file(&core, "kept", 3).unwrap();
        add_file(&core, "removed", 2000).unwrap();
        let removed = core.namespace().unwrap().resolve(Path::new("removed")).unwrap().inode;
        let fill = |inode: &Inode, blocks: u64| {
            for index in 0..blocks {
                let tree = Tree::of(&store.space, inode.place).unwrap();
                let found = tree.find(&store.space, FileBlock(index), 1, false).unwrap();
                let stored =
                    store.runtime.region.write(found.mapped.unwrap().block.offset(), &[7; 4096]).unwrap();
                stored.leave_unflushed();
            }
            store.runtime.region.barrier().unwrap();
        };
        fill(&kept, 3);
        fill(&removed, 2000);
        core.namespace().unwrap().remove_file(Path::new("removed")).unwrap();
        let free = free_blocks(&core);
        let trimmed = trim(&core).unwrap();
        assert!(trimmed >= 1900 * BLOCK_SIZE, "{trimmed}");
        assert_eq!(trim(&core).unwrap(), 0);
        assert!(free_blocks(&core) >= free);
        assert_sound(&core);
        let tree = Tree::of(&store.space, kept.place).unwrap();
        for index in 0..3 {
            let block = tree.find(&store.space, FileBlock(index), 1, false).unwrap().mapped.unwrap().block;
            let mut bytes = [0; 4096];
            store.runtime.region.read(block.offset(), &mut bytes).unwrap();
            assert_eq!(bytes, [7; 4096]);
        }
    }
}
