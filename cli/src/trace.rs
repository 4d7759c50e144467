//! Events of the file layer on standard error: asked for by `daxcow trace` or the variable `DAXCOW_TRACE`.

use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::output::Status;

/// Run a command and show what the file layer does for it: each iomap begin and end, with inode, range, blocks and outcome
///
/// Sets DAXCOW_TRACE for the command, which daxcow itself, and every program that loads the SQLite extension or the
/// preload library, obeys. The events go to standard error.
#[derive(Args, Debug)]
pub(crate) struct Trace {
    /// The command and its arguments; daxcow's own begin with `daxcow`
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<std::ffi::OsString>,
}

impl Trace {
    pub(crate) fn run(self) -> Result<Status> {
        let (program, arguments) = self.command.split_first().context("no command was given")?;
        let own = std::env::current_exe().ok().filter(|_| program == "daxcow");
        let status = Command::new(own.as_deref().map_or(program.as_os_str(), std::path::Path::as_os_str))
            .args(arguments)
            .env(daxcow::events::VARIABLE, "trace")
            .status()
            .with_context(|| program.display().to_string())?;
        Ok(if status.success() { Status::Success } else { Status::Failure })
    }
}
