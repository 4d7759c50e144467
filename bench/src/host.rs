//! Files of the host, as the benchmarks want them.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Opens for reading and writing, made where it is not there.
pub(crate) fn open(path: &Path) -> Result<File> {
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(path);
    opened.with_context(|| format!("open {}", path.display()))
}

/// A new file of `len` bytes, written from front to back.
pub(crate) fn written(path: &Path, len: u64) -> Result<File> {
    use std::io::{Read, Write};
    let mut file = open(path)?;
    let mut bytes = std::io::repeat(0xa5).take(len);
    let mut piece = vec![0; 1 << 20];
    loop {
        let count = bytes.read(&mut piece).context("make bytes")?;
        if count == 0 {
            return Ok(file);
        }
        file.write_all(&piece[..count]).with_context(|| format!("write {}", path.display()))?;
    }
}

/// Runs a program; fails where it fails, with what it said.
pub(crate) fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// The first line that a program prints about itself; nothing where it is not there.
pub(crate) fn version_of(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next()?.trim();
    Some(line.strip_prefix(program).unwrap_or(line).trim_start_matches([',', ' ']).to_owned())
}

/// Opens a directory.
pub(crate) fn open_directory(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("open {}", path.display()))
}
