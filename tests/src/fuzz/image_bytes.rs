//! Patches of a pool's bytes, checksums left as they are: what bad media and stray stores do.

use arbitrary::{Arbitrary, Unstructured};

use super::Bench;
use super::examine::{Mode, examine};
use crate::anatomy::Image;

/// Bytes of a pool that are to be others.
#[derive(Arbitrary, Clone, PartialEq, Eq, Debug)]
pub struct Patch {
    /// The block, of those that hold something; every 16th time any block of the pool.
    pub block: u16,
    /// Where in the block, in words of 8 bytes.
    pub word: u16,
    /// What is done there.
    pub how: How,
}

/// How bytes become others.
#[derive(Arbitrary, Clone, PartialEq, Eq, Debug)]
pub enum How {
    /// One bit flips.
    Flip(u8),
    /// A word is another.
    Word(u64),
    /// A word is that of another place.
    Copy {
        /// The other block.
        block: u16,
        /// The word in it.
        word: u16,
    },
    /// A whole block is another.
    Block(u16),
    /// A whole block is zeros.
    Zeros,
}

/// An input, read.
#[derive(Arbitrary, Clone, PartialEq, Eq, Debug)]
pub struct Input {
    /// The base, and what is done with it.
    pub base: u8,
    /// What is changed.
    pub patches: Vec<Patch>,
}

const PATCHES_MAX: usize = 24;

/// Tries one input.
pub(super) fn run(bench: &Bench, input: &[u8]) -> Result<(), String> {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(input)) else { return Ok(()) };
    let base = bench.bases.choose(input.base);
    let mut image = base.image.clone();
    let blocks: Vec<u64> = base.image.blocks().collect();
    for patch in input.patches.iter().take(PATCHES_MAX) {
        apply(&mut image, &blocks, patch);
    }
    image.store_over(&bench.place.pool()).map_err(|error| error.to_string())?;
    examine(&bench.place.pool(), Mode::of(input.base / 8)).map(drop)
}

fn choose(image: &Image, blocks: &[u64], number: u16) -> u64 {
    let number = u64::from(number);
    if number % 16 == 15 {
        return number / 16 % (image.len() / 4096);
    }
    blocks[usize::try_from(number).expect("small") % blocks.len()]
}

fn apply(image: &mut Image, blocks: &[u64], patch: &Patch) {
    let place = |image: &Image, block, word| choose(image, blocks, block) * 4096 + u64::from(word) % 512 * 8;
    let at = place(image, patch.block, patch.word);
    match patch.how {
        How::Flip(bit) => image.set_word(at, image.word(at) ^ 1 << (bit % 64)),
        How::Word(word) => image.set_word(at, word),
        How::Copy { block, word } => image.set_word(at, image.word(place(image, block, word))),
        How::Block(other) => {
            let from = choose(image, blocks, other) * 4096;
            image.set_bytes(at / 4096 * 4096, &image.bytes(from, 4096));
        }
        How::Zeros => image.set_bytes(at / 4096 * 4096, &[0; 4096]),
    }
}
