//! The few system calls that the tests need and the standard library does not have.
#![expect(unsafe_code, reason = "fork and its relatives are calls of the C library")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Mounts a tmpfs of so many bytes, or changes the size of one.
///
/// # Errors
/// What mount(2) said; it needs rights that few have.
pub fn mount_tmpfs(target: &Path, bytes: u64, again: bool) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    let options = CString::new(format!("size={bytes}"))?;
    let flags = if again { libc::MS_REMOUNT } else { 0 };
    let (source, data) = (c"daxcow-test".as_ptr(), options.as_ptr().cast());
    // SAFETY: all strings are NUL-terminated and outlive the call.
    match unsafe { libc::mount(source, target.as_ptr(), c"tmpfs".as_ptr(), flags, data) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Unmounts what is mounted at `target` once nobody uses it.
///
/// # Errors
/// What umount2(2) said.
pub fn unmount(target: &Path) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    // SAFETY: the string is NUL-terminated and outlives the call.
    match unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes the space of a range away from a file.
///
/// # Errors
/// What fallocate(2) said.
pub fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let number = |value| libc::off_t::try_from(value).map_err(io::Error::other);
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: the descriptor is open; the call touches no memory of ours.
    match unsafe { libc::fallocate(file.as_raw_fd(), mode, number(offset)?, number(len)?) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

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
