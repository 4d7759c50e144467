//! Paths of pools and in pools: splitting a host path where it enters a pool, and every call that takes a path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use arbitrary::{Arbitrary, Unstructured};
use daxcow::{ErrorKind, FileOptions, Pool, split_pool_path};

use super::Bench;
use crate::fixture::{file, new_pool};

/// What a path is put together from: separators, names that mean something, and any bytes.
#[derive(Arbitrary, Clone, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    Slash,
    Dot,
    DotDot,
    Pool,
    Directory,
    File,
    Snapshots,
    Snapshot,
    Long(u8),
    Bytes(Vec<u8>),
}

/// An input, read.
#[derive(Arbitrary, Clone, PartialEq, Eq, Debug)]
struct Input {
    /// The path begins with that of the pool.
    in_pool: bool,
    first: Vec<Piece>,
    second: Vec<Piece>,
    call: u8,
}

pub(super) fn joined(pieces: &[Piece]) -> Vec<u8> {
    let mut path = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Slash => path.push(b'/'),
            Piece::Dot => path.push(b'.'),
            Piece::DotDot => path.extend(b"/.."),
            Piece::Pool => path.extend(b"/test.pool"),
            Piece::Directory => path.extend(b"/d"),
            Piece::File => path.extend(b"/f"),
            Piece::Snapshots => path.extend(b"/.snapshots"),
            Piece::Snapshot => path.extend(b"/s"),
            Piece::Long(length) => path.extend(std::iter::repeat_n(b'l', 200 + usize::from(*length))),
            Piece::Bytes(bytes) => path.extend(bytes),
        }
    }
    path
}

pub(super) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// A new pool that holds the directory `/d`, the file `/f` and the snapshot `s`, in the place of the last one.
pub(super) fn small_pool(bench: &Bench) -> Result<Pool, String> {
    let path = bench.place.pool();
    if path.exists() {
        std::fs::remove_file(&path).map_err(|error| error.to_string())?;
    }
    let pool = new_pool(&bench.place, 16);
    pool.create_dir("/d").map_err(|error| error.to_string())?;
    drop(file(&pool, "/f"));
    pool.create_snapshot::<&str>("s", &[]).map_err(|error| error.to_string())?;
    Ok(pool)
}

/// Tries one input.
pub(super) fn run(bench: &Bench, input: &[u8]) -> Result<(), String> {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(input)) else { return Ok(()) };
    let pool = small_pool(bench)?;
    let pool_path = bench.place.pool();
    let (first, second) = (joined(&input.first), joined(&input.second));
    let prefix: &[u8] = if input.in_pool { pool_path.as_os_str().as_bytes() } else { b"" };
    splits_where_the_pool_is([prefix, first.as_slice()].concat().as_slice(), &pool_path)?;
    call(&pool, input.call, as_path(&first), as_path(&second))?;
    let report = pool.check().map_err(|error| error.to_string())?;
    if !report.is_clean() || report.leaked_blocks > 0 {
        return Err(format!("after call {}: {report:?}", input.call));
    }
    pool.close().map_err(|error| error.to_string())
}

/// A path goes through the pool exactly if some leading part of it is the pool, and the rest is the path inside.
fn splits_where_the_pool_is(path: &[u8], pool: &Path) -> Result<(), String> {
    let path = as_path(path);
    let Ok(found) = split_pool_path(path) else { return Ok(()) };
    let Some(found) = found else {
        return match path.starts_with(pool) {
            true => Err(format!("{path:?} goes through the pool, which was not seen")),
            false => Ok(()),
        };
    };
    let same_file =
        std::fs::canonicalize(&found.pool).is_ok_and(|real| Some(real) == pool.canonicalize().ok());
    let rest = path.strip_prefix(&found.pool).map(|rest| Path::new("/").join(rest));
    match same_file && rest.as_ref() == Ok(&found.inner) {
        true => Ok(()),
        false => Err(format!("{path:?} was split into {found:?}")),
    }
}

/// Calls one of what takes a path, and says where an answer cannot be right.
fn call(pool: &Pool, call: u8, path: &Path, other: &Path) -> Result<(), String> {
    let made = FileOptions::new().read(true).write(true).create(true);
    let name = String::from_utf8_lossy(other.as_os_str().as_bytes()).into_owned();
    let answer = match call % 13 {
        0 => pool.open_file(path, &made).map(drop),
        1 => pool.create_dir(path),
        2 => pool.create_dir_all(path),
        3 => pool.rename(path, other),
        4 => pool.hard_link(path, other),
        5 => pool.clone_tree(path, other),
        6 => pool.create_snapshot(&name, &[path]).map(drop),
        7 => pool.delete_snapshot(&name),
        8 => pool.remove_file(path),
        9 => pool.remove_dir(path),
        10 => pool.remove_dir_all(path),
        11 => pool.diff(path, other).map(drop),
        _ => pool.read_dir(path).map(drop),
    };
    let there = pool.exists(path);
    if let Err(error) = &answer
        && matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Busy | ErrorKind::Io | ErrorKind::Stale)
    {
        return Err(format!("call {call} of {path:?} and {other:?}: {error:?}"));
    }
    if call % 13 < 3 && answer.is_ok() && !matches!(there, Ok(true)) {
        return Err(format!("{path:?} was made and is {there:?}"));
    }
    if let (Ok(true), Some(normal)) = (&there, normal(path))
        && !matches!(pool.exists(&normal), Ok(true))
    {
        return Err(format!("{path:?} exists and {normal:?}, which is the same, does not"));
    }
    Ok(())
}

/// The path without `.` and `..`; nothing for one with a NUL.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => _ = normal.pop(),
            _ => {}
        }
    }
    (!path.as_os_str().as_bytes().contains(&0)).then_some(normal)
}
