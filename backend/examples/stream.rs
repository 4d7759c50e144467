//! What send, receive, dedupe and defragmenting cost, beside reading the same bytes.
//!
//! ```text
//! cargo run --release -p daxcow --example stream -- [DIRECTORY [SIZE-IN-MIB]]
//! ```
//!
//! A file of 1024 MiB of random bytes in a pool in `/dev/shm` is snapshotted, 1 % of its blocks are overwritten in random
//! order, and it is snapshotted again. The first snapshot is sent whole, the second as what is new, both into a
//! sink and into another pool. Then a copy of the file's bytes is deduped, and the file with its snapshots is defragmented.

mod common;

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use common::{BLOCK, Random, timed};
use daxcow::{CreateOptions, DedupeOptions, File, FileOptions, Pool, ReceiveOptions, SendOptions};

const PIECE: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let (directory, size) = common::arguments(1024)?;
    let directory = tempfile::tempdir_in(directory)?;
    let create = |name: &str| {
        let options = CreateOptions::new().size(2 * size + size / 2 + (64 << 20)).sparse(true);
        Pool::create(directory.path().join(name), &options)
    };
    let pool = create("here.pool")?;
    let mut random = Random(1);
    let file = random_file(&pool, "/data", size, 1)?;
    pool.create_snapshot("first", &["/data"])?;
    for number in 0..size / BLOCK / 100 {
        let mut block = [0x5a; daxcow::units::BLOCK_BYTES];
        block[..8].copy_from_slice(&number.to_le_bytes());
        file.write_at(&block, random.block(size))?;
    }
    pool.create_snapshot("second", &["/data"])?;
    println!("{} MiB, {} extents, {}", size >> 20, file.extents()?.len(), pool.durability().description);
    println!("| | ms | MiB | MiB/s |\n|---|---|---|---|");
    let mut buffer = vec![0; PIECE];
    let (read, time) =
        timed(|| (0..size).step_by(PIECE).try_for_each(|at| file.read_exact_at(&mut buffer, at)));
    read?;
    line("read the file", time, size);

    let incremental = SendOptions::new().parent("first");
    let (sent, time) = timed(|| pool.send("first", SendOptions::new(), &mut std::io::sink()));
    line("send the first snapshot", time, sent?.stream_bytes);
    let (sent, time) = timed(|| pool.send("second", incremental, &mut std::io::sink()));
    line("send what is new in the second", time, sent?.stream_bytes);
    let other = create("there.pool")?;
    for (name, options) in [("first", SendOptions::new()), ("second", incremental)] {
        let mut stream = Vec::new();
        pool.send(name, options, &mut stream)?;
        let (received, time) = timed(|| other.receive(&mut stream.as_slice(), ReceiveOptions::new()));
        received?;
        line(&format!("receive the {name} snapshot"), time, stream.len() as u64);
    }
    other.close()?;

    drop(random_file(&pool, "/again", size, 1)?);
    let (report, time) = timed(|| pool.dedupe(&["/data", "/again"], DedupeOptions::new(), &mut |_| {}));
    let report = report?;
    line("dedupe with a copy: examined", time, report.bytes_examined);
    line("dedupe with a copy: came free", time, report.bytes_shared);
    let (report, time) = timed(|| file.defragment(0, u64::MAX));
    let report = report?;
    line("defragment, two snapshots and a copy sharing: moved", time, report.bytes_moved);
    let (before, after) = (report.extents_before, report.extents_after);
    println!("extents: {before} before, {after} after; {} MiB left", report.bytes_left >> 20);
    drop(file);
    pool.close()?;
    Ok(())
}

/// A new file of `size` random bytes.
fn random_file(pool: &Pool, path: &str, size: u64, seed: u64) -> daxcow::Result<File> {
    let file = pool.open_file(path, &FileOptions::new().read(true).write(true).create_new(true))?;
    let mut random = Random(seed);
    let mut piece = Vec::with_capacity(PIECE);
    for offset in (0..size).step_by(PIECE) {
        piece.clear();
        while piece.len() < PIECE {
            piece.extend(random.block(u64::MAX).to_le_bytes());
        }
        file.write_at(&piece, offset)?;
    }
    Ok(file)
}

fn line(what: &str, time: Duration, bytes: u64) {
    let (ms, mib) = (time.as_secs_f64() * 1e3, bytes as f64 / f64::from(1 << 20));
    writeln!(std::io::stdout(), "| {what} | {ms:.1} | {mib:.1} | {:.0} |", mib / ms * 1e3).ok();
}
