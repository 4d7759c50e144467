//! File systems with reflink, each in a file on the medium that is measured, mounted through the loop device.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::host;
use crate::run::Run;

/// A file system that can be made and mounted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    make: &'static str,
    make_options: &'static [&'static str],
}

pub(super) const MOUNTABLE: [Kind; 2] = [
    Kind { name: "xfs", make: "mkfs.xfs", make_options: &["-q", "-m", "reflink=1"] },
    Kind { name: "btrfs", make: "mkfs.btrfs", make_options: &["-q"] },
];

/// A mounted file system; unmounted when this is dropped.
#[derive(Debug)]
pub(super) struct LoopMount {
    pub(super) name: &'static str,
    directory: PathBuf,
}

impl LoopMount {
    pub(super) fn new(run: &Run, kind: Kind) -> Result<LoopMount> {
        ensure!(rustix::process::geteuid().is_root(), "mounting needs root");
        let image = run.path(&format!("{}.image", kind.name));
        let directory = run.path(kind.name);
        let size = run.effort().pick(512 << 20, 3 << 30, 6 << 30);
        host::open(&image)?.set_len(size).context("size the image")?;
        let mut arguments: Vec<&OsStr> = kind.make_options.iter().map(OsStr::new).collect();
        arguments.push(image.as_os_str());
        host::run(kind.make, &arguments)?;
        std::fs::create_dir(&directory).context("make a mount point")?;
        let options = ["-o", "loop"].map(OsStr::new);
        host::run("mount", &[options[0], options[1], image.as_os_str(), directory.as_os_str()])?;
        Ok(LoopMount { name: kind.name, directory })
    }

    pub(super) fn path(&self) -> &Path {
        &self.directory
    }
}

impl Drop for LoopMount {
    fn drop(&mut self) {
        if let Err(error) = host::run("umount", &[self.directory.as_os_str()]) {
            eprintln!("{} stays mounted: {error:#}", self.directory.display());
        }
    }
}
