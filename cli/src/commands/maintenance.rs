//! `daxcow check`, `grow` and `trim`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use daxcow::CheckReport;
use serde_json::{Value, json};

use crate::output::{Format, Status, shown};
use crate::place::Pools;
use crate::size;

/// Look for damage; exit status 3 if there is any
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The pool; other processes may use it meanwhile
    pool: PathBuf,
    /// Do not read the contents of files: lost memory under them stays unnoticed
    #[arg(long)]
    no_data: bool,
    #[command(flatten)]
    format: Format,
}

impl Check {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        let named = || self.pool.display().to_string();
        let pool = pools.pool(&self.pool)?;
        let mut report = pool.check().with_context(named)?;
        if !self.no_data {
            report.problems.extend(pool.scrub().with_context(named)?);
        }
        self.format.print(&report_json(&report), || Ok(self.text(&report)?))?;
        Ok(if report.is_clean() { Status::Success } else { Status::Findings })
    }

    fn text(&self, report: &CheckReport) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        for problem in &report.problems {
            writeln!(text, "{} at {}: {}", problem.structure, problem.place, problem.message)?;
        }
        let verdict = match report.problems.len() {
            0 => "no damage found".to_owned(),
            1 => "1 problem found".to_owned(),
            many => format!("{many} problems found"),
        };
        writeln!(
            text,
            "{}: {verdict}; {} files, {} directories, {} blocks used, {} of them shared, {} leaked",
            shown(&self.pool),
            report.files,
            report.directories,
            report.blocks_used,
            report.blocks_shared,
            report.leaked_blocks,
        )?;
        Ok(text)
    }
}

fn report_json(report: &CheckReport) -> Value {
    let problems = report.problems.iter().map(|problem| {
        json!({ "structure": problem.structure, "place": problem.place, "message": problem.message })
    });
    json!({
        "clean": report.is_clean(),
        "problems": problems.collect::<Value>(),
        "inodes": report.inodes,
        "files": report.files,
        "directories": report.directories,
        "blocks_used": report.blocks_used,
        "blocks_shared": report.blocks_shared,
        "leaked_blocks": report.leaked_blocks,
    })
}

/// Enlarge a pool, also while other processes use it
#[derive(Args, Debug)]
pub(crate) struct Grow {
    pool: PathBuf,
    /// The new size, such as 2G, or +1G for so much more
    #[arg(value_parser = parse_new_size)]
    size: NewSize,
    #[command(flatten)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NewSize {
    To(u64),
    By(u64),
}

fn parse_new_size(text: &str) -> Result<NewSize, String> {
    match text.strip_prefix('+') {
        Some(more) => size::parse(more).map(NewSize::By),
        None => size::parse(text).map(NewSize::To),
    }
}

impl Grow {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        let named = || self.pool.display().to_string();
        let pool = pools.pool(&self.pool)?;
        let before = pool.info().with_context(named)?.size_bytes;
        let wanted = match self.size {
            NewSize::To(size) => Some(size),
            NewSize::By(more) => before.checked_add(more),
        };
        let Some(wanted) = wanted else { bail!("{}: cannot grow beyond 16 EiB", named()) };
        pool.grow(wanted).with_context(named)?;
        let after = pool.info().with_context(named)?.size_bytes;
        self.format.print(&json!({ "size_bytes_before": before, "size_bytes": after }), || {
            let (before, after) = (self.format.size(before), self.format.size(after));
            Ok(format!("{}: grown from {before} to {after}\n", shown(&self.pool)))
        })?;
        Ok(Status::Success)
    }
}

/// Give the memory or disk space of free blocks back to the host
#[derive(Args, Debug)]
pub(crate) struct Trim {
    pool: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl Trim {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        let pool = pools.pool(&self.pool)?;
        let bytes = pool.trim().with_context(|| self.pool.display().to_string())?;
        self.format.print(&json!({ "trimmed_bytes": bytes }), || {
            Ok(format!("{}: gave {} back\n", shown(&self.pool), self.format.size(bytes)))
        })?;
        Ok(Status::Success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_size_is_absolute_or_an_increment() {
        assert_eq!(parse_new_size("2G"), Ok(NewSize::To(2 << 30)));
        assert_eq!(parse_new_size("+1M"), Ok(NewSize::By(1 << 20)));
        assert!(parse_new_size("+").is_err());
        assert!(parse_new_size("-1G").is_err());
    }
}
