//! Names in pools.

use std::ffi::{OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::time::UNIX_EPOCH;

use daxcow::{Error, ErrorKind, FileKind, Granularity, Metadata, Place};

use crate::error::Failure;
use crate::{Text, call, free, give, kept};

/// What is known about a file or directory.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Stat {
    /// Its inode, unique in the pool while it exists.
    pub inode: u64,
    /// Nanoseconds since 1970; with the inode, unique for ever.
    pub created: u64,
    /// Nanoseconds since 1970.
    pub modified: u64,
    /// Bytes.
    pub size: u64,
    /// Names that lead to it.
    pub links: u64,
    /// Whether it is a directory.
    pub is_directory: bool,
}

impl Stat {
    pub(crate) fn of(metadata: &Metadata) -> Stat {
        let nanoseconds = |time: std::time::SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        };
        Stat {
            inode: metadata.inode,
            created: nanoseconds(metadata.created),
            modified: nanoseconds(metadata.modified),
            size: metadata.len,
            links: u64::from(metadata.links),
            is_directory: metadata.kind == FileKind::Directory,
        }
    }
}

/// Called with each entry of a directory: the caller's context, its name and what is known of it.
pub type OnEntry = unsafe extern "C" fn(*mut c_void, Text, *const Stat);

/// Follows a path into the pool it goes through; null in `place` where it goes through none.
///
/// # Safety
/// `path` is readable and `place` writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_place_find(path: Text, place: *mut *mut Place) -> *mut Failure {
    call(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { path.bytes() };
        let found = match Place::find(Path::new(OsStr::from_bytes(path))) {
            // Nothing that the host could not judge better itself.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => None,
            found => found?,
        };
        found.iter().for_each(kept::note);
        let found = found.map_or(ptr::null_mut(), |found| Box::into_raw(Box::new(found)));
        // SAFETY: the caller's promise.
        unsafe { give(place, found) };
        Ok(())
    })
}

/// Forgets a place.
///
/// # Safety
/// `place` is null or came from [`daxcow_place_find`], and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_place_free(place: *mut Place) {
    // SAFETY: the caller's promise.
    unsafe { free(place) };
}

/// Whether two places lie in one pool.
///
/// # Safety
/// Both came from [`daxcow_place_find`] and were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_place_same_pool(one: *const Place, other: *const Place) -> bool {
    // SAFETY: the caller's promise.
    let one = unsafe { &*one };
    // SAFETY: as above.
    let other = unsafe { &*other };
    one.is_in_pool_of(other)
}

/// Whether the pool lies on a medium of pages, where what is appended to a file may be missing after a crash though its size is
/// there.
///
/// # Safety
/// `place` came from [`daxcow_place_find`] and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_place_is_paged(place: *const Place) -> bool {
    // SAFETY: the caller's promise.
    is_paged(unsafe { &*place })
}

fn is_paged(place: &Place) -> bool {
    place.pool.durability().granularity == Granularity::Page
}

/// What is known about what is at a place.
///
/// # Safety
/// `place` came from [`daxcow_place_find`] and was not freed; `stat` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_place_stat(place: *const Place, stat: *mut Stat) -> *mut Failure {
    // SAFETY: the caller's promise.
    let place = unsafe { &*place };
    call(|| {
        let found = Stat::of(&place.pool.metadata(&place.path)?);
        // SAFETY: the caller's promise.
        unsafe { give(stat, found) };
        Ok(())
    })
}

/// Calls `on_entry` for each entry of a directory. Entries that are removed meanwhile are left out.
///
/// # Safety
/// `place` as in [`daxcow_place_stat`]; `on_entry` may be called with `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_place_list(
    place: *const Place,
    on_entry: OnEntry,
    context: *mut c_void,
) -> *mut Failure {
    // SAFETY: the caller's promise.
    let place = unsafe { &*place };
    call(|| {
        for entry in place.pool.read_dir(&place.path)? {
            let stat = match place.pool.metadata(place.path.join(&entry.name)) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                metadata => Stat::of(&metadata?),
            };
            let name = entry.name.as_bytes();
            let name = Text { data: name.as_ptr().cast::<c_char>(), len: name.len() };
            // SAFETY: the caller's promise; name and stat outlive the call.
            unsafe { on_entry(context, name, &raw const stat) };
        }
        Ok(())
    })
}

/// Removes a file.
///
/// # Safety
/// `place` as in [`daxcow_place_stat`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_place_remove_file(place: *const Place) -> *mut Failure {
    // SAFETY: the caller's promise.
    let place = unsafe { &*place };
    call(|| place.pool.remove_file(&place.path))
}

/// Makes a directory.
///
/// # Safety
/// `place` as in [`daxcow_place_stat`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_place_create_directory(place: *const Place) -> *mut Failure {
    // SAFETY: the caller's promise.
    let place = unsafe { &*place };
    call(|| place.pool.create_dir(&place.path))
}

/// Removes an empty directory.
///
/// # Safety
/// `place` as in [`daxcow_place_stat`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_place_remove_directory(place: *const Place) -> *mut Failure {
    // SAFETY: the caller's promise.
    let place = unsafe { &*place };
    call(|| place.pool.remove_dir(&place.path))
}

/// Renames, replacing what is there as POSIX says.
///
/// # Safety
/// Both as in [`daxcow_place_stat`], in one pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_place_rename(from: *const Place, to: *const Place) -> *mut Failure {
    // SAFETY: the caller's promise.
    let from = unsafe { &*from };
    // SAFETY: as above.
    let to = unsafe { &*to };
    call(|| {
        in_one_pool(from, to)?;
        from.pool.rename(&from.path, &to.path)
    })
}

/// Gives a file another name.
///
/// # Safety
/// Both as in [`daxcow_place_stat`], in one pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_place_link(existing: *const Place, new: *const Place) -> *mut Failure {
    // SAFETY: the caller's promise.
    let existing = unsafe { &*existing };
    // SAFETY: as above.
    let new = unsafe { &*new };
    call(|| {
        in_one_pool(existing, new)?;
        existing.pool.hard_link(&existing.path, &new.path)
    })
}

pub(crate) fn in_one_pool(one: &Place, other: &Place) -> daxcow::Result<()> {
    if one.is_in_pool_of(other) {
        return Ok(());
    }
    let message = format!("{} lies in another pool", other.host_path().display());
    Err(Error::new(ErrorKind::InvalidInput, message).at(one.host_path()))
}

/// Bytes that files of the pool can still take.
///
/// # Safety
/// `place` as in [`daxcow_place_stat`]; `bytes` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_place_free_bytes(place: *const Place, bytes: *mut u64) -> *mut Failure {
    // SAFETY: the caller's promise.
    let place = unsafe { &*place };
    call(|| {
        let usage = place.pool.usage()?;
        // SAFETY: the caller's promise.
        unsafe { give(bytes, usage.free_bytes.saturating_sub(usage.reserve_bytes)) };
        Ok(())
    })
}

/// Makes the names in a directory durable. They are already, but for the contents of what page media hold back.
///
/// # Safety
/// `place` as in [`daxcow_place_stat`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_place_sync(place: *const Place) -> *mut Failure {
    // SAFETY: the caller's promise.
    let place = unsafe { &*place };
    call(|| if is_paged(place) { place.pool.sync() } else { Ok(()) })
}
