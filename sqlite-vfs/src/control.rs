//! File-controls of a database that read or set something small; those that drive transactions are in [`crate::main_db`].

use crate::commands;
use crate::error::{OrCode, Outcome};
use crate::ffi::code;
use crate::file::{Answer, Control};
use crate::main_db::{Content, MainDb};
use std::ffi::c_int;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a program can set on a file handle.
pub(crate) struct Settings {
    pub(crate) persist_wal: bool,
    pub(crate) powersafe: bool,
    pub(crate) last_errno: c_int,
    /// How long a lock is waited for, in milliseconds; builds with SQLITE_ENABLE_SETLK_TIMEOUT set it.
    lock_timeout: c_int,
}

impl Settings {
    pub(crate) fn new(powersafe: bool) -> Settings {
        Settings { persist_wal: false, powersafe, last_errno: 0, lock_timeout: 0 }
    }

    /// How long to wait for a lock, from now on.
    pub(crate) fn patience(&self) -> Patience {
        let timeout = u64::try_from(self.lock_timeout).ok().filter(|&timeout| timeout > 0);
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(Duration::from_millis(timeout)));
        Patience { tries: 0, deadline }
    }
}

/// How long a lock that others hold is waited for.
pub(crate) struct Patience {
    tries: u32,
    /// Until when it is tried again and again with pauses; `None` for not at all.
    deadline: Option<Instant>,
}

impl Patience {
    /// Waits before the next try and says true, or says false at once: for a moment without a pause, since a transaction takes
    /// microseconds and SQLite's busy handler sleeps for a millisecond at least; then up to the deadline. What is not to be
    /// `spun` for has the deadline only.
    pub(crate) fn allows_another_try(&mut self, spun: bool) -> bool {
        const TRIES: u32 = 16;
        const SPINS: u32 = 32;
        const PAUSE: Duration = Duration::from_micros(200);
        if spun && self.tries < TRIES {
            self.tries += 1;
            (0..SPINS).for_each(|_| std::hint::spin_loop());
            return true;
        }
        let early = self.deadline.is_some_and(|deadline| Instant::now() < deadline);
        if early {
            std::thread::sleep(PAUSE);
        }
        early
    }
}

/// Answers the controls that do not touch the transaction.
pub(crate) fn answer(main: &mut MainDb, control: Control<'_>) -> Outcome<Answer> {
    match control {
        Control::LockState(level) => *level = main.locks.level() as c_int,
        Control::LastErrno(errno) => *errno = main.settings.last_errno,
        Control::PersistWal(bit) => ask_or_set(bit, &mut main.settings.persist_wal),
        Control::PowersafeOverwrite(bit) => ask_or_set(bit, &mut main.settings.powersafe),
        Control::HasMoved(moved) => {
            let moved_away = main.content != Content::Private && main.file.is_stale().or_code(code::IOERR)?;
            *moved = c_int::from(moved_away);
        }
        Control::ExternalReader(reader) => {
            *reader = c_int::from(main.wal_index.has_external_reader(&main.file)?);
        }
        Control::LockTimeout(timeout) => {
            let before = std::mem::replace(&mut main.settings.lock_timeout, *timeout);
            // A negative timeout stands for one without end.
            if *timeout < 0 {
                main.settings.lock_timeout = c_int::MAX;
            }
            *timeout = before;
        }
        // Files grow by whole blocks wherever these are free, and connecting to a WAL index never waits.
        Control::Hint => {}
        Control::VfsName => return Ok(Answer::Text(crate::vfs_name())),
        Control::TempFileName => return Ok(Answer::Text(temporary_name())),
        Control::Pragma { name } if name.to_bytes().eq_ignore_ascii_case(b"daxcow_info") => {
            return Ok(Answer::Text(commands::info(main)));
        }
        _ => return Ok(Answer::Unknown),
    }
    Ok(Answer::Done)
}

/// The protocol of the bits: a negative `request` asks, 0 clears, anything else sets.
fn ask_or_set(request: &mut c_int, bit: &mut bool) {
    if *request < 0 {
        *request = c_int::from(*bit);
    } else {
        *bit = *request != 0;
    }
}

/// A name for a temporary file of the host, chosen as the unix VFS does.
fn temporary_name() -> String {
    let of_environment = ["SQLITE_TMPDIR", "TMPDIR"].into_iter().filter_map(|name| std::env::var(name).ok());
    let usual = ["/var/tmp", "/usr/tmp", "/tmp"].into_iter().map(str::to_owned);
    let directory = of_environment.chain(usual).find(|path| Path::new(path).is_dir());
    let number = RandomState::new().build_hasher().finish();
    format!("{}/etilqs_{number:016x}", directory.as_deref().unwrap_or("."))
}

#[cfg(test)]
mod tests {
    use super::ask_or_set;

    #[test]
    fn minus_one_asks_for_a_bit_and_does_not_change_it() {
        let mut bit = true;
        let mut request = -1;
        ask_or_set(&mut request, &mut bit);
        assert_eq!((request, bit), (1, true));
        ask_or_set(&mut 0, &mut bit);
        assert!(!bit);
    }
}
