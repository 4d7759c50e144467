//! The few system calls that the tests need and the standard library does not have.
#![expect(unsafe_code, reason = "fork and its relatives are calls of the C library")]

/// Whether this process has the superuser's rights.
#[must_use]
pub fn is_superuser() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Runs `work` in a forked child and gives the child's exit code; 255 if a signal ended it.
///
/// Only for processes with one thread: the child would otherwise inherit locks that nobody opens.
///
/// # Panics
/// If the process cannot be forked or waited for.
pub fn in_forked_child(work: impl FnOnce() -> u8) -> u8 {
    // SAFETY: the caller promises a single thread, so the child's copy of the process is whole.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        let code = work();
        // SAFETY: _exit ends the child at once; nothing of the parent's is run down twice.
        unsafe { libc::_exit(i32::from(code)) }
    }
    let mut status = 0;
    // SAFETY: `status` is writable and the child is this process's own.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child, "waitpid: {}", std::io::Error::last_os_error());
    if libc::WIFEXITED(status) { u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(255) } else { 255 }
}
