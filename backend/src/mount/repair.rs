//! Putting right what contradicts the format, when asked and as far as that needs no guessing.
//!
//! ```text
//! alone in the pool -> impossible lanes dropped -> as a first opening -> rounds of: check, remedies, counting anew
//! ```
//!
//! The pool counts as left open until the end, and each remedy is one transaction: whoever is killed here leaves a pool that
//! can be opened, or repaired again. A round first stores words that follow from others, which needs no space, then counts, which
//! gives space, and only then makes names and copies.

use std::path::Path;

use super::check::{CheckReport, Problem, inspect};
use super::finding::{Finding, Remedy};
use super::options::OpenOptions;
use super::rebuild::recount;
use super::{close, open};
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::stage::stage;
use crate::extent_map::{Change, Content, Tree};
use crate::format::dirent::Dirent;
use crate::format::inode::{Kind, KindWord, SNAPSHOT_DIRECTORY};
use crate::format::layout::SLOT_COUNT;
use crate::inode::{Core, Inode};
use crate::journal::{self, Store};
use crate::namespace::SNAPSHOT_DIRECTORY_NAME;
use crate::namespace::directory::{self, Directory};
use crate::namespace::edit::Edit;
use crate::namespace::reclaim::reclaim_orphan;
use crate::namespace::survey::{replace_name, restore_bucket};
use crate::pmem::Flushed;
use crate::runtime::at;
use crate::space::Purpose;
use crate::units::{BLOCK_SIZE, FileBlock};

/// Rounds before what is left counts as beyond repair: each puts something right that others hung from.
const ROUNDS_MAX: usize = 64;
/// Where what has no name gets one.
const LOST_AND_FOUND: &str = "/lost+found";

/// Something that was put right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repaired {
    /// What was wrong.
    pub problem: Problem,
    /// What was done about it.
    pub action: String,
}

/// What a repair did, and what it left.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RepairReport {
    /// What was put right, in order.
    pub repaired: Vec<Repaired>,
    /// The pool afterwards: its problems are those that nobody can put right without guessing.
    pub left: CheckReport,
}

/// Repairs the pool at `path`, which nobody may have open.
pub(crate) fn repair(path: &Path, options: &OpenOptions) -> Result<RepairReport> {
    let (region, lock_file, node) = open::alone(path, options)?;
    let mut repaired = Vec::new();
    let at_path = |error: Error| error.at(path);
    let begun = open::begin(&region, node, options.force).map_err(at_path)?;
    for slot in 0..SLOT_COUNT {
        for lane in journal::discard_impossible(&region, slot).map_err(at_path)? {
            let problem = Problem::new("lane", lane, "words of blocks in a group", "others");
            repaired.push(Repaired { problem, action: "the transaction was dropped".to_owned() });
        }
    }
    let (core, orphans, _) = open::become_first(region, lock_file, &begun).map_err(at_path)?;
    core.orphans.add(orphans);
    let left = rounds(&core, &mut repaired).map_err(at_path)?;
    if left.is_clean() {
        core.store.runtime.region.store_u64(at::DEATHS, 0)?;
    } else {
        core.store.runtime.region.add_u64(at::DEATHS, 1)?;
    }
    close::close(core).map_err(at_path)?;
    Ok(RepairReport { repaired, left })
}

fn rounds(core: &Core, repaired: &mut Vec<Repaired>) -> Result<CheckReport> {
    for _ in 0..ROUNDS_MAX {
        let (report, findings) = inspect(core)?;
        let leaks = report.leaked_blocks;
        let before = repaired.len();
        let words = |finding: &Finding| matches!(finding.remedy, Remedy::Words(_) | Remedy::Lose(_));
        let (first, then): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| words(finding));
        for finding in first {
            apply(core, finding, repaired)?;
        }
        if repaired.len() == before {
            count_anew(core, &then, leaks, repaired)?;
        }
        if repaired.len() == before {
            for finding in then {
                apply(core, finding, repaired)?;
            }
        }
        if repaired.len() == before {
            let problems = findings.into_iter().map(|finding| finding.problem).collect();
            return Ok(CheckReport { problems, ..report });
        }
    }
    super::check::check(core)
}

/// Counts all references anew if a count is wrong.
fn count_anew(core: &Core, findings: &[&Finding], leaks: u64, repaired: &mut Vec<Repaired>) -> Result<()> {
    let wrong: Vec<&&Finding> =
        findings.iter().filter(|finding| matches!(finding.remedy, Remedy::Recount)).collect();
    if wrong.is_empty() && leaks == 0 {
        return Ok(());
    }
    core.store.space.settle()?;
    if !recount(&core.store)? {
        return Ok(());
    }
    let counted = |problem: Problem| Repaired { problem, action: "counted anew".to_owned() };
    repaired.extend(wrong.into_iter().map(|finding| counted(finding.problem.clone())));
    if leaks > 0 {
        let found = format!("{leaks} that are counted and have none");
        repaired.push(counted(Problem::new("reference count", "the pool", "blocks with an owner", found)));
    }
    Ok(())
}

/// Applies the remedy of a finding. One that fails leaves the problem to be reported.
fn apply(core: &Core, finding: &Finding, repaired: &mut Vec<Repaired>) -> Result<()> {
    match remedy(core, &finding.remedy) {
        Ok(Some(action)) => repaired.push(Repaired { problem: finding.problem.clone(), action }),
        Ok(None) => {}
        Err(error)
            if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NoSpace | ErrorKind::NoInodes) =>
        {
            tracing::warn!(%error, place = finding.problem.place, "a problem could not be put right");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What was done; nothing where there is nothing to do, or not yet.
fn remedy(core: &Core, remedy: &Remedy) -> Result<Option<String>> {
    let store = &core.store;
    let done = match remedy {
        Remedy::None | Remedy::Later | Remedy::Recount => return Ok(None),
        Remedy::Words(records) => {
            store.journal.commit(records, Flushed::none())?;
            "set right from the rest of the pool".to_owned()
        }
        Remedy::Lose(record) => {
            store.journal.commit(&[*record], Flushed::none())?;
            "what the word led to was given up as lost".to_owned()
        }
        Remedy::RemoveName(directory, slot) => {
            if !replace_name(store, directory, slot, None)? {
                return Ok(None);
            }
            "the name was taken away".to_owned()
        }
        Remedy::MoveName(directory, slot, right) => {
            let there = directory::lookup(store, directory, &right.name, directory::Lock::Held)?;
            let right = there.is_none().then_some(&**right);
            if !replace_name(store, directory, slot, right)? {
                return Ok(None);
            }
            match right {
                Some(_) => "the name was put where it belongs".to_owned(),
                None => "the name was taken away: there is another one where it belongs".to_owned(),
            }
        }
        Remedy::EmptyBucket(directory, node, depth) => {
            restore_bucket(store, directory, *node, *depth)?;
            "an empty block was put there".to_owned()
        }
        Remedy::Attach(inode, kind) => format!("named {}", attach(core, inode, *kind)?),
        Remedy::Free(number) => {
            if reclaim_orphan(store, *number)?.inodes == 0 {
                return Ok(None);
            }
            "freed".to_owned()
        }
        Remedy::OwnCopy(inode, index) => {
            own_copy(store, inode, *index)?;
            "the file got a copy of its own".to_owned()
        }
    };
    Ok(Some(done))
}

/// Gives an inode without a name one, and one link.
fn attach(core: &Core, inode: &Inode, kind: KindWord) -> Result<String> {
    let store = &core.store;
    let (above, name) = match inode.number {
        SNAPSHOT_DIRECTORY => (Directory::root(store)?, SNAPSHOT_DIRECTORY_NAME.to_vec()),
        number => {
            let above = core.namespace()?.create_dir_all(Path::new(LOST_AND_FOUND))?.directory()?;
            (above, format!("inode-{}-{}", number.0, kind.generation).into_bytes())
        }
    };
    let shown = String::from_utf8_lossy(&name).into_owned();
    let entry = Dirent {
        inode: inode.number,
        generation: kind.generation,
        kind: kind.kind,
        hash: directory::hash(store, &name),
        name,
    };
    let mut edit = Edit::new();
    edit.insert(store, &above, &entry)?;
    edit.set_links(inode, 1);
    edit.commit(store, &[above])?;
    let folder = if inode.number == SNAPSHOT_DIRECTORY { "" } else { LOST_AND_FOUND };
    let slash = if kind.kind == Kind::Directory { "/" } else { "" };
    Ok(format!("{folder}/{shown}{slash}"))
}

/// Puts a copy of the block at `index` of a file in its place.
fn own_copy(store: &Store, inode: &Inode, index: u64) -> Result<()> {
    let tree = Tree::of(&store.space, inode.place)?;
    let Some(old) = tree.find(&store.space, FileBlock(index), 1, false)?.mapped else { return Ok(()) };
    let mut reservation = store.space.reserve(1, Purpose::Release)?;
    let block = store.space.allocate_one(&mut reservation)?;
    let region = &store.runtime.region;
    let copied = region.flush(region.copy(old.block.offset(), block.offset(), BLOCK_SIZE)?);
    let content = Content::Blocks { first: block, unwritten: old.unwritten };
    let change = Change { start: FileBlock(index), blocks: 1, content };
    match stage(&store.space, &tree, &[change], usize::MAX, Purpose::Release) {
        Ok(staged) => staged.commit(store, copied),
        Err(error) => {
            store.space.give_back(&[block]);
            Err(error)
        }
    }
}
