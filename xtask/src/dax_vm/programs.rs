//! The test programs for the guest: linked statically, since it has no libraries.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use daxcow_tests::source::root;

const TARGET: &str = "x86_64-unknown-linux-gnu";
const FLAGS: &str =
    r#"target.x86_64-unknown-linux-gnu.rustflags=["-Ctarget-feature=+crt-static","-Cstrip=symbols"]"#;

/// Test programs of a crate.
const TESTS: [(&str, &[&str]); 2] = [
    (
        "daxcow-tests",
        &[
            "media",
            "api",
            "bug_classes",
            "mapping",
            "mapping_device",
            "mapping_live",
            "mapping_processes",
            "dedupe",
            "defrag",
            "send",
            "sharing_live",
        ],
    ),
    ("daxcow-sqlite", &["transactions", "snapshots"]),
];

/// A program for the guest.
pub(super) struct Program {
    /// Its name in `/bin`.
    pub(super) name: String,
    /// Where it lies on this machine.
    pub(super) path: PathBuf,
    /// Where tests that start it look for it: they know where it would lie on this machine.
    pub(super) also: Option<PathBuf>,
}

/// Builds all programs.
pub(super) fn build(target: &Path) -> anyhow::Result<Vec<Program>> {
    let mut programs = Vec::new();
    for (package, tests) in TESTS {
        let mut arguments = vec!["test", "--no-run", "-p", package];
        tests.iter().for_each(|test| arguments.extend(["--test", test]));
        for (name, path) in cargo(&arguments)? {
            if tests.contains(&name.as_str()) {
                // Both crates may have a test of one name.
                let short = package.trim_start_matches("daxcow-");
                let name = if package == "daxcow-tests" { name } else { format!("{short}-{name}") };
                programs.push(Program { name, path, also: None });
            }
        }
    }
    for (package, program) in [("daxcow-tests", "worker"), ("daxcow-cli", "daxcow")] {
        for (name, path) in cargo(&["build", "-p", package, "--bin", program])? {
            let also = Some(target.join(TARGET).join("debug").join(&name));
            programs.push(Program { name, path, also });
        }
    }
    Ok(programs)
}

/// Runs cargo, and gives the programs it says it made by the names of their targets.
fn cargo(arguments: &[&str]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut command = Command::new("cargo");
    command.current_dir(root()).args(arguments).args(["--target", TARGET, "--config", FLAGS]);
    command.args(["--message-format", "json-render-diagnostics", "--quiet"]).stderr(Stdio::inherit());
    let done = command.output().context("cargo")?;
    ensure!(done.status.success(), "cargo {}: {}", arguments.join(" "), done.status);
    let mut programs = Vec::new();
    for line in String::from_utf8_lossy(&done.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if let (Some(path), Some(name)) = (message["executable"].as_str(), message["target"]["name"].as_str())
        {
            programs.push((name.to_owned(), path.into()));
        }
    }
    Ok(programs)
}
