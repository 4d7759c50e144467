//! The stream of a snapshot, taken apart and put together again: records can be changed, moved and left out, and the chain of
//! checksums is mended.

/// Bytes of a header before the name.
const HEADER_BYTES: usize = 80;
/// Bytes of a record before its payload.
const RECORD_BYTES: usize = 12;

/// What a record is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the kinds are those of docs/format.md")]
pub enum Kind {
    Directory = 1,
    Absent,
    File,
    Name,
    TreeEnd,
    Data,
    Hole,
    Unwritten,
    Clone,
    End,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 10] = [
        Kind::Directory,
        Kind::Absent,
        Kind::File,
        Kind::Name,
        Kind::TreeEnd,
        Kind::Data,
        Kind::Hole,
        Kind::Unwritten,
        Kind::Clone,
        Kind::End,
    ];

    /// Offset and width of the numbers at the start of the payload, the length of what follows them left out.
    #[must_use]
    pub const fn fields(self) -> &'static [(usize, usize)] {
        match self {
            Kind::Directory => &[(0, 4), (4, 4), (8, 1), (9, 1), (10, 8), (18, 8), (26, 8)],
            Kind::Absent => &[(0, 4)],
            Kind::File => &[(0, 4), (4, 8), (12, 1), (13, 8), (21, 8), (29, 8), (37, 1)],
            Kind::Name => &[(0, 4), (4, 4)],
            Kind::TreeEnd => &[],
            Kind::Data => &[(0, 4), (4, 8)],
            Kind::Hole | Kind::Unwritten => &[(0, 4), (4, 8), (12, 8)],
            Kind::Clone => &[(0, 4), (4, 8), (12, 8), (20, 8), (28, 4)],
            Kind::End => &[(0, 8), (8, 8)],
        }
    }

    /// Whether the numbers are followed by bytes with their length.
    #[must_use]
    pub const fn has_bytes(self) -> bool {
        matches!(self, Kind::Directory | Kind::Absent | Kind::File | Kind::Name | Kind::Data | Kind::Clone)
    }
}

/// The file that a clone copies from.
const CLONE_SOURCE: (usize, usize) = (28, 4);

/// Offset and width of the numbers of a header.
pub const HEADER_FIELDS: [(usize, usize); 13] = [
    (0, 8),
    (8, 4),
    (12, 4),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 8),
    (56, 8),
    (64, 4),
    (68, 4),
    (72, 4),
    (76, 4),
];
/// Where the header says at which offset and in which file the stream goes on.
pub const POSITION: [(usize, usize); 2] = [(56, 8), (64, 4)];

/// The number at a place of some bytes; 0 where they end before it.
#[must_use]
pub fn number(bytes: &[u8], (at, width): (usize, usize)) -> u64 {
    let Some(found) = bytes.get(at..at + width) else { return 0 };
    found.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Stores the low bytes of a number at a place that the bytes reach to.
pub fn set_number(bytes: &mut [u8], (at, width): (usize, usize), number: u64) {
    if let Some(place) = bytes.get_mut(at..at + width) {
        place.copy_from_slice(&number.to_le_bytes()[..width]);
    }
}

/// A record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its kind, or a number that stands for none.
    pub kind: u32,
    /// What it says.
    pub payload: Vec<u8>,
}

impl Record {
    /// One of zeros and an empty name.
    #[must_use]
    pub fn empty(kind: Kind) -> Record {
        let numbers = kind.fields().last().map_or(0, |(at, width)| at + width);
        Record { kind: kind as u32, payload: vec![0; numbers + if kind.has_bytes() { 4 } else { 0 }] }
    }

    /// What it is, if it is anything.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Kind::ALL.into_iter().find(|&kind| kind as u32 == self.kind)
    }

    /// Stores a number. A clone names a path exactly where it names no file as its source.
    pub fn set_field(&mut self, field: (usize, usize), value: u64) {
        set_number(&mut self.payload, field, value);
        if self.kind() == Some(Kind::Clone) && field == CLONE_SOURCE {
            self.payload.truncate(CLONE_SOURCE.0 + CLONE_SOURCE.1);
            if number(&self.payload, CLONE_SOURCE) == 0 {
                self.set_bytes(&[]);
            }
        }
    }

    /// Puts other bytes, and their length, behind the numbers.
    pub fn set_bytes(&mut self, bytes: &[u8]) {
        let Some(kind) = self.kind().filter(|kind| kind.has_bytes()) else { return };
        self.payload.truncate(kind.fields().last().map_or(0, |(at, width)| at + width));
        self.payload.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.payload.extend(bytes);
    }

    /// The bytes behind the numbers and their length.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let numbers = self.kind().and_then(|kind| kind.fields().last()).map_or(0, |(at, width)| at + width);
        self.payload.get(numbers + 4..).unwrap_or_default()
    }
}

/// A stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stream {
    /// The numbers of the header.
    pub header: Vec<u8>,
    /// The name of the snapshot.
    pub name: Vec<u8>,
    /// What follows.
    pub records: Vec<Record>,
}

impl Stream {
    /// Takes a whole stream apart.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Stream> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let (name, mut rest) = rest.split_at_checked(usize::try_from(number(header, (68, 4))).ok()?)?;
        let mut records = Vec::new();
        while !rest.is_empty() {
            let (head, after) = rest.split_at_checked(RECORD_BYTES)?;
            let (payload, after) = after.split_at_checked(usize::try_from(number(head, (4, 4))).ok()?)?;
            records
                .push(Record { kind: u32::try_from(number(head, (0, 4))).ok()?, payload: payload.to_vec() });
            rest = after;
        }
        Some(Stream { header: header.to_vec(), name: name.to_vec(), records })
    }

    /// Its bytes. Where it is `sealed` the checksum of the header and the counts of the end are made to fit.
    #[must_use]
    pub fn bytes(&self, sealed: bool) -> Vec<u8> {
        let mut bytes = self.header.clone();
        if sealed {
            let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..76]), &self.name);
            set_number(&mut bytes, (76, 4), crc.into());
        }
        let mut crc = u32::try_from(number(&bytes, (76, 4))).unwrap_or(0);
        bytes.extend(&self.name);
        let mut data_bytes = 0;
        for (index, record) in (0u64..).zip(&self.records) {
            let mut payload = record.payload.clone();
            match record.kind() {
                Some(Kind::Data) => data_bytes += record.bytes().len() as u64,
                Some(Kind::End) if sealed => {
                    set_number(&mut payload, (0, 8), index);
                    set_number(&mut payload, (8, 8), data_bytes);
                }
                _ => {}
            }
            let head = [record.kind, u32::try_from(payload.len()).unwrap_or(u32::MAX)]
                .map(u32::to_le_bytes)
                .concat();
            let chained = crc32c::crc32c_append(crc32c::crc32c(&crc.to_le_bytes()), &head);
            crc = crc32c::crc32c_append(chained, &payload);
            bytes.extend(head);
            bytes.extend(crc.to_le_bytes());
            bytes.extend(payload);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::Stream;
    use crate::fixture::{new_pool, put, snapshot};
    use crate::place::Place;

    #[test]
    fn a_stream_that_is_taken_apart_and_put_together_is_the_same() {
        let place = Place::new();
        let pool = new_pool(&place, 16);
        pool.create_dir("/d").expect("a directory");
        put(&pool, "/d/f", &[7; 10_000]);
        snapshot(&pool, "s");
        let mut bytes = Vec::new();
        pool.send("s", daxcow::SendOptions::new(), &mut bytes).expect("send");
        let stream = Stream::parse(&bytes).expect("a stream");
        assert!(stream.records.len() > 5);
        assert_eq!(stream.bytes(false), bytes);
        assert_eq!(stream.bytes(true), bytes, "counts and checksums are computed as the sender does");
    }
}
