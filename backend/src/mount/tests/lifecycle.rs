//! Creating, closing and opening again.

use std::time::Duration;

use super::*;
use crate::format::inode::SNAPSHOT_DIRECTORY;
use crate::inode::table::Table;
use crate::mount::close::leave_within;
use crate::mount::info::info;
use crate::os::lock::LockFile;
use crate::runtime::member::OPENING_BYTE;

#[test]
fn a_closed_pool_opens_clean_with_the_counts_it_was_closed_with() {
    for directory in directories() {
        let path = pool_in(&directory);
        let core = new_pool(&path, 64);
        let empty = free_blocks(&core);
        let inode = add_file(&core, "file", 700).unwrap();
        core.store.space.settle().unwrap();
        let before = counts(&core);
        assert!(before.1 < empty - 700, "{} of {empty}", before.1);
        assert_sound(&core);
        close(core).unwrap();
        let (core, opening) = reopen(&path);
        assert_eq!(opening, open::Opening { clean: true, recovery: None });
        assert_eq!(counts(&core), before);
        let tree = Tree::of(&core.store.space, inode.place).unwrap();
        assert_eq!(tree.allocated_blocks(&core.store.space).unwrap(), 700);
        assert_sound(&core);
    }
}

#[test]
fn counts_rebuilt_after_a_crash_are_those_of_before() {
    for directory in directories() {
        let path = pool_in(&directory);
        let core = new_pool(&path, 64);
        for (index, blocks) in [1, 700, 0, 513, 2].into_iter().enumerate() {
            add_file(&core, &format!("file {index}"), blocks).unwrap();
        }
        core.store.space.settle().unwrap();
        let shared = Tree::of(&core.store.space, add_file(&core, "twin", 0).unwrap().place).unwrap();
        assert_eq!(shared.root, None);
        let before = counts(&core);
        // What lies in the file now is what a power failure at this moment leaves.
        let crashed = directory.path().join("crashed.pool");
        std::fs::copy(&path, &crashed).unwrap();
        drop(core);
        let (core, opening) = reopen(&crashed);
        assert!(!opening.clean);
        let recovery = opening.recovery.unwrap();
        let used = before.0.iter().filter(|&&count| count > 0).count() as u64;
        assert_eq!((recovery.blocks_counted, recovery.orphans_removed), (used, 0));
        assert_eq!(counts(&core), before);
        assert_sound(&core);
        close(core).unwrap();
        assert!(reopen(&crashed).1.clean);
    }
}

#[test]
fn inodes_without_a_name_are_freed_after_a_crash() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = pool_in(&directory);
    let core = new_pool(&path, 64);
    let empty = counts(&core).1;
    let located = core.namespace().unwrap().create_file(Path::new("doomed"), true).unwrap().0;
    let open = core.open.open(&core.store, located.inode.number, located.generation).unwrap();
    add_blocks(&core.store, &located.inode, 0, 300).unwrap();
    core.namespace().unwrap().remove_file(Path::new("doomed")).unwrap();
    assert!(counts(&core).1 < empty - 300, "open files live on");
    let crashed = directory.path().join("crashed.pool");
    std::fs::copy(&path, &crashed).unwrap();
    core.open.close(&core.store, &open).unwrap();
    let after = counts(&core);
    let (core, opening) = reopen(&crashed);
    assert_eq!(opening.recovery.unwrap().orphans_removed, 1);
    assert_eq!(counts(&core), after);
    assert_sound(&core);
}

#[test]
fn a_dropped_pool_is_closed_as_well() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    drop(new_pool(&pool_in(&directory), 32));
    assert!(reopen(&pool_in(&directory)).1.clean);
}

#[test]
fn only_the_last_member_calls_the_pool_clean() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = pool_in(&directory);
    let first = new_pool(&path, 32);
    let (second, opening) = reopen(&path);
    assert!(opening.clean && opening.recovery.is_none());
    add_file(&second, "by the second", 3).unwrap();
    close(first).unwrap();
    let crashed = directory.path().join("crashed.pool");
    std::fs::copy(&path, &crashed).unwrap();
    assert!(!reopen(&crashed).1.clean, "another member was still there");
    assert_sound(&second);
    close(second).unwrap();
    assert!(reopen(&path).1.clean);
}

#[test]
fn a_pool_in_use_is_not_overwritten_and_nothing_is_without_being_told() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = pool_in(&directory);
    let core = new_pool(&path, 32);
    let again =
        |options: CreateOptions| create::create(&path, &options, format_namespace).map_err(|e| e.kind());
    assert_eq!(again(options(32)).err(), Some(ErrorKind::AlreadyExists));
    assert_eq!(again(options(32).overwrite(true)).err(), Some(ErrorKind::Busy));
    add_file(&core, "kept", 1).unwrap();
    close(core).unwrap();
    let core = again(options(16).overwrite(true)).unwrap();
    assert_sound(&core);
    assert!(core.namespace().unwrap().resolve(Path::new("kept")).is_err());
    close(core).unwrap();
    assert_sound(&reopen(&path).0);
}

#[test]
fn what_cannot_be_created_leaves_nothing_behind() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = pool_in(&directory);
    let fails = |options: &CreateOptions| {
        let error = create::create(&path, options, format_namespace).err().unwrap().kind();
        assert!(!path.exists(), "{error:?}");
        error
    };
    assert_eq!(fails(&options(15)), ErrorKind::InvalidInput);
    assert_eq!(fails(&CreateOptions::new()), ErrorKind::InvalidInput);
    assert_eq!(fails(&options(16).max_inodes(1)), ErrorKind::InvalidInput);
    assert_eq!(fails(&CreateOptions::new().size(1 << 51)), ErrorKind::NoSpace);
}

#[test]
fn who_asks_what_a_pool_is_does_not_wait_for_one_who_stands_in_a_change_of_snapshots() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = pool_in(&directory);
    let core = new_pool(&path, 32);
    let (other, opening) = reopen(&path);
    let store = &core.store;
    let all = Table::get(store, SNAPSHOT_DIRECTORY).unwrap();
    assert_eq!(info(&other, &opening).unwrap().snapshots, Some(0));
    {
        let _namespace = store.runtime.lock(at::NAMESPACE).unwrap();
        let _change = store.runtime.begin_change(all.place).unwrap();
        let seen = info(&other, &opening).unwrap();
        assert_eq!(seen.snapshots, None);
        let holds: Vec<&str> =
            seen.members.iter().flat_map(|member| &member.holds).map(String::as_str).collect();
        assert_eq!(holds, ["the namespace lock"]);
    }
    assert_eq!(info(&other, &opening).unwrap().snapshots, Some(0));
}

/// Holds the pool at `path` as one does who stands still while it opens it.
fn stand_in_an_opening(path: &Path) -> LockFile {
    let standing = LockFile::open(path).unwrap();
    assert!(standing.try_exclusive(OPENING_BYTE).unwrap());
    standing
}

#[test]
fn who_opens_or_closes_gives_up_on_one_who_stands_in_the_middle_of_it_and_loses_nothing() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = pool_in(&directory);
    let core = new_pool(&path, 32);
    let inode = add_file(&core, "file", 7).unwrap();
    let soon = Duration::from_millis(5);
    let standing = stand_in_an_opening(&path);
    for options in [OpenOptions::new(), OpenOptions::new().read_only(true)] {
        let error = open::open_within(&path, &options, soon).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    }
    assert_eq!(leave_within(&core, soon).unwrap_err().kind(), ErrorKind::Busy);
    // What it did not give up dies with its locks, as its process would.
    drop(standing);
    Arc::into_inner(core).unwrap().abandon();
    let (core, opening) = reopen(&path);
    assert!(!opening.clean, "nobody called the counts clean");
    assert_eq!(inode.size(&core.store).unwrap(), 7 * BLOCK_SIZE);
    assert_sound(&core);
    close(core).unwrap();
    assert!(reopen(&path).1.clean);
}
