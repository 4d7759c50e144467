//! fdatasync and msync that fail when the test says so: this program's own definitions of the C library's functions, which
//! the linker takes before those.
#![expect(unsafe_code, reason = "functions of the C library, by their own names")]

use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

static FAILING: AtomicBool = AtomicBool::new(false);

/// From here on every sync of any thread fails with EIO, or none.
pub(crate) fn fail(failing: bool) {
    FAILING.store(failing, Ordering::SeqCst);
}

fn answer(call: impl FnOnce() -> c_long) -> c_int {
    if FAILING.load(Ordering::SeqCst) {
        // SAFETY: the function has no preconditions.
        let place = unsafe { libc::__errno_location() };
        // SAFETY: errno is this thread's own.
        unsafe { place.write(libc::EIO) };
        return -1;
    }
    c_int::try_from(call()).unwrap_or(-1)
}

/// # Safety
/// As the function of this name.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    // SAFETY: the system call takes a descriptor only.
    answer(|| unsafe { libc::syscall(libc::SYS_fdatasync, file) })
}

/// # Safety
/// As the function of this name.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn msync(start: *mut c_void, len: usize, flags: c_int) -> c_int {
    // SAFETY: the caller keeps the function's contract.
    answer(|| unsafe { libc::syscall(libc::SYS_msync, start, len, flags) })
}
