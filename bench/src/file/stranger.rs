//! A program of somebody else's that takes part in the durable overwrites: it is called with a file, the bytes of an operation, the
//! greatest number of operations and of milliseconds, and prints the microseconds that one operation took.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::host;
use crate::run::{Budget, Run};

pub(super) struct Stranger {
    pub(super) name: String,
    program: PathBuf,
    file: PathBuf,
}

impl Stranger {
    /// With a file of `len` bytes for it.
    pub(super) fn new(run: &Run, name: &str, program: &Path, len: u32) -> Result<Stranger> {
        let file = run.path("stranger");
        drop(host::written(&file, len.into())?);
        Ok(Stranger { name: name.to_owned(), program: program.to_owned(), file })
    }

    /// Microseconds of one operation.
    pub(super) fn measure(&self, size: usize, budget: Budget) -> Result<f64> {
        let output = Command::new(&self.program)
            .arg(&self.file)
            .args([size.to_string(), budget.operations.to_string(), budget.time.as_millis().to_string()])
            .output()
            .with_context(|| format!("run {}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} failed: {}", self.name, said.trim());
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().with_context(|| format!("{} printed {text:?}, which is no number", self.name))
    }
}
