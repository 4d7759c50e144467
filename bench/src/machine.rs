//! Where something was measured: processor, memory, kernel, medium, load, versions.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The machine and what ran on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    /// Of the instructions that matter for persistent memory, those that the processor has.
    pub(crate) instructions: Vec<String>,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// The kernel's setting for huge pages on tmpfs.
    pub(crate) huge_pages_of_tmpfs: String,
    /// The file system under the directory of the measurement.
    pub(crate) medium: String,
    pub(crate) directory: String,
    /// Whether pools flush, and what they survive there.
    pub(crate) flush: String,
    pub(crate) load_before: f64,
    pub(crate) load_after: f64,
    /// What took part, by name.
    pub(crate) versions: BTreeMap<String, String>,
}

impl Machine {
    /// This machine, with pools in `directory` that flush as `flush` says.
    pub(crate) fn new(directory: &Path, flush: &str) -> Result<Machine> {
        let processors = read("/proc/cpuinfo");
        let flags = value_of(&processors, "flags").unwrap_or_default();
        let known = ["clflushopt", "clwb", "avx2", "avx512f", "hypervisor"];
        let instructions =
            known.into_iter().filter(|name| flags.split_whitespace().any(|flag| flag == *name));
        let memory = value_of(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory_kib: u64 =
            memory.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default();
        let mut versions = BTreeMap::new();
        versions.insert("daxcow".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        versions.insert("sqlite (in this process)".to_owned(), rusqlite::version().to_owned());
        let load = load();
        Ok(Machine {
            processor: value_of(&processors, "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors: std::thread::available_parallelism().context("count the processors")?.get(),
            instructions: instructions.map(str::to_owned).collect(),
            memory_bytes: memory_kib * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            huge_pages_of_tmpfs: chosen(&read("/sys/kernel/mm/transparent_hugepage/shmem_enabled")),
            medium: file_system_of(directory)?,
            directory: directory.display().to_string(),
            flush: flush.to_owned(),
            load_before: load,
            load_after: load,
            versions,
        })
    }

    /// To be called when everything has been measured.
    pub(crate) fn finished(&mut self) {
        self.load_after = load();
    }

    /// The machine for people.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let gib = self.memory_bytes as f64 / f64::from(1 << 30);
        let versions: Vec<String> =
            self.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        vec![
            (
                "machine",
                format!(
                    "{}, {} processors ({}), {gib:.0} GiB",
                    self.processor,
                    self.processors,
                    self.instructions.join(" ")
                ),
            ),
            ("kernel", format!("Linux {}, huge pages of tmpfs: {}", self.kernel, self.huge_pages_of_tmpfs)),
            ("medium", format!("{}: {}", self.directory, self.medium)),
            ("flush mode", self.flush.clone()),
            ("load of the machine", format!("{:.1} before, {:.1} after", self.load_before, self.load_after)),
            ("versions", versions.join(", ")),
        ]
    }

    /// The machine in one line, for plots.
    pub(crate) fn caption(&self) -> String {
        format!(
            "{}, {} processors, Linux {}, {}, flush mode {}, load {:.1} to {:.1}, daxcow {}",
            self.processor,
            self.processors,
            self.kernel,
            self.medium,
            self.flush.split(':').next().unwrap_or_default(),
            self.load_before,
            self.load_after,
            env!("CARGO_PKG_VERSION")
        )
    }
}

/// A file's text; nothing where it cannot be read.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name : value`.
fn value_of(text: &str, name: &str) -> Option<String> {
    text.lines().filter_map(|line| line.split_once(':')).find_map(|(found, value)| {
        (found.trim() == name).then(|| value.split_whitespace().collect::<Vec<_>>().join(" "))
    })
}

/// The word in brackets: how sysfs shows a choice.
fn chosen(text: &str) -> String {
    let word = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(word, _)| word);
    word.unwrap_or("unknown").to_owned()
}

/// The average number of processes that could run in the last minute.
fn load() -> f64 {
    read("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// The kind of file system under a directory.
pub(crate) fn file_system_of(directory: &Path) -> Result<String> {
    let directory =
        directory.canonicalize().with_context(|| format!("{} is no directory", directory.display()))?;
    let mounts = read("/proc/self/mounts");
    let of_line = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (place, kind) = (words.next()?.to_owned(), words.next()?.to_owned());
        directory.starts_with(&place).then_some((place.len(), kind))
    };
    // Of two mounts at one place the later one is seen.
    let found = mounts.lines().filter_map(of_line).max_by_key(|(length, _)| *length);
    Ok(found.map_or_else(|| "unknown".to_owned(), |(_, kind)| kind))
}
