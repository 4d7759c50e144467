//! One-word commands of the project: `cargo xtask loc`, `format-hash`, `model`, `kill`, `crash`, `fuzz` and `dax-vm`.

mod campaigns;
mod dax_vm;
mod fuzz;
mod kill;
mod sources;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// The arguments of `cargo xtask`.
#[derive(Parser)]
#[command(name = "cargo xtask", about = "One-word commands of the daxcow project")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Count lines of code by folder.
    Loc,
    /// Write the hash of the format sources into docs/format.md, after you have brought the document up to date.
    FormatHash,
    /// Run random operations against the reference model.
    Model(Campaign),
    /// Let processes die at every step of what they do, and kill them at random.
    Kill {
        #[command(flatten)]
        campaign: Campaign,
        /// Processes between which deaths at every step are shared out.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
        jobs: u64,
        /// All of the time for deaths at every step.
        #[arg(long)]
        deaths: bool,
    },
    /// Crash operation sequences wherever it makes a difference, and recover; make mistakes, which must be found.
    Crash {
        #[command(flatten)]
        campaign: Campaign,
        /// Threads.
        #[arg(long, default_value_t = 1)]
        jobs: u64,
        /// Where a campaign of the same seed ended; 0 makes the mistakes first.
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
    /// Drive pools with fuzzed bytes, fields, paths and operations.
    Fuzz(Campaign),
    /// Make the pools in fuzz/bases anew, after the format has changed.
    FuzzBases,
    /// Run tests, and cut the power of writers, in a virtual machine that has NVDIMMs.
    DaxVm {
        /// All tests on all devices.
        #[arg(long)]
        full: bool,
        /// Minutes until the last power cut; a few cuts where it is not given.
        #[arg(long)]
        minutes: Option<u64>,
        /// What the writers do and when the power goes.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// One process of a storm.
    #[command(hide = true)]
    Worker {
        /// Role, pool, number and seed.
        arguments: Vec<String>,
    },
}

/// How long a campaign lasts and where it starts.
#[derive(Args, Clone, Copy)]
struct Campaign {
    /// Minutes it lasts.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// The first seed; each run takes the next one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Loc => sources::count_lines(),
        Command::FormatHash => sources::write_format_hash()?,
        Command::Model(campaign) => return campaigns::model(campaign.minutes, campaign.seed),
        Command::Kill { campaign, jobs, deaths } => {
            return kill::kill(campaign.minutes, campaign.seed, jobs, deaths);
        }
        Command::Crash { campaign, jobs, from } => {
            return campaigns::crash(campaign.minutes, campaign.seed, jobs, from);
        }
        Command::Fuzz(campaign) => return fuzz::fuzz(campaign.minutes, campaign.seed),
        Command::FuzzBases => {
            daxcow_tests::fuzz::bases::write_to_tree().map_err(|error| anyhow::anyhow!("{error}"))?;
        }
        Command::DaxVm { full, minutes, seed } => return dax_vm::run(full, minutes, seed),
        Command::Worker { arguments } => return Ok(ExitCode::from(daxcow_tests::worker::main(&arguments))),
    }
    Ok(ExitCode::SUCCESS)
}
