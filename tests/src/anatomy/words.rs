//! Checksums and packed words of the pool format, written down a second time from docs/format.md: a mistake in the
//! backend's own code cannot hide behind itself.

/// Bytes of a block.
pub const BLOCK: u64 = 4096;
/// The flag of a map entry that names a block.
pub const PRESENT: u64 = 1;
/// The flag of a data block that was never written.
pub const UNWRITTEN: u64 = 2;

/// What kind of word a check is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the kinds of words are those of docs/format.md")]
pub enum Salt {
    MapEntry = 1,
    Root = 2,
    Size = 3,
    Links = 4,
    Kind = 5,
}

/// Bits of content in a checked word.
pub const CONTENT: u64 = (1 << 48) - 1;

/// The checked word that holds the lower 48 bits of `content` at `place`.
#[must_use]
pub const fn seal(content: u64, salt: Salt, place: u64) -> u64 {
    let content = content & CONTENT;
    let salted = content ^ (salt as u64) << 56 ^ (place << 40).rotate_left(7);
    let mixed = salted.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    content | mixed >> 48 << 48
}

/// Whether the check bits of a word fit.
#[must_use]
pub const fn fits(word: u64, salt: Salt, place: u64) -> bool {
    seal(word, salt, place) == word
}

/// The place of a map entry in its check: its slot in the node, and the level of the block that it names.
#[must_use]
pub const fn entry_place(slot: u64, level: u64) -> u64 {
    slot << 3 | level
}

/// The content of a map entry.
#[must_use]
pub const fn entry(block: u64, flags: u64) -> u64 {
    block & ((1 << 40) - 1) | flags << 40
}

/// The content of a root word.
#[must_use]
pub const fn root(block: u64, height: u64, flags: u64) -> u64 {
    block & ((1 << 40) - 1) | (height & 7) << 40 | flags << 43
}

/// The content of a kind word.
#[must_use]
pub const fn kind(kind: u64, snapshot: bool, generation: u64) -> u64 {
    kind | (snapshot as u64) << 8 | generation << 16
}
