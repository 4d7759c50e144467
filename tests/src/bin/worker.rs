//! A process of a test: `worker ROLE POOL NUMBER SEED` takes part in a storm (see `daxcow_tests::worker`),
//! `worker probe NAME ...` does what a test cannot do in its own process (see `daxcow_tests::probes`),
//! `worker power ...` writes until the machine loses power (see `daxcow_tests::power`),
//! `worker deaths sample COUNT SEED` and `worker deaths all SECONDS SEED PART PARTS` fork processes that die at chosen steps (see
//! `daxcow_tests::kill`; feature `sim`).

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    ExitCode::from(match arguments.split_first() {
        Some((first, rest)) if first == "probe" => daxcow_tests::probes::main(rest),
        Some((first, rest)) if first == "power" => daxcow_tests::power::main(rest),
        #[cfg(feature = "sim")]
        Some((first, rest)) if first == "deaths" => daxcow_tests::kill::main(rest),
        _ => daxcow_tests::worker::main(&arguments),
    })
}
