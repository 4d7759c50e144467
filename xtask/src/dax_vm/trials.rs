//! Test programs in the guest, on each of its devices.

use std::fmt::Write as _;
use std::time::Duration;

use super::Tally;
use super::guest::Machine;
use super::nvdimm::Device;

/// A test program on a device, with arguments for it: names of tests, or what to skip.
type Trial = (Device, &'static str, &'static str);

/// What takes a minute.
const SHORT: &[Trial] = &[
    (Device::Ext4, "media", ""),
    (Device::Xfs, "media", ""),
    (Device::DevDax, "media", ""),
    (Device::VirtioPmem, "media", ""),
    (
        Device::Ext4,
        "api",
        "durability snapshots_are a_diff several_batches replacing locks_exclude shared_memory view",
    ),
    (Device::Ext4, "mapping", "a_mapping system_calls cannot_be_mapped"),
    (Device::Xfs, "mapping", "stores_reach"),
    (Device::DevDax, "mapping_device", "gathered copies free_chunk"),
    (Device::Ext4, "sqlite-transactions", "nobody_sees attached mapped_reads_return savepoints hot_journal"),
    (Device::Xfs, "sqlite-transactions", "threads_take_turns"),
];

/// All that fits the devices. A directory of 100,000 names takes too long, and a DAX device has no room for a copy of each chunk for
/// each of many snapshots.
const FULL: &[Trial] = &[
    (Device::Ext4, "media", ""),
    (Device::Xfs, "media", ""),
    (Device::DevDax, "media", ""),
    (Device::VirtioPmem, "media", ""),
    (Device::Ext4, "api", ""),
    (Device::Xfs, "api", ""),
    (Device::VirtioPmem, "api", ""),
    (Device::Ext4, "bug_classes", "--skip hundred_thousand"),
    (Device::Xfs, "bug_classes", "--skip hundred_thousand"),
    (Device::DevDax, "bug_classes", "--skip hundred_thousand"),
    (Device::Ext4, "mapping", ""),
    (Device::Xfs, "mapping", ""),
    (Device::DevDax, "mapping", "--skip stores_reach"),
    (Device::DevDax, "mapping_device", ""),
    (Device::Ext4, "mapping_live", ""),
    (Device::Xfs, "mapping_live", ""),
    (Device::Ext4, "mapping_processes", ""),
    (Device::Xfs, "mapping_processes", ""),
    (Device::Ext4, "dedupe", ""),
    (Device::Xfs, "defrag", ""),
    // It wants a second pool.
    (Device::DevDax, "dedupe", "--skip bad_ranges_and_files"),
    (Device::Xfs, "sharing_live", ""),
    (Device::Ext4, "send", ""),
    (Device::Ext4, "sqlite-transactions", ""),
    (Device::Xfs, "sqlite-transactions", ""),
    (Device::VirtioPmem, "sqlite-transactions", ""),
    (Device::Ext4, "sqlite-snapshots", ""),
    (Device::Xfs, "sqlite-snapshots", ""),
];

/// The time that a boot with all its trials may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// Boots once and runs the trials.
pub(super) fn run(machine: &Machine<'_>, full: bool, tally: &mut Tally) -> anyhow::Result<()> {
    machine.make_devices()?;
    let mut script = String::new();
    for (device, program, arguments) in if full { FULL } else { SHORT } {
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
