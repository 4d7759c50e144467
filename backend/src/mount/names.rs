//! Checking names: from the root down, what each entry says against the inode that it names.

use std::collections::{HashMap, HashSet};

use super::census::InodeFacts;
use super::check::Problem;
use crate::format::dirent::Dirent;
use crate::format::inode::{Kind, ROOT_DIRECTORY};
use crate::inode::open::is_open_anywhere;
use crate::journal::Store;
use crate::namespace::directory::{self, Directory, Lock};
use crate::units::InodeNumber;

struct Names<'a> {
    store: &'a Store,
    inodes: HashMap<InodeNumber, &'a InodeFacts>,
    /// How many names each inode has.
    found: HashMap<InodeNumber, u32>,
    /// Directories to look into, and how they are called.
    waiting: Vec<(Directory, String)>,
    problems: &'a mut Vec<Problem>,
}

/// Checks all names of a pool in which nothing moves. `inodes` are those in use. Trees that no name leads to are being
/// built or taken apart if other members work; otherwise they should not be there.
pub(super) fn check(store: &Store, inodes: &[InodeFacts], others_work: bool, problems: &mut Vec<Problem>) {
    let by_number = inodes.iter().map(|facts| (facts.inode.number, facts)).collect();
    let (found, waiting) = (HashMap::new(), Vec::new());
    let mut names = Names { store, inodes: by_number, found, waiting, problems };
    match names.inodes.get(&ROOT_DIRECTORY) {
        Some(root) if root.kind.kind == Kind::Directory => {
            let directory = Directory { inode: root.inode, generation: root.kind.generation };
            names.waiting.push((directory, "/".to_owned()));
            // The root has no name, and one link.
            names.found.insert(ROOT_DIRECTORY, 1);
        }
        _ => names.problems.push(Problem::new("root directory", ROOT_DIRECTORY, "a directory", "none")),
    }
    while let Some((directory, path)) = names.waiting.pop() {
        names.directory(&directory, &path);
    }
    for facts in inodes {
        names.links(facts, others_work);
    }
}

impl Names<'_> {
    fn directory(&mut self, directory: &Directory, path: &str) {
        let entries = match directory::list(self.store, directory, Lock::Held) {
            Ok(entries) => entries,
            Err(error) => return self.problems.push(Problem::of("directory", path, &error)),
        };
        let mut seen = HashSet::new();
        for entry in entries {
            let place = format!("{path}{}", String::from_utf8_lossy(&entry.name));
            if !seen.insert(entry.name.clone()) {
                self.problems.push(Problem::new(
                    "directory entry",
                    &place,
                    "one entry of the name",
                    "another",
                ));
            }
            self.entry(&entry, &place);
        }
    }

    fn entry(&mut self, entry: &Dirent, place: &str) {
        let bad_name = entry.name.iter().any(|&byte| byte == b'/' || byte == 0)
            || matches!(entry.name.as_slice(), b"." | b"..");
        if bad_name || entry.hash != directory::hash(self.store, &entry.name) {
            self.problems.push(Problem::new(
                "directory entry",
                place,
                "a name and its hash",
                "another name or hash",
            ));
        }
        let Some(&facts) = self.inodes.get(&entry.inode) else {
            let found = format!("{}, which is free or damaged", entry.inode);
            return self.problems.push(Problem::new("directory entry", place, "an inode in use", found));
        };
        if facts.kind.kind != entry.kind || facts.kind.generation != entry.generation {
            let expected = format!("{:?} of generation {}", entry.kind, entry.generation);
            let found = format!("{:?} of generation {}", facts.kind.kind, facts.kind.generation);
            return self.problems.push(Problem::new("directory entry", place, expected, found));
        }
        let names = self.found.entry(entry.inode).or_insert(0);
        *names = names.saturating_add(1);
        if entry.kind != Kind::Directory {
            return;
        }
        if *names > 1 {
            return self.problems.push(Problem::new("directory", place, "one name", "another"));
        }
        let directory = Directory { inode: facts.inode, generation: entry.generation };
        self.waiting.push((directory, format!("{place}/")));
    }

    fn links(&mut self, facts: &InodeFacts, others_work: bool) {
        let number = facts.inode.number;
        let names = self.found.get(&number).copied().unwrap_or(0);
        if others_work && (names == 0 || names < facts.links) {
            return;
        }
        if names != facts.links {
            let expected = format!("{} names, as its links say", facts.links);
            self.problems.push(Problem::new("inode", number, expected, names));
        } else if names == 0 && !is_open_anywhere(self.store, &facts.inode).unwrap_or(false) {
            self.problems.push(Problem::new(
                "inode",
                number,
                "a name, or a member that has it open",
                "neither",
            ));
        }
    }
}
