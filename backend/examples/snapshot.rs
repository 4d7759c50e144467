//! What a snapshot of a large file in many pieces costs, beside copying the same bytes.
//!
//! ```text
//! cargo run --release -p daxcow --example snapshot -- [DIRECTORY [SIZE-IN-MIB]]
//! ```
//!
//! A file of 1024 MiB is written in a pool in `/dev/shm` and scattered by 20,000 random writes of 4 KiB under a snapshot.
//! Then `ROUNDS` times: snapshot it, write some blocks (the first writes copy the nodes of the map they pass), delete
//! the snapshot; snapshots without writes between; clones. Last, `cp` of the same bytes as a file in the same directory.

mod common;
#[path = "common/scatter.rs"]
mod scatter;
#[path = "common/sequential.rs"]
mod sequential;

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{BLOCK, Random, timed};
use daxcow::{CreateOptions, File, Pool};

const SCATTERED_WRITES: u64 = 20_000;
const ROUNDS: u32 = 50;
/// Fresh snapshots after which the first write is timed: enough for a 99th percentile.
const FIRST_WRITES: u32 = 500;
const LATER_WRITES: u32 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let (directory, size) = common::arguments(1024)?;
    let directory = tempfile::tempdir_in(directory)?;
    let room = 2 * SCATTERED_WRITES * BLOCK + (64 << 20);
    let pool = Pool::create(
        directory.path().join("measure.pool"),
        &CreateOptions::new().size(size + room).sparse(true),
    )?;
    let mut random = Random(1);
    let file = sequential::sequential(&pool, "/data", size)?;
    scatter::scatter(&pool, &file, size, SCATTERED_WRITES, &mut random)?;
    println!("{} MiB in {} extents, {}", size >> 20, file.extents()?.len(), pool.durability().description);
    println!("| | times | min us | median us | p99 us | max us |\n|---|---|---|---|---|---|");

    unwritten(&pool)?;
    clones(&pool)?;
    written(&pool, &file, size, &mut random)?;
    copies(&directory.path().join("plain"), &file, size)
}

/// Snapshots of the file, deleted again at once.
fn unwritten(pool: &Pool) -> daxcow::Result<()> {
    let (mut made, mut deleted) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (snapshot, time) = timed(|| pool.create_snapshot("s", &["/data"]));
        snapshot?;
        made.push(time);
        let (gone, time) = timed(|| pool.delete_snapshot("s"));
        gone?;
        deleted.push(time);
    }
    row("create_snapshot", made);
    row("delete_snapshot, nothing written since", deleted);
    Ok(())
}

/// Writable copies of the file.
fn clones(pool: &Pool) -> daxcow::Result<()> {
    let mut made = Vec::new();
    for _ in 0..ROUNDS {
        let (clone, time) = timed(|| pool.clone_tree("/data", "/clone"));
        clone?;
        made.push(time);
        pool.remove_file("/clone")?;
    }
    row("clone_tree of the file", made);
    Ok(())
}

/// Snapshots after which the file is written.
fn written(pool: &Pool, file: &File, size: u64, random: &mut Random) -> daxcow::Result<()> {
    let (mut made, mut first, mut later, mut deleted) = (vec![], vec![], vec![], vec![]);
    for _ in 0..FIRST_WRITES {
        let (snapshot, time) = timed(|| pool.create_snapshot("s", &["/data"]));
        snapshot?;
        made.push(time);
        for write in 0..=LATER_WRITES {
            let offset = random.block(size);
            let (done, time) = timed(|| file.write_at(&[0x3c; daxcow::units::BLOCK_BYTES], offset));
            done?;
            if write == 0 { first.push(time) } else { later.push(time) }
        }
        let (gone, time) = timed(|| pool.delete_snapshot("s"));
        gone?;
        deleted.push(time);
    }
    row("create_snapshot, written before", made);
    row("first 4 KiB write after it", first);
    row(&format!("the {LATER_WRITES} random 4 KiB writes after that"), later);
    row("delete_snapshot after these", deleted);
    Ok(())
}

/// The same bytes as a plain file, copied by `cp`.
fn copies(plain: &Path, file: &File, size: u64) -> Result<(), Box<dyn Error>> {
    let mut bytes = vec![0; usize::try_from(size)?];
    file.read_exact_at(&mut bytes, 0)?;
    std::fs::write(plain, bytes)?;
    let copy = plain.with_extension("copy");
    let mut times = Vec::new();
    for _ in 0..5 {
        let (status, time) = timed(|| Command::new("cp").arg(plain).arg(&copy).status());
        if !status?.success() {
            return Err("cp failed".into());
        }
        times.push(time);
        std::fs::remove_file(&copy)?;
    }
    row("cp of a plain file, same directory", times);
    Ok(())
}

/// One line of the table.
fn row(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let us = |index: usize| times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    let (count, last) = (times.len(), times.len().saturating_sub(1));
    println!(
        "| {what} | {count} | {:.1} | {:.1} | {:.1} | {:.1} |",
        us(0),
        us(last / 2),
        us(last * 99 / 100),
        us(last)
    );
}
