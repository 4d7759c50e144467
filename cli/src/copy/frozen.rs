//! Files of a pool without a name: to read one as it is at one instant, and to write one that appears all at once.
//!
//! The blocks of a file without a name are free again when its last handle is closed, also by the death of the process.
//! So a copy that is killed leaves nothing behind.

use anyhow::{Context, Result, bail};
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
    let frozen = pool.open_unnamed()?;
    frozen.replace_contents(live)?;
    Ok(frozen)
}

/// Makes the file at `to` share all blocks of the one at `from`, in the same pool, all at once.
pub(crate) fn share(from: &Inside, to: &Inside) -> Result<()> {
    let source = from.pool.open_file(&from.inner, &FileOptions::new().read(true))?;
    if to.metadata()?.is_some_and(|target| target.inode == source.inode()) {
        bail!("they are the same file");
    }
    replace(to, &source)
}

/// Lets `fill` write an unnamed file and then makes its contents those of the file at `to`, all at once.
pub(crate) fn publish(to: &Inside, fill: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    let file = to.pool.open_unnamed()?;
    fill(&file)?;
    file.sync()?;
    replace(to, &file)
}

/// Gives the file at `to`, made if it is missing, the contents of `source`. One that this made and cannot fill is removed.
fn replace(to: &Inside, source: &File) -> Result<()> {
    let options = FileOptions::new().read(true).write(true);
    let (target, is_new) = match to.pool.open_file(&to.inner, &options.create_new(true)) {
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
