//! `fuzz`: the targets of `fuzz/` in turn by cargo-fuzz, or where that is missing, the same drivers on seeded random inputs.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use daxcow_tests::fuzz::Target;
use daxcow_tests::fuzz::runner::Runner;
use daxcow_tests::source::root;

const HOW_TO_INSTALL: &str = "cargo-fuzz is missing (rustup toolchain install nightly; cargo install cargo-fuzz): seeded inputs instead";

/// What all targets came to.
#[derive(Default)]
struct Sum {
    inputs: u64,
    new_entries: u64,
    edges: u64,
    failures: u64,
}

/// Fuzzes for so many minutes, a share for each target.
pub(crate) fn fuzz(minutes: u64, seed: u64) -> anyhow::Result<ExitCode> {
    let share = Duration::from_secs(60 * minutes) / u32::try_from(Target::ALL.len())?;
    let mut sum = Sum::default();
    if has_cargo_fuzz() {
        for target in Target::ALL {
            run(target, share, seed, &mut sum)?;
        }
    } else {
        eprintln!("{HOW_TO_INSTALL}");
        seeded(share, seed, &mut sum);
    }
    println!(
        "fuzz: {} inputs, {} targets, {} new corpus entries, {} edges, {} failures",
        sum.inputs,
        Target::ALL.len(),
        sum.new_entries,
        sum.edges,
        sum.failures
    );
    Ok(if sum.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn has_cargo_fuzz() -> bool {
    let asked = Command::new("cargo")
        .args(["+nightly", "fuzz", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// One target by cargo-fuzz. New entries go to `target/fuzz`, for a person to choose from.
fn run(target: Target, share: Duration, seed: u64, sum: &mut Sum) -> anyhow::Result<()> {
    let name = target.name();
    let new = root().join("target/fuzz").join(name);
    std::fs::create_dir_all(&new).with_context(|| new.display().to_string())?;
    let kept = root().join("fuzz/corpus").join(name);
    let output = Command::new("cargo")
        .current_dir(root())
        .args(["+nightly", "fuzz", "run", name])
        .args([new.as_path(), kept.as_path()])
        .arg("--")
        .args([format!("-max_total_time={}", share.as_secs()), format!("-seed={seed}")])
        .args(["-max_len=400", "-len_control=0", "-timeout=60", "-rss_limit_mb=3072", "-print_final_stats=1"])
        // The C library keeps a record for each thread that ends, which looks like a leak.
        .arg("-detect_leaks=0")
        .stdout(Stdio::inherit())
        .output()
        .context("cargo fuzz")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let number = |label: &str| {
        let last = said.lines().rev().find_map(|line| line.split_once(label).map(|(_, rest)| rest.trim()));
        last.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let (inputs, new_entries, edges) =
        (number("stat::number_of_executed_units:"), number("stat::new_units_added:"), number("cov: "));
    eprintln!("{name}: {inputs} inputs, {new_entries} new corpus entries, {edges} edges");
    sum.inputs += inputs;
    sum.new_entries += new_entries;
    sum.edges += edges;
    if !output.status.success() {
        let end: Vec<&str> = said.lines().rev().take(40).collect();
        eprintln!("{name} failed:\n{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
        sum.failures += 1;
    }
    Ok(())
}

fn seeded(share: Duration, seed: u64, sum: &mut Sum) {
    let mut runner = Runner::new();
    for target in Target::ALL {
        runner.try_corpus(target);
        runner.try_random(target, seed, Instant::now() + share);
    }
    runner.failures.iter().for_each(|failure| eprintln!("{failure:#?}"));
    sum.inputs = runner.inputs;
    sum.failures = runner.failures.len() as u64;
}
