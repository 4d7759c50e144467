//! `daxcow ls`.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use daxcow::{FileKind, Metadata};
use serde_json::{Value, json};

use crate::output::{self, Format, Status, columns, shown};
use crate::place::{Inside, Pools, SNAPSHOTS};
use crate::time;

/// List directories
#[derive(Args, Debug)]
pub(crate) struct Ls {
    /// Files and directories
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Show kind, links, size, allocated size and time of change
    #[arg(long, short)]
    long: bool,
    /// List what is in subdirectories, too
    #[arg(long, short = 'R')]
    recursive: bool,
    /// List also .snapshots in the root of a pool
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    format: Format,
}

/// One thing to list: its name in the listing, and what is there.
struct Listed {
    name: PathBuf,
    place: Inside,
    metadata: Metadata,
}

/// A directory's entries, or the one file that was named.
struct Section {
    title: Option<PathBuf>,
    entries: Vec<Listed>,
}

impl Ls {
    pub(crate) fn run(self, pools: &Pools) -> Result<Status> {
        let mut sections = Vec::new();
        let status = output::for_each(&self.paths, |path| self.collect(pools.inside(path)?, &mut sections))?;
        let value: Value = sections.iter().flat_map(|section| &section.entries).map(json_of).collect();
        // A text listing may hold names that are no UTF-8, so it is not made through a String.
        if self.format.is_json() {
            self.format.print(&value, || Ok(String::new()))?;
        } else {
            output::print(self.text(&sections))?;
        }
        Ok(status)
    }

    fn collect(&self, place: Inside, sections: &mut Vec<Section>) -> Result<()> {
        let metadata =
            place.pool.metadata(&place.inner).with_context(|| place.shown.display().to_string())?;
        if metadata.kind == FileKind::File {
            let file = Listed { name: place.shown.clone(), place, metadata };
            sections.push(Section { title: None, entries: vec![file] });
            return Ok(());
        }
        let mut directories = vec![place];
        while let Some(directory) = directories.pop() {
            let section = self.section(&directory)?;
            if self.recursive {
                let below =
                    section.entries.iter().rev().filter(|entry| entry.metadata.kind == FileKind::Directory);
                directories.extend(below.map(|entry| entry.place.clone()));
            }
            sections.push(section);
        }
        Ok(())
    }

    fn section(&self, directory: &Inside) -> Result<Section> {
        let mut names: Vec<PathBuf> =
            directory.entries()?.into_iter().map(|entry| entry.name.into()).collect();
        if self.all && directory.is_root() {
            names.insert(0, SNAPSHOTS.into());
        }
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            let place = directory.join(&name);
            // What went away since the directory was read is left out.
            if let Some(metadata) = place.metadata()? {
                entries.push(Listed { name, place, metadata });
            }
        }
        Ok(Section { title: Some(directory.shown.clone()), entries })
    }

    fn text(&self, sections: &[Section]) -> Vec<u8> {
        let mut text = Vec::new();
        for (number, section) in sections.iter().enumerate() {
            if let (Some(title), true) = (&section.title, sections.len() > 1) {
                if number > 0 {
                    text.push(b'\n');
                }
                text.extend(title.as_os_str().as_bytes());
                text.extend(b":\n");
            }
            if self.long {
                text.extend(self.table(&section.entries).bytes());
            } else {
                for entry in &section.entries {
                    text.extend(entry.name.as_os_str().as_bytes());
                    text.push(b'\n');
                }
            }
        }
        text
    }

    fn table(&self, entries: &[Listed]) -> String {
        let rows = entries.iter().map(|Listed { name, metadata, .. }| {
            [
                format!("{}{}", kind_letter(metadata.kind), if metadata.read_only { "r-" } else { "rw" }),
                metadata.links.to_string(),
                self.format.size(metadata.len),
                self.format.size(metadata.allocated_bytes),
                time::seconds(metadata.modified),
                shown(name),
            ]
        });
        columns(["KIND", "LINKS", "SIZE", "ALLOCATED", "MODIFIED", "NAME"], &[1, 2, 3], rows.collect())
    }
}

fn json_of(entry: &Listed) -> Value {
    let metadata = &entry.metadata;
    json!({
        "path": entry.place.shown.to_string_lossy(),
        "name": entry.place.shown.file_name().map(|name| name.to_string_lossy()),
        "kind": match metadata.kind {
            FileKind::File => "file",
            FileKind::Directory => "directory",
        },
        "inode": metadata.inode,
        "size_bytes": metadata.len,
        "allocated_bytes": metadata.allocated_bytes,
        "links": metadata.links,
        "created": time::microseconds(metadata.created),
        "modified": time::microseconds(metadata.modified),
        "read_only": metadata.read_only,
    })
}

const fn kind_letter(kind: FileKind) -> char {
    match kind {
        FileKind::File => '-',
        FileKind::Directory => 'd',
    }
}
