//! Reading snapshots without writing to the pool.

use std::fs;

use super::*;
use crate::{FileOptions, Pool};

const SNAPSHOT_PATH: &str = "/.snapshots/s/file";

fn pool_with_snapshot(path: &Path) -> Pool {
    let pool = Pool::create(path, &options(32)).unwrap();
    let file = pool.open_file("file", &FileOptions::new().write(true).create(true)).unwrap();
    file.write_at(&[1; 9000], 0).unwrap();
    pool.create_snapshot("s", &["/"]).unwrap();
    file.write_at(&[2; 9000], 0).unwrap();
    file.sync().unwrap();
    drop(file);
    pool
}

fn view_of(path: &Path) -> Pool {
    Pool::open(path, &OpenOptions::new().read_only(true)).unwrap()
}

fn read_snapshot(view: &Pool) -> Vec<u8> {
    let file = view.open_file(SNAPSHOT_PATH, &FileOptions::new().read(true)).unwrap();
    let mut bytes = vec![0; 10_000];
    let read = file.read_at(&mut bytes, 0).unwrap();
    bytes.truncate(read);
    bytes
}

#[test]
fn a_view_reads_snapshots_and_changes_no_byte_of_the_pool() {
    for directory in directories() {
        let path = pool_in(&directory);
        let pool = pool_with_snapshot(&path);
        assert_eq!(read_snapshot(&view_of(&path)), [1; 9000], "while a member lives");
        let crashed = directory.path().join("crashed.pool");
        fs::copy(&path, &crashed).unwrap();
        pool.close().unwrap();
        for path in [path, crashed] {
            let before = fs::read(&path).unwrap();
            let view = view_of(&path);
            assert_eq!(read_snapshot(&view), [1; 9000]);
            let kind = |result: Result<()>| result.unwrap_err().kind();
            let live = view.open_file("file", &FileOptions::new().read(true)).map(drop);
            assert_eq!(kind(live), ErrorKind::ReadOnly);
            assert_eq!(kind(view.create_dir("new")), ErrorKind::ReadOnly);
            assert_eq!(kind(view.delete_snapshot("s")), ErrorKind::ReadOnly);
            assert_eq!(kind(view.grow(64 * MIB)), ErrorKind::ReadOnly);
            assert!(view.check().unwrap().is_clean());
            assert!(view.info().unwrap().members.is_empty());
            view.close().unwrap();
            assert!(fs::read(&path).unwrap() == before);
        }
    }
}

#[test]
fn a_snapshot_that_is_deleted_under_a_view_turns_stale() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = pool_in(&directory);
    let pool = pool_with_snapshot(&path);
    let view = view_of(&path);
    let file = view.open_file(SNAPSHOT_PATH, &FileOptions::new().read(true)).unwrap();
    let mut bytes = [0; 100];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 100);
    pool.delete_snapshot("s").unwrap();
    let filler = pool.open_file("filler", &FileOptions::new().write(true).create(true)).unwrap();
    filler.write_at(&vec![3; 16 << 20], 0).unwrap();
    assert_eq!(file.read_at(&mut bytes, 0).unwrap_err().kind(), ErrorKind::Stale);
}

#[test]
fn without_write_permission_a_pool_opens_as_a_view() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NAME: &str = "view::without_write_permission_a_pool_opens_as_a_view";
    if let Some(path) = role() {
        return ready(&format!("{}", read_snapshot(&Pool::open(path, &OpenOptions::new()).unwrap()).len()));
    }
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = pool_in(&directory);
    drop(pool_with_snapshot(&path));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let before = fs::read(&path).unwrap();
    // The superuser may write whatever the bits say: the child is somebody else.
    // It may not be able to reach this program where it lies.
    let program = directory.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(program);
    if fs::File::options().write(true).open(&path).is_ok() {
        command.uid(65_534);
    }
    let mut child = Again::spawn(&mut command, NAME, &path);
    assert_eq!(child.wait_until_ready(), "9000");
    child.finish();
    assert!(fs::read(&path).unwrap() == before);
}
