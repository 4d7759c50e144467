//! `daxcow mv`, `rm`, `mkdir` and `clone`: changes of names.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use daxcow::{ErrorKind, FileKind};

use crate::output::{self, Status};
use crate::place::{Inside, Pools};

/// Rename files and directories within a pool
///
/// Renaming over an existing file replaces it, all at once.
#[derive(Args, Debug)]
pub(crate) struct Mv {
    /// What to rename
    #[arg(required = true)]
    sources: Vec<PathBuf>,
    /// The new name, or a directory to move them to
    target: PathBuf,
}

impl Mv {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        let target = pools.inside(&self.target)?;
        let into = is_directory(&target)?;
        if self.sources.len() > 1 && !into {
            bail!("{}: not a directory", self.target.display());
        }
        output::for_each(&self.sources, |path| {
            let source = pools.inside(path)?;
            let target = if into { target.join(name_of(&source)?) } else { target.clone() };
            same_pool(&source, &target, "use cp and rm")?;
            let change = || format!("{} to {}", path.display(), target.shown.display());
            source.pool.rename(&source.inner, &target.inner).with_context(change)
        })
    }
}

/// Remove files, and with -r directories
#[derive(Args, Debug)]
pub(crate) struct Rm {
    /// What to remove
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Remove directories and all that is in them
    #[arg(long, short)]
    recursive: bool,
    /// Do not complain about what does not exist
    #[arg(long, short)]
    force: bool,
}

impl Rm {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        output::for_each(&self.paths, |path| {
            let place = pools.inside(path)?;
            if place.is_root() {
                bail!(
                    "{}: this is the pool itself; remove its file on the host to be rid of it",
                    path.display()
                );
            }
            match self.remove(&place) {
                Err(error) if self.force && error.kind() == ErrorKind::NotFound => Ok(()),
                removed => removed.with_context(|| path.display().to_string()),
            }
        })
    }

    fn remove(&self, place: &Inside) -> daxcow::Result<()> {
        match place.pool.metadata(&place.inner)?.kind {
            FileKind::File => place.pool.remove_file(&place.inner),
            FileKind::Directory if self.recursive => place.pool.remove_dir_all(&place.inner),
            FileKind::Directory => Err(daxcow::Error::new(
                ErrorKind::IsADirectory,
                "this is a directory; -r removes it with all in it",
            )),
        }
    }
}

/// Make directories
#[derive(Args, Debug)]
pub(crate) struct Mkdir {
    /// The directories to make
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Make missing parents too, and accept what exists
    #[arg(long, short)]
    parents: bool,
}

impl Mkdir {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        output::for_each(&self.paths, |path| {
            let Inside { pool, inner, .. } = pools.inside(path)?;
            let made = if self.parents { pool.create_dir_all(inner) } else { pool.create_dir(inner) };
            made.with_context(|| path.display().to_string())
        })
    }
}

/// Make a writable copy of a file or directory that shares all blocks with it
///
/// Takes microseconds whatever the size, and no space until one of the two is written.
#[derive(Args, Debug)]
pub(crate) struct Clone {
    /// A file or directory, also one in a snapshot
    source: PathBuf,
    /// The name of the copy, in the same pool; must not exist
    target: PathBuf,
}

impl Clone {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        let (source, target) = (pools.inside(&self.source)?, pools.inside(&self.target)?);
        same_pool(&source, &target, "only cp crosses pools")?;
        let change = || format!("{} to {}", self.source.display(), self.target.display());
        source.pool.clone_tree(&source.inner, &target.inner).with_context(change)?;
        Ok(Status::Success)
    }
}

fn is_directory(place: &Inside) -> Result<bool> {
    Ok(place.metadata()?.is_some_and(|metadata| metadata.kind == FileKind::Directory))
}

fn name_of(place: &Inside) -> Result<OsString> {
    match place.name() {
        Some(name) if !place.is_root() => Ok(name),
        _ => bail!("{}: has no name to keep", place.shown.display()),
    }
}

fn same_pool(source: &Inside, target: &Inside, hint: &str) -> Result<()> {
    let pool_of = |place: &Inside| place.real_path.display().to_string();
    if Path::new(&source.real_path) != target.real_path {
        let (from, to) = (pool_of(source), pool_of(target));
        bail!("{}: is in {from}, and {} in {to}: {hint}", source.shown.display(), target.shown.display());
    }
    Ok(())
}
