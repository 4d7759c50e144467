//! Checking many words at once, by whatever registers the CPU has.

use super::Cpu;
use crate::format::entry;

/// As [`entry::first_bad`], compiled for AVX-512 where the CPU has it: products of 64 bits are one instruction there.
#[inline]
pub(in crate::pmem) fn first_bad_entry(cpu: Cpu, words: &[u64; 512], level: u8) -> Option<usize> {
    if cpu.multiplies_words {
        // SAFETY: the CPU has what the function is compiled for.
        unsafe { by_avx512(words, level) }
    } else {
        entry::first_bad(words, level)
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
fn by_avx512(words: &[u64; 512], level: u8) -> Option<usize> {
    entry::first_bad(words, level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::Entry;
    use crate::units::BlockNumber;

    #[test]
    fn wide_registers_find_what_narrow_ones_do() {
        let good: Vec<u64> =
            (0..512).map(|slot| Entry::of(BlockNumber(7 * slot + 1)).encode(1, slot)).collect();
        let mut words = [0; 512];
        words.copy_from_slice(&good);
        words[77] = 0;
        assert_eq!(first_bad_entry(Cpu::detect(), &words, 1), None);
        for slot in 0..512 {
            let before = std::mem::replace(&mut words[slot], good[slot] ^ 1 << (slot % 64));
            assert_eq!(first_bad_entry(Cpu::detect(), &words, 1), Some(slot));
            assert_eq!(entry::first_bad(&words, 1), Some(slot));
            words[slot] = before;
        }
    }
}
