//! What is changed in a stream before it is received.

use arbitrary::Arbitrary;

use crate::anatomy::stream::{HEADER_FIELDS, Kind, Record, Stream, number, set_number};

/// What a number becomes.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Value {
    Any(u64),
    Small(u8),
    Blocks(u16),
    More(i8),
    Flip(u8),
    Edge(u8),
}

impl Value {
    fn of(self, old: u64) -> u64 {
        const EDGES: [u64; 16] = [
            4095,
            (128 << 10) - 1,
            128 << 10,
            1 << 20,
            u32::MAX as u64,
            1 << 32,
            (1 << 40) - 4096,
            1 << 40,
            1 << 47,
            (1 << 48) - 4096,
            (1 << 48) - 1,
            1 << 48,
            1 << 63,
            u64::MAX - 4095,
            u64::MAX - 1,
            u64::MAX,
        ];
        match self {
            Value::Any(any) => any,
            Value::Small(small) => small.into(),
            Value::Blocks(blocks) => u64::from(blocks) * 4096,
            Value::More(more) => old.wrapping_add_signed(more.into()),
            Value::Flip(bit) => old ^ 1 << (bit % 64),
            Value::Edge(edge) => EDGES[usize::from(edge) % EDGES.len()],
        }
    }
}

/// What the bytes behind a record's numbers become.
#[derive(Arbitrary, Clone, PartialEq, Eq, Debug)]
pub(super) enum Bytes {
    Any(Vec<u8>),
    /// Those of another record.
    OfAnother(u8),
    /// A path of the parent, or a name.
    Known(u8),
    /// So many of one byte.
    Many(u16, u8),
}

/// One change of a stream.
#[derive(Arbitrary, Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Field {
        record: u8,
        field: u8,
        value: Value,
    },
    Header {
        field: u8,
        value: Value,
    },
    Bytes {
        record: u8,
        bytes: Bytes,
    },
    Name(Vec<u8>),
    KindOf {
        record: u8,
        kind: u8,
    },
    Remove(u8),
    Double {
        record: u8,
        at: u8,
    },
    Swap(u8, u8),
    Insert {
        at: u8,
        kind: u8,
    },
    /// Directories in one another.
    Nest {
        at: u8,
        levels: u16,
    },
    CutPayload {
        record: u8,
        len: u8,
    },
}

fn pick<T>(from: &[T], number: u8) -> Option<usize> {
    usize::from(number).checked_rem(from.len())
}

pub(super) fn apply(stream: &mut Stream, change: &Change) {
    const NAMES: [&[u8]; 10] =
        [b"a", b"d/e/f", b"tall", b".", b"..", b".snapshots", b"d", b"many/3", b"a/b", b".receiving-0"];
    let records = &mut stream.records;
    match change {
        Change::Field { record, field, value } => {
            let Some(record) = pick(records, *record).map(|index| &mut records[index]) else { return };
            let fields = record.kind().map_or(&[][..], Kind::fields);
            let Some(field) = pick(fields, *field).map(|index| fields[index]) else { return };
            let new = value.of(number(&record.payload, field));
            record.set_field(field, new);
        }
        Change::Header { field, value } => {
            let field = HEADER_FIELDS[usize::from(*field) % HEADER_FIELDS.len()];
            let new = value.of(number(&stream.header, field));
            set_number(&mut stream.header, field, new);
        }
        Change::Bytes { record, bytes } => {
            let Some(index) = pick(records, *record) else { return };
            let bytes = match bytes {
                Bytes::Any(bytes) => bytes.clone(),
                Bytes::OfAnother(other) => {
                    pick(records, *other).map_or_else(Vec::new, |other| records[other].bytes().to_vec())
                }
                Bytes::Known(known) => NAMES[usize::from(*known) % NAMES.len()].to_vec(),
                Bytes::Many(count, byte) => vec![*byte; usize::from(*count) * 4],
            };
            records[index].set_bytes(&bytes);
        }
        Change::Name(name) => {
            set_number(&mut stream.header, (68, 4), name.len() as u64);
            stream.name.clone_from(name);
        }
        Change::KindOf { record, kind } => {
            if let Some(index) = pick(records, *record) {
                records[index].kind = u32::from(*kind % 12);
            }
        }
        Change::Remove(record) => {
            if let Some(index) = pick(records, *record) {
                records.remove(index);
            }
        }
        Change::Double { record, at } => {
            if let (Some(index), Some(at)) = (pick(records, *record), pick(records, *at)) {
                records.insert(at, records[index].clone());
            }
        }
        Change::Swap(one, other) => {
            if let (Some(one), Some(other)) = (pick(records, *one), pick(records, *other)) {
                records.swap(one, other);
            }
        }
        Change::Insert { at, kind } => {
            let kind = Kind::ALL[usize::from(*kind) % Kind::ALL.len()];
            let at = pick(records, *at).unwrap_or(0);
            records.insert(at, Record::empty(kind));
        }
        Change::Nest { at, levels } => {
            let at = pick(records, *at).unwrap_or(0);
            let mut above = 0;
            let nested = (0..u64::from(*levels % 2048)).map(|level| {
                let mut record = Record::empty(Kind::Directory);
                set_number(&mut record.payload, (0, 4), 1_000_000 + level);
                set_number(&mut record.payload, (4, 4), above);
                record.set_bytes(b"deeper");
                above = 1_000_000 + level;
                record
            });
            records.splice(at..at, nested.collect::<Vec<_>>());
        }
        Change::CutPayload { record, len } => {
            if let Some(index) = pick(records, *record) {
                records[index].payload.truncate(usize::from(*len));
            }
        }
    }
}
