//! One process of a storm: `worker ROLE POOL NUMBER SEED`, see `daxcow_tests::worker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    ExitCode::from(daxcow_tests::worker::main(&arguments))
}
