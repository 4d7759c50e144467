//! Many names, and long ones, in one directory.

use crate::pmem::Flushed;
use std::cell::Cell;

use super::*;
use crate::namespace::directory::{self, Directory, Lock};

const NAMES: u64 = 100_000;

#[test]
fn a_hundred_thousand_names_are_found_after_renames_removals_and_a_reopening() {
    let pool = TestPool::new(160 * MIB, 1 << 20);
    let core = &pool.core;
    mkdir(core, "d");
    let name = |index: u64| format!("d/name-{index}");
    for index in 0..NAMES {
        touch(core, &name(index));
    }
    // A third is renamed over its successor, another third removed.
    for index in (0..NAMES - 2).step_by(3) {
        core.namespace().unwrap().rename(p(&name(index)), p(&name(index + 1))).unwrap();
        core.namespace().unwrap().remove_file(p(&name(index + 2))).unwrap();
    }
    let pool = pool.reopen();
    let core = &pool.core;
    let mut kept = 0;
    for index in 0..NAMES {
        let expected = index % 3 == 1 || index == NAMES - 1;
        assert_eq!(exists(core, &name(index)), expected, "name {index}");
        kept += u64::from(expected);
    }
    assert_eq!(names(core, "d").len() as u64, kept);
    assert_eq!(pool.inodes_used(), kept + 3);
}

#[test]
fn names_of_all_lengths_live_side_by_side() {
    let pool = pool();
    let core = &pool.core;
    let name = |length: usize, letter: char| String::from(letter).repeat(length);
    for letter in ['a', 'b', 'c'] {
        (1..=255).for_each(|length| touch(core, &name(length, letter)));
    }
    (1..=255).for_each(|length| core.namespace().unwrap().remove_file(p(&name(length, 'b'))).unwrap());
    let pool = pool.reopen();
    for length in 1..=255 {
        let found = ['a', 'b', 'c'].map(|letter| exists(&pool.core, &name(length, letter)));
        assert_eq!(found, [true, false, true], "length {length}");
    }
    refused(resolve::exists(&pool.core.store, p(&name(256, 'a'))), ErrorKind::NameTooLong);
}

#[test]
fn a_directory_filled_at_once_has_all_its_names() {
    let pool = pool();
    let core = &pool.core;
    mkdir(core, "from");
    (0..2_000).for_each(|index| touch(core, &format!("from/{index}")));
    let to = core.namespace().unwrap().create_dir(p("to")).unwrap().directory().unwrap();
    let from = resolve::resolve(&core.store, p("from")).unwrap().directory().unwrap();
    let entries = directory::list(&core.store, &from, Lock::Free).unwrap();
    let namespace = core.namespace().unwrap();
    directory::fill(&core.store, &to, entries.clone(), Flushed::none()).unwrap();
    refused(directory::fill(&core.store, &to, entries, Flushed::none()), ErrorKind::DirectoryNotEmpty);
    drop(namespace);
    assert_eq!(names(core, "to"), names(core, "from"));
    assert_eq!(number(core, "to/1999"), number(core, "from/1999"));
}

#[test]
fn readers_see_every_name_that_stays_while_others_come_and_go() {
    let pool = pool();
    let core = &pool.core;
    (0..60).for_each(|index| touch(core, &format!("stays-{index}")));
    touch(core, "a");
    let mut moved = 0u32;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for index in 0..6_000 {
                let (from, to) = if index % 2 == 0 { ("a", "b") } else { ("b", "a") };
                core.namespace().unwrap().rename(p(from), p(to)).unwrap();
                touch(core, &format!("goes-{index}"));
                if index >= 100 {
                    core.namespace().unwrap().remove_file(p(&format!("goes-{}", index - 100))).unwrap();
                }
            }
        });
        while !writer.is_finished() {
            for index in 0..60 {
                assert!(exists(core, &format!("stays-{index}")), "stays-{index}");
            }
            moved += u32::from(exists(core, "b"));
        }
        writer.join().unwrap();
    });
    assert!(moved > 0);
}

#[test]
fn what_was_read_while_something_moved_is_read_again_and_not_judged() {
    let pool = pool();
    let store = &pool.core.store;
    let root = Directory::root(store).unwrap();
    let reads = Cell::new(0);
    let answer = root.reading(store, Lock::Free, |_| {
        reads.set(reads.get() + 1);
        if reads.get() < 3 {
            drop(store.runtime.begin_change(root.inode.place)?);
            return Err(crate::Error::new(ErrorKind::Corrupt, "half of it is old"));
        }
        Ok(reads.get())
    });
    assert_eq!(answer.unwrap(), 3);
}

#[test]
fn a_reader_waits_for_the_lock_where_a_change_does_not_end() {
    let pool = pool();
    let store = &pool.core.store;
    touch(&pool.core, "f");
    let root = Directory::root(store).unwrap();
    // As if a member had died in the middle of a change: the counter stays odd, and its lock is free.
    let counter = root.inode.field(crate::format::inode::at::SEQUENCE);
    let odd = store.runtime.region.load(counter).unwrap() | 1;
    store.runtime.region.store_u64(counter, odd).unwrap();
    let namespace = pool.core.namespace().unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| exists(&pool.core, "f"));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!reader.is_finished());
        drop(namespace);
        assert!(reader.join().unwrap());
    });
    assert_eq!(store.runtime.region.load(counter).unwrap(), odd + 1);
}

#[test]
fn damage_in_a_directory_is_an_error_that_names_the_block() {
    let pool = pool();
    let core = &pool.core;
    touch(core, "file");
    let store = &core.store;
    let root = Directory::root(store).unwrap();
    let tree = crate::extent_map::Tree::of(&store.space, root.inode.place).unwrap();
    let block = tree.root.unwrap().entry.block.offset();
    let region = &store.runtime.region;
    for byte in 0..3 * 64 {
        let mut old = [0];
        region.read(block.add(byte), &mut old).unwrap();
        region.write(block.add(byte), &[old[0] ^ 0x81]).unwrap().leave_unflushed();
        match directory::list(store, &root, Lock::Free) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {byte}: {error}"),
            // The other bytes of the header are not used, and an entry of 64 bytes has none behind it.
            Ok(entries) => assert!((32..64).contains(&byte) || entries.len() == 1, "byte {byte}"),
        }
        region.write(block.add(byte), &old).unwrap().leave_unflushed();
    }
    assert_eq!(names(core, "/"), [".snapshots", "file"]);
}
