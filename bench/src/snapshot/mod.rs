//! Snapshots and clones: making one, the first write after it, removing it, for files of all sizes, in many pieces, many files, and
//! databases; beside FICLONE on loop-mounted XFS and btrfs on the same medium, cp, VACUUM INTO and SQLite's backup.
//!
//! | module | what it holds |
//! |---|---|
//! | `loop_mount` | file systems with reflink in files on the medium that is measured |
//! | `way` | the ways of copying a file, and the stores they copy in |
//! | `files` | one file: by its size and by its extents |
//! | `first_write` | the first write after a copy |
//! | `trees` | many files |
//! | `databases` | SQLite databases, by SQL |

mod databases;
mod files;
mod first_write;
mod loop_mount;
mod trees;
mod way;

use anyhow::Result;

use crate::host;
use crate::run::{Findings, Run};
use loop_mount::{LoopMount, MOUNTABLE};

pub(crate) fn run(run: &Run) -> Result<Findings> {
    let mut findings = Findings {
        notes: vec![
            "a daxcow snapshot or clone is durable when the call returns (flushed and fenced); FICLONE is after an fsync of \
             the copy"
                .to_owned(),
            "xfs, btrfs: in files on the same tmpfs, mounted through the loop device; sources synced before they are cloned"
                .to_owned(),
            "xfs and btrfs free the extents of what was removed in the background: their removing is what the call takes".to_owned(),
            "each turn begins with empty caches (96 MiB of memory are stored to): that first copy is in the tables that say so, \
             the others of the turn in the tables that do not, as their median"
                .to_owned(),
            "cp and btrfs subvolume snapshot are commands: starting a process, about 1 ms, is part of their time".to_owned(),
        ],
        ..Findings::default()
    };
    let mut mounts = Vec::new();
    for kind in MOUNTABLE {
        match LoopMount::new(run, kind) {
            Ok(mount) => mounts.push(mount),
            Err(error) => findings.notes.push(format!("{}: left out: {error:#}", kind.name)),
        }
    }
    for (program, argument) in [("mkfs.xfs", "-V"), ("mkfs.btrfs", "-V"), ("cp", "--version")] {
        if let Some(version) = host::version_of(program, argument) {
            findings.versions.push((program.to_owned(), version));
        }
    }
    files::by_size(run, &mounts, &mut findings)?;
    files::by_extents(run, &mounts, &mut findings)?;
    findings.tables.push(first_write::run(run, &mounts)?);
    findings.tables.extend(trees::run(run, &mounts)?);
    findings.tables.extend(databases::run(run)?);
    Ok(findings)
}
