//! With the feature `sim`: a reservation that is refused as if the pool were full, at a chosen one of this thread.

use std::cell::Cell;

use super::Purpose;

thread_local! {
    /// How many reservations are left before the one that is refused, and whether those that release space count.
    static LEFT: Cell<Option<(u64, bool)>> = const { Cell::new(None) };
}

/// Refuses the `nth` reservation of space by this thread from now on, counted from 1. Reservations for what gives space back
/// are counted, and refused, only if `also_release` says so.
pub fn refuse_space(nth: u64, also_release: bool) {
    LEFT.set(Some((nth, also_release)));
}

/// Refuses nothing any more; whether a reservation has been refused.
#[must_use]
pub fn allow_space() -> bool {
    LEFT.take().is_none()
}

/// Whether this reservation is the one to refuse.
pub(super) fn refused(purpose: Purpose) -> bool {
    match LEFT.get() {
        Some((_, false)) if purpose == Purpose::Release => false,
        Some((1, _)) => {
            LEFT.set(None);
            true
        }
        Some((left, also_release)) => {
            LEFT.set(Some((left - 1, also_release)));
            false
        }
        None => false,
    }
}
