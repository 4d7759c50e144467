//! Files of a pool without a name: to read one as it is at one instant, and to write one that appears all at once.
//!
//! A file that is open keeps its blocks after its name is gone, and its blocks are free again when the last handle is
//! closed, also by the death of the process. So a copy that is killed leaves nothing behind.

use std::process;

use anyhow::{Context, Result};
use daxcow::{ErrorKind, File, FileOptions, Pool};

use crate::output::{self, shown};
use crate::place::Inside;

/// Opens the file at `place` for reading, as it is at this instant: what others write later is not seen.
pub(crate) fn open(place: &Inside) -> Result<File> {
    let named = || shown(&place.shown);
    let live = place.pool.open_file(&place.inner, &FileOptions::new().read(true)).with_context(named)?;
    if place.is_in_snapshot() {
        return Ok(live);
    }
    match share_into_unnamed(&place.pool, &live) {
        Ok(frozen) => Ok(frozen),
        Err(error) if matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::NoInodes) => {
            let name = named();
            output::warn(&format!("{name}: {error}; copying the live file, which others may be changing"));
            Ok(live)
        }
        Err(error) => Err(error).with_context(named),
    }
}

fn share_into_unnamed(pool: &Pool, live: &File) -> daxcow::Result<File> {
    let frozen = unnamed(pool)?;
    frozen.replace_contents(live)?;
    Ok(frozen)
}

/// Makes the file at `to` share all blocks of the one at `from`, in the same pool, all at once.
pub(crate) fn share(from: &Inside, to: &Inside) -> Result<()> {
    let source = from.pool.open_file(&from.inner, &FileOptions::new().read(true))?;
    replace(to, &source)
}

/// Lets `fill` write an unnamed file and then makes its contents those of the file at `to`, all at once.
pub(crate) fn publish(to: &Inside, fill: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    let file = unnamed(&to.pool)?;
    fill(&file)?;
    file.sync()?;
    replace(to, &file)
}

/// Gives the file at `to`, made if it is missing, the contents of `source`. One that this made and cannot fill is removed.
fn replace(to: &Inside, source: &File) -> Result<()> {
    let options = FileOptions::new().read(true).write(true);
    let (target, is_new) = match to.pool.open_file(&to.inner, &options.clone().create_new(true)) {
        Ok(target) => (target, true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            (to.pool.open_file(&to.inner, &options)?, false)
        }
        Err(error) => return Err(error.into()),
    };
    let replaced = target.replace_contents(source);
    if replaced.is_err() && is_new {
        to.pool.remove_file(&to.inner)?;
    }
    Ok(replaced?)
}

/// A new file that has lost its name already.
fn unnamed(pool: &Pool) -> daxcow::Result<File> {
    let options = FileOptions::new().read(true).write(true).create_new(true);
    let mut number = 0_u32;
    loop {
        let name = format!(".daxcow-cp-{}-{number}", process::id());
        match pool.open_file(&name, &options) {
            Ok(file) => {
                pool.remove_file(&name)?;
                return Ok(file);
            }
            // The same process number in another container.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}
