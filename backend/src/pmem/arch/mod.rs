//! Loads, stores and flushes that answer [`Lost`] where the memory is gone, one file an architecture.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
mod portable;
#[cfg(not(target_arch = "x86_64"))]
pub(super) use portable::*;

/// The access faulted; what it had stored before is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lost;

/// Bytes in a cache line, the unit of a flush.
pub(super) const LINE: usize = 64;

/// The first bytes of the lines that `[start, start + len)` touches: from the aligned start on, while below the end.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only x86-64 flushes lines"))]
fn lines(start: usize, len: usize) -> impl Iterator<Item = usize> {
    (start - start % LINE..start + len).step_by(LINE).filter(move |_| len > 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_flush_covers_every_line_of_every_range_and_no_other() {
        for start in 4096..4096 + 2 * LINE {
            for len in 0..5 * LINE {
                let touched: BTreeSet<usize> = (start..start + len).map(|byte| byte / LINE * LINE).collect();
                assert!(lines(start, len).eq(touched), "start {start} len {len}");
            }
        }
    }
}
