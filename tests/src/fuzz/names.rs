//! Names as SQLite and RocksDB give them to their adapters: where they lead, what SQLite derives from them, and what opening,
//! asking and removing does to the pool, told by the path that both adapters say it is.
//!
//! SQLite parses URIs itself: an adapter gets the path in it, of any bytes but NUL, and asks for parameters by name. RocksDB's
//! FileSystem asks [`daxcow::Place::find`]; its C++ side hands paths on as they are.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use arbitrary::{Arbitrary, Unstructured};
use daxcow::{ErrorKind, Place as InPool, Pool};
use daxcow_sqlite::probe::{self, Purpose};

use super::Bench;
use super::paths::{Piece, as_path, joined, small_pool};

/// Result codes of SQLite, without what extends them.
const IOERR: i32 = 10;
const CANTOPEN: i32 = 14;
const IOERR_DELETE_NOENT: i32 = IOERR | 23 << 8;
const IOERR_CORRUPTFS: i32 = IOERR | 33 << 8;

/// How a name begins.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    Pool,
    /// By a link to the pool, or to the directory it lies in.
    Link,
    DirectoryLink,
    /// A file that is no pool, and the directory with the pool.
    Other,
    Beside,
    /// Nowhere, as a URI's path may.
    Relative,
}

/// What SQLite puts behind the name of a database, and what only looks like that.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
enum Suffix {
    None,
    Journal,
    Wal,
    SuperJournal(u32),
    Private,
}

#[derive(Arbitrary, Clone, PartialEq, Eq, Debug)]
struct Input {
    start: Start,
    pieces: Vec<Piece>,
    suffix: Suffix,
    /// Twice what SQLite puts there: a database of that name.
    again: Suffix,
    opened: u8,
}

impl Suffix {
    fn bytes(self) -> Vec<u8> {
        match self {
            Suffix::None => Vec::new(),
            Suffix::Journal => b"-journal".to_vec(),
            Suffix::Wal => b"-wal".to_vec(),
            Suffix::SuperJournal(number) => format!("-mj{number:08X}9").into_bytes(),
            Suffix::Private => b"/.daxcow-1-2-3".to_vec(),
        }
    }
}

fn start(bench: &Bench, start: Start) -> std::io::Result<PathBuf> {
    let directory = bench.place.path();
    let link = |name: &str, to: &Path| {
        let path = directory.join(name);
        match std::os::unix::fs::symlink(to, &path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(path),
        }
    };
    Ok(match start {
        Start::Pool => bench.place.pool(),
        Start::Link => link("link", &bench.place.pool())?,
        Start::DirectoryLink => link("here", directory)?.join("test.pool"),
        Start::Other => {
            std::fs::write(directory.join("plain"), b"no pool")?;
            directory.join("plain")
        }
        Start::Beside => directory.to_owned(),
        Start::Relative => PathBuf::new(),
    })
}

/// Tries one input.
pub(super) fn run(bench: &Bench, input: &[u8]) -> Result<(), String> {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(input)) else { return Ok(()) };
    let begun = start(bench, input.start).map_err(|error| error.to_string())?;
    let mut name = [begun.as_os_str().as_bytes(), &joined(&input.pieces)].concat();
    name.retain(|&byte| byte != 0);
    let pool = small_pool(bench)?;
    let full = judged(probe::full_path(&name), "full path", &name)?;
    let place = both_agree(&name, full.as_deref())?;
    if let (Some(full), Some(place)) = (full, place) {
        let suffix = [input.suffix.bytes(), input.again.bytes()].concat();
        use_name(&pool, &full, &place, &suffix, input.opened)?;
    } else {
        // A name out of a journal, which is asked for without having been made a full one.
        judged(probe::exists(&name), "exists", &name)?;
        judged(probe::delete(&name), "delete", &name)?;
    }
    let report = pool.check().map_err(|error| error.to_string())?;
    if !report.is_clean() || report.leaked_blocks > 0 {
        return Err(format!("after {}: {report:?}", shown(&name)));
    }
    pool.close().map_err(|error| error.to_string())
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// The answer, or nothing for a failure that a name may bring about.
fn judged<T: Default>(answer: Result<T, i32>, what: &str, name: &[u8]) -> Result<T, String> {
    match answer {
        Ok(value) => Ok(value),
        Err(code) if code != IOERR_CORRUPTFS && matches!(code & 0xff, IOERR | CANTOPEN) => Ok(T::default()),
        Err(code) => Err(format!("{what} of {}: code {code}", shown(name))),
    }
}

/// That the two adapters take a name for the same place, and that a full name is a normal one; the place.
fn both_agree(name: &[u8], full: Option<&[u8]>) -> Result<Option<InPool>, String> {
    let place = match InPool::find(as_path(name)) {
        Ok(place) => place,
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Busy) => {
            return Err(format!("{}: {error:?}", shown(name)));
        }
        Err(_) => None,
    };
    let Some(full) = full else {
        return match place {
            Some(place) if place.path != Path::new("/") && probe::full_path(name).is_ok() => {
                Err(format!("{} leads to {}, which SQLite does not see", shown(name), place.path.display()))
            }
            _ => Ok(None),
        };
    };
    let Some(place) = place else { return Err(format!("{} leads nowhere but for SQLite", shown(full))) };
    let is_normal = Path::new(OsStr::from_bytes(full))
        .components()
        .all(|component| matches!(component, Component::RootDir | Component::Normal(_)));
    if !is_normal || place.host_path().as_os_str().as_bytes() != full {
        let path = place.host_path();
        return Err(format!("{} is {} to SQLite, {} to RocksDB", shown(name), shown(full), path.display()));
    }
    match probe::full_path(full) {
        Ok(Some(again)) if again == full => Ok(Some(place)),
        again => Err(format!("{} is a full name, of which the full name is {again:?}", shown(full))),
    }
}

/// Opens a full name, or what SQLite derives from it, looks whether the file is where it has to be, and removes it.
fn use_name(pool: &Pool, full: &[u8], place: &InPool, suffix: &[u8], opened: u8) -> Result<(), String> {
    let name = [full, suffix].concat();
    let path = PathBuf::from(OsStr::from_bytes(&[place.path.as_os_str().as_bytes(), suffix].concat()));
    let purpose = match opened % 4 {
        0 => Purpose::Database,
        1 => Purpose::Wal,
        2 => Purpose::Journal,
        _ => Purpose::SuperJournal,
    };
    let there = |what: &str| {
        let said = judged(probe::exists(&name), "exists", &name)?.unwrap_or(false);
        let is = pool
            .metadata(&path)
            .is_ok_and(|found| found.kind == daxcow::FileKind::Directory || found.len > 0);
        match said == is {
            true => Ok(is),
            false => Err(format!("{what}, SQLite hears {said} of {}, and it is {is}", shown(&name))),
        }
    };
    there("at first")?;
    let was = pool.exists(&path).unwrap_or(false);
    let size = judged(probe::open(&name, purpose), "open", &name)?;
    let made = matches!(purpose, Purpose::Database | Purpose::Wal) && size.is_some();
    let is = pool.exists(&path).unwrap_or(false);
    if is != (was || made) {
        return Err(format!("{purpose:?} {} was opened: {size:?}, and is there: {is}", shown(&name)));
    }
    there("when it was opened")?;
    let deleted = probe::delete(&name);
    let left = pool.exists(&path).unwrap_or(false);
    match deleted {
        Ok(true) if !left => {}
        Err(IOERR_DELETE_NOENT) if !is => {}
        Err(_) if is && left => drop(judged(deleted, "delete", &name)?),
        // No file can have such a name.
        Err(_) if !is && pool.exists(&path).is_err() => {}
        other => return Err(format!("{} was removed: {other:?}, and is there: {is}, {left}", shown(&name))),
    }
    there("when it was removed").map(drop)
}
