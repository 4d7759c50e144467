//! Runs the real `daxcow` binary on pools in a temporary directory, one module per group of commands.
#![expect(clippy::unwrap_used, reason = "a test ends at the first failure")]

mod command_line;
mod copy;
mod create;
mod entries;
mod list;
mod maintenance;
mod processes;
mod sharing;
mod snapshot;
mod stream;
mod support;
