//! Statics that begin anew in a forked child: there, locks of the parent may be held by threads that do not exist.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::fork;

/// A static value of which each process has its own, made when it first asks. A forked child finds a fresh one, whatever
/// threads of its parent were doing with theirs; what the parent's held is never dropped in the child.
///
/// Only forks after the first pool was mapped are noticed.
#[derive(Debug)]
pub struct PerProcess<T: 'static> {
    make: fn() -> T,
    /// The value of the process that asked last; null before. Values are never freed.
    current: AtomicPtr<Owned<T>>,
}

struct Owned<T> {
    generation: u64,
    value: T,
}

impl<T: Sync> PerProcess<T> {
    /// A value that `make` makes in each process.
    #[must_use]
    pub const fn new(make: fn() -> T) -> PerProcess<T> {
        PerProcess { make, current: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The value of this process.
    pub fn get(&'static self) -> &'static T {
        loop {
            let current = self.current.load(Ordering::Acquire);
            if let Some(owned) = shared(current).filter(|owned| owned.generation == fork::generation()) {
                return &owned.value;
            }
            let made = Box::new(Owned { generation: fork::generation(), value: (self.make)() });
            self.offer(current, made);
        }
    }

    /// Puts `made` in the place of `old`, unless another thread was first.
    #[expect(unsafe_code, reason = "takes back the value that lost the race")]
    fn offer(&self, old: *mut Owned<T>, made: Box<Owned<T>>) {
        let made = Box::into_raw(made);
        if self.current.compare_exchange(old, made, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            // SAFETY: `made` comes from `Box::into_raw` above and was not published.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

#[expect(unsafe_code, reason = "follows the pointer to a value that is never freed")]
fn shared<T>(current: *mut Owned<T>) -> Option<&'static Owned<T>> {
    // SAFETY: the pointer is null or comes from `Box::into_raw` in `offer`, which published it with release after the value
    // was built; published values are never freed and have no `&mut` references.
    unsafe { current.as_ref() }
}
