//! What the tests of daxcow are made of.
//!
//! | module | what it holds |
//! |---|---|
//! | [`rng`] | random numbers that never change, seeds from the environment |
//! | [`place`] | directories for test pools |
//! | [`content`] [`model`] | the reference model: what a pool should hold |
//! | [`op`] [`generate`] | operations as data, and random ones |
//! | [`session`] [`compare`] [`views`] | a pool and the model in step, and judging what the pool gave |
//! | [`campaign`] | random runs, shortening of those that go wrong |
//! | [`storm`] [`worker`] | several processes on one pool, and random kills |
//! | [`fixture`] | short forms of what nearly every test does |
//! | [`probes`] [`process`] [`system`] | what a test has other processes do |
//! | [`sequences`] [`aftermath`] | operations to be interrupted, and judging what is left |
//! | [`deaths`] | death at a chosen step |
//! | `images` | crash images (feature `sim`) |
//! | [`tree`] | all that is known of a directory, for comparing it with another |
//! | [`source`] | the text of the project itself |
//!
//! The tests themselves are in `tests/tests/`. Each random test prints its seed and the command that replays it.

pub mod aftermath;
pub mod campaign;
pub mod compare;
pub mod content;
pub mod deaths;
pub mod fixture;
pub mod generate;
#[cfg(feature = "sim")]
pub mod images;
pub mod model;
pub mod op;
pub mod place;
pub mod probes;
pub mod process;
pub mod rng;
pub mod sequences;
pub mod session;
pub mod source;
pub mod storm;
pub mod system;
pub mod tree;
pub mod views;
pub mod worker;
