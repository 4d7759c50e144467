//! The commands. Each takes its options and the pools opened so far, prints, and says how it ended.

pub(crate) mod completions;
pub(crate) mod create;
pub(crate) mod dedupe;
pub(crate) mod defrag;
pub(crate) mod difference;
pub(crate) mod entries;
pub(crate) mod info;
pub(crate) mod list;
pub(crate) mod maintenance;
pub(crate) mod print;
pub(crate) mod snapshot;
pub(crate) mod stream;

use anyhow::Result;

use crate::args::Command;
use crate::output::Status;
use crate::place::Pools;

/// Runs one command and closes the pools it opened.
///
/// # Errors
/// The first failure, of the command or of closing; what a command does to several paths it reports by itself.
pub(crate) fn run(command: Command) -> Result<Status> {
    let pools = Pools::default();
    let done = dispatch(command, &pools);
    let closed = pools.close();
    let status = done?;
    closed?;
    Ok(status)
}

fn dispatch(command: Command, pools: &Pools) -> Result<Status> {
    match command {
        Command::Create(create) => create.run(),
        Command::Info(info) => info.run(pools),
        Command::Df(df) => df.run(pools),
        Command::Ls(ls) => ls.run(pools),
        Command::Cat(cat) => cat.run(pools),
        Command::Cp(cp) => cp.run(pools),
        Command::Mv(mv) => mv.run(pools),
        Command::Rm(rm) => rm.run(pools),
        Command::Mkdir(mkdir) => mkdir.run(pools),
        Command::Clone(clone) => clone.run(pools),
        Command::Snapshot(snapshot) => snapshot.run(pools),
        Command::Send(send) => send.run(pools),
        Command::Receive(receive) => receive.run(pools),
        Command::Dedupe(dedupe) => dedupe.run(pools),
        Command::Defrag(defrag) => defrag.run(pools),
        Command::Check(check) => check.run(pools),
        Command::Grow(grow) => grow.run(pools),
        Command::Trim(trim) => trim.run(pools),
        Command::Trace(trace) => trace.run(),
        Command::Completions(completions) => completions.run(),
    }
}
