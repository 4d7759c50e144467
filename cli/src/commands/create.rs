//! `daxcow create`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use daxcow::{CreateOptions, Dax, Pool};

use crate::commands::info;
use crate::output::{Format, Status, shown};
use crate::size;

/// Make a new, empty pool
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The file to make the pool in, or a /dev/dax device
    pool: PathBuf,
    /// Size of the pool, such as 1G
    #[arg(long, short, value_parser = size::parse)]
    size: u64,
    /// Let the host allocate its space only as it is used
    #[arg(long)]
    sparse: bool,
    /// Replace what is there
    #[arg(long)]
    force: bool,
    /// How many files and directories the pool may hold [default: by its size]
    #[arg(long, value_name = "NUMBER")]
    max_inodes: Option<u64>,
    /// Whether the host must map the pool directly from persistent memory
    #[arg(long, value_enum, default_value_t = DaxChoice::Auto)]
    dax: DaxChoice,
    /// Permission bits of the pool's file, octal
    #[arg(long, value_parser = permission_bits, default_value = "644")]
    mode: u32,
    #[command(flatten)]
    format: Format,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum DaxChoice {
    /// Fail where it cannot
    Always,
    /// Where it can
    Auto,
    /// Not even where it could
    Never,
}

impl From<DaxChoice> for Dax {
    fn from(choice: DaxChoice) -> Dax {
        match choice {
            DaxChoice::Always => Dax::Always,
            DaxChoice::Auto => Dax::Auto,
            DaxChoice::Never => Dax::Never,
        }
    }
}

fn permission_bits(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("permission bits are an octal number from 0 to 777".to_owned()),
    }
}

impl Create {
    pub(crate) fn run(self) -> Result<Status> {
        let named = || self.pool.display().to_string();
        let mut options = CreateOptions::new()
            .size(self.size)
            .sparse(self.sparse)
            .overwrite(self.force)
            .dax(self.dax.into())
            .mode(self.mode);
        if let Some(max_inodes) = self.max_inodes {
            options = options.max_inodes(max_inodes);
        }
        let pool = Pool::create(&self.pool, &options).with_context(named)?;
        let created = pool.info().with_context(named)?;
        self.format.print(&info::json(&created), || {
            let size = self.format.size(created.size_bytes);
            Ok(format!("{}: {size}, {}\n", shown(&self.pool), created.durability.description))
        })?;
        pool.close().with_context(named)?;
        Ok(Status::Success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_bits_are_octal_and_at_most_777() {
        assert_eq!(permission_bits("660"), Ok(0o660));
        for text in ["1000", "8", "", "rw"] {
            assert!(permission_bits(text).is_err(), "{text}");
        }
    }
}
