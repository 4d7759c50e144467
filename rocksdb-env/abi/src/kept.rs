//! Pools that stay open between two uses: a program such as `ldb` asks for names a dozen times before it opens the database, and
//! each question by itself would open the pool and close it again.
//!
//! Only for programs that do nothing else: whoever links this library decides himself how long a pool is open.

use daxcow::Place;
use parking_lot::Mutex;

use crate::call;

/// The process that keeps them, and what it keeps; nothing where pools are not kept.
struct Kept {
    process: u32,
    places: Vec<Place>,
}

static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

/// Keeps each pool open, from now on, that a path leads into, or ends that.
#[unsafe(no_mangle)]
pub extern "C" fn daxcow_pools_keep(keep: bool) {
    let done = call(|| {
        let kept = keep.then(|| Kept { process: std::process::id(), places: vec![] });
        // Who was forked while another thread held the lock keeps nothing.
        let before = KEPT.try_lock().and_then(|mut now| std::mem::replace(&mut *now, kept));
        drop(before);
        Ok(())
    });
    // SAFETY: it is null or was made by `call`, and nobody else has it.
    unsafe { crate::error::daxcow_error_free(done) };
}

/// Keeps the pool of a place that was found, where pools are kept.
pub(crate) fn note(place: &Place) {
    let Some(mut kept) = KEPT.try_lock() else { return };
    let Some(kept) = kept.as_mut() else { return };
    // A forked child opens pools of its own, and closes them when it is done with them.
    if kept.process == std::process::id() && !kept.places.iter().any(|other| other.is_in_pool_of(place)) {
        kept.places.push(place.clone());
    }
}

#[cfg(test)]
mod tests {
    use daxcow::{CreateOptions, Pool};

    use super::*;

    #[test]
    fn a_kept_pool_stays_open_between_two_names_and_is_closed_in_the_end() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = directory.path().join("pool");
        let watch = Pool::create(&path, &CreateOptions::new().size(16 << 20)).unwrap();
        let members = || watch.info().unwrap().members.len();
        let ask = || Place::find(path.join("name")).unwrap().iter().for_each(note);
        ask();
        assert_eq!(members(), 1, "nobody keeps it");
        daxcow_pools_keep(true);
        ask();
        let first = members();
        ask();
        assert_eq!((first, members()), (2, 2));
        daxcow_pools_keep(false);
        assert_eq!(members(), 1);
        ask();
        assert_eq!(members(), 1, "and nobody keeps it again");
    }
}
