//! The emulator, a kernel and the tools, from Debian packages: downloaded and unpacked below the target directory, so that
//! nothing is installed and no rights are needed. What the machine has already is used as it is.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

/// Packages with programs that run on this machine, and the program that tells whether it is here already.
const PROGRAMS: [(&str, &str); 4] = [
    ("qemu-system-x86", "qemu-system-x86_64"),
    ("busybox-static", ""),
    ("e2fsprogs", "mkfs.ext4"),
    ("xfsprogs", "mkfs.xfs"),
];
/// The package whose dependency is the present kernel for virtual machines.
const KERNEL: &str = "linux-image-cloud-amd64";
/// Where programs may lie, below a root.
const FOLDERS: [&str; 4] = ["usr/bin", "usr/sbin", "bin", "sbin"];
/// Where libraries may lie, below a root.
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];

/// What the packages were unpacked to.
pub(super) struct Packages {
    root: PathBuf,
}

/// The package lists that apt looks into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lists {
    /// Those of the machine.
    System,
    /// Fresh ones below the target directory: a container often comes without, or with old ones.
    Own,
}

impl Packages {
    /// Those below `cache`, fetched where they are missing.
    pub(super) fn obtain(cache: &Path) -> anyhow::Result<Packages> {
        let packages = Packages { root: cache.join("root") };
        if !packages.root.is_dir() {
            let first = packages.fetch(cache, Lists::System);
            first.or_else(|error| {
                eprintln!("dax-vm: {error:#}; trying with fresh package lists");
                packages.fetch(cache, Lists::Own)
            })?;
        }
        Ok(packages)
    }

    fn fetch(&self, cache: &Path, lists: Lists) -> anyhow::Result<()> {
        let download = cache.join("download");
        if download.exists() {
            fs::remove_dir_all(&download)?;
        }
        fs::create_dir_all(&download)?;
        if lists == Lists::Own {
            fs::create_dir_all(cache.join("apt/lists/partial"))?;
            fs::create_dir_all(cache.join("apt/cache/archives/partial"))?;
            output(apt("apt-get", cache, lists).args(["update", "-qq"]))?;
        }
        let mut wanted = missing_packages(cache, lists)?;
        wanted.push(kernel_package(cache, lists)?);
        eprintln!("dax-vm: downloading {} packages", wanted.len());
        output(apt("apt-get", cache, lists).arg("download").args(&wanted).current_dir(&download))?;
        let unpacked = cache.join("unpacking");
        if unpacked.exists() {
            fs::remove_dir_all(&unpacked)?;
        }
        for entry in fs::read_dir(&download)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                output(Command::new("dpkg-deb").arg("-x").arg(path).arg(&unpacked))?;
            }
        }
        fs::remove_dir_all(&download)?;
        // By its name it is complete.
        fs::rename(&unpacked, &self.root).context("keep what was unpacked")
    }

    /// A command that runs `program`, the unpacked one where there is one.
    pub(super) fn command(&self, program: &str) -> Command {
        let Some(path) = self.program(program) else {
            let mut command = Command::new(program);
            let path = std::env::var_os("PATH").unwrap_or_default();
            command.env("PATH", joined([path, "/usr/sbin:/sbin".into()]));
            return command;
        };
        let mut command = Command::new(path);
        let libraries = LIBRARIES.map(|folder| self.root.join(folder).into_os_string());
        command.env("LD_LIBRARY_PATH", joined(libraries));
        command.env("QEMU_MODULE_DIR", self.root.join("usr/lib/x86_64-linux-gnu/qemu"));
        command
    }

    /// The unpacked file of a program.
    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        FOLDERS.iter().map(|folder| self.root.join(folder).join(name)).find(|path| path.is_file())
    }

    /// A file or folder of the packages.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The kernel's version, as its folder of modules says.
    pub(super) fn kernel_version(&self) -> anyhow::Result<String> {
        let modules = self.root.join("lib/modules");
        let entry = fs::read_dir(&modules)
            .with_context(|| modules.display().to_string())?
            .next()
            .with_context(|| format!("{} is empty", modules.display()))??;
        Ok(entry.file_name().to_string_lossy().into_owned())
    }
}

/// What would have to be installed on this machine for all programs to run.
fn missing_packages(cache: &Path, lists: Lists) -> anyhow::Result<Vec<String>> {
    let asked = PROGRAMS.iter().filter(|(_, program)| program.is_empty() || !is_installed(program));
    let asked: Vec<&str> = asked.map(|(package, _)| *package).collect();
    let mut command = apt("apt-get", cache, lists);
    let said = output(command.args(["--simulate", "install", "--no-install-recommends"]).args(&asked))?;
    let mut found: Vec<String> =
        said.lines().filter_map(|line| Some(line.strip_prefix("Inst ")?.split(' ').next()?.into())).collect();
    // The guest's shell is taken from its package also where it is installed.
    if !found.iter().any(|package| package == "busybox-static") {
        found.push("busybox-static".into());
    }
    Ok(found)
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).any(|path| path.is_file())
}

fn kernel_package(cache: &Path, lists: Lists) -> anyhow::Result<String> {
    let said = output(apt("apt-cache", cache, lists).args(["depends", "--important", KERNEL]))?;
    let depends = said.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let mut kernels = depends.filter(|package| package.starts_with("linux-image-"));
    kernels.next().map(str::to_owned).with_context(|| format!("{KERNEL} names no kernel:\n{said}"))
}

fn apt(program: &str, cache: &Path, lists: Lists) -> Command {
    let mut command = Command::new(program);
    // The user that apt would change to cannot read the target directory.
    command.args(["-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1"]).env("LC_ALL", "C");
    if lists == Lists::Own {
        for (key, folder) in [("Dir::State::Lists", "apt/lists"), ("Dir::Cache", "apt/cache")] {
            let mut option = OsString::from(format!("{key}="));
            option.push(cache.join(folder));
            command.arg("-o").arg(option);
        }
    }
    command
}

fn joined<const N: usize>(paths: [OsString; N]) -> OsString {
    paths.join(":".as_ref())
}

/// What a command printed; an error with what it complained about where it failed.
pub(super) fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = match command.stdin(Stdio::null()).output() {
        Ok(done) => done,
        Err(error) => bail!("{name}: {error}"),
    };
    let complaint = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{name}: {}: {}", done.status, complaint.trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
