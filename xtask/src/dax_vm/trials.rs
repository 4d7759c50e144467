//! Test programs in the guest, on each of its devices.

use std::fmt::Write as _;
use std::time::Duration;

use super::Tally;
use super::guest::Machine;
use super::nvdimm::Device;

/// A test program on a device, with the tests of it that run.
struct Trial {
    device: Device,
    program: &'static str,
    /// Arguments for the program: names of tests, or what to skip.
    arguments: &'static str,
    /// Whether it is part of a short run.
    short: bool,
}

const TRIALS: &[Trial] = &[
    Trial { device: Device::Ext4, program: "media", arguments: "", short: true },
    Trial { device: Device::Xfs, program: "media", arguments: "", short: true },
    Trial { device: Device::DevDax, program: "media", arguments: "", short: true },
    Trial { device: Device::VirtioPmem, program: "media", arguments: "", short: true },
    Trial { device: Device::Ext4, program: "api", arguments: "", short: true },
    Trial { device: Device::Xfs, program: "mapping", arguments: "", short: true },
    // Copies of chunks for each of its snapshots do not fit.
    Trial { device: Device::DevDax, program: "mapping", arguments: "--skip stores_reach", short: true },
    Trial { device: Device::DevDax, program: "mapping_device", arguments: "", short: true },
    Trial { device: Device::Ext4, program: "sqlite-transactions", arguments: "", short: true },
    Trial { device: Device::Xfs, program: "api", arguments: "", short: false },
    Trial { device: Device::VirtioPmem, program: "api", arguments: "", short: false },
    Trial {
        device: Device::Ext4,
        program: "bug_classes",
        arguments: "--skip a_hundred_thousand",
        short: false,
    },
    Trial {
        device: Device::Xfs,
        program: "bug_classes",
        arguments: "--skip a_hundred_thousand",
        short: false,
    },
    Trial {
        device: Device::DevDax,
        program: "bug_classes",
        arguments: "--skip a_hundred_thousand",
        short: false,
    },
    Trial { device: Device::Ext4, program: "mapping", arguments: "", short: false },
    Trial { device: Device::Ext4, program: "mapping_live", arguments: "", short: false },
    Trial { device: Device::Xfs, program: "mapping_live", arguments: "", short: false },
    Trial { device: Device::Ext4, program: "mapping_processes", arguments: "", short: false },
    Trial { device: Device::Xfs, program: "mapping_processes", arguments: "", short: false },
    Trial { device: Device::Ext4, program: "dedupe", arguments: "", short: false },
    Trial { device: Device::Xfs, program: "defrag", arguments: "", short: false },
    Trial { device: Device::DevDax, program: "dedupe", arguments: "", short: false },
    Trial { device: Device::Ext4, program: "send", arguments: "", short: false },
    Trial { device: Device::Xfs, program: "sqlite-transactions", arguments: "", short: false },
    Trial { device: Device::VirtioPmem, program: "sqlite-transactions", arguments: "", short: false },
    Trial { device: Device::Ext4, program: "sqlite-snapshots", arguments: "", short: false },
    Trial { device: Device::Xfs, program: "sqlite-snapshots", arguments: "", short: false },
];

/// The time that a boot with all its trials may take.
const LIMIT: Duration = Duration::from_secs(1800);

/// Boots once and runs the trials.
pub(super) fn run(machine: &Machine<'_>, full: bool, tally: &mut Tally) -> anyhow::Result<()> {
    machine.make_devices()?;
    let mut script = String::new();
    for trial in TRIALS.iter().filter(|trial| full || trial.short) {
        let Trial { device, program, arguments, .. } = trial;
        writeln!(script, "echo 'trial: {program} on {}'", device.name())?;
        // A device holds one pool at a time.
        let threads = if *device == Device::DevDax { 1 } else { 2 };
        writeln!(
            script,
            "{} /bin/{program} --test-threads={threads} {arguments} 2>&1",
            environment(*device)
        )?;
        writeln!(script, "echo \"trial: code $?\"")?;
    }
    let mut guest = machine.boot(&script, LIMIT)?;
    tally.boots += 1;
    let mut said: Vec<String> = Vec::new();
    let mut ended = false;
    while let Some(line) = guest.line() {
        if line.starts_with("guest: ") && line != "guest: ready" && line != "guest: end" {
            tally.failures += 1;
            println!("{line}");
        }
        ended |= line == "guest: end";
        if let Some(name) = line.strip_prefix("trial: ") {
            match name.strip_prefix("code ") {
                Some("0") | None => {}
                Some(code) => {
                    tally.failures += 1;
                    println!("{}\nended with {code}\n", said.join("\n"));
                }
            }
            if !name.starts_with("code ") {
                eprint!("{name}: ");
            }
            said.clear();
        }
        if let Some(result) = line.strip_prefix("test result: ") {
            eprintln!("{result}");
            tally.tests += passed(result);
        }
        said.push(line);
    }
    if !ended {
        tally.failures += 1;
        println!("the guest did not come to its end:\n{}", guest.last_words());
    }
    Ok(())
}

/// What tests are told of where they run.
fn environment(device: Device) -> String {
    match device {
        Device::Ext4 | Device::Xfs => format!("DAXCOW_MEDIUM=fs-dax DAXCOW_TEST_DIR=/mnt/{}", device.name()),
        Device::DevDax => format!("DAXCOW_MEDIUM=dev-dax DAXCOW_TEST_DEVICE={}", device.pool()),
        Device::VirtioPmem => format!("DAXCOW_MEDIUM=page-cache DAXCOW_TEST_DIR=/mnt/{}", device.name()),
    }
}

/// The tests that passed, in the result that a test program ends with.
fn passed(result: &str) -> u64 {
    let before = result.split_once(" passed").map_or("", |(before, _)| before);
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
