//! `daxcow check`, `grow` and `trim`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use daxcow::{CheckReport, ErrorKind, OpenOptions, Pool, Problem, RepairReport, Repaired};
use serde_json::{Value, json};

use crate::output::{Format, Status, is_broken_pipe, report, shown};
use crate::place::Pools;
use crate::size;

/// Look for damage, and repair it when asked; exit status as fsck
///
/// Without --repair other processes may use the pool meanwhile, and nothing is changed. With it nobody may have the pool open;
/// what needs no guessing is put right: counts, names that lead nowhere, what has no name (it gets one in /lost+found), blocks
/// that a file shares with a directory. A range of a file behind a damaged word is given up: the file stays, and reading
/// that range fails. A repair that was interrupted can be run again.
///
/// The exit status is 0 for a clean pool, 1 if all damage was repaired, 4 if some is left, and 8 if the pool could not be
/// checked.
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The pool
    pool: PathBuf,
    /// Do not read the contents of files: lost memory under them stays unnoticed
    #[arg(long)]
    no_data: bool,
    /// Put right what needs no guessing
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    format: Format,
}

impl Check {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        match self.check(pools) {
            Err(error) if !is_broken_pipe(&error) => {
                report(&error);
                let damaged = error.downcast_ref::<daxcow::Error>().map(daxcow::Error::kind);
                let is_damage = damaged == Some(ErrorKind::Corrupt);
                Ok(if is_damage { Status::DamageLeft } else { Status::NotChecked })
            }
            done => done,
        }
    }

    fn check(&self, pools: &Pools) -> Result<Status> {
        let named = || self.pool.display().to_string();
        let RepairReport { repaired, mut left } = if self.repair {
            let split = daxcow::split_pool_path(&self.pool).with_context(named)?;
            let path = split.map_or_else(|| self.pool.clone(), |split| split.pool);
            Pool::repair(path, &OpenOptions::new()).with_context(named)?
        } else {
            let left = pools.pool(&self.pool)?.check().with_context(named)?;
            RepairReport { left, ..RepairReport::default() }
        };
        if !self.no_data {
            left.problems.extend(pools.pool(&self.pool)?.scrub().with_context(named)?);
        }
        self.format.print(&report_json(&repaired, &left), || Ok(self.text(&repaired, &left)?))?;
        Ok(match (left.is_clean(), repaired.is_empty()) {
            (true, true) => Status::Success,
            (true, false) => Status::Repaired,
            (false, _) => Status::DamageLeft,
        })
    }

    fn text(&self, repaired: &[Repaired], report: &CheckReport) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        for Repaired { problem: Problem { structure, place, message }, action } in repaired {
            writeln!(text, "{structure} at {place}: {message}: {action}")?;
        }
        for leak in &report.leaks {
            writeln!(text, "leaked: {} at {}: {}", leak.structure, leak.place, leak.message)?;
        }
        for problem in &report.problems {
            writeln!(text, "{} at {}: {}", problem.structure, problem.place, problem.message)?;
        }
        let verdict = match report.problems.len() {
            0 => "no damage found".to_owned(),
            1 => "1 problem found".to_owned(),
            many => format!("{many} problems found"),
        };
        let verdict = match repaired.len() {
            0 => verdict,
            mended => format!("{mended} problems repaired, {verdict}"),
        };
        let lost = match report.lost_ranges {
            0 => String::new(),
            lost => format!(", {lost} ranges lost"),
        };
        writeln!(
            text,
            "{}: {verdict}; {} files, {} directories, {} blocks used, {} of them shared, {} leaked{lost}",
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

fn problem_json(problem: &Problem) -> Value {
    json!({ "structure": problem.structure, "place": problem.place, "message": problem.message })
}

fn report_json(repaired: &[Repaired], report: &CheckReport) -> Value {
    let repaired = repaired.iter().map(|repaired| {
        let mut repair = problem_json(&repaired.problem);
        repair["action"] = json!(repaired.action);
        repair
    });
    json!({
        "clean": report.is_clean(),
        "repaired": repaired.collect::<Value>(),
        "problems": report.problems.iter().map(problem_json).collect::<Value>(),
        "leaks": report.leaks.iter().map(problem_json).collect::<Value>(),
        "lost_ranges": report.lost_ranges,
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
