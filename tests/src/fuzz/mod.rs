//! Inputs made of bytes, and what a pool does with them: the drivers of the fuzz targets in `fuzz/`, which `cargo test` runs too.
//!
//! | module | what an input is |
//! |---|---|
//! | [`image_bytes`] | patches of a pool's bytes, checksums left as they are |
//! | [`fields`] | changed fields of a pool's structures, checksums mended where the input says so |
//! | [`paths`] | paths of pools, and in pools |
//! | [`names`] | names as SQLite and RocksDB give them to their adapters |
//! | [`operations`] | operations, performed on a pool and on the model |
//! | [`streams`] | streams of snapshots with changed records, received |
//!
//! | module | what else |
//! |---|---|
//! | [`bases`] | the pools that inputs damage, kept in the tree |
//! | `clock` | how long a call may take |
//! | [`examine`] | using everything in a damaged pool |
//! | [`runner`] | the corpus in the tree, and seeded random inputs, without a fuzzer |
//!
//! Whatever the input, no driver may panic, hang, die, fill the memory, or be told a lie.

pub mod bases;
mod clock;
pub mod examine;
pub mod fields;
pub mod image_bytes;
pub mod names;
pub mod operations;
pub mod paths;
pub mod runner;
pub mod streams;

use crate::place::Place;

/// What an input drives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// [`image_bytes`].
    ImageBytes,
    /// [`fields`].
    Fields,
    /// [`paths`].
    Paths,
    /// [`operations`].
    Operations,
    /// [`streams`].
    Streams,
    /// [`names`].
    Names,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 6] = [
        Target::ImageBytes,
        Target::Fields,
        Target::Paths,
        Target::Operations,
        Target::Streams,
        Target::Names,
    ];

    /// The name of the target in `fuzz/`, and of its corpus.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Target::ImageBytes => "image_bytes",
            Target::Fields => "fields",
            Target::Paths => "paths",
            Target::Operations => "operations",
            Target::Streams => "streams",
            Target::Names => "names",
        }
    }
}

/// Where one process tries its inputs, one after the other.
#[derive(Debug)]
pub struct Bench {
    place: Place,
    bases: bases::Bases,
}

impl Bench {
    /// A directory for the pools, and the pools of the tree to damage.
    ///
    /// # Panics
    /// If one of both cannot be had.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a directory on the host is no default value")]
    pub fn new() -> Bench {
        Bench { place: Place::new(), bases: bases::Bases::load() }
    }

    /// Tries one input.
    ///
    /// # Errors
    /// What went wrong: something that no input may bring about.
    pub fn run(&self, target: Target, input: &[u8]) -> Result<(), String> {
        match target {
            Target::ImageBytes => image_bytes::run(self, input),
            Target::Fields => fields::run(self, input),
            Target::Paths => paths::run(self, input),
            Target::Operations => operations::run(self, input),
            Target::Streams => streams::run(self, input),
            Target::Names => names::run(self, input),
        }
    }
}
