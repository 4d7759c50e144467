//! Copying a directory of many files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use daxcow::Pool;

use crate::host;
use crate::ours;
use crate::report::Table;
use crate::run::Run;
use crate::snapshot::files::Sheets;
use crate::snapshot::loop_mount::LoopMount;
use crate::snapshot::way::SNAPSHOT;
use crate::turns::{balanced, over_and_over};

/// Bytes of each file.
const FILE: usize = 8 << 10;

/// A way of copying a directory.
enum TreeWay {
    Snapshot,
    Clone,
    /// `cp -r`, with options, from a directory to one beside it.
    Cp(&'static [&'static str], PathBuf),
    /// `btrfs subvolume snapshot` of a subvolume.
    Subvolume(PathBuf),
}

pub(super) fn run(run: &Run, mounts: &[LoopMount]) -> Result<[Table; 3]> {
    let what = format!("a directory, by its files of {} KiB", FILE >> 10);
    let mut sheets = Sheets::new("by-files", &what, "ms", "files in the directory");
    let counts = run.effort().pick(&[1, 10][..], &[1, 100, 1_000], &[1, 10, 100, 1_000, 10_000]);
    let pool =
        ours::pool(&run.path("trees.pool"), run.effort().pick(64 << 20, 256 << 20, 512 << 20), run.flush())?;
    let plain = run.path("trees");
    std::fs::create_dir(&plain).context("mkdir")?;
    let mut ways: Vec<(String, TreeWay)> = vec![
        (SNAPSHOT.to_owned(), TreeWay::Snapshot),
        ("daxcow clone".to_owned(), TreeWay::Clone),
        ("cp -r on tmpfs".to_owned(), TreeWay::Cp(&["-r"], plain.join("tree"))),
    ];
    for mount in mounts {
        let tree = mount.path().join("tree");
        ways.push((
            format!("{} cp -r --reflink", mount.name),
            TreeWay::Cp(&["-r", "--reflink=always"], tree),
        ));
        if mount.name == "btrfs" {
            ways.push((
                "btrfs subvolume snapshot".to_owned(),
                TreeWay::Subvolume(mount.path().join("volume")),
            ));
        }
    }
    run.expect(counts.len() * run.rounds() as usize * ways.len());
    for &count in counts {
        fill(&pool, &ways, count)?;
        // Nobody is the first to use space, in what is measured.
        for (name, way) in &ways {
            way.copy(&pool).with_context(|| format!("{name} of {count} files"))?;
            way.remove_copy(&pool)?;
        }
        for round in 0..run.rounds() {
            for index in balanced(round, ways.len()) {
                let (name, way) = &ways[index];
                run.step(&format!("{count} files, {name}"));
                let turn = over_and_over(run, || way.copy(&pool), || way.remove_copy(&pool))
                    .with_context(|| format!("{name} of {count} files"))?;
                sheets.add(f64::from(count), &count.to_string(), name, &turn, 1e3);
            }
        }
        empty(&pool, &ways)?;
    }
    Ok(sheets.finish(&ways.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>()))
}

/// Makes the directory with so many files on all sides.
fn fill(pool: &Pool, ways: &[(String, TreeWay)], count: u32) -> Result<()> {
    pool.create_dir("/tree")?;
    for number in 0..count {
        pool.open_file(format!("/tree/{number}"), &ours::CREATE)?.write_at(&[0xa5; FILE], 0)?;
    }
    for (_, way) in ways {
        let directory = match way {
            TreeWay::Snapshot | TreeWay::Clone => continue,
            TreeWay::Cp(_, tree) => {
                std::fs::create_dir(tree).context("mkdir")?;
                tree
            }
            TreeWay::Subvolume(volume) => {
                btrfs(&["subvolume", "create"], &[volume])?;
                volume
            }
        };
        for number in 0..count {
            std::fs::write(directory.join(number.to_string()), [0xa5; FILE]).context("write a file")?;
        }
        let synced = host::open_directory(directory)?;
        rustix::fs::syncfs(&synced).context("syncfs")?;
    }
    Ok(())
}

/// Removes it on all sides.
fn empty(pool: &Pool, ways: &[(String, TreeWay)]) -> Result<()> {
    pool.remove_dir_all("/tree")?;
    for (_, way) in ways {
        match way {
            TreeWay::Snapshot | TreeWay::Clone => {}
            TreeWay::Cp(_, tree) => std::fs::remove_dir_all(tree).context("remove a directory")?,
            TreeWay::Subvolume(volume) => btrfs(&["subvolume", "delete"], &[volume])?,
        }
    }
    Ok(())
}

impl TreeWay {
    fn copy(&self, pool: &Pool) -> Result<()> {
        match self {
            TreeWay::Snapshot => Ok(pool.create_snapshot("tree", &["/tree"]).map(drop)?),
            TreeWay::Clone => Ok(pool.clone_tree("/tree", "/copy")?),
            TreeWay::Cp(options, tree) => {
                let copy = copy_of(tree);
                let mut arguments: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
                arguments.extend([tree.as_os_str(), copy.as_os_str()]);
                host::run("cp", &arguments)
            }
            TreeWay::Subvolume(volume) => btrfs(&["subvolume", "snapshot"], &[volume, &copy_of(volume)]),
        }
    }

    fn remove_copy(&self, pool: &Pool) -> Result<()> {
        match self {
            TreeWay::Snapshot => Ok(pool.delete_snapshot("tree")?),
            TreeWay::Clone => Ok(pool.remove_dir_all("/copy")?),
            TreeWay::Cp(_, tree) => std::fs::remove_dir_all(copy_of(tree)).context("remove a copy"),
            TreeWay::Subvolume(volume) => btrfs(&["subvolume", "delete"], &[&copy_of(volume)]),
        }
    }
}

fn copy_of(path: &Path) -> PathBuf {
    path.with_extension("copy")
}

fn btrfs(command: &[&str], paths: &[&Path]) -> Result<()> {
    let arguments: Vec<&OsStr> =
        command.iter().map(OsStr::new).chain(paths.iter().map(|path| path.as_os_str())).collect();
    host::run("btrfs", &arguments)
}
