//! Mappings of files: loads and stores through their pointers.
#![expect(unsafe_code, reason = "a mapping hands out a pointer, and what is found there is what is tested")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use daxcow::{File, Mapping, MappingMut};

use crate::op::Span;
use crate::rng::pattern;

/// A mapping of a file.
pub trait Mapped {
    /// Its first byte.
    fn start(&self) -> *const u8;
    /// Its bytes.
    fn bytes(&self) -> usize;
}

impl Mapped for Mapping {
    fn start(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes(&self) -> usize {
        self.len()
    }
}

impl Mapped for MappingMut {
    fn start(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes(&self) -> usize {
        self.len()
    }
}

/// Stores `bytes` at `offset`.
///
/// # Panics
/// If they pass the end.
pub fn store(mapping: &MappingMut, offset: usize, bytes: &[u8]) {
    assert!(offset + bytes.len() <= mapping.len(), "{offset}+{} is beyond {}", bytes.len(), mapping.len());
    // SAFETY: within the mapping, as was just checked.
    let to = unsafe { mapping.as_mut_ptr().add(offset) };
    // SAFETY: the mapping promises that its bytes can be stored to; `bytes` is borrowed, and lies elsewhere.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
}

/// Stores the bytes of `seed` through a mapping made for that, and flushes them.
///
/// # Errors
/// As [`File::map_mut`], [`MappingMut::prefault`] and [`MappingMut::flush`].
///
/// # Panics
/// If the range passes the end.
pub fn store_flushed(file: &File, span: Span, seed: u64) -> daxcow::Result<()> {
    let index = |at: u64| usize::try_from(at).expect("a span fits memory");
    let mapping = file.map_mut(0, span.offset + span.len)?;
    // What cannot be had is an error here, and a signal where it is stored to.
    mapping.prefault(index(span.offset), index(span.len), true)?;
    store(&mapping, index(span.offset), &pattern(seed, index(span.len)));
    mapping.flush(index(span.offset), index(span.len))
}

/// The word at `offset`, a multiple of 8, to be loaded and stored as a whole.
///
/// # Panics
/// If it passes the end.
#[must_use]
pub fn word(mapping: &impl Mapped, offset: usize) -> &AtomicU64 {
    assert!(offset.is_multiple_of(8) && offset + 8 <= mapping.bytes(), "{offset} is no word of the mapping");
    // SAFETY: within the mapping, as was just checked.
    let place = unsafe { mapping.start().add(offset) };
    // SAFETY: aligned to 8, mapped while `mapping` lives, and all who touch it as a word do so through atomics.
    unsafe { &*place.cast::<AtomicU64>() }
}

/// Loads `len` bytes at `offset`.
///
/// # Panics
/// If they pass the end.
#[must_use]
pub fn load(mapping: &impl Mapped, offset: usize, len: usize) -> Vec<u8> {
    assert!(offset + len <= mapping.bytes(), "{offset}+{len} is beyond {}", mapping.bytes());
    let mut into = vec![0; len];
    // SAFETY: within the mapping, as was just checked.
    let from = unsafe { mapping.start().add(offset) };
    // SAFETY: a mapping promises that its bytes can be loaded; `into` has room for them.
    unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), len) };
    into
}

/// Loads all of it.
#[must_use]
pub fn load_all(mapping: &impl Mapped) -> Vec<u8> {
    load(mapping, 0, mapping.bytes())
}

/// The same memory as a buffer for calls of the file layer.
#[must_use]
pub fn buffer(mapping: &impl Mapped) -> &[u8] {
    // SAFETY: as in `load`; the test lets nobody change the bytes while the buffer is in use, or that is what it tests.
    unsafe { std::slice::from_raw_parts(mapping.start(), mapping.bytes()) }
}

/// How many mappings the kernel keeps for this process.
///
/// # Panics
/// If it does not say.
#[must_use]
pub fn mappings_of_this_process() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("/proc/self/maps").lines().count()
}

/// Lets threads that store to mappings end when the test does, however it ends.
#[derive(Debug)]
pub struct StopAtEnd<'a>(pub &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Stores 1, 2, 3 and so on to a word until it is to stop; answers the last number.
pub fn count_up(word: &AtomicU64, stop: &AtomicBool) -> u64 {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        word.store(number, Ordering::SeqCst);
    }
    number
}
