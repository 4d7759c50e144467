//! The guest's first file system: a shell, the modules for NVDIMMs and file systems, and the programs to be run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::cpio::Archive;
use super::packages::{Packages, output};
use super::programs::Program;

const INIT: &str = include_str!("init.sh");
/// What is loaded, in this order, each after what it depends on. What the kernel has built in is left out.
const MODULES: [&str; 12] = [
    "crc32c_generic",
    "libcrc32c",
    "libnvdimm",
    "nfit",
    "nd_pmem",
    "device_dax",
    "dax_pmem",
    "virtio_pci",
    "nd_virtio",
    "virtio_pmem",
    "ext4",
    "xfs",
];

/// Everything but the plan of a boot.
pub(super) fn make(packages: &Packages, programs: &[Program]) -> anyhow::Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys", "tmp", "mnt", "bin"] {
        archive.folder(folder);
    }
    let busybox = packages.program("busybox").context("busybox was not unpacked")?;
    archive.copy("bin/busybox", &busybox)?;
    for applet in output(Command::new(&busybox).arg("--list"))?.lines().filter(|name| *name != "busybox") {
        archive.link(&format!("bin/{applet}"), "busybox");
    }
    add_modules(packages, &mut archive)?;
    for Program { name, path, also } in programs {
        archive.copy(&format!("bin/{name}"), path)?;
        if let Some(also) = also {
            archive.link(also.to_string_lossy().trim_start_matches('/'), &format!("/bin/{name}"));
        }
    }
    archive.file("init", INIT.as_bytes());
    Ok(archive.finish())
}

/// An archive with the script of one boot, to be put behind the other.
pub(super) fn plan(script: &str) -> Vec<u8> {
    let mut archive = Archive::default();
    archive.file("plan", script.as_bytes());
    archive.finish()
}

fn add_modules(packages: &Packages, archive: &mut Archive) -> anyhow::Result<()> {
    let folder = packages.path("lib/modules").join(packages.kernel_version()?).join("kernel");
    let mut files = BTreeMap::new();
    find_modules(&folder, &mut files)?;
    let mut list = Vec::new();
    for module in MODULES {
        add_module(module, &files, archive, &mut list)?;
    }
    archive.file("modules/list", format!("{}\n", list.join("\n")).as_bytes());
    Ok(())
}

/// All modules by their names, in which `-` and `_` are the same.
fn find_modules(folder: &Path, found: &mut BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            find_modules(&path, found)?;
            continue;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some((name, _)) = file.split_once(".ko") {
            found.insert(name.replace('-', "_"), path.clone());
        }
    }
    Ok(())
}

fn add_module(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    archive: &mut Archive,
    list: &mut Vec<String>,
) -> anyhow::Result<()> {
    let file = format!("{name}.ko");
    let Some(path) = files.get(name).filter(|_| !list.contains(&file)) else { return Ok(()) };
    let bytes = if path.extension().is_some_and(|extension| extension == "xz") {
        let unpacked = Command::new("xz").arg("-dc").arg(path).output().context("xz")?;
        anyhow::ensure!(unpacked.status.success(), "xz -dc {}: {}", path.display(), unpacked.status);
        unpacked.stdout
    } else {
        fs::read(path).with_context(|| path.display().to_string())?
    };
    for needed in dependencies(&bytes) {
        add_module(&needed, files, archive, list)?;
    }
    archive.file(&format!("modules/{file}"), &bytes);
    list.push(file);
    Ok(())
}

/// What a module says of itself: `depends=a,b` between two zero bytes.
fn dependencies(module: &[u8]) -> Vec<String> {
    let says = |text: &[u8]| Some(String::from_utf8_lossy(text.strip_prefix(b"depends=")?).into_owned());
    let depends = module.split(|&byte| byte == 0).find_map(says).unwrap_or_default();
    depends.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}
