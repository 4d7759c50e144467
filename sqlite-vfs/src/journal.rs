//! The rollback journal of one connection: in process memory, and beyond 1 MiB in a nameless file of the pool.
//!
//! Nobody but its writer ever needs it: the writes that it could undo are staged and not in the database yet, so a process
//! that dies leaves nothing to roll back. No name of it exists; `xAccess` finds only journals that came from elsewhere.

use crate::error::{Failure, OrCode, Outcome};
use crate::ffi::code;
use crate::file::VfsFile;
use crate::pools::PoolRef;
use daxcow::File;
use std::cell::Cell;

/// Journals up to this size stay in memory.
const MEMORY_BYTES_MAX: usize = 1 << 20;
/// Memory up to this size waits for the thread's next journal: in mode DELETE each transaction opens one.
const SPARE_BYTES_MAX: usize = 64 << 10;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A private rollback journal.
pub(crate) struct PrivateJournal {
    pool: PoolRef,
    memory: Vec<u8>,
    /// Holds everything once the journal has outgrown the memory.
    spilled: Option<File>,
}

impl PrivateJournal {
    pub(crate) fn new(pool: PoolRef) -> PrivateJournal {
        // A thread that is ending has none to spare.
        let memory = SPARE.try_with(Cell::take).unwrap_or_default();
        PrivateJournal { pool, memory, spilled: None }
    }

    fn spill(&mut self) -> daxcow::Result<&File> {
        let file = match self.spilled.take() {
            Some(file) => file,
            None => {
                let file = self.pool.pool.open_unnamed()?;
                file.write_at(&self.memory, 0)?;
                self.memory = Vec::new();
                file
            }
        };
        Ok(self.spilled.insert(file))
    }
}

impl Drop for PrivateJournal {
    fn drop(&mut self) {
        let mut memory = std::mem::take(&mut self.memory);
        if (1..=SPARE_BYTES_MAX).contains(&memory.capacity()) {
            memory.clear();
            // A thread that is ending keeps nothing.
            SPARE.try_with(|spare| spare.set(memory)).ok();
        }
    }
}

/// `offset` and `offset + len` as positions in memory.
fn span(offset: u64, len: usize) -> Option<(usize, usize)> {
    let start = usize::try_from(offset).ok()?;
    Some((start, start.checked_add(len)?))
}

impl VfsFile for PrivateJournal {
    fn read(&mut self, into: &mut [u8], offset: u64) -> Outcome<usize> {
        if let Some(file) = &self.spilled {
            return file.read_at(into, offset).or_code(code::IOERR_READ);
        }
        let Some((start, end)) = span(offset, into.len()) else { return Ok(0) };
        let end = end.min(self.memory.len());
        let found = self.memory.get(start..end).unwrap_or_default();
        into[..found.len()].copy_from_slice(found);
        Ok(found.len())
    }

    fn write(&mut self, from: &[u8], offset: u64) -> Outcome<()> {
        match span(offset, from.len()) {
            Some((start, end)) if self.spilled.is_none() && end <= MEMORY_BYTES_MAX => {
                if start > self.memory.len() {
                    self.memory.resize(start, 0);
                }
                let (over, beyond) = from.split_at(from.len().min(self.memory.len() - start));
                self.memory[start..start + over.len()].copy_from_slice(over);
                self.memory.extend_from_slice(beyond);
                Ok(())
            }
            Some(_) => self.spill().and_then(|file| file.write_at(from, offset)).or_code(code::IOERR_WRITE),
            None => Err(Failure::from(code::FULL)),
        }
    }

    fn truncate(&mut self, size: u64) -> Outcome<()> {
        if size == 0 {
            self.spilled = None;
            self.memory.clear();
            return Ok(());
        }
        match (&self.spilled, usize::try_from(size)) {
            (Some(file), _) => file.set_len(size).or_code(code::IOERR_TRUNCATE),
            (None, Ok(size)) if size <= MEMORY_BYTES_MAX => {
                self.memory.resize(size, 0);
                Ok(())
            }
            (None, _) => self.spill().and_then(|file| file.set_len(size)).or_code(code::IOERR_TRUNCATE),
        }
    }

    fn sync(&mut self) -> Outcome<()> {
        Ok(())
    }

    fn size(&mut self) -> Outcome<u64> {
        match &self.spilled {
            Some(file) => file.len().or_code(code::IOERR_FSTAT),
            None => Ok(self.memory.len() as u64),
        }
    }
}
