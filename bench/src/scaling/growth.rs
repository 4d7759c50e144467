//! How the cost of one operation grows: with the size of its file, with fragments, with the entries of its directory, with the
//! snapshots that are kept.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::{Context, Result};
use daxcow::Pool;
use daxcow::units::BLOCK_BYTES;

use crate::host;
use crate::ours::{self, BLOCK};
use crate::report::{Sheet, Table};
use crate::run::{Budget, Findings, Run, Spots, bytes};
use crate::turns::balanced;

const OURS: &str = "daxcow";
const HOST: &str = "tmpfs";

pub(super) fn run(run: &Run, findings: &mut Findings) -> Result<()> {
    by_size(run, findings)?;
    by_fragments(run, findings)?;
    by_entries(run, findings)?;
    findings.tables.push(by_snapshots(run)?);
    Ok(())
}

fn budget(run: &Run) -> Budget {
    Budget {
        operations: run.effort().pick(50, 20_000, 200_000),
        time: Duration::from_millis(run.effort().pick(3, 25, 200)),
        clock: run.clock(),
    }
}

/// Two tables about the same cases: of one operation and of another.
fn pair(name: &str, operations: [&str; 2], by: &str, axis: &str) -> [Sheet; 2] {
    operations.map(|operation| {
        let name = format!("{}-by-{name}", operation.to_lowercase().replace([' ', '+'], "-"));
        Sheet::times(&name, &format!("{operation} by {by}"), "us per operation", OURS).along(axis)
    })
}

fn finish(sheets: [Sheet; 2], findings: &mut Findings) {
    findings.tables.extend(sheets.map(|sheet| sheet.finish(&[OURS, HOST])));
}

const READ_AND_WRITE: [&str; 2] = ["4 KiB reads", "4 KiB overwrites"];

/// Random 4 KiB reads and overwrites of files of different sizes.
fn by_size(run: &Run, findings: &mut Findings) -> Result<()> {
    let mut sheets = pair("file-size", READ_AND_WRITE, "the size of the file", "size of the file");
    let sizes = run.effort().pick(&[20, 22][..], &[20, 24, 28], &[20, 22, 24, 26, 28, 30, 32]);
    run.expect(sizes.len() * run.rounds() as usize * 4);
    for size in sizes.iter().map(|shift| 1_u64 << shift) {
        if 2 * size + (64 << 20) > run.room()? {
            findings.notes.push(format!("file of {}: left out, there is too little room", bytes(size)));
            continue;
        }
        let (pool_path, host_path) = (run.path("growth.pool"), run.path("growth"));
        let pool = ours::pool(&pool_path, size + size / 64 + (64 << 20), run.flush())?;
        drop(ours::written(&pool, "/data", size)?);
        let host = host::written(&host_path, size)?;
        for round in 0..run.rounds() {
            read_and_write(run, &mut sheets, round, size as f64, &bytes(size), &pool, &host)?;
        }
        drop(pool);
        for path in [pool_path, host_path] {
            std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    finish(sheets, findings);
    Ok(())
}

/// One round of random 4 KiB reads and overwrites of `/data` and of a file of the host of the same size.
fn read_and_write(
    run: &Run,
    sheets: &mut [Sheet; 2],
    round: u32,
    at: f64,
    case: &str,
    pool: &Pool,
    host: &std::fs::File,
) -> Result<()> {
    let file = pool.open_file("/data", &ours::CREATE)?;
    let blocks = file.len()? / BLOCK;
    let mut buffer = [0x5a; BLOCK_BYTES];
    for (operation, sheet) in sheets.iter_mut().enumerate() {
        for index in balanced(round, 2) {
            let side = [OURS, HOST][index];
            run.step(&format!("{case}, {}, {side}", READ_AND_WRITE[operation]));
            let mut spots = Spots::new();
            let micros = budget(run).spend(|_| {
                let place = spots.below(blocks) * BLOCK;
                match (operation, index) {
                    (0, 0) => Ok(file.read_exact_at(&mut buffer, place)?),
                    (0, _) => host.read_exact_at(&mut buffer, place).context("pread"),
                    (_, 0) => Ok(file.write_at(&buffer, place)?),
                    (_, _) => host.write_all_at(&buffer, place).context("pwrite"),
                }
            })?;
            sheet.add_at(at, case, side, micros);
        }
    }
    Ok(())
}

/// The same for files of one size in ever more pieces; the host's file is not in pieces.
fn by_fragments(run: &Run, findings: &mut Findings) -> Result<()> {
    let size: u64 = run.effort().pick(4 << 20, 128 << 20, 512 << 20);
    let by = format!("the extents of a file of {}", bytes(size));
    let mut sheets = pair("fragments", READ_AND_WRITE, &by, "extents of the daxcow file");
    let pool = ours::pool(&run.path("fragments.pool"), 2 * size + (64 << 20), run.flush())?;
    let file = ours::written(&pool, "/data", size)?;
    let host = host::written(&run.path("fragments"), size)?;
    let writes =
        run.effort().pick(&[0, 100][..], &[0, 100, 1_000, 10_000], &[0, 100, 1_000, 10_000, 100_000]);
    run.expect(writes.len() * run.rounds() as usize * 4);
    for &count in writes {
        if count > 0 {
            ours::scatter(&pool, "/data", count)?;
        }
        let extents = file.extents()?.len();
        for round in 0..run.rounds() {
            read_and_write(run, &mut sheets, round, extents as f64, &extents.to_string(), &pool, &host)?;
        }
    }
    finish(sheets, findings);
    Ok(())
}

/// Making and removing a file, and looking one up, in ever larger directories.
fn by_entries(run: &Run, findings: &mut Findings) -> Result<()> {
    let operations = ["Create and remove a file", "Look a file up"];
    let mut sheets = pair("entries", operations, "the entries of its directory", "entries of the directory");
    let counts =
        run.effort().pick(&[10, 100][..], &[10, 100, 1_000, 10_000], &[10, 100, 1_000, 10_000, 100_000]);
    run.expect(counts.len() * run.rounds() as usize * 4);
    let pool = ours::pool(&run.path("entries.pool"), 256 << 20, run.flush())?;
    let directory = run.path("entries");
    std::fs::create_dir(&directory).context("mkdir")?;
    pool.create_dir("/entries")?;
    let mut there: u64 = 0;
    for &count in counts {
        for number in there..count {
            drop(pool.open_file(format!("/entries/{number}"), &ours::CREATE)?);
            drop(host::open(&directory.join(number.to_string()))?);
        }
        there = count;
        for round in 0..run.rounds() {
            for (operation, sheet) in sheets.iter_mut().enumerate() {
                for index in balanced(round, 2) {
                    let side = [OURS, HOST][index];
                    run.step(&format!("{count} entries, {}, {side}", operations[operation]));
                    let mut spots = Spots::new();
                    let micros = budget(run).spend(|_| {
                        let name = spots.below(count).to_string();
                        match (operation, index) {
                            (0, 0) => {
                                drop(pool.open_file("/entries/new", &ours::CREATE)?);
                                Ok(pool.remove_file("/entries/new")?)
                            }
                            (0, _) => {
                                drop(host::open(&directory.join("new"))?);
                                std::fs::remove_file(directory.join("new")).context("unlink")
                            }
                            (_, 0) => Ok(pool.metadata(format!("/entries/{name}")).map(drop)?),
                            (_, _) => std::fs::metadata(directory.join(name)).map(drop).context("stat"),
                        }
                    })?;
                    sheet.add_at(count as f64, &count.to_string(), side, micros);
                }
            }
        }
    }
    finish(sheets, findings);
    Ok(())
}

/// What is done with ever more snapshots of the same file there.
fn by_snapshots(run: &Run) -> Result<Table> {
    const SIDES: [&str; 3] = ["create + delete a snapshot", "overwrite, first since", "read"];
    let size: u64 = run.effort().pick(1 << 20, 16 << 20, 64 << 20);
    let title = format!("daxcow by the snapshots that are kept, a file of {}", bytes(size));
    let mut sheet = Sheet::times("snapshots", &title, "us per operation", "").along("snapshots of the file");
    let counts = run.effort().pick(&[1, 4][..], &[1, 10, 100], &[1, 10, 100, 1_000]);
    run.expect(counts.len() * run.rounds() as usize * SIDES.len());
    let most = counts.last().copied().unwrap_or_default();
    let pool =
        ours::pool(&run.path("snapshots.pool"), 4 * size + most * (256 << 10) + (128 << 20), run.flush())?;
    let file = ours::written(&pool, "/data", size)?;
    let blocks = size / BLOCK;
    let mut buffer = [0x5a; BLOCK_BYTES];
    let mut there: u64 = 0;
    for &count in counts {
        for number in there..count {
            pool.create_snapshot(&format!("kept-{number}"), &["/data"])?;
            // So that each keeps something of its own.
            for place in 0..4 {
                file.write_at(&buffer, (number * 4 + place) % blocks * BLOCK)?;
            }
        }
        there = count;
        for round in 0..run.rounds() {
            for index in balanced(round, SIDES.len()) {
                run.step(&format!("{count} snapshots, {}", SIDES[index]));
                let mut spots = Spots::new();
                let micros = match index {
                    0 => budget(run).spend(|_| {
                        pool.create_snapshot("new", &["/data"])?;
                        Ok(pool.delete_snapshot("new")?)
                    })?,
                    1 => {
                        pool.create_snapshot("before", &["/data"])?;
                        let few = Budget { operations: (blocks / 2).min(512), ..budget(run) };
                        let micros =
                            few.spend(|number| Ok(file.write_at(&buffer, number * 2 % blocks * BLOCK)?))?;
                        pool.delete_snapshot("before")?;
                        micros
                    }
                    _ => budget(run)
                        .spend(|_| Ok(file.read_exact_at(&mut buffer, spots.below(blocks) * BLOCK)?))?,
                };
                sheet.add_at(count as f64, &count.to_string(), SIDES[index], micros);
            }
        }
    }
    Ok(sheet.finish(&SIDES))
}
