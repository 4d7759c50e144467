//! The campaign of crash images; `cargo xtask crash` runs it.

use std::process::ExitCode;

use daxcow_tests::images::campaign::{Plan, run};

fn main() -> ExitCode {
    let mut plan = Plan::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let number = arguments.next().and_then(|text| daxcow_tests::rng::parse_number(&text));
        let Some(number) = number else {
            eprintln!("{name} needs a number");
            return ExitCode::from(2);
        };
        match name.as_str() {
            "--minutes" => plan.minutes = number,
            "--seed" => plan.seed = number,
            "--jobs" => plan.jobs = number,
            "--from" => plan.from = number,
            _ => {
                eprintln!("usage: crash [--minutes N] [--seed S] [--jobs J] [--from PLACE]");
                return ExitCode::from(2);
            }
        }
    }
    if run(plan) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
