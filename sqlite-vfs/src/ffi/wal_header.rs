//! The header of a WAL index, in shared memory (sqlite.org/walformat.html, section 2): 48 bytes, twice.
//!
//! ```text
//! 0 version   4 unused   8 change counter   12 initialised, big-endian checksums, page size (u16)
//! 16 last frame   20 pages   24 checksum of the last frame (2)   32 salt (2)   40 checksum of 0..40 (2)
//! 96 frames copied back   100 read marks (5) ...
//! ```
//!
//! Words are in host order; the salts are stored as their big-endian bytes.
#![expect(unsafe_code, reason = "words of the shared memory of a WAL index")]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

const WORDS: usize = 12;
const SUMMED_WORDS: usize = 10;
const CHANGE_COUNTER: usize = 2;
const FLAGS_AND_PAGE_SIZE: usize = 3;
const LAST_FRAME: usize = 4;
const PAGES: usize = 5;
const SALT: usize = 8;
/// `nBackfill`, then `aReadMark[5]`.
const BACKFILL: usize = 24;
const READ_MARKS: std::ops::Range<usize> = 25..30;
const MARK_UNUSED: u32 = u32::MAX;

/// Restarts the empty WAL of `region`, the first region of a WAL index, for contents of `pages` pages of `page_bytes`, under
/// a change counter and a salt that no connection has seen: each drops its cached pages when it next reads. The caller
/// holds all 8 slots exclusively.
pub(crate) fn supersede(region: NonNull<u8>, page_bytes: u32, pages: u32) {
    let base = region.cast::<AtomicU32>();
    let word = |index: usize| {
        // SAFETY: index < 32 words, region 0 has 32 KiB.
        let word = unsafe { base.add(index) };
        // SAFETY: aligned to a page, attached until the handle unmaps it, and changed by atomic stores of this word size
        // or under the slots that the caller holds.
        unsafe { word.as_ref() }
    };
    let mut header: [u32; WORDS] = std::array::from_fn(|index| word(index).load(Ordering::Acquire));
    header[CHANGE_COUNTER] = header[CHANGE_COUNTER].wrapping_add(1);
    // 65536 is kept as 1; the two flags are the low bytes of the word in host order.
    let page_size = page_bytes & 0xff00 | page_bytes >> 16;
    header[FLAGS_AND_PAGE_SIZE] = header[FLAGS_AND_PAGE_SIZE] & 0xffff | page_size << 16;
    header[LAST_FRAME] = 0;
    header[PAGES] = pages;
    header[SALT] = header[SALT].swap_bytes().wrapping_add(1).swap_bytes();
    let sum = checksum(&header[..SUMMED_WORDS]);
    header[SUMMED_WORDS..].copy_from_slice(&sum);
    word(BACKFILL).store(0, Ordering::Relaxed);
    for mark in READ_MARKS {
        word(mark).store(if mark == READ_MARKS.start { 0 } else { MARK_UNUSED }, Ordering::Relaxed);
    }
    // The second copy first, as SQLite does: a reader compares the two.
    for copy in [WORDS, 0] {
        for (index, &value) in header.iter().enumerate() {
            word(copy + index).store(value, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
    }
}

/// SQLite's checksum over pairs of words in host order.
fn checksum(words: &[u32]) -> [u32; 2] {
    words.chunks_exact(2).fold([0, 0], |[one, two], pair| {
        let one = one.wrapping_add(pair[0]).wrapping_add(two);
        [one, two.wrapping_add(pair[1]).wrapping_add(one)]
    })
}

#[cfg(test)]
mod tests {
    use super::checksum;

    /// s0 and s1 by hand from walformat.html: s0 += x[i] + s1; s1 += x[i+1] + s0.
    #[test]
    fn checksum_is_that_of_walformat_html() {
        assert_eq!(checksum(&[1, 2, 3, 4]), [1 + 3 + 3, 3 + 4 + 7]);
    }
}
