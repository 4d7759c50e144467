//! A failed sync as one word, by which members tell each other, and whoever opens the pool next, that there was one.
//!
//! The call stands in the upper half, its errno in the lower; 0 says that none failed.

use std::fmt;

/// The call that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SyncCall {
    Msync = 1,
    Fdatasync = 2,
    Fsync = 3,
}

/// A sync that failed while a pool was open: what was not durable before may be lost when the machine stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailedSync {
    pub(super) call: SyncCall,
    pub(super) errno: i32,
}

impl FailedSync {
    pub(super) const fn encode(self) -> u64 {
        (self.call as u64) << 32 | self.errno.cast_unsigned() as u64
    }

    /// Any other word than those [`FailedSync::encode`] makes says that no sync failed.
    pub(crate) fn decode(word: u64) -> Option<FailedSync> {
        let call = match word >> 32 {
            1 => SyncCall::Msync,
            2 => SyncCall::Fdatasync,
            3 => SyncCall::Fsync,
            _ => return None,
        };
        let errno = u32::try_from(word & 0xffff_ffff).ok()?.cast_signed();
        Some(FailedSync { call, errno })
    }

    /// The errno that the call gave.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        self.errno
    }
}

impl fmt::Display for FailedSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = match self.call {
            SyncCall::Msync => "msync",
            SyncCall::Fdatasync => "fdatasync",
            SyncCall::Fsync => "fsync",
        };
        write!(f, "a failed {call} ({})", std::io::Error::from_raw_os_error(self.errno))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_which_call_failed_and_how() {
        for call in [SyncCall::Msync, SyncCall::Fdatasync, SyncCall::Fsync] {
            let failed = FailedSync { call, errno: libc::EIO };
            assert_eq!(FailedSync::decode(failed.encode()), Some(failed));
        }
        assert_eq!(FailedSync::decode(0), None);
        assert_eq!(FailedSync::decode(u64::MAX), None);
    }
}
