//! Check bits of words that one 8-byte store publishes: 48 bits of content, 16 bits of check.
//!
//! The check covers the content and a salt that says what kind of word it is and where it stands, so that stray words,
//! words of another kind and words that landed in the wrong place are all told apart from good ones.

/// Bits of content in a checked word.
pub(crate) const CONTENT_BITS: u32 = 48;
/// The content of a checked word.
pub(crate) const CONTENT_MASK: u64 = (1 << CONTENT_BITS) - 1;

/// What kind of word it is: the first part of the salt.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum Salt {
    /// A map entry; the place is its level and its slot in the node.
    MapEntry = 0x1,
    /// The root of a file's extent map.
    Root = 0x2,
    /// The size of a file.
    Size = 0x3,
    /// The links of an inode.
    Links = 0x4,
    /// The kind, flags and generation of an inode.
    Kind = 0x5,
}

const fn check(content: u64, salt: Salt, place: u64) -> u64 {
    let mixed =
        (content ^ ((salt as u64) << 56) ^ (place << 40).rotate_left(7)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed >> CONTENT_BITS
}

/// The word that holds `content`, whose upper 16 bits must be clear, at `place`.
pub(crate) const fn seal(content: u64, salt: Salt, place: u64) -> u64 {
    debug_assert!(content <= CONTENT_MASK);
    content | check(content, salt, place) << CONTENT_BITS
}

/// 0 where the check bits of `word` fit.
pub(crate) const fn mismatch(word: u64, salt: Salt, place: u64) -> u64 {
    check(word & CONTENT_MASK, salt, place) ^ word >> CONTENT_BITS
}

/// The content of `word`, or nothing where its check bits do not fit.
pub(crate) const fn open(word: u64, salt: Salt, place: u64) -> Option<u64> {
    let content = word & CONTENT_MASK;
    if mismatch(word, salt, place) == 0 { Some(content) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_or_a_wrong_place_is_seen() {
        let word = seal(0x1234_5678_9ABC, Salt::MapEntry, 77);
        assert_eq!(open(word, Salt::MapEntry, 77), Some(0x1234_5678_9ABC));
        for bit in 0..64 {
            assert_eq!(open(word ^ 1 << bit, Salt::MapEntry, 77), None, "bit {bit}");
        }
        assert_eq!(open(word, Salt::MapEntry, 78), None);
        assert_eq!(open(word, Salt::Size, 77), None);
        assert_eq!(open(0, Salt::MapEntry, 77), None);
    }
}
