//! Checking names: from the root down, what each entry says against the inode that it names, and each inode against its names.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::census::{DamagedInode, Fault, InodeFacts};
use super::finding::{Finding, Remedy};
use crate::error::Result;
use crate::format::dirent::Dirent;
use crate::format::inode::{
    self, Birth, Kind, KindWord, ROOT_DIRECTORY, SNAPSHOT_DIRECTORY, at, encode_links,
};
use crate::inode::Inode;
use crate::inode::open::is_open_anywhere;
use crate::journal::Store;
use crate::namespace::directory::{self, Directory};
use crate::namespace::resolve::is_hidden;
use crate::namespace::survey::{Sight, Slot, survey};
use crate::units::InodeNumber;

/// Names of one inode.
#[derive(Clone, Copy, Default)]
struct Found {
    names: u32,
    in_snapshots: u32,
    /// What the names say of it.
    said: Option<(Kind, u32)>,
    /// They do not all say the same.
    disputed: bool,
}

/// A directory to look into.
struct Waiting {
    directory: Directory,
    path: String,
    in_snapshot: bool,
}

struct Names<'a> {
    store: &'a Store,
    whole: BTreeMap<InodeNumber, &'a InodeFacts>,
    damaged: BTreeMap<InodeNumber, &'a DamagedInode>,
    found: HashMap<InodeNumber, Found>,
    waiting: Vec<Waiting>,
    findings: &'a mut Vec<Finding>,
    /// There are names that could not be read: nobody can tell how many an inode has.
    unread: bool,
}

/// Checks all names of a pool in which nothing moves. `whole` are the inodes in use, `damaged` those that contradict themselves.
/// Trees that no name leads to are being built or taken apart if other members work; otherwise they should not be there.
pub(super) fn check(
    store: &Store,
    whole: &[InodeFacts],
    damaged: &[DamagedInode],
    others_work: bool,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let mut names = Names {
        store,
        whole: whole.iter().map(|facts| (facts.inode.number, facts)).collect(),
        damaged: damaged.iter().map(|damaged| (damaged.inode.number, damaged)).collect(),
        found: HashMap::new(),
        waiting: Vec::new(),
        findings,
        unread: false,
    };
    match names.kind_of(ROOT_DIRECTORY) {
        Some((inode, kind)) if kind.kind == Kind::Directory => {
            let directory = Directory { inode, generation: kind.generation };
            names.waiting.push(Waiting { directory, path: "/".to_owned(), in_snapshot: false });
            // The root has no name, and one link.
            names.found.insert(ROOT_DIRECTORY, Found { names: 1, ..Found::default() });
        }
        _ => names.add("root directory", ROOT_DIRECTORY, "a directory", "none", Remedy::None),
    }
    names.walk()?;
    let tops = if others_work { HashSet::new() } else { names.tops()? };
    for facts in whole {
        names.judge(facts, others_work, &tops);
    }
    for damaged in damaged {
        names.judge_damaged(damaged)?;
    }
    Ok(())
}

impl Names<'_> {
    fn add(
        &mut self,
        structure: &str,
        place: impl std::fmt::Display,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
        remedy: Remedy,
    ) {
        self.findings.push(Finding::new(structure, place, expected, found, remedy));
    }

    /// What an inode says of itself.
    fn kind_of(&self, number: InodeNumber) -> Option<(Inode, KindWord)> {
        let whole = self.whole.get(&number).map(|facts| (facts.inode, facts.kind));
        whole.or_else(|| self.damaged.get(&number).and_then(|damaged| Some((damaged.inode, damaged.kind?))))
    }

    fn walk(&mut self) -> Result<()> {
        while let Some(next) = self.waiting.pop() {
            self.directory(&next)?;
        }
        Ok(())
    }

    fn directory(&mut self, at: &Waiting) -> Result<()> {
        let (mut sights, mut seen) = (Vec::new(), HashSet::new());
        survey(self.store, &at.directory, &mut |sight| sights.push(sight))?;
        let directory = at.directory;
        for sight in sights {
            match sight {
                Sight::Name { slot, entry, in_place, overlaps } => {
                    let again = !seen.insert(entry.name.clone());
                    self.name(at, slot, entry, in_place, again, overlaps)?;
                }
                Sight::NoName(slot) => {
                    let place = format!("{} in {}", slot.place(), at.path);
                    let remedy = Remedy::RemoveName(directory, slot);
                    self.add("directory entry", place, "a checked entry", "damage", remedy);
                }
                Sight::Words { place, expected, found, right } => {
                    let place = format!("{place} in {}", at.path);
                    self.add("directory block", place, expected, found, Remedy::Words(right));
                }
                Sight::NoChild { node, depth } => {
                    let place = format!("block {node} of {}", at.path);
                    let remedy = Remedy::EmptyBucket(directory, node, depth);
                    self.add("directory block", place, "a block of names", "none", remedy);
                }
                Sight::Stray { node } => {
                    let place = format!("block {node} of {}", at.path);
                    self.unread = true;
                    self.add(
                        "directory block",
                        place,
                        "a split block that leads to it",
                        "none",
                        Remedy::Later,
                    );
                }
                Sight::Unreadable(error) => {
                    self.unread = true;
                    self.findings.push(Finding::of("directory", &at.path, &error, Remedy::Later));
                }
            }
        }
        Ok(())
    }

    fn name(
        &mut self,
        at: &Waiting,
        slot: Slot,
        entry: Dirent,
        in_place: bool,
        again: bool,
        overlaps: bool,
    ) -> Result<()> {
        let place = format!("{}{}", at.path, String::from_utf8_lossy(&entry.name));
        let remove = || Remedy::RemoveName(at.directory, slot);
        let of_name = "directory entry";
        if again {
            self.add(of_name, &place, "one entry of the name", "another", remove());
            return Ok(());
        }
        if overlaps {
            self.add(of_name, &place, "slots of its own", "those of another entry", remove());
            return Ok(());
        }
        let unusable = entry.name.iter().any(|&byte| byte == b'/' || byte == 0)
            || matches!(entry.name.as_slice(), b"." | b"..");
        if unusable {
            self.add(of_name, &place, "a name that a path can hold", "another", remove());
            return Ok(());
        }
        // What is being received is below /.snapshots, but no snapshot yet.
        let in_snapshot = at.in_snapshot && !is_hidden(&at.directory.inode, &entry.name);
        let Some((inode, kind)) = self.kind_of(entry.inode) else {
            if self.damaged.contains_key(&entry.inode) {
                self.count(&entry, in_snapshot);
            } else {
                let found = format!("{}, which is free", entry.inode);
                self.add(of_name, &place, "an inode in use", found, remove());
            }
            return Ok(());
        };
        if kind.kind != entry.kind || kind.generation != entry.generation {
            let expected = format!("{:?} of generation {}", entry.kind, entry.generation);
            let found = format!("{:?} of generation {}", kind.kind, kind.generation);
            self.add(of_name, &place, expected, found, remove());
            return Ok(());
        }
        let is_directory = entry.kind == Kind::Directory;
        if is_directory && self.found.contains_key(&entry.inode) {
            self.add("directory", &place, "one name", "another", remove());
            return Ok(());
        }
        self.count(&entry, in_snapshot);
        let hash = directory::hash(self.store, &entry.name);
        if entry.hash != hash || !in_place {
            let (expected, found) = match entry.hash == hash {
                true => ("the block of its hash", "another block"),
                false => ("the hash of its name", "another hash"),
            };
            let right = Box::new(Dirent { hash, ..entry.clone() });
            self.add(of_name, &place, expected, found, Remedy::MoveName(at.directory, slot, right));
        }
        if is_directory {
            let directory = Directory { inode, generation: entry.generation };
            let in_snapshot = in_snapshot || entry.inode == SNAPSHOT_DIRECTORY;
            self.waiting.push(Waiting { directory, path: format!("{place}/"), in_snapshot });
        }
        Ok(())
    }

    fn count(&mut self, entry: &Dirent, in_snapshot: bool) {
        let found = self.found.entry(entry.inode).or_default();
        let says = (entry.kind, entry.generation);
        found.names = found.names.saturating_add(1);
        found.in_snapshots += u32::from(in_snapshot);
        found.disputed |= found.said.is_some_and(|said| said != says);
        found.said = Some(says);
    }

    /// The inodes without a name to which no other of them leads: those that must get one. Directories that lead to each other in
    /// a circle have none such; the first of them is taken.
    fn tops(&mut self) -> Result<HashSet<InodeNumber>> {
        let nameless: Vec<&InodeFacts> = self
            .whole
            .values()
            .copied()
            .filter(|facts| !self.found.contains_key(&facts.inode.number))
            .collect();
        let mut below: HashMap<InodeNumber, Vec<InodeNumber>> = HashMap::new();
        let mut named = HashSet::new();
        for facts in nameless.iter().filter(|facts| facts.kind.kind == Kind::Directory) {
            let directory = Directory { inode: facts.inode, generation: facts.kind.generation };
            let children = below.entry(facts.inode.number).or_default();
            survey(self.store, &directory, &mut |sight| {
                if let Sight::Name { entry, .. } = sight {
                    children.push(entry.inode);
                    if entry.inode != facts.inode.number {
                        named.insert(entry.inode);
                    }
                }
            })?;
        }
        let mut tops = HashSet::new();
        let mut reached = HashSet::new();
        let free_first = nameless.iter().filter(|facts| !named.contains(&facts.inode.number));
        for facts in free_first.chain(nameless.iter()) {
            if reached.contains(&facts.inode.number) {
                continue;
            }
            tops.insert(facts.inode.number);
            let mut waiting = vec![facts.inode.number];
            while let Some(number) = waiting.pop() {
                if reached.insert(number) {
                    waiting.extend(below.get(&number).into_iter().flatten());
                }
            }
        }
        Ok(tops)
    }

    fn judge(&mut self, facts: &InodeFacts, others_work: bool, tops: &HashSet<InodeNumber>) {
        let (inode, number) = (facts.inode, facts.inode.number);
        let found = self.found.get(&number).copied().unwrap_or_default();
        if others_work && (found.names == 0 || found.names < facts.links) {
            return;
        }
        if found.names == 0 && facts.links == 0 {
            if !is_open_anywhere(self.store, &inode).unwrap_or(false) {
                let expected = "a name, or a member that has it open";
                self.add("inode", number, expected, "neither", Remedy::Free(number));
            }
            return;
        }
        if found.names == 0 {
            let remedy =
                if tops.contains(&number) { Remedy::Attach(inode, facts.kind) } else { Remedy::Later };
            let expected = format!("{} names, as its links say", facts.links);
            return self.add("inode", number, expected, 0, remedy);
        }
        if found.names != facts.links {
            // A name that could not be read may be the one that is missing.
            let certain = !self.unread || found.names > facts.links;
            let right = Remedy::word(inode.field(at::LINKS), encode_links(found.names, number));
            let remedy = if certain { right } else { Remedy::Later };
            self.add(
                "inode",
                number,
                format!("{} names, as its links say", facts.links),
                found.names,
                remedy,
            );
        }
        let frozen = found.in_snapshots > 0;
        if facts.kind.snapshot != frozen {
            let everywhere = found.in_snapshots == 0 || found.in_snapshots == found.names;
            let right = KindWord { snapshot: frozen, ..facts.kind };
            let remedy = if everywhere && !self.unread {
                Remedy::word(inode.field(at::KIND), right.encode(number))
            } else {
                Remedy::None
            };
            let text = |snapshot| if snapshot { "read-only" } else { "writable" };
            let place = format!("{number}, which is {} a snapshot", if frozen { "in" } else { "outside" });
            self.add("inode", place, text(frozen), text(!frozen), remedy);
        }
        if facts.kind.kind == Kind::Directory && facts.size != 0 {
            let remedy = Remedy::word(inode.field(at::SIZE), inode::encode_size(0, number));
            self.add("directory", number, "no size", facts.size, remedy);
        }
    }

    /// What of a damaged inode follows from its names, or does not matter.
    fn judge_damaged(&mut self, damaged: &DamagedInode) -> Result<()> {
        let (inode, number) = (damaged.inode, damaged.inode.number);
        let found = self.found.get(&number).copied().unwrap_or_default();
        let is_directory = damaged.kind.is_some_and(|kind| kind.kind == Kind::Directory);
        for (fault, message) in &damaged.faults {
            let remedy = match (fault, damaged.kind, found.said) {
                (Fault::Kind, _, Some((kind, generation))) if !found.disputed => {
                    let right = KindWord { kind, snapshot: found.in_snapshots > 0, generation };
                    Remedy::word(inode.field(at::KIND), right.encode(number))
                }
                (Fault::Links, _, Some(_)) if !self.unread => {
                    Remedy::word(inode.field(at::LINKS), encode_links(found.names, number))
                }
                (Fault::Size, _, _) if is_directory => {
                    Remedy::word(inode.field(at::SIZE), inode::encode_size(0, number))
                }
                (Fault::Root, Some(kind), _) => {
                    let lost = match kind.kind {
                        Kind::Directory => 0,
                        _ => crate::format::entry::LOST_ROOT,
                    };
                    Remedy::Lose(crate::format::lane::Record { place: inode.field(at::ROOT), value: lost })
                }
                (Fault::Birth, Some(kind), _) if !kind.snapshot => {
                    let created = inode.modified(self.store)?;
                    let birth = Birth { number, created, origin: InodeNumber(0), attribute: 0 };
                    Remedy::Words(inode::birth_words(birth, inode.place))
                }
                _ => Remedy::None,
            };
            let problem = super::check::Problem {
                structure: "inode".to_owned(),
                place: number.to_string(),
                message: message.clone(),
            };
            self.findings.push(Finding { problem, remedy });
        }
        Ok(())
    }
}
