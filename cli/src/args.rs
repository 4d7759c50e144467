//! The command line as clap reads it. The options of each command stand beside the command.

use clap::{Parser, Subcommand};

use crate::commands::{
    completions, create, dedupe, defrag, entries, info, list, maintenance, print, snapshot, stream,
};
use crate::{copy, trace};

const AFTER_HELP: &str = "\
Paths go through the pool, which is one file on the host: app.pool/db/main.db is the file db/main.db in app.pool, and
app.pool/.snapshots/monday/db/main.db is the same file as it was when the snapshot was taken.

Sizes are numbers with an optional unit in powers of 1024: 4096, 64K, 1.5G, 2TiB.

Exit status:
  0  all was done
  1  something failed; standard error says what
  2  the command line is wrong
  3  snapshot diff found differences
check ends as fsck does: 1 all damage was repaired, 4 there is damage, 8 it could not check";

/// Copy-on-write pools of files: instant clones and snapshots, also while programs use them
#[derive(Parser, Debug)]
#[command(name = "daxcow", version, after_help = AFTER_HELP, max_term_width = 110)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One variant a command, in the order in which `--help` lists them.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Create(create::Create),
    Info(info::Info),
    Df(info::Df),
    Ls(list::Ls),
    Cat(print::Cat),
    Cp(copy::Cp),
    Mv(entries::Mv),
    Rm(entries::Rm),
    Mkdir(entries::Mkdir),
    Clone(entries::Clone),
    Snapshot(snapshot::Snapshot),
    Send(stream::Send),
    Receive(stream::Receive),
    Dedupe(dedupe::Dedupe),
    Defrag(defrag::Defrag),
    Check(maintenance::Check),
    Grow(maintenance::Grow),
    Trim(maintenance::Trim),
    Trace(trace::Trace),
    Completions(completions::Completions),
}
