//! Memory that is lost under a mapping of this process: every access raises SIGBUS, as that to a bad page does.
//!
//! `MADV_HWPOISON` is the real thing and takes a page of the machine out of use for good, so only [`poison_page`] does it,
//! where the kernel was built for it. [`lose`] puts the marker into the page table that userfaultfd has for pages whose
//! contents were lost in a migration (`UFFDIO_POISON`): the same signal for loads, stores and system calls, in this process
//! only, and the bytes of the file stay as they were.
#![expect(unsafe_code, reason = "madvise, userfaultfd and its ioctls")]

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const PAGE: u64 = 4096;
/// From linux/userfaultfd.h.
const API: u64 = 0xaa;
const FEATURE_POISON: u64 = 1 << 14;
const USER_MODE_ONLY: libc::c_int = 1;
const MODE_MISSING: u64 = 1;
const IOCTL_API: libc::Ioctl = 0xc018_aa3f;
const IOCTL_REGISTER: libc::Ioctl = 0xc020_aa00;
const IOCTL_POISON: libc::Ioctl = 0xc020_aa08;

/// Loses the page at `offset` of the file in all its mappings by this process.
///
/// # Errors
/// The system call that failed; no userfaultfd or no poison in this kernel.
pub fn lose(file: &Path, offset: u64) -> Result<(), String> {
    let places = mappings(file, offset)?;
    if places.is_empty() {
        return Err(format!("{} is not mapped at {offset:#x}", file.display()));
    }
    places.into_iter().try_for_each(|place| mark(place).map_err(|(call, error)| format!("{call}: {error}")))
}

/// Has the kernel take the page at `offset` of the file out of use, for good.
///
/// # Errors
/// What madvise said: EINVAL where the kernel cannot, EPERM without the rights to.
pub fn poison_page(file: &Path, offset: u64) -> Result<(), String> {
    for place in mappings(file, offset)? {
        // SAFETY: the page belongs to a mapping of a test's pool; whoever accesses it allows for its loss.
        if unsafe { libc::madvise(place as *mut libc::c_void, PAGE_BYTES, libc::MADV_HWPOISON) } != 0 {
            return Err(format!("madvise(MADV_HWPOISON): {}", io::Error::last_os_error()));
        }
    }
    Ok(())
}

const PAGE_BYTES: usize = 4096;

/// The addresses at which this process has `offset` of the file mapped.
fn mappings(file: &Path, offset: u64) -> Result<Vec<u64>, String> {
    let inode = fs::metadata(file).map_err(|error| error.to_string())?.ino().to_string();
    let maps = fs::read_to_string("/proc/self/maps").map_err(|error| error.to_string())?;
    let place = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (from, to) = words.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (from, to, start) = (number(from)?, number(to)?, number(words.nth(1)?)?);
        let within = offset.checked_sub(start)?;
        (words.nth(1)? == inode && within < to - from).then(|| from + within / PAGE * PAGE)
    };
    Ok(maps.lines().filter_map(place).collect())
}

fn mark(place: u64) -> Result<(), (&'static str, io::Error)> {
    let failed = |call| Err((call, io::Error::last_os_error()));
    // SAFETY: the call takes flags only and gives a descriptor.
    let raw = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | USER_MODE_ONLY) };
    let Ok(raw) = i32::try_from(raw) else { return failed("userfaultfd") };
    if raw < 0 {
        return failed("userfaultfd");
    }
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
    let mut api = [API, FEATURE_POISON, 0];
    // SAFETY: `api` is a struct uffdio_api: three 64-bit words.
    if unsafe { libc::ioctl(descriptor.as_raw_fd(), IOCTL_API, api.as_mut_ptr()) } != 0 {
        return failed("UFFDIO_API with poison");
    }
    let mut register = [place, PAGE, MODE_MISSING, 0];
    // SAFETY: `register` is a struct uffdio_register: four 64-bit words.
    if unsafe { libc::ioctl(descriptor.as_raw_fd(), IOCTL_REGISTER, register.as_mut_ptr()) } != 0 {
        return failed("UFFDIO_REGISTER");
    }
    // SAFETY: the page belongs to a shared file mapping: what was stored stays in the file.
    if unsafe { libc::madvise(place as *mut libc::c_void, PAGE_BYTES, libc::MADV_DONTNEED) } != 0 {
        return failed("madvise(MADV_DONTNEED)");
    }
    let mut poison = [place, PAGE, 0, 0];
    // SAFETY: `poison` is a struct uffdio_poison: four 64-bit words.
    if unsafe { libc::ioctl(descriptor.as_raw_fd(), IOCTL_POISON, poison.as_mut_ptr()) } != 0 {
        return failed("UFFDIO_POISON");
    }
    Ok(())
}
