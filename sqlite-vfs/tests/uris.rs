//! Whatever URI opens a database in a pool, the answers are those of the unix VFS on a directory that holds the same files.
//!
//! `DAXCOW_SEED` replays a run, `DAXCOW_URIS` says how many URIs it tries.

mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::{Fixture, check, number, run};
use daxcow::FileKind;
use daxcow_tests::rng::{Rng, number_from_env, seed_from_env};
use rusqlite::{Connection, OpenFlags, ffi};

/// URIs tried on one pool and its mirror.
const URIS_EACH: u64 = 40;

const STARTS: &[&str] = &["file:", "file://", "file://localhost", "file://elsewhere", "FILE:", "file:/", ""];
const PIECES: &[&str] = &[
    "/main.db",
    "/main.db",
    "/new.db",
    "/d",
    "/d/inner.db",
    "/absent/inner.db",
    "/d/../main.db",
    "/./main.db",
    "//main.db",
    "/main%2edb",
    "/%6dain.db",
    "/plain.txt",
    "/main.db/below",
    "/%",
    "/%z",
    "/x%4",
    "/x%00y",
    "/%ff%fe",
    "/ \t",
    "/ü",
    "/main.db-journal",
    "",
    "/",
];
const PARAMETERS: &[&str] = &[
    "mode=ro",
    "mode=rw",
    "mode=rwc",
    "mode=memory",
    "mode=none",
    "mode=",
    "mode",
    "mode=rw%63",
    "cache=shared",
    "cache=private",
    "cache=odd",
    "psow=0",
    "psow=1",
    "psow=maybe",
    "psow",
    "nolock=1",
    "nolock=0",
    "immutable=1",
    "immutable=0",
    "vfs=absent",
    "vfs=",
    "=",
    "=ro",
    "%00=1",
    "mode%00=ro",
    "a=b=c",
    "unknown=%ff",
];

/// A URI but for the directory it leads into.
#[derive(Debug)]
struct Uri {
    start: &'static str,
    rest: Vec<u8>,
}

impl Uri {
    /// Whether it leads to the directory itself.
    fn is_of_the_directory(&self) -> bool {
        let is_end = |byte: &u8| !self.start.is_empty() && b"?#".contains(byte);
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        self.rest[..end].iter().all(|&byte| byte == b'/')
    }
}

fn uri(rng: &mut Rng) -> Uri {
    let mut rest = rng.pick(PIECES).as_bytes().to_vec();
    if rng.one_in(12) {
        rest.extend([vec![b'/'], vec![b'l'; *rng.pick(&[200, 247, 256, 270])]].concat());
    }
    for index in 0..rng.below(4) {
        rest.push(if index == 0 { b'?' } else { *rng.pick(b"&&&?#;") });
        rest.extend(rng.pick(PARAMETERS).as_bytes());
    }
    for _ in 0..if rng.one_in(4) { rng.below(4) } else { 0 } {
        let place = rng.index(rest.len() + 1);
        // Anything but the end of a C string, and what would lead elsewhere than the unix VFS is led.
        let byte = 1 + u8::try_from(rng.below(255)).expect("a byte");
        if !b"/.%".contains(&byte) {
            rest.insert(place, byte);
        }
    }
    let start = if rng.one_in(3) { *rng.pick(STARTS) } else { "file:" };
    Uri { start, rest }
}

/// What came of a URI: the code of opening, of writing and of reading, and what was read.
type Answer = [Result<i64, i32>; 3];

fn primary<T>(result: rusqlite::Result<T>, value: impl FnOnce(T) -> i64) -> Result<i64, i32> {
    result.map(value).map_err(|error| error.sqlite_error().map_or(-1, |error| error.extended_code & 0xff))
}

fn ask(uri: &Uri, directory: &Path, vfs: &std::ffi::CStr) -> Answer {
    let whole = [uri.start.as_bytes(), directory.as_os_str().as_bytes(), &uri.rest].concat();
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
    let opened = Connection::open_with_flags_and_vfs(Path::new(OsStr::from_bytes(&whole)), flags, vfs);
    let connection = match opened {
        Ok(connection) => connection,
        // Of a directory that is said to be immutable the unix VFS finds out when it reads.
        failed => {
            let code = primary(failed, |_| 0);
            return [
                code.map_err(|code| if code == ffi::SQLITE_IOERR { ffi::SQLITE_CANTOPEN } else { code }),
                Ok(0),
                Ok(0),
            ];
        }
    };
    let wrote = connection.execute_batch("CREATE TABLE IF NOT EXISTS t(a); INSERT INTO t VALUES(7)");
    let read = connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0));
    [Ok(0), primary(wrote, |()| 0), primary(read, |rows| rows)]
}

/// The files below a directory by their paths, each with its size.
type Tree = BTreeMap<Vec<u8>, u64>;

fn of_host(directory: &Path, into: &Path, tree: &mut Tree) {
    for entry in std::fs::read_dir(directory).expect("the mirror is read") {
        let entry = entry.expect("an entry");
        let (path, data) = (into.join(entry.file_name()), entry.metadata().expect("its metadata"));
        let size = if data.is_dir() { 0 } else { data.len() };
        tree.insert(path.as_os_str().as_bytes().to_vec(), size);
        if data.is_dir() {
            of_host(&entry.path(), &path, tree);
        }
    }
}

fn of_pool(fixture: &Fixture, directory: &Path, tree: &mut Tree) {
    for entry in fixture.pool.read_dir(directory).expect("the pool is read") {
        let path = directory.join(&entry.name);
        if path == Path::new("/.snapshots") {
            continue;
        }
        let data = fixture.pool.metadata(&path).expect("its metadata");
        let directory = data.kind == FileKind::Directory;
        tree.insert(path.as_os_str().as_bytes().to_vec(), if directory { 0 } else { data.len });
        if directory {
            of_pool(fixture, &path, tree);
        }
    }
}

/// The same files in the pool and in a directory beside it.
fn prepare(fixture: &Fixture, mirror: &Path) {
    std::fs::create_dir_all(mirror.join("d")).expect("the mirror is made");
    std::fs::write(mirror.join("plain.txt"), "text, and no database").expect("a plain file");
    fixture.pool.create_dir("/d").expect("a directory");
    daxcow_tests::fixture::put(&fixture.pool, "/plain.txt", b"text, and no database");
    for directory in [mirror.to_owned(), fixture.path("")] {
        for name in ["main.db", "d/inner.db"] {
            let connection = Connection::open(directory.join(name)).expect("the database opens");
            run(&connection, "CREATE TABLE t(a); INSERT INTO t VALUES(1),(2);");
        }
    }
}

#[test]
fn any_uri_is_answered_as_by_the_unix_vfs() {
    let (seed, count) = (seed_from_env(0x0a1), number_from_env("DAXCOW_URIS", 600));
    println!("replay: DAXCOW_SEED={seed:#x} DAXCOW_URIS={count} cargo test -p daxcow-sqlite --test uris");
    let mut rng = Rng::new(seed);
    let (mut opened, mut refused, mut read_only) = (0, 0, 0);
    for round in 0..count.div_ceil(URIS_EACH) {
        let fixture = Fixture::with_size(32 << 20);
        // As long as the pool's path, so that names are as long as they may be at the same places.
        let mirror = fixture.host("mirr.pool");
        prepare(&fixture, &mirror);
        for _ in 0..URIS_EACH {
            let uri = uri(&mut rng);
            let ours = ask(&uri, &fixture.path(""), c"daxcow");
            let theirs = ask(&uri, &mirror.join(""), c"unix");
            let shown = String::from_utf8_lossy(&uri.rest).into_owned();
            // A pool is a file for those who ask for it itself, and not one that SQLite reads.
            let failed = |answer: &Answer| answer.iter().any(Result::is_err);
            if uri.is_of_the_directory() && failed(&ours) && failed(&theirs) {
                continue;
            }
            assert_eq!(ours, theirs, "round {round}: {uri:?}, {shown:?}: in the pool, and in a directory");
            opened += u64::from(ours[0].is_ok());
            refused += u64::from(ours[0].is_err());
            read_only += u64::from(ours[1] == Err(ffi::SQLITE_READONLY));
        }
        let (mut found, mut expected) = (Tree::new(), Tree::new());
        of_pool(&fixture, Path::new("/"), &mut found);
        of_host(&mirror, Path::new("/"), &mut expected);
        assert_eq!(found, expected, "round {round}: what lies in the pool, and in the directory");
        let connection = fixture.connect("main.db");
        check(&connection);
        assert!(number(&connection, "SELECT count(*) FROM t") >= 2);
        drop(connection);
        let report = fixture.pool.check().expect("the pool is checked");
        assert!(report.is_clean() && report.leaked_blocks == 0, "round {round}: {report:?}");
    }
    assert!(
        opened > count / 4 && refused > count / 10 && read_only > count / 100,
        "{opened} {refused} {read_only}"
    );
}
