//! No space, at every reservation of every operation, and for real: an error before anything has changed, and everything works
//! again once there is room.
//!
//! The first part needs the feature `sim`. `DAXCOW_ALL=1` takes every reservation where there are many, in place of a sample.

use std::path::Path;
use std::process::Command;

use daxcow::units::BLOCK_BYTES;
use daxcow::{CreateOptions, ErrorKind, FileOptions, Pool};
use daxcow_tests::fixture::{
    assert_clean, bytes, file, get, kind, new_pool, open_pool, put, reopen, snapshot,
};
use daxcow_tests::place::{Place, SmallTmpfs};

#[cfg(feature = "sim")]
mod refused {
    use daxcow::{CreateOptions, allow_space, refuse_space};
    use daxcow_tests::op::Op;
    use daxcow_tests::place::Place;
    use daxcow_tests::rng::number_from_env;
    use daxcow_tests::sequences::{POOL_BYTES, alphabet, before};
    use daxcow_tests::session::{Session, Setup};

    /// Performs a sequence with its `nth` reservation refused; false if it makes fewer.
    fn refuse(place: &Place, name: &str, ops: &[Op], nth: u64, also_release: bool) -> bool {
        let what = format!("{name}, reservation {nth}{}", if also_release { " of any kind" } else { "" });
        let path = place.pool();
        if path.exists() {
            std::fs::remove_file(&path).expect("the pool of the last run");
        }
        let setup = Setup { pool: path, members: 1, base: String::new(), may_run_out: true };
        let options = CreateOptions::new().size(POOL_BYTES).sparse(true);
        let mut session = Session::create(setup, &options).expect("a new pool");
        let step = |session: &mut Session, op: &Op| {
            session.step(op).unwrap_or_else(|difference| panic!("{what}: {op:?}: {}", difference.0));
        };
        before().iter().for_each(|op| step(&mut session, op));
        let (compare, check) = (Op::Compare { member: 0 }, Op::Check { member: 0 });
        refuse_space(nth, also_release);
        for op in ops {
            let refusals = session.refusals;
            step(&mut session, op);
            if session.refusals == refusals {
                continue;
            }
            assert!(allow_space(), "{what}: {op:?} was refused by itself");
            // What it had before, nothing lost or leaked; and the same once more, with space.
            for op in [&compare, &check, op] {
                step(&mut session, op);
            }
            assert_eq!(session.refusals, refusals + 1, "{what}: {op:?} is refused for good");
        }
        let refused = allow_space();
        for op in [&compare, &Op::PoolSync { member: 0 }, &check, &Op::Reopen, &compare, &check] {
            step(&mut session, op);
        }
        session.empty().unwrap_or_else(|error| panic!("{what}: {error:?}"));
        step(&mut session, &check);
        refused
    }

    /// By default each `stride`-th sequence, with a few of its reservations.
    fn refuse_all(place: &Place, stride: usize) {
        let all = number_from_env("DAXCOW_ALL", 0) > 0;
        let (mut runs, mut sequences) = (0, 0);
        for (name, ops) in alphabet().into_iter().step_by(if all { 1 } else { stride }) {
            for also_release in [false, true] {
                let mut nth = 1;
                while refuse(place, name, &ops, nth, also_release) {
                    runs += 1;
                    nth += if all { 1 } else { 4 };
                }
            }
            sequences += 1;
        }
        println!("{runs} reservations of {sequences} sequences refused");
        assert!(runs > sequences, "only {runs} reservations were refused");
    }

    #[test]
    fn every_reservation_may_be_refused() {
        refuse_all(&Place::new(), 1);
    }

    #[test]
    fn every_reservation_may_be_refused_on_a_page_medium() {
        refuse_all(&Place::on_disk(), 6);
    }
}

/// Appends to `/filler` until nothing fits any more, in pieces down to a byte; whole pieces that were acknowledged.
fn fill(pool: &Pool) -> Vec<u8> {
    let filler = file(pool, "/filler");
    let mut content = Vec::new();
    for (piece, seed) in [(512 << 10, 1), (64 << 10, 2), (BLOCK_BYTES, 3), (1, 4)] {
        let more = bytes(seed, piece);
        loop {
            match filler.append(&more) {
                Ok(_) => content.extend(&more),
                Err(error) => break assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}"),
            }
        }
    }
    content
}

/// Every operation that needs space, on a pool that has none: refused, or done out of what is kept for it.
fn try_everything(pool: &Pool) {
    let kept = file(pool, "/kept");
    let mut batch = file(pool, "/small").batch().expect("a batch");
    let staged = batch.write_at(&bytes(5, 1 << 20), 0).and_then(|()| batch.commit());
    drop(batch);
    let attempts = [
        ("write", kept.write_at(&bytes(9, 1 << 20), 0)),
        ("append", kept.append(&bytes(9, 1 << 20)).map(drop)),
        ("allocate", kept.allocate(0, 8 << 20, false)),
        ("batch", staged),
        ("clone", pool.clone_tree("/many", "/copy")),
    ];
    for (what, attempt) in attempts {
        let refused = attempt.map_err(|error| error.kind());
        assert!(
            refused == Err(ErrorKind::NoSpace) || what == "clone" && refused == Ok(()),
            "{what}: {refused:?}"
        );
    }
    let mut made = 0;
    loop {
        let path = format!("/many/more{made}");
        match pool.open_file(&path, &FileOptions::new().write(true).create(true)) {
            Ok(_) => made += 1,
            Err(error) => break assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}"),
        }
        if made == 2000 {
            break;
        }
    }
}

fn full_and_again(place: &Place, mebibytes: u64) {
    let pool = new_pool(place, mebibytes);
    let kept = bytes(7, 1 << 20);
    put(&pool, "/kept", &kept);
    put(&pool, "/small", b"small");
    pool.create_dir("/many").expect("a directory");
    (0..60).for_each(|index| put(&pool, &format!("/many/{index}"), &bytes(index, 5000)));
    snapshot(&pool, "s");
    let filled = fill(&pool);
    try_everything(&pool);
    let whole = |pool: &Pool| {
        assert!(get(pool, "/kept") == kept && get(pool, "/.snapshots/s/kept") == kept);
        assert!(get(pool, "/filler").starts_with(&filled) && get(pool, "/small") == b"small");
        (0..60).for_each(|index| assert!(get(pool, &format!("/many/{index}")) == bytes(index, 5000)));
        assert_clean(pool);
    };
    whole(&pool);
    // As full as before after a clean close, and after a crash.
    let pool = reopen(pool);
    whole(&pool);
    pool.sync().expect("sync");
    let crashed = place.path().join("crashed.pool");
    std::fs::copy(place.pool(), &crashed).expect("a copy of the open pool");
    let copy = open_pool(&crashed);
    whole(&copy);
    for pool in [copy, pool] {
        // All of it is shared with a snapshot: giving space back needs space first.
        snapshot_if_it_fits(&pool);
        let shared = file(&pool, "/kept");
        shared.set_len(300_000).expect("truncate");
        shared.punch_hole(0, 40 * 4096).expect("punch whole blocks");
        drop(shared);
        pool.remove_dir_all("/many").expect("remove a tree");
        for info in pool.snapshots().expect("list") {
            pool.delete_snapshot(&info.name).expect("delete a snapshot");
        }
        pool.remove_file("/filler").expect("remove");
        pool.sync().expect("sync");
        let again = bytes(8, 3 << 20);
        put(&pool, "/again", &again);
        assert!(get(&pool, "/again") == again);
        assert!(get(&pool, "/kept")[40 * 4096..] == kept[40 * 4096..300_000]);
        assert_clean(&pool);
        pool.close().expect("close");
    }
}

fn snapshot_if_it_fits(pool: &Pool) {
    match pool.create_snapshot::<&str>("t", &[]) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}"),
    }
}

#[test]
fn a_full_pool_refuses_without_a_change_and_works_again_when_there_is_room() {
    for mebibytes in [16, 40] {
        full_and_again(&Place::new(), mebibytes);
    }
}

#[test]
fn a_full_pool_on_a_page_medium_refuses_and_works_again() {
    full_and_again(&Place::on_disk(), 16);
}

/// On a page medium what is replaced comes free with a barrier, and any member can run one.
#[test]
fn what_another_member_has_replaced_is_there_for_whoever_needs_it() {
    let place = Place::on_disk();
    let pool = new_pool(&place, 16);
    let other = open_pool(place.pool());
    put(&pool, "/one", &bytes(1, 2 << 20));
    pool.clone_tree("/one", "/two").expect("clone");
    pool.sync().expect("sync");
    // Both go on with blocks of their own; the old ones wait for a sync that this member does not make.
    for path in ["/one", "/two"] {
        file(&pool, path).write_at(&bytes(2, 1 << 20), 0).expect("write");
        file(&pool, path).set_len(1 << 20).expect("truncate");
    }
    let filler = file(&other, "/filler");
    let mut written = 0;
    while filler.append(&bytes(3, 64 << 10)).is_ok() {
        written += 64 << 10;
    }
    // 6 MiB less one of tables: 2 MiB are used, and little is kept.
    assert!(written > 2 << 20, "only {written} bytes could be written");
    assert!(get(&other, "/one") == bytes(2, 1 << 20));
    assert_clean(&other);
    drop(filler);
    other.close().expect("close");
    pool.close().expect("close");
    assert_clean(&open_pool(place.pool()));
}

/// A sparse pool on a file system that runs full: nothing acknowledged is lost, and space that comes back is used.
fn host_full(directory: &Path, make_room: impl FnOnce()) {
    let path = directory.join("test.pool");
    let pool = Pool::create(&path, &CreateOptions::new().size(64 << 20).sparse(true)).expect("a new pool");
    put(&pool, "/kept", &bytes(1, 1 << 20));
    snapshot(&pool, "s");
    let mut written: Vec<String> = Vec::new();
    let error = loop {
        let path = format!("/{}", written.len());
        let seed = written.len() as u64;
        let made = pool
            .open_file(&path, &FileOptions::new().write(true).create(true))
            .and_then(|file| file.write_at(&bytes(seed, 100_000), 0));
        match made {
            Ok(()) => written.push(path),
            Err(error) => break error,
        }
        assert!(written.len() < 600, "the file system does not run full");
    };
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert!(error.to_string().contains("no space under the sparse pool"), "{error}");
    let whole = |pool: &Pool, written: &[String]| {
        for (seed, path) in (0..).zip(written) {
            assert!(get(pool, path) == bytes(seed, 100_000), "{path}");
        }
        assert!(
            get(pool, "/kept") == bytes(1, 1 << 20) && get(pool, "/.snapshots/s/kept") == bytes(1, 1 << 20)
        );
        assert_eq!(pool.scrub().expect("scrub"), []);
    };
    whole(&pool, &written);
    assert_eq!(kind(file(&pool, "/kept").write_at(&bytes(2, 1 << 20), 0)), ErrorKind::NoSpace);
    // A part of that may be there; the rest is as before.
    let kept = get(&pool, "/kept");
    let prefix = kept.iter().zip(bytes(2, 1 << 20)).take_while(|(found, new)| **found == *new).count();
    assert!(kept[prefix..] == bytes(1, 1 << 20)[prefix..], "{prefix} bytes written");
    let removed = written.pop().expect("a file was written");
    pool.remove_file(&removed).expect("remove");
    pool.delete_snapshot("s").expect("delete");
    file(&pool, "/kept").set_len(0).expect("truncate");
    assert_clean(&pool);
    make_room();
    file(&pool, "/kept").write_at(&bytes(1, 1 << 20), 0).expect("there is room again");
    snapshot(&pool, "s");
    whole(&pool, &written);
    put(&pool, "/more", &bytes(3, 1 << 20));
    assert_clean(&pool);
    let pool = reopen(pool);
    whole(&pool, &written);
    assert!(get(&pool, "/more") == bytes(3, 1 << 20));
    assert_clean(&pool);
}

#[test]
fn a_full_tmpfs_under_a_sparse_pool() {
    let Some(small) = SmallTmpfs::mount(24 << 20) else { return };
    std::fs::write(small.path().join("filler"), vec![1; 8 << 20]).expect("something to remove");
    host_full(small.path(), || small.make_room());
}

#[test]
fn a_full_disk_under_a_sparse_pool() {
    let place = Place::on_disk();
    let (image, target) = (place.path().join("disk"), place.path().join("mounted"));
    std::fs::File::create(&image).and_then(|file| file.set_len(32 << 20)).expect("an image");
    std::fs::create_dir(&target).expect("a directory to mount on");
    let run = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    let (image, mounted) = (image.to_string_lossy(), target.to_string_lossy());
    if !run("mkfs.ext4", &["-q", "-O", "^has_journal", &image])
        || !run("mount", &["-o", "loop", &image, &mounted])
    {
        println!("SKIPPED: no disk image can be made or mounted");
        return;
    }
    std::fs::write(target.join("filler"), vec![1; 8 << 20]).expect("something to remove");
    let tried = std::panic::catch_unwind(|| {
        host_full(&target, || {
            std::fs::remove_file(target.join("filler")).expect("remove");
            assert!(run("sync", &["-f", &mounted]));
        });
    });
    assert!(run("umount", &["-l", &mounted]));
    tried.expect("see above");
}
