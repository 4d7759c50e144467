//! What the protocols of this layer stand on: words that all members see, byte locks that end with who holds them, and time.
//!
//! A pool's [`Region`] and [`LockFile`] are that; a model checker puts its own in their place and runs the same protocols
//! through every order of their steps.

use std::time::Duration;

use crate::error::Result;
use crate::os::lock::LockFile;
use crate::os::process;
use crate::pmem::Region;
use crate::units::PoolOffset;

/// Volatile words of the pool: a load acquires, everything else is sequentially consistent. See [`Region`] for each.
pub(crate) trait Memory {
    /// How often a lock is looked at before its waiter sleeps.
    const SPINS: u32;
    /// How often a reader looks without the lock of what it reads.
    const LOOKS: u32;

    fn load_u32(&self, at: PoolOffset) -> Result<u32>;
    fn swap_u32(&self, at: PoolOffset, value: u32) -> Result<u32>;
    fn cas_u32(&self, at: PoolOffset, old: u32, new: u32) -> Result<Result<u32, u32>>;
    fn load(&self, at: PoolOffset) -> Result<u64>;
    fn store_u64(&self, at: PoolOffset, value: u64) -> Result<()>;
    /// A store that only releases.
    fn store_release(&self, at: PoolOffset, value: u64) -> Result<()>;
    fn add_u64(&self, at: PoolOffset, value: u64) -> Result<u64>;
    fn sub_u64(&self, at: PoolOffset, value: u64) -> Result<u64>;
    fn fence_acquire(&self);
    /// Orders a change, one locked instruction, and all before it before the loads after it.
    fn fence_after_change(&self);
    /// Orders stores of any kind before later ones.
    fn fence_stores(&self);
    fn futex_wait(&self, at: PoolOffset, expected: u32, timeout: Duration) -> Result<()>;
    fn futex_wake(&self, at: PoolOffset, count: u32) -> Result<u32>;
    /// Passes a moment of a loop that waits for another member.
    fn spin(&self);
    /// Gives the processor away for a while.
    fn sleep(&self, time: Duration);
    /// A clock that never goes back and that nobody sets.
    fn now(&self) -> Duration;
}

/// Byte locks by which living members are told from dead ones. See [`LockFile`] for each.
pub(crate) trait ByteLocks {
    fn try_exclusive(&self, byte: u64) -> Result<bool>;
    fn unlock(&self, byte: u64) -> Result<()>;
    fn is_locked(&self, byte: u64) -> Result<bool>;
}

/// Passes each call on to the method of the same name.
macro_rules! forward {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(#[inline]
        #[cfg_attr(feature = "sim", track_caller)]
        fn $name(&self, $($argument: $kind),*) -> $answer {
            self.$name($($argument),*)
        })*
    };
}

impl Memory for Region {
    const SPINS: u32 = 40;
    const LOOKS: u32 = 64;

    forward! {
        load_u32(at: PoolOffset) -> Result<u32>;
        swap_u32(at: PoolOffset, value: u32) -> Result<u32>;
        cas_u32(at: PoolOffset, old: u32, new: u32) -> Result<Result<u32, u32>>;
        load(at: PoolOffset) -> Result<u64>;
        store_u64(at: PoolOffset, value: u64) -> Result<()>;
        store_release(at: PoolOffset, value: u64) -> Result<()>;
        add_u64(at: PoolOffset, value: u64) -> Result<u64>;
        sub_u64(at: PoolOffset, value: u64) -> Result<u64>;
        fence_acquire() -> ();
        fence_after_change() -> ();
        fence_stores() -> ();
        futex_wait(at: PoolOffset, expected: u32, timeout: Duration) -> Result<()>;
        futex_wake(at: PoolOffset, count: u32) -> Result<u32>;
    }

    #[inline]
    fn spin(&self) {
        std::hint::spin_loop();
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(process::monotonic_ns())
    }
}

impl ByteLocks for LockFile {
    forward! {
        try_exclusive(byte: u64) -> Result<bool>;
        unlock(byte: u64) -> Result<()>;
        is_locked(byte: u64) -> Result<bool>;
    }
}
