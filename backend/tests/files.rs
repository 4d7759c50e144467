//! The public API, end to end, one promise a test.

#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use daxcow::{CreateOptions, ErrorKind, File, FileOptions, OpenOptions, Pool, RollbackOptions};
use tempfile::TempDir;

fn pool() -> (TempDir, Pool) {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let pool = Pool::create(dir.path().join("t.pool"), &CreateOptions::new().size(64 << 20)).unwrap();
    (dir, pool)
}

fn rw() -> FileOptions {
    FileOptions::new().read(true).write(true).create(true)
}

fn all(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn what_is_written_is_read_also_after_reopening() {
    let (dir, pool) = pool();
    let file = pool.open_file("a", &rw()).unwrap();
    let text: Vec<u8> = (0..3_000_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    file.write_at(&text, 5000).unwrap();
    drop(file);
    pool.close().unwrap();
    let pool = Pool::open(dir.path().join("t.pool"), &OpenOptions::new()).unwrap();
    let file = pool.open_file("a", &rw()).unwrap();
    let read = all(&file);
    assert!(read[..5000].iter().all(|&byte| byte == 0));
    assert!(read[5000..] == text[..]);
}

#[test]
fn a_snapshot_keeps_what_was_and_a_rollback_brings_it_back() {
    let (_dir, pool) = pool();
    pool.create_dir_all("db/x").unwrap();
    let file = pool.open_file("db/x/a", &rw()).unwrap();
    file.write_at(&[1; 100_000], 0).unwrap();
    pool.create_snapshot("s", &["/db"]).unwrap();
    file.write_at(&[2; 50_000], 30_000).unwrap();
    let kept = pool.open_file(".snapshots/s/db/x/a", &FileOptions::new().read(true)).unwrap();
    assert!(all(&kept).iter().all(|&byte| byte == 1));
    assert_eq!(kept.write_at(b"x", 0).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(pool.rollback("s", RollbackOptions::default()).unwrap_err().kind(), ErrorKind::Busy);
    drop(file);
    pool.rollback("s", RollbackOptions::default()).unwrap();
    let file = pool.open_file("db/x/a", &rw()).unwrap();
    assert!(all(&file).iter().all(|&byte| byte == 1));
    drop((file, kept));
    pool.delete_snapshot("s").unwrap();
    assert!(pool.check().unwrap().is_clean());
}

#[test]
fn a_rollback_of_the_whole_pool_keeps_the_snapshots() {
    let (_dir, pool) = pool();
    pool.open_file("a", &rw()).unwrap().write_at(b"one", 0).unwrap();
    pool.create_snapshot::<&str>("s", &[]).unwrap();
    pool.open_file("a", &rw()).unwrap().write_at(b"two", 0).unwrap();
    pool.open_file("b", &rw()).unwrap();
    pool.rollback("s", RollbackOptions::default()).unwrap();
    assert_eq!(all(&pool.open_file("a", &rw()).unwrap()), b"one");
    assert!(!pool.exists("b").unwrap());
    assert_eq!(pool.snapshots().unwrap().len(), 1);
    assert!(pool.exists(".snapshots/s/a").unwrap());
}

#[test]
fn a_batch_is_seen_by_nobody_before_its_commit() {
    let (_dir, pool) = pool();
    let file = pool.open_file("a", &rw()).unwrap();
    file.write_at(&vec![1; 3 << 20], 0).unwrap();
    let mut batch = file.batch().unwrap();
    for page in (0..700).rev() {
        batch.write_at(&[2; 4096], page * 4096).unwrap();
    }
    batch.write_at(&[3; 100], 5 << 20).unwrap();
    assert_eq!(file.write_at(b"x", 0).unwrap_err().kind(), ErrorKind::Busy);
    assert!(all(&file) == vec![1; 3 << 20]);
    let mut own = vec![0; 4096];
    batch.read_at(&mut own, 0).unwrap();
    assert_eq!(own, [2; 4096]);
    batch.commit().unwrap();
    let mut expected = vec![1; 3 << 20];
    expected[..700 * 4096].fill(2);
    expected.resize(5 << 20, 0);
    expected.extend([3; 100]);
    assert!(all(&file) == expected);
    batch.set_len(10).unwrap();
    batch.write_at(&[4; 10], 20).unwrap();
    drop(batch);
    assert!(all(&file) == expected);
    let mut batch = file.batch().unwrap();
    batch.set_len(10).unwrap();
    batch.write_at(&[4; 10], 20).unwrap();
    batch.commit().unwrap();
    assert_eq!(all(&file), [[2; 10], [0; 10], [4; 10]].concat());
    drop((batch, file));
    pool.remove_file("a").unwrap();
    assert!(pool.check().unwrap().is_clean());
}

#[test]
fn space_comes_back_when_the_last_sharer_goes() {
    let (_dir, pool) = pool();
    pool.open_file("z", &rw()).unwrap();
    pool.remove_file("z").unwrap();
    pool.create_snapshot::<&str>("warm", &[]).unwrap();
    pool.delete_snapshot("warm").unwrap();
    let before = pool.usage().unwrap().free_bytes;
    let file = pool.open_file("a", &rw()).unwrap();
    file.write_at(&vec![7; 5 << 20], 0).unwrap();
    pool.create_snapshot("s", &["/a"]).unwrap();
    pool.clone_tree("a", "b").unwrap();
    file.write_at(&[8; 4096], 1 << 20).unwrap();
    assert!(before - pool.usage().unwrap().free_bytes < 6 << 20);
    drop(file);
    pool.remove_file("a").unwrap();
    pool.delete_snapshot("s").unwrap();
    pool.remove_file("b").unwrap();
    assert_eq!(pool.usage().unwrap().free_bytes, before);
}

#[test]
fn a_view_stays_as_it_was() {
    let (_dir, pool) = pool();
    let file = pool.open_file("a", &rw()).unwrap();
    file.write_at(&[1; 8192], 0).unwrap();
    let view = file.view(4096, 4096).unwrap().unwrap();
    file.write_at(&[2; 8192], 0).unwrap();
    file.set_len(0).unwrap();
    pool.open_file("b", &rw()).unwrap().write_at(&vec![3; 1 << 20], 0).unwrap();
    assert_eq!(view.len(), 4096);
    // SAFETY: a view's bytes stay valid and unchanged while it lives.
    #[expect(unsafe_code, reason = "reads through the pointer that a view is")]
    let bytes = unsafe { std::slice::from_raw_parts(view.as_ptr(), view.len()) };
    assert_eq!(bytes, [1; 4096]);
}

#[test]
fn a_settled_read_is_a_read_whatever_happened_since_the_first() {
    type Change = fn(&Pool, &File);
    let changes: [(&str, Change); 9] = [
        ("nothing", |_, _| {}),
        ("overwritten", |_, file| file.write_at(&[9; 10], 5000).unwrap()),
        ("stored to", |_, file| file.map_mut(0, 8192).unwrap().write_at(&[8; 10], 5000).unwrap()),
        ("appended to", |_, file| assert_eq!(file.append(&[7; 5000]).unwrap(), 20_000)),
        ("shorter", |_, file| file.set_len(6000).unwrap()),
        ("shorter, and long again", |_, file| {
            file.set_len(6000).unwrap();
            file.set_len(30_000).unwrap();
        }),
        ("with a hole", |_, file| file.punch_hole(4096, 4096).unwrap()),
        ("changed by a batch", |_, file| {
            let mut batch = file.batch().unwrap();
            batch.write_at(&[6; 10_000], 3000).unwrap();
            batch.commit().unwrap();
        }),
        ("removed, and its space used", |pool, _| {
            pool.remove_file("a").unwrap();
            let other = pool.open_file("b", &rw()).unwrap();
            while other.append(&[5; 1 << 20]).is_ok() {}
        }),
    ];
    for (what, change) in changes {
        let (_dir, pool) = pool();
        let file = pool.open_file("a", &rw()).unwrap();
        let text: Vec<u8> = (0..20_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        file.write_at(&text, 0).unwrap();
        let reader = pool.open_file("a", &FileOptions::new().read(true)).unwrap();
        let mut read = vec![0; 40_000];
        assert_eq!(reader.read_settled_at(&mut read[..20_000], 0).unwrap(), 20_000);
        assert!(read[..20_000] == text, "{what}");
        change(&pool, &file);
        for (offset, len) in
            [(0, 40_000), (0, 10), (4096, 4096), (4990, 100), (19_990, 10), (19_990, 11), (40_000, 1)]
        {
            let mut expected = vec![1; len];
            let (count, expected_count) = (
                reader.read_settled_at(&mut read[..len], offset).unwrap(),
                file.read_at(&mut expected, offset).unwrap(),
            );
            assert_eq!(count, expected_count, "{what}: {len} bytes at {offset}");
            assert!(read[..count] == expected[..count], "{what}: {len} bytes at {offset}");
        }
        drop((file, reader));
        assert!(pool.check().unwrap().is_clean(), "{what}");
    }
}

#[test]
fn ranges_are_cloned_as_the_kernel_clones_them() {
    let (_dir, pool) = pool();
    let source = pool.open_file("a", &rw()).unwrap();
    source.write_at(&vec![1; 3 << 20], 0).unwrap();
    let target = pool.open_file("b", &rw()).unwrap();
    target.clone_range(&source, 4096, 8192, 2 << 20).unwrap();
    assert_eq!(target.len().unwrap(), 8192 + (2 << 20));
    assert!(target.extents().unwrap().iter().all(|extent| extent.shared));
    source.write_at(&vec![2; 3 << 20], 0).unwrap();
    let read = all(&target);
    assert!(read[..8192].iter().all(|&byte| byte == 0) && read[8192..].iter().all(|&byte| byte == 1));
    let overlapping = source.clone_range(&source, 0, 4096, 8192).unwrap_err();
    assert_eq!(overlapping.kind(), ErrorKind::InvalidInput);
    source.clone_range(&source, 0, 1 << 20, 1 << 20).unwrap();
}

#[test]
fn a_rollback_brings_every_path_of_the_snapshot_back_and_makes_old_handles_stale() {
    let (_dir, pool) = pool();
    let names: Vec<String> = (0..20).map(|n| format!("f{n}")).collect();
    for name in &names {
        pool.open_file(name, &rw()).unwrap().write_at(b"one", 0).unwrap();
    }
    pool.create_snapshot("s", &names).unwrap();
    let open = pool.open_file("f3", &rw()).unwrap();
    open.write_at(b"two", 0).unwrap();
    pool.remove_file("f4").unwrap();
    pool.rollback("s", RollbackOptions { force: true }).unwrap();
    assert!(open.is_stale().unwrap());
    assert_eq!(open.write_at(b"three", 0).unwrap_err().kind(), ErrorKind::Stale);
    assert_eq!(all(&open), b"two");
    for name in &names {
        assert_eq!(all(&pool.open_file(name, &rw()).unwrap()), b"one");
    }
    assert!(pool.check().unwrap().is_clean());
}

#[test]
fn what_is_written_piece_by_piece_lies_together() {
    let (_dir, pool) = pool();
    for (name, piece, most) in [("large", 1 << 20, 4), ("small", 64 << 10, 12)] {
        let file = pool.open_file(name, &rw()).unwrap();
        for offset in (0..16 << 20).step_by(piece) {
            file.write_at(&vec![7; piece], u64::try_from(offset).unwrap()).unwrap();
        }
        let extents = file.extents().unwrap().len();
        assert!(extents <= most, "{name} pieces: {extents} extents of a file of 16 MiB");
    }
}

#[test]
fn a_rollback_that_is_refused_changes_no_name() {
    let (_dir, pool) = pool();
    pool.create_dir_all("way/to").unwrap();
    pool.open_file("way/to/a", &rw()).unwrap();
    pool.open_file("b", &rw()).unwrap();
    pool.create_snapshot("s", &["/way/to/a", "/b"]).unwrap();
    pool.remove_dir_all("way").unwrap();
    let open = pool.open_file("b", &rw()).unwrap();
    assert_eq!(pool.rollback("s", RollbackOptions::default()).unwrap_err().kind(), ErrorKind::Busy);
    assert!(!pool.exists("way").unwrap());
    drop(open);
    pool.rollback("s", RollbackOptions::default()).unwrap();
    assert!(pool.exists("way/to/a").unwrap());
    assert!(pool.check().unwrap().is_clean());
}

#[test]
fn files_without_names_get_them_all_at_once_or_not_at_all() {
    let (_dir, pool) = pool();
    pool.create_dir("d").unwrap();
    let files: Vec<File> = (0..20).map(|_| pool.open_unnamed().unwrap()).collect();
    files.iter().for_each(|file| file.write_at(&[7; 5000], 0).unwrap());
    let name = |number: usize| {
        format!("{}{}", if number.is_multiple_of(2) { "d/" } else { "" }, "n".repeat(1 + 12 * number))
    };
    let named: Vec<_> = files.iter().enumerate().map(|(number, file)| (file, name(number))).collect();
    pool.open_file(name(19), &rw()).unwrap();
    assert_eq!(pool.link(&named).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let twice = [(&files[0], "twice"), (&files[1], "twice")];
    assert_eq!(pool.link(&twice).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!((0..19).all(|number| !pool.exists(name(number)).unwrap()) && !pool.exists("twice").unwrap());
    pool.remove_file(name(19)).unwrap();
    pool.link(&named).unwrap();
    pool.link(&[(&files[0], "d/one more"), (&files[0], "another")]).unwrap();
    assert_eq!(pool.metadata("another").unwrap().links, 3);
    drop(named);
    drop(files);
    for number in 0..20 {
        assert_eq!(all(&pool.open_file(name(number), &rw()).unwrap()), [7; 5000]);
    }
    let (_other_dir, other) = self::pool();
    let foreign = other.open_unnamed().unwrap();
    assert_eq!(pool.link(&[(&foreign, "foreign")]).unwrap_err().kind(), ErrorKind::InvalidInput);
    pool.create_snapshot("s", &["another"]).unwrap();
    let kept = pool.open_file(".snapshots/s/another", &FileOptions::new().read(true)).unwrap();
    assert_eq!(pool.link(&[(&kept, "kept")]).unwrap_err().kind(), ErrorKind::ReadOnly);
    let report = pool.check().unwrap();
    assert!(report.is_clean() && report.leaked_blocks == 0, "{report:?}");
}
