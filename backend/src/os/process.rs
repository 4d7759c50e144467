//! What there is to know about processes: this boot, names, states, and a clock that all processes share.
#![expect(unsafe_code, reason = "clock_gettime")]

use std::fs::{self, File};
use std::io::Read;

use crate::error::{Error, ErrorKind, Result};

/// The random number of this boot of the machine.
pub(crate) fn boot_id() -> Result<[u8; 16]> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(PATH).map_err(|error| Error::os("read", error).at(PATH))?;
    parse_uuid(text.trim())
        .ok_or_else(|| Error::new(ErrorKind::Io, format!("{PATH}: expected a UUID, found {:?}", text.trim())))
}

/// Fills `bytes` with random ones.
pub(crate) fn random_bytes(bytes: &mut [u8]) -> Result<()> {
    const PATH: &str = "/dev/urandom";
    File::open(PATH)
        .and_then(|mut source| source.read_exact(bytes))
        .map_err(|error| Error::os("read", error).at(PATH))
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    if digits.len() != 32 || !digits.is_ascii() {
        return None;
    }
    let mut id = [0; 16];
    for (index, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(id)
}

/// The id of this process, as its own PID namespace counts.
pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// The name of this process, at most 15 bytes; "?" where /proc is not mounted.
pub(crate) fn name() -> String {
    match fs::read("/proc/self/comm") {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
        Err(_) => "?".to_owned(),
    }
}

/// Whether process `pid` is stopped (SIGSTOP, a debugger). False if there is no such process.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name stands in parentheses and may hold anything, parentheses too; the state follows the last one.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('T' | 't'))
}

/// How many mappings the kernel allows a process; nothing where it does not say.
pub(crate) fn mappings_max() -> Option<usize> {
    fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()
}

/// Nanoseconds of the monotonic clock, the same for all processes of this boot.
pub(crate) fn monotonic_ns() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since 1970, as of the last tick of the kernel: what file systems give as a file's time.
pub(crate) fn ticked_ns() -> u64 {
    nanoseconds(libc::CLOCK_REALTIME_COARSE)
}

fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec for the call to fill; the clocks named above always exist.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    // A clock may be set to any time.
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}
