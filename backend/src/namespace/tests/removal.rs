//! Removing: open files, whole trees, orphans, a full pool.

use super::*;
use crate::extent_map::stage::stage;
use crate::extent_map::{Change, Content, Tree};
use crate::format::inode::Kind;
use crate::format::layout::TABLE_INODE;
use crate::inode::table::{NewInode, Table};
use crate::namespace::reclaim;
use crate::pmem::Flushed;
use crate::space::Purpose;
use crate::units::{FileBlock, InodeNumber};

/// Gives a file a block of data.
fn write_block(core: &Core, path: &str) -> crate::Result<()> {
    let store = &core.store;
    let inode = resolve::resolve(store, p(path)).unwrap().inode;
    let _held = inode.lock(store)?;
    let mut reservation = store.space.reserve(1, Purpose::Store)?;
    let first = store.space.allocate_one(&mut reservation)?;
    let content = Content::Blocks { first, unwritten: false };
    let tree = Tree::of(&store.space, inode.place)?;
    let change = Change { start: FileBlock(0), blocks: 1, content };
    let staged = stage(&store.space, &tree, &[change], 1, Purpose::Store)?;
    staged.commit(store, Flushed::none())
}

/// Frees whatever has no name; answers how many inodes.
fn reclaim_orphans(core: &Core) -> u64 {
    let numbers = 1..Table::capacity(&core.store).unwrap();
    numbers.map(|number| reclaim::reclaim_orphan(&core.store, InodeNumber(number)).unwrap().inodes).sum()
}

/// Data blocks of the inode table, whose map is one node all along.
fn table_blocks(core: &Core) -> u64 {
    let table = Tree::of(&core.store.space, TABLE_INODE).unwrap();
    assert_eq!(table.root.unwrap().height, 1);
    table.allocated_blocks(&core.store.space).unwrap()
}

#[test]
fn a_file_removed_while_open_lives_until_it_is_closed() {
    let pool = pool();
    let core = &pool.core;
    touch(core, "f");
    write_block(core, "f").unwrap();
    let located = resolve::resolve(&core.store, p("f")).unwrap();
    let open = core.open.open(&core.store, located.inode.number, located.generation).unwrap();
    let (used, free) = (pool.inodes_used(), pool.free_blocks());
    core.namespace().unwrap().remove_file(p("f")).unwrap();
    assert!(!exists(core, "f"));
    assert_eq!(reclaim_orphans(core), 0);
    assert_eq!((pool.inodes_used(), pool.free_blocks()), (used, free));
    core.open.close(&core.store, &open).unwrap();
    assert_eq!((pool.inodes_used(), pool.free_blocks()), (used - 1, free + 1));
    refused(core.open.open(&core.store, located.inode.number, located.generation), ErrorKind::Stale);
}

#[test]
fn a_removed_tree_gives_everything_back_but_what_is_open_or_named_elsewhere() {
    let pool = pool();
    let core = &pool.core;
    let (used, free, table) = (pool.inodes_used(), pool.free_blocks(), table_blocks(core));
    core.namespace().unwrap().create_dir_all(p("top/a/b")).unwrap();
    for index in 0..500 {
        touch(core, &format!("top/a/{index}"));
        touch(core, &format!("top/a/b/{index}"));
        write_block(core, &format!("top/a/b/{index}")).unwrap();
    }
    core.namespace().unwrap().hard_link(p("top/a/7"), p("top/a/b/linked")).unwrap();
    core.namespace().unwrap().hard_link(p("top/a/8"), p("kept")).unwrap();
    let located = resolve::resolve(&core.store, p("top/a/b/9")).unwrap();
    let open = core.open.open(&core.store, located.inode.number, located.generation).unwrap();
    core.remove_dir_all(p("top")).unwrap();
    assert_eq!(names(core, "/"), [".snapshots", "kept"]);
    assert_eq!((pool.inodes_used(), links(core, "kept")), (used + 2, 1));
    core.open.close(&core.store, &open).unwrap();
    core.remove_dir_all(p("kept")).unwrap();
    assert_eq!(pool.inodes_used(), used);
    // The inode table does not shrink: all other blocks are back.
    assert_eq!(pool.free_blocks() + table_blocks(core), free + table);
}

/// Between the new names of a rollback and its reclaiming of the old tree, somebody else who recovers the dead may come upon it.
#[test]
fn what_a_rollback_replaced_turns_stale_whoever_reclaims_it() {
    for replaced in [false, true] {
        let pool = pool();
        let core = &pool.core;
        core.namespace().unwrap().create_dir_all(p("top/a/b")).unwrap();
        touch(core, "top/a/b/f");
        let located = resolve::resolve(&core.store, p("top/a/b/f")).unwrap();
        let open = core.open.open(&core.store, located.inode.number, located.generation).unwrap();
        let top = core.namespace().unwrap().detach(p("top")).unwrap().unwrap();
        if replaced {
            top.inode.mark_replaced(&core.store).unwrap();
        }
        assert_eq!(reclaim_orphans(core), 3);
        assert_eq!(open.inode.is_replaced(&core.store).unwrap(), replaced);
        core.open.close(&core.store, &open).unwrap();
        // A directory in the place of the old one is an ordinary one again.
        core.namespace().unwrap().create_dir_all(p("top/a/b")).unwrap();
        touch(core, "top/a/b/f");
        let located = resolve::resolve(&core.store, p("top/a/b/f")).unwrap();
        let open = core.open.open(&core.store, located.inode.number, located.generation).unwrap();
        core.remove_dir_all(p("top")).unwrap();
        assert!(!open.inode.is_replaced(&core.store).unwrap());
        core.open.close(&core.store, &open).unwrap();
    }
}

/// Whoever recovers a dead member comes upon all that has no name, also upon what a rollback that goes on has just replaced.
#[test]
fn what_a_living_member_replaced_is_left_to_it_and_taken_over_when_it_is_dead() {
    for dies in [false, true] {
        let pool = pool();
        let (other, _) = open::open(&pool.path, &OpenOptions::new()).unwrap();
        let roller = open::open(&pool.path, &OpenOptions::new()).unwrap().0;
        roller.namespace().unwrap().create_dir_all(p("top/a/b")).unwrap();
        for path in ["top/f", "top/a/b/f"] {
            touch(&roller, path);
        }
        let located = resolve::resolve(&other.store, p("top/a/b/f")).unwrap();
        let open = other.open.open(&other.store, located.inode.number, located.generation).unwrap();
        let top = roller.namespace().unwrap().detach(p("top")).unwrap().unwrap();
        top.inode.mark_replaced(&roller.store).unwrap();
        assert_eq!(reclaim_orphans(&other), 0, "the roller lives");
        assert!(!open.inode.is_replaced(&other.store).unwrap());
        if dies {
            Arc::into_inner(roller).unwrap().abandon();
            assert_eq!(reclaim_orphans(&other), 4);
        } else {
            assert_eq!(reclaim::reclaim_tree(&roller.store, &top).unwrap().inodes, 4);
            close::close(roller).unwrap();
        }
        assert!(open.inode.is_replaced(&other.store).unwrap());
        other.open.close(&other.store, &open).unwrap();
        close::close(other).unwrap();
    }
}

/// The mark of one who died before the names changed means nothing, also for who removes the file later.
#[test]
fn a_mark_without_a_rollback_makes_no_handle_stale() {
    let pool = pool();
    let core = &pool.core;
    touch(core, "f");
    let located = resolve::resolve(&core.store, p("f")).unwrap();
    let open = core.open.open(&core.store, located.inode.number, located.generation).unwrap();
    open.inode.mark_replaced(&core.store).unwrap();
    assert!(!open.inode.is_replaced(&core.store).unwrap());
    core.namespace().unwrap().remove_file(p("f")).unwrap();
    assert!(!open.inode.is_replaced(&core.store).unwrap());
    core.open.close(&core.store, &open).unwrap();
}

#[test]
fn orphans_of_the_dead_are_reclaimed_with_all_below_them() {
    let pool = pool();
    let core = &pool.core;
    let used = pool.inodes_used();
    core.namespace().unwrap().create_dir_all(p("top/a/b")).unwrap();
    (0..100).for_each(|index| touch(core, &format!("top/a/b/{index}")));
    touch(core, "stays");
    // As if the one who removed it had died after the name went, and another while it made a file.
    core.namespace().unwrap().detach(p("top")).unwrap().unwrap();
    let namespace = core.namespace().unwrap();
    let made = Table::create(&core.store, NewInode::empty(Kind::File)).unwrap();
    core.store.runtime.region.fence(made.1).unwrap();
    drop(namespace);
    let pool = pool.reopen();
    assert_eq!(pool.inodes_used(), used + 105);
    assert_eq!(reclaim_orphans(&pool.core), 104);
    assert_eq!(pool.inodes_used(), used + 1);
    assert_eq!(reclaim_orphans(&pool.core), 0);
    assert_eq!(names(&pool.core, "/"), [".snapshots", "stays"]);
}

#[test]
fn a_full_pool_refuses_names_without_a_trace_and_still_removes() {
    let pool = TestPool::new(16 * MIB, 1 << 20);
    let core = &pool.core;
    mkdir(core, "d");
    let mut made = 0;
    let refusal = loop {
        match core.namespace().unwrap().create_file(p(&format!("d/{made}")), true) {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
        if let Err(error) = write_block(core, &format!("d/{}", made - 1)) {
            assert_eq!(error.kind(), ErrorKind::NoSpace);
        }
    };
    assert_eq!(refusal.kind(), ErrorKind::NoSpace, "{refusal}");
    assert_eq!(names(core, "d").len(), made);
    assert_eq!(pool.inodes_used(), made as u64 + 3);
    core.remove_dir_all(p("d")).unwrap();
    assert_eq!(pool.inodes_used(), 2);
    mkdir(core, "d");
    touch(core, "d/again");
}

#[test]
fn no_more_inodes_than_allowed() {
    let pool = TestPool::new(16 * MIB, 64);
    let core = &pool.core;
    (2..64).for_each(|index| touch(core, &format!("{index}")));
    refused(core.namespace().unwrap().create_file(p("f"), true), ErrorKind::NoInodes);
    core.namespace().unwrap().remove_file(p("5")).unwrap();
    touch(core, "f");
}
