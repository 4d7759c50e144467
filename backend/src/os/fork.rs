//! Noticing that this process is a forked child, and what must happen in the child before it runs on.
//!
//! A child shares its parent's open file descriptions (and so its locks) and must use neither them nor the parent's
//! pools. Whatever is opened for one process registers here what undoes it in a child; the registration and the
//! system call before it stand in one [`Unforked`] section, which a fork waits for.
#![expect(unsafe_code, reason = "pthread_atfork and its handlers")]

use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::registry::{Registry, Row};

/// How often the line of processes that led here has forked. Whoever finds another number than it noted is in a child.
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// 1 while a fork, or a section that a fork must not split, is running. A spin lock of our own: the child must be
/// able to open it whatever other threads were doing with it.
static SECTION: AtomicU32 = AtomicU32::new(0);
static IN_CHILD: Registry<3> = Registry::new();
static INSTALL: Once = Once::new();

/// What a forked child does first. Must be async-signal-safe.
pub(crate) type ChildAction = fn(usize, usize);

/// A section that no fork splits.
pub(crate) struct Unforked(());

/// The number that differs between a process and its forked children.
#[inline]
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Begins a section that no fork splits. Keep it to a few system calls: forks of other threads spin meanwhile.
pub(crate) fn unforked() -> Unforked {
    INSTALL.call_once(|| {
        // SAFETY: the three handlers are functions of this module that live as long as the code does.
        let answer = unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
        if answer != 0 {
            tracing::error!(errno = answer, "pthread_atfork failed: forked children will not notice");
        }
    });
    enter();
    Unforked(())
}

impl Unforked {
    /// Runs `action(first, second)` in every child forked until the guard is dropped.
    pub(crate) fn in_child(&self, action: ChildAction, first: usize, second: usize) -> Row<3> {
        IN_CHILD.insert([action as usize, first, second])
    }
}

impl Drop for Unforked {
    fn drop(&mut self) {
        leave();
    }
}

fn enter() {
    while SECTION.compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
        std::thread::yield_now();
    }
}

fn leave() {
    SECTION.store(0, Ordering::Release);
}

extern "C" fn prepare() {
    enter();
}

extern "C" fn parent() {
    leave();
}

extern "C" fn child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    IN_CHILD.any(|[action, first, second], _| {
        // SAFETY: rows are only inserted by `in_child`, whose first word is a `ChildAction`.
        let action = unsafe { std::mem::transmute::<usize, ChildAction>(action) };
        action(first, second);
        false
    });
    leave();
}
