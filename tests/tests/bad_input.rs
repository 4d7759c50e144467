//! Foreign, newer, damaged, cut and full pools, bad names and wrong rights: a clear error, nothing lost, no dead process.
//!
//! `DAXCOW_SEED` and `DAXCOW_FLIPS` change the flipped bits.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};

use daxcow::{CreateOptions, ErrorKind, LockMode, OpenOptions, Pool};
use daxcow_tests::fixture::{
    assert_clean, bytes, file, free, get, kind, new_pool, open_pool, put, readable, reopen, snapshot, warm_up,
};
use daxcow_tests::place::Place;
use daxcow_tests::probes::damage;
use daxcow_tests::process::{Running, command, run, transcript};
use daxcow_tests::rng::{number_from_env, seed_from_env};
use daxcow_tests::system::is_superuser;

const PATIENCE: Duration = Duration::from_secs(30);

fn worker() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_worker"))
}

fn open_error(path: &Path) -> ErrorKind {
    kind(Pool::open(path, &OpenOptions::new()))
}

#[test]
fn what_is_not_a_pool_is_refused() {
    let place = Place::new();
    let path = place.path().join("other");
    assert_eq!(open_error(&path), ErrorKind::NotFound);
    for content in [Vec::new(), b"short".to_vec(), vec![0; 8 << 20], bytes(1, 8 << 20), b"DAXCOWPL".to_vec()]
    {
        fs::write(&path, &content).expect("write");
        let found = open_error(&path);
        assert!(
            matches!(found, ErrorKind::NotAPool | ErrorKind::Corrupt),
            "{} bytes gave {found:?}",
            content.len()
        );
        assert!(fs::read(&path).expect("read") == content, "a file that is no pool was written to");
    }
    assert!(matches!(open_error(place.path()), ErrorKind::NotAPool | ErrorKind::IsADirectory));
    fs::write(&path, "precious").expect("write");
    assert_eq!(kind(Pool::create(&path, &CreateOptions::new().size(64 << 20))), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).expect("read"), b"precious");
}

/// A closed pool with one file, and its bytes.
fn closed_pool(place: &Place) -> Vec<u8> {
    let pool = new_pool(place, 16);
    put(&pool, "/file", b"content");
    pool.close().expect("close");
    fs::read(place.pool()).expect("read")
}

/// The places of the two superblocks: the only blocks of the first 2 MiB that start with the magic.
fn superblocks(image: &[u8]) -> Vec<usize> {
    let magic = image[..8].to_vec();
    let blocks = image[..2 << 20].chunks_exact(4096).enumerate();
    blocks.filter(|(_, block)| block.starts_with(&magic)).map(|(index, _)| index * 4096).collect()
}

#[test]
fn one_damaged_superblock_is_survived_and_two_are_refused() {
    let place = Place::new();
    let image = closed_pool(&place);
    let copies = superblocks(&image);
    assert_eq!(copies.len(), 2, "superblocks at {copies:?}");
    for &copy in &copies {
        // Not the version: a copy of a later version makes the pool one of that version.
        for at in [0, 24, 60, 100] {
            let mut damaged = image.clone();
            damaged[copy + at] ^= 0x10;
            fs::write(place.pool(), &damaged).expect("write");
            let opened = Pool::open(place.pool(), &OpenOptions::new());
            // Bytes that the checksum does not cover may be anything; the pool must work either way.
            let pool = opened.unwrap_or_else(|error| panic!("byte {at} of the copy at {copy}: {error:?}"));
            assert_eq!(get(&pool, "/file"), b"content");
            pool.close().expect("close");
        }
    }
    let mut damaged = image;
    copies.iter().for_each(|copy| damaged[copy + 16..copy + 200].fill(0xff));
    fs::write(place.pool(), &damaged).expect("write");
    let found = open_error(&place.pool());
    assert!(
        matches!(found, ErrorKind::Corrupt | ErrorKind::NotAPool | ErrorKind::UnsupportedVersion),
        "{found:?}"
    );
}

#[test]
fn a_newer_version_is_refused_and_named() {
    let place = Place::new();
    closed_pool(&place);
    let host = fs::OpenOptions::new().write(true).read(true).open(place.pool()).expect("open");
    let mut image = fs::read(place.pool()).expect("read");
    let copies = superblocks(&image);
    for copy in &copies {
        // The version follows the magic; a later version may have another checksum, so it is looked at first.
        image[copy + 8..copy + 12].copy_from_slice(&7u32.to_le_bytes());
        host.write_all_at(&image[*copy..copy + 12], u64::try_from(*copy).expect("small")).expect("write");
    }
    let error = Pool::open(place.pool(), &OpenOptions::new()).map(drop).expect_err("a newer version");
    assert_eq!(error.kind(), ErrorKind::UnsupportedVersion, "{error}");
    assert!(error.to_string().contains('7'), "{error}");
}

#[test]
fn a_pool_cut_short_before_it_is_opened_is_refused() {
    let place = Place::new();
    let image = closed_pool(&place);
    for len in [0, 100, 4096, 1 << 20, 2 << 20, 3 << 20, image.len() - 4096, image.len() - 1] {
        fs::write(place.pool(), &image[..len]).expect("write");
        let found = open_error(&place.pool());
        assert!(
            matches!(found, ErrorKind::NotAPool | ErrorKind::Corrupt | ErrorKind::MediaError),
            "{len} bytes of {} gave {found:?}",
            image.len()
        );
    }
    fs::write(place.pool(), &image).expect("write");
    assert_eq!(get(&open_pool(place.pool()), "/file"), b"content");
}

#[test]
fn a_pool_cut_short_while_it_is_open_gives_errors_and_no_signal() {
    let place = Place::new();
    let output = run(worker(), &["truncated", &place.pool().to_string_lossy()]);
    let said = transcript(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("read MediaError") && said.contains("survived"), "{said}");
    assert!(said.contains("write MediaError") || said.contains("write ReadOnly"), "{said}");
}

#[test]
fn a_pool_without_permission_is_refused() {
    let place = Place::new();
    closed_pool(&place);
    let program = place.path().join("worker");
    fs::copy(worker(), &program).expect("copy");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::set_permissions(place.pool(), fs::Permissions::from_mode(0o000)).expect("chmod");
    let mut probe = command(&program, &["open", &place.pool().to_string_lossy()]);
    if is_superuser() {
        probe.uid(65534).gid(65534);
    }
    match probe.output() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "PermissionDenied"),
        Err(error) => println!("skipped: no program can be run in {}: {error}", place.path().display()),
    }
}

#[test]
fn a_pool_that_may_only_be_read_serves_its_snapshots() {
    let place = Place::new();
    let pool = new_pool(&place, 16);
    put(&pool, "/file", b"content");
    snapshot(&pool, "s");
    pool.close().expect("close");
    let before = fs::read(place.pool()).expect("read");
    let pool = Pool::open(place.pool(), &OpenOptions::new().read_only(true)).expect("open");
    assert_eq!(get(&pool, "/.snapshots/s/file"), b"content");
    let refusals = [
        ("create_dir", pool.create_dir("/d")),
        ("remove_file", pool.remove_file("/file")),
        ("create_snapshot", pool.create_snapshot::<&str>("t", &[]).map(drop)),
        ("delete_snapshot", pool.delete_snapshot("s")),
        ("rename", pool.rename("/file", "/other")),
        ("clone_tree", pool.clone_tree("/file", "/clone")),
        ("grow", pool.grow(64 << 20)),
    ];
    for (what, refused) in refusals {
        let refused = refused.map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::ReadOnly), "{what}");
    }
    pool.close().expect("close");
    assert!(fs::read(place.pool()).expect("read") == before, "reading changed the pool");
}

#[test]
fn a_full_pool_keeps_everything_readable_and_recovers_by_deleting() {
    let place = Place::new();
    let pool = new_pool(&place, 24);
    put(&pool, "/kept", &bytes(1, 1 << 20));
    snapshot(&pool, "s");
    let filler = file(&pool, "/filler");
    let mut len = 0u64;
    for piece in [1 << 20, 64 << 10, 4096, 1] {
        while filler.write_at(&bytes(len, piece), len).is_ok() {
            len += u64::try_from(piece).expect("small");
        }
    }
    for refused in [
        kind(file(&pool, "/kept").write_at(&bytes(9, 1 << 20), 0)),
        kind(filler.allocate(0, 1 << 30, true)),
        kind(file(&pool, "/kept").append(&bytes(9, 1 << 20))),
    ] {
        assert_eq!(refused, ErrorKind::NoSpace);
    }
    let mut batch = filler.batch().expect("batch");
    let staged = batch.write_at(&bytes(5, 1 << 20), 0).and_then(|()| batch.commit());
    assert_eq!(kind(staged), ErrorKind::NoSpace);
    drop(batch);
    assert!(get(&pool, "/kept") == bytes(1, 1 << 20));
    assert!(get(&pool, "/.snapshots/s/kept") == bytes(1, 1 << 20));
    assert_clean(&pool);
    drop(filler);
    pool.remove_file("/filler").expect("a full pool can delete");
    put(&pool, "/again", &bytes(2, 4 << 20));
    assert!(get(&pool, "/again") == bytes(2, 4 << 20));
    pool.delete_snapshot("s").expect("delete");
    assert_clean(&pool);
}

#[test]
fn a_full_pool_of_snapshots_can_delete_them() {
    let place = Place::new();
    let pool = new_pool(&place, 24);
    let data = file(&pool, "/data");
    data.write_at(&bytes(0, 1 << 20), 0).expect("write");
    let mut rounds = 0;
    loop {
        let name = format!("s{rounds}");
        let taken = pool.create_snapshot::<&str>(&name, &[]);
        if taken.is_err() || data.write_at(&bytes(rounds, 1 << 20), 0).is_err() {
            break;
        }
        rounds += 1;
    }
    assert!(rounds > 5, "only {rounds} snapshots of 1 MiB fit into 24 MiB");
    for info in pool.snapshots().expect("list") {
        pool.delete_snapshot(&info.name).expect("a full pool can delete snapshots");
    }
    data.write_at(&bytes(77, 1 << 20), 0).expect("there is room again");
    assert_clean(&pool);
}

#[test]
fn inodes_run_out_with_an_error_of_their_own_and_come_back() {
    let place = Place::new();
    let options = CreateOptions::new().size(64 << 20).sparse(true).max_inodes(100);
    let pool = Pool::create(place.pool(), &options).expect("create");
    let mut made = 0;
    let error = loop {
        match pool.create_dir(format!("/{made}")) {
            Ok(()) => made += 1,
            Err(error) => break error,
        }
        assert!(made < 10_000, "the limit of inodes is not kept");
    };
    assert_eq!(error.kind(), ErrorKind::NoInodes, "{error}");
    assert!(made >= 90, "only {made} of 100 inodes can be used");
    assert_eq!(kind(pool.clone_tree("/0", "/clone")), ErrorKind::NoInodes);
    assert_eq!(pool.usage().expect("usage").inodes_free, 0);
    pool.remove_dir("/7").expect("remove");
    put(&pool, "/file", b"content");
    assert_eq!(get(&pool, "/file"), b"content");
    assert_clean(&pool);
}

#[test]
fn a_forked_child_is_told_to_open_the_pool_itself() {
    let place = Place::new();
    let pool = new_pool(&place, 16);
    put(&pool, "/file", b"content");
    pool.close().expect("close");
    let output = run(worker(), &["fork", &place.pool().to_string_lossy()]);
    let said = transcript(&output);
    assert!(output.status.success() && said.contains("child 0\n") && said.contains("parent works"), "{said}");
    assert_clean(&open_pool(place.pool()));
}

#[test]
fn a_killed_member_leaves_nothing_locked_and_nothing_allocated() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    warm_up(&pool).expect("warm up");
    let at_start = free(&pool);
    let path = place.pool();
    let mut probe = Running::start(worker(), &["hold", &path.to_string_lossy()]);
    assert_eq!(probe.line(PATIENCE).as_deref(), Ok("ready"));
    let held = file(&pool, "/held");
    assert!(!held.try_lock(0, LockMode::Exclusive).expect("lock"), "a live member's lock was taken");
    assert_eq!(kind(held.batch()), ErrorKind::Busy);
    probe.kill();
    let start = Instant::now();
    while !held.try_lock(0, LockMode::Exclusive).expect("lock") {
        assert!(start.elapsed() < Duration::from_secs(1), "a dead member's lock blocks");
    }
    while let Err(error) = held.batch().map(drop) {
        assert!(error.kind() == ErrorKind::Busy && start.elapsed() < Duration::from_secs(1), "{error:?}");
    }
    held.write_at(b"x", 0).expect("the dead member's batch is gone");
    drop(held);
    pool.remove_file("/held").expect("remove");
    let pool = reopen(pool);
    assert_clean(&pool);
    assert!(free(&pool) >= at_start, "{at_start} bytes were free, {} are", free(&pool));
}

#[test]
fn bad_paths_and_names_are_refused() {
    let place = Place::new();
    let pool = new_pool(&place, 16);
    put(&pool, "/file", b"x");
    pool.create_dir("/d").expect("dir");
    let long = "n".repeat(255);
    put(&pool, &format!("/{long}"), b"long");
    assert_eq!(get(&pool, &format!("/d/../{long}")), b"long");
    let too_long = format!("/{long}n");
    assert_eq!(kind(pool.create_dir(&too_long)), ErrorKind::NameTooLong);
    assert_eq!(kind(pool.rename("/file", &too_long)), ErrorKind::NameTooLong);
    assert_eq!(kind(pool.create_dir("/zero\0byte")), ErrorKind::InvalidInput);
    assert_eq!(kind(pool.create_dir("/file/below")), ErrorKind::NotADirectory);
    assert_eq!(kind(pool.create_dir("/missing/below")), ErrorKind::NotFound);
    assert_eq!(kind(pool.remove_file("/d")), ErrorKind::IsADirectory);
    assert_eq!(kind(pool.remove_dir("/file")), ErrorKind::NotADirectory);
    assert_eq!(kind(pool.rename("/d", "/d/below")), ErrorKind::InvalidInput);
    for root in ["/", "", ".", "/d/.."] {
        assert!(pool.remove_dir(root).is_err(), "{root:?} was removed");
        assert!(pool.remove_file(root).is_err(), "{root:?} was removed");
        assert!(pool.rename(root, "/x").is_err(), "{root:?} was renamed");
    }
    for name in ["", "a/b", ".", "..", "x\0y", &too_long] {
        assert!(pool.create_snapshot::<&str>(name, &[]).is_err(), "a snapshot named {name:?} was taken");
    }
    assert_eq!(kind(pool.delete_snapshot("missing")), ErrorKind::NotFound);
    assert_eq!(kind(pool.create_snapshot("s", &["/missing"])), ErrorKind::NotFound);
    let odd = "/\u{1}\n\\ %\u{fc}";
    put(&pool, odd, b"odd");
    assert_eq!(get(&reopen(pool), odd), b"odd");
}

#[test]
fn offsets_past_the_limit_are_refused_and_change_nothing() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    put(&pool, "/file", b"content");
    let open = file(&pool, "/file");
    let refused = |found: ErrorKind| matches!(found, ErrorKind::TooLarge | ErrorKind::InvalidInput);
    for offset in [u64::MAX, u64::MAX - 4096, 1 << 63] {
        assert!(refused(kind(open.write_at(b"x", offset))), "write at {offset:#x}");
        assert!(refused(kind(open.set_len(offset))), "set_len {offset:#x}");
        assert!(refused(kind(open.allocate(offset, 4096, true))), "allocate at {offset:#x}");
        assert!(refused(kind(open.allocate(4096, offset, true))), "allocate {offset:#x} bytes");
        assert!(refused(kind(open.clone_range(&open, 0, offset & !4095, 4096))), "clone to {offset:#x}");
        let mut byte = [0];
        assert!(open.read_at(&mut byte, offset).map_or_else(|error| refused(error.kind()), |read| read == 0));
    }
    let mut batch = open.batch().expect("batch");
    assert!(refused(kind(batch.write_at(b"x", u64::MAX))));
    drop(batch);
    open.write_at(b"far", (16 << 40) - 3).expect("16 TiB fit");
    open.set_len(7).expect("truncate");
    assert_eq!(get(&pool, "/file"), b"content");
    assert_clean(&pool);
}

#[test]
fn a_file_opened_for_reading_cannot_be_written() {
    let place = Place::new();
    let pool = new_pool(&place, 16);
    put(&pool, "/file", b"content");
    snapshot(&pool, "s");
    for path in ["/file", "/.snapshots/s/file"] {
        let open = readable(&pool, path);
        for result in
            [open.write_at(b"x", 0), open.set_len(0), open.punch_hole(0, 4096), open.batch().map(drop)]
        {
            assert!(result.is_err(), "{path} was changed through a handle for reading");
        }
    }
    let writable = daxcow::FileOptions::new().write(true);
    assert_eq!(kind(pool.open_file("/.snapshots/s/file", &writable)), ErrorKind::ReadOnly);
    assert_eq!(kind(pool.remove_file("/.snapshots/s/file")), ErrorKind::ReadOnly);
    assert_eq!(get(&pool, "/.snapshots/s/file"), b"content");
}

/// Opens `count` damaged copies of an image in other processes.
fn flip(place: &Place, image: &Path, what: &str) {
    let seed = seed_from_env(0xf11b);
    let count = number_from_env("DAXCOW_FLIPS", 300);
    let (pool, image) = (place.path().join("damaged.pool"), image.to_string_lossy());
    let mut out = std::io::stderr();
    writeln!(out, "{count} damaged copies of {what}, seed {seed:#x}").expect("stderr");
    let (pool, seed_text, count_text) = (pool.to_string_lossy(), seed.to_string(), count.to_string());
    let probe = Running::start(worker(), &["damaged", &pool, &image, &seed_text, "0", &count_text]);
    let mut last = String::from("nothing");
    for _ in 0..2 * count {
        let line = probe.line(PATIENCE).unwrap_or_else(|silence| {
            panic!("the process {silence:?} after: {last} (seed {seed:#x}, DAXCOW_SEED replays it)")
        });
        assert!(!line.starts_with("lie"), "{last}: {line} (seed {seed:#x}, DAXCOW_SEED replays it)");
        last = line;
    }
}

#[test]
fn flipped_bits_of_a_closed_pool_give_errors_or_right_data() {
    let place = Place::new();
    damage::make_image(&place.pool()).expect("image").close().expect("close");
    flip(&place, &place.pool(), "a closed pool");
}

#[test]
fn flipped_bits_of_a_pool_left_open_give_errors_or_right_data() {
    let place = Place::new();
    let pool = damage::make_image(&place.pool()).expect("image");
    let image = place.path().join("image");
    fs::copy(place.pool(), &image).expect("copy");
    pool.close().expect("close");
    flip(&place, &image, "a pool left open");
}
