//! Applying a record of contents to the file it is about. To apply one twice does no harm.

use super::hidden::{Hidden, change, change_both, file_of};
use super::input::Records;
use crate::dax::write::{SizeChange, Source, write};
use crate::dax::{range, share};
use crate::error::{Error, ErrorKind, Result};
use crate::format::inode::FILE_SIZE_MAX;
use crate::format::stream::{Origin, Position, Record, bad};
use crate::inode::{Core, Inode};
use crate::journal::Store;
use crate::namespace::directory::Directory;
use crate::snapshot::identity::Named;
use crate::units::BLOCK_SIZE;

/// Applies records, in the order of a stream.
pub(super) struct Applier<'a> {
    store: &'a Store,
    files: Vec<Inode>,
    parent: Option<Directory>,
    /// The file of the parent that was copied from last.
    source: Option<(Vec<u8>, Inode)>,
}

impl<'a> Applier<'a> {
    pub(super) fn new(core: &'a Core, hidden: &Hidden, parent: Option<&Named>) -> Result<Applier<'a>> {
        let store = &core.store;
        let tree = hidden.tree(core)?;
        let mut records = Records(&tree);
        let mut files = Vec::new();
        while let Some(record) = records.next()? {
            if let Record::File { id, .. } = record {
                files.push(hidden.file(store, id)?);
            }
        }
        Ok(Applier { store, files, parent: parent.map(|parent| parent.top), source: None })
    }

    pub(super) fn apply(&mut self, record: &Record<'_>) -> Result<()> {
        let store = self.store;
        let (at, len) = record.range().ok_or_else(|| bad("a record without a place"))?;
        let file = self.file(at.file)?;
        let size = file.size(store)?;
        check_range(record, at, len, size)?;
        let offset = at.offset;
        match record {
            Record::Data { bytes, .. } => change(store, &file, |file| {
                write(store, file, offset, Source::Bytes(bytes), SizeChange::Durable)
            }),
            Record::Hole { .. } => change(store, &file, |file| range::punch_hole(store, file, offset, len)),
            Record::Unwritten { .. } => change(store, &file, |file| {
                range::punch_hole(store, file, offset, len)?;
                range::allocate(store, file, offset, len, true)
            }),
            Record::Clone { source_offset, origin, .. } => {
                let source = self.source(origin)?;
                let cloned = change_both(store, &file, &source, || {
                    share::clone_range(store, &source, *source_offset, &file, offset, len)
                });
                cloned.map_err(|error| match error.kind() {
                    ErrorKind::InvalidInput => bad(format!("a clone that cannot be: {error}")),
                    _ => error,
                })
            }
            _ => Err(bad("a record without contents")),
        }
    }

    fn file(&self, id: u32) -> Result<Inode> {
        let index = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        let file = index.and_then(|index| self.files.get(index));
        file.copied().ok_or_else(|| bad(format!("contents of file {id}, which has not come")))
    }

    fn source(&mut self, origin: &Origin<'_>) -> Result<Inode> {
        match *origin {
            Origin::File(id) => self.file(id),
            Origin::Parent(path) => {
                if let Some((known, inode)) = &self.source
                    && known == path
                {
                    return Ok(*inode);
                }
                let Some(parent) = &self.parent else {
                    let message = "a full stream copies from a parent";
                    return Err(Error::new(ErrorKind::BadStream, message));
                };
                let inode = file_of(self.store, parent, path)?;
                self.source = Some((path.to_vec(), inode));
                Ok(inode)
            }
        }
    }
}

/// That a record keeps within its file, in whole blocks apart from the file's end. What is not data may lie beyond the end.
fn check_range(record: &Record<'_>, at: Position, len: u64, size: u64) -> Result<()> {
    let end = at.offset.saturating_add(len);
    let within = match record {
        Record::Data { .. } => end <= size,
        Record::Clone { .. } => end <= size && len.is_multiple_of(BLOCK_SIZE),
        _ => end <= FILE_SIZE_MAX + 1 && len.is_multiple_of(BLOCK_SIZE),
    };
    let whole = at.offset.is_multiple_of(BLOCK_SIZE) && (end.is_multiple_of(BLOCK_SIZE) || end == size);
    if len > 0 && within && whole {
        return Ok(());
    }
    Err(bad(format!("{len} bytes at {} do not fit into file {} of {size} bytes", at.offset, at.file)))
}
