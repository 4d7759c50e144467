//! The few system calls that the tests need and the standard library does not have.
#![expect(unsafe_code, reason = "fork and its relatives are calls of the C library")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

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

/// `count` words that this process shares with all that are forked from it later. They are never given back.
///
/// # Panics
/// Where there is no memory.
#[must_use]
pub fn shared_words(count: usize) -> &'static [AtomicU64] {
    let bytes = count * size_of::<AtomicU64>();
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at a place that the kernel chooses.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    assert_ne!(memory, libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
    // SAFETY: the mapping is zeroed, aligned, long enough, and stays until the process ends; atomics may be shared.
    unsafe { std::slice::from_raw_parts(memory.cast::<AtomicU64>(), count) }
}

/// A forked child of a process with one thread; it is killed when this is dropped.
#[derive(Debug)]
pub struct Forked {
    id: libc::pid_t,
    status: Option<libc::c_int>,
}

impl Forked {
    /// Forks a child that does `work` and ends with the code that it gives, 101 where it panics.
    ///
    /// # Panics
    /// If the process cannot be forked.
    #[must_use]
    pub fn start(work: impl FnOnce() -> u8) -> Forked {
        // SAFETY: the caller's process has a single thread, so the child's copy of it is whole.
        let id = unsafe { libc::fork() };
        assert!(id >= 0, "fork: {}", std::io::Error::last_os_error());
        if id == 0 {
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: _exit ends the child at once; nothing of the parent's is run down twice.
            unsafe { libc::_exit(i32::from(worked.unwrap_or(101))) }
        }
        Forked { id, status: None }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> libc::pid_t {
        self.id
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn has_ended(&mut self) -> bool {
        self.wait(libc::WNOHANG)
    }

    /// Whether it is stopped now, if it has not ended.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn has_stopped(&mut self) -> bool {
        let mut status = 0;
        // SAFETY: as in `wait`.
        let waited = unsafe { libc::waitpid(self.id, &raw mut status, libc::WNOHANG | libc::WUNTRACED) };
        if waited == self.id && !libc::WIFSTOPPED(status) {
            self.status = Some(status);
        }
        waited == self.id && libc::WIFSTOPPED(status)
    }

    fn wait(&mut self, flags: libc::c_int) -> bool {
        if self.status.is_none() {
            let mut status = 0;
            // SAFETY: `status` is writable and the child is this process's own, not waited for yet.
            let waited = unsafe { libc::waitpid(self.id, &raw mut status, flags) };
            assert!(waited >= 0, "waitpid: {}", std::io::Error::last_os_error());
            self.status = (waited == self.id).then_some(status);
        }
        self.status.is_some()
    }

    /// Waits for its end and answers whether it was killed.
    fn ended_by_kill(&mut self, patience: Duration) -> Result<bool, String> {
        let start = Instant::now();
        let mut pause = Duration::from_micros(20);
        while !self.has_ended() {
            if start.elapsed() > patience {
                return Err("it hangs".into());
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(1));
        }
        let status = self.status.unwrap_or(0);
        if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL {
            return Ok(true);
        }
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
            return Ok(false);
        }
        Err(format!("it ended with status {status:#x}"))
    }

    /// Waits for its end, which must be a good one.
    ///
    /// # Errors
    /// How else it ended.
    pub fn expect_success(&mut self, patience: Duration) -> Result<(), String> {
        match self.ended_by_kill(patience)? {
            false => Ok(()),
            true => Err("it was killed".into()),
        }
    }

    /// Waits for its end, which must be a good one or by SIGKILL.
    ///
    /// # Errors
    /// How else it ended.
    pub fn expect_success_or_kill(&mut self, patience: Duration) -> Result<(), String> {
        self.ended_by_kill(patience).map(drop)
    }

    /// Sends it a signal, if it has not ended.
    pub fn signal(&mut self, signal: libc::c_int) {
        if self.status.is_none() {
            // SAFETY: the child is this process's own and has not been waited for: the number is its.
            unsafe { libc::kill(self.id, signal) };
        }
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
        self.wait(0);
    }
}

/// Room for the control message that carries one descriptor.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// The length of a descriptor in a control message.
const DESCRIPTOR: libc::c_uint = 4;

fn message(byte: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: a message header of zeros is a valid empty one.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = byte;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: computes a length.
    header.msg_controllen = unsafe { libc::CMSG_SPACE(DESCRIPTOR) } as _;
    header
}

/// Waits at `socket` for a process and passes it a descriptor of `file`.
///
/// # Panics
/// If a call fails.
pub fn pass_descriptor(listener: &UnixListener, file: &std::fs::File) {
    let (stream, _) = listener.accept().expect("somebody comes for the descriptor");
    let mut byte = [1u8];
    let mut data = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = Control([0; 64]);
    let header = message(&mut data, &mut control);
    // SAFETY: the control buffer is large enough for one header.
    let first = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    // SAFETY: computes a length.
    let length = unsafe { libc::CMSG_LEN(DESCRIPTOR) };
    let content =
        libc::cmsghdr { cmsg_len: length as _, cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_RIGHTS };
    // SAFETY: `first` points to the start of the control buffer, which is aligned.
    unsafe { first.write(content) };
    // SAFETY: as above.
    let place = unsafe { libc::CMSG_DATA(first) };
    // SAFETY: four bytes behind the header, inside the buffer.
    unsafe { place.cast::<RawFd>().write_unaligned(file.as_raw_fd()) };
    // SAFETY: all that the header names lives until the call returns.
    let sent = unsafe { libc::sendmsg(stream.as_raw_fd(), &raw const header, 0) };
    assert_eq!(sent, 1, "sendmsg: {}", std::io::Error::last_os_error());
}

/// Takes a descriptor from who listens at `socket`.
///
/// # Panics
/// If a call fails.
#[must_use]
pub fn receive_descriptor(socket: &Path) -> RawFd {
    let stream = UnixStream::connect(socket).expect("somebody listens");
    let mut byte = [0u8];
    let mut data = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = Control([0; 64]);
    let mut header = message(&mut data, &mut control);
    // SAFETY: all that the header names lives until the call returns.
    let received = unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
    assert_eq!(received, 1, "recvmsg: {}", std::io::Error::last_os_error());
    // SAFETY: the kernel has filled the header.
    let first = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    assert!(!first.is_null(), "no descriptor came");
    // SAFETY: a control message lies there.
    let place = unsafe { libc::CMSG_DATA(first) };
    // SAFETY: it carries one descriptor.
    unsafe { place.cast::<RawFd>().read_unaligned() }
}
