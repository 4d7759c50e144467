//! Changed fields of a pool's structures, with checksums mended: what a program with a bug, or an attacker, writes.

use arbitrary::{Arbitrary, Unstructured};

use super::Bench;
use super::bases::Base;
use super::examine::{Mode, examine};
use crate::anatomy::parts::{LANES, RUNTIME, SLOTS, SUPERBLOCKS, count, hint};
use crate::anatomy::words::{BLOCK, CONTENT, Salt, entry_place, seal};
use crate::anatomy::{Anatomy, Image, write};

/// Which structure.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the structures are those of docs/format.md")]
pub enum Structure {
    Superblock,
    Inode,
    MapEntry,
    Root,
    Bucket,
    Name,
    Lane,
    Count,
    Runtime,
    Slot,
}

/// What a field becomes.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// Any number.
    Any(u64),
    /// A small number.
    Small(u8),
    /// So much more.
    More(i8),
    /// One bit flips.
    Flip(u8),
    /// What the same field of another structure of the kind holds.
    OfAnother(u16),
    /// The block of a map node, a directory, the inode table or data.
    BlockOf(u16),
    /// A number at an edge: the ends of the areas, of the pool, of 40, 48 and 64 bits.
    Edge(u8),
}

/// One change.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// The kind of structure.
    pub structure: Structure,
    /// Which of its kind.
    pub index: u16,
    /// Which field of it.
    pub field: u8,
    /// What it becomes.
    pub value: Value,
    /// Whether its checksum is mended.
    pub sealed: bool,
}

/// An input, read.
#[derive(Arbitrary, Clone, PartialEq, Eq, Debug)]
pub struct Input {
    /// The base, and what is done with it.
    pub base: u8,
    /// What is changed.
    pub changes: Vec<Change>,
}

const CHANGES_MAX: usize = 24;

/// Tries one input.
pub(super) fn run(bench: &Bench, input: &[u8]) -> Result<(), String> {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(input)) else { return Ok(()) };
    let base = bench.bases.choose(input.base);
    let mut image = base.image.clone();
    for change in input.changes.iter().take(CHANGES_MAX) {
        apply(&mut image, base, change);
    }
    image.store_over(&bench.place.pool()).map_err(|error| error.to_string())?;
    examine(&bench.place.pool(), Mode::of(input.base / 8)).map(drop)
}

fn pick<T: Copy>(from: &[T], number: impl Into<u64>) -> Option<T> {
    let count = from.len() as u64;
    let index = number.into().checked_rem(count)?;
    from.get(usize::try_from(index).unwrap_or(0)).copied()
}

fn edge(image: &Image, number: u8) -> u64 {
    let blocks = image.len() / BLOCK;
    let edges = [
        0,
        1,
        511,
        512,
        513,
        2047,
        2048,
        2559,
        2560,
        blocks - 1,
        blocks,
        blocks + 1,
        image.len(),
        image.len() - 8,
    ];
    let wide =
        [(1 << 40) - 1, 1 << 40, CONTENT, 1 << 48, u64::MAX, u64::MAX - 7, 1 << 63, u64::from(u32::MAX)];
    let all = edges.into_iter().chain(wide).collect::<Vec<_>>();
    pick(&all, number).unwrap_or(0)
}

impl Value {
    /// The value of the change, where the field holds `old` and `of(n)` is what that of the `n`-th other structure holds.
    fn of(self, image: &Image, anatomy: &Anatomy, old: u64, other: impl Fn(u16) -> u64) -> u64 {
        match self {
            Value::Any(any) => any,
            Value::Small(small) => small.into(),
            Value::More(more) => old.wrapping_add_signed(more.into()),
            Value::Flip(bit) => old ^ 1 << (bit % 64),
            Value::OfAnother(number) => other(number),
            Value::BlockOf(number) => {
                let nodes = anatomy.nodes.iter().map(|node| node.block);
                let buckets = anatomy.buckets.keys().map(|at| at / BLOCK);
                let inodes = anatomy.inodes.iter().map(|inode| inode.at / BLOCK);
                let all: Vec<u64> =
                    nodes.chain(buckets).chain(inodes).chain(anatomy.data.iter().copied()).collect();
                pick(&all, number).unwrap_or(0)
            }
            Value::Edge(number) => edge(image, number),
        }
    }
}

fn apply(image: &mut Image, base: &Base, change: &Change) {
    let Change { structure, index, field, value, sealed } = *change;
    let anatomy = &base.anatomy;
    let field = u64::from(field);
    match structure {
        Structure::Superblock => {
            let at = SUPERBLOCKS[usize::from(index % 2)];
            let place = at + field % 22 * 8;
            let new = value
                .of(image, anatomy, image.word(place), |other| image.word(at + u64::from(other) % 64 * 8));
            image.set_word(place, new);
            if sealed {
                write::seal_superblock(image, at);
            }
        }
        Structure::Inode => {
            let Some(inode) = pick(&anatomy.inodes, index) else { return };
            let offset = field % 32 * 8;
            let place = inode.at + offset;
            let other =
                |number| pick(&anatomy.inodes, number).map_or(0, |other| image.word(other.at + offset));
            let new = value.of(image, anatomy, image.word(place), other);
            let salt = [Salt::Kind, Salt::Links, Salt::Root, Salt::Size];
            match salt.get(usize::try_from(field % 32).unwrap_or(0)) {
                Some(Salt::Root) if sealed => image.set_word(place, seal(new, Salt::Root, 0)),
                Some(&salt) if sealed => image.set_word(place, seal(new, salt, inode.number)),
                _ => image.set_word(place, new),
            }
            if sealed && (32..72).contains(&offset) {
                write::seal_birth(image, inode.at);
            }
        }
        Structure::Root => {
            // The block with a height of its own: the root word as a whole is an inode's field.
            let Some(inode) = pick(&anatomy.inodes, index) else { return };
            let block = value.of(image, anatomy, image.word(inode.at + 16) & ((1 << 40) - 1), |_| 0);
            write::set_root(image, &inode, block, field % 8, field / 8 % 4);
        }
        Structure::MapEntry => {
            let Some(node) = pick(&anatomy.nodes, index) else { return };
            // Mostly a slot that holds something.
            let used: Vec<u64> =
                (0..512).filter(|slot| image.word(node.block * BLOCK + slot * 8) != 0).collect();
            let slot = if field < 192 { pick(&used, field).unwrap_or(field) } else { field };
            let place = node.block * BLOCK + slot * 8;
            let other = |number| image.word(node.block * BLOCK + u64::from(number) % 512 * 8);
            let mut new = value.of(image, anatomy, image.word(place), other);
            if matches!(value, Value::BlockOf(_) | Value::Edge(_)) {
                new = new & ((1 << 40) - 1) | 1 << 40;
            }
            let word =
                if sealed { seal(new, Salt::MapEntry, entry_place(slot, node.level - 1)) } else { new };
            image.set_word(place, word);
        }
        Structure::Bucket => {
            let buckets: Vec<u64> = anatomy.buckets.keys().copied().collect();
            let Some(at) = pick(&buckets, index) else { return };
            let place = at + field % 4 * 8;
            let other = |number| pick(&buckets, number).map_or(0, |other| image.word(other + field % 4 * 8));
            let new = value.of(image, anatomy, image.word(place), other);
            image.set_word(
                place,
                if sealed && field % 4 == 3 { u64::from_le_bytes(*b"dirsplit") } else { new },
            );
        }
        Structure::Name => {
            let places: Vec<u64> = anatomy.entries.iter().map(|entry| entry.at()).collect();
            let Some(at) = pick(&places, index) else { return };
            let place = at + field % 8 * 8;
            let other = |number| pick(&places, number).map_or(0, |other| image.word(other + field % 8 * 8));
            image.set_word(place, value.of(image, anatomy, image.word(place), other));
            if sealed {
                write::seal_name(image, at);
            }
        }
        Structure::Lane => {
            let places = [
                anatomy.inodes.iter().map(|inode| inode.at).collect::<Vec<_>>(),
                anatomy.buckets.keys().copied().collect(),
            ]
            .concat();
            let near = pick(&places, index).unwrap_or(0) + field % 32 * 8;
            let place = match value {
                Value::Edge(number) => edge(image, number),
                Value::BlockOf(_) => value.of(image, anatomy, 0, |_| 0) * BLOCK + field % 512 * 8,
                _ => near,
            };
            let stored = value.of(image, anatomy, image.word(place), |_| 0);
            write::set_lane(image, u64::from(index) % 256, field % 4, &[(place, stored)]);
            if !sealed {
                image.set_word(LANES + (u64::from(index) % 256 * 4 + field % 4) * BLOCK + 8, stored);
            }
        }
        Structure::Count => {
            let block = 2560 + u64::from(index) % (image.len() / BLOCK - 2560);
            if sealed {
                let new = value.of(image, anatomy, image.half(count(block)).into(), |_| 0);
                image.set_half(count(block), u32::try_from(new & 0xffff_ffff).unwrap_or(0));
            } else {
                let place = hint(block) / 4 * 4;
                let new = value.of(image, anatomy, image.half(place).into(), |_| 0);
                image.set_half(place, u32::try_from(new & 0xffff_ffff).unwrap_or(0));
            }
        }
        Structure::Runtime => {
            let place = RUNTIME + field % 32 * 8;
            image.set_word(place, value.of(image, anatomy, image.word(place), |_| 0));
        }
        Structure::Slot => {
            let place = SLOTS + u64::from(index) % 256 * BLOCK + field % 160 * 8;
            image.set_word(place, value.of(image, anatomy, image.word(place), |_| 0));
        }
    }
}
