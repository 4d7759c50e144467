//! Planted inconsistencies: each is one thing that is wrong in a pool that is whole otherwise, where a check must find it, and
//! what a repair makes of it.
//!
//! | module | what is planted in |
//! |---|---|
//! | [`blocks`] | maps, reference counts, lanes, superblocks |
//! | [`names`] | directories |
//! | [`inodes`] | inodes, and the tree of names |

pub mod blocks;
pub mod inodes;
pub mod names;

use crate::anatomy::{Anatomy, DirectoryEntry, Image, Inode};
use crate::fuzz::bases::Kind;

/// What a check, or opening the pool, has to say.
#[derive(Clone, Debug)]
pub enum Finds {
    /// A problem: its structure, a part of its place and a part of its message.
    Problem(&'static str, String, &'static str),
    /// A count that is too high: the block, what was expected and found.
    Leak(String, &'static str),
    /// The pool is not opened: the kind of the error and a part of its message.
    Refusal(daxcow::ErrorKind, &'static str),
    /// Nothing: opening puts it right, or any value is right.
    Nothing,
}

/// What a repair makes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mends {
    /// Afterwards the pool is clean.
    All,
    /// Nobody can know what was there: the problem stays.
    Nothing,
    /// The pool is refused to a repair, too.
    Refused,
}

/// A pool with something wrong in it.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is wrong.
    pub what: &'static str,
    /// Its bytes.
    pub image: Image,
    /// What has to be found.
    pub finds: Finds,
    /// What a repair does.
    pub mends: Mends,
    /// Paths, with all below them, that may be changed by the damage or by its repair.
    pub touches: &'static [&'static str],
}

/// What rows are made from.
pub struct Bench<'a> {
    base: &'a Image,
    /// What the base consists of.
    pub anatomy: &'a Anatomy,
    rows: Vec<Row>,
}

impl Bench<'_> {
    /// The inode that a path names.
    ///
    /// # Panics
    /// If the base lacks it.
    #[must_use]
    pub fn inode(&self, path: &str) -> Inode {
        *self.anatomy.named(path).unwrap_or_else(|| panic!("the base has no {path}"))
    }

    /// The name that a path ends in.
    ///
    /// # Panics
    /// If the base lacks it.
    #[must_use]
    pub fn entry(&self, path: &str) -> DirectoryEntry {
        self.anatomy.entry(path).unwrap_or_else(|| panic!("the base has no {path}")).clone()
    }

    /// The block that holds file block `index` of a file.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn block(&self, path: &str, index: u64) -> u64 {
        Anatomy::block(self.base, &self.inode(path), index)
            .unwrap_or_else(|| panic!("{path} has no block {index}"))
    }

    /// The node at level 1 that leads to file block `index` of a file.
    #[must_use]
    pub fn node(&self, path: &str, index: u64) -> u64 {
        let place = Anatomy::map_word(self.base, &self.inode(path), index, 1);
        place.map_or(0, |(place, _)| self.base.word(place) & ((1 << 40) - 1))
    }

    /// Adds a row: `plant` damages the bytes.
    pub fn plant(
        &mut self,
        what: &'static str,
        finds: Finds,
        mends: Mends,
        touches: &'static [&'static str],
        plant: impl FnOnce(&mut Image),
    ) {
        let mut image = self.base.clone();
        plant(&mut image);
        assert!(image != *self.base, "{what}: nothing was planted");
        self.rows.push(Row { what, image, finds, mends, touches });
    }
}

/// All rows, planted in a pool that was closed, and those that only make sense in one that was left open.
///
/// # Panics
/// If a base lacks what is to be damaged.
#[must_use]
pub fn rows(bases: &crate::fuzz::bases::Bases) -> Vec<Row> {
    let mut rows = Vec::new();
    for base in bases.iter() {
        let mut bench = Bench { base: &base.image, anatomy: &base.anatomy, rows: Vec::new() };
        match base.kind {
            Kind::Closed => {
                blocks::plant(&mut bench);
                names::plant(&mut bench);
                inodes::plant(&mut bench);
            }
            Kind::Open => blocks::plant_left_open(&mut bench),
            _ => {}
        }
        rows.extend(bench.rows);
    }
    rows
}
