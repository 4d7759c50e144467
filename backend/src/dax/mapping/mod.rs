//! Mappings: a stretch of a file as contiguous memory.
//!
//! | module | what |
//! |---|---|
//! | [`fixed`] | [`Mapping`]: one state of the file, which does not change |
//! | [`live`] | [`MappingMut`]: what the file holds now, to be stored to |
//! | `unit` | how much is copied at once |
//! | `stretch` | what of a file's map is put into a window, and when |
//!
//! A mapping is a window (`pmem::window`) and a pager that fills it: at once as far as few pieces suffice, and otherwise where
//! it is touched.

pub(crate) mod fixed;
pub(crate) mod live;
mod stretch;
mod unit;

pub use fixed::Mapping;
pub use live::MappingMut;

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result};
use crate::pmem::window::{is_mapped, load_mapped, store_mapped};

/// That a range lies in a mapping of `whole` bytes.
fn check_range(offset: usize, len: usize, whole: usize) -> Result<()> {
    if offset.checked_add(len).is_some_and(|end| end <= whole) {
        return Ok(());
    }
    let message = format!("{len} bytes at {offset} of a mapping of {whole}");
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// Lets `read` fill memory that lies in no mapping, and then `into`, which may.
pub(crate) fn out_of_mappings<T>(into: &mut [u8], read: impl FnOnce(&mut [u8]) -> Result<T>) -> Result<T> {
    if !is_mapped(into) {
        return read(into);
    }
    let mut bounce = load_mapped(into)?;
    let answer = read(&mut bounce)?;
    store_mapped(into, &bounce)?;
    Ok(answer)
}

/// The bytes of a buffer, outside of all mappings: what is copied while locks are held must not fault, and what is written
/// must not change because it is written.
pub(crate) fn not_mapped(from: &[u8]) -> Result<Cow<'_, [u8]>> {
    if is_mapped(from) { load_mapped(from).map(Cow::Owned) } else { Ok(Cow::Borrowed(from)) }
}
