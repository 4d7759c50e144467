//! What the public API promises and the random operations do not see: media, sizes, locks, shared memory, info.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use daxcow::units::BLOCK_SIZE;
use daxcow::{
    Change, CreateOptions, Dax, DiffEntry, ErrorKind, FileKind, FileOptions, LockMode, Medium, OpenOptions,
    Pool, PoolPath, split_pool_path,
};
use daxcow_tests::fixture::{
    assert_clean, bytes, contents, file, free, get, kind, new_pool, open_pool, put, reopen, roll_back,
    snapshot,
};
use daxcow_tests::place::Place;
use daxcow_tests::process::Running;
use daxcow_tests::views;

#[test]
fn durability_names_the_medium_and_claims_nothing_more() {
    let place = Place::within(Path::new("/dev/shm"));
    let volatile = new_pool(&place, 16).durability();
    assert_eq!(volatile.medium, Medium::Volatile);
    assert!(volatile.survives_process_death && !volatile.survives_power_loss && !volatile.map_sync);
    let disk = Place::on_disk();
    let pool = new_pool(&disk, 16);
    let on_disk = pool.durability();
    if on_disk.medium == Medium::Volatile {
        println!("skipped: {} is on a volatile file system", disk.path().display());
        return;
    }
    assert_eq!(on_disk.medium, Medium::PageCache);
    assert!(on_disk.survives_process_death && on_disk.survives_power_loss && !on_disk.map_sync);
    drop(pool);
    for path in [place.pool(), disk.pool()] {
        let refused = kind(Pool::open(path, &OpenOptions::new().dax(Dax::Always)));
        assert_eq!(refused, ErrorKind::UnsupportedMedium);
    }
}

#[test]
fn a_pool_says_what_it_is() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let second = open_pool(place.pool());
    snapshot(&pool, "s");
    let info = pool.info().expect("info");
    assert_eq!((info.size_bytes, info.format_version, info.snapshots), (64 << 20, 1, Some(1)));
    assert!(info.uuid.len() >= 32, "{}", info.uuid);
    assert_eq!(info.members.len(), 2, "{:?}", info.members);
    assert_eq!(info.members.iter().filter(|member| member.this).count(), 1);
    let held = file(&pool, "/held");
    let batch = held.batch().expect("batch");
    assert!(held.try_lock(3, LockMode::Exclusive).expect("lock"));
    let seen = second.info().expect("info");
    assert!(
        seen.members.iter().all(|member| member.alive && !member.stopped && member.pid == std::process::id())
    );
    assert!(seen.members.iter().any(|member| !member.holds.is_empty()), "{:?}", seen.members);
    drop(batch);
    drop(held);
    second.close().expect("close");
    assert_eq!(pool.info().expect("info").members.len(), 1);
    let reopened = reopen(pool);
    let info = reopened.info().expect("info");
    assert!(info.clean_at_open && info.recovered.is_none());
}

#[test]
fn members_up_to_128_share_a_pool() {
    let place = Place::new();
    let first = new_pool(&place, 64);
    let path = place.pool();
    let join = || Running::start(Path::new(env!("CARGO_BIN_EXE_worker")), &["join", &path.to_string_lossy()]);
    let others: Vec<Running> = (1..128).map(|_| join()).collect();
    let patience = Duration::from_secs(60);
    assert!(others.iter().all(|other| other.line(patience).as_deref() == Ok("ready")));
    let listed = first.read_dir("/").expect("list");
    assert_eq!(listed.iter().filter(|entry| entry.kind == FileKind::File).count(), 127);
    assert_eq!(first.info().expect("info").members.len(), 128);
    drop(others);
    put(&first, "/more", b"a dead member's slot is free again");
    drop(open_pool(place.pool()));
    assert_clean(&first);
}

#[test]
fn one_member_per_process_serves_all_who_share_it() {
    let place = Place::new();
    new_pool(&place, 16).close().expect("close");
    let open = || Pool::open_shared(place.pool(), &OpenOptions::new()).expect("open");
    let (one, other) = (open(), open());
    put(&one, "/file", b"content");
    assert_eq!(get(&other, "/file"), b"content");
    assert_eq!(one.info().expect("info").members.len(), 1);
    drop(one);
    assert_eq!(get(&other, "/file"), b"content");
    drop(other);
    assert!(open_pool(place.pool()).info().expect("info").clean_at_open);
}

#[test]
fn a_pool_grows_while_it_is_used_past_a_group_of_2_gib() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let other = open_pool(place.pool());
    put(&pool, "/before", &bytes(1, 1 << 20));
    let before = free(&pool);
    pool.grow(5 << 30).expect("grow");
    assert!(free(&pool) > before + (4 << 30), "{} free", free(&pool));
    // The other member has not mapped the new part yet, and meets blocks in it.
    let large = file(&pool, "/large");
    let content = bytes(2, 8 << 20);
    for piece in 0..12 {
        large.write_at(&content, piece * (8 << 20)).expect("write");
    }
    let seen = file(&other, "/large");
    let mut piece = vec![0; 8 << 20];
    seen.read_exact_at(&mut piece, 11 * (8 << 20)).expect("read");
    assert!(piece == content);
    put(&other, "/other", &content);
    assert!(get(&pool, "/other") == content && get(&pool, "/before") == bytes(1, 1 << 20));
    assert_eq!(kind(pool.grow(1 << 20)), ErrorKind::InvalidInput);
    assert_clean(&other);
    drop(seen);
    other.close().expect("close");
    drop(large);
    let pool = reopen(pool);
    assert_eq!(pool.info().expect("info").size_bytes, 5 << 30);
    assert_clean(&pool);
}

#[test]
fn trim_gives_freed_memory_back_to_the_host() {
    let place = Place::new();
    let pool = Pool::create(place.pool(), &CreateOptions::new().size(128 << 20)).expect("create");
    let on_host = || std::fs::metadata(place.pool()).expect("stat").blocks() * 512;
    assert!(on_host() >= 128 << 20, "a pool that was not asked to be sparse is allocated");
    put(&pool, "/file", &bytes(1, 32 << 20));
    pool.remove_file("/file").expect("remove");
    let trimmed = pool.trim().expect("trim");
    assert!(trimmed >= 64 << 20, "{trimmed} bytes trimmed");
    assert!(on_host() <= 64 << 20, "{} bytes on the host after {trimmed} were trimmed", on_host());
    put(&pool, "/file", &bytes(1, 32 << 20));
    assert!(get(&pool, "/file") == bytes(1, 32 << 20));
    assert_clean(&pool);
}

#[test]
fn locks_exclude_and_upgrade_as_files_do() {
    let place = Place::new();
    let pool = new_pool(&place, 16);
    let other_member = open_pool(place.pool());
    put(&pool, "/file", b"x");
    let (one, two, three) = (file(&pool, "/file"), file(&pool, "/file"), file(&other_member, "/file"));
    let shared = |file: &daxcow::File| file.try_lock(7, LockMode::Shared).expect("lock");
    let exclusive = |file: &daxcow::File| file.try_lock(7, LockMode::Exclusive).expect("lock");
    assert!(shared(&one) && shared(&two) && shared(&three));
    assert!(!exclusive(&one), "others share the lock");
    two.unlock(7).expect("unlock");
    three.unlock(7).expect("unlock");
    assert!(exclusive(&one), "the only sharer may upgrade");
    assert!(!shared(&two) && !exclusive(&three));
    let seen = three.lock_state(7).expect("state");
    assert!(seen.exclusive_by_other && !seen.shared_by_others);
    assert!(three.try_lock(8, LockMode::Exclusive).expect("lock"), "the locks are apart");
    assert!(shared(&one), "an exclusive lock may be lowered");
    assert!(shared(&three));
    let seen = two.lock_state(7).expect("state");
    assert!(!seen.exclusive_by_other && seen.shared_by_others);
    drop(one);
    drop(three);
    assert!(exclusive(&two), "closing a handle releases its locks");
    assert_eq!(kind(two.try_lock(16, LockMode::Shared)), ErrorKind::InvalidInput);
    let pool_of_two = file(&other_member, "/file");
    drop(two);
    assert!(exclusive(&pool_of_two));
}

#[test]
fn shared_memory_is_one_per_file_and_dies_with_its_last_user() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let other_member = open_pool(place.pool());
    put(&pool, "/file", b"x");
    let size = 32 << 10;
    let (one, two) = (file(&pool, "/file"), file(&other_member, "/file"));
    let memory = one.shared_memory().expect("shared memory");
    assert!(memory.region(0, size, false).expect("region").is_none(), "nothing was made yet");
    let first = memory.region(0, size, true).expect("region").expect("it was to be made");
    assert_eq!(views::load(first, size - 8), 0);
    views::store(first, size - 8, 77);
    let second_user = two.shared_memory().expect("shared memory");
    let second = second_user.region(0, size, false).expect("region").expect("it exists");
    assert_eq!(views::load(second, size - 8), 77, "both see one memory");
    views::store(second, 0, 5);
    assert_eq!(views::load(first, 0), 5);
    let third = second_user.region(3, size, true).expect("region").expect("it was to be made");
    views::store(third, 0, 9);
    pool.clone_tree("/file", "/clone").expect("clone");
    let of_clone = file(&pool, "/clone").shared_memory().expect("shared memory");
    assert!(of_clone.region(0, size, false).expect("region").is_none(), "shared memory is never cloned");
    of_clone.detach(true).expect("detach");
    memory.detach(false).expect("detach");
    assert_eq!(views::load(second, 0), 5, "one user is left");
    second_user.detach(false).expect("detach");
    let again = one.shared_memory().expect("shared memory");
    if let Some(region) = again.region(0, size, true).expect("region") {
        assert_eq!(views::load(region, 0), 0, "the first user finds zeros");
    }
    again.detach(true).expect("detach");
    drop((one, two));
    other_member.close().expect("close");
    assert_clean(&pool);
}

#[test]
fn a_view_is_the_file_and_stays_as_it_was() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let content = bytes(1, 1 << 20);
    put(&pool, "/file", &content);
    let open = file(&pool, "/file");
    let view = open.view(4096, 4096).expect("view").expect("a block is contiguous");
    assert!(views::bytes(&view) == &content[4096..8192] && !view.is_failed());
    assert!(open.view((1 << 20) - 100, 200).expect("view").is_none(), "a view does not go past the end");
    open.set_len(0).expect("truncate");
    put(&pool, "/more", &bytes(2, 8 << 20));
    pool.remove_file("/file").expect("remove");
    drop(open);
    put(&pool, "/yet more", &bytes(3, 8 << 20));
    assert!(views::bytes(&view) == &content[4096..8192], "blocks under a view were used again");
    drop(view);
    assert_clean(&pool);
}

#[test]
fn snapshots_are_listed_kept_and_refused_twice() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    pool.create_dir_all("/d/e").expect("dirs");
    put(&pool, "/d/e/file", b"old");
    put(&pool, "/other", b"other");
    let info = pool.create_snapshot("z", &["/d/e"]).expect("snapshot");
    assert_eq!((info.name.as_str(), info.files), ("z", 1));
    assert_eq!(info.paths, [PathBuf::from("/d/e")]);
    snapshot(&pool, "a");
    assert_eq!(kind(pool.create_snapshot::<&str>("z", &[])), ErrorKind::AlreadyExists);
    let listed: Vec<String> = pool.snapshots().expect("list").into_iter().map(|info| info.name).collect();
    assert_eq!(listed, ["z", "a"], "in order of their creation");
    assert_eq!(get(&pool, "/.snapshots/z/d/e/file"), b"old");
    assert!(!pool.exists("/.snapshots/z/other").expect("exists"));
    assert_eq!(get(&pool, "/.snapshots/a/other"), b"other");
    assert!(pool.metadata("/.snapshots/a/other").expect("metadata").read_only);
    put(&pool, "/d/e/file", b"new");
    roll_back(&pool, "z");
    assert_eq!(get(&pool, "/d/e/file"), b"old");
    let pool = reopen(pool);
    assert_eq!(pool.snapshots().expect("list").len(), 2);
    pool.delete_snapshot("z").expect("delete");
    assert_eq!(pool.snapshots().expect("list").len(), 1);
    assert!(!pool.exists("/.snapshots/z").expect("exists"));
    assert_clean(&pool);
}

#[test]
fn a_snapshot_costs_by_files_and_not_by_size() {
    let place = Place::new();
    let pool = new_pool(&place, 512);
    let large = file(&pool, "/large");
    for piece in 0..20_000 {
        large.write_at(&bytes(piece, 64), piece * 3 * BLOCK_SIZE).expect("write");
    }
    let before = free(&pool);
    for round in 0..20 {
        snapshot(&pool, &format!("s{round}"));
    }
    let cost = (before - free(&pool)) / 20;
    assert!(cost <= 16 * BLOCK_SIZE, "a snapshot of one file costs {cost} bytes");
    let info = pool.snapshots().expect("list");
    assert_eq!(info.len(), 20);
    info.iter().for_each(|info| pool.delete_snapshot(&info.name).expect("delete"));
    assert_clean(&pool);
}

#[test]
fn a_diff_names_what_changed_and_where() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    pool.create_dir("/d").expect("dir");
    put(&pool, "/d/same", &bytes(1, 100_000));
    put(&pool, "/d/changed", &bytes(2, 100_000));
    put(&pool, "/d/gone", b"x");
    snapshot(&pool, "s");
    file(&pool, "/d/changed").write_at(b"!", 50_000).expect("write");
    pool.remove_file("/d/gone").expect("remove");
    put(&pool, "/d/made", b"x");
    let mut entries = pool.diff("/.snapshots/s/d", "/d").expect("diff");
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    let names: Vec<String> = entries.iter().map(|entry| entry.path.to_string_lossy().into_owned()).collect();
    assert!(
        names.iter().map(|name| name.trim_start_matches('/')).eq(["changed", "gone", "made"]),
        "{names:?}"
    );
    let [DiffEntry { change: Change::Modified { ranges }, .. }, gone, made] = entries.as_slice() else {
        panic!("{entries:?}");
    };
    assert_eq!((&gone.change, &made.change), (&Change::Removed, &Change::Added));
    let bytes_named: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    assert!(ranges.iter().any(|range| range.contains(&50_000)) && bytes_named <= BLOCK_SIZE, "{ranges:?}");
}

#[test]
fn several_batches_and_an_unlink_are_one_transaction() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let (one, two) = (file(&pool, "/one"), file(&pool, "/two"));
    put(&pool, "/super", b"journal");
    let (mut first, mut second) = (one.batch().expect("batch"), two.batch().expect("batch"));
    first.write_at(&bytes(1, 10_000), 0).expect("write");
    second.write_at(&bytes(2, 10_000), 0).expect("write");
    let missing = pool.commit_batches(&mut [&mut first, &mut second], Some(Path::new("/missing")));
    assert_eq!(kind(missing), ErrorKind::NotFound);
    assert_eq!(one.len().expect("len"), 0, "half of a refused transaction was published");
    pool.commit_batches(&mut [&mut first, &mut second], Some(Path::new("/super"))).expect("commit");
    assert!(!pool.exists("/super").expect("exists"));
    assert!(
        contents(&one).expect("read") == bytes(1, 10_000)
            && contents(&two).expect("read") == bytes(2, 10_000)
    );
    assert!(first.is_empty() || first.len() == 10_000);
    second.write_at(b"again", 0).expect("the batch stays open");
    second.commit().expect("commit");
    assert_eq!(contents(&two).expect("read")[..5], *b"again");
}

#[test]
fn replacing_contents_keeps_the_inode_and_shares_the_blocks() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    put(&pool, "/live", &bytes(1, 1 << 20));
    put(&pool, "/old", &bytes(2, 3 << 20));
    let live = file(&pool, "/live");
    let inode = live.inode();
    let before = free(&pool);
    live.replace_contents(&file(&pool, "/old")).expect("replace");
    assert!(free(&pool) >= before, "the blocks were copied");
    assert!(contents(&live).expect("read") == bytes(2, 3 << 20));
    assert_eq!((live.inode(), pool.metadata("/live").expect("metadata").inode), (inode, inode));
    live.write_at(b"mine", 0).expect("write");
    assert!(get(&pool, "/old") == bytes(2, 3 << 20));
    assert_clean(&pool);
}

#[test]
fn metadata_tells_kind_size_links_and_times() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let start = SystemTime::now() - Duration::from_secs(2);
    put(&pool, "/file", &bytes(1, 10_000));
    pool.create_dir("/d").expect("dir");
    let found = pool.metadata("/file").expect("metadata");
    assert_eq!((found.kind, found.len, found.links, found.read_only), (FileKind::File, 10_000, 1, false));
    assert!(found.allocated_bytes >= 12_288 && found.allocated_bytes < 64 << 10, "{}", found.allocated_bytes);
    assert!(found.created >= start && found.modified >= found.created);
    assert_eq!(pool.metadata("/d").expect("metadata").kind, FileKind::Directory);
    thread::sleep(Duration::from_millis(20));
    file(&pool, "/file").write_at(b"x", 0).expect("write");
    assert!(pool.metadata("/file").expect("metadata").modified > found.modified);
    assert_eq!(pool.metadata("/file").expect("metadata").created, found.created);
}

#[test]
fn paths_through_a_pool_are_found() {
    let place = Place::new();
    new_pool(&place, 16).close().expect("close");
    let pool = place.pool();
    let split = |path: PathBuf| split_pool_path(&path).expect("split");
    let found = split(pool.join("db/main.db"));
    let PoolPath { pool: host, inner } = found.expect("the path goes through a pool");
    assert_eq!(
        (host.as_path(), inner.strip_prefix("/").unwrap_or(&inner)),
        (pool.as_path(), Path::new("db/main.db"))
    );
    assert_eq!(split(place.path().join("none/db")), None);
    std::fs::write(place.path().join("plain"), "text").expect("write");
    assert_eq!(split(place.path().join("plain/db")), None);
    assert!(split(pool).is_some_and(|found| found.inner.components().all(|part| part.as_os_str() == "/")));
}

#[test]
fn files_are_opened_as_the_standard_library_opens_them() {
    let place = Place::new();
    let pool = new_pool(&place, 16);
    let open = |path: &str, options: &FileOptions| pool.open_file(path, options);
    let read = FileOptions::new().read(true);
    let write = FileOptions::new().write(true);
    assert_eq!(kind(open("/file", &read)), ErrorKind::NotFound);
    assert_eq!(kind(open("/file", &write)), ErrorKind::NotFound);
    open("/file", &write.create(true)).expect("create").write_at(b"content", 0).expect("write");
    assert_eq!(kind(open("/file", &write.create_new(true))), ErrorKind::AlreadyExists);
    open("/file", &write.truncate(true)).expect("truncate");
    assert_eq!(pool.metadata("/file").expect("metadata").len, 0);
    open("/new", &write.create_new(true)).expect("create new");
    pool.create_dir("/d").expect("dir");
    assert_eq!(kind(open("/d", &read)), ErrorKind::IsADirectory);
    assert_eq!(kind(open("/file/x", &read)), ErrorKind::NotADirectory);
}

#[test]
fn writing_a_file_into_itself_through_a_view_does_not_tear() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let content = bytes(1, 64 << 10);
    put(&pool, "/file", &content);
    let open = file(&pool, "/file");
    if let Some(view) = open.view(0, 32 << 10).expect("view") {
        open.write_at(views::bytes(&view), 1000).expect("write");
        let mut expected = content.clone();
        expected[1000..1000 + (32 << 10)].copy_from_slice(&content[..32 << 10]);
        assert!(contents(&open).expect("read") == expected);
    }
    let block = open.view(0, 4096).expect("view").expect("a block is contiguous");
    let first = views::bytes(&block).to_vec();
    open.write_at(views::bytes(&block), 100).expect("write");
    let mut seen = vec![0; 4096];
    open.read_exact_at(&mut seen, 100).expect("read");
    assert!(seen == first);
}

#[test]
fn a_whole_file_is_read_in_place_and_stays_as_it_was() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    let open = file(&pool, "/file");
    // Reserved in two steps that continue each other, over the border of a map node, with a hole behind.
    open.allocate(0, 3 << 20, true).expect("allocate");
    open.allocate(3 << 20, 2 << 20, true).expect("allocate");
    let content = bytes(1, 5 << 20);
    open.write_at(&content, 0).expect("write");
    open.write_at(b"end", 6 << 20).expect("write");
    let reserved = open.extents().expect("extents").iter().filter(|extent| extent.offset < 5 << 20).count();
    assert_eq!(reserved, 1, "what is reserved later continues what is there: {:?}", open.extents());

    let seen = open.views().expect("views");
    assert_eq!(seen.len(), (6 << 20) + 3);
    open.write_at(&[0; 4096], 0).expect("write");
    open.set_len(10).expect("truncate");
    assert!(views::found(&seen, 0, 5 << 20).expect("one piece") == content);
    assert!(*views::found(&seen, 12_345, 6_789).expect("one piece") == content[12_345..12_345 + 6_789]);
    assert!(views::found(&seen, 6 << 20, 3).expect("one piece") == b"end");
    for (offset, len) in [(5 << 20, 1), ((5 << 20) - 1, 2), (6 << 20, 4), (u64::MAX, 1)] {
        assert!(views::found(&seen, offset, len).is_none(), "{len} bytes at {offset}");
    }
}
