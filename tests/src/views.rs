//! Views and shared memory: the one place of the tests that follows pointers into the pool.
#![expect(unsafe_code, reason = "the pool hands out pointers, and that they stay valid is what is tested")]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use daxcow::{View, Views};

/// The bytes a view shows.
#[must_use]
pub fn bytes(view: &View) -> &[u8] {
    // SAFETY: a view promises that its `len` bytes at `as_ptr` stay valid and unchanged until it is dropped, and the
    // slice borrows the view. If the promise is broken, that is the finding of the test that sees it.
    unsafe { std::slice::from_raw_parts(view.as_ptr(), view.len()) }
}

/// The byte `at` bytes beyond the end of a view, less than 256.
#[must_use]
pub fn beyond(view: &View, at: usize) -> u8 {
    assert!(at < 256, "{at} bytes beyond a view");
    // SAFETY: 256 bytes beyond a view can be read, and hold anything.
    let place = unsafe { view.as_ptr().add(view.len() + at) };
    // SAFETY: as above.
    unsafe { place.read_volatile() }
}

/// The bytes that are found in the views of a whole file.
#[must_use]
pub fn found(views: &Views, offset: u64, len: usize) -> Option<&[u8]> {
    let (pointer, _) = views.find(offset, len)?;
    // SAFETY: as above, with the views of the file in place of the one.
    Some(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// The word at `offset`, a multiple of 8, of a region of shared memory that is longer than that.
#[must_use]
pub fn load(region: NonNull<u8>, offset: usize) -> u64 {
    word(region, offset).load(Ordering::SeqCst)
}

/// Stores a word at `offset`, a multiple of 8, of a region of shared memory that is longer than that.
pub fn store(region: NonNull<u8>, offset: usize, value: u64) {
    word(region, offset).store(value, Ordering::SeqCst);
}

fn word<'a>(region: NonNull<u8>, offset: usize) -> &'a AtomicU64 {
    assert!(offset.is_multiple_of(8) && offset + 8 <= 32 << 10, "{offset} is no word of a region");
    // SAFETY: shared memory promises regions of 32 KiB, mapped and aligned until it is detached, which the callers wait
    // for; the offset is within, as was just checked.
    let place = unsafe { region.add(offset) };
    // SAFETY: the place is aligned to 8 and mapped, and all who use it do so through atomics.
    unsafe { place.cast::<AtomicU64>().as_ref() }
}
