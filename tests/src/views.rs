//! Reading through a view: the one place of the tests that follows a pointer into the pool.
#![expect(
    unsafe_code,
    reason = "a view is a pointer into the pool, and that it stays valid is what is tested"
)]

use daxcow::View;

/// The bytes a view shows.
#[must_use]
pub fn bytes(view: &View) -> &[u8] {
    // SAFETY: a view promises that its `len` bytes at `as_ptr` stay valid and unchanged until it is dropped, and the
    // slice borrows the view. If the promise is broken, that is the finding of the test that sees it.
    unsafe { std::slice::from_raw_parts(view.as_ptr(), view.len()) }
}
