//! Opening a file in a pool for SQLite: which kind it is, and for a snapshot, what is needed to read it.

use crate::error::{Failure, OrCode, Outcome, failure};
use crate::ffi::{code, open as flag};
use crate::journal::PrivateJournal;
use crate::known_names;
use crate::main_db::{Content, MainDb};
use crate::plain_file::PlainFile;
use crate::pools::{self, PoolRef};
use crate::private_clone::{self, PrivateClone};
use crate::super_journal_file::SuperJournalFile;
use daxcow::{ErrorKind, File, FileOptions, NAME_MAX};
use std::ffi::c_int;
use std::path::{Path, PathBuf};

/// The arguments of xOpen.
pub(crate) struct OpenRequest<'a> {
    /// The full name.
    pub(crate) name: &'a [u8],
    pub(crate) flags: c_int,
    /// The URI parameter `psow`.
    pub(crate) powersafe: bool,
}

/// A file that was opened.
pub(crate) enum Opened {
    Main(Box<MainDb>),
    Journal(PrivateJournal),
    SuperJournal(SuperJournalFile),
    Plain(PlainFile),
}

/// The results of xOpen.
pub(crate) struct OpenAnswer {
    pub(crate) file: Opened,
    /// The flags as they came true: read-only where no more was to be had.
    pub(crate) flags: c_int,
}

/// Opens `request.name`; `None` if it is in no pool.
pub(crate) fn open(request: &OpenRequest<'_>) -> Outcome<Option<OpenAnswer>> {
    let flags = request.flags;
    let journal = flag::MAIN_JOURNAL | flag::CREATE;
    if flags & journal == journal {
        // SQLite creates a journal only to write one itself; a journal that is to be played back it just opens. This is
        // on the way of every transaction, which has asked before whether there is one; its database has the pool open.
        let pool = match known_names::pool_of(request.name) {
            Some(pool) => Ok(Some(pool)),
            None => pools::with_name(request.name, |pool, _| Ok(PoolRef::clone(pool))),
        };
        return match pool.or_code(code::CANTOPEN)? {
            Some(_) if name_is_too_long(request.name) => Err(code::CANTOPEN.into()),
            Some(pool) => Ok(Some(OpenAnswer { file: Opened::Journal(PrivateJournal::new(pool)), flags })),
            None => Ok(None),
        };
    }
    if let Some(private) = private_clone::open(request.name, flags & flag::CREATE != 0) {
        let (pool, file) = private.map_err(cannot_open)?;
        let file = match flags & flag::MAIN_DB != 0 {
            true => Opened::Main(Box::new(MainDb::new(pool, PathBuf::new(), file, Content::Private, true))),
            false => Opened::Plain(PlainFile::new(pool, file)),
        };
        return Ok(Some(OpenAnswer { file, flags }));
    }
    let Some(place) = pools::resolve(request.name).or_code(code::CANTOPEN)? else { return Ok(None) };
    let pool = pools::open(&place.pool).or_code(code::CANTOPEN)?;
    if flags & flag::SUPER_JOURNAL != 0 && flags & flag::CREATE != 0 {
        let file = SuperJournalFile::new(pool, place.inner);
        return Ok(Some(OpenAnswer { file: Opened::SuperJournal(file), flags }));
    }
    let (file, flags) = open_file(&pool, &place.inner, flags)?;
    let file = if flags & flag::MAIN_DB != 0 {
        Opened::Main(Box::new(open_main(pool, place.inner, file, request.powersafe)?))
    } else if flags & flag::WAL != 0 {
        Opened::Plain(PlainFile::wal(pool, file, &place.inner))
    } else {
        Opened::Plain(PlainFile::new(pool, file))
    };
    Ok(Some(OpenAnswer { file, flags }))
}

/// Whether no file can have the last name of a full name, as where SQLite has added to a long name.
fn name_is_too_long(name: &[u8]) -> bool {
    name.len() > NAME_MAX && !name[name.len() - NAME_MAX - 1..].contains(&b'/')
}

/// Opens the file as the flags ask, or only for reading where writing is not permitted.
fn open_file(pool: &PoolRef, path: &Path, flags: c_int) -> Outcome<(File, c_int)> {
    let write = flags & flag::READWRITE != 0;
    let exclusive = flags & flag::EXCLUSIVE != 0;
    let options = FileOptions::new().read(true).write(write);
    let options = match flags & flag::CREATE != 0 {
        true if exclusive => options.create_new(true),
        true => options.create(true),
        false => options,
    };
    let (file, flags) = match pool.pool.open_file(path, &options) {
        Ok(file) => (file, flags),
        Err(error)
            if write
                && !exclusive
                && matches!(error.kind(), ErrorKind::ReadOnly | ErrorKind::PermissionDenied) =>
        {
            let file = pool.pool.open_file(path, &FileOptions::new().read(true)).map_err(cannot_open)?;
            (file, flags & !(flag::READWRITE | flag::CREATE) | flag::READONLY)
        }
        Err(error) => return Err(cannot_open(error)),
    };
    if flags & flag::DELETEONCLOSE != 0 {
        pool.pool.remove_file(path).or_code(code::CANTOPEN)?;
    }
    Ok((file, flags))
}

/// The code for a file that does not open; that one is not there is no news for the error log.
fn cannot_open(error: daxcow::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            Failure { code: code::CANTOPEN, errno: error.kind().errno() }
        }
        ErrorKind::IsADirectory => Failure { code: code::CANTOPEN_ISDIR, errno: error.kind().errno() },
        ErrorKind::ReadOnly => failure(&error, code::CANTOPEN).with_code(code::CANTOPEN),
        _ => failure(&error, code::CANTOPEN),
    }
}

/// Whether the path lies in a snapshot.
fn is_in_snapshot(path: &Path) -> bool {
    path.starts_with(".snapshots")
}

fn open_main(pool: PoolRef, path: PathBuf, file: File, powersafe: bool) -> Outcome<MainDb> {
    if !is_in_snapshot(&path) {
        return Ok(MainDb::new(pool, path, file, Content::Live, powersafe));
    }
    if has_hot_journal(&pool, &sibling(&path, "-journal"))? {
        let recovered = PrivateClone::of_database(&pool, &path).and_then(PrivateClone::into_recovered_file);
        let file = recovered.map_err(|message| {
            crate::ffi::log(code::CANTOPEN, &message);
            Failure::from(code::CANTOPEN)
        })?;
        return Ok(MainDb::new(pool, path, file, Content::Frozen, powersafe));
    }
    let has_wal = content_len(&pool, &sibling(&path, "-wal"))? > 0;
    let content = if has_wal { Content::FrozenWithWal } else { Content::Frozen };
    Ok(MainDb::new(pool, path, file, content, powersafe))
}

/// The path of a file that belongs to the database at `path`: that with `suffix`.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Bytes of a file beside the database; 0 if there is none.
fn content_len(pool: &PoolRef, path: &Path) -> Outcome<u64> {
    match pool.pool.metadata(path) {
        Ok(metadata) => Ok(metadata.len),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(failure(&error, code::CANTOPEN)),
    }
}

/// Whether the rollback journal at `path`, if there is one, must be played back: it does not begin with a zero byte.
fn has_hot_journal(pool: &PoolRef, path: &Path) -> Outcome<bool> {
    if content_len(pool, path)? == 0 {
        return Ok(false);
    }
    let journal = pool.pool.open_file(path, &FileOptions::new().read(true)).map_err(cannot_open)?;
    let mut first = [0];
    let found = journal.read_at(&mut first, 0).or_code(code::CANTOPEN)?;
    Ok(found > 0 && first != [0])
}
