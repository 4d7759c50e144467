//! `dax-vm`: the layer on real DAX, in a virtual machine that needs no rights, no pmem and no KVM.
//!
//! | module | what it does |
//! |---|---|
//! | `packages` | gets the emulator, a kernel and tools from Debian packages, without installing them |
//! | `programs` | builds the test programs statically |
//! | `cpio`, `initramfs` | make the guest's first file system of both |
//! | `nvdimm` | makes the files behind the guest's devices |
//! | `guest` | boots, listens to the serial line, cuts the power |
//! | `trials` | runs test programs on each device |
//! | `cuts` | cuts the power of writers, and judges what is left |
//!
//! Everything lies below `dax-vm` in the target directory. A machine that has no such packages is told so, and nothing fails.

mod cpio;
mod cuts;
mod guest;
mod initramfs;
mod nvdimm;
mod packages;
mod programs;
mod trials;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use daxcow_tests::source::root;

use guest::Machine;
use packages::Packages;

/// Cuts in a run that is not told how long to last.
const CUTS: u64 = 3;

/// What a run came to.
#[derive(Default)]
struct Tally {
    boots: u64,
    tests: u64,
    cuts: u64,
    acknowledged: u64,
    failures: u64,
}

/// Tests on every device, then power cuts: `CUTS` of them, or until the minutes are up. `full` runs all tests everywhere.
pub(crate) fn run(full: bool, minutes: Option<u64>, seed: u64) -> anyhow::Result<ExitCode> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        println!("dax-vm: SKIPPED: the guest runs the programs of x86-64 Linux");
        return Ok(ExitCode::SUCCESS);
    }
    let cache = target().join("dax-vm");
    std::fs::create_dir_all(&cache)?;
    let packages = match Packages::obtain(&cache) {
        Ok(packages) => packages,
        Err(error) => {
            println!("dax-vm: SKIPPED: the packages cannot be had: {error:#}");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let programs = programs::build(&target())?;
    let initramfs = initramfs::make(&packages, &programs)?;
    let begun = Instant::now();
    let machine = Machine { packages: &packages, initramfs: &initramfs, folder: cache.join("devices") };
    let mut tally = Tally::default();
    trials::run(&machine, full, &mut tally)?;
    let end = minutes.map(|minutes| begun + Duration::from_secs(60 * minutes));
    cuts::run(&machine, seed, |cuts| end.map_or(cuts < CUTS, |end| Instant::now() < end), &mut tally)?;
    println!(
        "dax-vm: {} boots, {} tests, {} cuts, {} acknowledged operations, {} failures",
        tally.boots, tally.tests, tally.cuts, tally.acknowledged, tally.failures
    );
    Ok(crate::campaigns::code(tally.failures))
}

/// Where cargo builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
