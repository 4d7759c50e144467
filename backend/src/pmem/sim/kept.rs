//! Mappings that outlive their regions: a pool file that is opened a thousand times a second is mapped once.
//!
//! What another opening finds is the file either way. Only the faults are saved, which cost more than a recovery does.

use std::cell::RefCell;
use std::fs::File;
use std::sync::Arc;

use crate::os::file::{Identity, identity};
use crate::os::mmap::Reservation;

/// Mappings that a thread keeps: address space is reserved for each.
const KEPT_MAX: usize = 4;

thread_local! {
    static KEEPING: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

struct Kept {
    file: Identity,
    mapped: u64,
    reservation: Arc<Reservation>,
}

/// The mapping of `len` bytes of `file` that this thread keeps, if there is one that nobody uses.
pub(in crate::pmem) fn kept_mapping(file: &File, len: u64) -> Option<Arc<Reservation>> {
    let file = identity(file).ok()?;
    KEEPING.with_borrow_mut(|all| {
        let index = all.iter().position(|kept| kept.file == file)?;
        if all[index].mapped < len {
            all.remove(index);
            return None;
        }
        let reservation = &all[index].reservation;
        (Arc::strong_count(reservation) == 1).then(|| reservation.clone())
    })
}

/// Keeps the mapping of the first `mapped` bytes of `file` for the next region of this thread.
pub(in crate::pmem) fn keep_mapping(file: &File, mapped: u64, reservation: &Arc<Reservation>) {
    let Ok(file) = identity(file) else { return };
    KEEPING.with_borrow_mut(|all| {
        all.retain(|kept| kept.file != file);
        if all.len() == KEPT_MAX {
            all.remove(0);
        }
        all.push(Kept { file, mapped, reservation: reservation.clone() });
    });
}
