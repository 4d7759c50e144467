//! Members that are killed, and many at once.

use std::time::Duration;

use super::*;
use crate::format::lane::Record;
use crate::mount::recover::reclaim;
use crate::space::Reference;
use crate::units::PoolOffset;

/// Opens the pool, holds whatever a member can hold, and waits to be killed.
fn hold_everything(path: &Path) {
    let (core, _) = reopen(path);
    let store = &core.store;
    let located = core.namespace().unwrap().create_file(Path::new("doomed"), true).unwrap().0;
    let _open = core.open.open(store, located.inode.number, located.generation).unwrap();
    add_blocks(store, &located.inode, 0, 600).unwrap();
    core.namespace().unwrap().remove_file(Path::new("doomed")).unwrap();
    let kept = core.namespace().unwrap().resolve(Path::new("kept")).unwrap().inode;
    let reference = Reference::of_root(Tree::of(&store.space, kept.place).unwrap().root.unwrap());
    store.space.raise(reference.block).unwrap();
    let _pin = store.space.pin(reference).unwrap();
    let _mark = store.runtime.enter().unwrap();
    let _namespace = store.runtime.lock(at::NAMESPACE).unwrap();
    let _inode = kept.lock(store).unwrap();
    ready("");
}

#[test]
fn what_a_killed_member_held_comes_back_while_others_go_on() {
    const NAME: &str = "death::what_a_killed_member_held_comes_back_while_others_go_on";
    if let Some(path) = role() {
        return hold_everything(&path);
    }
    for directory in directories() {
        let path = pool_in(&directory);
        let core = new_pool(&path, 64);
        let kept = add_file(&core, "kept", 20).unwrap();
        core.store.space.settle().unwrap();
        let before = counts(&core);
        let mut child = Again::start(NAME, &path);
        child.wait_until_ready();
        assert!(counts(&core).1 < before.1 - 600);
        child.kill();
        drop(kept.lock(&core.store).unwrap());
        assert_eq!(reclaim(&core).unwrap(), 1, "the removed file");
        core.store.space.settle().unwrap();
        assert_eq!(counts(&core), before);
        assert_eq!(core.store.runtime.deaths().unwrap(), 1);
        assert_sound(&core);
        close(core).unwrap();
        assert!(!reopen(&path).1.clean, "after a death the counts are not trusted");
    }
}

/// Dies with the locks that closing a pool takes.
fn hold_what_closing_takes(path: &Path) {
    let (core, _) = reopen(path);
    let runtime = &core.store.runtime;
    let _held = [at::NAMESPACE, at::SETTLING, at::DEFERRED_LOCK].map(|word| runtime.lock(word).unwrap());
    ready("");
}

#[test]
fn who_closes_recovers_the_dead_that_hold_what_it_needs() {
    const NAME: &str = "death::who_closes_recovers_the_dead_that_hold_what_it_needs";
    if let Some(path) = role() {
        return hold_what_closing_takes(&path);
    }
    for directory in directories() {
        let path = pool_in(&directory);
        let core = new_pool(&path, 64);
        let store = &core.store;
        let kept = add_file(&core, "kept", 20).unwrap();
        let reference = Reference::of_root(Tree::of(&store.space, kept.place).unwrap().root.unwrap());
        store.space.raise(reference.block).unwrap();
        store.space.drop_later(&[reference]).unwrap();
        let mut child = Again::start(NAME, &path);
        child.wait_until_ready();
        child.kill();
        close(core).unwrap();
        assert_sound(&reopen(&path).0);
    }
}

#[test]
fn who_joins_recovers_the_dead_and_the_first_after_all_died_rebuilds() {
    const NAME: &str = "death::who_joins_recovers_the_dead_and_the_first_after_all_died_rebuilds";
    if let Some(path) = role() {
        return hold_everything(&path);
    }
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = pool_in(&directory);
    let core = new_pool(&path, 64);
    add_file(&core, "kept", 20).unwrap();
    let before = counts(&core);
    let mut child = Again::start(NAME, &path);
    child.wait_until_ready();
    child.kill();
    let (joiner, _) = reopen(&path);
    assert_eq!(counts(&core), before);
    assert_eq!(joiner.store.runtime.members().unwrap().len(), 2);
    close(core).unwrap();
    close(joiner).unwrap();

    let mut child = Again::start(NAME, &path);
    child.wait_until_ready();
    child.kill();
    let (core, opening) = reopen(&path);
    assert_eq!(opening.recovery.unwrap().orphans_removed, 1);
    assert_eq!(counts(&core), before);
    assert_sound(&core);
}

#[test]
fn more_than_half_of_all_slots_open_at_once() {
    const NAME: &str = "death::more_than_half_of_all_slots_open_at_once";
    const MEMBERS: u32 = 130;
    if let Some(path) = role() {
        let (core, _) = reopen(&path);
        let slot = core.store.runtime.member.slot;
        add_file(&core, &format!("file of {slot}"), 2).unwrap();
        ready(&slot.to_string());
        return close(core).unwrap();
    }
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = pool_in(&directory);
    let core = new_pool(&path, 64);
    let mut children: Vec<Again> = (0..MEMBERS).map(|_| Again::start(NAME, &path)).collect();
    let mut slots: Vec<u32> =
        children.iter_mut().map(|child| child.wait_until_ready().trim().parse().unwrap()).collect();
    slots.sort_unstable();
    assert_eq!(slots, (1..=MEMBERS).collect::<Vec<_>>());
    assert_eq!(core.store.runtime.members().unwrap().len(), children.len() + 1);
    children.into_iter().for_each(Again::finish);
    assert_eq!(core.store.runtime.members().unwrap().len(), 1);
    assert_sound(&core);
    close(core).unwrap();
    assert!(reopen(&path).1.clean);
}

/// Says what this process may do with a block of a pool.
#[expect(unsafe_code, reason = "mprotect")]
fn protect(core: &crate::inode::Core, block: PoolOffset, protection: libc::c_int) {
    let start = core.store.runtime.region.pointer(block, 4096).unwrap().as_ptr();
    // SAFETY: the block is mapped, and whoever accesses it allows for faults.
    assert_eq!(unsafe { libc::mprotect(start.cast(), 4096, protection) }, 0);
}

#[test]
fn a_transaction_whose_words_are_lost_is_refused_before_it_begins() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let core = new_pool(&pool_in(&directory), 32);
    let inode = add_file(&core, "file", 20).unwrap();
    let store = &core.store;
    let modified = inode.field(crate::format::inode::at::MODIFIED);
    let before = store.runtime.region.load(modified).unwrap();
    let lost = PoolOffset(32 * MIB - 4096);
    protect(&core, lost, libc::PROT_NONE);
    let records = [modified, lost].map(|place| Record { place, value: 77 });
    let failed = store.journal.commit(&records, Flushed::none()).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::MediaError, "{failed}");
    assert_eq!(store.runtime.region.load(modified).unwrap(), before);
    store.journal.commit(&records[..1], Flushed::none()).unwrap();
    assert_eq!(store.runtime.region.load(modified).unwrap(), 77);
    protect(&core, lost, libc::PROT_READ | libc::PROT_WRITE);
    close(core).unwrap();
}

#[test]
fn a_transaction_that_fails_half_way_is_completed_before_its_locks_fall() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = pool_in(&directory);
    let core = new_pool(&path, 32);
    let inode = add_file(&core, "file", 20).unwrap();
    let (other, _) = reopen(&path);
    let store = &core.store;
    let records = [inode.field(crate::format::inode::at::MODIFIED), PoolOffset(32 * MIB - 8)]
        .map(|place| Record { place, value: 77 });
    {
        let _mark = store.runtime.enter().unwrap();
        let _held = inode.lock(store).unwrap();
        // What the second record names can be loaded and not stored to.
        protect(&core, PoolOffset(32 * MIB - 4096), libc::PROT_READ);
        let failed = store.journal.commit(&records, Flushed::none()).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::MediaError, "{failed}");
    }
    assert_eq!(store.runtime.enter().err().unwrap().kind(), ErrorKind::ReadOnly);
    assert_eq!(store.runtime.cut().err().unwrap().kind(), ErrorKind::ReadOnly);
    drop(other.store.runtime.enter().unwrap());
    let lock = inode.field(crate::format::inode::at::LOCK);
    let waited = other.store.runtime.lock_within(lock, Duration::from_millis(50));
    assert_eq!(waited.err().unwrap().kind(), ErrorKind::Busy);
    assert_eq!(close(core).unwrap_err().kind(), ErrorKind::ReadOnly);
    let _held = inode.lock(&other.store).unwrap();
    for Record { place, value } in records {
        assert_eq!(other.store.runtime.region.load(place).unwrap(), value, "{place}");
    }
}
