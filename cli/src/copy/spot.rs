//! A file or directory on the host or in a pool, with what copying asks of it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use daxcow::FileKind;

use crate::output::shown;
use crate::place::{Inside, Place};

/// Where to copy from or to.
#[derive(Clone)]
pub(crate) enum Spot {
    Host(PathBuf),
    Pool(Inside),
}

/// What is at a spot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    File,
    Directory,
    /// A pipe, terminal or device of the host: bytes in order, no length.
    Special,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.path()))
    }
}

impl Spot {
    pub(crate) fn new(place: Place) -> Spot {
        match place {
            Place::Host(path) => Spot::Host(path),
            Place::Pool(inside) => Spot::Pool(inside),
        }
    }

    /// The path as the user would write it.
    fn path(&self) -> &Path {
        match self {
            Spot::Host(path) => path,
            Spot::Pool(inside) => &inside.shown,
        }
    }

    pub(crate) const fn is_in_pool(&self) -> bool {
        matches!(self, Spot::Pool(_))
    }

    /// Whether blocks can be shared between the two.
    pub(crate) fn shares_pool_with(&self, other: &Spot) -> bool {
        match (self, other) {
            (Spot::Pool(one), Spot::Pool(other)) => one.real_path == other.real_path,
            _ => false,
        }
    }

    /// What is here, symbolic links of the host followed; None if nothing.
    pub(crate) fn kind(&self) -> Result<Option<Kind>> {
        match self {
            Spot::Host(path) => match fs::metadata(path) {
                Ok(found) if found.is_file() => Ok(Some(Kind::File)),
                Ok(found) if found.is_dir() => Ok(Some(Kind::Directory)),
                Ok(_) => Ok(Some(Kind::Special)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error).with_context(|| self.to_string()),
            },
            Spot::Pool(inside) => Ok(inside.metadata()?.map(|metadata| match metadata.kind {
                FileKind::File => Kind::File,
                FileKind::Directory => Kind::Directory,
            })),
        }
    }

    /// The last component of the path, which a copy in a directory gets.
    pub(crate) fn name(&self) -> Result<OsString> {
        match self.path().file_name() {
            Some(name) => Ok(name.to_owned()),
            None => bail!("{self}: has no name to keep"),
        }
    }

    pub(crate) fn join(&self, name: &OsStr) -> Spot {
        match self {
            Spot::Host(path) => Spot::Host(path.join(name)),
            Spot::Pool(inside) => Spot::Pool(inside.join(name)),
        }
    }

    /// The names in this directory, sorted.
    pub(crate) fn entries(&self) -> Result<Vec<OsString>> {
        match self {
            Spot::Host(path) => {
                let named = || self.to_string();
                let mut names = Vec::new();
                for entry in fs::read_dir(path).with_context(named)? {
                    names.push(entry.with_context(named)?.file_name());
                }
                names.sort();
                Ok(names)
            }
            Spot::Pool(inside) => Ok(inside.entries()?.into_iter().map(|entry| entry.name).collect()),
        }
    }

    /// Whether this is a symbolic link to a directory, which could lead in a circle; pools hold no links.
    pub(crate) fn is_directory_link(&self) -> bool {
        matches!(self, Spot::Host(path) if path.is_symlink() && path.is_dir())
    }

    /// The bytes in this file, or in all files below this directory.
    pub(crate) fn total_len(&self) -> Result<u64> {
        match self.kind()? {
            Some(Kind::Directory) => {
                let mut total = 0;
                for name in self.entries()? {
                    let below = self.join(&name);
                    total += if below.is_directory_link() { 0 } else { below.total_len()? };
                }
                Ok(total)
            }
            Some(Kind::File) => match self {
                Spot::Host(path) => Ok(fs::metadata(path).with_context(|| self.to_string())?.len()),
                Spot::Pool(inside) => Ok(inside.metadata()?.map_or(0, |metadata| metadata.len)),
            },
            Some(Kind::Special) | None => Ok(0),
        }
    }

    pub(crate) fn make_directory(&self) -> Result<()> {
        match self {
            Spot::Host(path) => fs::create_dir(path).with_context(|| self.to_string()),
            Spot::Pool(inside) => inside.pool.create_dir(&inside.inner).with_context(|| self.to_string()),
        }
    }

    /// Makes `target`, which does not exist, a clone of this; both are in one pool.
    pub(crate) fn clone_to(&self, target: &Spot) -> Result<()> {
        let (Spot::Pool(from), Spot::Pool(to)) = (self, target) else {
            bail!("{self}: only within a pool can blocks be shared");
        };
        from.pool.clone_tree(&from.inner, &to.inner).with_context(|| format!("{self} to {target}"))
    }

    /// Refuses a target in the directory that is being copied: the copy would never end.
    pub(crate) fn refuse_target_within(&self, target: &Spot) -> Result<()> {
        let within = match (self, target) {
            (Spot::Pool(from), Spot::Pool(to)) => {
                from.real_path == to.real_path && to.inner.starts_with(&from.inner)
            }
            _ => false,
        };
        if within {
            bail!("{self}: cannot be copied into itself, {target}");
        }
        Ok(())
    }
}
