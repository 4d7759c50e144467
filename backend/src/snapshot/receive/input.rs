//! The stream as it is read: every record is checked before it is believed, and the tree as a whole.

use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind as IoErrorKind, Read};

use crate::error::{Error, Result};
use crate::format::dirent::NAME_MAX;
use crate::format::inode::FILE_SIZE_MAX;
use crate::format::stream::{HEADER_BYTES, Header, NO_PARENT, RECORD_BYTES, Record, bad};
use crate::namespace::check_depth;

/// A stream being read.
pub(super) struct Input<'a> {
    from: &'a mut dyn Read,
    pub(super) header: Header,
    crc: u32,
    pub(super) records: u64,
    pub(super) data_bytes: u64,
    payload: Vec<u8>,
}

/// A record whose checksum fitted.
pub(super) struct Checked<'a> {
    head: [u8; RECORD_BYTES],
    payload: &'a [u8],
}

impl Checked<'_> {
    pub(super) fn record(&self) -> Result<Record<'_>> {
        Record::decode(&self.head, self.payload)
    }
}

fn read_all(from: &mut dyn Read, to: &mut [u8]) -> Result<()> {
    from.read_exact(to).map_err(|error| match error.kind() {
        IoErrorKind::UnexpectedEof => bad("the stream ends before its end: it was cut short"),
        _ => Error::os("read the stream", error),
    })
}

impl<'a> Input<'a> {
    /// Reads the header.
    pub(super) fn open(from: &'a mut dyn Read) -> Result<Input<'a>> {
        let mut fixed = [0; HEADER_BYTES];
        read_all(from, &mut fixed)?;
        let mut name = vec![0; Header::name_len(&fixed)?];
        read_all(from, &mut name)?;
        let (header, crc) = Header::decode(&fixed, &name)?;
        Ok(Input { from, header, crc, records: 0, data_bytes: 0, payload: Vec::new() })
    }

    fn next(&mut self) -> Result<[u8; RECORD_BYTES]> {
        let mut head = [0; RECORD_BYTES];
        read_all(self.from, &mut head)?;
        self.payload.resize(Record::payload_len(&head)?, 0);
        read_all(self.from, &mut self.payload)?;
        self.crc = Record::check(&head, &self.payload, self.crc)?;
        self.records += 1;
        Ok(head)
    }

    /// The records of the tree, as they came.
    pub(super) fn tree(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut judge = Judge { incremental: self.header.parent != NO_PARENT, ..Judge::default() };
        loop {
            let head = self.next()?;
            let record = Record::decode(&head, &self.payload)?;
            if record == Record::TreeEnd {
                return if judge.directories == 0 { Err(bad("a tree without a top")) } else { Ok(bytes) };
            }
            judge.judge(&record)?;
            bytes.extend(head);
            bytes.extend(&self.payload);
        }
    }

    /// The next record of contents; nothing at the end, which says the truth about what came before.
    pub(super) fn next_content(&mut self) -> Result<Option<Checked<'_>>> {
        let head = self.next()?;
        match Record::decode(&head, &self.payload)? {
            Record::End { records, data_bytes } => {
                if (records, data_bytes) != (self.records - 1, self.data_bytes) {
                    return Err(bad(format!(
                        "the stream's end speaks of {records} records with {data_bytes} bytes, {} with {} came",
                        self.records - 1,
                        self.data_bytes
                    )));
                }
                Ok(None)
            }
            Record::Data { bytes, .. } => {
                self.data_bytes += bytes.len() as u64;
                Ok(Some(Checked { head, payload: &self.payload }))
            }
            _ => Ok(Some(Checked { head, payload: &self.payload })),
        }
    }
}

/// Reads records that were checked when they came.
pub(super) struct Records<'a>(pub(super) &'a [u8]);

impl<'a> Records<'a> {
    pub(super) fn next(&mut self) -> Result<Option<Record<'a>>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (head, rest) =
            self.0.split_first_chunk::<RECORD_BYTES>().ok_or_else(|| bad("the saved tree is cut short"))?;
        let (payload, rest) = rest
            .split_at_checked(Record::payload_len(head)?)
            .ok_or_else(|| bad("the saved tree is cut short"))?;
        self.0 = rest;
        Record::decode(head, payload).map(Some)
    }
}

/// Whether the records of a tree make sense: a checksum only says that they are what somebody wrote.
#[derive(Default)]
struct Judge {
    incremental: bool,
    directories: u32,
    /// How deep the directories lie.
    known: HashMap<u32, usize>,
    /// Those that build upon the parent's.
    changed: HashSet<u32>,
    files: u32,
    names: HashSet<(u32, Vec<u8>)>,
}

impl Judge {
    fn judge(&mut self, record: &Record<'_>) -> Result<()> {
        match record {
            Record::Directory { id, above, changed, name, .. } => {
                let is_top = self.directories == 0;
                if is_top != (*id == 0) || self.known.contains_key(id) {
                    return Err(bad(format!("directory {id} comes twice, or before the top")));
                }
                let depth = if is_top { 0 } else { self.name(*above, name)? + 1 };
                check_depth(depth)?;
                self.known.insert(*id, depth);
                if *changed && (!self.incremental || !is_top && !self.changed.contains(above)) {
                    return Err(bad(format!("directory {id} builds upon one that there is not")));
                }
                self.directories += 1;
                self.changed.extend(changed.then_some(*id));
                Ok(())
            }
            Record::Absent { directory, name } if self.changed.contains(directory) => {
                self.name(*directory, name).map(drop)
            }
            Record::Absent { directory, .. } => {
                Err(bad(format!("directory {directory} lacks what it never had")))
            }
            Record::File { id, size, base, .. } => {
                if *id != self.files + 1 || *size > FILE_SIZE_MAX || base.is_some() && !self.incremental {
                    return Err(bad(format!("file {id} of {size} bytes does not fit into its stream")));
                }
                self.files = *id;
                Ok(())
            }
            Record::Name { directory, file, name } => {
                if *file == 0 || *file > self.files {
                    return Err(bad(format!("a name of file {file}, which has not come")));
                }
                self.name(*directory, name).map(drop)
            }
            _ => Err(bad("contents before the end of the tree")),
        }
    }

    /// How deep the directory lies that gets a name.
    fn name(&mut self, directory: u32, name: &[u8]) -> Result<usize> {
        let Some(&depth) = self.known.get(&directory) else {
            return Err(bad(format!("a name in directory {directory}, which has not come")));
        };
        let is_name = !name.is_empty()
            && name.len() <= NAME_MAX
            && name != b"."
            && name != b".."
            && !name.iter().any(|&byte| byte == b'/' || byte == 0);
        if !is_name || !self.names.insert((directory, name.to_vec())) {
            return Err(bad(format!("{:?} cannot be a name, or comes twice", String::from_utf8_lossy(name))));
        }
        Ok(depth)
    }
}
