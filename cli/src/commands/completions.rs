//! `daxcow completions SHELL`.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Arguments;
use crate::output::{self, Status};

/// Print the completion script of a shell
///
/// For bash: source <(daxcow completions bash)
#[derive(Args, Debug)]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<Status> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "daxcow", &mut script);
        output::print(script)?;
        Ok(Status::Success)
    }
}
