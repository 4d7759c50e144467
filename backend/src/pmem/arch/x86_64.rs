//! x86-64: routines whose every access to pool memory has a recovery address, and CPU dispatch.
//!
//! All functions here have one safety contract: every range given lies in memory that is the caller's to access, or in
//! a stretch watched by `os::fault` (there an access may fault and the routine answers [`Lost`]); ranges stored to
//! are borrowed by nobody. Other processes and threads may change pool memory at any time: nothing here assumes
//! that two loads of one place agree.
#![expect(unsafe_code, reason = "assembler routines that survive a fault")]

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _mm_sfence};

use super::{Lost, lines};
use crate::os::fault::recovery_entry;

/// Which instructions this CPU has for storing around the cache and for flushing it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pmem) struct Cpu {
    pub(in crate::pmem) stores: Stores,
    pub(in crate::pmem) flush: Flush,
    /// Whether it swaps 16 bytes at once.
    pub(in crate::pmem) swaps_pairs: bool,
    /// Whether it multiplies eight words at once.
    pub(in crate::pmem) multiplies_words: bool,
}

/// The widest non-temporal store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pmem) enum Stores {
    Sse2,
    Avx,
    Avx512,
}

/// The best flush instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pmem) enum Flush {
    Clflush,
    Clflushopt,
    Clwb,
}

impl Cpu {
    /// Whether stores can be flushed by lines.
    pub(in crate::pmem) const FLUSHES_LINES: bool = true;

    pub(in crate::pmem) fn detect() -> Cpu {
        let stores = if is_x86_feature_detected!("avx512f") {
            Stores::Avx512
        } else if is_x86_feature_detected!("avx") {
            Stores::Avx
        } else {
            Stores::Sse2
        };
        let features = __cpuid_count(7, 0).ebx;
        let flush = match (features >> 24 & 1, features >> 23 & 1) {
            (1, _) => Flush::Clwb,
            (_, 1) => Flush::Clflushopt,
            _ => Flush::Clflush,
        };
        Cpu {
            stores,
            flush,
            swaps_pairs: is_x86_feature_detected!("cmpxchg16b"),
            multiplies_words: is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl"),
        }
    }
}

/// What the asm blocks of this file have in common: see `recovery_entry!`.
macro_rules! recoverable {
    ($($line:expr),* ; $($operands:tt)*) => {{
        let fault: u32;
        asm!(
            "mov {fault:e}, 1",
            "2:",
            $($line,)*
            "mov {fault:e}, 0",
            "3:",
            recovery_entry!(),
            fault = out(reg) fault,
            $($operands)*
        );
        fault
    }};
}

mod counters;
mod wide;
pub(in crate::pmem) use counters::*;
pub(in crate::pmem) use wide::*;

#[inline(always)]
fn answer<T>(fault: u32, value: T) -> Result<T, Lost> {
    if fault == 0 { Ok(value) } else { Err(Lost) }
}

/// # Safety
/// See the module. `from` is aligned.
#[inline(always)]
pub(in crate::pmem) unsafe fn load_u64(from: *const u64) -> Result<u64, Lost> {
    let value: u64;
    // SAFETY: one aligned load of a place that the caller vouches for or that may fault.
    let fault = unsafe {
        recoverable!("mov {value}, [{from}]"; value = out(reg) value, from = in(reg) from, options(nostack, preserves_flags))
    };
    answer(fault, value)
}

/// # Safety
/// See the module. `from` is aligned.
#[inline(always)]
pub(in crate::pmem) unsafe fn load_u32(from: *const u32) -> Result<u32, Lost> {
    let value: u32;
    // SAFETY: one aligned load of a place that the caller vouches for or that may fault.
    let fault = unsafe {
        recoverable!("mov {value:e}, [{from}]"; value = out(reg) value, from = in(reg) from, options(nostack, preserves_flags))
    };
    answer(fault, value)
}

/// A release store.
///
/// # Safety
/// See the module. `to` is aligned.
#[inline(always)]
pub(in crate::pmem) unsafe fn store_u64(to: *mut u64, value: u64) -> Result<(), Lost> {
    // SAFETY: one aligned store to a place that the caller vouches for or that may fault.
    let fault = unsafe {
        recoverable!("mov [{to}], {value}"; value = in(reg) value, to = in(reg) to, options(nostack, preserves_flags))
    };
    answer(fault, ())
}

/// A release store of 4 bytes.
///
/// # Safety
/// See the module. `to` is aligned.
#[inline(always)]
pub(in crate::pmem) unsafe fn store_u32(to: *mut u32, value: u32) -> Result<(), Lost> {
    // SAFETY: one aligned store to a place that the caller vouches for or that may fault.
    let fault = unsafe {
        recoverable!("mov [{to}], {value:e}"; value = in(reg) value, to = in(reg) to, options(nostack, preserves_flags))
    };
    answer(fault, ())
}

/// Read-modify-write of one word, sequentially consistent: swap, add and compare-and-swap, each answering the old value.
macro_rules! read_modify_write {
    ($word:ty, $swap:ident, $add:ident, $cas:ident, $swap_line:literal, $add_line:literal, $cas_line:literal, $a:tt) => {
        /// # Safety
        /// See the module. `to` is aligned.
        pub(in crate::pmem) unsafe fn $swap(to: *mut $word, value: $word) -> Result<$word, Lost> {
            let mut value = value;
            // SAFETY: one locked exchange with an aligned place that the caller vouches for or that may fault.
            let fault = unsafe {
                recoverable!($swap_line; value = inout(reg) value, to = in(reg) to, options(nostack))
            };
            answer(fault, value)
        }

        /// # Safety
        /// See the module. `to` is aligned.
        pub(in crate::pmem) unsafe fn $add(to: *mut $word, value: $word) -> Result<$word, Lost> {
            let mut value = value;
            // SAFETY: one locked addition to an aligned place that the caller vouches for or that may fault.
            let fault = unsafe {
                recoverable!($add_line; value = inout(reg) value, to = in(reg) to, options(nostack))
            };
            answer(fault, value)
        }

        /// # Safety
        /// See the module. `to` is aligned.
        pub(in crate::pmem) unsafe fn $cas(to: *mut $word, old: $word, new: $word) -> Result<$word, Lost> {
            let mut old = old;
            // SAFETY: one locked compare-and-swap on an aligned place that the caller vouches for or that may fault.
            let fault = unsafe {
                recoverable!($cas_line; inout($a) old, new = in(reg) new, to = in(reg) to, options(nostack))
            };
            answer(fault, old)
        }
    };
}
read_modify_write!(
    u64,
    swap_u64,
    add_u64,
    cas_u64,
    "xchg [{to}], {value}",
    "lock xadd [{to}], {value}",
    "lock cmpxchg [{to}], {new}",
    "rax"
);
read_modify_write!(
    u32,
    swap_u32,
    add_u32,
    cas_u32,
    "xchg [{to}], {value:e}",
    "lock xadd [{to}], {value:e}",
    "lock cmpxchg [{to}], {new:e}",
    "eax"
);

/// Bytes that one turn of the loop of [`copy`] moves.
const STRIDE: usize = 64;
/// From so many bytes on wider registers, or `rep movsb`, are faster than that loop.
const WIDE_THRESHOLD: usize = 4096;
/// From so many bytes on `rep movsb` is faster than the widest registers.
const REP_THRESHOLD: usize = 8 << 10;
/// Bytes that one turn of the loop of [`copy_wide`] moves.
const WIDE_STRIDE: usize = 256;

/// As [`copy`], of at least [`WIDE_STRIDE`] bytes by registers of 64 bytes: unlike `rep movsb` it does not keep the CPU from beginning
/// what comes next.
///
/// # Safety
/// As [`copy`], and the CPU has AVX-512.
unsafe fn copy_wide(to: *mut u8, from: *const u8, len: usize) -> Result<(), Lost> {
    let (last_to, last_from) = (to.wrapping_add(len - WIDE_STRIDE), from.wrapping_add(len - WIDE_STRIDE));
    // SAFETY: whole strides but for the last one, which may begin among bytes that were copied before: all within `len` bytes
    // of ranges that the caller vouches for or that may fault.
    let fault = unsafe {
        recoverable!(
            "4:",
            "vmovdqu64 zmm16, [{from}]", "vmovdqu64 zmm17, [{from} + 64]",
            "vmovdqu64 zmm18, [{from} + 128]", "vmovdqu64 zmm19, [{from} + 192]",
            "vmovdqu64 [{to}], zmm16", "vmovdqu64 [{to} + 64], zmm17",
            "vmovdqu64 [{to} + 128], zmm18", "vmovdqu64 [{to} + 192], zmm19",
            "add {from}, 256", "add {to}, 256", "dec {strides}",
            "jnz 4b",
            "vmovdqu64 zmm16, [{last_from}]", "vmovdqu64 zmm17, [{last_from} + 64]",
            "vmovdqu64 zmm18, [{last_from} + 128]", "vmovdqu64 zmm19, [{last_from} + 192]",
            "vmovdqu64 [{last_to}], zmm16", "vmovdqu64 [{last_to} + 64], zmm17",
            "vmovdqu64 [{last_to} + 128], zmm18", "vmovdqu64 [{last_to} + 192], zmm19";
            strides = inout(reg) (len - 1) / WIDE_STRIDE => _, to = inout(reg) to => _, from = inout(reg) from => _,
            last_to = in(reg) last_to, last_from = in(reg) last_from,
            out("xmm16") _, out("xmm17") _, out("xmm18") _, out("xmm19") _, options(nostack)
        )
    };
    answer(fault, ())
}

/// Copies by ordinary stores; aligned words are copied whole.
///
/// # Safety
/// See the module. The ranges do not overlap.
pub(in crate::pmem) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> Result<(), Lost> {
    if (WIDE_THRESHOLD..REP_THRESHOLD).contains(&len) && is_x86_feature_detected!("avx512f") {
        // SAFETY: as the caller vouches; the CPU has AVX-512.
        return unsafe { copy_wide(to, from, len) };
    }
    if len >= WIDE_THRESHOLD {
        // SAFETY: copies `len` bytes between ranges that the caller vouches for or that may fault.
        let fault = unsafe {
            recoverable!(
                "rep movsb";
                inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
                options(nostack, preserves_flags)
            )
        };
        return answer(fault, ());
    }
    if len >= STRIDE {
        let (last_to, last_from) = (to.wrapping_add(len - STRIDE), from.wrapping_add(len - STRIDE));
        // SAFETY: as many whole strides as there are, and then the last `STRIDE` bytes, some of them once more: all within
        // `len` bytes of ranges that the caller vouches for or that may fault. Every CPU of this architecture has SSE2.
        let fault = unsafe {
            recoverable!(
                "4:",
                "movdqu xmm0, [{from}]", "movdqu xmm1, [{from} + 16]",
                "movdqu xmm2, [{from} + 32]", "movdqu xmm3, [{from} + 48]",
                "movdqu [{to}], xmm0", "movdqu [{to} + 16], xmm1",
                "movdqu [{to} + 32], xmm2", "movdqu [{to} + 48], xmm3",
                "add {from}, 64", "add {to}, 64", "dec {strides}",
                "jnz 4b",
                "movdqu xmm0, [{last_from}]", "movdqu xmm1, [{last_from} + 16]",
                "movdqu xmm2, [{last_from} + 32]", "movdqu xmm3, [{last_from} + 48]",
                "movdqu [{last_to}], xmm0", "movdqu [{last_to} + 16], xmm1",
                "movdqu [{last_to} + 32], xmm2", "movdqu [{last_to} + 48], xmm3";
                strides = inout(reg) len / STRIDE => _, to = inout(reg) to => _, from = inout(reg) from => _,
                last_to = in(reg) last_to, last_from = in(reg) last_from,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, options(nostack)
            )
        };
        return answer(fault, ());
    }
    // SAFETY: copies `len` bytes as above, whole words first, then the bytes that are left.
    let fault = unsafe {
        recoverable!(
            "sub {len}, 8",
            "jb 5f",
            "4:",
            "mov {word}, [{from}]",
            "mov [{to}], {word}",
            "add {from}, 8",
            "add {to}, 8",
            "sub {len}, 8",
            "jae 4b",
            "5:",
            "add {len}, 8",
            "jz 7f",
            "6:",
            "mov {word:l}, [{from}]",
            "mov [{to}], {word:l}",
            "inc {from}",
            "inc {to}",
            "dec {len}",
            "jnz 6b",
            "7:";
            len = inout(reg) len => _, to = inout(reg) to => _, from = inout(reg) from => _,
            word = out(reg) _, options(nostack)
        )
    };
    answer(fault, ())
}

/// Zeros by ordinary stores.
///
/// # Safety
/// See the module.
pub(in crate::pmem) unsafe fn zero(to: *mut u8, len: usize) -> Result<(), Lost> {
    // SAFETY: stores `len` bytes to a range that the caller vouches for or that may fault.
    let fault = unsafe {
        recoverable!(
            "rep stosb";
            inout("rcx") len => _, inout("rdi") to => _, in("al") 0_u8, options(nostack, preserves_flags)
        )
    };
    answer(fault, ())
}

/// Copies whole lines around the cache. Weakly ordered: durable, and in order, only after a fence.
///
/// # Safety
/// See the module. `to` is aligned to a line, `len` a multiple of it and not 0; the ranges do not overlap; the CPU has
/// `cpu.stores`.
pub(in crate::pmem) unsafe fn copy_lines(
    cpu: Cpu,
    to: *mut u8,
    from: *const u8,
    len: usize,
) -> Result<(), Lost> {
    macro_rules! lines {
        ($($line:literal),* ; $($clobber:tt)*) => {
            recoverable!(
                "4:", $($line,)* "add {from}, 64", "add {to}, 64", "sub {len}, 64", "jnz 4b";
                len = inout(reg) len => _, to = inout(reg) to => _, from = inout(reg) from => _,
                $($clobber)* options(nostack)
            )
        };
    }
    let fault = match cpu.stores {
        // SAFETY: every CPU of this architecture has SSE2; the loop ends at `len`, a multiple of the step.
        Stores::Sse2 => unsafe {
            lines!(
                "movdqu xmm0, [{from}]", "movdqu xmm1, [{from} + 16]",
                "movdqu xmm2, [{from} + 32]", "movdqu xmm3, [{from} + 48]",
                "movntdq [{to}], xmm0", "movntdq [{to} + 16], xmm1",
                "movntdq [{to} + 32], xmm2", "movntdq [{to} + 48], xmm3";
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            )
        },
        // SAFETY: the caller vouches for AVX; otherwise as above.
        Stores::Avx => unsafe {
            lines!(
                "vmovdqu ymm0, [{from}]", "vmovdqu ymm1, [{from} + 32]",
                "vmovntdq [{to}], ymm0", "vmovntdq [{to} + 32], ymm1";
                out("xmm0") _, out("xmm1") _,
            )
        },
        // SAFETY: the caller vouches for AVX-512F; otherwise as above.
        Stores::Avx512 => unsafe {
            lines!("vmovdqu64 zmm16, [{from}]", "vmovntdq [{to}], zmm16"; out("xmm16") _,)
        },
    };
    if cpu.stores == Stores::Avx {
        // SAFETY: the CPU has AVX. Clears the upper halves, which would slow down SSE code; registers 16 and up do not.
        unsafe { asm!("vzeroupper", clobber_abi("C"), options(nomem, nostack, preserves_flags)) };
    }
    answer(fault, ())
}

/// Zeros whole lines around the cache, as [`copy_lines`].
///
/// # Safety
/// See the module. `to` is aligned to a line, `len` a multiple of it and not 0.
pub(in crate::pmem) unsafe fn zero_lines(to: *mut u8, len: usize) -> Result<(), Lost> {
    // SAFETY: stores `len` bytes, a multiple of the step, to a range that the caller vouches for or that may fault.
    let fault = unsafe {
        recoverable!(
            "pxor xmm0, xmm0",
            "4:",
            "movntdq [{to}], xmm0", "movntdq [{to} + 16], xmm0",
            "movntdq [{to} + 32], xmm0", "movntdq [{to} + 48], xmm0",
            "add {to}, 64", "sub {len}, 64", "jnz 4b";
            len = inout(reg) len => _, to = inout(reg) to => _, out("xmm0") _, options(nostack)
        )
    };
    answer(fault, ())
}

/// Whether two ranges hold the same bytes.
///
/// # Safety
/// See the module.
pub(in crate::pmem) unsafe fn equal(a: *const u8, b: *const u8, len: usize) -> Result<bool, Lost> {
    let differs: u64;
    // SAFETY: loads `len` bytes from ranges that the caller vouches for or that may fault.
    let fault = unsafe {
        recoverable!(
            "xor {differs:e}, {differs:e}",
            "sub {len}, 16",
            "jb 5f",
            "4:",
            "movdqu xmm0, [{a}]",
            "movdqu xmm1, [{b}]",
            "pcmpeqb xmm0, xmm1",
            "pmovmskb {differs:e}, xmm0",
            "xor {differs:e}, 0xffff",
            "jnz 8f",
            "add {a}, 16",
            "add {b}, 16",
            "sub {len}, 16",
            "jae 4b",
            "5:",
            "add {len}, 16",
            "jz 8f",
            "6:",
            "mov {differs:l}, [{a}]",
            "xor {differs:l}, [{b}]",
            "jnz 8f",
            "inc {a}",
            "inc {b}",
            "dec {len}",
            "jnz 6b",
            "8:";
            len = inout(reg) len => _, a = inout(reg) a => _, b = inout(reg) b => _,
            differs = out(reg) differs, out("xmm0") _, out("xmm1") _, options(nostack)
        )
    };
    answer(fault, differs == 0)
}

/// Starts writing back every line that `[start, start + len)` touches.
///
/// # Safety
/// See the module. The CPU has `cpu.flush`.
pub(in crate::pmem) unsafe fn flush(cpu: Cpu, start: *const u8, len: usize) -> Result<(), Lost> {
    for line in lines(start as usize, len) {
        let fault = match cpu.flush {
            // SAFETY: a flush changes no contents; it may fault as a load of the line would.
            Flush::Clwb => unsafe { recoverable!("clwb [{line}]"; line = in(reg) line, options(nostack)) },
            // SAFETY: as above.
            Flush::Clflushopt => unsafe {
                recoverable!("clflushopt [{line}]"; line = in(reg) line, options(nostack))
            },
            // SAFETY: as above.
            Flush::Clflush => unsafe {
                recoverable!("clflush [{line}]"; line = in(reg) line, options(nostack))
            },
        };
        answer(fault, ())?;
    }
    Ok(())
}

/// Waits until this CPU's flushes and non-temporal stores are done.
pub(in crate::pmem) fn drain() {
    // SAFETY: every CPU of this architecture has SSE.
    unsafe { _mm_sfence() };
}
