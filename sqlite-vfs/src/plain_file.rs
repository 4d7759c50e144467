//! A file of the pool that is written directly: a WAL, a super-journal to be recovered from, a rollback journal that came from elsewhere.

use crate::error::{OrCode, Outcome};
use crate::ffi::{code, iocap};
use crate::file::{Answer, Control, VfsFile};
use crate::pools::PoolRef;
use daxcow::{File, FileOptions};
use std::ffi::{OsStr, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An open file whose writes are not staged.
pub(crate) struct PlainFile {
    pool: PoolRef,
    file: File,
    /// The database that it is the WAL of.
    database: Option<PathBuf>,
    frames: Frames,
}

/// Bytes of a WAL's header, which the first frame follows.
const WAL_HEADER_BYTES: usize = 32;
/// Bytes of a frame before its page.
const FRAME_HEADER_BYTES: usize = 24;

/// The frame of a WAL that is being appended: SQLite writes a header and then its page, and both become one write.
///
/// A header waits for its page only where the next frame goes, after the last one that this handle has written: elsewhere SQLite writes
/// headers anew that no page follows.
#[derive(Default)]
struct Frames {
    /// Where the next frame goes.
    next: Option<u64>,
    /// Where a header was written last, and what it holds if it is waiting.
    header: Option<(u64, Option<[u8; FRAME_HEADER_BYTES]>)>,
    /// For a header and its page.
    whole: Vec<u8>,
}

impl PlainFile {
    pub(crate) fn new(pool: PoolRef, file: File) -> PlainFile {
        PlainFile { pool, file, database: None, frames: Frames::default() }
    }

    /// The WAL at `path`, whose name is its database's and "-wal".
    pub(crate) fn wal(pool: PoolRef, file: File, path: &Path) -> PlainFile {
        let name = path.as_os_str().as_bytes().strip_suffix(b"-wal");
        let database = name.map(|name| PathBuf::from(OsStr::from_bytes(name)));
        PlainFile { pool, file, database, frames: Frames::default() }
    }

    /// Fails where SQLite asks because of what it found in a WAL index whose memory was lost.
    fn check_index(&self, operation: c_int) -> Outcome<()> {
        match &self.database {
            Some(database) if daxcow::is_memory_lost() => {
                let options = FileOptions::new().read(true);
                let database = self.pool.pool.open_file(database, &options).or_code(operation)?;
                database.check_shared_memory().or_code(operation)
            }
            _ => Ok(()),
        }
    }
}

impl Frames {
    /// Writes what is waiting.
    fn flush(&mut self, file: &File) -> daxcow::Result<()> {
        match self.header.take() {
            Some((at, Some(header))) => file.write_at(&header, at),
            _ => Ok(()),
        }
    }

    fn write(&mut self, file: &File, from: &[u8], offset: u64) -> daxcow::Result<()> {
        let end = offset.saturating_add(from.len() as u64);
        if let Some((at, header)) = self.header.take_if(|(at, _)| *at + FRAME_HEADER_BYTES as u64 == offset) {
            self.next = Some(end);
            let Some(header) = header else { return file.write_at(from, offset) };
            self.whole.clear();
            self.whole.extend_from_slice(&header);
            self.whole.extend_from_slice(from);
            return file.write_at(&self.whole, at);
        }
        self.flush(file)?;
        if let Ok(header) = from.try_into() {
            let waits = self.next == Some(offset);
            self.header = Some((offset, waits.then_some(header)));
            if waits {
                return Ok(());
            }
        }
        if offset == 0 && from.len() == WAL_HEADER_BYTES {
            self.next = Some(end);
        }
        file.write_at(from, offset)
    }
}

impl Drop for PlainFile {
    fn drop(&mut self) {
        if let Err(error) = self.frames.flush(&self.file) {
            crate::ffi::log(code::IOERR_WRITE, &format!("the end of a WAL was not written: {error}"));
        }
    }
}

impl VfsFile for PlainFile {
    fn read(&mut self, into: &mut [u8], offset: u64) -> Outcome<usize> {
        self.check_index(code::IOERR_READ)?;
        self.frames.flush(&self.file).or_code(code::IOERR_READ)?;
        self.file.read_at(into, offset).or_code(code::IOERR_READ)
    }

    fn write(&mut self, from: &[u8], offset: u64) -> Outcome<()> {
        self.check_index(code::IOERR_WRITE)?;
        let written = match self.database {
            Some(_) => self.frames.write(&self.file, from, offset),
            None => self.file.write_at(from, offset),
        };
        written.or_code(code::IOERR_WRITE)
    }

    fn truncate(&mut self, size: u64) -> Outcome<()> {
        self.frames.flush(&self.file).and_then(|()| self.file.set_len(size)).or_code(code::IOERR_TRUNCATE)
    }

    fn sync(&mut self) -> Outcome<()> {
        self.check_index(code::IOERR_FSYNC)?;
        self.frames.flush(&self.file).and_then(|()| self.file.sync_data()).or_code(code::IOERR_FSYNC)
    }

    fn size(&mut self) -> Outcome<u64> {
        self.frames.flush(&self.file).and_then(|()| self.file.len()).or_code(code::IOERR_FSTAT)
    }

    fn control(&mut self, control: Control<'_>) -> Outcome<Answer> {
        match control {
            Control::HasMoved(moved) => {
                *moved = c_int::from(self.file.is_stale().or_code(code::IOERR)?);
                Ok(Answer::Done)
            }
            Control::VfsName => Ok(Answer::Text(crate::vfs_name())),
            _ => Ok(Answer::Unknown),
        }
    }

    fn device_characteristics(&self) -> c_int {
        iocap::POWERSAFE_OVERWRITE | iocap::SUBPAGE_READ
    }
}

#[cfg(test)]
mod tests {
    use super::{FRAME_HEADER_BYTES, Frames, WAL_HEADER_BYTES};
    use daxcow::{CreateOptions, FileOptions, Pool};

    #[test]
    fn only_the_header_of_the_next_frame_waits_for_its_page() {
        let dir = tempfile::tempdir_in("/dev/shm").expect("tmpfs is there");
        let options = CreateOptions::new().size(16 << 20).sparse(true);
        let pool = Pool::create(dir.path().join("test.pool"), &options).expect("the pool is made");
        let file =
            pool.open_file("a-wal", &FileOptions::new().read(true).write(true).create(true)).expect("opens");
        let mut frames = Frames::default();
        let (mut expected, mut end) = (Vec::new(), 0);
        let mut write = |frames: &mut Frames, bytes: &[u8], at: u64, there: bool| {
            frames.write(&file, bytes, at).expect("it is written");
            let (from, to) =
                (usize::try_from(at).expect("small"), usize::try_from(at).expect("small") + bytes.len());
            expected.resize(to.max(expected.len()), 0);
            expected[from..to].copy_from_slice(bytes);
            end = if there { expected.len() as u64 } else { end };
            let mut found = vec![0; expected.len()];
            assert_eq!(file.read_at(&mut found, 0).expect("it is read") as u64, end, "after a write at {at}");
            let end = usize::try_from(end).expect("small");
            assert!(found[..end] == expected[..end], "after a write at {at}");
        };
        let header = |byte: u8| [byte; FRAME_HEADER_BYTES];
        let (first, page, frame) = (WAL_HEADER_BYTES as u64, [7; 512], 512 + FRAME_HEADER_BYTES as u64);
        write(&mut frames, &[1; WAL_HEADER_BYTES], 0, true);
        write(&mut frames, &header(2), first, false);
        write(&mut frames, &page, first + FRAME_HEADER_BYTES as u64, true);
        write(&mut frames, &header(3), first, true);
        write(&mut frames, &header(4), first + frame, false);
        write(&mut frames, &page, first + frame + FRAME_HEADER_BYTES as u64, true);
        // Another one wrote the third frame.
        write(&mut frames, &header(5), first + 3 * frame, true);
        write(&mut frames, &page, first + 3 * frame + FRAME_HEADER_BYTES as u64, true);
        write(&mut frames, &header(6), first + 4 * frame, false);
        // What does not follow makes it wait no longer.
        write(&mut frames, &[8], 0, true);
        let at = first + 4 * frame;
        let held = || {
            let mut held = header(0);
            file.read_exact_at(&mut held, at).expect("it is read");
            held
        };
        frames.write(&file, &header(9), at).expect("it waits");
        assert_eq!(held(), header(6));
        frames.flush(&file).expect("it is written");
        assert_eq!(held(), header(9));
    }
}
