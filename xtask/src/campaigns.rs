//! `model` and `crash`: long campaigns that end with one summary line each.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Context;
use daxcow_tests::campaign::{Plan, run};
use daxcow_tests::generate::Limits;

/// The plans that a model campaign goes through in turn.
fn plans() -> Vec<Plan> {
    let base = Plan::default();
    let small = Limits { write_max: 8 << 10, offset_max: 40 << 10, far: false, ..base.limits.clone() };
    let large = Limits { write_max: 6 << 20, offset_max: 24 << 20, ..base.limits.clone() };
    let tight = Limits { write_max: 1 << 20, offset_max: 4 << 20, far: false, ..base.limits.clone() };
    vec![
        Plan { limits: Limits { members: 1, ..base.limits.clone() }, ..base.clone() },
        Plan { limits: Limits { members: 3, ..base.limits.clone() }, steps: 1500, ..base.clone() },
        Plan { limits: small, steps: 1000, ..base.clone() },
        Plan { limits: large, steps: 150, pool_bytes: 2 << 30, ..base.clone() },
        Plan { limits: tight, pool_bytes: 24 << 20, may_run_out: true, ..base },
    ]
}

/// Random operations against the model until the time is up.
pub(crate) fn model(minutes: u64, first_seed: u64) -> anyhow::Result<ExitCode> {
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let plans = plans();
    let (mut runs, mut operations, mut failures) = (0, 0, 0);
    while Instant::now() < end {
        let plan = &plans[runs % plans.len()];
        let seed = first_seed + u64::try_from(runs)?;
        if let Err(failure) = run(plan, seed) {
            eprintln!("{failure}\nplan: {plan:?}\nto repeat it: cargo xtask model --minutes 1 --seed {seed}");
            failures += 1;
        }
        runs += 1;
        operations += plan.steps;
    }
    println!("model: {runs} runs, {operations} operations, {failures} failures");
    Ok(code(failures))
}

pub(crate) fn code(failures: u64) -> ExitCode {
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The campaign of crash images, which needs the simulator built in; it prints the summary line.
pub(crate) fn crash(minutes: u64, seed: u64, jobs: u64, from: u64) -> anyhow::Result<ExitCode> {
    let numbers = [("--minutes", minutes), ("--seed", seed), ("--jobs", jobs), ("--from", from)];
    let status = Command::new("cargo")
        .args(["run", "--quiet", "-p", "daxcow-tests", "--features", "sim", "--bin", "crash", "--"])
        .args(numbers.iter().flat_map(|(name, number)| [(*name).to_owned(), number.to_string()]))
        .status()
        .context("cargo run")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
