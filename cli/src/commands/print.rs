//! `daxcow cat`.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::copy::{Bar, PoolSource, frozen, transfer};
use crate::output::{self, Status};
use crate::place::Pools;

/// Write files to standard output
///
/// Each file is printed as it was at one instant, whatever other processes write meanwhile.
#[derive(Args, Debug)]
pub(crate) struct Cat {
    /// Files in pools
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

impl Cat {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        output::for_each(&self.paths, |path| {
            let place = pools.inside(path)?;
            let source = PoolSource(frozen::open(&place)?);
            transfer::stream_out(&source, &mut io::stdout().lock(), &Bar::hidden())
                .with_context(|| path.display().to_string())
        })
    }
}
