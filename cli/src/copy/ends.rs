//! Where bytes come from and go to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::progress::Bar;
use super::transfer;
use crate::output::shown;

/// A file that can be read at any offset and knows where it has data.
pub(crate) trait Source {
    /// Length in bytes.
    fn len(&self) -> Result<u64>;
    /// The next range with data that ends after `offset`; None if only a hole follows.
    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>>;
    /// Reads into `buffer` from `offset`; 0 only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;
}

/// A new, empty file to write to at any offset.
pub(crate) trait Sink {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()>;
    /// Sets the length, which makes a hole at the end if nothing was written there.
    fn set_len(&self, len: u64) -> Result<()>;
}

/// A file of a pool.
pub(crate) struct PoolSource(pub(crate) daxcow::File);

impl Source for PoolSource {
    fn len(&self) -> Result<u64> {
        Ok(self.0.len()?)
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>> {
        let Some(start) = self.0.seek_data(offset)? else { return Ok(None) };
        Ok(Some(start..self.0.seek_hole(start)?))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        Ok(self.0.read_at(buffer, offset)?)
    }
}

impl Sink for daxcow::File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        Ok(daxcow::File::write_at(self, bytes, offset)?)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        Ok(daxcow::File::set_len(self, len)?)
    }
}

/// A file of the host; `is_regular` is false for pipes and devices, which can only be read in order.
pub(crate) struct HostSource {
    file: File,
    is_regular: bool,
}

impl HostSource {
    pub(crate) fn open(path: &Path) -> Result<HostSource> {
        let file = File::open(path).with_context(|| shown(path))?;
        let is_regular = file.metadata().with_context(|| shown(path))?.is_file();
        Ok(HostSource { file, is_regular })
    }

    /// Copies all of it to `sink`.
    pub(crate) fn copy_to(&self, sink: &impl Sink, bar: &Bar) -> Result<()> {
        if self.is_regular { transfer::copy(self, sink, bar) } else { transfer::stream_in(self, sink) }
    }
}

impl Source for HostSource {
    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>> {
        match seek(&self.file, SeekFrom::Data(offset)) {
            Ok(start) => Ok(Some(start..seek(&self.file, SeekFrom::Hole(start))?)),
            Err(Errno::NXIO) => Ok(None),
            // A file system that knows no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                let len = self.len()?;
                Ok((offset < len).then_some(offset..len))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        Ok(FileExt::read_at(&self.file, buffer, offset)?)
    }
}

impl Read for &HostSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }
}

impl Sink for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        Ok(self.write_all_at(bytes, offset)?)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        Ok(File::set_len(self, len)?)
    }
}

/// Writes `source` to the host file `path`. A file that this makes and cannot finish is removed again.
pub(crate) fn write_host_file(path: &Path, source: &impl Source, bar: &Bar) -> Result<()> {
    let is_new = !path.exists();
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    let written = if file.metadata()?.is_file() {
        transfer::copy(source, &file, bar)
    } else {
        transfer::stream_out(source, &mut file, bar)
    };
    if written.is_err() && is_new {
        fs::remove_file(path)
            .with_context(|| format!("{} is incomplete and cannot be removed", shown(path)))?;
    }
    written
}
