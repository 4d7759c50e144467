//! The stream of a snapshot: what `send` writes and `receive` reads, version 1.
//!
//! ```text
//! header | tree: directories, files, names | end of tree | contents of the files, in order | end
//!          record: kind u32 | length u32 | chained crc32c u32 | payload
//! ```
//!
//! All numbers are little-endian. The checksum of a record covers the checksum before it, so that records cannot be lost,
//! doubled or moved without being noticed. Everything a reader learns comes from a record whose checksum fitted.

mod numbers;
mod progress;

pub(crate) use numbers::Reader;
pub(crate) use progress::{PROGRESS_BYTES, Progress};

use numbers::Writer;

use crate::error::{Error, ErrorKind, Result};

/// The first bytes of a stream.
pub(crate) const MAGIC: [u8; 8] = *b"DAXCOWSS";
/// The version that is written, and the last one that is read.
pub(crate) const VERSION: u32 = 1;
/// Bytes of a header before the name.
pub(crate) const HEADER_BYTES: usize = 80;
/// Bytes of a record before its payload.
pub(crate) const RECORD_BYTES: usize = 12;
/// Bytes of data in a record at most; such records also begin at multiples of it.
pub(crate) const DATA_MAX: u64 = 128 << 10;
/// Bytes of a payload at most: data and what goes with it, or paths.
const PAYLOAD_MAX: usize = (1 << 20) + 1024;

/// What names a snapshot in every pool it has been sent to.
pub(crate) type Identity = [u8; 16];
/// The parent of a full stream.
pub(crate) const NO_PARENT: Identity = [0; 16];

/// A place in the contents of a stream: everything before it has been sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Position {
    /// The file, as the tree numbers them from 1; 0 before the tree.
    pub(crate) file: u32,
    /// The offset in it.
    pub(crate) offset: u64,
}

/// How a stream begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) identity: Identity,
    /// The snapshot it builds upon, or [`NO_PARENT`].
    pub(crate) parent: Identity,
    /// When the snapshot was made, nanoseconds since 1970.
    pub(crate) created: u64,
    /// Where it goes on, if not at the beginning: then the tree is left out.
    pub(crate) position: Position,
    /// The name of the snapshot.
    pub(crate) name: Vec<u8>,
}

/// A stream that is not what it should be.
#[cold]
pub(crate) fn bad(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadStream, what)
}

impl Header {
    /// Its bytes, and the checksum that the first record's continues.
    pub(crate) fn encode(&self) -> (Vec<u8>, u32) {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.name.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(self.identity);
        bytes.extend(self.parent);
        bytes.extend(self.created.to_le_bytes());
        bytes.extend(self.position.offset.to_le_bytes());
        bytes.extend(self.position.file.to_le_bytes());
        bytes.extend(u32::try_from(self.name.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), &self.name);
        bytes.extend(crc.to_le_bytes());
        bytes.extend(&self.name);
        (bytes, crc)
    }

    /// Judges the fixed part of a header: how many bytes its name has.
    pub(crate) fn name_len(fixed: &[u8; HEADER_BYTES]) -> Result<usize> {
        if fixed[..8] != MAGIC {
            return Err(bad(format!("this is not a stream of a snapshot: it begins with {:?}", &fixed[..8])));
        }
        let mut from = Reader(&fixed[8..]);
        let (version, features) = (from.u32()?, from.u32()?);
        if version == 0 || version > VERSION {
            let message =
                format!("the stream has version {version}; this program reads versions up to {VERSION}");
            return Err(Error::new(ErrorKind::UnsupportedVersion, message));
        }
        if features != 0 {
            let message = format!("the stream uses features {features:#x} that this program does not know");
            return Err(Error::new(ErrorKind::UnsupportedVersion, message));
        }
        match Reader(&fixed[68..]).u32()? {
            len if (1..=255).contains(&len) => Ok(usize::try_from(len).unwrap_or(0)),
            len => Err(bad(format!("the header of the stream is damaged: a name of {len} bytes"))),
        }
    }

    /// Reads a header and the checksum that the first record's continues.
    pub(crate) fn decode(fixed: &[u8; HEADER_BYTES], name: &[u8]) -> Result<(Header, u32)> {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&fixed[..76]), name);
        let stored = Reader(&fixed[76..]).u32()?;
        if stored != crc {
            return Err(bad(format!(
                "the header of the stream is damaged: expected checksum {crc:#010x}, found {stored:#010x}"
            )));
        }
        let mut from = Reader(&fixed[16..76]);
        let header = Header {
            identity: from.array()?,
            parent: from.array()?,
            created: from.u64()?,
            position: {
                let offset = from.u64()?;
                Position { offset, file: from.u32()? }
            },
            name: name.to_vec(),
        };
        Ok((header, crc))
    }
}

/// Where a clone record copies from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin<'a> {
    /// A file of the stream, whose contents to that point have been sent.
    File(u32),
    /// A file of the parent, by its path there.
    Parent(&'a [u8]),
}

/// What is known of a directory or a file apart from its contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Attributes {
    /// Whether the snapshot was asked for it, or it only leads there.
    pub(crate) scope: u8,
    pub(crate) created: u64,
    pub(crate) modified: u64,
    /// The number of the inode it was made of.
    pub(crate) origin: u64,
}

/// A record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Record<'a> {
    /// A directory, 0 the top. `changed`: it has what the parent's directory at the same path has, apart from what is said
    /// of it from here on.
    Directory { id: u32, above: u32, changed: bool, attributes: Attributes, name: &'a [u8] },
    /// A changed directory has not what the parent's had under this name.
    Absent { directory: u32, name: &'a [u8] },
    /// A file. Its contents begin as those of the parent's file at `base`, or as nothing, and at this size.
    File { id: u32, size: u64, attributes: Attributes, base: Option<&'a [u8]> },
    /// A name of a file.
    Name { directory: u32, file: u32, name: &'a [u8] },
    /// The tree is complete.
    TreeEnd,
    /// Bytes of a file.
    Data { at: Position, bytes: &'a [u8] },
    /// Nothing is there.
    Hole { at: Position, len: u64 },
    /// Blocks that were never written.
    Unwritten { at: Position, len: u64 },
    /// The same blocks as another file.
    Clone { at: Position, len: u64, source_offset: u64, origin: Origin<'a> },
    /// The end: how many records came before it, and how many bytes of data in them.
    End { records: u64, data_bytes: u64 },
}

impl Record<'_> {
    const fn kind(&self) -> u32 {
        match self {
            Record::Directory { .. } => 1,
            Record::Absent { .. } => 2,
            Record::File { .. } => 3,
            Record::Name { .. } => 4,
            Record::TreeEnd => 5,
            Record::Data { .. } => 6,
            Record::Hole { .. } => 7,
            Record::Unwritten { .. } => 8,
            Record::Clone { .. } => 9,
            Record::End { .. } => 10,
        }
    }

    /// The file and the bytes of it that a record of contents is about.
    pub(crate) fn range(&self) -> Option<(Position, u64)> {
        match self {
            Record::Data { at, bytes } => Some((*at, bytes.len() as u64)),
            Record::Hole { at, len } | Record::Unwritten { at, len } | Record::Clone { at, len, .. } => {
                Some((*at, *len))
            }
            _ => None,
        }
    }

    /// Its bytes, after a record with checksum `before`, and its own checksum.
    pub(crate) fn encode(&self, before: u32) -> (Vec<u8>, u32) {
        let mut to = vec![0; RECORD_BYTES];
        self.encode_payload(&mut to);
        let len = u32::try_from(to.len() - RECORD_BYTES).unwrap_or(u32::MAX);
        to[..4].copy_from_slice(&self.kind().to_le_bytes());
        to[4..8].copy_from_slice(&len.to_le_bytes());
        let crc = checksum(before, &to[..8], &to[RECORD_BYTES..]);
        to[8..12].copy_from_slice(&crc.to_le_bytes());
        (to, crc)
    }

    fn encode_payload(&self, to: &mut Vec<u8>) {
        let mut put = Writer(to);
        match self {
            Record::Directory { id, above, changed, attributes, name } => {
                put.u32(*id).u32(*above).u8(u8::from(*changed)).attributes(attributes).bytes(name);
            }
            Record::Absent { directory, name } => drop(put.u32(*directory).bytes(name)),
            Record::File { id, size, attributes, base } => {
                put.u32(*id).u64(*size).attributes(attributes).u8(u8::from(base.is_some()));
                put.bytes(base.unwrap_or_default());
            }
            Record::Name { directory, file, name } => drop(put.u32(*directory).u32(*file).bytes(name)),
            Record::TreeEnd => {}
            Record::Data { at, bytes } => drop(put.position(*at).bytes(bytes)),
            Record::Hole { at, len } | Record::Unwritten { at, len } => drop(put.position(*at).u64(*len)),
            Record::Clone { at, len, source_offset, origin } => {
                put.position(*at).u64(*len).u64(*source_offset);
                match origin {
                    Origin::File(file) => drop(put.u32(*file)),
                    Origin::Parent(path) => drop(put.u32(0).bytes(path)),
                }
            }
            Record::End { records, data_bytes } => drop(put.u64(*records).u64(*data_bytes)),
        }
    }

    /// The bytes that follow `head`.
    pub(crate) fn payload_len(head: &[u8; RECORD_BYTES]) -> Result<usize> {
        let len = usize::try_from(Reader(&head[4..]).u32()?).unwrap_or(usize::MAX);
        if len > PAYLOAD_MAX {
            return Err(bad(format!("a record of {len} bytes: the stream is damaged")));
        }
        Ok(len)
    }

    /// Judges a record by the checksum before it; its own.
    pub(crate) fn check(head: &[u8; RECORD_BYTES], payload: &[u8], before: u32) -> Result<u32> {
        let crc = checksum(before, &head[..8], payload);
        let stored = Reader(&head[8..]).u32()?;
        if stored == crc {
            return Ok(crc);
        }
        Err(bad(format!("a record is damaged: expected checksum {crc:#010x}, found {stored:#010x}")))
    }
}

impl<'a> Record<'a> {
    /// Reads a record whose checksum fitted.
    pub(crate) fn decode(head: &[u8; RECORD_BYTES], payload: &'a [u8]) -> Result<Record<'a>> {
        let mut from = Reader(payload);
        let record = match Reader(head).u32()? {
            1 => Record::Directory {
                id: from.u32()?,
                above: from.u32()?,
                changed: from.u8()? != 0,
                attributes: from.attributes()?,
                name: from.bytes()?,
            },
            2 => Record::Absent { directory: from.u32()?, name: from.bytes()? },
            3 => {
                let (id, size, attributes) = (from.u32()?, from.u64()?, from.attributes()?);
                let (has_base, base) = (from.u8()? != 0, from.bytes()?);
                Record::File { id, size, attributes, base: has_base.then_some(base) }
            }
            4 => Record::Name { directory: from.u32()?, file: from.u32()?, name: from.bytes()? },
            5 => Record::TreeEnd,
            6 => Record::Data { at: from.position()?, bytes: from.bytes()? },
            7 => Record::Hole { at: from.position()?, len: from.u64()? },
            8 => Record::Unwritten { at: from.position()?, len: from.u64()? },
            9 => {
                let (at, len, source_offset) = (from.position()?, from.u64()?, from.u64()?);
                let origin = match from.u32()? {
                    0 => Origin::Parent(from.bytes()?),
                    file => Origin::File(file),
                };
                Record::Clone { at, len, source_offset, origin }
            }
            10 => Record::End { records: from.u64()?, data_bytes: from.u64()? },
            kind => return Err(bad(format!("a record of unknown kind {kind}"))),
        };
        if !from.0.is_empty() {
            return Err(bad(format!("a record with {} bytes too many", from.0.len())));
        }
        Ok(record)
    }
}

fn checksum(before: u32, head: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&before.to_le_bytes()), head), payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_and_any_changed_bit_is_seen() {
        let attributes = Attributes { scope: 1, created: 2, modified: 3, origin: 4 };
        let at = Position { file: 7, offset: 8192 };
        let records = [
            Record::Directory { id: 1, above: 0, changed: true, attributes, name: b"d" },
            Record::Absent { directory: 1, name: b"gone" },
            Record::File { id: 7, size: 9000, attributes, base: Some(b"d/f") },
            Record::File { id: 8, size: 0, attributes, base: None },
            Record::Name { directory: 1, file: 7, name: b"f" },
            Record::TreeEnd,
            Record::Data { at, bytes: b"bytes" },
            Record::Hole { at, len: 4096 },
            Record::Unwritten { at, len: 4096 },
            Record::Clone { at, len: 4096, source_offset: 0, origin: Origin::File(3) },
            Record::Clone { at, len: 4096, source_offset: 0, origin: Origin::Parent(b"d/f") },
            Record::End { records: 11, data_bytes: 5 },
        ];
        for record in records {
            let (bytes, crc) = record.encode(99);
            let (head, payload) = bytes.split_first_chunk::<RECORD_BYTES>().unwrap();
            assert_eq!(Record::payload_len(head).unwrap(), payload.len());
            assert_eq!(Record::check(head, payload, 99).unwrap(), crc);
            assert!(Record::check(head, payload, 98).is_err(), "a record has its place");
            assert_eq!(Record::decode(head, payload).unwrap(), record);
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let (head, payload) = damaged.split_first_chunk::<RECORD_BYTES>().unwrap();
                assert!(Record::check(head, payload, 99).is_err(), "bit {bit} of {record:?}");
            }
        }
    }

    #[test]
    fn headers_read_back_and_say_what_is_wrong() {
        let header = Header {
            identity: [1; 16],
            parent: NO_PARENT,
            created: 5,
            position: Position { file: 1, offset: 4096 },
            name: b"monday".to_vec(),
        };
        let (bytes, crc) = header.encode();
        let (fixed, name) = bytes.split_first_chunk::<HEADER_BYTES>().unwrap();
        assert_eq!(Header::name_len(fixed).unwrap(), name.len());
        assert_eq!(Header::decode(fixed, name).unwrap(), (header, crc));
        let mut newer = *fixed;
        newer[8] = 2;
        assert_eq!(Header::name_len(&newer).unwrap_err().kind(), ErrorKind::UnsupportedVersion);
        let mut foreign = *fixed;
        foreign[0] = b'x';
        assert_eq!(Header::name_len(&foreign).unwrap_err().kind(), ErrorKind::BadStream);
    }
}
