//! `daxcow`: pools and what is in them, from the command line.
//!
//! | module | what it holds |
//! |---|---|
//! | `args` | the command line as clap reads it |
//! | `commands` | one file per command or group of commands |
//! | `copy` | copying between the host and pools: where to, which bytes, progress |
//! | `place` | from a path the user typed to a pool and a path in it |
//! | `output` | text or JSON to standard output, and the exit status |
//! | `trace` | running a command with the events of the file layer shown |
//! | `size`, `time` | human units both ways, times as RFC 3339 |

mod args;
mod commands;
mod copy;
mod output;
mod place;
mod size;
mod time;
mod trace;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    daxcow::events::listen_from_env();
    let arguments = args::Arguments::parse();
    match commands::run(arguments.command) {
        Ok(status) => status.into(),
        // Whoever read our output (`| head`) has seen enough.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::report(&error);
            output::Status::Failure.into()
        }
    }
}
