//! `daxcow_rollback(name)`: the database becomes what it was at the snapshot, under all its open connections.
//!
//! 1. The snapshot's database is cloned privately and recovered, so that one file holds all of it.
//! 2. Our own WAL is copied into the database and emptied: nothing of it may be applied to the new contents.
//! 3. Everybody is locked out: EXCLUSIVE, or all slots of the WAL index.
//! 4. The clone's header gets a change counter and a schema cookie above those that it replaces, or a connection that
//!    cached the same numbers would trust stale pages; and our journal mode, which the open connections go on using.
//! 5. The contents are swapped in one transaction of the pool, and the WAL index gets a header nobody has seen.
//!
//! A crash before 5 changes nothing that a reader sees; 5 is atomic.

use crate::commands::{message, on_main, path_in_snapshot};
use crate::error::{Failure, Outcome};
use crate::ffi::code;
use crate::ffi::connection::Connection;
use crate::ffi::shm;
use crate::ffi::wal_header;
use crate::file::{LockLevel, ShmAction, VfsFile};
use crate::main_db::{Content, MainDb};
use crate::private_clone::PrivateClone;
use daxcow::{ErrorKind, File, LockMode};

/// Bytes of the database header.
const HEADER_BYTES: usize = 100;
/// Places in it (sqlite.org/fileformat2.html, section 1.3); all numbers are big-endian.
const PAGE_SIZE_AT: usize = 16;
const WRITE_VERSION_AT: usize = 18;
const READ_VERSION_AT: usize = 19;
const CHANGE_COUNTER_AT: usize = 24;
const SCHEMA_COOKIE_AT: usize = 40;
const VERSION_VALID_FOR_AT: usize = 92;
/// Bytes of a region of the WAL index.
const REGION_BYTES: usize = 32 << 10;
/// How often a WAL that is written between its emptying and the locks is emptied again.
const ATTEMPTS: u32 = 100;

/// Makes the main database what it was at snapshot `name`; returns the name.
pub(crate) fn rollback(connection: Connection<'_>, name: &str) -> Result<String, String> {
    if !connection.is_autocommit() {
        return Err("cannot run inside a transaction: COMMIT or ROLLBACK first".to_owned());
    }
    connection.execute(c"SELECT count(*) FROM main.sqlite_schema")?;
    let clone = on_main(connection, |main| {
        check_idle(main)?;
        let source = path_in_snapshot(name, &main.path);
        if !main.pool.pool.exists(&source).map_err(message)? {
            return Err(format!("there is no snapshot {name} that holds this database"));
        }
        Ok((main.pool.clone(), source))
    });
    let (pool, source) = clone?;
    let clone = PrivateClone::of_database(&pool, &source)?;
    clone.recover()?;
    let contents = clone.open()?;
    for _ in 0..ATTEMPTS {
        connection.execute(c"PRAGMA main.wal_checkpoint(TRUNCATE)")?;
        if on_main(connection, |main| swap_under_locks(main, &contents))? {
            return Ok(name.to_owned());
        }
    }
    Err(in_use())
}

fn in_use() -> String {
    "the database is in use by another connection; try again when it has finished".to_owned()
}

fn check_idle(main: &MainDb) -> Result<(), String> {
    if main.content != Content::Live {
        return Err("this database is in a snapshot, which never changes".to_owned());
    }
    let idle = if main.wal_index.is_attached() { LockLevel::Shared } else { LockLevel::None };
    if main.locks.level() > LockLevel::Shared {
        return Err("not possible with locking_mode=EXCLUSIVE".to_owned());
    }
    if main.locks.level() > idle || main.wal_index.is_locked() || main.is_staged() {
        return Err("another statement of this connection is still reading the database".to_owned());
    }
    Ok(())
}

/// Steps 3 to 5. `false` if the WAL was written again: empty it and come back.
fn swap_under_locks(main: &mut MainDb, contents: &File) -> Result<bool, String> {
    check_idle(main)?;
    let wal = main.wal_index.is_attached();
    let locked = if wal {
        main.shm_lock(0, shm::NLOCK, ShmAction::Lock(LockMode::Exclusive))
    } else {
        main.lock(LockLevel::Shared).and_then(|()| main.lock(LockLevel::Exclusive))
    };
    let swapped = locked.map_err(refused).and_then(|()| swap(main, contents, wal));
    let unlocked: Outcome<()> = if wal {
        main.shm_lock(0, shm::NLOCK, ShmAction::Unlock(LockMode::Exclusive))
    } else {
        main.unlock(LockLevel::None)
    };
    let swapped = swapped?;
    unlocked.map_err(|Failure { code, .. }| format!("releasing the locks failed with code {code}"))?;
    Ok(swapped)
}

fn refused(failure: Failure) -> String {
    match failure.code {
        code::BUSY => in_use(),
        code => format!("locking the database failed with code {code}"),
    }
}

fn swap(main: &mut MainDb, contents: &File, wal: bool) -> Result<bool, String> {
    let wal_len = match main.pool.pool.metadata(main.wal_path()) {
        Ok(metadata) => metadata.len,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(message(error)),
    };
    if wal_len > 0 {
        return Ok(false);
    }
    let present = Header::read(&main.file)?;
    if let (Some(present), Some(mut header)) = (present, Header::read(contents)?) {
        header.supersede(&present);
        header.write(contents)?;
    }
    main.file.replace_contents(contents).map_err(message)?;
    if wal {
        let replaced = Header::read(&main.file)?;
        let region = main.wal_index.map(&main.file, 0, REGION_BYTES, false);
        let region = region.map_err(|Failure { code, .. }| format!("the WAL index is lost, code {code}"))?;
        if let (Some(region), Some(header)) = (region, replaced) {
            let page_bytes = header.page_bytes();
            let pages = main.file.len().map_err(message)? / u64::from(page_bytes);
            wal_header::supersede(region, page_bytes, u32::try_from(pages).unwrap_or(u32::MAX));
        }
    }
    Ok(true)
}

/// The header of a database file.
struct Header([u8; HEADER_BYTES]);

impl Header {
    /// `None` if the database is empty.
    fn read(file: &File) -> Result<Option<Header>, String> {
        let mut bytes = [0; HEADER_BYTES];
        let found = file.read_at(&mut bytes, 0).map_err(message)?;
        Ok((found == HEADER_BYTES).then_some(Header(bytes)))
    }

    fn write(&self, file: &File) -> Result<(), String> {
        file.write_at(&self.0, 0).map_err(message)
    }

    fn number(&self, at: usize) -> u32 {
        self.0[at..at + size_of::<u32>()].iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
    }

    fn set_number(&mut self, at: usize, number: u32) {
        for (index, byte) in self.0[at..at + size_of::<u32>()].iter_mut().enumerate() {
            *byte = u8::try_from(number >> (24 - 8 * index) & 0xff).unwrap_or_default();
        }
    }

    /// Bytes of a page; 1 stands for 65536.
    fn page_bytes(&self) -> u32 {
        match u32::from(self.0[PAGE_SIZE_AT]) << 8 | u32::from(self.0[PAGE_SIZE_AT + 1]) {
            1 => 65536,
            bytes => bytes.max(512),
        }
    }

    /// Makes this header one that no connection which knew `replaced` can take for what it has cached.
    fn supersede(&mut self, replaced: &Header) {
        for at in [CHANGE_COUNTER_AT, SCHEMA_COOKIE_AT] {
            self.set_number(at, self.number(at).max(replaced.number(at)).wrapping_add(1));
        }
        self.set_number(VERSION_VALID_FOR_AT, self.number(CHANGE_COUNTER_AT));
        for at in [WRITE_VERSION_AT, READ_VERSION_AT] {
            self.0[at] = replaced.0[at];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CHANGE_COUNTER_AT, HEADER_BYTES, Header, SCHEMA_COOKIE_AT, VERSION_VALID_FOR_AT};

    #[test]
    fn counters_rise_above_both_headers() {
        let (mut old, mut new) = (Header([0; HEADER_BYTES]), Header([0; HEADER_BYTES]));
        old.set_number(CHANGE_COUNTER_AT, 0x0102_03ff);
        old.set_number(SCHEMA_COOKIE_AT, 3);
        new.set_number(CHANGE_COUNTER_AT, 7);
        new.set_number(SCHEMA_COOKIE_AT, 9);
        new.supersede(&old);
        assert_eq!(new.number(CHANGE_COUNTER_AT), 0x0102_0400);
        assert_eq!(new.number(VERSION_VALID_FOR_AT), 0x0102_0400);
        assert_eq!(new.number(SCHEMA_COOKIE_AT), 10);
    }
}
