//! `kill`: half of the time deaths at every step, a quarter storms of killed processes on files, a quarter on databases; or deaths
//! all the time.

use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use daxcow_tests::storm;

use crate::campaigns::code;

/// What a part of the campaign did.
#[derive(Default)]
struct Tally {
    sequences: u64,
    death_steps: u64,
    kills: u64,
    recoveries: u64,
    longest_us: u64,
    failures: u64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.sequences += other.sequences;
        self.death_steps += other.death_steps;
        self.kills += other.kills;
        self.recoveries += other.recoveries;
        self.longest_us = self.longest_us.max(other.longest_us);
        self.failures += other.failures;
    }
}

/// Kills processes until the time is up.
pub(crate) fn kill(minutes: u64, seed: u64, jobs: u64, only_deaths: bool) -> anyhow::Result<ExitCode> {
    let time = Duration::from_secs(60 * minutes);
    let mut all = Tally::default();
    for part in deaths(if only_deaths { time } else { time / 2 }, seed, jobs)? {
        all.add(&part);
    }
    if !only_deaths {
        all.add(&storms(time / 4, seed)?);
        all.add(&databases(time / 4, seed)?);
    }
    println!(
        "kill: {} sequences, {} death steps, {} kills, survivors' longest wait {} ms, {} recoveries, {} failures",
        all.sequences,
        all.death_steps,
        all.kills,
        all.longest_us / 1000,
        all.recoveries,
        all.failures
    );
    Ok(code(all.failures))
}

/// Deaths at every step, in programs built with the simulator, each of which has a part of them.
fn deaths(time: Duration, seed: u64, jobs: u64) -> anyhow::Result<Vec<Tally>> {
    let program = ["run", "--quiet", "-p", "daxcow-tests", "--features", "sim", "--bin", "worker", "--"];
    let start = |part: u64| {
        let numbers = [time.as_secs(), seed, part, jobs].map(|number| number.to_string());
        let mut command = Command::new("cargo");
        command.args(program).args(["deaths", "all"]).args(numbers).stdout(Stdio::piped());
        command.spawn().context("cargo run")
    };
    let started = (0..jobs).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    started.into_iter().map(|child| told(&child.wait_with_output().context("waiting")?)).collect()
}

/// What a program with deaths says of itself.
fn told(output: &Output) -> anyhow::Result<Tally> {
    let said = String::from_utf8_lossy(&output.stdout);
    let mut tally = Tally::default();
    for line in said.lines() {
        let Some(numbers) = line.strip_prefix("numbers ") else {
            println!("{line}");
            continue;
        };
        let numbers: Vec<u64> = numbers.split(' ').filter_map(|number| number.parse().ok()).collect();
        if let &[sequences, deaths, recoverers, recoveries, longest_us, failures] = numbers.as_slice() {
            let death_steps = deaths + recoverers;
            tally = Tally { sequences, death_steps, kills: 0, recoveries, longest_us, failures };
        }
    }
    anyhow::ensure!(tally.sequences > 0, "the deaths ended without a summary: {}", output.status);
    Ok(tally)
}

/// Storms on files, beside a member that watches and without one in turn.
fn storms(time: Duration, first_seed: u64) -> anyhow::Result<Tally> {
    let end = Instant::now() + time;
    let program = std::env::current_exe()?;
    let mut seed = first_seed;
    let (mut tally, mut sum) = (Tally::default(), storm::Summary::default());
    while Instant::now() < end {
        let mut plan = storm::plan(&program);
        plan.program.push("worker".into());
        plan.watched = seed.is_multiple_of(2);
        plan.duration = Duration::from_secs(15);
        tally.sequences += 1;
        match storm::run(&plan, seed) {
            Ok(summary) => {
                sum.started += summary.started;
                sum.killed += summary.killed;
                sum.stamps += summary.stamps;
                sum.counts += summary.counts;
                sum.longest_us = sum.longest_us.max(summary.longest_us);
            }
            Err(what) => {
                eprintln!("seed {seed}: {what}");
                tally.failures += 1;
            }
        }
        seed += 1;
    }
    println!(
        "storms: {} storms, {} processes, {} kills, {} acknowledged commits, longest operation {} ms, {} failures",
        tally.sequences,
        sum.started,
        sum.killed,
        sum.stamps + sum.counts,
        sum.longest_us / 1000,
        tally.failures
    );
    tally.kills = sum.killed;
    tally.longest_us = sum.longest_us;
    tally.recoveries = sum.killed;
    Ok(tally)
}

/// SQLite: several processes on two databases in all journal modes.
fn databases(time: Duration, seed: u64) -> anyhow::Result<Tally> {
    let output = Command::new("cargo")
        .args(["test", "--quiet", "-p", "daxcow-sqlite", "--test", "kills", "--", "--nocapture"])
        .arg("what_killed_processes")
        .env("DAXCOW_SECONDS", time.as_secs().to_string())
        .env("DAXCOW_SEED", seed.to_string())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo test")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find_map(|line| line.strip_prefix("sqlite: ")).unwrap_or("no summary");
    println!("sqlite: {line}");
    // "N transactions, N rounds, N kills, ..."
    let numbers: Vec<u64> =
        line.split(", ").filter_map(|part| part.split(' ').next()?.parse().ok()).collect();
    let kills = numbers.get(2).copied().unwrap_or(0);
    let failures = u64::from(!output.status.success());
    Ok(Tally { sequences: 1, kills, recoveries: kills, failures, ..Tally::default() })
}
