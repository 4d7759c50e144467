//! Counters that lie side by side: many at once. The contract of all functions is that of the module above.

use std::arch::asm;

use super::super::{Lost, Step, step_each};
use super::{Cpu, answer, load_u64};
use crate::os::fault::recovery_entry;

/// Stores `new` in the two neighbouring words at `to` if they are `old`; whether they were.
///
/// # Safety
/// See the module. `to` is aligned to 16 bytes; the CPU has `swaps_pairs`.
unsafe fn cas_pair(to: *mut u64, old: [u64; 2], new: [u64; 2]) -> Result<bool, Lost> {
    let (fault, swapped): (u32, u8);
    // SAFETY: one locked compare-and-swap on an aligned place that the caller vouches for or that may fault. The compiler
    // keeps rbx for itself: it is put back on the way out, which a fault takes too.
    unsafe {
        asm!(
            "xchg rbx, rsi",
            "mov r8d, 1",
            "2:",
            "lock cmpxchg16b [rdi]",
            "mov r8d, 0",
            "3:",
            recovery_entry!(),
            "sete r9b",
            "mov rbx, rsi",
            out("r8") fault, out("r9b") swapped, inout("rsi") new[0] => _, in("rdi") to,
            in("rcx") new[1], inout("rax") old[0] => _, inout("rdx") old[1] => _,
            options(nostack)
        );
    }
    answer(fault, swapped != 0)
}

/// Takes a step at up to `count` words from `to` on, in order, up to the first that does not allow it; how many it took.
/// Four words at once where that is possible: a locked instruction costs more than all that is done about it.
///
/// # Safety
/// See the module. `to` is aligned; `cpu` was detected.
pub(in crate::pmem) unsafe fn step_words(
    cpu: Cpu,
    to: *mut u32,
    count: usize,
    step: Step,
) -> Result<usize, Lost> {
    let singles = if cpu.swaps_pairs { to.align_offset(16).min(count) } else { count };
    // SAFETY: a part of what the caller vouches for.
    let mut done = unsafe { step_each(to, singles, step) }?;
    if done < singles {
        return Ok(done);
    }
    while count - done >= 4 {
        let four = to.wrapping_add(done).cast::<u64>();
        // SAFETY: an aligned word of what the caller vouches for.
        let low = unsafe { load_u64(four) }?;
        // SAFETY: as above.
        let high = unsafe { load_u64(four.wrapping_add(1)) }?;
        let Some((new_low, new_high)) = step.both(low).zip(step.both(high)) else { break };
        // SAFETY: aligned to 16 bytes after `singles` words and a multiple of 4; the CPU swaps pairs.
        if unsafe { cas_pair(four, [low, high], [new_low, new_high]) }? {
            done += 4;
        }
    }
    // SAFETY: as above.
    Ok(done + unsafe { step_each(to.wrapping_add(done), count - done, step) }?)
}

/// Turns up to `count` words from `to` on from 1 to 2, in order, up to the first that is not 1; how many it turned. Nobody
/// else stores to those that are 1. Four at once where they are aligned: others see each word as it was or as it is.
///
/// # Safety
/// See the module. `to` is aligned.
#[inline]
pub(in crate::pmem) unsafe fn double_ones(to: *mut u32, count: usize) -> Result<usize, Lost> {
    let left: usize;
    // SAFETY: aligned loads and stores of places that the caller vouches for or that may fault.
    let fault = unsafe {
        recoverable!(
            "mov {equal:e}, 1",
            "movd {ones}, {equal:e}",
            "pshufd {ones}, {ones}, 0",
            "movdqa {twos}, {ones}",
            "paddd {twos}, {twos}",
            "4:",
            "test {left}, {left}",
            "jz 5f",
            "test {to}, 15",
            "jnz 6f",
            "cmp {left}, 4",
            "jb 6f",
            "movdqa {four}, [{to}]",
            "pcmpeqd {four}, {ones}",
            "movmskps {equal:e}, {four}",
            "cmp {equal:e}, 15",
            "jne 6f",
            "movdqa [{to}], {twos}",
            "add {to}, 16",
            "sub {left}, 4",
            "jmp 4b",
            "6:",
            "cmp dword ptr [{to}], 1",
            "jne 5f",
            "mov dword ptr [{to}], 2",
            "add {to}, 4",
            "dec {left}",
            "jmp 4b",
            "5:";
            left = inout(reg) count => left, to = inout(reg) to => _, ones = out(xmm_reg) _,
            twos = out(xmm_reg) _, four = out(xmm_reg) _, equal = out(reg) _, options(nostack)
        )
    };
    answer(fault, count - left)
}

/// Has the line of `at` brought to the cache. Nothing happens where there is no memory.
#[inline(always)]
pub(in crate::pmem) fn prefetch(at: *const u8) {
    // SAFETY: a hint, never a fault.
    unsafe { asm!("prefetcht0 [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly)) };
}

/// Has the line of `at` brought to the cache, to be stored to soon. Nothing happens where there is no memory.
#[inline(always)]
pub(in crate::pmem) fn prefetch_for_store(at: *const u8) {
    // SAFETY: a hint, which every CPU of this architecture takes or ignores, never a fault.
    unsafe { asm!("prefetchw [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly)) };
}
