//! What the first write after a snapshot costs, through a mapping and by `write_at`, beside file systems of the kernel.
//!
//! ```text
//! truncate -s 4G /dev/shm/xfs.img; mkfs.xfs -q -m reflink=1 /dev/shm/xfs.img
//! mkdir -p /mnt/xfs; mount -o loop /dev/shm/xfs.img /mnt/xfs            (btrfs likewise)
//! cargo run --release -p daxcow --example mapping -- /dev/shm 1024 /mnt/xfs /mnt/btrfs
//! ```
//!
//! A file of 1024 MiB is mapped whole. For each unit: it is snapshotted (the kernel's: cloned by `FICLONE`), then units are
//! stored, one after another or scattered, each time to blocks that are shared. Then snapshots of the file when all of it is
//! mapped and has just been stored to.
#![expect(unsafe_code, reason = "stores through mappings, mmap and FICLONE")]

mod common;
#[path = "common/sequential.rs"]
mod sequential;

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Random, timed};
use daxcow::{CreateOptions, Pool};

const UNITS: [u64; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 2 << 20];
/// Stores that are timed for each row, unless the file has fewer units.
const STORES: u64 = 2000;
/// `FICLONE` of ioctl_ficlone(2).
const FICLONE: libc::c_ulong = 0x4004_9409;

/// A file that can be snapshotted, stored to and written.
trait Subject {
    fn name(&self) -> String;
    fn snapshot(&self) -> Result<(), Box<dyn Error>>;
    fn forget(&self) -> Result<(), Box<dyn Error>>;
    fn start(&self) -> *mut u8;
    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Box<dyn Error>>;
}

struct InPool {
    pool: Pool,
    file: daxcow::File,
    mapping: daxcow::MappingMut,
}

impl Subject for InPool {
    fn name(&self) -> String {
        "daxcow".to_owned()
    }

    fn snapshot(&self) -> Result<(), Box<dyn Error>> {
        self.pool.create_snapshot("s", &["/data"])?;
        Ok(())
    }

    fn forget(&self) -> Result<(), Box<dyn Error>> {
        Ok(self.pool.delete_snapshot("s")?)
    }

    fn start(&self) -> *mut u8 {
        self.mapping.as_mut_ptr()
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Box<dyn Error>> {
        Ok(self.file.write_at(bytes, offset)?)
    }
}

struct InKernel {
    directory: PathBuf,
    file: File,
    mapping: memmap2::MmapRaw,
}

impl InKernel {
    fn new(directory: &Path, size: u64) -> Result<InKernel, Box<dyn Error>> {
        let path = directory.join("data");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let piece = vec![0xa5; 1 << 20];
        for offset in (0..size).step_by(piece.len()) {
            file.write_all_at(&piece, offset)?;
        }
        file.sync_all()?;
        let mapping = memmap2::MmapRaw::map_raw(&file)?;
        Ok(InKernel { directory: directory.to_owned(), file, mapping })
    }
}

impl Subject for InKernel {
    fn name(&self) -> String {
        self.directory.display().to_string()
    }

    fn snapshot(&self) -> Result<(), Box<dyn Error>> {
        let clone = File::create(self.directory.join("clone"))?;
        // SAFETY: the call reads two open descriptors.
        match unsafe { libc::ioctl(clone.as_raw_fd(), FICLONE, self.file.as_raw_fd()) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error().into()),
        }
    }

    fn forget(&self) -> Result<(), Box<dyn Error>> {
        fs::remove_file(self.directory.join("clone"))?;
        Ok(self.file.sync_all()?)
    }

    fn start(&self) -> *mut u8 {
        self.mapping.as_mut_ptr()
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Box<dyn Error>> {
        Ok(self.file.write_all_at(bytes, offset)?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (directory, size) = common::arguments(1024)?;
    let directory = tempfile::tempdir_in(directory)?;
    let options = CreateOptions::new().size(2 * size + (256 << 20)).sparse(true);
    let pool = Pool::create(directory.path().join("measure.pool"), &options)?;
    let file = sequential::sequential(&pool, "/data", size)?;
    let mapping = file.map_mut(0, size)?;
    let mut subjects: Vec<Box<dyn Subject>> = vec![Box::new(InPool { pool, file, mapping })];
    for directory in std::env::args_os().skip(3) {
        subjects.push(Box::new(InKernel::new(Path::new(&directory), size)?));
    }
    println!("us for each first write after a snapshot, file of {} MiB", size >> 20);
    println!("| | unit KiB | mapping, in order | mapping, scattered | write, in order | write, scattered |");
    println!("|---|---|---|---|---|---|");
    for subject in &subjects {
        for unit in UNITS {
            let mut row = Vec::new();
            for (by_write, scattered) in [(false, false), (false, true), (true, false), (true, true)] {
                row.push(first_writes(&**subject, size, unit, by_write, scattered)?);
            }
            let cells: Vec<String> = row.iter().map(|us| format!("{us:.1}")).collect();
            println!("| {} | {} | {} |", subject.name(), unit >> 10, cells.join(" | "));
        }
    }
    for subject in &subjects {
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..5 {
            // SAFETY: the mapping has `size` bytes, and only this thread uses it.
            unsafe { subject.start().write_bytes(0x11, usize::try_from(size)?) };
            let (snapshot, time) = timed(|| subject.snapshot());
            snapshot?;
            times.push(time);
            subject.forget()?;
        }
        times.sort();
        println!("{}: snapshot with all of it mapped and dirty: {times:.1?}", subject.name());
    }
    Ok(())
}

/// Microseconds for each of some first writes of `unit` bytes after a snapshot.
fn first_writes(
    subject: &dyn Subject,
    size: u64,
    unit: u64,
    by_write: bool,
    scattered: bool,
) -> Result<f64, Box<dyn Error>> {
    let units = size / unit;
    let mut order: Vec<u64> = (0..units).collect();
    if scattered {
        let mut random = Random(unit);
        for last in (1..order.len()).rev() {
            let other = random.block((last as u64 + 1) * common::BLOCK) / common::BLOCK;
            order.swap(last, usize::try_from(other)?);
        }
    }
    order.truncate(usize::try_from(STORES)?);
    let bytes = vec![0x3c; usize::try_from(unit)?];
    subject.snapshot()?;
    let (written, time) = timed(|| {
        order.iter().try_for_each(|&index| {
            if by_write {
                return subject.write(&bytes, index * unit);
            }
            // SAFETY: within the mapping, whose `size` is that of all units.
            let to = unsafe { subject.start().add(usize::try_from(index * unit)?) };
            // SAFETY: as above; `bytes` lies elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
            Ok(())
        })
    });
    written?;
    subject.forget()?;
    Ok(time.as_secs_f64() * 1e6 / order.len() as f64)
}
