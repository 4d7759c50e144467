//! How long opening a pool takes after its only member was killed, and after a clean close.
//!
//! ```text
//! cargo run --release -p daxcow --example recovery -- [DIRECTORY [SIZE-IN-MIB]]
//! ```
//!
//! A pool in `/dev/shm` gets a file of 4096 MiB, first as it is written from front to back, then scattered by 20,000
//! random writes of 4 KiB for each GiB. A child process opens the pool and writes until it is killed with SIGKILL; the next
//! open replays its lanes and counts all references again.

mod common;
#[path = "common/scatter.rs"]
mod scatter;
#[path = "common/sequential.rs"]
mod sequential;

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{BLOCK, Random, timed};
use daxcow::{CreateOptions, FileOptions, OpenOptions, Pool};

const SCATTERED_WRITES_PER_GIB: u64 = 20_000;
const ROUNDS: u32 = 5;
/// The argument that makes this program the child; the pool follows.
const WRITER: &str = "--writer";

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == WRITER) {
        return write_for_ever(Path::new(&words.next().ok_or("no pool was named")?));
    }
    let (directory, size) = common::arguments(4096)?;
    let directory = tempfile::tempdir_in(directory)?;
    let path = directory.path().join("measure.pool");
    let scattered = size.div_ceil(1 << 30) * SCATTERED_WRITES_PER_GIB;
    let room = 2 * scattered * BLOCK + (64 << 20);
    let pool = Pool::create(&path, &CreateOptions::new().size(size + room).sparse(true))?;
    println!("{} MiB, {}", size >> 20, pool.durability().description);

    let file = sequential::sequential(&pool, "/data", size)?;
    println!("contiguous: {} extents", file.extents()?.len());
    drop(file);
    pool.close()?;
    measure(&path)?;

    let pool = Pool::open(&path, &OpenOptions::new())?;
    let file = pool.open_file("/data", &FileOptions::new().read(true).write(true))?;
    scatter::scatter(&pool, &file, size, scattered, &mut Random(1))?;
    println!("scattered: {} extents", file.extents()?.len());
    drop(file);
    pool.close()?;
    measure(&path)
}

/// Opens the pool after a kill and after a clean close, in turn.
fn measure(path: &Path) -> Result<(), Box<dyn Error>> {
    for _ in 0..ROUNDS {
        kill_a_writer(path)?;
        let (pool, recovered) = open(path)?;
        println!("  open after SIGKILL {recovered:?}: {:?}", pool.info()?.recovered);
        pool.close()?;
        let (pool, clean) = open(path)?;
        println!("  open after a clean close {clean:?}: {:?}", pool.info()?.recovered);
        pool.close()?;
    }
    Ok(())
}

fn open(path: &Path) -> daxcow::Result<(Pool, Duration)> {
    let (pool, time) = timed(|| Pool::open(path, &OpenOptions::new()));
    Ok((pool?, time))
}

/// Starts a child that writes, and kills it in the middle.
fn kill_a_writer(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut child =
        Command::new(std::env::current_exe()?).arg(WRITER).arg(path).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    std::thread::sleep(Duration::from_millis(100));
    child.kill()?;
    child.wait()?;
    if line.is_empty() { Err("the writer ended before it was killed".into()) } else { Ok(()) }
}

/// The child: random writes in place, and every so often a file that comes and goes, until it is killed.
fn write_for_ever(path: &Path) -> Result<(), Box<dyn Error>> {
    let pool = Pool::open(path, &OpenOptions::new())?;
    let file = pool.open_file("/data", &FileOptions::new().read(true).write(true))?;
    let size = file.len()?;
    println!("ready");
    std::io::stdout().flush()?;
    let mut random = Random(u64::from(std::process::id()));
    loop {
        for _ in 0..100 {
            file.write_at(&[0x3c; daxcow::units::BLOCK_BYTES], random.block(size))?;
        }
        drop(pool.open_file("/temporary", &FileOptions::new().write(true).create(true))?);
        pool.remove_file("/temporary")?;
    }
}
