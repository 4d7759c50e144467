//! What kind of storage a file is, found out rather than believed, and what survives what on it.
//!
//! | medium | how known | granularity | durable means |
//! |---|---|---|---|
//! | fs-dax | `MAP_SYNC` accepted | line; byte if the machine flushes its caches on power loss | flush + fence |
//! | dev-dax | character device of the sysfs subsystem dax | as above | flush + fence |
//! | page cache | a regular file elsewhere | page | msync, fdatasync |
//! | volatile | tmpfs, ramfs | line: executed as pmem would need it | nothing survives the machine |
//!
//! `STATX_ATTR_DAX` proves nothing: it is set on virtio-pmem too, where a flushed store is not durable.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::os::file;

/// Whether direct access with synchronous faults (`MAP_SYNC`) is asked for when a pool is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dax {
    /// Required: opening fails with [`ErrorKind::UnsupportedMedium`] where `MAP_SYNC` is refused.
    Always,
    /// Used where the medium has it.
    #[default]
    Auto,
    /// Not used: a DAX file system is treated as a page cache, and made durable by `msync`.
    Never,
}

/// Whether stores are made durable at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FlushMode {
    /// Flushes, fences and syncs are executed, on volatile media too (where they cost what pmem would cost).
    #[default]
    On,
    /// Nothing is flushed: the pool survives the death of processes and nothing else.
    Off,
}

/// The kind of storage under a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Medium {
    /// A file on a DAX file system.
    FsDax,
    /// A `/dev/dax` character device.
    DevDax,
    /// A regular file behind the page cache.
    PageCache,
    /// A file in memory: tmpfs, ramfs, memfd.
    Volatile,
}

/// The unit in which stores become durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Granularity {
    /// A store is durable once it is fenced: the machine flushes its caches when power fails (eADR).
    Byte,
    /// A store is durable once its 64-byte line is flushed and fenced.
    CacheLine,
    /// A store is durable once its 4 KiB page is synced.
    Page,
}

/// What a pool's medium is and what the pool survives on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Durability {
    /// The kind of storage.
    pub medium: Medium,
    /// The unit of durability.
    pub granularity: Granularity,
    /// Whether the pool is mapped with `MAP_SYNC`.
    pub map_sync: bool,
    /// Whether stores are flushed at all.
    pub flush: FlushMode,
    /// Whether what was written survives the death of processes. True of every medium.
    pub survives_process_death: bool,
    /// Whether what was synced survives a crash of the machine and the loss of power.
    pub survives_power_loss: bool,
    /// The same in one sentence, for people.
    pub description: String,
}

impl Durability {
    pub(crate) fn new(
        medium: Medium,
        granularity: Granularity,
        map_sync: bool,
        flush: FlushMode,
    ) -> Durability {
        let survives_power_loss = medium != Medium::Volatile && flush == FlushMode::On;
        let place = match medium {
            Medium::FsDax if map_sync => "DAX file system (MAP_SYNC)",
            Medium::FsDax => "DAX file system, synced by pages",
            Medium::DevDax => "DAX device",
            Medium::PageCache => "file behind the page cache",
            Medium::Volatile => "file in volatile memory",
        };
        let fate = match (medium, flush, granularity) {
            (Medium::Volatile, _, _) => {
                "survives the death of processes, lost when the machine stops or the file system is unmounted"
            }
            (_, FlushMode::Off, _) => "flushing is off: survives the death of processes, not of the machine",
            (_, _, Granularity::Byte) => {
                "survives power loss, every write durable when it returns (caches are flushed by the machine)"
            }
            (_, _, Granularity::CacheLine) => "survives power loss, every write durable when it returns",
            (_, _, Granularity::Page) => "survives power loss up to the last sync",
        };
        Durability {
            medium,
            granularity,
            map_sync,
            flush,
            survives_process_death: true,
            survives_power_loss,
            description: format!("{place}: {fate}"),
        }
    }
}

/// What can be known of a file's storage before it is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Storage {
    /// A `/dev/dax` device of so many bytes.
    DaxDevice { len: u64 },
    /// A regular file in memory.
    Memory,
    /// A regular file on something else; only `MAP_SYNC` tells whether that is DAX.
    Regular,
}

const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// File systems whose mappings are not coherent between machines, or lie in the hands of a user process; and hugetlbfs,
/// which has no file interface to speak of.
const REFUSED: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
    (0x0102_1997, "9P"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x786f_4256, "VirtualBox shared folders"),
    (0x9584_58f6, "hugetlbfs"),
];

/// Finds out what `file` is; `path` is for messages. Fails with [`ErrorKind::UnsupportedMedium`] for what no pool can lie on.
pub(super) fn detect(file: &File, path: &Path) -> Result<Storage> {
    let metadata = file.metadata().map_err(|error| Error::os("stat", error).at(path))?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(Error::new(ErrorKind::IsADirectory, "a pool is a file or a dax device").at(path));
    }
    if kind.is_char_device() {
        return dax_device(metadata.rdev())
            .map(|len| Storage::DaxDevice { len })
            .map_err(|error| error.at(path));
    }
    if !kind.is_file() {
        return Err(unsupported("expected a regular file or a dax character device").at(path));
    }
    match file::file_system_magic(file).map_err(|error| Error::os("statfs", error).at(path))? {
        TMPFS | RAMFS => Ok(Storage::Memory),
        magic => match REFUSED.iter().find(|(refused, _)| *refused == magic) {
            Some((_, name)) => Err(unsupported(&format!("a pool cannot lie on {name}")).at(path)),
            None => Ok(Storage::Regular),
        },
    }
}

/// The size of the dax device with this number.
fn dax_device(number: u64) -> Result<u64> {
    let base = PathBuf::from(format!("/sys/dev/char/{}:{}", libc::major(number), libc::minor(number)));
    let subsystem = fs::canonicalize(base.join("subsystem")).unwrap_or_default();
    if !subsystem.ends_with("dax") {
        return Err(unsupported("a character device that is not a dax device"));
    }
    let size = base.join("size");
    let text = fs::read_to_string(&size).map_err(|error| Error::os("read", error).at(&size))?;
    text.trim().parse().map_err(|_| {
        Error::new(ErrorKind::Io, format!("expected a size in bytes, found {:?}", text.trim())).at(&size)
    })
}

/// Line granularity, or byte where every persistent memory region of the machine says that its caches are flushed on
/// power loss. Which region a file lies on cannot be told from here, so one that says less decides.
pub(super) fn line_granularity() -> Granularity {
    let Ok(regions) = fs::read_dir("/sys/bus/nd/devices") else { return Granularity::CacheLine };
    let domains: Vec<String> = regions
        .flatten()
        .filter_map(|region| fs::read_to_string(region.path().join("persistence_domain")).ok())
        .collect();
    let flushed = !domains.is_empty() && domains.iter().all(|domain| domain.trim() == "cpu_cache");
    if flushed { Granularity::Byte } else { Granularity::CacheLine }
}

pub(super) fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::UnsupportedMedium, what)
}
