//! `daxcow cp`: between the host and pools, and within a pool by sharing blocks.
//!
//! | module | what it holds |
//! |---|---|
//! | `spot` | a file or directory on either side, with what copying asks of it |
//! | `ends` | where bytes come from and go to: host file or pool file |
//! | `frozen` | a file of a pool as it is at one instant; files without a name |
//! | `transfer` | moving the bytes: data only, holes stay holes |
//! | `progress` | the bar |

mod ends;
pub(crate) mod frozen;
mod progress;
mod spot;
pub(crate) mod transfer;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

pub(crate) use self::ends::PoolSource;
pub(crate) use self::progress::Bar;
use self::spot::{Kind, Spot};
use crate::output::{self, Status};
use crate::place::Pools;

/// Copy files, and with -r directories, from the host to a pool, back, or within and between pools
///
/// Within a pool blocks are shared, not copied. Holes stay holes. A file that is copied out is copied as it was at one
/// instant; one that is copied in appears whole or not at all, and keeps its old contents until then.
#[derive(Args, Debug)]
pub(crate) struct Cp {
    /// What to copy
    #[arg(required = true)]
    sources: Vec<PathBuf>,
    /// The name of the copy, or a directory to copy to
    target: PathBuf,
    /// Copy directories and all that is in them
    #[arg(long, short)]
    recursive: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

impl Cp {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        let target = Spot::new(pools.locate(&self.target)?);
        let into = target.kind()? == Some(Kind::Directory);
        if self.sources.len() > 1 && !into {
            bail!("{target}: not a directory");
        }
        let mut pairs = Vec::new();
        let listed = output::for_each(&self.sources, |path| {
            let source = Spot::new(pools.locate(path)?);
            let target = if into { target.join(&source.name()?) } else { target.clone() };
            if !source.is_in_pool() && !target.is_in_pool() {
                bail!("{source}: neither this nor {target} is in a pool");
            }
            self.check_kind(&source)?;
            pairs.push((source, target));
            Ok(())
        })?;
        let bar = self.bar(&pairs)?;
        let copied = output::for_each(&pairs, |(source, target)| copy(source, target, &bar))?;
        bar.finish();
        Ok(if listed == Status::Success { copied } else { listed })
    }

    fn check_kind(&self, source: &Spot) -> Result<()> {
        match source.kind()? {
            None => bail!("{source}: no such file or directory"),
            Some(Kind::Directory) if !self.recursive => {
                bail!("{source}: is a directory; -r copies it with all in it")
            }
            Some(_) => Ok(()),
        }
    }

    /// A bar as long as what really has to be moved.
    fn bar(&self, pairs: &[(Spot, Spot)]) -> Result<Bar> {
        if self.quiet || !Bar::can_be_seen() {
            return Ok(Bar::hidden());
        }
        let mut bytes = 0;
        for (source, target) in pairs {
            if !source.shares_pool_with(target) {
                bytes += source.total_len()?;
            }
        }
        Ok(Bar::new(bytes))
    }
}

/// Copies what is at `source` to `target`, which may exist: files are replaced, directories are added to.
fn copy(source: &Spot, target: &Spot, bar: &Bar) -> Result<()> {
    let source_kind = source.kind()?;
    let target_kind = target.kind()?;
    match (source_kind, target_kind) {
        (None, _) => bail!("{source}: no such file or directory"),
        (Some(Kind::Directory), Some(Kind::File | Kind::Special)) => {
            bail!("{target}: is a file, and {source} a directory")
        }
        (Some(_), Some(Kind::Directory)) if source_kind != target_kind => {
            bail!("{target}: is a directory, and {source} a file")
        }
        (Some(kind), None) if source.shares_pool_with(target) => {
            if kind == Kind::Directory {
                source.refuse_target_within(target)?;
            }
            source.clone_to(target)
        }
        (Some(Kind::Directory), _) => copy_directory(source, target, target_kind.is_some(), bar),
        (Some(Kind::File | Kind::Special), _) => copy_file(source, target, bar),
    }
}

fn copy_directory(source: &Spot, target: &Spot, exists: bool, bar: &Bar) -> Result<()> {
    source.refuse_target_within(target)?;
    // Listed first: the target may be below the source on the host.
    let names = source.entries()?;
    if !exists {
        target.make_directory()?;
    }
    let status = output::for_each(&names, |name| {
        let below = source.join(name);
        if below.is_directory_link() {
            bail!("{below}: is a symbolic link to a directory, which a pool cannot hold");
        }
        copy(&below, &target.join(name), bar)
    })?;
    if status != Status::Success {
        bail!("{source}: not all of it was copied");
    }
    Ok(())
}

fn copy_file(source: &Spot, target: &Spot, bar: &Bar) -> Result<()> {
    let both = || format!("{source} to {target}");
    match (source, target) {
        (Spot::Pool(from), Spot::Pool(to)) if source.shares_pool_with(target) => {
            frozen::share(from, to).with_context(both)
        }
        (Spot::Pool(from), Spot::Pool(to)) => {
            let from = PoolSource(frozen::open(from)?);
            frozen::publish(to, |file| transfer::copy(&from, file, bar)).with_context(both)
        }
        (Spot::Pool(from), Spot::Host(to)) => {
            let from = PoolSource(frozen::open(from)?);
            ends::write_host_file(to, &from, bar).with_context(both)
        }
        (Spot::Host(from), Spot::Pool(to)) => {
            let from = ends::HostSource::open(from)?;
            frozen::publish(to, |file| from.copy_to(file, bar)).with_context(both)
        }
        (Spot::Host(_), Spot::Host(_)) => bail!("{}: neither is in a pool", both()),
    }
}
