//! What the tests of daxcow are made of.
//!
//! | module | what it holds |
//! |---|---|
//! | [`rng`] | random numbers that never change, seeds from the environment |
//! | [`place`] | directories for test pools |
//! | [`content`] [`model`] | the reference model: what a pool should hold |
//! | [`op`] [`generate`] | operations as data, and random ones |
//! | [`session`] [`compare`] [`views`] [`mapped`] [`streamed`] | a pool and the model in step, and judging what the pool gave |
//! | [`campaign`] | random runs, shortening of those that go wrong |
//! | [`storm`] [`worker`] | several processes on one pool, and random kills |
//! | [`fixture`] | short forms of what nearly every test does |
//! | [`poison`] | memory that is lost under a mapping |
//! | [`power`] | a writer whose machine loses power, and the judge of what is left |
//! | [`probes`] [`process`] [`system`] | what a test has other processes do |
//! | [`sequences`] [`aftermath`] | operations to be interrupted, and judging what is left |
//! | `kill` | deaths at every step, beside others that work on (feature `sim`) |
//! | [`anatomy`] | the structures in a pool's bytes, found and changed without the backend |
//! | [`fuzz`] | inputs made of bytes, and what a pool does with them |
//! | [`planted`] | inconsistencies that a check must find, and what a repair makes of them |
//! | `images` | crash images (feature `sim`) |
//! | [`sending`] | short forms for tests of send and receive |
//! | [`tree`] | all that is known of a directory, for comparing it with another |
//! | [`source`] | the text of the project itself |
//!
//! The tests themselves are in `tests/tests/`. Each random test prints its seed and the command that replays it.

pub mod aftermath;
pub mod anatomy;
pub mod campaign;
pub mod compare;
pub mod content;
pub mod fixture;
pub mod fuzz;
pub mod generate;
#[cfg(feature = "sim")]
pub mod images;
#[cfg(feature = "sim")]
pub mod kill;
pub mod mapped;
pub mod model;
pub mod op;
pub mod place;
pub mod planted;
pub mod poison;
pub mod power;
pub mod probes;
pub mod process;
pub mod rng;
pub mod sending;
pub mod sequences;
pub mod session;
pub mod source;
pub mod storm;
pub mod streamed;
pub mod system;
pub mod tree;
pub mod views;
pub mod worker;
