//! The known classes of bugs of copy-on-write file systems, each by name.

mod instants;
mod names;
mod sharing;
mod space;

use daxcow::Pool;
use daxcow_tests::fixture::{assert_clean, new_pool, reopen};
use daxcow_tests::place::Place;

const BLOCK: usize = 4096;

/// Runs `test` in a new pool, which is clean after it, and after it has been opened again.
fn with_pool(mebibytes: u64, test: impl FnOnce(&Pool)) {
    let place = Place::new();
    let pool = new_pool(&place, mebibytes);
    test(&pool);
    assert_clean(&pool);
    let pool = reopen(pool);
    assert_clean(&pool);
}
