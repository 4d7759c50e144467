//! What the host knows about a file, and its space.
#![expect(unsafe_code, reason = "fstatfs, fallocate and memfd_create")]

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;

/// Which file it is: two paths or descriptors of one file have equal identities.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(crate) struct Identity {
    /// The device that holds the inode.
    pub(crate) device: u64,
    /// The inode.
    pub(crate) inode: u64,
    /// The device that a device node stands for; 0 for regular files.
    pub(crate) node: u64,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Identity {
        Identity { device: metadata.dev(), inode: metadata.ino(), node: metadata.rdev() }
    }
}

/// The identity of an open file.
pub(crate) fn identity(file: &File) -> io::Result<Identity> {
    Ok(Identity::of(&file.metadata()?))
}

/// Bytes that the file system a file lies on can still give to anybody.
pub(crate) fn free_bytes(file: &File) -> io::Result<u64> {
    let found = statfs(file)?;
    let block = u64::try_from(found.f_bsize).unwrap_or(0);
    Ok(found.f_bavail.saturating_mul(block))
}

/// The magic number of the file system a file lies on.
pub(crate) fn file_system_magic(file: &File) -> io::Result<u64> {
    let answer = statfs(file)?;
    // The field is signed or not, and 32 or 64 bits wide, by architecture; the numbers have 32 bits.
    #[expect(clippy::cast_sign_loss, reason = "magic numbers are 32 bits")]
    Ok(answer.f_type as u64 & 0xffff_ffff)
}

fn statfs(file: &File) -> io::Result<libc::statfs> {
    let mut answer = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the descriptor is open and `answer` has room for the struct.
    if unsafe { libc::fstatfs(file.as_raw_fd(), answer.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it filled the struct.
    Ok(unsafe { answer.assume_init() })
}

/// A file in memory without a byte: what is mapped from it raises SIGBUS, as pages past the end of any file do.
pub(crate) fn empty() -> io::Result<File> {
    // SAFETY: the name is a C string; the call touches nothing else.
    let descriptor = unsafe { libc::memfd_create(c"daxcow past the end".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made the descriptor, and nobody else has it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

/// Gives `[offset, offset + len)` of a file real space, growing it if need be.
pub(crate) fn allocate(file: &File, offset: u64, len: u64) -> io::Result<()> {
    fallocate(file, 0, offset, len)
}

/// Makes sure that the bytes of `[offset, offset + len)` that the file has lie on real space; its size stays.
pub(crate) fn back(file: &File, offset: u64, len: u64) -> io::Result<()> {
    fallocate(file, libc::FALLOC_FL_KEEP_SIZE, offset, len)
}

/// Gives the space of `[offset, offset + len)` back to the host; it reads as zeros afterwards and the size stays.
/// `Ok(false)` where the host cannot.
pub(crate) fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    match fallocate(file, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, offset, len) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENODEV)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn fallocate(file: &File, mode: libc::c_int, offset: u64, len: u64) -> io::Result<()> {
    let too_large = |_| io::Error::from_raw_os_error(libc::EFBIG);
    let offset = libc::off_t::try_from(offset).map_err(too_large)?;
    let len = libc::off_t::try_from(len).map_err(too_large)?;
    loop {
        // SAFETY: the descriptor is open; the call touches no memory of ours.
        if unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, len) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
