//! Waiting for a word in memory that processes share, and waking who waits.
#![expect(unsafe_code, reason = "the futex system call")]

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Sleeps while the word is `expected`, at most `timeout`. Returns after a wake, a change, a signal or the timeout: the
/// caller looks again in each case. An error means that the memory under the word is gone.
///
/// # Safety
/// `word` points into a mapping that stays mapped during the call, aligned to 4 bytes.
pub(crate) unsafe fn wait(word: NonNull<u32>, expected: u32, timeout: Duration) -> io::Result<()> {
    let timeout = libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(timeout.subsec_nanos().cast_signed()),
    };
    // SAFETY: the kernel reads `word` itself and answers EFAULT if it cannot; `timeout` outlives the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            std::ptr::from_ref(&timeout),
        )
    };
    if answer == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR | libc::ETIMEDOUT) => Ok(()),
        _ => Err(error),
    }
}

/// Wakes at most `count` waiters, of any process; says how many.
///
/// # Safety
/// As [`wait`].
pub(crate) unsafe fn wake(word: NonNull<u32>, count: u32) -> io::Result<u32> {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    // SAFETY: the kernel uses the address of `word` as a key only.
    let answer = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) };
    u32::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// As [`wait`], for a word of this process that is never given back.
pub(crate) fn wait_in_process(word: &'static AtomicU32, expected: u32, timeout: Duration) -> io::Result<()> {
    // SAFETY: a static word is mapped, and aligned as its type says.
    unsafe { wait(NonNull::from(word).cast(), expected, timeout) }
}

/// As [`wake`], for a word of this process that is never given back.
pub(crate) fn wake_in_process(word: &'static AtomicU32, count: u32) -> io::Result<u32> {
    // SAFETY: as in `wait_in_process`.
    unsafe { wake(NonNull::from(word).cast(), count) }
}
